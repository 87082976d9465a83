"""Judges a `Signal`: one `Rule` for each disease. Numbers only; knows no model."""

from dataclasses import replace

from keras_winit._diagnose.rules import (
    alike,
    data,
    directions,
    kernels,
    loss,
    output,
    progress,
    size,
    structure,
    training,
    units,
)
from keras_winit._diagnose.rules.finding import Action, Finding, Verb
from keras_winit._diagnose.rules.progress import Progress
from keras_winit._diagnose.rules.rule import Rule

__all__ = [
    "GRADIENT_LIMITS",
    "RULES",
    "RULES_OF_PROGRESS",
    "SIGNAL_LIMITS",
    "WHILE_TRAINING",
    "Action",
    "Finding",
    "Progress",
    "Verb",
    "judge",
    "judge_progress",
]

SIGNAL_LIMITS = size.vanishing_signal.limits
# Of the gradient over that at the last layer, (low, high).
GRADIENT_LIMITS = (
    size.vanishing_gradient.limits["warning"],
    size.exploding_gradient.limits["warning"],
)

# Causes before what comes of them; in each file too.
RULES = tuple(
    each
    for file in (output, data, structure, kernels, units, alike, size, directions, training, loss)
    for each in vars(file).values()
    if isinstance(each, Rule)
)

# What training may bring about, and what is wrong then too.
WHILE_TRAINING = (
    data.non_finite,
    units.while_training(units.dead_units),
    units.while_training(units.saturated_units),
    alike.attention_logits,
    alike.tokens_alike,
    alike.samples_alike,
)

# Judged of a `Progress` alone.
RULES_OF_PROGRESS = (progress.exploding_loss, progress.no_learning)


def judge_progress(progress, look):
    """Returns the `Finding`s of a `Progress`, and with them all errors that may be their cause.

    With such they are errors as well: a loss alone does not tell whether there is more to learn.

    Args:
        progress: The `Progress`.
        look: Function without arguments to a `Signal` of now, called where there is a finding.
    """
    found = []
    for rule in RULES_OF_PROGRESS:
        found.extend(rule(progress, found))
    if not found:
        return []
    errors = [each for each in judge(look()) if each.severity == "error"]
    if errors:
        found = [replace(each, severity="error") for each in found]
    return [*found, *(replace(each, causes=found[0].rule, comes_with=None) for each in errors)]


def judge(signal, rules=RULES):
    """Returns the `Finding`s of a `Signal`: errors first, and causes before what comes of them.

    Each rule gets the findings of those before it, so that one cause is reported once.
    """
    found = []
    for rule in rules:
        new = list(rule(signal, found))
        found.extend(new)
        if new and rule.is_last:
            break
    return sorted(found, key=lambda finding: finding.severity != "error")
