"""What a rule finds, and what all rules need: how to make one, and which layers count."""

import inspect
import math
from dataclasses import dataclass

# E f⁴ / (E f²)² - 1 of relu, the largest among common activations.
_KURTOSIS = 5.0


@dataclass(frozen=True)
class Action:
    """What mends a finding.

    Attributes:
        verb: `"initialize"`; `"unbias"`, the same with the biases of hidden layers at zero;
            `"calibrate"`; `"prior"`, for the bias of the last layer.
        only: Paths of weights that it is for, or `None` for the whole model.
    """

    verb: str
    only: tuple | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        rule: Name of the disease, as `"vanishing_signal"`.
        severity: `"error"` or `"warning"`.
        layer: Path of the layer, or `None` for the whole model.
        value: The number that was measured.
        limit: The number that it should keep to.
        message: One sentence with both.
        reason: Why that is bad.
        reference: Paper and section.
        fix: What to do.
        action: What `Diagnosis.fix` does, or `None` where it cannot be mended in the weights.
    """

    rule: str
    severity: str
    layer: str | None
    value: float
    limit: float
    message: str
    reason: str
    reference: str
    fix: str
    action: Action | None = None


INITIALIZE = Action("initialize")
UNBIAS = Action("unbias")
CALIBRATE = Action("calibrate")


def rule(reference, fix):
    """Makes a rule of a generator: fills in what is the same for all of its findings."""

    def decorate(generator):
        reason = " ".join(inspect.getdoc(generator).split())

        def rule(signal):
            for severity, layer, value, limit, message, action in generator(signal):
                yield Finding(
                    generator.__name__,
                    severity,
                    layer,
                    float(value),
                    float(limit),
                    message,
                    reason,
                    reference,
                    fix,
                    action,
                )

        rule.__name__ = generator.__name__
        rule.reason, rule.reference, rule.fix = reason, reference, fix
        return rule

    return decorate


def above(value, limits):
    """Returns the severity of a value and the limit that it is above, or `None` twice."""
    for severity, limit in limits.items():
        if value > limit:
            return severity, limit
    return None, None


def below(value, limits):
    for severity, limit in limits.items():
        if value < limit:
            return severity, limit
    return None, None


def worst(layers, value, limits):
    """Yields (severity, limit, layers), once at most: the layers above it, the worst one first."""
    for severity, limit in limits.items():
        many = [layer for layer in layers if value(layer) > limit]
        if many:
            yield severity, limit, sorted(many, key=value, reverse=True)
            return


def others(many):
    number = len(many) - 1
    return f" ({number} other layer{'s are' if number > 1 else ' is'} above it)" if number else ""


def maps(signal):
    """Returns the layers that pass a signal on.

    Not those of tables, nor those that start at 0, nor the maps whose product attention takes.
    """
    return [
        layer
        for layer in signal.layers
        if layer.kernels
        and layer.kernels[0].role != "embedding"
        and layer.name not in ("query", "key")
        and any(kernel.second_moment > 0 for kernel in layer.kernels)
    ]


def log_noise(layers):
    """Returns three standard deviations of the log of the signal's size that chance explains."""
    return 3 * math.sqrt(sum(map(variance_by_chance, layers)))


def variance_by_chance(layer):
    return _KURTOSIS / max(layer.kernels[0].fan_in, 1)
