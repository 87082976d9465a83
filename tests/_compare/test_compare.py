import contextlib
import json
import math
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest

import keras_winit
from keras_winit._compare.compare import _curves, _fingerprint
from keras_winit._show import progress

ROOT = Path(keras_winit.__file__).parents[1]

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 8)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


def compiled(layers, loss="mse", rate=0.1, **options):
    model = keras.Sequential([keras.Input((8,)), *layers])
    # XLA takes longer to compile a small model than to train it.
    model.compile(keras.optimizers.SGD(rate), loss, jit_compile=False, **options)
    return model


def linear(**options):
    return compiled([keras.layers.Dense(1)], **options)


def deep():
    hidden = [keras.layers.Dense(32, "sigmoid") for _ in range(8)]
    model = compiled([*hidden, keras.layers.Dense(1, "sigmoid")])
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def compare(build_model=linear, initializers=("zeros",), **options):
    options = {"seeds": 1, "epochs": 1, "batch_size": 16, "verbose": 0} | options
    x, y = options.pop("x", X), options.pop("y", Y)
    return keras_winit.compare(build_model, x, y, initializers, **options)


def counted(build_model=linear, fail_at=None):
    """Returns the function with a list that has an entry for each of its calls."""
    calls = []

    def build():
        calls.append(None)
        if len(calls) == fail_at:
            raise MemoryError("all of it is used")
        return build_model()

    return build, calls


def curves(comparison):
    return {(run.initializer, run.seed): run.curves for run in comparison.runs}


def test_initializers_that_matter_are_told_apart():
    x = RANDOM.normal(size=(400, 8)).astype("float32")
    found = compare(deep, ["suggested"], seeds=3, epochs=4, x=x, y=(x[:, :1] > 0).astype("float32"))
    assert (found.metric, found.higher_is_better, found.baseline) == ("val_accuracy", True, "own")
    assert found.initializers == ["suggested", "own"]
    assert found.verdict.startswith(
        "'suggested' is better than 'own' beyond the spread between seeds, by 0."
    )
    assert found.to_dict()["initializers"][0]["lowest"] > 0.75
    assert {len(run.curve("val_loss")) for run in found.runs} == {4}


def test_initializers_that_are_equal_are_not_told_apart():
    found = compare(initializers=["glorot_uniform", "glorot_normal"], seeds=3, epochs=2)
    assert found.metric == "val_loss"
    assert found.verdict == "No difference beyond the spread between seeds (3 seeds)."


def test_a_repetition_finds_the_same():
    def build_model():
        return compiled([keras.layers.Dropout(0.5), keras.layers.Dense(1)])

    found = compare(build_model, ["he_normal"], seeds=2, epochs=2)
    keras.utils.set_random_seed(99)
    assert compare(build_model, ["he_normal"], seeds=2, epochs=2) == found
    assert len({run.curve("loss")[0] for run in found.runs}) == 4


def test_one_seed_is_one_order_of_the_samples_and_one_dropout_for_all():
    def drawn(shape, dtype=None):
        np.random.rand(7)  # noqa: NPY002
        return keras.random.normal(shape, dtype=dtype) * 0

    def build_model(initializer):
        dropout = keras.layers.Dropout(0.5)
        return compiled([dropout, keras.layers.Dense(1, kernel_initializer=initializer)])

    found = curves(compare(build_model, {"one": "zeros", "two": drawn}, seeds=2))
    assert found["one", 0] == found["two", 0]
    assert found["one", 1] == found["two", 1]
    assert found["one", 0]["loss"] != found["one", 1]["loss"]


def test_python_draws_as_if_nothing_had_been_compared():
    keras.utils.set_random_seed(3)
    expected = keras.initializers.HeNormal()((2, 3))
    keras.utils.set_random_seed(3)
    compare()
    found = keras.initializers.HeNormal()((2, 3))
    assert np.array_equal(*map(keras.ops.convert_to_numpy, (expected, found)))


def test_starting_weights_are_those_of_initialize_with_the_seed():
    models = []

    def build_model():
        models.append(linear(rate=0.0))
        return models[-1]

    found = compare(build_model, ["orthogonal"], seeds=[4, 9])
    assert [(run.initializer, run.seed) for run in found.runs] == [
        ("own", 4), ("orthogonal", 4), ("own", 9), ("orthogonal", 9),
    ]  # fmt: skip
    for model, run in zip(models, found.runs, strict=True):
        expected = linear()
        keras_winit.initialize(expected, run.initializer, seed=run.seed)
        assert np.array_equal(model.get_weights()[0], expected.get_weights()[0])


def test_a_function_with_an_argument_gets_the_initializers():
    got = []

    def build_model(initializer):
        got.append(initializer)
        return compiled([keras.layers.Dense(1, kernel_initializer=initializer)])

    own = keras.initializers.HeNormal()
    found = compare(build_model, ["lecun_normal", own], seeds=2)
    assert found.baseline == "glorot_uniform"
    assert set(found.initializers) == {"glorot_uniform", "lecun_normal", "HeNormal()"}
    assert [each for each in got if isinstance(each, str)] == ["glorot_uniform", "lecun_normal"] * 2
    first, second = (each for each in got if not isinstance(each, str))
    assert {type(first), type(second)} == {keras.initializers.HeNormal}
    assert len({first.seed, second.seed, own.seed}) == 3
    assert len({run.curve("loss")[0] for run in found.runs}) == 6


def test_the_baseline_is_added_once():
    assert set(compare(initializers=["own", "zeros"]).initializers) == {"own", "zeros"}
    found = compare(initializers={"as it is": "own"})
    assert (found.baseline, found.initializers) == ("as it is", ["as it is"])


def test_runs_that_diverge_end_early_and_count_as_the_worst():
    def build_model():
        return linear(rate=1e30)

    found = compare(build_model, epochs=4)
    assert {len(run.curve("loss")) for run in found.runs} == {1}
    assert [each["diverged"] for each in found.to_dict()["initializers"]] == [1, 1]
    assert found.verdict.startswith("No initializer is good")


def test_the_metric_that_is_asked_for_is_compared():
    def build_model():
        return linear(metrics=[keras.metrics.AUC(), "mae"])

    assert compare(build_model, metric="val_auc", seeds=2).higher_is_better
    found = compare(build_model, metric="mae", validation_split=0)
    assert (found.metric, found.higher_is_better) == ("mae", False)
    for metric in (("loss", "max"), keras_tuner.Objective("loss", "max")):
        assert compare(build_model, metric=metric).higher_is_better


def test_data_sets_are_taken_with_data_for_validation():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return X[index::4], Y[index::4]

    data = Batches()
    found = compare(x=data, y=None, batch_size=None, validation_data=(X, Y))
    assert found.metric == "val_loss"
    found = compare(x=data, y=None, batch_size=None, validation_split=0)
    assert found.metric == "loss"
    with pytest.raises(ValueError, match="`validation_data` should be given where `x` holds no"):
        compare(x=data, y=None)


def test_a_study_goes_on_where_it_was(tmp_path):
    options = {"initializers": ["zeros", "ones"], "seeds": 2}
    build_model, calls = counted(fail_at=4)
    with pytest.raises(RuntimeError, match="'own' failed with seed 1: MemoryError: all of"):
        compare(build_model, directory=tmp_path, **options)
    build_model, calls = counted()
    found = compare(build_model, directory=tmp_path, **options)
    assert len(calls) == 6 - 3
    assert found == compare(**options)
    build_model, calls = counted()
    assert compare(build_model, directory=tmp_path, **options) == found
    assert calls == []


def test_a_study_gives_runs_of_the_same_arguments_and_data_only(tmp_path):
    build_model, calls = counted()

    def num_new(**options):
        calls.clear()
        compare(build_model, **{"directory": tmp_path, **options})
        return len(calls)

    assert num_new() == 2
    assert num_new() == 0
    assert num_new(metric="loss") == 0
    assert num_new(initializers=["ones", "zeros"]) == 1
    assert num_new(seeds=2) == 2
    assert num_new(epochs=2) == 2
    assert num_new(batch_size=8) == 2
    assert num_new(x=X + 1) == 2
    assert num_new(validation_split=0.5) == 2
    assert num_new(initializers={"zeros": keras.initializers.Constant(1.0)}) == 1
    assert num_new(name="another") == 2


STUDY = """
import json, os, pathlib, sys, time
import keras, numpy as np
import keras_winit
from keras_winit._compare.compare import _fingerprint

folder = pathlib.Path(sys.argv[1])
me = os.environ.get("KERASTUNER_TUNER_ID", "alone")


def build_model():
    with (folder / f"{me}.log").open("a") as file:
        file.write("run\\n")
    if me.startswith("worker"):
        # Neither worker is done before the other has come.
        while not all((folder / f"worker{each}.log").exists() for each in "12"):
            time.sleep(0.01)
        lost = folder / "lost"
        if me == "worker2" and not lost.exists():
            lost.touch()
            os._exit(3)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    return model


x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
comparison = keras_winit.compare(
    build_model, x, x.sum(1), ["he_normal", "zeros"], seeds=2, epochs=2, verbose=0
)
found = None if comparison is None else comparison.to_dict()
(folder / f"{me}.json").write_text(json.dumps(found))
"""


def test_a_chief_and_two_workers_find_what_one_process_finds(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chief = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    program = [sys.executable, "-c", STUDY, str(tmp_path)]

    with contextlib.ExitStack() as processes:

        def start(name):
            variables = {**os.environ, **chief, "KERASTUNER_TUNER_ID": name}
            process = subprocess.Popen(program, cwd=ROOT, env=variables)
            processes.callback(process.wait)
            processes.callback(process.kill)
            return process

        running = [start("chief"), start("worker1")]
        assert start("worker2").wait(timeout=300) == 3  # is lost
        running.append(start("worker2"))
        assert [process.wait(timeout=300) for process in running] == [0] * 3

    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    exec(STUDY, {})
    alone, of_chief, *of_workers = (
        json.loads((tmp_path / f"{name}.json").read_text())
        for name in ("alone", "chief", "worker1", "worker2")
    )
    assert of_chief == alone
    assert of_workers == [None, None]
    runs = [len((tmp_path / f"worker{each}.log").read_text().split()) for each in "12"]
    assert sum(runs) == 6 + 1  # the one that was lost is done again
    assert min(runs) >= 1
    assert runs[1] >= 2
    assert not (tmp_path / "chief.log").exists()


def fails(match, error=ValueError, **options):
    with pytest.raises(error, match=match):
        compare(**options)


def test_arguments_that_do_not_fit_are_refused():
    plan = keras_winit.suggest(linear())
    fails("`initializers` should hold an initializer at least", initializers=[])
    fails("'zeros' twice. Give a dict with a label", initializers=["zeros", "zeros"])
    fails("should be a list of schemes", TypeError, initializers="zeros")
    fails("Received: initializers='he_norml'. Did you mean 'he_normal'", initializers=["he_norml"])
    fails("should hold no plan", TypeError, initializers=[plan])
    fails("labels .* texts that are not empty. Received: 3", TypeError, initializers={3: "zeros"})
    fails("'own' is the label of the baseline", initializers={"own": "zeros"})
    fails("`seeds` should be an integer of at least 1. Received: seeds=0", seeds=0)
    fails(r"`seeds` should be different ones. Received: seeds=\[1, 1\]", seeds=[1, 1])
    fails("`epochs` should be an integer of at least 1", epochs=0)
    fails("`batch_size` should be an integer of at least 1", batch_size=0)
    fails("`validation_split` should be at least 0 and less than 1", validation_split=1)
    fails("`verbose` should be 'auto', 0 or 1. Received: verbose=2", verbose=2)
    fails("`name` should be a text", TypeError, name="")
    fails("which can be read once only", TypeError, x=iter([(X, Y)]), y=None)
    fails("`build_model` should be a function", TypeError, build_model=linear())
    fails("which needs 'a', 'b'", TypeError, build_model=lambda a, b: None)
    fails("Received: 'fixup', which is for whole models",
          build_model=lambda initializer: None, initializers=["fixup"])  # fmt: skip
    fails(r'whether more of it is better.*metric=\("val_mine", "max"\)', metric="val_mine")
    for metric in (3, ("loss", "more"), ("loss",)):
        fails("`metric` should be the name of a metric", TypeError, metric=metric)


def test_an_unknown_metric_is_refused_after_one_epoch_with_those_that_are_known():
    build_model, calls = counted()
    fails("`metric` should be one of 'loss', 'val_loss'. Received: metric='val_accuracy'",
          build_model=build_model, metric="val_accuracy", epochs=10**6)  # fmt: skip
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("build_model", "message"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: 3, "TypeError: `build_model` should return a Keras model. Received: 3."),
        (
            lambda: keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)]),
            "ValueError: `build_model` should return a model that is compiled.",
        ),
        (lambda: compiled([keras.layers.Dense(1), keras.layers.Reshape((7,))]), "ValueError: "),
    ],
)
def test_a_run_that_fails_says_which_and_why(build_model, message):
    with pytest.raises(RuntimeError) as caught:
        compare(build_model, seeds=[5])
    assert str(caught.value).startswith(f"Initializer 'own' failed with seed 5: {message}")
    assert type(caught.value.__cause__).__name__ == message.partition(":")[0]


def test_a_scheme_that_does_not_fit_the_model_is_named():
    fails("Initializer 'fixup' failed with seed 0: ValueError: .*no residual branch", RuntimeError,
          initializers=["fixup"])  # fmt: skip


def test_data_are_told_apart_by_every_number():
    x = np.zeros((70000, 13), "float32")
    fingerprints = {_fingerprint(x, None)}
    for place in ((0, 1), (35000, 7), (69999, 12)):
        other = x.copy()
        other[place] = 1
        fingerprints.add(_fingerprint(other, None))
    fingerprints |= {_fingerprint([1, 2, 3]), _fingerprint([1, 2, 4]), _fingerprint(["a"])}
    assert len(fingerprints) == 7
    assert _fingerprint(x.copy(), None) == _fingerprint(x, None)


def test_random_numbers_go_on_as_without_it():
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = np.random.rand(), random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    compare()
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002


@pytest.fixture
def no_keras_tuner(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    monkeypatch.delitem(sys.modules, "keras_winit._compare.study", raising=False)
    monkeypatch.delattr(keras_winit._compare, "study", raising=False)


@pytest.mark.usefixtures("no_keras_tuner")
def test_one_machine_needs_no_keras_tuner():
    assert set(compare(seeds=2).initializers) == {"own", "zeros"}


@pytest.mark.usefixtures("no_keras_tuner")
def test_a_folder_and_a_chief_need_it_and_the_error_says_so(tmp_path, monkeypatch):
    message = r"`compare` needs KerasTuner where .*pip install \"keras-winit\[tune\]\".*in memory"
    fails(message, ImportError, directory=tmp_path)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    fails(message, ImportError)


def test_the_line_tells_the_runs_the_epoch_and_the_batch(monkeypatch):
    class Line:
        def __init__(self, *_):
            lines.append("")

        text = property(lambda self: lines[-1], lambda self, text: lines.append(text))

        def end(self):
            pass

    lines = []
    monkeypatch.setattr(progress, "_Line", Line)
    compare(epochs=2, verbose=1)
    batch = "0 of 2 runs done, 'own' with seed 0, epoch 2 of 2, batch 4 of 4"
    assert lines.index(batch) < lines.index("1 of 2 runs done")
    assert lines.index("1 of 2 runs done, 'zeros' with seed 0") < len(lines)
    assert lines.index(batch) == lines.index(batch.replace("4 of", "3 of")) + 1
    lines.clear()
    compare()
    assert lines == []


def test_curves_are_what_a_worker_would_send():
    found = _curves({"loss": [1 / 3, math.inf], "acc": [math.nan, 1]})
    assert repr(found) == repr({"acc": [math.nan, 1.0], "loss": [0.3333333432674408, math.nan]})
