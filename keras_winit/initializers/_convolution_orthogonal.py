"""Convolutions of all taps that keep the length of every signal."""

from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._axes import check_spatial, outputs_of_group
from keras_winit._random import haar
from keras_winit._references import XIAO
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="convolution_orthogonal",
    formula="an orthogonal matrix, spread over all taps by random projections [P, I - P]",
    when="as DeltaOrthogonal, where all taps should take part; best with circular padding",
    reference=XIAO,
)
class ConvolutionOrthogonal(KernelInitializer):
    """Orthogonal convolutions that use all of their taps.

    An orthogonal matrix, convolved along every spatial axis with kernels of two taps [P, I - P],
    one for each further tap, where P projects onto a random half of the channels: each of them
    moves one half of the signal by a pixel. All singular values of the convolution are `gain` on
    a signal that goes round in a circle, for any kernel size. With `padding="same"` what is moved
    over the border is lost, and the length of a signal shrinks there; `DeltaOrthogonal` has no
    such loss, but uses the central tap alone. Where there are more input than output
    channels, what is kept is a random subspace.

    Args:
        gain: Positive float, multiplies the kernel. Defaults to `1.0`.
        groups: Integer, the layer's `groups`; each gets its own kernel. Defaults to `1`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If `gain` is not positive and finite, the kernel has no spatial axes, or its
            outputs cannot be divided into `groups`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> initializer = keras_winit.initializers.ConvolutionOrthogonal(seed=0)
    >>> layer = keras.layers.Conv1D(6, 3, kernel_initializer=initializer)
    >>> signal = np.random.default_rng(0).normal(size=(2, 50, 4))
    >>> circle = np.concatenate([signal, signal[:, :2]], axis=1)
    >>> ratio = keras.ops.sum(layer(circle) ** 2) / np.sum(signal**2)
    >>> round(keras.ops.convert_to_numpy(ratio).item(), 3)
    1.0

    Reference:

    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393), algorithm 1
    """

    def __init__(
        self,
        gain: float = 1.0,
        groups: int = 1,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gain: float = _checks.real("gain", gain, positive=True)
        self.groups: int = _checks.integer("groups", groups, minimum=1)
        super().__init__(
            scale=self.gain**2, seed=seed, input_axes=input_axes, output_axes=output_axes
        )

    def _draw(self, shape, axes, dtype, seed):
        check_spatial(axes, shape)
        taps, inputs, outputs, batch = axes.sizes(shape)
        per_group = outputs_of_group(shape, outputs, self.groups)
        number, size = batch * self.groups, max(inputs, per_group)

        def orthonormal(rows, columns, purpose):
            purpose = f"convolution_orthogonal/{purpose}"
            return haar.orthonormal(number, rows, columns, seed=seed, purpose=purpose, dtype=dtype)

        # Channels of the longer side are rows here; (kernels, taps of each axis, rows, columns).
        kernel = orthonormal(size, min(inputs, per_group), "matrix")
        kernel = kernel.reshape(number, *(1 for _ in axes.spatial), *kernel.shape[1:])
        for step in range(max(shape[axis] for axis in axes.spatial) - 1):
            for place, axis in enumerate(axes.spatial, start=1):
                if step < shape[axis] - 1:
                    basis = orthonormal(size, size // 2, f"{step}/{place}")
                    kernel = _spread(kernel, place, basis, moves_the_rest=step % 2 == 0)
        if inputs < per_group:
            kernel = np.moveaxis(kernel, -1, -2)
        kernel = kernel.reshape(batch, self.groups, taps, inputs, per_group)
        matrices = np.moveaxis(kernel, 1, 3).reshape(batch, taps * inputs, outputs)
        return axes.kernel(matrices * dtype(self.gain), shape)


def _spread(kernel, axis, basis, moves_the_rest):
    """Returns the kernel with one more tap along an axis.

    What the basis spans, or what it leaves out, moves on by one tap.
    """
    basis = basis.reshape(len(basis), *(1 for _ in kernel.shape[1:-2]), *basis.shape[1:])
    spanned = basis @ (np.moveaxis(basis, -1, -2) @ kernel)
    stays, moves = spanned, kernel - spanned
    if not moves_the_rest:
        stays, moves = moves, stays
    nothing = np.zeros_like(np.take(kernel, [0], axis))
    return np.concatenate([stays, nothing], axis) + np.concatenate([nothing, moves], axis)
