"""Argument checks whose messages say what was expected, what came, and what to do."""

import difflib
import math
import numbers
import operator
import re
from collections.abc import Iterable
from typing import Any

# What float32 has room for, with a margin for what is drawn, and whose squares floats hold.
_LEAST, _MOST = 1e-37, 1e37


def real(name: str, value: Any, *, positive: bool = False) -> float:
    """Returns `value` as a float, or raises if it is no finite (positive) number.

    A number whose weights float32 could not hold is refused as well.
    """
    expected = "a positive finite number" if positive else "a finite number"
    if type(value) is bool or not issubclass(type(value), numbers.Real):
        raise TypeError(f"`{name}` should be {expected}. Received: {name}={value!r}.")
    is_finite = abs(value) < math.inf  # also of integers that are no float, and not of NaN
    if not is_finite or (positive and value <= 0):
        raise ValueError(f"`{name}` should be {expected}. Received: {name}={value!r}.")
    if abs(value) > _MOST or (positive and value < _LEAST):
        limits = f"between {_LEAST:g} and {_MOST:g}" if positive else f"up to {_MOST:g} in size"
        raise ValueError(
            f"`{name}` should be {limits}, which float32 has room for. "
            f"Received: {name}={_brief(value)}."
        )
    return float(value)


def _brief(value):
    text = repr(value)
    return text if len(text) < 40 else f"{text[:20]}... ({len(text)} digits)"


def integer(name: str, value: Any, *, minimum: int | None = None) -> int:
    """Returns `value` as an int, or raises if it is no integer of at least `minimum`."""
    expected = "an integer" if minimum is None else f"an integer of at least {minimum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` should be {expected}. Received: {name}={value!r}.")
    if minimum is not None and value < minimum:
        raise ValueError(f"`{name}` should be {expected}. Received: {name}={value!r}.")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Returns `value`, or raises if it is neither True nor False."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"`{name}` should be True or False. Received: {name}={value!r}.")


def option(name: str, value: Any, options: Iterable[str]) -> str:
    """Returns `value`, or raises if it is none of the strings in `options`."""
    if isinstance(value, str) and value in options:
        return value
    raise ValueError(
        f"`{name}` should be one of {', '.join(repr(each) for each in options)}. "
        f"Received: {name}={value!r}.{did_you_mean(value, options)}"
    )


def did_you_mean(value: Any, options: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the nearest option, or an empty string."""
    value, by_lower = str(value), {}
    for option in options:
        by_lower.setdefault(option.lower(), []).append(option)
    near = difflib.get_close_matches(value.lower(), by_lower, n=1)
    if not near:
        return ""
    # Of those that differ in capitals alone, the one that is written as `value` is.
    (nearest,) = difflib.get_close_matches(value, by_lower[near[0]], n=1, cutoff=0)
    return f" Did you mean {nearest!r}?"


def shape(value: Any) -> tuple[int, ...]:
    """Returns `value` as a tuple of positive ints, or raises if it is no complete shape."""
    expected = "`shape` should be a sequence of positive integers, all known"
    try:
        sizes = tuple(value)
    except TypeError:
        raise TypeError(f"{expected}. Received: shape={value!r}.") from None
    try:
        sizes = tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise ValueError(
            f"{expected}. Received: shape={sizes!r}. "
            "Build the layer on an input whose feature sizes are known."
        ) from None
    if any(size <= 0 for size in sizes):
        raise ValueError(f"{expected}. Received: shape={sizes!r}.")
    return sizes


def first_line(error: BaseException) -> str:
    """Returns what an error says, without Keras's line on where it was raised, and colors."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
    lines = [each.strip() for each in lines if not each.startswith("Exception encountered")]
    return next(filter(None, lines), type(error).__name__)
