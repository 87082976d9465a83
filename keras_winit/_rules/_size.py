"""The size of the signal on its way forward, and of the gradient on its way back."""

import itertools
import math

from keras_winit._rules._finding import (
    INITIALIZE,
    above,
    below,
    log_noise,
    maps,
    rule,
    variance_by_chance,
)

# Second moment of the signal over that of the first layer.
SIGNAL_LIMITS = {"error": 1e4, "warning": 10.0}
# Norm of the gradient at the first layer over that at the last.
VANISHING_GRADIENT = {"error": 1e-3, "warning": 1e-2}
EXPLODING_GRADIENT = {"error": 1e3, "warning": 70.0}
# What their output is like says nothing about the size of the signal: they weigh others.
_GATES = ("sigmoid", "hard_sigmoid", "softmax")


@rule(
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852",
    "`initialize(model)` gives every layer the variance that its activation asks for.",
)
def vanishing_signal(signal):
    """Each layer multiplies the signal by a constant. Where that is below one, little of the input
    is left at the output, and the gradient shrinks alike.
    """
    yield from drift(signal, -1, "vanishes")


@rule(
    "Hanin and Rolnick, 2018, section 2, https://arxiv.org/abs/1803.01719",
    "`initialize(model)` scales the weights by activation, and residual branches by their number.",
)
def exploding_signal(signal):
    """Each layer or residual branch multiplies the signal by a constant. Where that is above one,
    the outputs and the first steps are huge.
    """
    yield from drift(signal, 1, "explodes")


def drift(signal, direction, verb=""):
    layers = [
        layer for layer in maps(signal) if not layer.is_output and layer.activation not in _GATES
    ]
    if len(layers) < 2 or not layers[0].output.second_moment > 0:
        return
    first = layers[0].output.second_moment
    noises = itertools.accumulate(map(variance_by_chance, layers))
    steps = list(enumerate(zip(noises, layers[1:], strict=False), start=2))
    for severity, limit in _limits(layers, SIGNAL_LIMITS).items():
        for number, (noise, layer) in steps:
            if direction < 0 and layer.branch is not None:  # the shortcut passes the signal on
                continue
            ratio = layer.output.second_moment / first
            change = direction * (math.log(ratio) if ratio > 0 else -math.inf)
            if change > math.log(limit) + 3 * math.sqrt(noise):
                bound = limit**direction
                message = (
                    f"The signal {verb}: at {layer.layer}, layer {number} of {len(layers)}, "
                    f"its second moment is {ratio:.2g} times that at {layers[0].layer}; "
                    f"the limit is {bound:g}."
                )
                yield severity, layer.layer, ratio, bound, message, INITIALIZE
                return


def _limits(layers, limits):
    """Returns the limits without that of warnings if there is a normalization: it starts anew."""
    if any(layer.normalized for layer in layers):
        return {"error": limits["error"]}
    return limits


@rule(
    "Glorot and Bengio, 2010, section 4.2, https://proceedings.mlr.press/v9/glorot10a.html; "
    "limit: Zhang et al., 2021, AUTOTRAINER, https://doi.org/10.1109/ICSE43902.2021.00043",
    "`initialize(model)`; in deep networks of bounded activations also a normalization layer or "
    "shortcuts.",
)
def vanishing_gradient(signal):
    """The first layers get steps that are so much smaller than the last ones' that they do not
    learn.
    """
    ratio, first, last, noise, limits = _gradient_ratio(signal, VANISHING_GRADIENT)
    if ratio is None:
        return
    severity, limit = below(ratio * noise, limits)
    if severity:
        message = (
            f"The gradient vanishes: its norm at {first} is {ratio:.2g} times that at "
            f"{last}; the limit is {limit:g}."
        )
        yield severity, first, ratio, limit, message, INITIALIZE


@rule(
    "Pascanu et al., 2013, section 2, https://arxiv.org/abs/1211.5063; "
    "limit: Zhang et al., 2021, AUTOTRAINER, https://doi.org/10.1109/ICSE43902.2021.00043",
    "`initialize(model)`; clip the gradient if it stays large.",
)
def exploding_gradient(signal):
    """The first layers get steps that are so much larger than the last ones' that any learning rate
    is too large for them or too small for the rest.
    """
    ratio, first, last, noise, limits = _gradient_ratio(signal, EXPLODING_GRADIENT)
    if ratio is None:
        return
    severity, limit = above(ratio / noise, limits)
    if severity:
        message = (
            f"The gradient explodes: its norm at {first} is {ratio:.2g} times that at "
            f"{last}; the limit is {limit:g}."
        )
        yield severity, first, ratio, limit, message, INITIALIZE


def _gradient_ratio(signal, limits):
    """Returns gradient at the first layer over that at the last, both's paths, noise, limits.

    Of several inputs or outputs it is the one with the largest gradient.
    """
    layers = [layer for layer in maps(signal) if layer.gradient is not None]
    # Where the output or a branch starts at zero, nothing flows back in the first step, by design.
    if len(layers) < 3 or _starts_at_zero(signal):
        return [None] * 5
    hidden = [layer for layer in layers if not layer.is_output] or layers[:1]
    first = max([layer for layer in hidden if layer.is_first] or hidden[:1], key=_gradient)
    last = max([layer for layer in layers if layer.is_output] or layers[-1:], key=_gradient)
    if not _gradient(last) > 0:
        return [None] * 5
    ratio, noise = _gradient(first) / _gradient(last), math.exp(log_noise(layers[1:]) / 2)
    return ratio, first.layer, last.layer, noise, _limits(layers, limits)


def _gradient(layer):
    """Returns the norm of the gradient by what comes out of a normalization, if there is one."""
    if layer.normalized:
        return layer.gradient * math.sqrt(layer.preactivation.variance)
    return layer.gradient


def _starts_at_zero(signal):
    return any(
        layer.is_output
        and layer.kernels
        and all(kernel.second_moment == 0 for kernel in layer.kernels)
        for layer in signal.layers
    )
