"""The edge of chaos: weights and biases with which a deep plain network neither explodes nor dies.

In a wide network with weights of variance w / fan_in and biases of variance b, the second moment
of the preactivations goes from q to w E f(√q z)² + b in each layer, a gradient by a factor of
χ = w E f'(√q z)². At a critical point q stays and χ = 1.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from keras_winit._activations import quadrature
from keras_winit._activations.activation import Activation

_SMALLEST, _LARGEST = 1e-3, 50.0
# Where the fixed point is approached only as the signal vanishes, as in tanh: a deviation then
# shrinks by this factor per layer. For tanh it is the point of Xiao et al., w = 1.05.
_SLOPE = 0.952
_ROUNDING = 1e-6


@dataclass(frozen=True)
class CriticalPoint:
    """Variances at which signal and gradient keep their size.

    Attributes:
        weight_variance: Variance of the weights times fan_in.
        bias_variance: Variance of the biases.
        signal: Second moment of the preactivations that stays.
    """

    weight_variance: float
    bias_variance: float
    signal: float


def critical_point(activation):
    """Returns the `CriticalPoint` of an activation, or raises if it has none of use.

    Reference:

    - [Poole et al., 2016](https://arxiv.org/abs/1606.05340), section 3
    - [Roberts, Yaida and Hanin, 2022](https://arxiv.org/abs/2106.10165), chapter 5
    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393), section 2
    """
    activation = Activation.of(activation)
    point = _critical_point(activation.values)
    if point is None:
        raise ValueError(
            "`activation` should have a critical point. "
            f"Received: activation={activation.given!r}, at which no signal can keep its size "
            "together with its gradient. Use a normalization layer, or another activation."
        )
    return point


def point_of_small_signal(activation):
    """Returns the critical point of an odd activation, where its slope is one.

    There the signal is small and the network nearly linear, so that orthogonal maps keep all
    lengths and all gradients. `None` for other activations.
    """
    points = np.linspace(0.1, 4, 40)
    function = Activation.of(activation).values
    if not np.allclose(function(-points), -function(points), atol=1e-6):
        return None
    try:
        point = critical_point(activation)
    except ValueError:
        return None
    return point if point.bias_variance < 0.01 * point.signal and point.signal < 1 else None


@functools.lru_cache
def _critical_point(function):
    at = functools.cache(functools.partial(_at, function))
    if all(abs(at(signal)[1] - 1) < _ROUNDING for signal in (1.0, 4.0)):  # any signal stays
        return at(1.0)[0]
    grid = np.geomspace(_SMALLEST, _LARGEST, 60)
    slopes = np.array([at(signal)[1] for signal in grid])
    # A fixed point is stable below a slope of one: the last crossing from above.
    crossings = np.flatnonzero((slopes[:-1] > 1 + _ROUNDING) & (slopes[1:] <= 1))
    level = 1.0 if crossings.size else _SLOPE
    if not crossings.size:
        crossings = np.flatnonzero((slopes[:-1] > level) & (slopes[1:] <= level))
    for crossing in crossings[::-1]:
        low, high = grid[crossing], grid[crossing + 1]
        for _ in range(50):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if at(middle)[1] > level else (low, middle)
        point = at(low)[0]
        if point.bias_variance >= 0:
            return point
    return None


def signal_slope(activation):
    """Returns how much a small deviation of the signal from 1 grows in a layer that keeps it."""
    return _signal_slope(Activation.of(activation).values)


@functools.lru_cache
def _signal_slope(function):
    return _slope(function, 1.0) / quadrature.moments(function).second_moment


def _at(function, signal):
    """Returns the point with gradient factor 1 at a given signal, and its slope of q -> q."""
    scale = math.sqrt(signal)
    moments = quadrature.moments(lambda z: function(scale * z))
    if moments.slope_second_moment == 0:  # no gradient passes
        return None, math.nan
    weight_variance = signal / moments.slope_second_moment
    bias_variance = signal - weight_variance * moments.second_moment
    if abs(bias_variance) < 1e-9 * signal:
        bias_variance = 0.0
    point = CriticalPoint(weight_variance, bias_variance, signal)
    return point, weight_variance * _slope(function, signal)


def _slope(function, signal, step=1e-4):
    """Returns the derivative of E f(√q z)² by q, at q = `signal`."""

    def second_moment(signal):
        return quadrature.moments(lambda z: function(math.sqrt(signal) * z)).second_moment

    change = second_moment(signal * (1 + step)) - second_moment(signal * (1 - step))
    return change / (2 * step * signal)
