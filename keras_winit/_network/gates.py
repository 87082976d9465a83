"""Gated products: a value times an activated gate, both of the same inputs."""

from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

from keras_winit._activations.activation import Activation
from keras_winit._network.kernels import kernels_of
from keras_winit._network.operations import activation_of, is_multiplication, is_slicing


@dataclass(frozen=True)
class Gated:
    """The product that the outputs of a layer go into.

    Attributes:
        layer: The layer that gives the gate.
        activation: The `Activation` of the gate.
        parts: What the units of the layer in question are, in order: all of them one, or in halves
            beside each other.
    """

    layer: keras.Layer
    activation: Activation
    parts: tuple[Literal["value", "gate"], ...]


@dataclass(frozen=True)
class _Factor:
    """What a product takes: the outputs of a call with a kernel, or a part of them, activated."""

    call: object
    part: object
    activation: Activation | None


def gates(calls, activations):
    """Returns the `Gated` product of each layer that gives a value, a gate or both.

    Args:
        calls: The `Call`s of a model.
        activations: What gives the activation that follows a layer, `None` where none does.
    """
    found = {}
    for call in calls:
        if _is_glu(call):
            factor = _factor(calls, call, 0)
            if factor is not None and factor.part is None and factor.activation is None:
                layer = factor.call.operation
                found[layer] = Gated(layer, Activation("sigmoid"), ("value", "gate"))
        elif is_multiplication(call.operation) and len(call.inputs) == 2:
            factors = [_factor(calls, call, place) for place in range(2)]
            if None not in factors:
                found.update(_of_product(*factors, activations))
    return found


def _is_glu(call):
    activation = activation_of(call.operation)
    if activation is None or activation.keras_name != "glu":
        return False
    return getattr(call.operation, "axis", -1) in (-1, len(call.shape) - 1)


def _factor(calls, call, place):
    """Returns the `_Factor` that a call takes at a place, `None` if it is no such thing."""
    part, activation = call.parts[place], None
    source = calls[call.inputs[place]]
    while len(source.inputs) == 1:
        applied = activation_of(source.operation)
        if applied is None and not is_slicing(source.operation):
            break
        activation = activation or applied
        if source.parts[0] is not None:
            if part is not None:  # a part of a part
                return None
            part = source.parts[0]
        source = calls[source.inputs[0]]
    is_kernel = isinstance(source.operation, keras.Layer) and bool(kernels_of(source.operation))
    return _Factor(source, part, activation) if is_kernel else None


def _of_product(first, second, activations):
    if first.call is second.call:
        return _of_halves(first, second)
    if first.call.inputs != second.call.inputs:
        return {}
    value, gate = sorted(
        (factor.call.operation for factor in (first, second)),
        key=lambda layer: activations(layer) is not None,
    )
    activation = activations(gate)
    if activations(value) is not None or activation is None:
        return {}
    return {
        value: Gated(gate, activation, ("value",)),
        gate: Gated(gate, activation, ("gate",)),
    }


def _of_halves(first, second):
    """Returns the `Gated` product of a layer that gives both halves, if they are that."""
    value, gate = sorted((first, second), key=lambda factor: factor.activation is not None)
    layer, units = first.call.operation, np.arange(first.call.shape[-1])
    is_activated = value.activation is None and gate.activation is not None
    if not is_activated or value.part is None or gate.part is None:
        return {}
    for parts, factors in ((("value", "gate"), (value, gate)), (("gate", "value"), (gate, value))):
        beside = np.concatenate([factor.part for factor in factors])
        if len(value.part) == len(gate.part) and np.array_equal(beside, units):
            return {layer: Gated(layer, gate.activation, parts)}
    return {}
