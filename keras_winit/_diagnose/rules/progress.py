"""What a training has come to so far."""

from dataclasses import dataclass
from typing import Any

from keras_winit._diagnose.rules.rule import rule
from keras_winit._references import KARPATHY


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What training has made of the loss.

    Attributes:
        batches: Number of batches since training began.
        loss: `LossSignal` of a batch that is always the same, or `None`.
        past: Number of batches after which that loss was taken before: half as many, or fewer.
        past_loss: What its value was then.
        first: Mean of the training loss over the batches to the first record.
        last: Mean of it over those since the last record.
    """

    batches: int
    loss: Any
    past: int
    past_loss: float
    first: float
    last: float


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
    if loss is None or loss.best is None or progress.batches < limits["batches"]:
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
