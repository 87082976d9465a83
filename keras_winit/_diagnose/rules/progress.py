"""What a training has come to so far."""

from dataclasses import dataclass
from typing import Any

from keras_winit._diagnose.rules.rule import above, rule
from keras_winit._references import KARPATHY, SMITH


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What training has made of the loss.

    Attributes:
        batches: Number of batches since training began.
        loss: `LossSignal` of a batch that is always the same, or `None`.
        past: Number of batches after which that loss was taken before: half as many, or fewer;
            `None` where it was not.
        past_loss: What its value was then.
        start: What its value was before training, `None` where that is not known.
        first: Mean of the training loss over the batches to the first record; `None` at that.
        last: Mean of it over those since the last record.
    """

    batches: int
    loss: Any
    past: int | None
    past_loss: float | None
    start: float | None
    first: float | None
    last: float


@rule(
    # Of 122 programs at rates that are good and too large: of 51 that learn one is found, and no
    # other comes above its start; of 71 others 38 are.
    limits={"error": 10.0, "warning": 2.0},
    limit="the loss on the batch of the monitor, and the mean training loss since the last record, "
    "are more than {warning:g} (warning) or {error:g} times (error) what the former was before "
    "training, and that of the best constant output where it is known",
    reason="Steps that make the loss larger than it was at the start are too large, or go the "
    "wrong way: what has been learned is undone.",
    reference=SMITH.at("section 3.3"),
    fix="A learning rate of a tenth, begun with a warmup, or gradients that are cut: "
    "`clipnorm=1.0`.",
)
def exploding_loss(rule, progress, found):
    if progress.loss is None or progress.start is None or not progress.start > 0:
        return
    now = min(progress.loss.value, progress.last)
    # What had learned before, and starts small, may be undone in part.
    ratio = now / max(progress.start, progress.loss.best or 0.0)
    severity, limit = above(ratio, rule.limits)
    if severity:
        yield rule.finding(
            severity,
            layer=None,
            value=ratio,
            limit=limit,
            message=f"The loss is {now:.4g}, {ratio:.3g} times what it was at first, or of the "
            f"best constant output; the limit is {limit:g}.",
        )


@rule(
    # Of programs that learn, others that are slow to begin, and such as do not learn.
    limits={"batches": 100, "constant": 0.99, "still": 0.98, "training": 0.8},
    limit="after {batches} batches or more the loss on the batch of the monitor is not below "
    "{constant:g} times that of the best constant output, nor below {still:g} times what it was "
    "after half as many; and the mean training loss is not below {training:g} times what it was at "
    "first (warning; error where `diagnose` then finds errors, which are told as its cause)",
    reason="A network that gives the same for every sample has learned how often each label comes, "
    "and nothing of the inputs. More epochs will not change that where nothing moves.",
    reference=f"{KARPATHY}",
    fix="What comes with it tells the cause. Else start anew with `initialize(model)`, at a "
    "learning rate of 10 times more or less.",
)
def no_learning(rule, progress, found):
    loss, limits = progress.loss, rule.limits
    is_known = None not in (progress.past, progress.first)
    if loss is None or loss.best is None or not is_known or found:
        return
    if progress.batches < limits["batches"]:
        return
    limit = limits["constant"] * loss.best
    is_still = loss.value >= limits["still"] * progress.past_loss
    is_still &= progress.last >= limits["training"] * progress.first
    if loss.best > 0 and loss.value >= limit and is_still:
        yield rule.finding(
            "warning",
            layer=None,
            value=loss.value,
            limit=limit,
            message=f"The loss is {loss.value:.4g}, and {loss.best:.4g} for the best constant "
            f"output; the limit is {limit:.4g}. After {progress.past} batches it was "
            f"{progress.past_loss:.4g}.",
        )
