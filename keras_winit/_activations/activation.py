"""An activation as an object: made once, from whatever form it is given in."""

import dataclasses
import functools
import math

import numpy as np

from keras_winit._activations import quadrature
from keras_winit._activations.formulas import FORMULAS, NOT_ELEMENTWISE
from keras_winit._activations.identify import (
    applied,
    evaluate,
    identify,
    learns,
    resolve,
)

RELU_VARIANTS = ("relu", "relu6", "leaky_relu", "prelu", "elu", "celu")

# Functions that let positive values through and cut off most of what is negative.
RECTIFIERS = (*RELU_VARIANTS, "gelu", "silu", "mish", "hard_silu", "sparse_plus", "threshold")

# Where the gradient would grow by more in each layer, it decides, and not the signal. Of common
# activations the largest is softshrink's, 1.5.
_STEEP = 2.0

_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS /= _WEIGHTS.sum()
# Where a function runs away: of relu the second moment grows by 4, of silu by 5.1, of exp by 403.
_FASTER = 8.0
# There pairs of units are for a signal of this size. Of exp(z) trained by 5 and 8 layers, a signal
# of 0.3 is too large, and one of 0.03 no better.
_SMALL = 0.1
_LINEAR = 0.999  # the correlation with z, of mish .9993 and of elu .9965
# Where a function is looked at that may be a straight line: activations that clip do so in between.
_FROM_AFAR = np.array([-2e3, -60.0, -7.0, -2.5, -0.9, -0.3, 0.2, 0.7, 1.5, 6.5, 50.0, 1e3])


class Activation:
    """A function that acts on what a kernel gives.

    Two are equal that are the same function of Keras with the same arguments, or else the same
    object: what is computed of one is kept for the other.

    Args:
        given: Name, function, activation layer, serialized activation, or `None` for linear.

    Attributes:
        given: What it was made of.
        function: What takes a tensor.
        keras_name: Keras's name for it, `None` where it is none of Keras's.
        name: What to call it: Keras's name, else its own.
        acts_together: Whether it is no function of each unit by itself, as softmax.
        values: What takes a NumPy array of shape (n,). One and the same for equal functions of
            Keras, so that what is kept of it keeps no layer.
    """

    def __init__(self, given=None):
        self.given = given
        self.function = applied(resolve(given))
        name, arguments = identify(self.function)
        self.keras_name = name
        self.name = name or getattr(self.function, "__name__", type(self.function).__name__)
        self.acts_together = name in NOT_ELEMENTWISE
        self._is_formula = name in FORMULAS
        if self._is_formula:
            self.values = _formula(name, tuple(sorted(arguments.items())))
        else:
            self.values = functools.partial(evaluate, self.function)

    @classmethod
    def of(cls, given):
        """Returns an `Activation` as it is, and makes one of anything else."""
        return given if isinstance(given, cls) else cls(given)

    def __eq__(self, other):
        return self._key is other._key if isinstance(other, Activation) else NotImplemented

    def __hash__(self):
        return id(self._key)

    @property
    def _key(self):
        return self.values if self._is_formula else self.function

    def __repr__(self):
        return f"Activation({self.name})"

    def measure(self):
        """Returns its `Moments` under a standard normal, or raises if it has none.

        To twelve digits, since the last bits of tanh and exp differ between processors.
        """
        if self.acts_together:
            raise ValueError(
                f"`activation` should act on each unit alone to have a gain. Received: "
                f"activation={self.given!r}. For a last layer with {self.name} use 'linear'."
            )
        try:
            if self._is_formula:
                return _moments_of_formula(self.values)
            self._check_elementwise()
            return _rounded(quadrature.moments(self.values))
        except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
            raise ValueError(
                f"`activation` should be an elementwise function, finite everywhere. "
                f"Received: activation={self.given!r}: {error}."
            ) from error

    @functools.cached_property
    def moments(self):
        """Its `Moments` under a standard normal, `None` if it does not act on each unit alone."""
        try:
            return self.measure()
        except ValueError:
            return None

    @property
    def is_rectifier(self):
        """Whether it lets positive values through and cuts off most of what is negative."""
        return self.keras_name in RECTIFIERS

    @property
    def is_mostly_mean(self):
        """Whether its output is more of a constant than of a signal, as that of sigmoid is."""
        return self.moments is not None and self.moments.mean**2 > self.moments.second_moment / 2

    @property
    def pair_gain(self):
        """The size of f(z) - f(-z) over that of a normal z of size `pair_size`: 1 for relu.

        `None` where it is not nearly a multiple of z, and where f is odd, so that a pair of units
        knows no more than one.
        """
        return None if self._pair is None else self._pair[1]

    @property
    def pair_size(self):
        """The standard deviation of z at which f(z) - f(-z) is linear; `None` as `pair_gain`.

        It is 1, but small for functions that grow as fast as the exponential.
        """
        return None if self._pair is None else self._pair[0]

    @functools.cached_property
    def _pair(self):
        if self.moments is None:
            return None
        for size in (1.0, _SMALL) if self.runs_away else (1.0,):
            with np.errstate(all="ignore"):
                values, opposite = self.values(size * _POINTS), self.values(-size * _POINTS)
            odd, even = (values - opposite) / size, (values + opposite) / size
            gain = math.sqrt(_WEIGHTS @ odd**2)
            gain = float(f"{gain:.12g}")  # rounds differ between processors
            if gain > 0 and _WEIGHTS @ (_POINTS * odd) >= _LINEAR * gain:
                return (size, gain) if np.ptp(even) > 0.01 * gain else None
        return None

    @functools.cached_property
    def runs_away(self):
        """Whether of a signal twice as large it makes one that is much more than that, as exp."""
        if self.moments is None:
            return False
        with np.errstate(all="ignore"):
            once, twice = (_WEIGHTS @ self.values(size * _POINTS) ** 2 for size in (1, 2))
        return bool(twice > _FASTER * once)

    @property
    def is_steep(self):
        """Whether the variance that keeps the signal would let the gradient explode."""
        return self.moments.slope_second_moment > _STEEP * self.moments.second_moment

    @functools.cached_property
    def is_linear(self):
        """Whether it is a straight line, whatever its name, as a LeakyReLU of slope 1.

        Not that of a PReLU, or of another layer with weights, which learns its slope.
        """
        if self.acts_together or learns(self.function):
            return False
        try:
            with np.errstate(all="ignore"):
                values = self.values(_FROM_AFAR)
        except Exception:  # whatever a user's function says of these points
            return False
        if not np.isfinite(values).all():
            return False
        line = np.interp(_FROM_AFAR, _FROM_AFAR[[0, -1]], values[[0, -1]])
        return bool(np.allclose(values, line, rtol=1e-4, atol=1e-6 * np.ptp(values)))

    @functools.cached_property
    def saturation(self):
        """The outputs (low, high) beyond which a bounded activation is saturated.

        Within 1.5 % of its range of either bound: where tanh is beyond 0.97. `None` if it has no
        bounds, or acts on units together.
        """
        if self.acts_together:
            return None
        try:
            with np.errstate(all="ignore"):
                low, lower, upper, high = self.values(np.array([-1e3, -5e2, 5e2, 1e3]))
        except Exception:  # whatever a user's function says of these points
            return None
        span = high - low
        if not 0 < abs(span) < 1e2 or max(abs(lower - low), abs(high - upper)) > 0.01 * abs(span):
            return None
        margin = 0.015 * span
        bounds = sorted((float(low + margin), float(high - margin)))
        # The lower bound of a rectifier is where it is off.
        return (-math.inf, bounds[1]) if self.keras_name in ("relu", "relu6") else tuple(bounds)

    def _check_elementwise(self):
        points = np.linspace(-2.0, 2.0, 8)
        together, alone = self.values(points)[:3], self.values(points[:3])
        if not np.allclose(together, alone, rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ValueError("its value at a point depends on the other points")


@functools.cache
def _formula(name, arguments):
    return functools.partial(FORMULAS[name], **dict(arguments))


@functools.cache
def _moments_of_formula(formula):
    return _rounded(quadrature.moments(formula))


def _rounded(moments):
    return quadrature.Moments(*(float(f"{value:.12g}") for value in dataclasses.astuple(moments)))


# What follows a kernel that nothing follows.
NOTHING = Activation(None)
NOTHING.name = "nothing"
