"""Gains of activations, however they are given."""

import functools
import importlib
import math

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._activations.gains import KINDS
from keras_winit._activations.identify import identify

# 1 / sqrt(E f²), 1 / sqrt(Var f) and 1 / sqrt(E f'²) for unit normal input, by piecewise
# Gauss-Legendre quadrature with 64 nodes on panels of width 1/4 that end at the kinks.
TABLE = {
    "linear": (1, 1, 1),
    "relu": (1.414214, 1.712859, 1.414214),
    "relu6": (1.414214, 1.712859, 1.414214),
    "leaky_relu": (1.386750, 1.546460, 1.386750),
    "elu": (1.245198, 1.270843, 1.223429),
    "celu": (1.245198, 1.270843, 1.223429),
    "selu": (1.000000, 1.000000, 0.966026),
    "gelu": (1.533530, 1.700926, 1.481114),
    "silu": (1.676532, 1.787187, 1.623320),
    "mish": (1.486848, 1.592025, 1.444755),
    "hard_silu": (1.736657, 1.813871, 1.670076),
    "tanh": (1.592537, 1.592537, 1.467414),
    "hard_tanh": (1.392036, 1.392036, 1.210287),
    "softsign": (2.337533, 2.337533, 2.095781),
    "sigmoid": (1.846229, 4.801313, 4.722646),
    "hard_sigmoid": (1.897840, 6.015034, 6.008116),
    "softplus": (1.041867, 1.919126, 1.846229),
    "log_sigmoid": (1.041867, 1.919126, 1.846229),
    "squareplus": (0.816497, 1.926495, 1.859149),
    "exponential": (0.367879, 0.462706, 0.367879),
    "soft_shrink": (1.544361, 1.544361, 1.273008),
    "tanh_shrink": (2.338368, 2.338368, 1.988139),
    "swish": (1.676532, 1.787187, 1.623320),
    "hard_swish": (1.736657, 1.813871, 1.670076),
    "prelu": (1.414214, 1.712859, 1.414214),
}

# The same for functions that Keras has no name for.
UNNAMED = {
    "gelu by tanh": (
        functools.partial(keras.activations.gelu, approximate=True),
        (1.533581, 1.700917, 1.481168),
    ),
    "tanh of LeCun": (
        lambda x: 1.7159 * keras.ops.tanh(2 * x / 3),
        (1.154369, 1.154369, 1.115257),
    ),
    "erf": (keras.ops.erf, (1.467167, 1.467167, 1.325218)),
    "sin": (keras.ops.sin, (1.520867, 1.520867, 1.327251)),
    "relu squared": (lambda x: keras.ops.relu(x) ** 2, (0.816497, 0.894427, 0.707107)),
}

# The constants of Normalizer-Free networks, a Monte-Carlo estimate of 1 / sqrt(Var f)
# (google-deepmind/deepmind-research, nfnets/base.py).
NFNETS = {
    "relu": 1.71396,
    "gelu": 1.70150,
    "silu": 1.78813,
    "tanh": 1.59391,
    "sigmoid": 4.80384,
    "softplus": 1.92033,
    "elu": 1.27160,
    "selu": 1.00085,
    "softsign": 2.33885,
}


@keras.saving.register_keras_serializable("test_gains")
def cube(x):
    return x**3


@keras.saving.register_keras_serializable("test_gains")
class Scaled(keras.layers.Layer):
    """A custom activation layer: `scale` * x."""

    def __init__(self, scale=0.25, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return self.scale * inputs

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


class Unsaved(keras.layers.Layer):
    """A layer that Keras cannot copy: its argument is no JSON."""

    def __init__(self, function):
        super().__init__()
        self.function = function


def leaky(slope):
    """Returns the gain of a rectifier with this slope."""
    return math.sqrt(2 / (1 + slope**2))


def constant(slope):
    return keras.initializers.Constant(slope)


def built(layer):
    layer.build((None, 3))
    return layer


def trained(layer):
    built(layer).alpha.assign(np.full(3, 0.25))
    return layer


# What can be given for an activation, made when the test runs, and its forward gain.
FORMS = {
    "None": (lambda: None, 1),
    "function": (lambda: keras.activations.relu, leaky(0)),
    "function of keras.ops": (lambda: keras.ops.relu, leaky(0)),
    "lambda": (lambda: lambda x: keras.ops.maximum(x, 0.3 * x), leaky(0.3)),
    "partial": (
        lambda: functools.partial(keras.activations.leaky_relu, negative_slope=0.3),
        leaky(0.3),
    ),
    "partial by position": (lambda: functools.partial(keras.ops.maximum, 0.0), leaky(0)),
    "partial with all that is required": (
        lambda: functools.partial(keras.activations.threshold, threshold=0.0, default_value=0.0),
        leaky(0),
    ),
    "registered function": (lambda: cube, 1 / math.sqrt(15)),
    "registered name": (lambda: "test_gains>cube", 1 / math.sqrt(15)),
    "registered name of a layer": (lambda: "test_gains>Scaled", 4),
    "Activation": (lambda: keras.layers.Activation("relu"), leaky(0)),
    "Activation of an activation": (
        lambda: keras.layers.Activation(keras.layers.LeakyReLU(0.3)),
        leaky(0.3),
    ),
    "Activation of a lambda": (lambda: keras.layers.Activation(lambda x: 0.25 * x), 4),
    "ReLU": (lambda: keras.layers.ReLU(), leaky(0)),
    "ReLU with a slope": (lambda: keras.layers.ReLU(negative_slope=0.3), leaky(0.3)),
    "ReLU with a maximum": (lambda: keras.layers.ReLU(max_value=6), TABLE["relu6"][0]),
    # E x² above 1 is P(z > 1) plus the density at 1.
    "ReLU with a threshold": (
        lambda: keras.layers.ReLU(threshold=1.0),
        1 / math.sqrt(0.15865525393145707 + 0.24197072451914337),
    ),
    "LeakyReLU": (lambda: keras.layers.LeakyReLU(negative_slope=0.1), leaky(0.1)),
    "PReLU": (lambda: keras.layers.PReLU(), leaky(0)),
    "PReLU, to be built": (
        lambda: keras.layers.PReLU(alpha_initializer=constant(0.25)),
        leaky(0.25),
    ),
    "PReLU, trained": (lambda: trained(keras.layers.PReLU()), leaky(0.25)),
    "ELU": (lambda: keras.layers.ELU(), TABLE["elu"][0]),
    "ELU without a negative side": (lambda: keras.layers.ELU(alpha=0.0), leaky(0)),
    "Identity": (lambda: keras.layers.Identity(), 1),
    "layer": (lambda: Scaled(0.5), 2),
    "layer that was called": (lambda: built(Scaled(0.5)), 2),
    "serialized layer": (
        lambda: keras.saving.serialize_keras_object(keras.layers.LeakyReLU(0.3)),
        leaky(0.3),
    ),
    "serialized function": (lambda: keras.saving.serialize_keras_object(cube), 1 / math.sqrt(15)),
}

# A function of the backend itself, and the Keras activation that it is.
LIBRARY = {"tensorflow": "tensorflow", "jax": "jax.nn", "torch": "torch.nn.functional"}
FOREIGN = ["relu", "relu6", "elu", "selu", "silu", "sigmoid", "softplus"]


def foreign(name):
    """Returns the backend's own function of this name."""
    library = importlib.import_module(LIBRARY[keras.backend.backend()])
    return getattr(getattr(library, "nn", library), name)


@pytest.mark.parametrize(("kind", "column"), [("forward", 0), ("centered", 1), ("backward", 2)])
@pytest.mark.parametrize("name", TABLE)
def test_gain_of_a_name_is_that_of_the_table(name, kind, column):
    assert keras_winit.gain(name, kind) == pytest.approx(TABLE[name][column], abs=6e-7)


@pytest.mark.parametrize(("kind", "column"), [("forward", 0), ("centered", 1), ("backward", 2)])
@pytest.mark.parametrize(("function", "gains"), UNNAMED.values(), ids=UNNAMED)
def test_gain_of_a_function_is_that_of_the_table(function, gains, kind, column):
    # JAX computes in float32.
    assert keras_winit.gain(function, kind) == pytest.approx(gains[column], rel=5e-5)


@pytest.mark.parametrize(("name", "constant"), NFNETS.items())
def test_centered_gain_is_the_constant_of_nfnets(name, constant):
    assert keras_winit.gain(name, kind="centered") == pytest.approx(constant, rel=2e-3)


def test_forward_gain_is_the_default():
    assert keras_winit.gain("silu") == keras_winit.gain("silu", kind="forward")


@pytest.mark.parametrize(("activation", "expected"), FORMS.values(), ids=FORMS)
def test_activation_can_be_given_in_any_form(activation, expected):
    assert keras_winit.gain(activation()) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("name", FOREIGN)
def test_function_of_the_backend_is_recognized(name):
    assert identify(foreign(name)) == (name, {})
    for kind in KINDS:
        assert keras_winit.gain(foreign(name), kind) == keras_winit.gain(name, kind)


def test_near_relative_is_not_taken_for_the_same():
    assert identify(UNNAMED["gelu by tanh"][0])[0] == "gelu"
    assert identify(lambda x: keras.ops.gelu(x, approximate=True)) == (None, {})
    assert identify(lambda x: keras.ops.leaky_relu(x, 0.21)) == (None, {})


def test_layer_that_is_measured_is_left_unbuilt():
    layer = Scaled(0.5)
    keras_winit.gain(layer)
    assert not layer.built


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (
            "rleu",
            r"`activation` should be the name .*: activation='rleu'\. Did you mean 'relu'\?",
        ),
        ("LeakyReLU", r"activation='LeakyReLU'\. Did you mean 'leaky_relu'\?"),
        ("nothing like it", r"activation='nothing like it'\.$"),
        ("", r"activation=''\.$"),
        ("softmax", "act on each unit alone .* For a last layer with softmax use 'linear'"),
        ("glu", "act on each unit alone .* For a last layer with glu use 'linear'"),
        (keras.activations.log_softmax, "act on each unit alone"),
        (functools.partial(keras.activations.softmax, axis=-1), "act on each unit alone"),
        (lambda x: x - keras.ops.mean(x), "elementwise .* depends on the other points"),
        (lambda x: x[:2], "elementwise"),
        (lambda x: keras.ops.where(x > 3, math.nan, x), "not finite at 3"),
        (lambda x, y: x, "elementwise"),
        (lambda x: 0 * x, "let a signal through .* whose moment is 0"),
        ("threshold", "missing 2 required positional arguments"),
    ],
)
def test_what_has_no_gain_is_refused(activation, message):
    with pytest.raises(ValueError, match=message):
        keras_winit.gain(activation)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.Softmax(), "act on each unit alone"),
        (lambda: keras.layers.Activation("softmax"), "act on each unit alone"),
        (lambda: keras.layers.LayerNormalization(), "depends on the other points"),
        (lambda: Unsaved(abs), "`activation` should be .* Received: activation=<Unsaved"),
    ],
)
def test_layer_that_has_no_gain_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        keras_winit.gain(layer())


@pytest.mark.parametrize(("kind", "moment"), [("backward", "0"), ("centered", "0")])
def test_constant_has_a_forward_gain_alone(kind, moment):
    def one(x):
        return keras.ops.ones_like(x)

    assert keras_winit.gain(one) == 1
    with pytest.raises(ValueError, match=f"let a signal through .* whose moment is {moment}"):
        keras_winit.gain(one, kind)


@pytest.mark.parametrize("activation", [keras.layers.ReLU, 3.0, True, np.zeros(3), ["relu"]])
def test_what_is_no_activation_is_a_type_error(activation):
    with pytest.raises(TypeError, match="a name, a function, a layer instance or None"):
        keras_winit.gain(activation)


@pytest.mark.parametrize(
    ("kind", "suggestion"),
    [("foward", " Did you mean 'forward'"), ("centred", " Did you mean 'centered'"), (None, "$")],
)
def test_unknown_kind_is_refused(kind, suggestion):
    message = rf"`kind` should be one of 'forward', 'backward', 'centered'\. .*\.{suggestion}"
    with pytest.raises(ValueError, match=message):
        keras_winit.gain("relu", kind)
