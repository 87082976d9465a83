"""Which axes of a kernel are inputs, outputs, taps or batch, and the fans that follow.

A kernel is a stack of matrices that map inputs to outputs. Each axis is one of

- spatial: a tap of a convolution, counted in both fans;
- input: summed over;
- output: one index per output;
- batch: one separate matrix per index (channels of a depthwise kernel, experts).

Keras writes the same as two lists: an axis in both `input_axes` and `output_axes` is
spatial, and one in neither is batch.
"""

import math
import operator
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class KernelAxes:
    """The axes of one kernel by what they do, and how many of its taps a stride leaves out."""

    spatial: tuple
    input: tuple
    output: tuple
    batch: tuple
    input_stride: int = 1
    output_stride: int = 1

    def sizes(self, shape):
        """Returns the sizes (spatial, input, output, batch), each multiplied out."""
        groups = (self.spatial, self.input, self.output, self.batch)
        return tuple(math.prod(shape[axis] for axis in group) for group in groups)

    def fans(self, shape):
        """Returns (fan_in, fan_out): products summed by one output, outputs reached by one input.

        Without strides, these are the fans that Keras counts for these axes.
        """
        taps, inputs, outputs, _ = self.sizes(shape)
        return taps * inputs / self.input_stride, taps * outputs / self.output_stride

    def in_order(self):
        """Returns the axes of such a kernel written (batch, *spatial, input, output)."""
        last = len(self.spatial) + 2
        spatial = tuple(range(1, last - 1))
        return replace(self, batch=(0,), spatial=spatial, input=(last - 1,), output=(last,))

    def kernel(self, matrices, shape):
        """Returns the kernel of `shape` made of `matrices` (batch, taps * inputs, outputs)."""
        order = self.batch + self.spatial + self.input + self.output
        values = matrices.reshape([shape[axis] for axis in order])
        return np.ascontiguousarray(values.transpose(np.argsort(order)))

    def kernel_at_centre(self, matrices, shape):
        """Returns the kernel of `shape` that is zero but for its central tap.

        `matrices` are (batch, groups, inputs, outputs of a group). The centre of an even number
        of taps is the one before the middle, where Keras's `"same"` padding puts it.
        """
        taps, inputs, outputs, batch = self.sizes(shape)
        spatial = [shape[axis] for axis in self.spatial]
        centre = np.ravel_multi_index([(size - 1) // 2 for size in spatial], spatial)
        values = np.zeros((batch, taps, inputs, outputs), matrices.dtype)
        values[:, centre] = matrices.transpose(0, 2, 1, 3).reshape(batch, inputs, outputs)
        return self.kernel(values, shape)


def check_spatial(axes, shape):
    """Raises if a kernel is not that of a convolution."""
    if not axes.spatial:
        raise ValueError(
            "the kernel should be that of a convolution, (*spatial, input, output). "
            f"Received: shape={shape}. For other kernels use `Orthogonal`, for example."
        )


def outputs_of_group(shape, outputs, groups, name="groups"):
    """Returns the number of outputs of each group, or raises if they cannot be divided."""
    if outputs % groups:
        raise ValueError(
            f"`{name}` should divide the {outputs} outputs of a kernel of shape {shape}. "
            f"Received: {name}={groups}."
        )
    return outputs // groups


def check_axes(input_axes, output_axes):
    """Returns both as lists of ints, or None twice; raises where only one is given."""
    if (input_axes is None) != (output_axes is None):
        raise ValueError(
            "`input_axes` and `output_axes` should be given together or not at all. "
            f"Received: input_axes={input_axes!r}, output_axes={output_axes!r}."
        )
    return _axis_list("input_axes", input_axes), _axis_list("output_axes", output_axes)


def _axis_list(name, axes):
    if axes is None:
        return None
    message = f"`{name}` should be a list of integers, no two alike. Received: {name}={axes!r}."
    try:
        numbers = [operator.index(axis) for axis in axes]
    except TypeError:
        raise TypeError(message) from None
    if any(isinstance(axis, bool) for axis in axes):
        raise TypeError(message)
    if len(set(numbers)) != len(numbers):
        raise ValueError(message)
    return numbers


def kernel_axes(shape, input_axes=None, output_axes=None):
    """Returns the `KernelAxes` of a kernel of `shape`.

    Without axes, the layout is that of Dense and Conv kernels: `(*spatial, input, output)`.
    """
    rank = len(shape)
    if input_axes is None:
        if rank < 2:
            raise ValueError(
                f"a kernel has at least 2 axes, inputs and outputs. Received: shape={shape}. "
                'For a bias or another vector use `"zeros"`, `"ones"` or a `Constant`.'
            )
        return KernelAxes(tuple(range(rank - 2)), (rank - 2,), (rank - 1,), ())
    for name, axes in (("input_axes", input_axes), ("output_axes", output_axes)):
        if any(not -rank <= axis < rank for axis in axes) or len(
            {axis % rank for axis in axes}
        ) < len(axes):
            raise ValueError(
                f"`{name}` should be different axes between {-rank} and {rank - 1} for a kernel "
                f"of shape {shape}. Received: {name}={axes}."
            )
    inputs = {axis % rank for axis in input_axes}
    outputs = {axis % rank for axis in output_axes}
    return KernelAxes(
        spatial=tuple(sorted(inputs & outputs)),
        input=tuple(sorted(inputs - outputs)),
        output=tuple(sorted(outputs - inputs)),
        batch=tuple(axis for axis in range(rank) if axis not in inputs | outputs),
    )
