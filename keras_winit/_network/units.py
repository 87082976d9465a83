"""Which units of another network, narrower or wider, the units on the way through one stand for.

Where a layer has another number of units, they are spread evenly over the other's: unit i of n is
number i * N // n of N. That is every k-th where N = k n, and k copies beside each other where
n = k N. As it depends on the two numbers alone, layers whose outputs are added have the same units
without being told, and what comes in equal parts (gates, heads, the two halves of a gated layer) is
divided as its parts are. What is left to follow are parts of unequal size, and places that have
been flattened among the units.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit._network.kernels import kernels_of, walk
from keras_winit._network.operations import (
    distributed,
    is_addition,
    is_concatenation,
    is_flattening,
    is_multiplication,
    is_normalization,
    is_transparent,
    keeps_units,
    unit_axis,
)


@dataclass(frozen=True, eq=False)
class Units:
    """The units along one axis of a tensor.

    Attributes:
        places: Array, for each unit the place of the other network's that it stands for.
        size: Number of those of the other network.
        axis: The axis of the tensor: -1, or 1 where channels come first.
        are_inputs: Whether they are inputs of the model.
    """

    places: np.ndarray
    size: int
    axis: int = -1
    are_inputs: bool = False

    def fits(self, number, other):
        """Whether they may be the units of an axis of a weight, and of the other's."""
        return (len(self.places), self.size) == (number, other)

    def is_like(self, other):
        return self.size == other.size and np.array_equal(self.places, other.places)


def spread(number, size):
    """Returns the places of units that are spread evenly over those of another network."""
    return np.arange(number) * size // number


def repeated(units, number, size):
    """Returns units each of which is that many in a row: channels with several outputs each."""
    places = units.places[:, None] * size + spread(number, size)
    return Units(places.ravel(), units.size * size, units.axis)


def carried(calls, gives):
    """Returns what each layer takes: layer -> name of a kernel, or `None` -> list of `Units`.

    By `None` is what the layer takes and gives as a whole, for its other weights. They may be the
    units of a weight, which its sizes have to tell: a call of attention has several inputs, each of
    which its maps may take.

    Args:
        calls: The `Call`s of a model.
        gives: Function of a layer and one of its kernels to what is known of its outputs: a tuple
            of their number, here and in the other network, and whether they are several for each
            channel. `None` where nothing is, as of a layer that the other does not have.
    """
    taken, given = {}, []
    for call in calls:
        before = [given[number] for number in call.inputs]
        given.append(_after(call, before, gives, taken))
    return taken


def _after(call, before, gives, taken):
    """Returns the `Units` of what a call gives, `None` if they are not known."""
    if call.operation is None:
        number = call.shape[-1] if len(call.shape) > 1 else None
        return number and Units(np.arange(number), number, are_inputs=True)
    operation = distributed(call.operation)
    known = [units for units in before if units is not None]
    if isinstance(operation, keras.Layer):
        for layer in walk(operation):
            _note(taken, layer, None, known)
    if isinstance(operation, keras.Layer) and any(map(kernels_of, walk(operation))):
        return _after_kernels(operation, call.shape, known, gives, taken)
    if is_concatenation(operation):
        return _concatenated(before, operation.axis, len(call.shape))
    units = _alike(known)
    if units is None:
        return None
    if is_flattening(operation):
        return _flattened(units, call.shape, operation.data_format == "channels_first")
    if is_addition(operation) or is_multiplication(operation) or keeps_units(operation):
        return units
    if is_normalization(operation):
        return units
    if is_transparent(operation) and units.axis == -1 and len(call.shape) > 1:
        if call.shape[-1] == len(units.places):
            return units
        if len(call.shape) == 2:  # reshaped to a vector
            return _flattened(units, call.shape, False)
    return None


def _note(taken, layer, name, known):
    """Adds units to those that a weight takes, one of each kind."""
    found = taken.setdefault(layer, {}).setdefault(name, [])
    found.extend(each for each in known if not any(each.is_like(other) for other in found))


def _after_kernels(operation, shape, known, gives, taken):
    """Returns what a call with kernels gives, and notes what each kernel takes."""
    own, axis = kernels_of(operation) or (), unit_axis(operation)
    if not own:  # attention, or what runs cells
        inner = [layer for layer in walk(operation) if kernels_of(layer)]
        for layer in inner:
            for kernel in kernels_of(layer):
                _note(taken, layer, kernel.weight, known)
        last = inner[-1]
        return _given(gives(last, kernels_of(last)[-1]), shape, axis)
    units = _alike(known)
    if own[0].role == "embedding":  # what reads an output by its table gives no units
        found = gives(operation, own[0])
        is_output = found is None or shape[axis] != found[0]
        return None if is_output else _given(found, shape, axis)
    for kernel in own:
        _note(taken, operation, kernel.weight, [] if units is None else [units])
        found = gives(operation, kernel)
        if found is not None and found[2]:
            number, size, _ = found
            units = None if units is None else repeated(units, number, size)
        elif found is not None or units is None or shape[axis] != len(units.places):
            units = _given(found, shape, axis)
    _note(taken, operation, None, [] if units is None else [units])
    return units


def _given(found, shape, axis):
    """Returns evenly spread units: of all gates there is one, of two directions there are two."""
    number = shape[axis] if len(shape) > 1 else None
    if found is None or number is None or found[1] * number % found[0]:
        return None
    size = found[1] * number // found[0]
    return Units(spread(number, size), size, axis)


def _concatenated(before, axis, rank):
    if any(units is None for units in before):
        return None
    along = before[0].axis
    if not rank or axis % rank != along % rank:
        return _alike(before)
    starts = np.cumsum([0, *(units.size for units in before)])
    places = [units.places + start for units, start in zip(before, starts[:-1], strict=True)]
    are_inputs = all(units.are_inputs for units in before)
    return Units(np.concatenate(places), int(starts[-1]), along, are_inputs)


def _flattened(units, shape, channels_first):
    """Returns the units of a vector in which there is each unit of every place."""
    number = math.prod(shape[1:]) if None not in shape[1:] else 0
    positions, rest = divmod(number, len(units.places))
    if rest or not positions:
        return None
    if units.axis == 1 and not channels_first:  # the places of a channel follow each other
        places = units.places[:, None] * positions + np.arange(positions)
    else:
        places = np.arange(positions)[:, None] * units.size + units.places
    return Units(places.ravel(), positions * units.size, are_inputs=units.are_inputs)


def _alike(known):
    """Returns the one kind of units that there are, `None` for several or none."""
    one = known[0] if known else None
    return one if all(units.is_like(one) for units in known) else None
