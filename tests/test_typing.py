"""What a type checker says of what users write, and that it is true.

`pyright --project tests` checks the types that are asserted here; the tests, that they are those of
the values.
"""

import ast
import inspect
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import results
from keras_winit._plan.schemes import SCHEMES
from keras_winit.initializers import Sparse
from keras_winit.typing import (
    ActivationLike,
    Data,
    InitializerLike,
    Names,
    Scheme,
    Seed,
    SeedLike,
)

if TYPE_CHECKING:
    from typing import assert_type
else:

    def assert_type(value, kind):
        assert has_type(value, kind), f"{value!r} is no {kind}"
        return value


def has_type(value, kind):
    """Whether a value, and all that it holds, has a type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if kind is None:
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(has_type(value, each) for each in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is type:
        return isinstance(value, type) and issubclass(value, arguments[0])
    if origin is Callable:
        return callable(value)
    if not isinstance(value, origin or kind):
        return False
    if origin is dict:
        return all(has_type(pair, tuple[arguments]) for pair in value.items())
    if origin is tuple and arguments[-1] is not Ellipsis:
        return all(has_type(*pair) for pair in zip(value, arguments, strict=True))
    return origin not in (list, tuple) or all(has_type(each, arguments[0]) for each in value)


@pytest.fixture
def model():
    layers = [keras.layers.Dense(5, "relu", name="first"), keras.layers.Dense(3, name="last")]
    return keras.Sequential([keras.Input((4,)), *layers])


def test_what_keras_has_keeps_its_type():
    assert_type(keras_winit.initializers.HeNormal(), keras.initializers.HeNormal)
    assert_type(keras_winit.initializers.he_normal(seed=1), keras.initializers.HeNormal)
    assert_type(keras_winit.initializers.identity(), keras.initializers.Identity)
    assert_type(keras_winit.initializers.ones, type[keras.initializers.Ones])


def test_layer_class_stays_that_class():
    Dense = keras_winit.suggest_initializer(keras.layers.Dense)
    assert_type(Dense, type[keras.layers.Dense])
    assert_type(Dense(64, activation="relu"), keras.layers.Dense)

    class Mine(Dense):
        pass

    assert_type(Mine(3), Mine)


def test_module_keeps_its_classes():
    layers = keras_winit.suggest_initializer(keras.layers, seed=1)
    assert_type(layers.Conv2D(8, 3, activation="relu"), keras.layers.Conv2D)


def test_function_keeps_its_arguments():
    @keras_winit.suggest_initializer
    def block(filters: int, name: str | None = None) -> keras.layers.SeparableConv2D:
        return keras.layers.SeparableConv2D(filters, 3, activation="relu", name=name)

    assert_type(block(32, name="block"), keras.layers.SeparableConv2D)


def test_suggestion():
    suggestion = keras_winit.select_initializer("selu")
    assert_type(suggestion, keras_winit.Suggestion)
    assert_type(suggestion.initializer, keras.Initializer)
    assert_type(suggestion.reason, str)
    assert_type(keras_winit.gain(keras.activations.gelu, "backward"), float)


def test_plan(model):
    plan = keras_winit.suggest(model)
    assert_type(plan, keras_winit.Plan)
    plan["first"] = "orthogonal"
    plan["last"] = keras_winit.initializers.Orthogonal
    assert_type(plan["first/kernel"], keras.Initializer | None)
    assert_type(list(plan), list[str])
    assert_type(plan.rows[0].reason, str)
    result = keras_winit.initialize(model, plan, seed=7, only=["first", "last"])
    assert_type(result, keras_winit.Initialization)
    assert_type(result.rows[0].initializer, str)
    assert_type(result.rows[0].shape, tuple[int, ...])
    assert_type(result.skipped[:1], tuple[results.InitializedWeight, ...])
    assert_type(result.seed, int)
    assert_type(keras_winit.initialize(model, "own", seed=np.int64(3)), keras_winit.Initialization)


def test_diagnosis(model):
    report = keras_winit.diagnose(model, np.ones((8, 4)), 9 + np.eye(8, 3), loss="mse")
    assert_type(report, keras_winit.Diagnosis)
    assert_type(report.ok, bool | None)
    assert_type(report.findings[0].rule, str)
    assert_type(report.findings[0].severity, Literal["error", "warning"])
    assert_type(report.findings[0].action, results.Action | None)
    assert_type(report.signal.layers[0].output.cosine, float | None)
    assert_type(report.layers[0].kernels[0].shape, tuple[int, ...])
    assert_type(report.to_dict(), dict[str, Any])
    mended = report.fix(seed=1)
    assert_type(mended, keras_winit.Diagnosis)
    assert_type(mended.before, keras_winit.Diagnosis | None)


def test_calibration(model):
    x = np.random.default_rng(0).normal(size=(16, 4))
    result = keras_winit.calibrate(model, x, mode="centered", only="first")
    assert_type(result, keras_winit.Calibration)
    assert_type(result.layers[0].mode, str)
    assert_type(result.layers[0].after, float | None)
    assert_type(result.num_samples, tuple[int, int])
    assert_type(result.table.columns, list[str])


def test_inheritance(model):
    source = keras.models.clone_model(model)
    result = keras_winit.inherit(model, source, leave=["last"], dry_run=True)
    assert_type(result, keras_winit.Inheritance)
    assert_type(result.rows[0].what, str)
    assert_type(result.rows[0].source_shape, tuple[int, ...] | None)
    assert_type(result.left[:1], tuple[results.InheritedWeight, ...])
    assert_type(keras_winit.inherit(model, source).difference, float | None)


def test_comparison():
    runs = [results.Run(initializer="own", seed=seed, curves={"loss": [2.0]}) for seed in range(3)]
    comparison = keras_winit.Comparison(
        metric="loss", higher_is_better=False, baseline="own", epochs=1, runs=tuple(runs)
    )
    assert_type(comparison.initializers, list[str])
    assert_type(comparison.verdict, str)
    assert_type(comparison.rows[0].median, float | None)
    assert_type(comparison.runs[0].curves, dict[str, list[float]])


if TYPE_CHECKING:  # it takes long: what comes of it is tested in tests/_compare

    def compare(build_model: Callable[[], keras.Model]) -> None:
        comparison = keras_winit.compare(build_model, np.ones((8, 4)), np.ones(8), ["zeros"])
        assert_type(comparison, keras_winit.Comparison | Any)


def test_monitor(tmp_path):
    monitor = keras_winit.SignalMonitor(np.ones((4, 3)), every=50, csv_path=tmp_path / "signal.csv")
    assert_type(monitor.history, list[dict[str, Any]])
    assert isinstance(monitor, keras.callbacks.Callback)


def test_initializers():
    assert_type(keras_winit.initializers.ActivationScaling("gelu").centered, bool)
    assert_type(keras_winit.initializers.Identity(gain=0.5).gain, float)
    assert_type(keras_winit.initializers.sparse(connections=3).connections, int | None)
    prior = keras_winit.initializers.ClassPrior.from_labels([0, 0, 1])
    assert_type(prior, keras_winit.initializers.ClassPrior)
    assert_type(prior.probabilities, float | list[float])
    orthogonal = keras_winit.initializers.Orthogonal(seed=keras.random.SeedGenerator(1))
    assert_type(orthogonal.get_config(), dict[str, Any])
    assert_type(
        keras_winit.SparsityMask(keras_winit.initializers.Sparse(seed=1)).initializer, Sparse
    )


def test_catalogue():
    catalogue = keras_winit.catalogue()
    assert_type(catalogue["sparse"].initializer, type[keras.Initializer])
    assert_type(catalogue[0], results.Entry)
    assert_type(catalogue[:2], results.Catalogue)
    assert_type([entry.alias for entry in catalogue], list[str | None])
    assert_type(keras_winit.register_aliases(), list[str])


def test_kernel():
    kernel = keras_winit.Kernel("kernel_initializer", input_axes=[0, 2], output_axes=[1])
    assert_type(kernel.structure((5, 4, 3))[0], tuple[int, ...])

    class Mixer(keras.layers.Layer):
        pass

    keras_winit.describe_layer(Mixer, [kernel])
    keras_winit.describe_layer(Mixer, lambda layer: [kernel] * layer.count)


def test_other_functions(model):
    assert_type(keras_winit.strip_initializers(model), list[str])


def test_wrong_arguments_are_errors_to_a_checker_as_well(model):
    # A comment that is not needed is an error to the checker: each line is one without it.
    with pytest.raises(TypeError, match="`seed` should be an integer"):
        keras_winit.initialize(model, seed="x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`only` should be"):
        keras_winit.initialize(model, only=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`scheme` should be"):
        keras_winit.initialize(model, 3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`model` should be"):
        keras_winit.suggest("model.keras")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`mode` should be one of"):
        keras_winit.calibrate(model, mode="units")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`kind` should be one of"):
        keras_winit.gain("relu", "backwards")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`builder` should be"):
        keras_winit.suggest_initializer("dense")  # pyright: ignore
    with pytest.raises(ValueError, match="`mode` should be one of"):
        keras_winit.initializers.Orthogonal(mode="fans")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`seed` should be an integer"):
        keras_winit.initializers.Sparse(seed=0.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="`every` should be an integer"):
        keras_winit.SignalMonitor(every=0.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(AttributeError, match="HeNorml"):
        keras_winit.initializers.HeNorml  # pyright: ignore  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ActivationLike, ["relu", None, keras.activations.relu, keras.layers.ReLU(), {}]),
        (InitializerLike, ["he_normal", keras.initializers.HeNormal, keras.initializers.Ones()]),
        (Scheme, ["suggested", "he_normal", keras.initializers.HeNormal]),
        (Seed, [7, np.int32(7)]),
        (SeedLike, [7, keras.random.SeedGenerator(7)]),
        (Names, ["first", ["first", "last"], ("first",)]),
        (Data, [np.ones((2, 3)), keras.ops.ones((2, 3)), {"a": np.ones(3)}, [1.0, 2.0]]),
    ],
    ids=lambda each: "",
)
def test_alias_takes(kind, values):
    for value in values:
        assert has_type(value, kind)


def test_schemes_are_those_that_there_are():
    literal = next(each for each in typing.get_args(Scheme) if typing.get_args(each))
    assert set(typing.get_args(literal)) == set(SCHEMES)


def test_names_of_keras_are_told_to_checkers_that_do_not_look_there():
    tree = ast.parse(inspect.getsource(keras_winit.initializers))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    told = [
        alias for node in imports if node.module == "keras.initializers" for alias in node.names
    ]
    names = {alias.asname for alias in told} - {None}
    public = {name for name in dir(keras.initializers) if not name.startswith("_")}
    assert names == public - {"Identity", "Orthogonal"}
