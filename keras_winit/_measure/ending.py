"""What the layers without kernels do to a signal: between the kernels, and behind the last one."""

import keras

from keras_winit import _network
from keras_winit._measure.signal import EndingSignal

layers = keras.layers

_DROPOUT = (
    *(layers.Dropout, layers.AlphaDropout, layers.GaussianDropout),
    *(layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
)
_LINEAR = (layers.Dense, layers.EinsumDense)


def dropouts(model):
    """Returns the rates of the dropout layers of a model, by path."""
    found = (each for each in _network.walk(model) if isinstance(each, _DROPOUT))
    return {each.path: float(each.rate) for each in found if each.rate}


def endings(network):
    """Yields an `EndingSignal` for every output of a `Network`."""
    for layer, operations in network.endings:
        activations = [_network.fused_activation(layer)] if layer is not None else []
        activations += map(_network.activation_of, operations)
        rates = [each.rate for each in operations if isinstance(each, _DROPOUT)]
        yield EndingSignal(
            layer=None if layer is None else layer.path,
            activations=tuple(each.name for each in activations if each is not None),
            dropout=float(max(filter(None, rates), default=0.0)),
            is_known=all(map(_is_known, operations)),
        )


def _is_known(operation):
    return _network.activation_of(operation) is not None or _network.keeps_units(operation)


def is_linear(network):
    """Whether kernels follow each other in a `Network`, with nothing nonlinear between them."""
    kernels = [weight.layer for weight in network.kernels]
    return (
        network.is_linear
        and network.depth > 1
        and network.problem is None
        and all(map(_is_linear, kernels))
        and not any("Max" in type(each).__name__ for each in _network.walk(network.model))
    )


def _is_linear(layer):
    return isinstance(layer, _LINEAR) or "Conv" in type(layer).__name__
