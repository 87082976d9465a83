"""An activation as an object, whatever it was made of."""

import math

import keras
import numpy as np
import pytest
from scipy import integrate, stats

from keras_winit._activations.activation import NOTHING, Activation

ops = keras.ops

SAME = {
    "name": lambda: "relu",
    "function": lambda: keras.activations.relu,
    "layer": lambda: keras.layers.ReLU(),
    "Activation layer": lambda: keras.layers.Activation("relu"),
    "lambda": lambda: lambda x: ops.maximum(x, 0.0),
    "config": lambda: keras.saving.serialize_keras_object(keras.layers.ReLU()),
}


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_the_name_is_that_of_keras_in_whatever_form_it_is_given(given):
    assert Activation(given()).name == "relu"


def test_the_same_function_of_keras_is_one_key_in_a_dictionary():
    by_name, by_function = Activation("gelu"), Activation(keras.activations.gelu)
    assert by_name == by_function
    assert len({by_name, by_function, Activation(keras.layers.Activation("gelu"))}) == 1


def test_arguments_tell_activations_apart():
    slopes = [Activation(keras.layers.LeakyReLU(slope)) for slope in (0.1, 0.2, 0.1)]
    assert slopes[0] == slopes[2]
    assert slopes[0] != slopes[1]


def test_a_function_of_the_user_is_equal_to_itself_alone():
    def cube(x):
        return x**3

    assert Activation(cube) == Activation(cube)
    assert hash(Activation(cube)) == hash(Activation(cube))
    assert Activation(cube) != Activation(lambda x: x**3)
    assert Activation(cube) != "cube"


def test_a_function_of_the_user_is_no_rectifier_for_its_name():
    def relu(x):
        return x**3

    activation = Activation(relu)
    assert (activation.name, activation.keras_name) == ("relu", None)
    assert not activation.is_rectifier
    assert Activation(keras.activations.relu).is_rectifier


def test_an_activation_is_kept_as_it_is():
    activation = Activation("tanh")
    assert Activation.of(activation) is activation
    assert Activation.of("tanh") == activation


@pytest.mark.parametrize("given", ["tanh", "softplus", lambda x: ops.sin(3 * x)])
def test_values_are_those_of_the_function(given):
    points = np.linspace(-3, 3, 7)
    tensor = ops.convert_to_tensor(points)
    function = getattr(keras.activations, given) if isinstance(given, str) else given
    expected = ops.convert_to_numpy(function(tensor))
    np.testing.assert_allclose(Activation(given).values(points), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("given", ["softmax", "glu", lambda x: x - ops.mean(x)])
def test_what_acts_on_units_together_has_no_moments(given):
    activation = Activation(given)
    assert activation.moments is None
    assert not activation.is_mostly_mean
    with pytest.raises(ValueError, match="`activation` should"):
        activation.measure()


def test_the_slopes_of_a_layer_are_those_it_had_when_it_was_read():
    layer = keras.layers.PReLU(keras.initializers.Constant(0.5))
    layer.build((None, 3))
    activation = Activation(layer)
    layer.alpha.assign(np.zeros(3))
    assert activation.moments.second_moment == pytest.approx((1 + 0.5**2) / 2)


def expectation(function):
    return integrate.quad(lambda z: function(z) * stats.norm.pdf(z), -12, 12, limit=200)[0]


@pytest.mark.parametrize("given", ["sigmoid", "softplus", "gelu", "tanh", "exponential"])
def test_it_is_mostly_its_mean_where_the_mean_has_most_of_the_square(given):
    def value(z):
        return float(Activation(given).values(np.array([z]))[0])

    share = expectation(value) ** 2 / expectation(lambda z: value(z) ** 2)
    assert Activation(given).is_mostly_mean == (share > 0.5)


def test_a_function_is_steep_whose_gradient_would_more_than_double():
    # E f'² / E f² of sin(a z) is a² (1 + exp(-2 a²)) / (1 - exp(-2 a²)).
    for factor in (1.0, 1.3, 1.5, 30.0):
        decay = math.exp(-2 * factor**2)
        ratio = factor**2 * (1 + decay) / (1 - decay)
        steep = Activation(lambda z, factor=factor: ops.sin(factor * z)).is_steep
        assert steep == (ratio > 2), factor


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, True),
        (lambda x: 3 * x - 1, True),
        (keras.layers.LeakyReLU(negative_slope=1.0), True),
        (keras.layers.ReLU(negative_slope=1.0), True),
        (keras.layers.ReLU(negative_slope=1.0, max_value=6.0), False),
        (keras.layers.LeakyReLU(negative_slope=0.99), False),
        (keras.layers.PReLU(alpha_initializer="ones"), False),
        *[(name, False) for name in ("relu", "tanh", "hard_tanh", "silu", "softmax")],
    ],
)
def test_a_straight_line_is_linear_whatever_its_name(given, expected):
    assert Activation(given).is_linear is expected


def test_where_nothing_follows_the_signal_stays_as_it_is():
    assert NOTHING == Activation("linear")
    assert NOTHING.name == "nothing"
    assert NOTHING.moments.second_moment == 1
    assert not NOTHING.is_rectifier


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *[(name, 1) for name in ("relu", "gelu", "silu", "hard_silu", "softplus", "relu6")],
        (keras.layers.LeakyReLU(0.3), 1.3),
        (lambda x: ops.abs(x) + 2 * x, 4),
        *[(name, None) for name in ("tanh", "elu", "selu", "linear", "softmax")],
        (ops.abs, None),
    ],
)
def test_pairs_pass_on_what_is_linear(given, expected):
    assert Activation(given).pair_gain == (expected and pytest.approx(expected, rel=1e-6))


def test_pairs_of_what_runs_away_are_linear_where_the_signal_is_small():
    """Of z of size s, E (exp(z) - exp(-z))² is 2 (exp(2 s²) - 1)."""
    activation = Activation("exponential")
    expected = math.sqrt(2 * (math.exp(2 * 0.1**2) - 1)) / 0.1
    assert activation.pair_size == 0.1
    assert activation.pair_gain == pytest.approx(expected, rel=1e-9)
    assert Activation("relu").pair_size == 1
    assert Activation("elu").pair_size is None  # nearly linear there too, but it stays at any size


def test_pairs_of_mish_are_nearly_linear():
    values = Activation("mish").values

    def odd(z):
        return float((values(np.array([z])) - values(np.array([-z])))[0])

    expected = np.sqrt(expectation(lambda z: odd(z) ** 2))
    assert Activation("mish").pair_gain == pytest.approx(expected, rel=1e-4)
