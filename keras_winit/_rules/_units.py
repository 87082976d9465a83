"""Units that no gradient reaches."""

import math

import numpy as np

from keras_winit._rules._finding import UNBIAS, maps, others, rule, worst

# Beyond what chance explains.
DEAD = {"error": 0.5, "warning": 0.25}
SATURATED = {"error": 0.5}


@rule(
    "Lu et al., 2019, https://arxiv.org/abs/1903.06733; "
    "limit: Ben Braiek and Khomh, 2022, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "`initialize(model)`, with biases at zero.",
)
def dead_units(signal):
    """A unit that gives zero for every sample gets no gradient and stays so."""
    # Where nothing comes in, the signal has vanished before.
    least = float(np.finfo("float32").tiny)
    hidden = [
        layer
        for layer in maps(signal)
        if layer.activation and not layer.is_output and layer.preactivation.largest > least
    ]
    for severity, limit, many in worst(hidden, _dead_beyond_chance, DEAD):
        output = many[0].output
        message = (
            f"{output.dead:.0%} of the units of {many[0].layer} give nothing for any of "
            f"{output.num_samples} samples; the limit is {limit:.0%}{others(many)}."
        )
        yield severity, many[0].layer, output.dead, limit, message, UNBIAS


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
    "Glorot and Bengio, 2010, section 3, https://proceedings.mlr.press/v9/glorot10a.html; "
    "limit: Ben Braiek and Khomh, 2022, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "`initialize(model)`, with biases at zero; standardize the input.",
)
def saturated_units(signal):
    """At its bounds an activation is flat: no gradient passes."""
    hidden = [each for each in maps(signal) if each.saturated is not None and not each.is_output]
    for severity, limit, many in worst(hidden, lambda layer: layer.saturated, SATURATED):
        layer = many[0]
        message = (
            f"{layer.saturated:.0%} of the outputs of {layer.layer} are at the bounds of "
            f"{layer.activation}; the limit is {limit:.0%}{others(many)}."
        )
        yield severity, layer.layer, layer.saturated, limit, message, UNBIAS
