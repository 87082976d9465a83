"""Depthwise kernels that move each channel."""

import itertools
from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._axes import check_spatial
from keras_winit._random import distributions
from keras_winit._references import WU
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="shift",
    formula="one tap of each channel, the central one or a neighbor, by chance; the others zero",
    when="depthwise kernels of deep networks without normalization",
    reference=WU,
)
class Shift(KernelInitializer):
    """Depthwise kernels that move each channel by one place at most.

    Each channel has one tap, `gain`, chosen by chance from the central one and its neighbors; the
    others are zero. With stride 1 and `padding="same"` a depthwise convolution then keeps the
    length of its input, but for what leaves at the borders, and layers on it see other places
    than their own. What is not negative, as the output of relu, stays so. (Random taps blur: of
    their product over many layers little is left but the mean of all places.)

    The central tap of an even kernel is the one before its middle, where Keras's `"same"`
    padding aligns input and output.

    Args:
        gain: Positive float, the value of the taps. Defaults to `1.0`.
        paired: Whether the second half of the channels moves as the first does, so that a pair of
            units that see z and -z, as `Mirrored` makes it, stays one. Defaults to `False`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default all axes but the last two are taps, as in
            depthwise kernels of Keras, `(*spatial, channels, multiplier)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If `gain` is not positive and finite, or the kernel has no spatial axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> layer = keras.layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="shift")
    >>> images = np.zeros((1, 5, 5, 4))
    >>> images[:, 2, 2] = 1
    >>> moved = keras.ops.convert_to_numpy(layer(images))
    >>> moved.sum(axis=(1, 2)).tolist(), moved[:, 1:4, 1:4].sum().tolist()
    ([[1.0, 1.0, 1.0, 1.0]], 4.0)

    Reference:

    - [Wu et al., 2018](https://arxiv.org/abs/1711.08141), section 3.1
    """

    def __init__(
        self,
        gain: float = 1.0,
        paired: bool = False,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gain: float = _checks.real("gain", gain, positive=True)
        self.paired: bool = _checks.flag("paired", paired)
        super().__init__(
            scale=self.gain**2, seed=seed, input_axes=input_axes, output_axes=output_axes
        )

    def _check_kernel(self, kernel, shape):
        structured, axes = kernel.structure(shape)
        _, inputs, _, _ = axes.sizes(structured)
        if inputs > 1 or kernel.role == "embedding":
            raise ValueError(
                "a string should be for a depthwise kernel, of which each output has one input. "
                f"Received: shape={shape}, of {inputs} inputs. For other kernels use "
                "`Orthogonal`, for example."
            )

    def _draw(self, shape, axes, dtype, seed):
        check_spatial(axes, shape)
        taps, inputs, outputs, batch = axes.sizes(shape)
        channels = batch * inputs
        drawn = channels - self.paired * (channels // 2)
        near = _near_centre([shape[axis] for axis in axes.spatial])
        chosen = distributions.choice(len(near), 1, drawn * outputs, seed=seed, purpose="shift")
        chosen = chosen.reshape(-1, drawn, outputs)
        values = np.zeros((taps, channels, outputs), dtype)
        values[near] = dtype(self.gain) * chosen[:, [*range(drawn), *range(channels - drawn)]]
        values = values.reshape(taps, batch, inputs, outputs).swapaxes(0, 1)
        return axes.kernel(values.reshape(batch, taps * inputs, outputs), shape)


def _near_centre(spatial):
    """Returns the numbers of the central tap and its neighbors, of taps of these sizes."""
    centres = [(size - 1) // 2 for size in spatial]
    near = [range(size)[max(c - 1, 0) : c + 2] for c, size in zip(centres, spatial, strict=True)]
    return [np.ravel_multi_index(place, spatial) for place in itertools.product(*near)]
