import csv
import math
import os
import random
import sys
import warnings

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit.callbacks import STATISTICS

layers = keras.layers
ops = keras.ops
SAMPLES = 32


@keras.saving.register_keras_serializable("test_monitor")
class Described(layers.Layer):
    """One whose kernel has no initializer that is known."""

    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], 6), initializer="glorot_uniform", name="mix")

    def call(self, x):
        return ops.matmul(x, self.mix)


keras_winit.describe_layer(Described, [keras_winit.Kernel(None, "mix")])


def network(**arguments):
    """Returns one with dropout and batch normalization, compiled."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, "tanh", name="first"),
            layers.BatchNormalization(),
            Described(),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.Dense(3, name="last"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **arguments)
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(SAMPLES, 5)), rng.normal(size=(SAMPLES, 3))


def fit(model, *callbacks, **arguments):
    x, y = data()
    defaults = {"batch_size": 8, "epochs": 3, "verbose": 0}
    return model.fit(x, y, callbacks=list(callbacks), **{**defaults, **arguments})


def steps(monitor):
    return list(dict.fromkeys(record["step"] for record in monitor.history))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns a monitor after a training, and its files."""
    folder = tmp_path_factory.mktemp("monitor")
    monitor = keras_winit.SignalMonitor(
        *data(), every=5, csv_path=folder / "signal.csv", log_dir=folder / "logs"
    )
    fit(network(), monitor)
    return monitor, folder


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, list(range(9))),
        (3, [0, 3, 6, 8]),
        (8, [0, 8]),
        (100, [0, 8]),
    ],
)
def test_records_before_training_every_so_many_batches_and_at_the_end(every, expected):
    monitor = keras_winit.SignalMonitor(*data(), every=every)
    fit(network(), monitor, epochs=2)
    assert steps(monitor) == expected
    assert len(monitor.history) == 3 * len(expected)


def test_every_record_has_every_statistic_of_every_layer(trained):
    monitor, _ = trained
    for record in monitor.history:
        assert list(record) == ["step", "layer", *STATISTICS]
    assert [record["layer"].rpartition("/")[2] for record in monitor.history[:3:2]] == [
        "first",
        "last",
    ]


class Diagnose(keras.callbacks.Callback):
    """Takes the numbers of `diagnose` before training and at its end."""

    def on_train_begin(self, logs=None):
        self.before = keras_winit.diagnose(self.model, *data()).layers

    def on_train_end(self, logs=None):
        self.after = keras_winit.diagnose(self.model, *data()).layers


def test_numbers_are_those_of_diagnose():
    monitor, diagnose = keras_winit.SignalMonitor(*data(), every=5), Diagnose()
    fit(network(), diagnose, monitor)
    first, last = monitor.history[:3], monitor.history[-3:]
    assert first[0]["signal"] != last[0]["signal"]
    records = zip([*first, *last], [*diagnose.before, *diagnose.after], strict=True)
    for record, layer in records:
        (kernel,) = layer.kernels
        expected = {
            "layer": layer.layer,
            "signal": math.sqrt(layer.output.second_moment),
            "preactivation": math.sqrt(layer.preactivation.second_moment),
            "cosine": layer.output.cosine,
            "between_samples": layer.output.between_samples,
            "dead": layer.output.dead,
            "saturated": layer.saturated,
            "gradient": layer.gradient,
            "gradient_of_weights": kernel.gradient,
            "weights": kernel.norm,
        }
        assert record == {"step": record["step"], **expected}


def test_norms_of_weights_are_those_after_each_step():
    norms = []

    class Norms(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kernel = ops.convert_to_numpy(self.model.get_layer("last").kernel)
            norms.append(np.sqrt(np.square(kernel).sum()))

    monitor = keras_winit.SignalMonitor(*data(), every=1)
    fit(network(), Norms(), monitor, epochs=1)
    recorded = [each["weights"] for each in monitor.history if each["layer"].endswith("last")]
    assert len(set(recorded)) == 5
    np.testing.assert_allclose(recorded[1:], norms, rtol=1e-5)


AT_ONCE = {"steps_per_execution": 1 if keras.backend.backend() == "torch" else 2}
VARIANTS = {
    "eager": ({"run_eagerly": True}, {}),
    "compiled": ({"jit_compile": keras.backend.backend() != "torch"}, {"validation_split": 0.25}),
    "several steps at once": (AT_ONCE, {}),
    "steps per epoch": ({}, {"steps_per_epoch": 2}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_training_is_the_same_bit_for_bit(name):
    of_compile, of_fit = VARIANTS[name]
    weights, losses, states = [], [], []
    for monitors in ([], [keras_winit.SignalMonitor(*data(), every=2)]):
        model = network(**of_compile)
        history = fit(model, *monitors, epochs=2, **of_fit)
        weights.append([ops.convert_to_numpy(each) for each in model.variables])
        losses.append(history.history)
        states.append((random.getstate(), str(np.random.get_state())))  # noqa: NPY002
    for without, with_monitor in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, with_monitor)
    assert losses[0] == losses[1]
    assert states[0] == states[1]
    assert len(steps(monitors[0])) > 2
    assert steps(monitors[0])[0] == 0


def test_steps_are_batches_where_several_run_at_once():
    monitor = keras_winit.SignalMonitor(*data(), every=3)
    fit(network(**AT_ONCE), monitor)
    at_once = [0, 4, 6, 10, 12] if AT_ONCE["steps_per_execution"] == 2 else [0, 3, 6, 9, 12]
    assert steps(monitor) == at_once


def test_gradient_accumulation_and_class_weights():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, "softmax")])
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    x, y = data()[0], np.arange(SAMPLES) % 3
    monitor = keras_winit.SignalMonitor(x, y, every=1)
    model.fit(
        x, y, batch_size=8, verbose=0, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, callbacks=[monitor]
    )
    norms = [record["weights"] for record in monitor.history]
    assert steps(monitor) == [0, 1, 2, 3, 4]
    assert norms[0] == norms[1] != norms[2] == norms[3] != norms[4]


def test_a_second_training_starts_a_new_history(tmp_path):
    path = tmp_path / "signal.csv"
    monitor, model = keras_winit.SignalMonitor(*data(), every=4, csv_path=path), network()
    fit(model, monitor)
    first = monitor.history
    fit(model, monitor, epochs=1)
    assert steps(monitor) == [0, 4]
    assert [each["weights"] for each in monitor.history[:3]] == [
        each["weights"] for each in first[-3:]
    ]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["weights"] for row in rows] == [str(row["weights"]) for row in first] + [
        str(row["weights"]) for row in monitor.history
    ]
    fit(model, keras_winit.SignalMonitor(*data(), every=4, csv_path=path), epochs=1)
    assert len(path.read_text().splitlines()) == 1 + len(monitor.history)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="of Linux")
def test_a_full_disk_ends_the_file_and_not_the_training():
    monitor = keras_winit.SignalMonitor(*data(), every=4, csv_path="/dev/full")
    with pytest.warns(UserWarning, match="cannot write to `csv_path`.*No space.*goes on") as told:
        fit(network(), monitor)
    assert len([each for each in told if "csv_path" in str(each.message)]) == 1
    assert steps(monitor) == [0, 4, 8, 12]


def test_a_folder_that_is_gone_ends_the_file_and_not_the_training(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    monitor = keras_winit.SignalMonitor(*data(), every=4, csv_path=folder / "signal.csv")
    folder.rmdir()
    with pytest.warns(UserWarning, match="FileNotFoundError"):
        fit(network(), monitor)
    assert steps(monitor) == [0, 4, 8, 12]
    folder.mkdir()
    fit(network(), monitor)  # tries again
    assert len((folder / "signal.csv").read_text().splitlines()) == 1 + len(monitor.history)


def test_an_error_of_tensorboard_ends_its_log_and_not_the_training(tmp_path, monkeypatch):
    monitor = keras_winit.SignalMonitor(*data(), every=4, log_dir=tmp_path / "logs")

    def fail(self, *arguments, **keywords):
        raise OSError("no space left")

    monkeypatch.setattr(monitor._writer_class, "add_scalar", fail)
    with pytest.warns(UserWarning, match="cannot write to `log_dir`.*no space left") as told:
        fit(network(), monitor)
    assert len([each for each in told if "log_dir" in str(each.message)]) == 1
    assert steps(monitor) == [0, 4, 8, 12]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"csv_path": "none/signal.csv"}, ValueError, "`csv_path`.*'none' does not exist. Make it"),
        ({"csv_path": "."}, ValueError, "`csv_path` should be a file.*a folder"),
        ({"csv_path": 7}, TypeError, "`csv_path` should be a path. Received: csv_path=7"),
        ({"log_dir": 7}, TypeError, "`log_dir` should be a path. Received: log_dir=7"),
        ({"log_dir": "file"}, ValueError, "`log_dir` should be a folder. Received: .*'file'"),
    ],
)
def test_places_that_cannot_be_written_are_refused_at_once(
    tmp_path, monkeypatch, arguments, kind, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(kind, match=message):
        keras_winit.SignalMonitor(**arguments)


def test_a_file_that_may_not_be_written_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # which root may all
    with pytest.raises(ValueError, match="`csv_path`.*may not write"):
        keras_winit.SignalMonitor(csv_path=tmp_path / "signal.csv")


def test_early_stopping_beside_it():
    monitor = keras_winit.SignalMonitor(*data(), every=100)
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    fit(network(), stopping, monitor, epochs=9)
    assert steps(monitor) == [0, 8]


def test_a_model_without_input_is_recorded_once_it_is_built():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Dense(4, "relu"), layers.Dense(3)])
    model.compile("sgd", "mse")
    monitor = keras_winit.SignalMonitor(*data(), every=4)
    fit(model, monitor)
    assert steps(monitor)[-3:] == [4, 8, 12]


def pairs():
    x, y = data()
    return [(x[:9], y[:9]), (x[9:], y[9:])]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, number):
        return pairs()[number]


@pytest.mark.parametrize(
    ("x", "y", "samples"),
    [
        (None, None, "noise"),
        (data()[0], None, "given"),
        (*data(), "given"),
        (Batches(), None, "first of a data set"),
        (iter(pairs()[:1]), None, "first of a data set"),
    ],
)
def test_batches_of_any_kind(x, y, samples):
    monitor = keras_winit.SignalMonitor(x, y)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(8, "tanh"), layers.Dense(3)])
    model.compile("sgd", "mse")
    expected = {
        "noise": (None, None),
        "given": (x, y),
        "first of a data set": pairs()[0],
    }[samples]
    report = keras_winit.diagnose(model, *expected)
    fit(model, monitor)
    assert monitor.history[0]["gradient"] == pytest.approx(report.layers[0].gradient, rel=1e-5)
    assert monitor.history[-1]["gradient"] > 0


def test_csv_holds_the_history(trained):
    monitor, folder = trained
    with (folder / "signal.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(monitor.history)
    for row, record in zip(rows, monitor.history, strict=True):
        assert (int(row.pop("step")), row.pop("layer")) == (record["step"], record["layer"])
        read = {name: float(value) if value else None for name, value in row.items()}
        assert read == {name: record[name] for name in STATISTICS}


def test_tensorboard_reads_the_history(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monitor, folder = trained
    events = EventAccumulator(str(folder / "logs"), size_guidance={"tensors": 0})
    events.Reload()
    found = {
        (tag, event.step): event.tensor_proto.float_val[0]
        for tag in events.Tags()["tensors"]
        for event in events.Tensors(tag)
    }
    expected = {
        (f"{name}/{record['layer']}", record["step"]): record[name]
        for record in monitor.history
        for name in STATISTICS
        if record[name] is not None
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


def test_what_was_recorded_is_kept_when_training_is_interrupted(tmp_path):
    path = tmp_path / "signal.csv"
    monitor = keras_winit.SignalMonitor(*data(), every=1, csv_path=path)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), Interrupt(), monitor)
    assert steps(monitor) == [0, 1, 2]
    with path.open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [0] * 3 + [1] * 3 + [2] * 3


@pytest.fixture
def ax():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


FRACTIONS = ("cosine", "between_samples", "dead", "saturated")


@pytest.mark.parametrize("statistic", STATISTICS)
def test_plot_draws_sizes_on_an_axis_of_logarithms_and_fractions_on_a_linear_one(
    trained, ax, statistic
):
    monitor, _ = trained
    assert monitor.plot(statistic, ax) is ax
    assert ax.get_yscale() == ("linear" if statistic in FRACTIONS else "log")
    assert ax.get_ylabel().startswith(statistic)
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 4]
    assert len(lines) == 3
    for number, line in enumerate(lines):
        values = [record[statistic] for record in monitor.history[number::3]]
        np.testing.assert_array_equal(line.get_xdata(), [0, 5, 10, 12])
        drawn = np.ma.filled(np.ma.asarray(line.get_ydata(), dtype=float), np.nan)
        known = [v is not None and (statistic in FRACTIONS or v > 0) for v in values]
        expected = [value for value, is_known in zip(values, known, strict=True) if is_known]
        np.testing.assert_allclose(drawn[known], expected, rtol=1e-12)
    if statistic in FRACTIONS:
        low, high = ax.get_ylim()
        assert low < 0
        assert high > 1


def test_plot_makes_a_figure_of_its_own(trained):
    import matplotlib.pyplot as plt

    monitor, _ = trained
    plt.close("all")
    assert len(monitor.plot().get_lines()) == 3
    assert len(plt.get_fignums()) == 1
    plt.close("all")


def test_plot_comes_after_training():
    with pytest.raises(ValueError, match=r"`plot` should come after training.*fit\(callbacks="):
        keras_winit.SignalMonitor().plot()


def test_plot_takes_a_statistic_that_is_recorded(trained):
    monitor, _ = trained
    with pytest.raises(ValueError, match="`statistic` should be one of 'signal'.*'gradient'"):
        monitor.plot("gradents")


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError)]
)
def test_every_is_a_positive_integer(every, error):
    message = rf"`every` should be an integer of at least 1\. Received: every={every}"
    with pytest.raises(error, match=message):
        keras_winit.SignalMonitor(every=every)


def test_a_batch_that_does_not_fit_is_told_before_training():
    model = network()
    old = model.get_weights()
    with pytest.raises(ValueError, match=r"`x` should be of shape \(None, 5\).*\(4, 6\)"):
        fit(model, keras_winit.SignalMonitor(np.ones((4, 6))))
    for before, after in zip(old, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_without_tensorboard_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(ImportError, match=r"keras-winit\[tensorboard\].*csv_path"):
        keras_winit.SignalMonitor(log_dir="logs")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, trained):
    monitor, _ = trained
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="matplotlib"):
        monitor.plot()


def fit_dying(on_finding, units=64):
    """Trains a network whose units die after the first epoch, of two of 8 batches."""
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(64, "relu", name="first"), layers.Dense(3, name="last")]
    )
    keras_winit.initialize(model, seed=0)
    model.compile("sgd", "mse")
    bias = model.get_layer("first").bias

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            bias.assign(np.where(np.arange(64) < units, -100.0 * epoch, 0.0))

    monitor = keras_winit.SignalMonitor(data()[0], every=1, on_finding=on_finding)
    x, y = data()
    model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[Kill(), monitor])
    return monitor


@pytest.mark.parametrize(("on_finding", "last"), [("record", 24), ("warn", 24), ("stop", 9)])
def test_units_that_die_are_found_once_told_and_end_the_training_if_asked_for(on_finding, last):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        monitor = fit_dying(on_finding)
    assert [(step, finding.rule) for step, finding in monitor.findings] == [(9, "dead_units")]
    assert max(record["step"] for record in monitor.history) == last
    told = [str(each.message) for each in told if each.category is UserWarning]
    assert len(told) == (on_finding != "record")
    for each in told:
        assert each.startswith("After 9 batches: 100% of the units of ")
        assert each.endswith("The training stops.") == (on_finding == "stop")


def test_units_that_die_end_no_training_while_others_live():
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        monitor = fit_dying("stop", units=60)
    assert [(each.rule, each.severity) for _, each in monitor.findings] == [
        ("dead_units", "warning")
    ]
    assert max(steps(monitor)) == 24


def test_monitor_refuses_what_it_cannot_do_on_a_finding():
    with pytest.raises(ValueError, match="`on_finding` should be one of .* Did you mean 'stop'"):
        keras_winit.SignalMonitor(on_finding="stopp")


class Dying(keras.callbacks.Callback):
    """Has units give nothing from the second epoch on, or from the start."""

    def __init__(self, units, epoch=1, name="first"):
        super().__init__()
        self.units, self.epoch, self.name = units, epoch, name

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            bias = self.model.get_layer(self.name).bias
            values = np.array(ops.convert_to_numpy(bias))
            values[self.units] = -100.0
            bias.assign(values)


def fit_revived(dying, *, is_added=False, **arguments):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((5,))
    x = layers.Dense(16, "relu", name="first")(inputs)
    if is_added:
        x = layers.Add()([x, layers.Dense(16)(inputs)])
    model = keras.Model(inputs, layers.Dense(3, name="last")(x))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = data()
    monitor = keras_winit.SignalMonitor(x, y, every=2, revive=True, **arguments)
    model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[dying, monitor])
    return model, monitor


def test_units_that_die_are_revived_and_learn():
    model, monitor = fit_revived(Dying(range(10)))
    (step, layer, number), *later = monitor.revived
    assert (step, layer.rpartition("/")[2], number) == (10, "first", 10)
    assert not [each for each in later if each[2] > 3]  # not all of what is drawn lives
    kernel, bias = (ops.convert_to_numpy(each) for each in model.get_layer("first").weights)
    assert bias.min() > -1
    # What was set to zero has been trained since, and was not put back.
    rows = ops.convert_to_numpy(model.get_layer("last").kernel)[:10]
    assert 0 < abs(rows).max() < 0.3
    assert np.isfinite(kernel).all()
    dead = [each["dead"] for each in monitor.history if each["layer"].endswith("first")]
    assert dead[5] >= 10 / 16
    assert dead[-1] < 0.2


def test_what_is_revived_ends_no_training_and_what_is_not_does():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, monitor = fit_revived(Dying(range(16)), on_finding="stop")
        assert [finding.rule for _, finding in monitor.findings] == ["dead_units"]
        assert max(steps(monitor)) == 24
        assert not [each for each in told if "stops" in str(each.message)]
        _, monitor = fit_revived(Dying(range(16)), is_added=True, on_finding="stop")
    assert (max(steps(monitor)), monitor.revived) == (10, [])
    told = [str(each.message) for each in told if "left alone" in str(each.message)]
    assert len(told) == 1
    assert "After 10 batches: 16 of 16 units of " in told[0]
    assert told[0].endswith("left alone: it is put together with others (Add).")


def test_a_seed_of_keras_decides_what_revived_units_get():
    first, second = (fit_revived(Dying(range(10)))[0].get_weights() for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_to_revive_takes_a_batch():
    with pytest.raises(ValueError, match="`x` should be given where `revive=True`.*x=None"):
        keras_winit.SignalMonitor(revive=True)
    with pytest.raises(TypeError, match="`revive`"):
        keras_winit.SignalMonitor(data()[0], revive=2)


def test_the_training_loss_is_that_of_the_batches_since_the_last_record():
    losses = [5.0, 3.0, 4.0, 1.0, 2.0, 9.0, 7.0, 8.0]  # of two epochs of four batches
    monitor = keras_winit.SignalMonitor(*data(), every=3)
    monitor.set_model(network())
    monitor.on_train_begin()
    for epoch in range(2):
        monitor.on_epoch_begin(epoch)
        of_epoch = losses[4 * epoch : 4 * epoch + 4]
        for batch in range(4):
            logs = {"loss": np.float32(np.mean(of_epoch[: batch + 1]))}
            monitor.on_train_batch_end(batch, logs)
        monitor.on_epoch_end(epoch, {"loss": np.mean(of_epoch), "val_loss": 70.0})
    np.testing.assert_allclose(monitor._training_loss.means, [4.0, 4.0], rtol=1e-6)


def fit_classes(optimizer, *, epochs, bias="zeros", **arguments):
    """Trains a network on three classes, in epochs of 32 batches of one."""
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(16, "relu", bias_initializer=bias, name="hidden")
    model = keras.Sequential([keras.Input((5,)), hidden, layers.Dense(3, "softmax", name="last")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    x = data()[0].astype("float32")
    y = np.where(x[:, 0] > 0.5, 0, 1 + (x[:, 1] > 0)).astype("int32")
    monitor = keras_winit.SignalMonitor(x, y, every=50, **arguments)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(x, y, batch_size=1, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor, [str(each.message) for each in told if each.category is UserWarning]


def test_a_network_that_learns_nothing_is_told_with_the_cause_and_stops():
    monitor, told = fit_classes(keras.optimizers.SGD(1e-9), epochs=5, on_finding="stop")
    found = [(step, each.rule, each.severity, each.causes) for step, each in monitor.findings]
    assert found == [
        (100, "no_learning", "error", None),
        (100, "learning_rate", "error", "no_learning"),
    ]
    assert max(steps(monitor)) == 100
    assert told[0].startswith("After 100 batches: The loss is ")
    assert told[1].startswith("After 100 batches: Cause: learning_rate. The first step of SGD")
    assert [each.endswith("The training stops.") for each in told] == [True, False]


def test_a_network_whose_loss_explodes_is_told_of_at_the_first_record():
    monitor, told = fit_classes(keras.optimizers.Adam(1.0), epochs=2, on_finding="warn")
    assert (50, "exploding_loss") in [(step, each.rule) for step, each in monitor.findings]
    assert any("times what it was at first" in each for each in told)


def test_networks_that_learn_get_no_finding():
    monitor, told = fit_classes(keras.optimizers.Adam(0.01), epochs=4, on_finding="warn")
    assert (monitor.findings, told) == ([], [])


def test_dead_units_are_told_as_what_they_are_and_with_what_comes_of_them():
    bias = keras.initializers.Constant(-50.0)
    monitor, _ = fit_classes(keras.optimizers.Adam(0.01), epochs=8, bias=bias)
    rules = [(step == 0, each.rule, each.severity) for step, each in monitor.findings]
    assert rules[:2] == [(True, "dead_units", "error"), (False, "no_learning", "error")]
