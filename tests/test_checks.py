"""Argument checks: what they let through, and what they say of the rest."""

import fractions
import math

import numpy as np
import pytest

from keras_winit import _checks


@pytest.mark.parametrize(
    "value", [0, 2, -1.5, np.float32(0.5), np.int64(3), fractions.Fraction(1, 3)]
)
def test_any_finite_number_is_real(value):
    checked = _checks.real("gain", value)
    assert (type(checked), checked) == (float, float(value))


@pytest.mark.parametrize("value", [True, np.True_, "2", None, 1j, [1.0], np.array([1.0])])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="`gain` should be a finite number. Received: gain="):
        _checks.real("gain", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_real_is_finite(value):
    with pytest.raises(ValueError, match="`gain` should be a finite number. Received: gain="):
        _checks.real("gain", value)


@pytest.mark.parametrize("value", [0, 0.0, -1e-9, math.nan, math.inf])
def test_positive_is_greater_than_zero(value):
    with pytest.raises(ValueError, match="`gain` should be a positive finite number. Received:"):
        _checks.real("gain", value, positive=True)


def test_small_and_large_numbers_are_positive():
    for value in (1e-37, 1e37):
        assert _checks.real("gain", value, positive=True) == value


@pytest.mark.parametrize("value", [-3, 0, 2**70, np.int32(7), np.uint8(7)])
def test_any_integer_is_an_integer(value):
    checked = _checks.integer("groups", value)
    assert (type(checked), checked) == (int, int(value))


@pytest.mark.parametrize("value", [True, 1.0, "1", None, np.array([1])])
def test_what_is_no_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match="`groups` should be an integer. Received: groups="):
        _checks.integer("groups", value)


def test_integer_has_its_minimum():
    assert _checks.integer("groups", 2, minimum=2) == 2
    message = r"`groups` should be an integer of at least 2\. Received: groups=1\."
    with pytest.raises(ValueError, match=message):
        _checks.integer("groups", 1, minimum=2)


@pytest.mark.parametrize(
    ("value", "suggestion"),
    [
        ("fan_im", r" Did you mean 'fan_in'\?"),
        ("FAN_OUT", r" Did you mean 'fan_out'\?"),
        ("nothing", ""),
        (None, ""),
        (1, ""),
    ],
)
def test_option_is_one_of_those_named(value, suggestion):
    options = ("fan_in", "fan_out")
    assert _checks.option("mode", "fan_in", options) == "fan_in"
    message = rf"`mode` should be one of 'fan_in', 'fan_out'\. Received: mode={value!r}\."
    with pytest.raises(ValueError, match=f"^{message}{suggestion}$"):
        _checks.option("mode", value, options)


@pytest.mark.parametrize("value", [(), (3,), [3, 4], (np.int64(3), 4), np.array([3, 4])])
def test_shape_is_a_tuple_of_plain_integers(value):
    checked = _checks.shape(value)
    assert checked == tuple(value)
    assert all(type(size) is int for size in checked)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (5, TypeError, "Received: shape=5"),
        (None, TypeError, "Received: shape=None"),
        ((None, 3), ValueError, r"Received: shape=\(None, 3\)\. Build the layer on an input"),
        ((2.0, 3), ValueError, r"Received: shape=\(2\.0, 3\)"),
        ("ab", ValueError, r"Received: shape=\('a', 'b'\)"),
        ((0, 3), ValueError, r"Received: shape=\(0, 3\)"),
        ((4, -1), ValueError, r"Received: shape=\(4, -1\)"),
    ],
)
def test_shape_is_complete_and_positive(value, error, message):
    expected = "`shape` should be a sequence of positive integers, all known. "
    with pytest.raises(error, match=expected + message):
        _checks.shape(value)


@pytest.mark.parametrize("value", [10**400, 1e38, np.float64(1e300), fractions.Fraction(10**40)])
def test_numbers_that_float32_has_no_room_for_are_refused(value):
    with pytest.raises(ValueError, match=r"`gain` should be .*Received: gain="):
        _checks.real("gain", value)
    with pytest.raises(ValueError, match=r"`gain` should be .*Received: gain="):
        _checks.real("gain", value, positive=True)


def test_positive_numbers_that_float32_takes_for_zero_are_refused():
    with pytest.raises(ValueError, match=r"between 1e-37 and 1e\+37.*gain=1e-243"):
        _checks.real("gain", 1e-243, positive=True)
    assert _checks.real("shift", 1e-243) == 1e-243


def test_an_array_is_no_option():
    with pytest.raises(ValueError, match=r"`mode` should be one of 'a', 'b'. Received: mode=array"):
        _checks.option("mode", np.array([]), ("a", "b"))
