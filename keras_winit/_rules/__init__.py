"""Judges a `Signal`: one generator for each disease. Numbers only; knows no model.

A rule yields (severity, layer, value, limit, message, action); why it matters is its docstring.
"""

from keras_winit._rules._alike import attention_logits, samples_alike, tokens_alike
from keras_winit._rules._data import (
    class_prior,
    initial_loss,
    input_not_standardized,
    loss_mismatch,
    non_finite,
)
from keras_winit._rules._finding import Action, Finding
from keras_winit._rules._kernels import (
    identical_units,
    mismatched_activation,
    twin_kernels,
    wrong_fan,
)
from keras_winit._rules._size import (
    SIGNAL_LIMITS,
    exploding_gradient,
    exploding_signal,
    vanishing_gradient,
    vanishing_signal,
)
from keras_winit._rules._units import dead_units, saturated_units

__all__ = ["RULES", "SIGNAL_LIMITS", "Action", "Finding", "judge"]

# Causes before what comes of them.
RULES = (
    non_finite,
    loss_mismatch,
    input_not_standardized,
    identical_units,
    twin_kernels,
    wrong_fan,
    dead_units,
    saturated_units,
    attention_logits,
    tokens_alike,
    samples_alike,
    vanishing_signal,
    exploding_signal,
    vanishing_gradient,
    exploding_gradient,
    mismatched_activation,
    class_prior,
    initial_loss,
)


def judge(signal):
    """Returns the `Finding`s of a `Signal`: errors first, and causes before what comes of them.

    Where the signal is not finite, that is all.
    """
    found = []
    for rule in RULES:
        found.extend(rule(signal))
        if found and rule is non_finite:
            break
    return sorted(found, key=lambda finding: finding.severity != "error")
