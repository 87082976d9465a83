"""Random frequencies for the first layer of a network of coordinates."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_winit import _checks
from keras_winit._random import distributions
from keras_winit._references import TANCIK
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="fourier_features",
    formula="2π [B, B], B normal of stddev cycles per unit",
    when="the frozen first layer of a network of coordinates, with FourierPhases and the sine",
    reference=TANCIK,
)
class FourierFeatures(KernelInitializer):
    """Normal frequencies, each twice: for the sine and the cosine of the same wave.

    The kernel is 2 pi [B, B], B normal with a standard deviation of `stddev` cycles per unit of
    the coordinates. With `FourierPhases` as biases, the sine as activation and
    `trainable=False`, the layer maps coordinates v to [sin 2 pi B v, cos 2 pi B v]. The product of
    two such features depends on the difference of their coordinates alone: the layers above can
    learn fine detail, which they cannot from plain coordinates. What `stddev` suits is found by
    trying: too small blurs, too large makes noise between the samples. For coordinates between 0
    and 1 the paper takes 10 on photographs.

    Args:
        stddev: Positive float, the standard deviation of the frequencies in cycles per unit.
            Defaults to `10.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over. An axis in both lists is a tap of a
            convolution, one in neither is batch. By default the kernel is
            `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs.

    Raises:
        ValueError: If `stddev` is not positive and finite, the kernel has fewer than two axes, or
            an odd number of outputs.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> features = keras.layers.Dense(
    ...     256,
    ...     keras.ops.sin,
    ...     kernel_initializer=keras_winit.initializers.FourierFeatures(stddev=3.0, seed=0),
    ...     bias_initializer="fourier_phases",
    ...     trainable=False,
    ... )
    >>> places = np.random.default_rng(0).uniform(size=(5, 2))
    >>> [round(float(length), 3) for length in keras.ops.sum(features(places) ** 2, axis=1)]
    [128.0, 128.0, 128.0, 128.0, 128.0]

    Reference:

    - [Tancik et al., 2020](https://arxiv.org/abs/2006.10739), section 4
    """

    def __init__(
        self,
        stddev: float = 10.0,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.stddev: float = _checks.real("stddev", stddev, positive=True)
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _draw(self, shape, axes, dtype, seed):
        taps, inputs, outputs, batch = axes.sizes(shape)
        if outputs % 2:
            raise ValueError(
                "the number of outputs should be even: each frequency has a sine and a cosine. "
                f"Received: shape={shape}, with {outputs} outputs."
            )
        frequencies = distributions.normal(
            (batch, taps * inputs, outputs // 2),
            seed=seed,
            purpose="fourier_features",
            stddev=2 * math.pi * self.stddev,
        )
        return axes.kernel(np.concatenate([frequencies, frequencies], axis=-1), shape)

    def to_keras(self) -> keras.Initializer:
        """Returns a Keras initializer, unseeded, of the same variance."""
        return keras.initializers.RandomNormal(stddev=2 * math.pi * self.stddev)
