"""Moments of an activation under a standard normal, by quadrature.

Gauss-Hermite quadrature is off by percents for activations with kinks, so the line is cut
into panels with Gauss-Legendre nodes. A panel whose polynomial has not converged is halved,
again and again: the panels close in on every kink and jump, wherever it lies. The
derivative is that of the panel's polynomial, so a function is all that is needed.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

_REACH = 14.0  # the normal density beyond is below 1e-43
_NUM_PANELS = 56
_NUM_NODES = 32
_MAX_HALVINGS = 40
_MAX_PANELS = 4096
_ROUNDING = 64.0  # units in the last place that a coefficient may be off
_NEGLIGIBLE = 1e-18  # a panel's share of the moments not worth halving it for


@dataclass(frozen=True)
class Moments:
    """Moments of f(z), z ~ N(0, 1): E f, E f² and E f'²."""

    mean: float
    second_moment: float
    slope_second_moment: float

    @property
    def variance(self):
        """Var f = E f² - (E f)²."""
        return self.second_moment - self.mean**2


def moments(function):
    """Returns the `Moments` of an elementwise `function` of one NumPy array.

    Accurate to 1e-10 for a function computed in float64; in float32 to 1e-5, E f'² to 1e-4.
    Where the function jumps, the jump itself is left out of E f'², as automatic differentiation
    does.
    """
    nodes, weights, to_coefficients, slope_of_coefficients, to_ends = _panel()
    gap = 1.0 - nodes[-1]
    nodes = np.concatenate([[-1.0], nodes, [1.0]])
    edges = np.linspace(-_REACH, _REACH, _NUM_PANELS + 1)
    left, right = edges[:-1], edges[1:]
    sums = np.zeros(3)
    for halving in range(_MAX_HALVINGS + 1):
        half_width = (right - left) / 2
        points = (left + right)[:, None] / 2 + half_width[:, None] * nodes
        values, epsilon = _evaluate(function, points)
        spread = np.ptp(values, axis=1) / half_width
        # The ends are not integrated over: they show a kink between an end and the next node.
        ends, values, points = values[:, [0, -1]], values[:, 1:-1], points[:, 1:-1]
        coefficients = values @ to_coefficients
        # Coefficients at the level of rounding say nothing and would spoil the derivative.
        size = _size(values, points, spread)
        noise = _ROUNDING * epsilon * size[:, None]
        coefficients[np.abs(coefficients) <= noise] = 0.0
        slopes = coefficients @ slope_of_coefficients / half_width[:, None]
        density = np.exp(-(points**2) / 2) / math.sqrt(2 * math.pi)
        mass = density * weights * half_width[:, None]
        converged = (coefficients[:, -4:] == 0.0).all(axis=1)
        converged &= (np.abs(values @ to_ends - ends) <= noise).all(axis=1)
        negligible = mass.sum(axis=1) * (size**2 + (spread / gap) ** 2) < _NEGLIGIBLE
        last = halving == _MAX_HALVINGS
        if last:
            slopes[~converged] = 0.0  # these enclose kinks and jumps, and are 1e-12 wide
        done = converged | negligible | last
        sums += [(mass[done] * each[done]).sum() for each in (values, values**2, slopes**2)]
        left, right = left[~done], right[~done]
        middle = (left + right) / 2
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        if left.size == 0:
            break
        if left.size > _MAX_PANELS:
            raise ValueError("it has too many kinks or jumps to be integrated")
    return Moments(*(float(each) for each in sums))


def _evaluate(function, points):
    """Returns the values of a function in float64, and the last bit of the type it returned."""
    returned = np.asarray(function(points.ravel()))
    if returned.shape != (points.size,) or returned.dtype.kind != "f":
        raise ValueError(
            "it should map a float array of shape (n,) to one of the same shape; "
            f"got shape {returned.shape} and dtype {returned.dtype}"
        )
    values = returned.astype(np.float64).reshape(points.shape)
    if not np.isfinite(values).all():
        worst = points[~np.isfinite(values)]
        raise ValueError(f"it is not finite at {worst[np.argmin(np.abs(worst))]:.3g}")
    return values, np.finfo(returned.dtype).eps


def _size(values, points, spread):
    """Returns for each panel the size of the numbers whose last bits its values are off by.

    These are the values, the point, and the numbers that cancel in a value, as 1 and erf do in
    gelu, which are of the size of the point. A jump is not steepness: the two steepest steps are
    left out.
    """
    steps = np.abs(np.diff(values, axis=1) / np.diff(points, axis=1))
    steepness = np.minimum(spread, np.partition(steps, -3, axis=1)[:, -3])
    return np.abs(values).max(axis=1) + np.abs(points).max(axis=1) * (1 + steepness)


@functools.cache
def _panel():
    """Returns nodes and weights on [-1, 1], and the matrices to Legendre series and slope."""
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_NODES)
    basis = np.polynomial.legendre.legvander(nodes, _NUM_NODES - 1)
    to_coefficients = basis * weights[:, None] * (np.arange(_NUM_NODES) + 0.5)
    slope = np.polynomial.legendre.legder(np.eye(_NUM_NODES))
    slope_of_coefficients = slope.T @ basis[:, : _NUM_NODES - 1].T
    # Barycentric interpolation.
    signs = (-1.0) ** np.arange(_NUM_NODES)
    shares = (signs * np.sqrt((1 - nodes**2) * weights))[:, None] / (nodes[:, None] - [-1, 1])
    to_ends = shares / shares.sum(axis=0)
    return nodes, weights, to_coefficients, slope_of_coefficients, to_ends
