"""Units that no gradient reaches."""

import math
from dataclasses import replace

import numpy as np

from keras_winit._diagnose.rules.finding import UNBIAS
from keras_winit._diagnose.rules.rule import maps, others, rule, worst
from keras_winit._references import DEEP_CHECKER, GLOROT, LU

# While training: of 14 programs with as many dead or saturated at a record one has learned, of 17
# others with more than a quarter dead or half saturated seven.
_ALL = 0.99


def while_training(rule):
    """Returns a rule of units as it holds while a model trains: an error is only what ends it."""
    return replace(rule, limits={"error": _ALL, "warning": min(rule.limits.values())})


@rule(
    limits={"error": 0.5, "warning": 0.25},  # beyond what chance explains
    limit="more than {warning:.0%} (warning) or {error:.0%} (error) of the units give zero for "
    "every sample, beyond what chance explains; while training, 99 % (error)",
    reason="A unit that gives zero for every sample gets no gradient and stays so.",
    reference=f"{LU}; limit: {DEEP_CHECKER}",
    fix="`initialize(model)`, with biases at zero.",
)
def dead_units(rule, signal, found):
    # Where nothing comes in, the signal has vanished before.
    least = float(np.finfo("float32").tiny)
    hidden = [
        layer
        for layer in maps(signal)
        if layer.activation and not layer.is_output and layer.preactivation.largest > least
    ]
    for severity, limit, many in worst(hidden, _dead_beyond_chance, rule.limits):
        output = many[0].output
        yield rule.finding(
            severity,
            layer=many[0].layer,
            value=output.dead,
            limit=limit,
            message=f"{output.dead:.0%} of the units of {many[0].layer} give nothing for any of "
            f"{output.num_samples} samples; the limit is {limit:.0%}{others(many)}.",
            action=UNBIAS,
        )


def _dead_beyond_chance(layer):
    """Returns the fraction of dead units, 0 where chance explains it.

    A unit with symmetric weights gives zero for half of the samples; the more alike they are, the
    more so for all of them or none. What chance explains is four standard errors of that half.
    """
    kernel, output = layer.kernels[-1], layer.output
    cosine = layer.preactivation.cosine
    same_side = 1.0 if cosine is None else 2 / math.pi * math.asin(min(max(cosine, 0.0), 1.0))
    units = math.prod(kernel.shape) / kernel.fan_in
    chance = 4 * math.sqrt(max(same_side, 1 / output.num_samples) / units)
    beyond = min(output.dead, 2 * max(output.zero, output.dead) - 1)
    return beyond if beyond > chance or output.dead == 1 else 0.0


@rule(
    limits={"error": 0.5},
    limit="more than {error:.0%} of the outputs of a layer are within 1.5 % of the range from a "
    "bound of their activation (error); while training that is a warning, and 99 % an error",
    reason="At its bounds an activation is flat: no gradient passes.",
    reference=f"{GLOROT.at('section 3')}; limit: {DEEP_CHECKER}",
    fix="`initialize(model)`, with biases at zero; standardize the input.",
    comes_with=("input_not_standardized",),
)
def saturated_units(rule, signal, found):
    hidden = [each for each in maps(signal) if each.saturated is not None and not each.is_output]
    for severity, limit, many in worst(hidden, lambda layer: layer.saturated, rule.limits):
        layer = many[0]
        yield rule.finding(
            severity,
            layer=layer.layer,
            value=layer.saturated,
            limit=limit,
            message=f"{layer.saturated:.0%} of the outputs of {layer.layer} are at the bounds of "
            f"{layer.activation}; the limit is {limit:.0%}{others(many)}.",
            action=UNBIAS,
        )
