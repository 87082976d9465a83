"""Groups of units that get less and less, by any initializer."""

import math
from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._references import INUBUSHI
from keras_winit.initializers._block_diagonal import evenly
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._drawing import draw
from keras_winit.initializers._of_another import OfAnother
from keras_winit.typing import InitializerLike, SeedLike


@register(
    alias="graded",
    formula="any initializer, times shares from 1 down to the smallest for groups of units",
    when="what a SimpleRNN takes of long sequences, with BlockDiagonal for its state",
    reference=INUBUSHI,
)
class Graded(OfAnother):
    """Weights by any initializer, times shares from 1 down to `smallest` for groups of units.

    The shares are even on a logarithmic scale. Recurrent units of tanh that take little of each
    step are nearly linear, and remember for long: for some T steps where they take 1 / T. Those
    that take all of it tell more than sums, and forget. A state of both, which `BlockDiagonal`
    keeps apart, has what either is for.

    Args:
        initializer: What draws the weights: initializer, or its name. Its own seed is not used.
            Defaults to `"glorot_uniform"`.
        smallest: Float above 0, up to 1: the share of the last group. Defaults to `0.1`.
        blocks: Integer, the number of groups, as equal in size as can be, the larger ones first.
            Of as many at most as units. Defaults to `4`.
        share: Float above 0, up to 1: the share of the units, from the first on, that these groups
            are made of; the others take 1. Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the initializer is unknown, `smallest` is out of its range, or `blocks` is
            not positive.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> Graded = keras_winit.initializers.Graded
    >>> kernel = Graded("ones", smallest=0.25, blocks=3)((2, 4))
    >>> keras.ops.convert_to_numpy(kernel).tolist()
    [[1.0, 1.0, 0.5, 0.25], [1.0, 1.0, 0.5, 0.25]]
    >>> groups = keras_winit.initializers.BlockDiagonal(blocks=4)
    >>> layer = keras.layers.SimpleRNN(
    ...     32, kernel_initializer=Graded(smallest=1 / 100), recurrent_initializer=groups
    ... )

    Reference:

    - [Inubushi and Yoshimura, 2017](https://doi.org/10.1038/s41598-017-10257-6), on units with
      memory beside others that are not linear, in reservoirs that are not trained
    """

    def __init__(
        self,
        initializer: InitializerLike = "glorot_uniform",
        smallest: float = 0.1,
        blocks: int = 4,
        share: float = 1.0,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.smallest: float = _fraction("smallest", smallest)
        self.share: float = _fraction("share", share)
        self.blocks: int = _checks.integer("blocks", blocks, minimum=1)
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _draw(self, shape, axes, dtype, seed):
        taps, inputs, outputs, batch = axes.sizes(shape)
        spatial = (shape[axis] for axis in axes.spatial)
        whole = (batch, *spatial, inputs, outputs)
        values = draw(self._inner, whole, axes.in_order(), dtype, seed)
        graded = math.ceil(self.share * outputs)
        values[..., :graded] *= shares(graded, self.smallest, self.blocks).astype(dtype)
        return axes.kernel(values.reshape(batch, taps * inputs, outputs), shape)


def _fraction(name, value):
    value = _checks.real(name, value, positive=True)
    if value > 1:
        raise ValueError(f"`{name}` should be above 0, up to 1. Received: {name}={value!r}.")
    return value


def shares(units, smallest, blocks=4):
    """Returns the share of each unit, as an array."""
    blocks = min(blocks, units)
    found = np.empty(units)
    for number, places in enumerate(evenly(units, blocks)):
        found[places] = smallest ** (number / max(blocks - 1, 1))
    return found
