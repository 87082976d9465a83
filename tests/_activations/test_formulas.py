"""The activations in NumPy, against those of Keras."""

import inspect

import keras
import numpy as np
import pytest

from keras_winit._activations.formulas import ALIASES, FORMULAS, NOT_ELEMENTWISE

# Arguments other than the defaults. Every argument of every activation is in here.
ARGUMENTS = [
    ("relu", {"negative_slope": 0.3}),
    ("relu", {"max_value": 2.0}),
    ("relu", {"threshold": 0.75}),
    ("relu", {"negative_slope": 0.3, "max_value": 2.0, "threshold": -0.75}),
    ("leaky_relu", {"negative_slope": 0.1}),
    ("elu", {"alpha": 0.4}),
    ("celu", {"alpha": 0.4}),
    ("gelu", {"approximate": True}),
    ("soft_shrink", {"threshold": 1.25}),
    ("hard_shrink", {"threshold": 1.25}),
    ("squareplus", {"b": 0.3}),
    ("threshold", {"threshold": 0.75, "default_value": -3.0}),
]

# With every kink and jump of the activations and arguments above.
GRID = np.linspace(-9, 9, 145, dtype=np.float32)


def names():
    """Returns the names of the public activations of Keras."""
    tools = {"get", "serialize", "deserialize"}
    public = {name for name in vars(keras.activations) if not name.startswith("_")}
    return sorted(name for name in public - tools if callable(getattr(keras.activations, name)))


def parameters(function):
    signature = inspect.signature(function)
    return {name: each.default for name, each in signature.parameters.items()}


@pytest.mark.parametrize("name", names())
def test_every_activation_of_keras_is_known(name):
    assert name in {*FORMULAS, *ALIASES, *NOT_ELEMENTWISE}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_takes_the_arguments_of_keras(name):
    assert parameters(FORMULAS[name]) == parameters(getattr(keras.activations, name))
    tested = {argument for each, arguments in ARGUMENTS if each == name for argument in arguments}
    assert {"x", *tested} == set(parameters(FORMULAS[name]))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [*((name, {}) for name in FORMULAS if name != "threshold"), *ARGUMENTS],
)
def test_formula_is_the_activation_of_keras(name, arguments):
    outputs = getattr(keras.activations, name)(keras.ops.convert_to_tensor(GRID), **arguments)
    expected = keras.ops.convert_to_numpy(outputs)
    values = FORMULAS[name](GRID.astype(np.float64), **arguments)
    np.testing.assert_allclose(values, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("alias", sorted(set(ALIASES) & set(names())))
def test_alias_is_another_name_for_the_same(alias):
    assert getattr(keras.activations, alias) is getattr(keras.activations, ALIASES[alias])


@pytest.mark.parametrize("name", NOT_ELEMENTWISE)
def test_a_unit_changes_the_outputs_of_others(name):
    inputs = np.array([[[0.3, -0.2, 0.5, 0.1]], [[0.3, -0.2, 0.5, 0.3]]], np.float32)
    outputs = getattr(keras.activations, name)(keras.ops.convert_to_tensor(inputs))
    before, after = keras.ops.convert_to_numpy(outputs)
    assert np.abs(after - before)[0, :3].max() > 1e-3
