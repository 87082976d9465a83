"""Blocks of units that see nothing of each other, by any initializer."""

from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._references import KOUTNIK
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._drawing import draw
from keras_winit.initializers._of_another import OfAnother
from keras_winit.typing import InitializerLike, SeedLike


@register(
    alias="block_diagonal",
    formula="blocks on the diagonal, each by any initializer; the rest is zero",
    when="recurrent kernels whose units are to remember for different times",
    reference=KOUTNIK,
)
class BlockDiagonal(OfAnother):
    """Blocks on the diagonal of a kernel, each drawn by any initializer; the rest is zero.

    A recurrent layer then starts with groups of units that see nothing of each other's state, and
    may each have a time scale of its own: with `Graded`, of as many groups, what those that take
    little have stored is not lost in what the others take. Training may connect them.

    Args:
        initializer: What draws each block: initializer, or its name. Its own seed is not used.
            Defaults to `"orthogonal"`.
        blocks: Integer, the number of blocks, as equal in size as can be, the larger ones first.
            Of as many at most as inputs or outputs. Defaults to `4`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the initializer is unknown, `blocks` is not positive, or the kernel has
            fewer than two axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.BlockDiagonal("ones", blocks=2)((3, 4))
    >>> keras.ops.convert_to_numpy(kernel).tolist()
    [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]

    Reference:

    - [Koutník et al., 2014](https://arxiv.org/abs/1402.3511), section 3, for groups of units that
      work at different time scales
    """

    def __init__(
        self,
        initializer: InitializerLike = "orthogonal",
        blocks: int = 4,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.blocks: int = _checks.integer("blocks", blocks, minimum=1)
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _draw(self, shape, axes, dtype, seed):
        taps, inputs, outputs, batch = axes.sizes(shape)
        spatial = [shape[axis] for axis in axes.spatial]
        values = np.zeros((batch, taps, inputs, outputs), dtype)
        blocks = min(self.blocks, inputs, outputs)
        sides = zip(evenly(inputs, blocks), evenly(outputs, blocks), strict=True)
        for number, (rows, columns) in enumerate(sides):
            place = values[:, :, rows, columns]
            block = (batch, *spatial, *place.shape[2:])
            drawn = draw(self._inner, block, axes.in_order(), dtype, f"{seed}/block {number}")
            place[:] = drawn.reshape(place.shape)
        return axes.kernel(values.reshape(batch, taps * inputs, outputs), shape)


def evenly(number, parts):
    """Returns the slices of a number of things in parts that are as equal in size as can be."""
    bounds = [-(-number * part // parts) for part in range(parts + 1)]
    return [slice(first, last) for first, last in zip(bounds, bounds[1:], strict=False)]
