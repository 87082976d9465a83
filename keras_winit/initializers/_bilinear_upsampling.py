"""Transposed convolutions that start as bilinear interpolation."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from keras_winit._axes import check_spatial
from keras_winit._references import Reference
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer


@register(
    alias="bilinear_upsampling",
    formula="linear interpolation, in one to three dimensions",
    when="transposed convolutions that enlarge images",
    reference=Reference("Long et al., 2015", "https://arxiv.org/abs/1411.4038"),
)
class BilinearUpsampling(KernelInitializer):
    """Weights with which a strided transposed convolution interpolates each channel linearly.

    For a stride of s the kernel has 2 s - s % 2 taps along each axis: 4 for a stride of 2, 5 for
    3. With `padding="same"` a constant image then stays what it is away from the borders, and
    nothing shows the grid that transposed convolutions leave in images. Each channel goes to the
    output of its own number; further outputs start at zero. One axis (linear), two (bilinear) or
    three (trilinear).

    The kernel of a Conv2DTranspose is (height, width, output, input), which is no matter here:
    the weights are the same both ways. A DepthwiseConv2D takes `input_axes=[0, 1],
    output_axes=[0, 1, 3]`, or `keras_winit.initialize`, which knows it.

    Args:
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the kernel has no spatial axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> layer = keras.layers.Conv2DTranspose(
    ...     3, 4, 2, "same", kernel_initializer="bilinear_upsampling"
    ... )
    >>> large = layer(np.ones((1, 5, 5, 3)))
    >>> bool(keras.ops.all(large[:, 1:-1, 1:-1] == 1.0))
    True

    Reference:

    - [Long et al., 2015](https://arxiv.org/abs/1411.4038), section 3.3
    """

    _takes_transposed = True

    def __init__(
        self,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)

    def _check_kernel(self, kernel, shape):
        super()._check_kernel(kernel, shape)
        if not kernel.transposed:
            raise ValueError(
                "the kernel should be that of a transposed convolution. Received: that of a layer "
                f"that does not enlarge, shape={shape}."
            )

    def _draw(self, shape, axes, dtype, seed):
        check_spatial(axes, shape)
        _, inputs, outputs, batch = axes.sizes(shape)
        tents = [_tent(shape[axis]) for axis in axes.spatial]
        weights = functools.reduce(np.multiply.outer, tents).ravel()
        matrices = np.einsum("t,io->tio", weights, np.eye(inputs, outputs)).astype(dtype)
        matrices = matrices.reshape(1, -1, outputs).repeat(batch, axis=0)
        return axes.kernel(matrices, shape)


def _tent(size):
    """Returns the weights of linear interpolation by as much as a kernel of this size is for."""
    factor = math.ceil(size / 2)
    center = factor - 1 if size % 2 else factor - 0.5
    return 1 - abs(np.arange(size) - center) / factor
