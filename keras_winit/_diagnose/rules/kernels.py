"""Kernels: what they were drawn with, and what the layer would need."""

import math

from keras_winit._diagnose.rules.finding import draw
from keras_winit._diagnose.rules.rule import above, below, rule
from keras_winit._diagnose.rules.size import drift
from keras_winit._references import DEEP_LEARNING, HE, SRIVASTAVA

_FACTOR = 1.5


@rule(
    limits={"error": 0.5, "warning": 0.1},
    limit="more than {warning:.0%} (warning) or {error:.0%} (error) of the units of a kernel share "
    "all of their weights with another unit",
    reason="Units with the same weights get the same gradients and stay the same: the layer learns "
    "as if it had one of them. Zeros and constants do that to a whole layer.",
    reference=DEEP_LEARNING.at("section 8.4"),
    fix="Draw the kernel at random: `initialize(model, only=...)`.",
)
def identical_units(rule, signal, found):
    for layer in signal.layers:
        for kernel in layer.kernels:
            severity, limit = above(kernel.repeated, rule.limits)
            if not severity or (kernel.second_moment == 0 and _may_be_zero(layer, kernel)):
                continue
            yield rule.finding(
                severity,
                layer=layer.layer,
                value=kernel.repeated,
                limit=limit,
                message=f"{kernel.repeated:.0%} of the units of {kernel.path} share all of their "
                f"weights with another unit; the limit is {limit:.0%}.",
                action=draw(kernel.path),
            )


def _may_be_zero(layer, kernel):
    """Whether what is next to a kernel of zeros varies, and with it the first step."""
    is_end = layer.is_output or (layer.branch is not None and layer.branch.is_last)
    return is_end or bool(kernel.gradient)


@rule(
    limits={"warning": 0},
    limit="a random kernel has the same values as an earlier one (warning)",
    reason="Two layers with the same random weights are not independent. One initializer with a "
    "seed, or one instance, was given to both.",
    reference="Keras 3, keras.initializers.Initializer: an instance draws the same values each "
    "time",
    fix="Give each layer an initializer of its own, or none a seed: `initialize(model)`.",
)
def twin_kernels(rule, signal, found):
    for layer in signal.layers:
        for kernel in layer.kernels:
            if kernel.twin is not None:
                yield rule.finding(
                    "warning",
                    layer=layer.layer,
                    value=1,
                    limit=rule.limits["warning"],
                    message=f"Kernel {kernel.path} has the same values as {kernel.twin}: 1 kernel, "
                    "limit 0.",
                    action=draw(kernel.path),
                )


@rule(
    limits={"factor": _FACTOR},
    limit="the signal vanishes or explodes, and the variance of a kernel is more than {factor:g} "
    "times off, by just what Keras miscounts",
    reason="The variance was divided by a number of inputs that is not that of the layer. The "
    "signal is scaled by the quotient, and here it vanishes or explodes.",
    reference="Keras 3 counts the fans of depthwise and transposed kernels by the places of their "
    f"axes; {HE.at('section 2.2')}",
    fix="`initialize(model, only=...)` counts the products that an output really sums.",
)
def wrong_fan(rule, signal, found):
    for direction in (-1, 1):
        drifted = drift(signal, direction)
        fans = _wrong_fans(signal) if drifted else ()
        for layer, kernel, factor in fans:
            if direction * math.log(factor) < 0:
                continue
            limit = rule.limits["factor"] ** direction
            yield rule.finding(
                drifted.severity,
                layer=layer.layer,
                value=factor,
                limit=limit,
                message=f"The variance of {kernel.path} is {factor:.2g} times what "
                f"{kernel.initializer} asks for at a fan in of {kernel.fan_in:g} and a fan out of "
                f"{kernel.fan_out:g}; the limit is {limit:.2g}.",
                action=draw(kernel.path),
            )


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
            if abs(math.log(wrong)) > math.log(_FACTOR) and abs(as_keras - 1) < error:
                yield layer, kernel, kernel.second_moment / kernel.asked


@rule(
    # Of two layers of relu with a MaxNorm of 0.01 to 3, on classes and on numbers.
    limits={"error": 0.03, "warning": 0.2},
    limit="the constraint of a kernel leaves less than {warning:g} (warning) or {error:g} (error) "
    "of its norm, and no normalization follows",
    reason="After every step the weights are made that small, whatever they learn: little of the "
    "signal passes.",
    reference=SRIVASTAVA.at("appendix A.3"),
    fix="`MaxNorm(3)`, where the norm of a unit's weights is about 1 at the start.",
)
def tight_constraint(rule, signal, found):
    for layer in signal.layers:
        for kernel in layer.kernels:
            if kernel.constrained is None or layer.normalized:
                continue
            severity, limit = below(kernel.constrained, rule.limits)
            if severity:
                yield rule.finding(
                    severity,
                    layer=layer.layer,
                    value=kernel.constrained,
                    limit=limit,
                    message=f"The constraint of {kernel.path} leaves {kernel.constrained:.2g} of "
                    f"its norm; the limit is {limit:g}.",
                )
