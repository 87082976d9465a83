"""Few incoming weights per unit, at full strength."""

from collections.abc import Sequence

import numpy as np

from keras_winit import _axes, _checks
from keras_winit._random import distributions
from keras_winit._references import Reference
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="sparse",
    formula="the same number k of nonzero weights for every unit, of variance gain² / k",
    when="sparse starts; saturating units; with the constraint SparsityMask the zeros stay",
    reference=Reference(
        "Martens, 2010", "https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf"
    ),
)
class Sparse(KernelInitializer):
    """The same number k of nonzero normal weights for every output unit, the others zero.

    The nonzero weights have variance `gain`² / k, so the size of a signal is kept whatever the
    sparsity. Which weights are nonzero and what they are is drawn independently. A unit is one
    output channel, its candidates are the taps * inputs it sums over. (torch's `sparse_`
    differs: it counts per input unit and does not rescale.)

    The zeros are starting values like any others: training changes them, unless the kernel is
    held by a `keras_winit.SparsityMask` of the same initializer.

    Args:
        sparsity: Number in [0, 1), the fraction of zeros per unit, rounded to a whole number of
            weights; at least one weight remains. Defaults to `0.9`.
        connections: Integer, the number of nonzero weights per unit, in place of `sparsity`.
            Defaults to `None`. The paper uses 15.
        gain: Positive float; `keras_winit.gain(activation)` gives the one of an activation.
            Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes that a unit sums over. An axis in both lists is a tap
            of a convolution, one in neither is batch. By default the kernel is
            `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs.

    Raises:
        ValueError: If a number is out of its range, the kernel has fewer than two axes, or a
            unit has fewer inputs than `connections`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.Sparse(connections=15, seed=0)((200, 3))
    >>> np.count_nonzero(keras.ops.convert_to_numpy(kernel), axis=0).tolist()
    [15, 15, 15]

    Reference:

    - [Martens, 2010](https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf), section 5
    - [Evci et al., 2022](https://arxiv.org/abs/2010.03533), section 3, for the variance
    """

    _takes_blocks = True

    def __init__(
        self,
        sparsity: float = 0.9,
        connections: int | None = None,
        gain: float = 1.0,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.sparsity: float = _checks.real("sparsity", sparsity)
        if not 0 <= self.sparsity < 1:
            raise ValueError(
                "`sparsity` should be at least 0 and less than 1, the fraction of zeros. "
                f"Received: sparsity={sparsity!r}."
            )
        self.connections: int | None = connections
        if connections is not None:
            self.connections = _checks.integer("connections", connections, minimum=1)
        self.gain: float = _checks.real("gain", gain, positive=True)
        super().__init__(
            scale=self.gain**2, seed=seed, input_axes=input_axes, output_axes=output_axes
        )

    def mask(self, shape: Sequence[int]) -> np.ndarray:
        """Returns which weights of a kernel of this shape are not zero, as a NumPy array."""
        axes = _axes.kernel_axes(shape, self.input_axes, self.output_axes)
        return _kernel(self._chosen(shape, axes, self.seed), shape, axes)

    def _chosen(self, shape, axes, seed):
        """Returns which inputs each unit has, of shape (taps * inputs, batch * outputs)."""
        taps, inputs, outputs, batch = axes.sizes(shape)
        fan_in = taps * inputs
        count = self.connections or max(1, round((1 - self.sparsity) * fan_in))
        if count > fan_in:
            raise ValueError(
                f"`connections` should be at most {fan_in}, the inputs of a unit of a kernel of "
                f"shape {shape}. Received: connections={count}."
            )
        return distributions.choice(fan_in, count, batch * outputs, seed=seed, purpose="sparse")

    def _draw(self, shape, axes, dtype, seed):
        chosen = self._chosen(shape, axes, seed)
        count, units = np.count_nonzero(chosen[:, 0]), chosen.shape[1]
        values = distributions.normal(
            (count, units), seed=seed, purpose="sparse", stddev=self.gain / count**0.5
        )
        weights = np.zeros(chosen.shape, values.dtype)
        np.place(weights, chosen, values)  # an index of the places would outweigh the kernel
        return _kernel(weights, shape, axes)


def _kernel(values, shape, axes):
    """Returns (taps * inputs, batch * outputs) in the order of the kernel's axes."""
    _, _, outputs, batch = axes.sizes(shape)
    return axes.kernel(values.reshape(-1, batch, outputs).transpose(1, 0, 2), shape)
