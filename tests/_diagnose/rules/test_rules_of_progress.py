import dataclasses

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._diagnose.rules import judge_progress
from keras_winit._diagnose.rules.finding import by_cause
from keras_winit._diagnose.rules.progress import Progress, exploding_loss, no_learning
from keras_winit._measure.output_loss import LossSignal

layers = keras.layers

STUCK = Progress(
    batches=200,
    loss=LossSignal(name="mean_squared_error", value=2.0, best=2.0),
    past=100,
    past_loss=2.01,
    start=2.4,
    first=2.2,
    last=2.1,
)


def with_loss(**values):
    return {"loss": dataclasses.replace(STUCK.loss, **values)}


CASES = {
    "as a constant output": ({}, "warning"),
    "after the fewest": ({"batches": 100}, "warning"),
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
    "not taken before": ({"past": None, "past_loss": None}, None),
    "at the first record": ({"first": None}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_that_stays_that_of_a_constant_output_is_found(name):
    changes, severity = CASES[name]
    found = list(no_learning(dataclasses.replace(STUCK, **changes)))
    assert [finding.severity for finding in found] == [severity] * (severity is not None)


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, None),
        ({"last": 99.0}, None),  # not on the batch of the monitor
        (with_loss(value=99.0), None),  # there alone
        ({"last": 4.81, **with_loss(value=99.0)}, "warning"),
        ({"last": 99.0, **with_loss(value=4.79)}, None),
        ({"last": 99.0, **with_loss(value=23.0)}, "warning"),
        ({"last": 99.0, **with_loss(value=25.0)}, "error"),
        ({"last": 99.0, **with_loss(value=99.0), "start": None}, None),
        ({"last": 3.9, **with_loss(value=3.9), "start": 0.01}, None),  # which had learned
        ({"last": 4.1, **with_loss(value=4.1), "start": 0.01}, "warning"),  # best is 2
        ({"last": 4.9, **with_loss(value=4.9, best=None)}, "warning"),
        ({"last": 99.0, "loss": None, "past": None, "past_loss": None}, None),
        ({"last": 99.0, **with_loss(value=99.0), "start": -2.0}, None),  # a log likelihood
        ({"last": 99.0, **with_loss(value=99.0), "start": 0.0}, None),
        ({"last": 99.0, **with_loss(value=99.0), "first": None}, "error"),
    ],
)
def test_a_loss_that_is_larger_than_it_was_at_first_is_found(changes, severity):
    found = list(exploding_loss(dataclasses.replace(STUCK, **changes)))
    assert [finding.severity for finding in found] == [severity] * (severity is not None)


def test_a_loss_that_explodes_is_not_told_of_as_one_that_stays():
    exploding = dataclasses.replace(STUCK, last=90.0, **with_loss(value=90.0))
    found = judge_progress(exploding, lambda: signal_of(0.0))
    assert [finding.rule for finding in found] == ["exploding_loss"]


def test_the_message_has_the_number_and_the_limit():
    (finding,) = no_learning(STUCK)
    assert (finding.value, finding.limit) == (2.0, 1.98)
    assert finding.message == (
        "The loss is 2, and 2 for the best constant output; the limit is 1.98. "
        "After 100 batches it was 2.01."
    )


def signal_of(bias):
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(24, "relu", bias_initializer=keras.initializers.Constant(bias))
    model = keras.Sequential([keras.Input((8,)), hidden, layers.Dense(3)])
    return keras_winit.diagnose(model, np.random.default_rng(0).normal(size=(32, 8))).signal


def test_what_diagnose_finds_wrong_then_is_the_cause_and_makes_it_an_error():
    found = judge_progress(STUCK, lambda: signal_of(-15.0))
    assert [(each.rule, each.severity, each.causes) for each in found] == [
        ("no_learning", "error", None),
        ("dead_units", "error", "no_learning"),
    ]
    ((_, company),) = by_cause(found)
    assert [each.relation for each in company] == ["Cause"]
    (finding,) = judge_progress(STUCK, lambda: signal_of(0.0))
    assert finding.severity == "warning"


def test_nothing_is_looked_at_where_a_network_learns():
    def look():
        raise AssertionError

    assert judge_progress(dataclasses.replace(STUCK, past_loss=9.0), look) == []
