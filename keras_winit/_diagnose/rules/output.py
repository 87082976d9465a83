"""What comes out of a model, beside the targets that it is to reach."""

import math

import numpy as np

from keras_winit._activations.formulas import FORMULAS
from keras_winit._diagnose.rules.end import ends
from keras_winit._diagnose.rules.finding import reported
from keras_winit._diagnose.rules.rule import above, rule
from keras_winit._references import LECUN, SRIVASTAVA, SZEGEDY

# The least and the most that activations give; others are not guessed at.
_REACH = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
# A smaller share of targets may lie anywhere.
_OUTLIERS = 0.05
# Of a loss.
_ROUNDING = 1e-4
_PROBABILITIES = ("softmax", "sigmoid", "hard_sigmoid")
# What other losses than crossentropies take the logarithm of, and what gives it.
_TAKEN = {
    "kl_divergence": ("probabilities that sum to one", ("softmax",)),
    "poisson": ("what is positive", ("exponential", "softplus", *_PROBABILITIES)),
}
_POSITIVE = ("relu", "relu6", "softplus")


@rule(
    limits={"error": 0, "warning": 0},
    limit="with `from_logits=False`, an output that is linear or of another activation of Keras "
    "than softmax and sigmoid (error); with `from_logits=True`, one of these two (warning); one "
    "that is no softmax with the Kullback-Leibler divergence, or linear, or of another activation "
    "that is not always positive, with the Poisson loss (error); a softmax that does not sum to "
    "one over the classes, as over another axis than the last (error); what is never negative, as "
    "relu, in front of a softmax or sigmoid or of a loss of logits (warning); a single unit "
    "with the cosine similarity (error)",
    reason="A crossentropy that expects the other kind of output takes the softmax twice, or the "
    "logarithm of what is no probability. What cannot be negative cannot say no, and a unit that "
    "is off for all samples stays off. A single number has no direction.",
    reference="Keras 3, keras.losses, argument from_logits",
    fix="Use `from_logits=True` with a linear output, `from_logits=False` after softmax or "
    'sigmoid; `"softmax"` with `kl_divergence`, `"exponential"` with `poisson`. A softmax '
    "is over the last axis, with nothing behind it.",
)
def loss_mismatch(rule, signal, found):
    for end in ends(signal):
        if end.layer is None or end.loss is None:
            continue
        what, severity = _mismatch(end)
        if severity:
            yield rule.finding(
                severity,
                layer=end.layer.layer,
                output=end.output,
                value=1,
                limit=rule.limits["error"],
                message=f"The output of {end.layer.layer} is {what}: 1 mismatch, limit 0.",
            )


def _mismatch(end):
    """Returns what an output is and its loss does not take, and the severity; or `None` twice."""
    last, loss = end.last, end.loss
    taken, right = _TAKEN.get(loss.name, (None, ()))
    is_known = last is None or last in FORMULAS or last == "softmax"
    if _is_across(end):
        return "a softmax that does not sum to one over the classes", "error"
    if loss.name == "cosine_similarity" and end.layer.kernels[-1].shape[-1] == 1:
        return "a single number, and the loss takes a direction", "error"
    positive = _never_negative(end)
    if positive is not None:
        return f"{_article(positive)} where a number may be negative", "warning"
    if taken is not None and is_known and last not in right:
        return f"{_article(last)}, and the loss takes {taken}", "error"
    if loss.from_logits and last in _PROBABILITIES:
        return "probabilities, and the loss takes logits", "warning"
    if loss.from_logits is False and last is None:
        return "logits, and the loss takes probabilities", "error"
    if loss.from_logits is False and last in FORMULAS and last not in _PROBABILITIES:
        return f"{_article(last)}, and the loss takes probabilities", "error"
    return None, None


def _never_negative(end):
    """Returns an activation that never is, where logits are taken; or `None`."""
    *before, last = end.activations or (None,)
    logits = before[-1] if before and last in _PROBABILITIES else last
    return logits if logits in _POSITIVE and (logits != last or end.loss.from_logits) else None


def _is_across(end):
    """Whether the mean of a softmax is not one over the number of classes: it sums over others."""
    is_of_classes = end.loss.name.endswith("categorical_crossentropy")
    even = end.loss.uniform
    if end.last != "softmax" or end.dropout or not is_of_classes or even is None:
        return False
    return abs(end.summary.mean * math.exp(even) - 1) > 0.01


def _article(activation):
    return "linear" if activation is None else f"a {activation}"


@rule(
    limits={"error": 1, "warning": 1},
    limit="a softmax (warning) or sigmoid (error) is applied to the output of a softmax or sigmoid",
    reason="The second one gets numbers from 0 to 1 and makes nearly the same of them all: with a "
    "softmax the network learns late, and a sigmoid is above one half whatever comes in.",
    reference="Keras 3, keras.activations",
    fix="Leave one of the two out.",
)
def activation_twice(rule, signal, found):
    for end in ends(signal):
        number = sum(each in _PROBABILITIES for each in end.activations)
        if end.layer is not None and number > rule.limits["error"]:
            yield rule.finding(
                "warning" if end.last == "softmax" else "error",
                layer=end.layer.layer,
                output=end.output,
                value=number,
                limit=rule.limits["error"],
                message=f"Behind {end.layer.layer} there are {number} of softmax and sigmoid, one "
                "after another; the limit is 1.",
            )


@rule(
    limits={"warning": 0.0},
    limit="a dropout layer behind the last kernel, whatever its rate, of a model with labels",
    reason="In training it sets outputs to zero, whatever the targets: the loss then asks for what "
    "the weights cannot give.",
    reference=SRIVASTAVA.at("section 4"),
    fix="Move the dropout in front of the last layer.",
)
def dropout_at_output(rule, signal, found):
    for each in signal.endings if signal.loss is not None else ():
        if each.dropout > rule.limits["warning"]:
            yield rule.finding(
                "warning",
                layer=each.layer,
                output=each.output,
                value=each.dropout,
                limit=rule.limits["warning"],
                message=f"{each.dropout:.0%} of the output of {each.layer or 'the model'} are "
                "dropped; the limit is 0.",
            )


@rule(
    limits={"error": 1},
    limit="a softmax over {error} unit",
    reason="The softmax of a single unit is 1 whatever the weights, and its gradient is 0.",
    reference="Keras 3, keras.activations.softmax",
    fix='`Dense(1, "sigmoid")` with `loss="binary_crossentropy"` for two classes; for more, a '
    "unit for each.",
)
def softmax_over_one(rule, signal, found):
    for end in ends(signal):
        # A softmax sums to one, so that its mean is one over the number of units.
        is_one = end.last == "softmax" and end.summary.mean > 0.999
        if end.layer is not None and is_one:
            yield rule.finding(
                "error",
                layer=end.layer.layer,
                output=end.output,
                value=1,
                limit=rule.limits["error"],
                message=f"The softmax of {end.layer.layer} is over 1 unit; the limit is 1, and "
                "more are right.",
            )


@rule(
    limits={"error": 1},
    limit="labels that are numbers of more than two classes, or of shape (batch,) beside outputs "
    "of (batch, 1) in a loss of one's own, each compared with more than {error} output",
    reason="A label of one column is repeated for every output, so that all outputs learn the "
    "same number; one without a column for every sample, so that all samples do.",
    reference="Keras 3, keras.losses, shapes of y_true and y_pred",
    fix='Of classes: `loss="sparse_categorical_crossentropy"` with a softmax, or '
    "`y = keras.utils.to_categorical(y)`. Of numbers: `y = y[:, None]`.",
)
def broadcast_labels(rule, signal, found):
    for end in ends(signal):
        if end.loss is not None and end.loss.repeated > rule.limits["error"]:
            yield rule.finding(
                "error",
                layer=end.path,
                output=end.output,
                value=end.loss.repeated,
                limit=rule.limits["error"],
                message=f"Each label{end.of_output} is compared with {end.loss.repeated} outputs "
                f"by {end.loss.name}; the limit is 1.",
            )


@rule(
    # Trained from standardized targets, relu and sigmoid (0.5 and 0.6) explain half as much as a
    # linear output, and tanh (0.15) as much.
    limits={"error": 0.75, "warning": 0.2},
    limit="the least squared error that the output's activation can reach, over the variance of "
    "the targets, is above {warning:g} (warning), {error:g} (error), and one of 20 or more is out "
    "of its range; for built-in losses of a regression",
    reason="No weights make an activation give what lies outside of its range, and close to its "
    "ends the gradient vanishes.",
    reference="Keras 3, keras.activations",
    fix="`Dense(units)` without an activation, or targets scaled into its range.",
)
def unreachable_targets(rule, signal, found):
    for end in ends(signal):
        if (
            end.layer is None
            or end.loss is None
            or not end.loss.targets
            or end.last not in _REACH
            or reported(end.findings(found), "broadcast_labels")
        ):
            continue
        targets = np.asarray(end.loss.targets)
        low, high = _REACH[end.last]
        missed = targets - np.clip(targets, low, high)
        if not targets.var() > 0 or (missed != 0).mean() < _OUTLIERS:
            continue
        value = (missed**2).mean() / targets.var()
        severity, limit = above(value, rule.limits)
        if severity:
            yield rule.finding(
                severity,
                layer=end.layer.layer,
                output=end.output,
                value=value,
                limit=limit,
                message=f"The {end.last} of {end.layer.layer} cannot reach targets from "
                f"{targets.min():.3g} to {targets.max():.3g}: at best an error of {value:.2g} of "
                f"their variance is left; the limit is {limit:g}.",
            )


@rule(
    limits={"error": 0},
    limit="32 or more labels, and all are the same, of an output whose last kernel is not frozen "
    "(as that of a discriminator is, by which a generator is trained)",
    reason="A constant output is all that there is to learn, and the bias of the last layer learns "
    "it alone.",
    reference="Keras 3, keras.Model.fit, argument shuffle",
    fix="Look at how the labels are read; shuffle a data set that is sorted by class.",
)
def constant_labels(rule, signal, found):
    for end in ends(signal):
        if end.loss is not None and end.loss.is_constant and not end.is_frozen:
            yield rule.finding(
                "error",
                layer=end.path,
                output=end.output,
                value=0,
                limit=rule.limits["error"],
                message=f"All {end.loss.num_labels} labels{end.of_output} are the same: they "
                "differ by 0, and more than the limit of 0 is right.",
            )


@rule(
    limits={"error": 0.05},
    limit="more than {error:.0%} of the labels are of no class or of several, and the loss is the "
    "categorical crossentropy, which takes one, or the binary one or the mean squared error of a "
    "softmax",
    reason="The outputs of a softmax sum to one: they cannot be one for several classes.",
    reference="Keras 3, keras.losses.CategoricalCrossentropy",
    fix='`Dense(units, "sigmoid")` with `loss="binary_crossentropy"`.',
)
def labels_not_one_hot(rule, signal, found):
    for end in ends(signal):
        if end.loss is None or (end.last != "softmax" and not end.loss.name.startswith("cat")):
            continue
        if end.loss.not_one_hot > rule.limits["error"] and not reported(
            end.findings(found), "softmax_over_one", "unreachable_targets"
        ):
            yield rule.finding(
                "error",
                layer=end.path,
                output=end.output,
                value=end.loss.not_one_hot,
                limit=rule.limits["error"],
                message=f"{end.loss.not_one_hot:.0%} of the labels{end.of_output} are of no class "
                f"or of several; the limit is {rule.limits['error']:.0%}.",
            )


@rule(
    # Of digits and of two classes at six shares: at 0.9 as much is learned, and as fast.
    limits={"error": 0.98, "warning": 0.92},
    limit="more than {warning:.0%} (warning) or {error:.0%} (error) of each label is given to all "
    "classes alike, by `label_smoothing`",
    reason="What is left of a label is too little to tell the classes apart: at 1 all targets are "
    "the same.",
    reference=SZEGEDY.at("section 7"),
    fix="`label_smoothing=0.1`: it is the share that the labels lose.",
)
def smoothed_labels(rule, signal, found):
    for end in ends(signal):
        value = 0.0 if end.loss is None else end.loss.label_smoothing
        severity, limit = above(value, rule.limits)
        if severity:
            yield rule.finding(
                severity,
                layer=end.path,
                output=end.output,
                value=value,
                limit=limit,
                message=f"The loss{end.of_output} gives {value:.0%} of each label to all classes "
                f"alike; the limit is {limit:.0%}.",
            )


@rule(
    limits={"error": (0.02, 1e4), "warning": (0.05, 100.0)},
    limit="the standard deviation of the targets is outside of {warning[0]:g} to {warning[1]:g} "
    "(warning), {error[0]:g} to {error[1]:g} (error); for built-in losses of a regression",
    reason="A network starts with outputs of about unit size, and an optimizer takes steps of a "
    "size for these: it takes very long to reach large targets, and its steps are too coarse for "
    "small ones.",
    reference=LECUN.at("section 4.3"),
    fix="Standardize the targets, `y = (y - y.mean(0)) / y.std(0)`, and scale predictions back.",
)
def targets_not_scaled(rule, signal, found):
    for end in ends(signal):
        size = float(np.std(end.loss.targets)) if end.loss and end.loss.targets else 0.0
        for severity, (low, high) in rule.limits.items():
            if size > 0 and not low <= size <= high:
                limit = low if size < low else high
                yield rule.finding(
                    severity,
                    layer=end.path,
                    output=end.output,
                    value=size,
                    limit=limit,
                    message=f"The targets{end.of_output} have a standard deviation of {size:.3g}; "
                    f"the limit is {limit:g}, and about 1 is right.",
                )
                break


@rule(
    # Of targets from two functions, shifted, or with a few zeros among them.
    limits={"error": 0.9, "warning": 0.3},
    limit="with the mean absolute percentage error, and targets that are zero or of both signs, "
    "those that are smaller than a twentieth of the others make more than {warning:.0%} (warning) "
    "or {error:.0%} (error) of what errors are multiplied by",
    reason="An error is divided by the target. Those near zero count more than all others "
    "together, and the best output is close to zero everywhere.",
    reference="Keras 3, keras.losses.MeanAbsolutePercentageError",
    fix='`loss="mae"` or `"huber"`, of targets that are standardized; percentages as a metric, of '
    "targets far from zero.",
)
def targets_near_zero(rule, signal, found):
    for end in ends(signal):
        value = 0.0 if end.loss is None else end.loss.near_zero
        severity, limit = above(value, rule.limits)
        if severity:
            yield rule.finding(
                severity,
                layer=end.path,
                output=end.output,
                value=value,
                limit=limit,
                message=f"Targets{end.of_output} near zero make {value:.0%} of what errors are "
                f"multiplied by; the limit is {limit:.0%}.",
            )


@rule(
    limits={"error": 0},
    limit="a loss of one's own, whose labels have the shape of the outputs, that is larger where "
    "the outputs are the labels than it is before training and where they are something else: the "
    "other class, or numbers far above and far below",
    reason="Training makes the loss small, and with it what the labels say untrue: what is to be "
    "large, as accuracy, Dice or R², has to be subtracted from 1 or get a minus.",
    reference="Keras 3, keras.Model.compile, argument loss",
    fix="`1 - dice(y, outputs)` for what is best at 1, `-score(y, outputs)` for others; no minus "
    "before an error.",
)
def reversed_loss(rule, signal, found):
    for end in ends(signal):
        loss = end.loss
        if loss is None or loss.at_labels is None:
            continue
        limit = loss.off_labels + _ROUNDING * abs(loss.off_labels)
        if loss.at_labels > limit:
            yield rule.finding(
                "error",
                layer=end.path,
                output=end.output,
                value=loss.at_labels,
                limit=limit,
                message=f"The loss {loss.name}{end.of_output} is {loss.at_labels:.3g} where the "
                f"outputs are the labels, and less where they are not; the limit is {limit:.3g}, "
                "the most it is there.",
            )
