"""Recurrent maps that turn the state in planes, each at a speed of its own."""

import math
from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._random import distributions
from keras_winit._references import Reference
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="rotation",
    formula="rotations of pairs of units, by angles uniform up to max_angle",
    when="recurrent kernels that should keep a state for long",
    reference=Reference("Henaff et al., 2016", "https://arxiv.org/abs/1602.06662"),
)
class Rotation(KernelInitializer):
    """Block-diagonal rotations: pairs of units turn by angles uniform up to `max_angle`.

    Each pair gets [[cos t, sin t], [-sin t, cos t]], the exponential of a skew-symmetric matrix.
    The eigenvalues are exp(+-i t), spread over the unit circle as this class says, while those of
    a Haar matrix repel each other: a state keeps its length for ever, and pairs remember at
    different frequencies. With the default `max_angle` of pi it is Henaff's initialization; with
    pi / 2 the eigenvalues are those of Helfrich's for scaled Cayley RNNs, on the right half of
    the circle, where states change slowly.

    For the recurrent kernel of a `SimpleRNN`; for an LSTM wrap it: `PerGate(Rotation())`, with
    `gates=3` for a GRU. A convolution kernel gets the matrix at its central tap. The last of an odd
    number of units is passed on as it is. A kernel that is not square gets the leading part of the
    matrix of its longer side.

    Args:
        max_angle: Float above 0, up to pi: the largest angle, in radians. Defaults to pi.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If `max_angle` is out of its range, or the kernel has fewer than two axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.Rotation(seed=0)((6, 6))
    >>> state = keras.random.normal((5, 6))
    >>> lengths = [keras.ops.sum(each**2) for each in (state, keras.ops.matmul(state, kernel))]
    >>> bool(keras.ops.isclose(*lengths))
    True

    Reference:

    - [Henaff et al., 2016](https://arxiv.org/abs/1602.06662), for angles up to pi
    - [Helfrich et al., 2018](https://arxiv.org/abs/1707.09520), for the half circle
    """

    _is_of_states = True

    def __init__(
        self,
        max_angle: float = math.pi,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.max_angle: float = _checks.real("max_angle", max_angle, positive=True)
        if self.max_angle > math.pi:
            raise ValueError(
                "`max_angle` should be a number above 0 and up to pi, in radians. "
                f"Received: max_angle={max_angle!r}."
            )
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _draw(self, shape, axes, dtype, seed):
        _, inputs, outputs, batch = axes.sizes(shape)
        size = max(inputs, outputs)
        limit = self.max_angle
        angles = distributions.uniform(
            (batch, size // 2), seed=seed, purpose="rotation", limit=limit
        )
        angles = angles.astype(np.float64)
        matrices = np.zeros((batch, size, size), dtype)
        matrices[:, -1, -1] = 1
        even = np.arange(0, size - 1, 2)
        matrices[:, even, even] = matrices[:, even + 1, even + 1] = np.cos(angles)
        matrices[:, even, even + 1] = np.sin(angles)
        matrices[:, even + 1, even] = -np.sin(angles)
        return axes.kernel_at_centre(matrices[:, None, :inputs, :outputs], shape)
