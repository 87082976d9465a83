"""What the optimizer would make of the weights: how large its steps are, and what they minimize."""

import math
import statistics

from keras_winit._diagnose.rules.finding import reported
from keras_winit._diagnose.rules.rule import above, is_drawn, rule
from keras_winit._diagnose.rules.size import is_explained, is_near_zero
from keras_winit._references import DEEP_LEARNING, SMITH

# What makes gradients very small or very large at any rate.
_CAUSES = (
    *("input_not_standardized", "unreachable_targets", "targets_not_scaled", "constant_input"),
    *("vanishing_gradient", "exploding_gradient", "saturated_units", "softmax_over_one"),
    "labels_not_one_hot",
)
# Beside the largest gradient by a kernel.
_NO_GRADIENT = 1e-4


@rule(
    # The decay: of SGD and AdamW at eleven factors, on classes and on numbers.
    limits={"error": 20.0, "warning": 3.0, "decay": {"error": 2.0, "warning": 1.0}},
    limit="what the layers add to the loss is more than {warning:g} (warning) or {error:g} times "
    "(error) the loss; or the weight decay of the optimizer takes more than {decay[warning]:g} "
    "(warning) or {decay[error]:g} times (error) what the gradient changes in half of the kernels",
    reason="The weights are then made small before anything else is learned.",
    reference=DEEP_LEARNING.at("section 7.1.1"),
    fix="A smaller factor of the regularizers, as 1e-4, or a smaller weight decay, as 0.004.",
)
def large_regularization(rule, signal, found):
    yield from _large_decay(rule, signal)
    loss = signal.loss
    if loss is None or not loss.value > 0:
        return
    ratio = loss.regularization / loss.value
    severity, limit = above(ratio, {each: rule.limits[each] for each in ("error", "warning")})
    if severity:
        yield rule.finding(
            severity,
            layer=None,
            value=ratio,
            limit=limit,
            message=f"The layers add {loss.regularization:.3g} to a loss of {loss.value:.3g}, "
            f"{ratio:.2g} times as much; the limit is {limit:g}.",
        )


def _large_decay(rule, signal):
    """Yields a finding where weights shrink faster than they are learned, at any rate."""
    step = statistics.median(_updates(signal) or [0.0])
    if not step > 0 or not signal.decay > 0:
        return
    ratio = signal.decay / step
    severity, limit = above(ratio, rule.limits["decay"])
    if severity:
        yield rule.finding(
            severity,
            layer=None,
            value=ratio,
            limit=limit,
            message=f"In a step of {signal.optimizer[0]} the decay takes {ratio:.2g} times as much "
            f"of the weights as the gradient changes; the limit is {limit:g}.",
        )


@rule(
    # Of SGD and Adam at rates from 1e-9 to 100 on eight networks, and of forty that learn.
    limits={
        "error": (1e-5, 2.0),
        "warning": (3e-4, 0.3),
        "rise": {"error": 10.0, "warning": 1.5},
        "large": (0.08, 1.05),
        "small": (1e-3, 4e-4),
    },
    limit="the first step of the compiled optimizer changes half of the kernels, over their size "
    "and times what momentum makes of it, by a number outside of {warning[0]:g} to {warning[1]:g} "
    "(warning), {error[0]:g} to {error[1]:g} (error), or by less than {small[0]:g} and makes the "
    "loss on the same batch less than {small[1]:g} smaller (warning); or that loss is after it "
    "more than {rise[warning]:g}, from a step of {large[0]:g} on {large[1]:g} (warning), or "
    "{rise[error]:g} times (error) what it was. Of a schedule only what is too small, by its mean "
    "over 512 batches or more; of weights that have learned, by their variances, only what is far "
    "too small (error)",
    reason="Where one step changes more than the weights are, nothing of the start is left and the "
    "loss jumps; where it changes next to nothing, no number of epochs is enough.",
    reference=SMITH.at("section 3.3"),
    fix="`keras.optimizers.Adam(1e-3)` or `SGD(0.01, momentum=0.9)` to begin with, then 3 times "
    "more and less. Steps are made small, too, by `clipnorm`, `clipvalue` and a large `epsilon`.",
)
def learning_rate(rule, signal, found):
    updates = _updates(signal)
    if updates is None or signal.optimizer is None:
        return
    step, rise = statistics.median(updates) if updates else math.nan, _rise(signal.loss)
    if is_explained(found, -1 if step <= 1e-3 else 1) or reported(found, *_CAUSES):
        return
    if reported(found, "unreached_weights", severity="error"):
        return
    name, rate = signal.optimizer
    what = f"The first step of {name} at {rate:g}"
    if signal.is_scheduled:  # which may begin small, and be large later
        what = f"A step of {name} at {rate:.2g}, the mean of its schedule,"
    large, jump = rule.limits["large"]
    for severity, most in rule.limits["rise"].items():
        low, high = rule.limits[severity]
        high = math.inf if signal.is_scheduled else high
        if severity == "warning":
            most = jump if step > large else most
            low = 0.0 if _has_learned(signal) else low
        if rise > most:
            value, limit = rise, most
            message = f"{what} makes the loss {rise:.3g} times what it was; the limit is {most:g}."
        elif step < low or step > high:
            value, limit = step, low if step < low else high
            message = f"{what} changes the weights by {step:.2g} of their size; the limit is "
            message += f"{limit:g}."
        else:
            continue
        yield rule.finding(severity, layer=None, value=value, limit=limit, message=message)
        return
    small, least = rule.limits["small"]
    if step < small and 0 < rise and 0 <= 1 - rise < least and not _has_learned(signal):
        yield rule.finding(
            "warning",
            layer=None,
            value=1 - rise,
            limit=least,
            message=f"{what} makes the loss {1 - rise:.2g} of it smaller; the limit is {least:g}.",
        )


def _has_learned(signal):
    """Whether most kernels have other variances than those that they are drawn with."""
    drawn = [is_drawn(kernel) for layer in signal.layers for kernel in layer.kernels]
    known = [each for each in drawn if each is not None]
    return sum(known) < len(known) / 2


def _updates(signal):
    """Returns how much the first step changes each kernel, `None` where that is not known.

    Not those that start near zero, of which any step is many times, nor those behind them: what has
    no gradient yet is not moved by any rate. Tables start small, and count where there is nothing
    else.
    """
    known = [
        (layer, kernel)
        for layer in signal.layers
        for kernel in layer.kernels
        if kernel.update is not None and kernel.gradient is not None
    ]
    least = _NO_GRADIENT * max((kernel.gradient for _, kernel in known), default=0.0)
    if not known:
        return None
    moved = [
        kernel for layer, kernel in known if kernel.gradient > least and not is_near_zero(layer)
    ]
    maps = [kernel for kernel in moved if kernel.role != "embedding"]
    return [kernel.update for kernel in maps or moved]


def _rise(loss):
    """Returns how many times larger the loss is after the first step; 0 where that is not known."""
    if loss.after_step is None or not loss.value > 0:
        return 0.0
    return loss.after_step / loss.value if math.isfinite(loss.after_step) else math.inf
