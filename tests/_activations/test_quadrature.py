"""Moments of a function of a standard normal, against SciPy and closed forms."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from keras_winit._activations.quadrature import moments

# Inside a panel, just beside the edge of one, and where the density is small.
PLACES = [0.3333, 1 / math.pi, -1.0001, -0.000625, 0.49992, 1.5005, 0.25028, -2.7183, 4.4321]

# Function, its derivative, and where either is broken.
PIECEWISE = {
    "two kinks, close together": (
        lambda x: np.clip(x, 0.3333, 0.3343),
        lambda x: 1.0 * ((x > 0.3333) & (x < 0.3343)),
        [0.3333, 0.3343],
    ),
    "kink in the slope": (
        lambda x: np.maximum(x + 1 / math.pi, 0) ** 2,
        lambda x: 2 * np.maximum(x + 1 / math.pi, 0),
        [-1 / math.pi],
    ),
    "curved on both sides": (
        lambda x: np.where(x > 0.3333, np.sin(x), np.exp(x)),
        lambda x: np.where(x > 0.3333, np.cos(x), np.exp(x)),
        [0.3333],
    ),
    "sawtooth": (lambda x: x - np.floor(x), np.ones_like, list(range(-9, 10))),
    "steep": (
        lambda x: np.tanh(90 * (x - 1)),
        lambda x: 90 * (1 - np.tanh(90 * (x - 1)) ** 2),
        [1],
    ),
}

# Function, E f, E f², E f'².
CLOSED_FORMS = {
    "linear": (lambda x: x, 0, 1, 1),
    "constant": (np.ones_like, 1, 1, 0),
    "cube": (lambda x: x**3, 0, 15, 27),
    "relu": (lambda x: np.maximum(x, 0), 1 / math.sqrt(2 * math.pi), 1 / 2, 1 / 2),
    "leaky relu": (
        lambda x: np.maximum(x, 0.3 * x),
        0.7 / math.sqrt(2 * math.pi),
        (1 + 0.3**2) / 2,
        (1 + 0.3**2) / 2,
    ),
    "erf": (scipy.special.erf, 0, 2 / math.pi * math.asin(2 / 3), 4 / math.pi / math.sqrt(5)),
    "sin": (np.sin, 0, (1 - math.exp(-2)) / 2, (1 + math.exp(-2)) / 2),
    "sin of thirty": (lambda x: np.sin(30 * x), 0, 1 / 2, 450),
    "exp": (np.exp, math.exp(0.5), math.exp(2), math.exp(2)),
}

FLOAT32 = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "exp": np.exp,
    "silu": lambda x: x * scipy.special.expit(x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "kink": lambda x: np.abs(x - 0.3333),
    "jump": lambda x: np.where(x > 0.3333, x, 0),
    "jump afar": lambda x: np.where(x > -2.7183, x, 0),
}


def values(found):
    return [found.mean, found.second_moment, found.slope_second_moment]


def integral(function, breaks):
    """Returns E function(z), by SciPy, between the breaks."""
    edges = [-14, *breaks, 14]
    pieces = (
        scipy.integrate.quad(
            lambda x: function(x) * scipy.stats.norm.pdf(x), *piece, epsabs=1e-13, limit=200
        )
        for piece in zip(edges[:-1], edges[1:], strict=True)
    )
    return sum(piece[0] for piece in pieces)


@pytest.mark.parametrize("place", PLACES)
def test_a_kink_is_met_wherever_it_lies(place):
    density, tail = scipy.stats.norm.pdf(place), scipy.stats.norm.sf(place)
    expected = [density - place * tail, (1 + place**2) * tail - place * density, tail]
    found = moments(lambda x: np.maximum(x - place, 0))
    assert values(found) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("place", PLACES)
def test_a_jump_is_met_wherever_it_lies_and_left_out_of_the_slope(place):
    tail = scipy.stats.norm.sf(place)
    found = moments(lambda x: np.where(x > place, 1.0, 0.0))
    assert values(found) == pytest.approx([tail, tail, 0], abs=1e-10)


@pytest.mark.parametrize(("function", "slope", "breaks"), PIECEWISE.values(), ids=PIECEWISE)
def test_pieces_are_integrated_as_scipy_does_between_the_breaks(function, slope, breaks):
    expected = [
        integral(function, breaks),
        integral(lambda x: function(x) ** 2, breaks),
        integral(lambda x: slope(x) ** 2, breaks),
    ]
    assert values(moments(function)) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("function", "mean", "square", "slope_square"), CLOSED_FORMS.values())
def test_closed_forms_are_met(function, mean, square, slope_square):
    expected = [mean, square, slope_square]
    assert values(moments(function)) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("function", FLOAT32.values(), ids=FLOAT32)
def test_float32_is_good_for_five_digits_and_four_of_the_slope(function):
    exact = moments(function)
    rounded = moments(lambda x: function(x.astype(np.float32)).astype(np.float32))
    assert values(rounded)[:2] == pytest.approx(values(exact)[:2], rel=1e-5, abs=1e-5)
    assert values(rounded)[2] == pytest.approx(values(exact)[2], rel=1e-4, abs=1e-4)


def test_variance_is_what_the_mean_leaves_of_the_second_moment():
    assert moments(lambda x: np.maximum(x, 0)).variance == pytest.approx((1 - 1 / math.pi) / 2)


def noise(x):
    return np.modf(np.sin(12.9898 * x) * 43758.5453)[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.where(x < 3, x, np.nan), "not finite at 3$"),
        (lambda x: np.where(np.abs(x) < 5, x, np.inf), "not finite at -?5$"),
        (lambda x: x[:-1], r"got shape \(\d+,\)"),
        (lambda x: x[:, None], r"got shape \(\d+, 1\)"),
        (lambda x: x.sum(), r"got shape \(\)"),
        (lambda x: x.astype(int), "dtype int64"),
        (noise, "too many kinks or jumps"),
        (lambda x: noise(x.astype(np.float32)), "too many kinks or jumps"),
    ],
)
def test_what_cannot_be_integrated_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        moments(function)
