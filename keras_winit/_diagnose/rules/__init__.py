"""Judges a `Signal`: one `Rule` for each disease. Numbers only; knows no model."""

from keras_winit._diagnose.rules import alike, data, kernels, loss, output, size, units
from keras_winit._diagnose.rules.finding import Action, Finding, Verb
from keras_winit._diagnose.rules.rule import Rule

__all__ = ["RULES", "SIGNAL_LIMITS", "Action", "Finding", "Verb", "judge"]

SIGNAL_LIMITS = size.vanishing_signal.limits

# Causes before what comes of them; in each file too.
RULES = tuple(
    each
    for file in (data, output, kernels, units, alike, size, loss)
    for each in vars(file).values()
    if isinstance(each, Rule)
)


def judge(signal):
    """Returns the `Finding`s of a `Signal`: errors first, and causes before what comes of them.

    Each rule gets the findings of those before it, so that one cause is reported once.
    """
    found = []
    for rule in RULES:
        new = list(rule(signal, found))
        found.extend(new)
        if new and rule.is_last:
            break
    return sorted(found, key=lambda finding: finding.severity != "error")
