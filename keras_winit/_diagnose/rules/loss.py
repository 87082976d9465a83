"""The loss before training, beside that of an output that knows nothing, or the frequencies."""

import math

from keras_winit._diagnose.rules.end import ends
from keras_winit._diagnose.rules.finding import CALIBRATE, PRIOR, reported
from keras_winit._diagnose.rules.rule import above, log_noise, maps, rule
from keras_winit._diagnose.rules.size import is_explained
from keras_winit._references import DEEP_CHECKER, KARPATHY, LIN

# What a loss is no finding beside.
_CAUSES = (
    *("loss_mismatch", "softmax_over_one", "activation_twice", "dropout_at_output"),
    *("unreachable_targets", "broadcast_labels", "constant_labels", "labels_not_one_hot"),
)
# Activations of an output whose bias can start at the prior.
PRIORS = (None, "sigmoid", "softmax")


@rule(
    # Numbers whose mean is twice their standard deviation three of five programs learn as fast,
    # such of three times one.
    limits={"warning": 0.5, "numbers": {"error": 100.0, "warning": 5.0}},
    limit="the loss, and that of an output that knows nothing, are more than {warning:g} above "
    "that of the best constant output (warning); for a regression, more than {numbers[warning]:g} "
    "times (warning) or {numbers[error]:g} times it (error)",
    reason="The frequencies of the classes, or the mean of the targets, are known. What the bias "
    "of the last layer does not start with, the first steps have to learn.",
    reference=f"{LIN.at('section 4.1')}; {KARPATHY}",
    fix="Start the bias of the last layer at the log of the classes' frequencies, or at the mean "
    "of the targets.",
)
def class_prior(rule, signal, found):
    for end in ends(signal):
        loss = end.loss
        if loss is None or None in (loss.best, loss.uniform) or end.is_frozen:
            continue
        is_regression = loss.from_logits is None
        # Of one class alone no frequencies are known, and of one number nothing is too far.
        if loss.best <= 0 or reported(end.findings(found), *_CAUSES):
            continue
        limits = {"warning": loss.best + rule.limits["warning"]}
        if is_regression:
            limits = {each: times * loss.best for each, times in rule.limits["numbers"].items()}
        severity, limit = above(loss.value, limits)
        if severity and loss.uniform > limits["warning"]:
            yield rule.finding(
                severity,
                layer=end.path,
                output=end.output,
                value=loss.value,
                limit=limit,
                message=f"The loss{end.of_output} is {loss.value:.3g} before training, and "
                f"{loss.best:.3g} for the best constant output; the limit is {limit:.3g}"
                f"{'' if is_regression else _rarest(loss.prior)}.",
                action=PRIOR if biased_layer(signal, end.output) is not None else None,
            )


def _rarest(prior):
    """Returns what a message adds: how rare a class is, or its absence where there are two."""
    share = min(*prior, 1 - max(prior))
    return f", and {share:.2g} of the labels are of the rarest class" if share > 0 else ""


def biased_layer(signal, output):
    """Returns the layer whose bias can start an output at the prior, `None` if there is none."""
    if output is None:
        layers = [layer for layer in signal.layers if layer.is_output]
    else:
        layers = [end.layer for end in ends(signal) if end.output == output and end.layer]
        layers = [layer for layer in layers if layer.is_output]
    return layers[0] if len(layers) == 1 and layers[0].activation in PRIORS else None


@rule(
    # Logits of standard deviation 2 make about 2 more than the log of the number of classes.
    limits={"warning": 2.0},
    limit="the loss exceeds that of an output that knows nothing, log(classes), by more than "
    "{warning:g} or log(classes), whichever is more (warning), or by 10 times that, beyond what "
    "chance explains (error)",
    reason="Before training a classifier should be unsure. Large logits make a large loss that the "
    "first steps are spent on.",
    reference=f"{KARPATHY}; limit: {DEEP_CHECKER}",
    fix="Smaller weights in the last layer: `calibrate(model, x)`.",
)
def initial_loss(rule, signal, found):
    if reported(found, "input_not_standardized") or is_explained(found, 1):
        return
    for end in ends(signal):
        loss = end.loss
        if loss is None or loss.uniform is None or loss.from_logits is None or end.is_frozen:
            continue
        if reported(end.findings(found), *_CAUSES):
            continue
        excess = max(loss.uniform, rule.limits["warning"])
        # The logits of a deep network are as large as chance makes its signal.
        noise = math.exp(log_noise(maps(signal)) / 2)
        limits = {"error": loss.uniform + 10 * excess * noise, "warning": loss.uniform + excess}
        severity, limit = above(loss.value, limits)
        if severity:
            yield rule.finding(
                severity,
                layer=end.path,
                output=end.output,
                value=loss.value,
                limit=limit,
                message=f"The loss{end.of_output} is {loss.value:.3g} before training, and "
                f"{loss.uniform:.3g} for an output that knows nothing; the limit is {limit:.3g}.",
                action=CALIBRATE,
            )
