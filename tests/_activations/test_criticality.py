import math

import keras
import pytest
from scipy import integrate, stats

from keras_winit._activations import formulas
from keras_winit._activations.activation import Activation
from keras_winit._activations.criticality import critical_point, signal_slope

ops = keras.ops

NAMES = sorted(formulas.FORMULAS.keys() - {"threshold"})
WITHOUT = {
    *("sigmoid", "hard_sigmoid", "sparse_sigmoid", "softplus", "log_sigmoid", "squareplus"),
    *("sparse_plus", "tanh_shrink", "hard_shrink", "exponential"),
}

# Where formulas have their kinks.
KINKS = (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0)


def expectation(function, signal):
    """Returns E function(z) for z ~ N(0, signal), by a quadrature of its own."""
    density = stats.norm(scale=math.sqrt(signal)).pdf
    reach = 10 * math.sqrt(signal)
    edges = [-reach, *(kink for kink in KINKS if abs(kink) < reach), reach]
    return sum(
        integrate.quad(lambda z: float(function(z)) * density(z), *interval)[0]
        for interval in zip(edges[:-1], edges[1:], strict=True)
    )


@pytest.mark.parametrize("activation", sorted(set(NAMES) - WITHOUT))
def test_signal_and_gradient_keep_their_size_at_the_critical_point(activation):
    function = Activation(activation).values
    point = critical_point(activation)

    def slope(z, step=1e-6):
        return (function(z + step) - function(z - step)) / (2 * step)

    signal = point.weight_variance * expectation(lambda z: function(z) ** 2, point.signal)
    gradient = point.weight_variance * expectation(lambda z: slope(z) ** 2, point.signal)
    assert point.bias_variance >= 0
    assert signal + point.bias_variance == pytest.approx(point.signal, rel=1e-6)
    assert gradient == pytest.approx(1, abs=1e-5)


SILU = (1.98800468, 0.55514317, 14.32017)


# Roberts, Yaida and Hanin, 2022, for gelu and silu; the pair of Xiao et al., 2018, for tanh.
@pytest.mark.parametrize(
    ("activation", "expected", "tolerance"),
    [
        ("gelu", (1.98305826, 0.17292239, (3 + math.sqrt(17)) / 2), 1e-7),
        ("silu", SILU, 3e-7),
        (keras.layers.Activation("silu"), SILU, 3e-7),
        (lambda x: x * ops.sigmoid(x), SILU, 3e-7),
        # f(s x) / s has the same weights, and signal and biases divided by s².
        (lambda x: x * ops.sigmoid(1.5 * x), (1.98800468, 0.24673030, 6.36452), 2e-3),
        ("tanh", (1.05, 2.01e-5, 0.0259), 2e-2),
    ],
)
def test_points_are_those_of_the_literature(activation, expected, tolerance):
    point = critical_point(activation)
    found = (point.weight_variance, point.bias_variance, point.signal)
    assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("negative_slope", [0.0, 0.1, 0.3, 1.0])
def test_homogeneous_activations_need_no_bias(negative_slope):
    point = critical_point(keras.layers.LeakyReLU(negative_slope))
    assert point.weight_variance == pytest.approx(2 / (1 + negative_slope**2))
    assert point.bias_variance == 0
    assert point.signal == 1


@pytest.mark.parametrize("activation", [*sorted(WITHOUT), lambda x: ops.relu(x) ** 2])
def test_activations_without_a_critical_point_say_so(activation):
    message = r"`activation` should have a critical point.*Use a normalization layer"
    with pytest.raises(ValueError, match=message):
        critical_point(activation)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="should be the name of an activation"):
        critical_point("rellu")


def test_the_same_activation_in_any_form_is_solved_once():
    point = critical_point("gelu")
    assert critical_point(keras.activations.gelu) is point
    assert critical_point(keras.layers.Activation("gelu")) is point
    assert critical_point(lambda x: keras.activations.gelu(x)) is point


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("linear", 1),
        ("relu", 1),
        ("relu6", 1.0000),
        ("leaky_relu", 1),
        ("elu", 0.8910),
        ("celu", 0.8910),
        ("selu", 0.7826),
        ("gelu", 1.1441),
        (lambda x: keras.activations.gelu(x, approximate=True), 1.1443),
        ("silu", 1.1726),
        ("mish", 1.0763),
        ("hard_silu", 1.2239),
        ("tanh", 0.4611),
        ("hard_tanh", 0.3851),
        ("softsign", 0.4767),
        ("sigmoid", 0.1063),
        ("hard_sigmoid", 0.0971),
        ("softplus", 0.4921),
        ("log_sigmoid", 0.4921),
        ("squareplus", 1 / 3),
        ("exponential", 2),
        ("soft_shrink", 1.4718),
        ("tanh_shrink", 1.8262),
    ],
)
def test_slopes_of_the_signal_are_those_of_the_literature(activation, expected):
    assert signal_slope(activation) == pytest.approx(expected, abs=6e-5)


# E sin(√q z)² = (1 - exp(-2 q)) / 2 and E relu(√q z)⁴ = 3 q² / 2; computed in float32.
@pytest.mark.parametrize(
    ("activation", "expected"),
    [(ops.sin, 2 / (math.exp(2) - 1)), (lambda x: ops.relu(x) ** 2, 2)],
)
def test_slopes_of_other_functions_follow_from_their_closed_forms(activation, expected):
    assert signal_slope(activation) == pytest.approx(expected, abs=5e-3)
