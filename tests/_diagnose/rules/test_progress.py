import dataclasses

import pytest

from keras_winit._diagnose.rules.progress import Progress, no_learning
from keras_winit._measure.output_loss import LossSignal

STUCK = Progress(
    batches=200,
    loss=LossSignal(name="mean_squared_error", value=2.0, best=2.0),
    past=100,
    past_loss=2.01,
    first=2.2,
    last=2.1,
)


def with_loss(**values):
    return {"loss": dataclasses.replace(STUCK.loss, **values)}


CASES = {
    "as a constant output": ({}, "warning"),
    "for long": ({"batches": 300}, "error"),
    "worse": (with_loss(value=7.0), "warning"),
    "nearly": (with_loss(value=1.985), "warning"),
    "not for long": ({"batches": 99}, None),
    "better": (with_loss(value=1.97), None),
    "of what is not known": (with_loss(best=None), None),
    "of labels that are all the same": (with_loss(best=0.0), None),
    "without labels": ({"loss": None}, None),
    "still falling": ({"past_loss": 2.05}, None),
    "learned on other samples": ({"last": 1.7}, None),
    "rising": ({"past_loss": 1.0, "last": 9.0}, "warning"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_that_stays_that_of_a_constant_output_is_found(name):
    changes, severity = CASES[name]
    found = list(no_learning(dataclasses.replace(STUCK, **changes)))
    assert [finding.severity for finding in found] == [severity] * (severity is not None)


def test_the_message_has_the_number_and_the_limit():
    (finding,) = no_learning(STUCK)
    assert (finding.value, finding.limit) == (2.0, 1.98)
    assert finding.message == (
        "The loss is 2, and 2 for the best constant output; the limit is 1.98. "
        "After 100 batches it was 2.01."
    )
