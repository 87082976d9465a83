"""The command line: what it prints, writes, refuses and exits with."""

import importlib
import inspect
import io
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_winit
from _keras_winit_command import arguments, main

ROOT = Path(__file__).parents[2]

CUSTOM = """
import keras

@keras.saving.register_keras_serializable("test_command")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def distance(y, outputs):
    """A loss that Keras does not know."""
    return keras.ops.mean(keras.ops.abs(y - outputs))


def forget_custom():
    """Makes Keras know no more of the custom layer."""
    keras.saving.get_custom_objects().pop("test_command>Twice", None)
    sys.modules.pop("custom_layers", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with models and data, which no test changes."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8)).astype("float32"), np.arange(32) % 3
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    np.save(folder / "narrow.npy", x[:, :5])
    np.save(folder / "objects.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    np.savez(folder / "named.npz", left=x[:, :4], right=x[:, 4:7])
    np.savez(folder / "ordered.npz", x[:, :4], x[:, 4:7])
    np.savez(folder / "misnamed.npz", left=x[:, :4], wrong=x[:, 4:7])
    (folder / "text.npy").write_text("1 2 3")
    layers = keras.layers

    keras.utils.set_random_seed(1)
    healthy = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, "relu", kernel_initializer="sparse", name="first"),
            layers.Dense(16, "relu", kernel_initializer="he_normal", name="second"),
            layers.Dense(3, "softmax", name="classes"),
        ],
        name="healthy",
    )
    keras_winit.initialize(healthy, seed=1)
    healthy.compile("adam", "sparse_categorical_crossentropy")
    healthy.save(folder / "untrained.keras")  # of which Keras warns when it is loaded
    healthy.get_layer("first").kernel_initializer = keras_winit.initializers.Sparse()
    healthy.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    healthy.fit(x, y, batch_size=16, verbose=0)
    healthy.save(folder / "healthy.keras")

    hidden = [layers.Dense(32, "sigmoid", name=f"hidden_{i}") for i in range(10)]
    ill = keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3, "softmax")], name="ill")
    ill.save(folder / "ill.keras")

    inputs = [keras.Input((4,), name="left"), keras.Input((3,), name="right")]
    both = layers.Dense(2, name="both")(layers.Concatenate()(inputs))
    keras.Model(inputs, both, name="two").save(folder / "two.keras")

    second = keras.models.clone_model(healthy)
    second.compile("sgd", distance)
    second.save(folder / "custom_loss.keras")
    second.compile("sgd", "mse")
    second.get_layer("first").trainable = False
    second.save(folder / "frozen.keras")

    doubled = layers.Lambda(lambda x: 2 * x, output_shape=(2,))
    keras.Sequential([keras.Input((4,)), layers.Dense(2), doubled]).save(folder / "lambda.keras")

    (folder / "custom_layers.py").write_text(CUSTOM)
    sys.path.insert(0, str(folder))
    twice = importlib.import_module("custom_layers").Twice()
    sys.path.remove(str(folder))
    keras.Sequential([keras.Input((4,)), layers.Dense(2), twice]).save(folder / "custom.keras")
    forget_custom()

    (folder / "text.keras").write_text("no model")
    with zipfile.ZipFile(folder / "zip.keras", "w") as file:
        file.writestr("else.txt", "no model")
    with zipfile.ZipFile(folder / "broken.keras", "w") as file:
        file.writestr("config.json", '{"module": "keras", "class_name": "Sequential"')
        file.writestr("metadata.json", '{"keras_version": "3.12.0"}')
    (folder / "model.h5").write_text("")
    (folder / "page.html").write_text("a page")
    (folder / "folder.keras").mkdir()
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """A function that runs the command in the folder; returns exit code, output and errors."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(line):
        try:
            code = main(line.split())
        except SystemExit as exit:  # of argparse
            code = exit.code
        return code, *capsys.readouterr()

    return run


def here(report):
    """Returns what a diagnosis prints, with what the command line has for Python."""
    text = re.sub(r"`(initialize)\(model\)`", r"`keras-winit \1`", f"{report}\n")
    return text.replace("give `x` for", "give `--data` for")


def load(path, **arguments):
    return keras.saving.load_model(path, **arguments)


def assert_same_weights(model, expected):
    pairs = zip(model.weights, expected.weights, strict=True)
    for weight, other in pairs:
        assert weight.path == other.path
        ours, theirs = map(keras.ops.convert_to_numpy, (weight, other))
        np.testing.assert_array_equal(ours, theirs, err_msg=weight.path)


def optimizer_state(model):
    """Returns the variables of the optimizer but the learning rate."""
    return [
        keras.ops.convert_to_numpy(each)
        for each in model.optimizer.variables
        if "learning_rate" not in each.path
    ]


def widen(monkeypatch, columns, lines=1000, no_color="1"):
    """Makes the output a terminal of so many columns and lines."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")


def test_the_catalogue_is_listed_as_it_prints(run):
    assert run("list") == (0, f"{keras_winit.catalogue()}\n", "")


@pytest.mark.parametrize("name", [e.alias or e.name for e in keras_winit.catalogue()])
def test_what_is_known_of_an_initializer_is_shown(run, name):
    entry = keras_winit.catalogue()[name]
    code, output, _ = run(f"show {name}")
    assert code == 0
    words = output.split()
    facts = (entry.formula, entry.when, entry.reference, entry.url, entry.name, entry.origin)
    assert all(word in output for fact in facts for word in fact.split())
    documentation = inspect.getdoc(entry.initializer)
    arguments = inspect.signature(entry.initializer).parameters
    documented = [each for each in arguments if f"\n    {each}: " in documentation]
    assert bool(documented) == bool(arguments)
    assert all(f"{each}:" in words for each in documented)


def test_a_class_is_shown_by_its_name_too(run):
    assert run("show Sparse") == run("show sparse")


def test_an_unknown_initializer_is_a_mistake_with_a_hint(run):
    code, output, errors = run("show sprase")
    assert (code, output) == (2, "")
    assert "'sprase'. Did you mean 'sparse'?" in errors


def test_suggestions_are_those_of_the_package(run, folder):
    plan = keras_winit.suggest(load(folder / "healthy.keras"))
    assert run("suggest healthy.keras") == (0, f"{plan}\n", "")


def test_what_is_kept_is_what_is_asked_for(run, folder):
    plans = [keras_winit.suggest(load(folder / "healthy.keras"), keep=k) for k in ("all", "none")]
    assert ["kept: the author's" in str(plan) for plan in plans] == [True, False]
    assert run("suggest healthy.keras --keep none") == (0, f"{plans[1]}\n", "")
    _, output, _ = run("initialize healthy.keras -o kept.keras --force --keep none --seed 1 --wide")
    assert "kept: the author's" not in output
    assert "HeNormal" in output


def test_kernels_are_multiplied_by_what_is_asked_for(run, folder):
    plan = keras_winit.suggest(load(folder / "healthy.keras"), scale=0.5)
    assert run("suggest healthy.keras --scale 0.5") == (0, f"{plan}\n", "")
    _, output, _ = run("initialize healthy.keras -o half.keras --force --scale 0.5 --seed 1 --wide")
    assert "; times 0.5" in output
    code, output, errors = run("initialize healthy.keras -o half.keras --force --scale 0")
    assert (code, output) == (2, "")
    assert "`--scale` should be a positive finite number. Received: scale=0.0" in errors


def test_errors_of_a_diagnosis_are_the_exit_code(run, folder):
    for name, expected in {"ill": 1, "healthy": 0}.items():
        report = keras_winit.diagnose(load(folder / f"{name}.keras"))
        assert report.ok == (expected == 0)
        code, output, errors = run(f"diagnose {name}.keras")
        assert (code, errors) == (expected, "")
        assert output == here(report)


@keras.saving.register_keras_serializable("test_command")
class Gate(keras.layers.Layer):
    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], 6), initializer="he_normal", name="mix")

    def call(self, x):
        return keras.ops.matmul(x, self.mix)


def test_a_layer_that_was_not_looked_at_is_an_exit_code(run, tmp_path):
    model = keras.Sequential([keras.Input((4,)), Gate(), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    code, output, errors = run(f"diagnose {tmp_path / 'model.keras'}")
    assert (code, errors) == (3, "")
    assert "looked at 1 of 2 layers with weights" in output
    assert "`keras_winit.describe_layer(Gate, [keras_winit.Kernel(None, 'mix')])`" in output
    code, output, _ = run(f"diagnose {tmp_path / 'model.keras'} --json")
    assert (code, json.loads(output)["ok"]) == (3, None)
    assert "3 diagnose" in " ".join(run("--help")[1].split())


def test_a_diagnosis_takes_data_labels_and_the_compiled_loss(run, folder):
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    report = keras_winit.diagnose(load(folder / "healthy.keras"), x, y)
    _, output, _ = run("diagnose healthy.keras --data x.npy --labels y.npy")
    assert output == f"{report}\n"
    assert ", loss " in output


def test_a_diagnosis_takes_a_loss_by_name(run, folder):
    x, y, name = (
        np.load(folder / "x.npy"),
        np.load(folder / "y.npy"),
        "SparseCategoricalCrossentropy",
    )
    report = keras_winit.diagnose(load(folder / "ill.keras"), x, y, loss=keras.losses.get(name))
    code, output, _ = run(f"diagnose ill.keras --data x.npy --labels y.npy --loss {name}")
    assert (code, output) == (1, here(report))


@pytest.mark.parametrize("data", ["named.npz", "ordered.npz"])
def test_several_inputs_come_from_one_file(run, folder, data):
    with np.load(folder / "named.npz") as file:
        report = keras_winit.diagnose(load(folder / "two.keras"), dict(file))
    code, output, _ = run(f"diagnose two.keras --data {data}")
    assert (code, output) == (0 if report.ok else 1, here(report))


def test_a_diagnosis_is_written_as_json_and_html(run, folder, tmp_path):
    report = keras_winit.diagnose(load(folder / "ill.keras"))
    report.save(tmp_path / "expected.html")
    page = tmp_path / "page.html"
    code, output, errors = run(f"diagnose ill.keras --json --html {page}")
    assert (code, json.loads(output)) == (1, json.loads(json.dumps(report.to_dict())))
    assert errors == f"wrote {page}\n"
    assert page.read_bytes() == (tmp_path / "expected.html").read_bytes()


@pytest.mark.parametrize("scheme", ["suggested", "own", "pytorch", "keras_winit>Orthogonal"])
def test_a_model_is_initialized_as_by_the_package(run, folder, tmp_path, scheme):
    before = (folder / "healthy.keras").read_bytes()
    out = tmp_path / "out.keras"
    code, output, errors = run(f"initialize healthy.keras -o {out} --scheme {scheme} --seed 7")
    expected = load(folder / "healthy.keras", compile=False)
    result = keras_winit.initialize(expected, scheme, seed=7)
    assert (code, errors) == (0, "")
    assert output.startswith(repr(result).rpartition("\n")[0])
    assert output.endswith(f"wrote {out}\n")
    assert_same_weights(load(out), expected)
    assert load(out).get_config() == expected.get_config()
    assert (folder / "healthy.keras").read_bytes() == before


def test_only_what_is_asked_for_is_initialized(run, folder, tmp_path):
    out = tmp_path / "out.keras"
    run(f"initialize healthy.keras -o {out} --seed 7 --only first --only classes/kernel")
    expected = load(folder / "healthy.keras", compile=False)
    keras_winit.initialize(expected, seed=7, only=["first", "classes/kernel"])
    assert_same_weights(load(out), expected)
    kept = load(folder / "healthy.keras").get_layer("second")
    np.testing.assert_array_equal(
        load(out).get_layer("second").get_weights()[0], kept.get_weights()[0]
    )


@pytest.mark.parametrize("verb", ["initialize", "calibrate"])
@pytest.mark.parametrize("option", ["", "--frozen"])
def test_what_is_frozen_changes_where_it_is_asked_for(run, folder, tmp_path, verb, option):
    assert run(f"{verb} frozen.keras -o {tmp_path / 'out.keras'} {option}")[0] == 0
    kernels = [
        load(path).get_layer("first").get_weights()[0]
        for path in (folder / "frozen.keras", tmp_path / "out.keras")
    ]
    assert np.array_equal(*kernels) == (option == "")


def test_the_seed_that_was_drawn_is_said_and_draws_the_same(run, tmp_path):
    code, output, _ = run(f"initialize healthy.keras -o {tmp_path / 'a.keras'}")
    (seed,) = re.findall(r"initialized with seed (\d+)", output)
    run(f"initialize healthy.keras -o {tmp_path / 'b.keras'} --seed {seed}")
    assert_same_weights(load(tmp_path / "a.keras"), load(tmp_path / "b.keras"))


def test_a_model_is_calibrated_as_by_the_package(run, folder, tmp_path):
    out = tmp_path / "out.keras"
    line = f"calibrate healthy.keras -o {out} --data x.npy --mode unit --only first --only second"
    code, output, _ = run(line)
    expected = load(folder / "healthy.keras", compile=False)
    result = keras_winit.calibrate(
        expected, np.load(folder / "x.npy"), mode="unit", only=["first", "second"]
    )
    assert code == 0
    assert output.startswith(repr(result))
    assert "noise" not in output
    assert_same_weights(load(out), expected)


def test_a_model_calibrated_on_noise_is_told_so(run, tmp_path):
    _, output, _ = run(f"calibrate healthy.keras -o {tmp_path / 'out.keras'}")
    assert output.endswith("The samples were noise: give `--data` for your data.\n")


@pytest.mark.parametrize("verb", ["initialize", "calibrate"])
def test_new_weights_keep_the_compile_settings_and_start_with_a_new_optimizer(
    run, folder, tmp_path, verb
):
    old = load(folder / "healthy.keras")
    assert any(value.any() for value in optimizer_state(old))
    _, output, _ = run(f"{verb} healthy.keras -o {tmp_path / 'out.keras'}")
    assert "its optimizer starts anew" in output
    assert "compile the model again" not in output
    new = load(tmp_path / "out.keras")
    assert new.get_compile_config() == old.get_compile_config()
    assert len(optimizer_state(new)) == len(optimizer_state(old))
    assert not any(value.any() for value in optimizer_state(new))
    assert float(new.optimizer.learning_rate) == pytest.approx(0.003)


def test_a_model_that_was_compiled_and_not_trained_gives_no_warning(run, folder, tmp_path):
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        load(folder / "untrained.keras")
    assert run(f"initialize untrained.keras -o {tmp_path / 'out.keras'}")[::2] == (0, "")


def test_a_model_that_is_not_compiled_remains_so(run, tmp_path):
    _, output, _ = run(f"initialize ill.keras -o {tmp_path / 'out.keras'}")
    assert "optimizer" not in output
    assert not load(tmp_path / "out.keras").compiled


def test_a_stripped_model_is_the_same_but_for_its_initializers(run, folder, tmp_path):
    out = tmp_path / "out.keras"
    code, output, _ = run(f"strip healthy.keras -o {out}")
    assert (code, output.splitlines()[0]) == (
        0,
        "first.kernel_initializer: Sparse -> VarianceScaling",
    )
    with zipfile.ZipFile(folder / "healthy.keras") as file:
        assert b"keras_winit" in file.read("config.json")
    with zipfile.ZipFile(out) as file:
        assert b"keras_winit" not in file.read("config.json")
    old, new = load(folder / "healthy.keras"), load(out)
    assert_same_weights(new, old)
    for ours, theirs in zip(optimizer_state(new), optimizer_state(old), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert run(f"strip ill.keras -o {tmp_path / 'ill.keras'}")[1].startswith("Nothing to replace")


MISTAKES = {
    "": "required: COMMAND",
    "mend healthy.keras": "invalid choice: 'mend'",
    "suggest none.keras": "none.keras does not exist",
    "suggest folder.keras": "is not a file",
    "suggest model.h5": "model.h5 should end in .keras. Save the whole model",
    "suggest text.keras": "not a file that `model.save`",
    "suggest zip.keras": "not a file that `model.save`",
    "suggest broken.keras": "broken.keras could not be loaded by Keras",
    "suggest custom.keras": "holds the class 'Twice', which Keras does not know.*`--import`",
    "strip custom_loss.keras -o out.keras": "holds the function 'distance'.*`--import`",
    "suggest custom.keras --import none": "Received: 'none': ModuleNotFoundError",
    "suggest lambda.keras": "holds Python code.*`--unsafe`",
    "diagnose healthy.keras --data none.npy": "none.npy does not exist",
    "diagnose healthy.keras --data page.html": "should end in .npy or .npz",
    "diagnose healthy.keras --data text.npy": "text.npy holds no arrays of numbers",
    "diagnose healthy.keras --data objects.npy": "objects.npy holds no arrays of numbers",
    "diagnose healthy.keras --data narrow.npy": r"`--data` should be .*\(None, 8\).*\(32, 5\)",
    "diagnose two.keras --data x.npy": "`--data` should hold an array for each of the 2 inputs",
    "diagnose two.keras --data misnamed.npz": "`--data`.*right",
    "diagnose healthy.keras --labels y.npy": "`--labels` should come with `--data`",
    "diagnose ill.keras --data x.npy --labels y.npy": "not compiled. Give `--loss`",
    "diagnose ill.keras --loss mse": "`--loss` should come with labels",
    "diagnose ill.keras --data x.npy --labels y.npy --loss mean_square_error": (
        "Did you mean 'mean_squared_error'"
    ),
    "diagnose ill.keras --html page.html": "page.html exists already. Give `--force`",
    "diagnose ill.keras --html none/page.html": "The folder none does not exist",
    "diagnose ill.keras --html page.pdf": "should end in .html",
    "initialize ill.keras": "required: -o/--output",
    "initialize ill.keras -o healthy.keras": "healthy.keras exists already",
    "initialize ill.keras -o ill.keras": "ill.keras exists already",
    "initialize ill.keras -o folder.keras": "folder.keras is a folder",
    "initialize ill.keras -o none/out.keras": "The folder none does not exist",
    "initialize ill.keras -o out.h5": "should end in .keras. Received: out.h5",
    "initialize ill.keras -o out.keras --seed one": "invalid int value: 'one'",
    "initialize ill.keras -o out.keras --scheme he_norml": (
        "`--scheme` should be.*Did you mean 'he_normal'"
    ),
    "suggest ill.keras --keep specal": "`--keep` should be.*Did you mean 'special'",
    "initialize ill.keras -o out.keras --only hiden_1": (
        "`--only` should be.*Did you mean 'hidden_1'"
    ),
    "initialize ill.keras -o out.keras --scheme delta_orthogonal": "Layer 'hidden_0'",
    "calibrate ill.keras -o out.keras --mode units": "`--mode` should be.*Did you mean 'unit'",
    "calibrate ill.keras -o out.keras --data narrow.npy": "`--data` should be",
    "strip none.keras -o out.keras": "none.keras does not exist",
}


def contents(folder):
    return {
        path.relative_to(folder): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_and_nothing_is_written(run, folder, line):
    before = contents(folder)
    code, output, errors = run(line)
    assert (code, output) == (2, "")
    (told,) = errors.splitlines()
    assert re.match(r"keras-winit( \w+)?: error: ", told)
    assert re.search(MISTAKES[line], told)
    assert "Traceback" not in errors
    assert contents(folder) == before


def test_a_module_that_registers_custom_layers_is_imported(run):
    assert run("suggest custom.keras")[0] == 2
    try:
        code, output, _ = run("suggest custom.keras --import custom_layers")
    finally:
        forget_custom()
    assert code == 0
    assert "LecunNormal()" in output


def test_a_custom_loss_is_needed_only_where_it_is_used(run):
    assert run("suggest custom_loss.keras")[0] == 0
    assert run("diagnose custom_loss.keras --data x.npy")[0] in (0, 1)
    line = "diagnose custom_loss.keras --data x.npy --labels y.npy --loss "
    assert run(line + "sparse_categorical_crossentropy")[0] in (0, 1)


def test_code_in_a_file_runs_where_it_is_trusted(run, tmp_path):
    assert run("suggest lambda.keras --unsafe")[0] == 0
    assert run(f"initialize lambda.keras --unsafe -o {tmp_path / 'out.keras'}")[0] == 0


def test_what_exists_is_replaced_by_force(run, folder, tmp_path):
    out = tmp_path / "model.keras"
    shutil.copy(folder / "healthy.keras", out)
    assert run(f"initialize {out} -o {out} --seed 3 --force")[0] == 0
    expected = load(folder / "healthy.keras", compile=False)
    keras_winit.initialize(expected, seed=3)
    assert_same_weights(load(out), expected)


def test_a_written_file_has_the_permissions_of_any_other(run, tmp_path):
    run(f"strip ill.keras -o {tmp_path / 'out.keras'}")
    (tmp_path / "other").write_text("")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_link_keeps_pointing_to_what_is_replaced(run, folder, tmp_path):
    shutil.copy(folder / "ill.keras", tmp_path / "model.keras")
    (tmp_path / "link.keras").symlink_to("model.keras")
    run(f"initialize ill.keras -o {tmp_path / 'link.keras'} --seed 3 --force")
    assert (tmp_path / "link.keras").is_symlink()
    assert (tmp_path / "model.keras").read_bytes() != (folder / "ill.keras").read_bytes()


def test_a_file_that_cannot_be_written_leaves_the_old_one(run, folder, tmp_path, monkeypatch):
    out = tmp_path / "model.keras"
    shutil.copy(folder / "ill.keras", out)

    def save(model, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", save)
    code, _, errors = run(f"initialize ill.keras -o {out} --force")
    assert (code, errors) == (2, "keras-winit initialize: error: No space left on device\n")
    assert contents(tmp_path) == {out.relative_to(tmp_path): (folder / "ill.keras").read_bytes()}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_process_that_is_told_to_end_leaves_the_old_file(
    run, folder, tmp_path, monkeypatch, name
):
    out = tmp_path / "model.keras"
    shutil.copy(folder / "ill.keras", out)

    def save(model, path):
        path.write_bytes(b"half")
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(10)

    monkeypatch.setattr(keras.Model, "save", save)
    assert run(f"initialize ill.keras -o {out} --force")[0] == 128 + getattr(signal, name)
    assert contents(tmp_path) == {out.relative_to(tmp_path): (folder / "ill.keras").read_bytes()}
    assert signal.getsignal(getattr(signal, name)) is signal.SIG_DFL


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "show activation_scaling",
        "suggest ill.keras",
        "diagnose ill.keras",
        "initialize healthy.keras -o {}/out.keras",
        "calibrate healthy.keras -o {}/out.keras",
    ],
)
def test_nothing_is_wider_than_the_terminal(run, tmp_path, monkeypatch, line):
    widen(monkeypatch, 80)
    lines = run(line.format(tmp_path))[1].splitlines()
    assert max(len(each) for each in lines if not each.startswith("wrote")) <= 80


def test_a_narrow_table_keeps_weights_choices_and_reasons(run, folder, monkeypatch):
    plan = keras_winit.suggest(load(folder / "healthy.keras"))
    widen(monkeypatch, 80)
    _, output, _ = run("suggest healthy.keras")
    flat = " ".join(output.split())
    for row in plan.rows:
        if row.fan_in is not None:
            assert f"{row.weight.removeprefix('healthy/')} " in flat
            assert row.initializer in flat
            assert row.reason in flat
            assert row.reference in flat
    assert output != f"{plan}\n"
    assert "healthy/" not in output
    assert (
        run("suggest healthy.keras --wide")[1].split() == str(plan).replace("healthy/", "").split()
    )


STYLE = re.compile(r"\x1b\[([\d;]+)m")


def test_a_terminal_gets_colors_and_what_is_no_terminal_or_wants_none_does_not(run, monkeypatch):
    assert not STYLE.search(run("diagnose ill.keras")[1])
    widen(monkeypatch, 80)
    plain = run("diagnose ill.keras")[1]
    assert not STYLE.search(plain)
    widen(monkeypatch, 80, no_color="")
    colored = run("diagnose ill.keras")[1]
    assert STYLE.sub("", colored) == plain
    assert "\x1b[1;31mERROR: samples_alike." in colored
    assert re.search(r"\x1b\[31mhidden_0\x1b", colored)  # a layer of an error
    assert re.search(r"^\x1b\[1;31m\d errors?[,;] .*looked at", colored)
    assert re.search(r"^\x1b\[1;32mNothing wrong", run("diagnose healthy.keras")[1])
    monkeypatch.setenv("TERM", "dumb")
    assert run("diagnose ill.keras")[1] == plain


def test_the_verdict_comes_first_and_once_more_where_the_terminal_scrolls(run, monkeypatch):
    for lines, expected in ((1000, 1), (24, 2)):
        widen(monkeypatch, 80, lines)
        output = run("diagnose ill.keras")[1]
        assert re.match(r"\d errors?[,;] ", output)
        assert len(re.findall(r"^\d errors?[,;] .*looked at", output, re.MULTILINE)) == expected


def test_a_terminal_leaves_out_the_name_of_the_one_model(run, tmp_path, monkeypatch):
    widen(monkeypatch, 200)
    for verb in ("suggest", "diagnose", "initialize", "calibrate"):
        written = f"-o {tmp_path / verb}.keras" if verb in ("initialize", "calibrate") else ""
        output = run(f"{verb} healthy.keras {written}")[1]
        assert "first" in output
        assert "healthy/first" not in output


def test_a_terminal_that_is_no_utf_8_shows_what_it_can(run, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["list"]) == 0
    assert rb"variance gain\xb2 / fan" in output.buffer.getvalue()


def test_a_pipe_that_closes_is_no_traceback_and_what_was_asked_for_is_written(
    run, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out.keras"
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert main(["initialize", "ill.keras", "-o", str(out)]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""
    assert load(out).name == "ill"


def test_an_interrupt_is_no_traceback(run, monkeypatch):
    def interrupt(model, keep, scale):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_winit, "suggest", interrupt)
    assert run("suggest ill.keras") == (130, "", "")


def npy(path, shape):
    """Writes the header of an array of this shape, and a few bytes."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))


@pytest.mark.parametrize("shape", [(10**12, 8), (10**30, 8), (10**7, 8), (-5, 8)])
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_a_header_that_claims_more_than_there_is_is_a_mistake(run, tmp_path, shape, form):
    path = tmp_path / "claims.npy"
    npy(path, shape)
    if form == "npz":
        with zipfile.ZipFile(tmp_path / "claims.npz", "w") as file:
            file.write(path, "x.npy")
    code, output, errors = run(f"diagnose healthy.keras --data {path.with_suffix('.' + form)}")
    assert (code, output) == (2, "")
    assert re.fullmatch(r"keras-winit diagnose: error: .*claims.* holds no arrays.*\n", errors)


def inflate(path, member, files):
    """Writes an archive of which one member is of 400 MB of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        with archive.open(member, "w") as file:
            for _ in range(100):
                file.write(bytes(4_000_000))


@pytest.mark.parametrize("line", ["suggest {}.keras", "diagnose healthy.keras --data {}.npz"])
def test_a_small_archive_of_gigabytes_is_refused_before_it_is_unpacked(
    run, folder, tmp_path, monkeypatch, line
):
    with zipfile.ZipFile(folder / "healthy.keras") as file:
        files = {name: file.read(name) for name in file.namelist() if not name.endswith("h5")}
    inflate(tmp_path / "bomb.keras", "model.weights.h5", files)
    inflate(tmp_path / "bomb.npz", "x.npy", {})
    read = []
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, size=-1: read.append(size) or b"")
    code, output, errors = run(line.format(tmp_path / "bomb"))
    assert (code, output, read) == (2, "", [])
    assert re.fullmatch(r".*should unpack to at most 100 times its size.* to 400 MB\..*\n", errors)


def test_members_that_lie_over_each_other_are_refused(run, tmp_path):
    np.savez(tmp_path / "many.npz", a=np.zeros((4, 8)), b=np.zeros((4, 8)))
    content = (tmp_path / "many.npz").read_bytes()
    size = (256 + 128).to_bytes(4, "little")  # of values and header, packed and not
    start = content.index(b"PK\x01\x02")
    lies = content[start:].replace(size, (10**6).to_bytes(4, "little"))
    (tmp_path / "many.npz").write_bytes(content[:start] + lies)
    code, _, errors = run(f"diagnose healthy.keras --data {tmp_path / 'many.npz'}")
    assert code == 2
    assert re.fullmatch(r".*many.npz holds less than its directory says.*\n", errors)


def test_what_compresses_well_and_is_small_is_read(run, tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", np.zeros((20_000, 8), "float32"))
    assert (tmp_path / "zeros.npz").stat().st_size < 20_000 * 8 * 4 / 100
    assert run(f"diagnose healthy.keras --data {tmp_path / 'zeros.npz'}")[0] in (0, 1)


def test_names_do_not_steer_the_terminal(run, tmp_path):
    control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
    escape, name = "\x1b[2J", "a\x1b[2Jred\x9b2J\nnext"
    hidden = keras.layers.Dense(5, name=name, kernel_initializer="ones")
    last = keras.layers.Dense(3, name=f"z{escape}", kernel_initializer="sparse")
    model = keras.Sequential([keras.Input((8,)), hidden, last], name=f"m{escape}")
    path, out = tmp_path / "steer.keras", tmp_path / "out.keras"
    model.save(path)
    np.savez(tmp_path / "x.npz", **{name: np.ones((4, 8)), "other": np.ones((4, 8))})
    lines = [
        f"suggest {path}",
        f"diagnose {path}",
        f"initialize {path} -o {out} --force",
        f"initialize {path} -o {out} --force --scheme delta_orthogonal",
        f"calibrate {path} -o {out} --force",
        f"strip {path} -o {out} --force",
        f"diagnose {path} --data {tmp_path / 'x.npz'}",
        f"diagnose {path}{escape}",
        f"initialize {path} -o {out} --force --only {escape}",
    ]
    for line in lines:
        printed = "".join(run(line)[1:])
        assert r"\x1b[2J" in printed, line
        assert not control.search(printed), line
    assert r"a\x1b[2Jred\x9b2J\nnext/kernel" in run(f"suggest {path}")[1]
    report = keras_winit.diagnose(model)
    assert escape in report.findings[0].message  # which is printed as well
    for result in (
        keras_winit.suggest(model),
        report,
        report.fix(seed=1),
        keras_winit.initialize(model),
        keras_winit.calibrate(model),
    ):
        assert r"\x1b[2J" in repr(result)
        assert not control.search(repr(result))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RecursionError("too deep"),
        KeyError("x"),
        ZeroDivisionError("division by zero"),
        UnicodeEncodeError("ascii", "x", 0, 1, "no"),
        type("InvalidArgumentError", (Exception,), {})("one\n two\nthree"),
        NotImplementedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_is_one_line_and_no_verdict(run, monkeypatch, error):
    def fail(model, keep, scale):
        raise error

    monkeypatch.setattr(keras_winit, "suggest", fail)
    code, output, errors = run("suggest ill.keras")
    assert (code, output) == (2, "")
    assert re.fullmatch(r"keras-winit suggest: error: .+\n", errors)
    if not isinstance(error, UnicodeEncodeError):
        assert type(error).__name__ in errors


def shell(folder, line):
    return subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m keras_winit {line}"],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend(), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.name == "nt", reason="of a POSIX shell")
def test_a_closed_output_is_told_in_one_line(folder):
    process = shell(folder, "diagnose ill.keras >&-")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith("keras-winit: error: the standard output")
    assert "Traceback" not in process.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="of Linux")
@pytest.mark.parametrize("line", ["diagnose ill.keras", "--help"])
def test_a_full_output_is_told_in_one_line(folder, line):
    process = shell(folder, f"{line} >/dev/full")
    assert process.returncode == 2
    assert "No space left" in process.stderr.splitlines()[-1]
    assert "Exception" not in process.stderr
    assert "Traceback" not in process.stderr


WITHOUT_BACKEND = {
    "--help": 0,
    "diagnose --help": 0,
    "--version": 0,
    "--print-completion zsh": 0,
    "--print-completion fish": 2,
    "diagnos ill.keras": 2,
    "diagnose none.keras": 2,
    "diagnose text.keras": 2,
    "diagnose ill.keras --data none.npy": 2,
    "diagnose ill.keras --data text.npy --html page.html": 2,
    "initialize ill.keras -o healthy.keras": 2,
}


@pytest.mark.parametrize("line", WITHOUT_BACKEND)
def test_help_version_and_mistakes_need_no_backend(folder, line):
    """They are told at once, in a process of their own, and nothing else is said."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["scripts"]["keras-winit"].partition(":")
    program = f"""
import sys
from {module} import {name}
try:
    code = {name}({line.split()})
except SystemExit as exit:
    code = exit.code
slow = ("keras", "tensorflow", "jax", "torch", "numpy", "keras_winit")
print(code, [name for name in slow if name in sys.modules])
"""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    *output, last = process.stdout.splitlines()
    assert last == f"{WITHOUT_BACKEND[line]} []"
    assert bool(output) == (WITHOUT_BACKEND[line] == 0)
    assert len(process.stderr.splitlines()) == (WITHOUT_BACKEND[line] != 0)


@pytest.mark.parametrize("ending", ["", "raise ImportError('no backend')"])
def test_remarks_of_a_backend_while_it_is_imported_are_left_out_and_nothing_else(tmp_path, ending):
    package = tmp_path / "keras_winit"
    (package / "_cli").mkdir(parents=True)
    (package / "_cli/__init__.py").touch()
    (package / "_cli/commands.py").write_text("def run(arguments):\n    return 0\n")
    (package / "__init__.py").write_text(rf"""
import os, sys
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\n")
os.write(2, b"I0000 00:00:1795955235.245342    5394 port.cc:153] oneDNN is on.\n")
print("Something else", file=sys.stderr)
os.write(2, b"E0000 00:00:1795955235.245342    5394 port.cc:153] An error.\n")
{ending}
""")
    program = "import sys, _keras_winit_command as c; sys.exit(c.main(['list']))"
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )
    others, told = process.stderr.splitlines()[:2], process.stderr.splitlines()[2:]
    assert sorted(others) == [
        "E0000 00:00:1795955235.245342    5394 port.cc:153] An error.",
        "Something else",
    ]
    assert told == ["keras-winit list: error: no backend"] * bool(ending)
    assert process.returncode == 2 * bool(ending)


def test_a_typo_gets_the_nearest_command(run):
    assert "Did you mean 'diagnose'?" in run("diagnos ill.keras")[2]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["di"], "diagnose"),
        (["calibrate", "--mo"], "--mode"),
        (["initialize", "--ke"], "--keep"),
        (["diagnose", "ill.k"], "ill.keras"),
    ],
)
def test_bash_completes_commands_options_and_files(run, folder, typed, completed):
    code, script, _ = run("--print-completion bash")
    assert code == 0
    words = ["keras-winit", *typed]
    script += f"""
COMP_WORDS=({" ".join(words)})
COMP_CWORD={len(typed)}
_shtab_keras_winit keras-winit {words[-1]} {words[-2]}
echo "${{COMPREPLY[@]}}"
"""
    process = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == [completed]


def test_completion_says_what_it_needs(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, _, errors = run("--print-completion bash")
    assert (code, errors.count("\n")) == (2, 1)
    assert "--print-completion needs shtab: `pip install shtab`" in errors


def test_the_version_tells_the_backend_that_keras_takes(run, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert run("--version")[1].endswith(", tensorflow)\n")
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert run("--version")[1].endswith(", torch)\n")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert run("--version")[1].endswith(", jax)\n")


def test_the_version_is_that_of_the_package(run):
    code, output, _ = run("--version")
    assert (code, output.split()[1]) == (0, keras_winit.__version__)
    assert keras.__version__ in output
    assert keras.backend.backend() in output


def test_it_runs_as_a_module(folder):
    process = subprocess.run(
        [sys.executable, "-m", "keras_winit", "diagnose", "ill.keras"],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    assert "With it: vanishing_gradient" in process.stdout
    assert "Traceback" not in process.stderr


PAGE = (ROOT / "docs/command_line.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", re.findall(r"^\$ keras-winit (.*)$", PAGE, re.MULTILINE))
def test_a_command_of_the_documentation_exists(line):
    words = shlex.split(line.partition(" > ")[0])
    assert arguments.parser().parse_args(words).command == words[0]


COMMANDS = ("list", "show", "suggest", "diagnose", "initialize", "calibrate", "strip")


def test_every_command_is_documented(run):
    assert tuple(re.findall(r"^\| `keras-winit (\w+)", PAGE, re.MULTILINE)) == COMMANDS
    listed = re.findall(r"^ {4}(\w+) ", run("--help")[1], re.MULTILINE)
    assert tuple(listed) == COMMANDS
