"""Weights for networks of sines."""

import math
from collections.abc import Sequence

from keras_winit import _checks
from keras_winit._random import distributions
from keras_winit._references import SIREN
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="siren",
    formula="uniform up to √(6 / fan_in) / omega; up to 1 / fan_in in the first layer",
    when="layers followed by sin(30 z): images, fields, signed distances",
    reference=SIREN,
)
class Siren(KernelInitializer):
    """Uniform weights for layers followed by sin(omega * z), as in networks of coordinates.

    Up to sqrt(6 / fan_in) / `omega`, so that omega * z is normal, of variance 1 in the second
    layer and 0.80 in deep ones (where q = 1 - exp(-2 q) holds), and its sine has nearly the same
    distribution in every layer. The first layer, which sees coordinates in [-1, 1] and
    spreads them over several periods, takes `first=True`: weights up to 1 / fan_in. The biases
    should start at zero, as Keras's do.

    The activation multiplies by `omega`, the weights do not:
    `lambda z: keras.ops.sin(30.0 * z)`.

    Args:
        omega: Positive float, what the activation multiplies its input by. Defaults to `30.0`.
        first: Whether it is for the first layer. Defaults to `False`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over. An axis in both lists is a tap of a
            convolution, one in neither is batch. By default the kernel is
            `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs.

    Raises:
        ValueError: If `omega` is not positive and finite, or the kernel has fewer than two axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.Siren(first=True, seed=0)((2, 256))
    >>> bool(keras.ops.max(keras.ops.abs(kernel)) <= 0.5)
    True

    Reference:

    - [Sitzmann et al., 2020](https://arxiv.org/abs/2006.09661), section 3.2
    """

    _elementwise = _takes_blocks = True

    def __init__(
        self,
        omega: float = 30.0,
        first: bool = False,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.omega: float = _checks.real("omega", omega, positive=True)
        self.first: bool = _checks.flag("first", first)
        super().__init__(
            scale=2 / self.omega**2,
            distribution="uniform",
            seed=seed,
            input_axes=input_axes,
            output_axes=output_axes,
        )

    def _draw(self, shape, axes, dtype, seed, part=None):
        fan_in, _ = axes.fans(shape)
        limit = 1 / fan_in if self.first else math.sqrt(6 / fan_in) / self.omega
        return distributions.uniform(shape, seed=seed, purpose="siren", limit=limit, part=part)
