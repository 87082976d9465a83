"""Puts a model back as it was before the code of its layers ran."""

import collections
import contextlib
import functools
import operator
import random
import types
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _keras_private
from keras_winit._network.kernels import package, walk
from keras_winit._turn import turn


@contextlib.contextmanager
def restored(model):
    """Puts back all that the code of a model's layers can write to.

    That is the attributes of layers and operations, and in them, however deep, containers, arrays
    of NumPy, generators of random numbers, and objects of classes from the packages that the
    layers come from. Variables and tensors are not among it. Other threads wait for their turn.
    """
    with turn():
        kept = list(_keep(model))
        try:
            for layer in walk(model):
                _keras_private.allow_writes(layer)  # as LSTM does; here they do not stay
            yield
        finally:
            for put_back, value, before in kept:
                put_back(value, before)


def _keep(model):
    """Yields (function, value, its state) for each thing in a model that can be written to."""
    own = {package(type(layer)) for layer in walk(model)} - {"keras"}
    waiting, seen = [model], set()
    while waiting:
        value = waiting.pop()
        kind = _kind(value.__class__)  # that of what a proxy of TensorFlow stands for
        if kind is None and package(type(value)) in own and hasattr(value, "__dict__"):
            kind = _OBJECT
        if kind is None or id(value) in seen:
            continue
        seen.add(id(value))
        before = kind.state(value)
        waiting.extend(before.values() if kind.is_mapping else before if kind.is_nested else ())
        if kind.put_back is not None:
            yield kind.put_back, value, before


@functools.cache
def _kind(cls):
    return next((kind for kind in _KINDS if issubclass(cls, kind.classes)), None)


@dataclass(frozen=True)
class _Kind:
    """How what is of some classes is kept.

    Attributes:
        classes: The classes.
        state: Function of a value to a copy of what can change in it.
        put_back: Function of a value and its state, or `None`.
        is_mapping: Whether the state is a dict that may hold more to keep.
        is_nested: Whether it is another container of such.
    """

    classes: tuple
    state: object
    put_back: object
    is_mapping: bool = False
    is_nested: bool = False


def _put_attributes(value, before):
    attributes = vars(value)
    for name in attributes.keys() - before.keys():
        del attributes[name]
    attributes.update(before)


def _put_dict(value, before, cls=dict):
    pairs = zip(value.items(), before.items(), strict=False)
    if len(value) != len(before) or any(a is not c or b is not d for (a, b), (c, d) in pairs):
        _method(value, cls, "clear")()
        _method(value, cls, "update")(before)


def _put_items(value, before, cls):
    if len(value) != len(before) or not all(map(operator.is_, value, before)):
        _method(value, cls, "clear")()
        _method(value, cls, "update" if cls is set else "extend")(before)


def _method(value, cls, name):
    """Returns the method of a plain container, but for those that TensorFlow has wrapped.

    Keras's containers would track once more what is put back, and a counter would add it.
    """
    if package(type(value)) == "tensorflow":
        return getattr(value, name)
    return functools.partial(getattr(cls, name), value)


def _array(value):
    return value.copy() if value.flags.writeable else None


def _put_array(value, before):
    if before is not None:
        np.copyto(value, before)


def _container(cls):
    return _Kind((cls,), tuple, functools.partial(_put_items, cls=cls), is_nested=True)


_OBJECT = _Kind(
    (keras.Operation, types.SimpleNamespace),
    lambda value: dict(vars(value)),
    _put_attributes,
    is_mapping=True,
)
_ORDERED = functools.partial(_put_dict, cls=collections.OrderedDict)
# The first that fits.
_KINDS = (
    _OBJECT,
    _Kind((collections.OrderedDict,), dict, _ORDERED, is_mapping=True),
    _Kind((dict,), dict, _put_dict, is_mapping=True),
    *map(_container, (list, set, collections.deque)),
    _Kind((tuple,), lambda value: value, None, is_nested=True),
    _Kind((np.ndarray,), _array, _put_array),
    _Kind((random.SystemRandom,), lambda value: None, None),
    _Kind((random.Random,), random.Random.getstate, random.Random.setstate),
    _Kind(
        (np.random.RandomState,),
        np.random.RandomState.get_state,
        np.random.RandomState.set_state,
    ),
    _Kind(
        (np.random.Generator,),
        lambda value: value.bit_generator.state,
        lambda value, before: setattr(value.bit_generator, "state", before),
    ),
)
