"""What a rule is, and what all rules need: limits, and which layers count."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from keras_winit._diagnose.rules.finding import Finding, reported

# Fewer weights may have any variance.
_FEWEST_WEIGHTS = 200
# E f⁴ / (E f²)² - 1 of relu, the largest among common activations.
_KURTOSIS = 5.0


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One disease: how it is seen, and what users read about it.

    Attributes:
        name: Name of the disease, as `"vanishing_signal"`.
        check: Function of the rule, a `Signal` and the `Finding`s so far, which are those of the
            rules before. It yields what `finding` makes, and nothing whose cause was reported.
        limits: The numbers of the limit, mostly by severity, the worse one first.
        limit: What is above or below them, for the documentation.
        reason: Why that is bad.
        reference: Paper and section.
        fix: What to do.
        is_last: Whether nothing else can be judged where it finds something.
        causes: Names of rules whose findings come of those of this one.
        comes_with: Names of rules whose findings come of the same cause.
    """

    name: str
    check: Callable
    limits: Mapping
    limit: str
    reason: str
    reference: str
    fix: str
    is_last: bool = False
    causes: tuple[str, ...] = ()
    comes_with: tuple[str, ...] = ()

    def __call__(self, signal, found=()):
        """Yields the `Finding`s of this rule that those before do not explain."""
        for each in self.check(self, signal, found):
            related = {
                relation: next(
                    (name for name in names if reported(found, name, severity=each.severity)), None
                )
                for relation, names in (("causes", self.causes), ("comes_with", self.comes_with))
            }
            yield replace(each, **related)

    def finding(self, severity, *, layer, value, limit, message, action=None, output=None):
        """Returns a `Finding` of this rule."""
        return Finding(
            rule=self.name,
            severity=severity,
            layer=layer,
            value=float(value),
            limit=float(limit),
            message=message,
            reason=self.reason,
            reference=self.reference,
            fix=self.fix,
            action=action,
            output=output,
        )


def rule(*, limits, limit, **texts):
    """Makes the `Rule` of a check, which gives it the name; `limit` shows `limits` in braces."""

    def decorate(check):
        text = limit.format_map(limits)
        return Rule(name=check.__name__, check=check, limits=limits, limit=text, **texts)

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


def is_drawn(kernel):
    """Whether a kernel has the variance that its initializer asks for, but for chance.

    By the fans that Keras counts or by the true ones, within four standard errors. `None` where
    nothing is known to be asked for, or weights are few.
    """
    size = math.prod(kernel.shape)
    asked = [each for each in (kernel.asked, kernel.asked_by_keras) if each]
    if size < _FEWEST_WEIGHTS or not asked:
        return None
    variance = kernel.second_moment - kernel.mean**2
    return any(abs(variance / each - 1) <= 4 * math.sqrt(2 / size) for each in asked)
