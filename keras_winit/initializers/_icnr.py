"""Convolutions before a pixel shuffle that start without a checkerboard."""

from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._axes import check_spatial
from keras_winit._references import Reference
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._drawing import draw
from keras_winit.initializers._of_another import OfAnother
from keras_winit.typing import InitializerLike, SeedLike


@register(
    alias="icnr",
    formula="a smaller kernel, repeated for every pixel of a shuffle",
    when="convolutions before a pixel shuffle, without a checkerboard",
    reference=Reference("Aitken et al., 2017", "https://arxiv.org/abs/1707.02937"),
)
class ICNR(OfAnother):
    """The kernel of a smaller convolution, repeated for every pixel that a shuffle makes of one.

    For a convolution whose outputs are rearranged into an image `factor` times as large (pixel
    shuffle, depth to space). All pixels that come from one place start alike, so the whole
    equals the smaller convolution followed by nearest neighbor upsampling, exactly: no
    checkerboard. Training makes them differ.

    The channels are those of `tf.nn.depth_to_space`: the channel of an output pixel is the
    remainder of its place on the last axis. One-dimensional kernels are repeated `factor` times,
    those of images factor² times, of volumes factor³ times.

    Args:
        factor: Integer, how many times larger each side of the image gets. Defaults to `2`.
        initializer: What draws the smaller kernel: initializer, or its name. Its own seed is not
            used. Defaults to `"he_normal"`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the initializer is unknown, the kernel has no spatial axes, or its outputs
            cannot be divided by the number of repetitions.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> initializer = keras_winit.initializers.ICNR(factor=2, seed=0)
    >>> kernel = keras.ops.convert_to_numpy(initializer((3, 3, 16, 4 * 5)))
    >>> bool((kernel[..., :5] == kernel[..., 5:10]).all())
    True

    Reference:

    - [Aitken et al., 2017](https://arxiv.org/abs/1707.02937), section 3
    """

    def __init__(
        self,
        factor: int = 2,
        initializer: InitializerLike = "he_normal",
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.factor: int = _checks.integer("factor", factor, minimum=1)
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _draw(self, shape, axes, dtype, seed):
        check_spatial(axes, shape)
        repeats, last = self.factor ** len(axes.spatial), axes.output[-1]
        if shape[last] % repeats:
            raise ValueError(
                f"the outputs should be a multiple of {repeats}, the pixels made of one. "
                f"Received: shape={shape}, with {shape[last]} outputs."
            )
        smaller = (*shape[:last], shape[last] // repeats, *shape[last + 1 :])
        kernel = draw(self._inner, smaller, axes, dtype, seed).reshape(smaller)
        return np.concatenate([kernel] * repeats, axis=last)
