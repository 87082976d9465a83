"""Kernels: what they were drawn with, and what the layer would need."""

import math

from keras_winit._rules._finding import INITIALIZE, Action, above, maps, rule
from keras_winit._rules._size import SIGNAL_LIMITS, drift

REPEATED = {"error": 0.5, "warning": 0.1}
WRONG_FAN = 1.5


@rule(
    "Goodfellow et al., 2016, Deep Learning, section 8.4, https://www.deeplearningbook.org",
    "Draw the kernel at random: `initialize(model, only=...)`.",
)
def identical_units(signal):
    """Units with the same weights get the same gradients and stay the same: the layer learns as if
    it had one of them. Zeros and constants do that to a whole layer.
    """
    for layer in signal.layers:
        for kernel in layer.kernels:
            severity, limit = above(kernel.repeated, REPEATED)
            if not severity or (kernel.second_moment == 0 and _may_be_zero(layer, kernel)):
                continue
            message = (
                f"{kernel.repeated:.0%} of the units of {kernel.path} share all of their weights "
                f"with another unit; the limit is {limit:.0%}."
            )
            action = Action("initialize", (kernel.path,))
            yield severity, layer.layer, kernel.repeated, limit, message, action


def _may_be_zero(layer, kernel):
    """Whether what is next to a kernel of zeros varies, and with it the first step."""
    is_end = layer.is_output or (layer.branch is not None and layer.branch.is_last)
    return is_end or bool(kernel.gradient)


@rule(
    "Keras 3, keras.initializers.Initializer: an instance draws the same values each time",
    "Give each layer an initializer of its own, or none a seed: `initialize(model)`.",
)
def twin_kernels(signal):
    """Two layers with the same random weights are not independent. One initializer with a seed, or
    one instance, was given to both.
    """
    for layer in signal.layers:
        for kernel in layer.kernels:
            if kernel.twin is not None:
                message = (
                    f"Kernel {kernel.path} has the same values as {kernel.twin}: 1 kernel, limit 0."
                )
                action = Action("initialize", (kernel.path,))
                yield "warning", layer.layer, 1, 0, message, action


@rule(
    "Keras 3 counts the fans of depthwise and transposed kernels by the places of their axes; "
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852",
    "`initialize(model, only=...)` counts the products that an output really sums.",
)
def wrong_fan(signal):
    """The variance was divided by a number of inputs that is not that of the layer. The signal is
    scaled by the quotient, and here it vanishes or explodes.
    """
    for severity, direction in _drifts(signal):
        for layer, kernel, factor in _wrong_fans(signal):
            if direction * math.log(factor) < 0:
                continue
            limit = WRONG_FAN**direction
            message = (
                f"The variance of {kernel.path} is {factor:.2g} times what "
                f"{kernel.initializer} asks for at a fan in of {kernel.fan_in:g} and a fan out "
                f"of {kernel.fan_out:g}; the limit is {limit:.2g}."
            )
            action = Action("initialize", (kernel.path,))
            yield severity, layer.layer, factor, limit, message, action


def _drifts(signal):
    """Yields severity and direction, -1 or 1, if the signal vanishes or explodes."""
    for direction in (-1, 1):
        for severity, *_ in drift(signal, direction):
            yield severity, direction


def _wrong_fans(signal):
    """Yields layers and kernels of the variance that Keras's fans make, and what it is off by."""
    for layer in signal.layers:
        if layer.normalized or any(kernel.role != "kernel" for kernel in layer.kernels):
            continue  # a normalization takes any scale; the gates of a cell bound it
        for kernel in layer.kernels:
            if not kernel.asked or not kernel.asked_by_keras or not kernel.second_moment:
                continue
            wrong = kernel.asked_by_keras / kernel.asked
            as_keras = kernel.second_moment / kernel.asked_by_keras
            error = max(4 * math.sqrt(2 / math.prod(kernel.shape)), 0.02)
            if abs(math.log(wrong)) > math.log(WRONG_FAN) and abs(as_keras - 1) < error:
                yield layer, kernel, kernel.second_moment / kernel.asked


@rule(
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852; "
    "Klambauer et al., 2017, https://arxiv.org/abs/1706.02515, for selu",
    "`initialize(model)`, or `suggest_initializer` where the layers are made.",
)
def mismatched_activation(signal):
    """An activation takes a known part of the signal, which the variance of the weights has to make
    up for. Relu asks for 2 / fan_in and tanh for 2.5 / fan_in; Keras gives about 1 / fan_in.
    """
    for _, direction in _drifts(signal):
        off = [each for each in _misfits(signal) if direction * math.log(each[2]) > 0]
        if abs(sum(math.log(factor) for *_, factor in off)) < math.log(SIGNAL_LIMITS["warning"]):
            continue
        layer, kernel, factor = off[0]
        message = (
            f"{len(off)} layer{'s do' if len(off) > 1 else ' does'} not fit the activation: "
            f"{kernel.path} has a variance of {factor * layer.asked:.2g} / fan_in, "
            f"{layer.activation or 'a linear layer'} asks for {layer.asked:.2g} / fan_in. That is "
            f"{factor:.2g} times it; the limit is {WRONG_FAN**direction:.2g}."
        )
        yield "warning", layer.layer, factor, WRONG_FAN**direction, message, INITIALIZE


def _misfits(signal):
    """Yields layers and kernels of a variance that the activation does not ask for, and factors."""
    wrong = {kernel.path for _, kernel, _ in _wrong_fans(signal)}
    for layer in maps(signal):
        kernel = layer.kernels[-1]
        is_inside = layer.normalized or layer.branch is not None or layer.is_output
        if layer.asked is None or is_inside or kernel.path in wrong or not kernel.second_moment:
            continue
        factor = kernel.second_moment * kernel.fan_in / layer.asked
        if abs(math.log(factor)) > math.log(WRONG_FAN):
            yield layer, kernel, factor
