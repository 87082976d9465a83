"""Convolutions that keep the length of every signal."""

from collections.abc import Sequence

from keras_winit import _checks
from keras_winit._axes import check_spatial, outputs_of_group
from keras_winit._random import haar
from keras_winit._references import XIAO
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="delta_orthogonal",
    formula="an orthogonal matrix at the central tap: all singular values of the convolution are 1",
    when="very deep CNNs without normalization",
    reference=XIAO,
)
class DeltaOrthogonal(KernelInitializer):
    """Orthogonal convolutions: an orthogonal matrix at the central tap, zero elsewhere.

    With stride 1 and `padding="same"` the convolution keeps the length of every input, times
    `gain`: all its singular values are `gain`, borders included. (A kernel that is orthogonal
    only as a flattened matrix has singular values from 0.01 to 2.) Where there are more input
    than output channels, what is kept is a random subspace. Plain tanh CNNs of thousands of
    layers train from it.

    The central tap of an even kernel is the one before its middle, where Keras's `"same"`
    padding aligns input and output.

    Args:
        gain: Positive float, multiplies the matrix. Defaults to `1.0`.
        groups: Integer, the layer's `groups`; each gets its own matrix. Defaults to `1`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If `gain` is not positive and finite, the kernel has no spatial axes, or its
            outputs cannot be divided into `groups`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> initializer = keras_winit.initializers.DeltaOrthogonal(seed=0)
    >>> layer = keras.layers.Conv2D(8, 3, padding="same", kernel_initializer=initializer)
    >>> images = keras.random.normal((2, 10, 10, 8))
    >>> ratio = keras.ops.sum(layer(images) ** 2) / keras.ops.sum(images**2)
    >>> round(keras.ops.convert_to_numpy(ratio).item(), 3)
    1.0

    Reference:

    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393), algorithm 2
    """

    _takes_transposed = True

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
        _, inputs, outputs, batch = axes.sizes(shape)
        per_group = outputs_of_group(shape, outputs, self.groups)
        matrices = haar.orthonormal(
            batch * self.groups, inputs, per_group, seed=seed, purpose="delta", dtype=dtype
        )
        matrices = matrices.reshape(batch, self.groups, inputs, per_group)
        return axes.kernel_at_centre(matrices * dtype(self.gain), shape)
