"""Gated products: a value times an activated gate, both of the same inputs."""

import keras

from keras_winit._network.kernels import kernels_of
from keras_winit._network.operations import activation_of, is_multiplication


def gates(calls, activations):
    """Returns the layer of the gate for the layer of each value that is multiplied by one.

    Args:
        calls: The `Call`s of a model.
        activations: What gives the activation that follows a layer, `None` where none does.
    """
    found = {}
    for call in calls:
        if not is_multiplication(call.operation) or len(set(call.inputs)) != 2:
            continue
        sources = [_source(calls, number) for number in call.inputs]
        if None in sources or sources[0].inputs != sources[1].inputs:
            continue
        value, gate = sorted(
            (source.operation for source in sources), key=lambda each: activations(each) is not None
        )
        if activations(value) is None and activations(gate) is not None:
            found[value] = gate
    return found


def _source(calls, number):
    """Returns the call of a layer with a kernel whose outputs a signal is, activated or not."""
    call = calls[number]
    while len(call.inputs) == 1 and activation_of(call.operation) is not None:
        call = calls[call.inputs[0]]
    is_kernel = isinstance(call.operation, keras.Layer) and bool(kernels_of(call.operation))
    return call if is_kernel else None
