"""Who takes the units of a layer: the rows of which kernels, with what lies in between."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_winit._network.kernels import kernels_of, walk
from keras_winit._network.operations import (
    is_affine,
    is_batch_normalization,
    is_concatenation,
    is_flattening,
    keeps_units,
    unit_axis,
    unit_shape,
)


@dataclass(frozen=True)
class Takers:
    """Who takes the units of a layer, each by itself and nothing else of it.

    Attributes:
        rows: Tuple of (layer, array): for each row of the inputs of that layer's kernel the unit
            that it takes, -1 where it takes none of these.
        normalizations: The same for the batch normalizations before its activation.
        problem: Why that cannot be told, or `None`.
    """

    rows: tuple = ()
    normalizations: tuple = ()
    problem: str | None = None


@dataclass(frozen=True)
class _Units:
    """For each place along an axis of a tensor its unit, -1 for none; whether it is activated."""

    units: np.ndarray
    axis: int
    activated: bool


def takers(layer, calls, calls_of, outputs, activations, fused):
    """Returns the `Takers` of a layer.

    Args:
        layer: A layer with a kernel.
        calls: The `Call`s of a model.
        calls_of: Dict from each layer to the numbers of its calls.
        outputs: The numbers of the calls that give outputs of the model.
        activations: For each call the `Activation` that it is, or `None`.
        fused: The `Activation` that the layer applies itself, or `None`.
    """
    walk_through = _Walk(calls, calls_of, outputs, activations)
    try:
        return walk_through.from_layer(layer, fused)
    except _Problem as problem:
        return Takers(problem=str(problem))


class _Problem(Exception):
    """Why it cannot be told."""


def input_axis(layer):
    """Returns the axis of a layer's only kernel that its inputs are along, `None` without one."""
    kernels = kernels_of(layer) or ()
    if not is_affine(layer) or len(kernels) != 1:
        return None
    shape, axes = kernels[0].structure(getattr(layer, kernels[0].weight).shape)
    return axes.input[0] if len(axes.input) == 1 and not axes.batch else None


def output_axis(layer):
    """Returns the axis of a layer's only kernel that its units are along, `None` without one."""
    kernels = kernels_of(layer) or ()
    if unit_shape(layer) is None or not is_affine(layer) or len(kernels) != 1:
        return None
    kernel = kernels[0]
    shape, axes = kernel.structure(getattr(layer, kernel.weight).shape)
    if kernel.blocks > 1:  # groups lie side by side on the last axis
        return len(shape) - 2
    return axes.output[0] if len(axes.output) == 1 and not axes.batch else None


class _Walk:
    """The way of the units of one layer through the calls of a model."""

    def __init__(self, calls, calls_of, outputs, activations):
        self._calls, self._calls_of = calls, calls_of
        self._outputs, self._activations = outputs, activations

    def from_layer(self, layer, fused):
        numbers = self._calls_of.get(layer, ())
        if len(numbers) != 1:
            raise _Problem("it is called several times" if numbers else "no call of it is known")
        (start,) = numbers
        call = self._calls[start]
        if call.operation is not layer or output_axis(layer) is None:
            raise _Problem("its units have no columns of their own in one kernel")
        if fused is not None and fused.acts_together:
            raise _Problem(f"{fused.name} takes all units together")
        axis = unit_axis(layer) % len(call.shape)
        found = {start: _Units(np.arange(call.shape[axis]), axis, fused is not None)}
        rows, normalizations = [], []
        for number, call in enumerate(self._calls):
            before = [found.get(each) for each in call.inputs]
            if not any(before):
                continue
            operation = call.operation
            if isinstance(operation, keras.Layer) and any(map(kernels_of, walk(operation))):
                rows.append((operation, self._rows(operation, before, call)))
                continue
            found[number] = self._after(number, before)
            if is_batch_normalization(operation):
                normalizations.append((operation, found[number].units))
        if not self._outputs.isdisjoint(found):
            raise _Problem("it gives an output of the model")
        return Takers(tuple(rows), tuple(normalizations))

    def _rows(self, layer, before, call):
        """Returns the unit that each row of the inputs of a layer's kernel takes."""
        (taken,) = before if len(before) == 1 else (None,)
        axis = input_axis(layer)
        what = f"{layer.name!r} ({type(layer).__name__}), which takes it,"
        if taken is None or axis is None or taken.axis != unit_axis(layer) % len(call.shape):
            raise _Problem(f"{what} has no rows of their own for its units")
        if not taken.activated:
            raise _Problem(f"{what} does so without an activation")
        if len(self._calls_of[layer]) > 1:
            raise _Problem(f"{what} is called several times")
        (kernel,) = kernels_of(layer)
        if getattr(layer, kernel.weight).shape[axis] != len(taken.units):
            raise _Problem(f"{what} has another number of inputs")
        return taken.units

    def _after(self, number, before):
        """Returns the `_Units` of what a call without a kernel gives."""
        call, activation = self._calls[number], self._activations[number]
        operation = call.operation
        name = type(operation).__name__
        if is_concatenation(operation):
            return self._concatenated(call, before)
        if len(before) > 1:
            raise _Problem(f"it is put together with others ({name})")
        (taken,) = before
        if activation is not None:
            if activation.acts_together:
                raise _Problem(f"{activation.name} takes all units together")
            if taken.activated and activation.values(np.zeros(1)).any():
                raise _Problem(f"{activation.name} behind its activation makes 0 something else")
            return _Units(taken.units, taken.axis, True)
        if is_batch_normalization(operation):
            if taken.activated:
                raise _Problem("BatchNormalization behind its activation makes 0 something else")
            if len(self._calls_of[operation]) > 1:
                raise _Problem(f"{operation.name!r} is called several times")
            if operation.axis % len(call.shape) == taken.axis:
                return taken
        elif is_flattening(operation) or name == "Reshape":
            return self._reshaped(call, taken)
        elif keeps_units(operation):
            axis = taken.axis % len(call.shape)
            if call.shape[axis] == len(taken.units):
                return _Units(taken.units, axis, taken.activated)
        raise _Problem(f"what {name} makes of it is not known")

    def _concatenated(self, call, before):
        known = [each for each in before if each is not None]
        axis, rank = known[0].axis, len(call.shape)
        if call.operation.axis % rank != axis or any(each.axis != axis for each in known):
            raise _Problem("it is put together with others along another axis (Concatenate)")
        parts = [
            np.full(self._calls[number].shape[axis], -1) if each is None else each.units
            for number, each in zip(call.inputs, before, strict=True)
        ]
        return _Units(np.concatenate(parts), axis, all(each.activated for each in known))

    def _reshaped(self, call, taken):
        """Returns the units by reshaping an array of them."""
        shape, new = self._calls[call.inputs[0]].shape[1:], call.shape[1:]
        if None in shape or None in new:
            raise _Problem(f"{type(call.operation).__name__} takes it in any size")
        sizes = [1] * len(shape)
        sizes[taken.axis - 1] = -1
        units = np.broadcast_to(taken.units.reshape(sizes), shape)
        if getattr(call.operation, "data_format", None) == "channels_first":
            units = np.moveaxis(units, 0, -1)  # as Keras does
        units = units.reshape(-1, new[-1])
        if (units != units[0]).any():
            raise _Problem(f"{type(call.operation).__name__} moves its units")
        return _Units(units[0], len(new), taken.activated)
