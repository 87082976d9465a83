"""Tables of positions: weights that are added to a signal, the same for every sample."""

import keras

from keras_winit._network.kernels import kernels_of, walk
from keras_winit._network.operations import (
    activation_of,
    is_addition,
    is_table,
    is_transparent,
    vocabulary,
)


def positions(calls):
    """Returns what each table is added to: id of an embedding or a variable -> layers.

    Tables are embeddings of what is no input of the model, as of the numbers of places, and weights
    that a call adds. What they are added to comes from the kernels of those layers, through nothing
    that changes its size, and goes on to others.

    Args:
        calls: The `Call`s of a model.
    """
    found = {}
    for number, call in enumerate(calls):
        if not is_addition(call.operation) or not _goes_on(calls, number):
            continue
        tables, others = list(filter(is_table, call.variables)), []
        for each in call.inputs:
            table = _table(calls, each)
            (others if table is None else tables).append(each if table is None else table)
        sources = _sources(calls, others)
        found.update({id(table): sources for table in tables if sources})
    return found


def _table(calls, number):
    """Returns the embedding, or the weight, that a call gives as it is, else `None`."""
    call = calls[number]
    while len(call.inputs) == 1 and vocabulary(call.operation) is None:
        if not is_transparent(call.operation):
            return None
        call = calls[call.inputs[0]]
    if not call.inputs:
        return next(filter(is_table, call.variables), None)
    is_constant = calls[call.inputs[0]].operation is not None and not calls[call.inputs[0]].inputs
    return call.operation if len(call.inputs) == 1 and is_constant else None


def _sources(calls, numbers):
    """Returns the layers with kernels that signals come from, `None` if not all do."""
    found = []
    for number in (waiting := [*numbers]):
        call = calls[number]
        if call.operation is None:
            return None
        kernels = _with_kernels(call.operation)
        if kernels:
            found.append(kernels[-1])
        elif is_transparent(call.operation) or activation_of(call.operation) is not None:
            waiting.extend(each for each in call.inputs if each not in waiting)
        elif call.inputs:
            return None
    return found


def _with_kernels(operation):
    layers = walk(operation) if isinstance(operation, keras.Layer) else ()
    return [layer for layer in layers if kernels_of(layer)]


def _goes_on(calls, number):
    """Whether a layer with a kernel takes a signal, however far from here."""
    for each in (waiting := [number]):
        for consumer in calls[each].consumers:
            if _with_kernels(calls[consumer].operation):
                return True
            waiting.extend([consumer] * (consumer not in waiting))
    return False
