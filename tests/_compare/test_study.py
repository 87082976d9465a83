import contextvars
import json
import math
import re
import shutil
import threading
import types

import keras_tuner
import pytest

from keras_winit._compare import study
from keras_winit._show import progress

WANTED = [{"initializer": label, "seed": seed} for seed in range(2) for label in ("a", "b", "c")]


@pytest.fixture
def runner(tmp_path):
    """Returns a function that runs a study, and the runs that it has done so far."""
    done = []

    def run(wanted=WANTED, train=None, directory=tmp_path):
        def record(values):
            curves = curves_of(values) if train is None else train(values)
            done.append(values)
            return curves

        return study.run(wanted, record, directory, "study")

    return run, done


def curves_of(values):
    size = ord(values["initializer"]) + values["seed"] / 4
    return {"loss": [size, size / 2], "val/loss": [size / 8, math.nan]}


def equal(found, wanted=WANTED):
    """Returns whether curves are those of runs, NaN being equal to NaN."""
    return repr(found) == repr([curves_of(values) for values in wanted])


def files(tmp_path):
    return sorted(tmp_path.glob("study/trial_*/trial.json"))


def fail_after(number, error):
    """Returns a training that fails after so many runs."""
    count = iter(range(number))

    def train(values):
        if next(count, None) is None:
            raise error
        return curves_of(values)

    return train


def test_every_run_is_done_once_in_order_and_its_curves_are_returned(runner):
    run, done = runner
    assert equal(run())
    assert done == WANTED


def test_a_finished_study_is_read(runner):
    run, done = runner
    first = run()
    done.clear()
    assert repr(run()) == repr(first)
    assert done == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError("no memory")])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_study_that_was_interrupted_goes_on_with_what_is_missing(runner, error, number):
    run, done = runner
    with pytest.raises(error if isinstance(error, type) else type(error)):
        run(train=fail_after(number, error))
    assert done == WANTED[:number]
    assert equal(run())
    assert done == WANTED


def test_a_file_that_was_half_written_costs_its_run_alone(runner, tmp_path):
    run, done = runner
    run()
    for number in (1, 4):
        path = files(tmp_path)[number]
        path.write_text(path.read_text()[:50])
    (tmp_path / "study" / "oracle.json").write_text("")
    done.clear()
    assert equal(run())
    assert done == [WANTED[1], WANTED[4]]
    done.clear()
    assert equal(run())
    assert done == []


WRONG_FORMS = {
    "a list": lambda trial: [],
    "a number": lambda trial: 7,
    "nothing": lambda trial: {},
    "no metrics": lambda trial: {**trial, "metrics": None},
    "no values": lambda trial: {**trial, "hyperparameters": {"space": [], "values": [1]}},
    "no epochs": lambda trial: {
        **trial,
        "metrics": {
            "metrics": {"loss": {"direction": "min", "observations": [{"value": [1.0], "step": 0}]}}
        },
    },
    "no numbers": lambda trial: json.loads(
        json.dumps(trial).replace('"value": [', '"value": ["x",')
    ),
}


@pytest.mark.parametrize("form", WRONG_FORMS)
def test_a_file_of_another_form_is_named_and_what_to_do(runner, tmp_path, form):
    run, done = runner
    run()
    path = files(tmp_path)[2]
    path.write_text(json.dumps(WRONG_FORMS[form](json.loads(path.read_text()))))
    done.clear()
    message = (
        rf"{re.escape(repr(str(path)))} should be .*Delete {re.escape(repr(str(path.parent)))}"
    )
    with pytest.raises(ValueError, match=message):
        run()
    assert done == []
    shutil.rmtree(path.parent)
    assert equal(run())
    assert done == [WANTED[2]]


def test_a_file_that_cannot_be_read_is_named(runner, tmp_path):
    run, _ = runner
    run()
    path = files(tmp_path)[2]
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=rf"{re.escape(repr(str(path)))} should be .*Delete"):
        run()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"trials": 3}'])
@pytest.mark.parametrize("name", ["oracle.json", "tuner0.json"])
def test_other_files_of_the_folder_are_not_needed(runner, tmp_path, name, content):
    run, done = runner
    run()
    (tmp_path / "study" / name).write_text(content)
    done.clear()
    assert equal(run())
    assert done == []


def test_runs_that_are_added_are_done_and_others_are_left_out(runner):
    run, done = runner
    run()
    more = [*WANTED[1:4], {"initializer": "d", "seed": 0}, {"initializer": "a", "seed": 7}]
    done.clear()
    assert equal(run(more), more)
    assert done == more[3:]
    done.clear()
    assert equal(run())
    assert done == []


def test_an_error_ends_the_study_and_is_raised_as_it_is(runner):
    run, done = runner
    error = ValueError("as it is")
    with pytest.raises(ValueError, match="as it is") as caught:
        run(train=fail_after(2, error))
    assert caught.value is error
    assert len(done) == 2


def test_values_that_are_not_finite_are_kept_as_nan(runner):
    run, _ = runner
    (found,) = run(WANTED[:1], lambda values: {"loss": [1.0, math.inf], "acc": [math.nan, 2.0]})
    assert repr(found) == repr({"acc": [math.nan, 2.0], "loss": [1.0, math.nan]})


def test_a_study_without_a_folder_leaves_nothing(runner, tmp_path):
    run, done = runner
    assert equal(run(directory=None))
    assert equal(run(directory=None))
    assert done == WANTED * 2
    assert not list(tmp_path.iterdir())


def test_curves_of_more_than_nine_epochs_are_in_order(runner):
    run, _ = runner
    values = [float(each) for each in range(12)]
    assert run(WANTED[:1], lambda _: {"loss": values}) == [{"loss": values}]


def test_the_folder_is_a_study_of_keras_tuner(runner, tmp_path):
    run, _ = runner
    run()
    trials = [json.loads(path.read_text()) for path in files(tmp_path)]
    assert [trial["hyperparameters"]["values"] for trial in trials] == WANTED
    assert {trial["status"] for trial in trials} == {"COMPLETED"}
    assert trials[0]["score"] == 97 / 2
    oracle = keras_tuner.oracles.RandomSearchOracle()
    tuner = keras_tuner.engine.base_tuner.BaseTuner(
        oracle, directory=str(tmp_path), project_name="study"
    )
    oracle.reload()
    assert [each.values for each in tuner.get_best_hyperparameters(1)] == [WANTED[0]]


def test_progress_counts_the_runs_that_are_done_in_whatever_thread(runner, monkeypatch):
    run, _ = runner
    line = types.SimpleNamespace(text="")
    monkeypatch.setattr(progress, "_line", contextvars.ContextVar("line", default=None))
    token = progress._line.set(line)
    told = []

    def train(values):
        told.append(line.text)
        return curves_of(values)

    run(WANTED[:2], train)
    run(train=train)
    assert told == [
        f"{done} of {all} runs done"
        for done, all in [(0, 2), (1, 2), (2, 6), (3, 6), (4, 6), (5, 6)]
    ]
    assert line.text == "6 of 6 runs done"
    oracle = study._Oracle(WANTED)
    thread = threading.Thread(target=oracle._tell)
    thread.start()
    thread.join()
    assert line.text == "0 of 6 runs done"
    progress._line.reset(token)
