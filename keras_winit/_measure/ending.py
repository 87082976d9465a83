"""What the layers without kernels do to a signal: between the kernels, and behind the last one."""

import math

from keras_winit import _network
from keras_winit._measure.signal import EndingSignal


def endings(network, names=()):
    """Yields an `EndingSignal` for every output of a `Network`, with its name if there are several.

    Args:
        network: The `Network`.
        names: Names of the outputs. Defaults to `()`, for none.
    """
    names = names if len(names) == len(network.endings) > 1 else [None] * len(network.endings)
    for name, (layer, operations) in zip(names, network.endings, strict=True):
        activations = [_network.fused_activation(layer)] if layer is not None else []
        activations += map(_network.activation_of, operations)
        yield EndingSignal(
            layer=None if layer is None else layer.path,
            activations=tuple(each.name for each in activations if each is not None),
            dropout=max(map(_network.dropout_rate, operations), default=0.0),
            is_known=all(map(_is_known, operations)),
            output=name,
        )


def _is_known(operation):
    return _network.activation_of(operation) is not None or _network.keeps_units(operation)


def dropout_noise(network):
    """Returns the factor by which dropout raises the second moment of a signal on its way.

    The rate p of one layer raises it by 1 / (1 - p). Shortcuts lead around what is in branches: of
    a network that has some it is that of the layer with the largest rate.
    """

    def log_factor(operation):
        return -math.log1p(-min(_network.dropout_rate(operation), 0.999))

    if network.num_branches:
        return math.exp(max(map(log_factor, _network.walk(network.model))))
    return math.exp(network.heaviest_path(log_factor))


def is_linear(network):
    """Whether kernels follow each other in a `Network`, with nothing nonlinear between them."""
    return (
        network.is_linear
        and network.depth > 1
        and network.problem is None
        and all(_network.is_affine(weight.layer) for weight in network.kernels)
        and not any(map(_network.takes_largest, _network.walk(network.model)))
    )
