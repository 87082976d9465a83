import itertools
import json
import math

import keras
import numpy as np
import pytest
from sampling import assert_distribution, assert_moments, draw
from scipy import stats

from keras_winit.initializers import ActivationScaling

layers = keras.layers

SHAPE = (3, 5, 32, 96)
FAN_IN, FAN_OUT = 3 * 5 * 32, 3 * 5 * 96

# E f(z)² and E f'(z)² in closed form.
MOMENTS = {
    "linear": (1.0, 1.0),
    "relu": (0.5, 0.5),
    "leaky_relu": ((1 + 0.2**2) / 2, (1 + 0.2**2) / 2),
    "exponential": (math.exp(2), math.exp(2)),
    "hard_tanh": (1 - 2 * stats.norm.pdf(1), stats.norm.cdf(1) - stats.norm.cdf(-1)),
}


@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("activation", MOMENTS)
def test_variance_is_that_of_the_closed_form(activation, mode, distribution):
    values = draw(ActivationScaling(activation, 0.7, mode, distribution, seed=1), SHAPE)
    forward, backward = np.multiply(MOMENTS[activation], (FAN_IN, FAN_OUT))
    expected = {"fan_in": forward, "fan_out": backward, "fan_avg": (forward + backward) / 2}
    assert_moments(values, 0.7 / expected[mode], distribution)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("truncated_normal", stats.truncnorm(-2, 2, scale=1 / 0.87962566103423978)),
        ("untruncated_normal", stats.norm),
        ("uniform", stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    ],
)
def test_values_follow_the_distribution(distribution, expected):
    initializer = ActivationScaling("linear", distribution=distribution, seed=2)
    values = draw(initializer, SHAPE) * math.sqrt(FAN_IN)
    assert_distribution(values, expected)
    lowest, highest = expected.support()
    assert lowest <= values.min() < values.max() <= highest


@pytest.mark.parametrize(
    ("activation", "mode", "distribution", "builtin"),
    [
        ("relu", "fan_in", "truncated_normal", "he_normal"),
        ("relu", "fan_in", "uniform", "he_uniform"),
        ("linear", "fan_in", "truncated_normal", "lecun_normal"),
        ("selu", "fan_in", "truncated_normal", "lecun_normal"),
        ("linear", "fan_avg", "truncated_normal", "glorot_normal"),
        ("linear", "fan_avg", "uniform", "glorot_uniform"),
    ],
)
def test_draws_as_the_initializer_of_keras_for_that_setting(
    activation, mode, distribution, builtin
):
    ours = draw(ActivationScaling(activation, 1.0, mode, distribution, seed=3), SHAPE)
    keras.utils.set_random_seed(3)
    theirs = draw(keras.initializers.get(builtin), SHAPE)
    assert stats.ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 1e-3


DEPTHWISE = {"input_axes": [0, 1], "output_axes": [0, 1, 3]}
TRANSPOSED = {"input_axes": [0, 1, 3], "output_axes": [0, 1, 2]}


def linear(**axes):
    return ActivationScaling("linear", seed=4, **axes)


@pytest.mark.parametrize(
    ("layer", "input_shape"),
    [
        (layers.Dense(160, kernel_initializer=linear()), (40,)),
        (layers.Conv2D(96, (2, 3), kernel_initializer=linear()), (5, 6, 8)),
        (layers.Conv2D(96, (2, 3), groups=4, kernel_initializer=linear()), (5, 6, 32)),
        (
            layers.DepthwiseConv2D(
                (2, 3), depth_multiplier=5, depthwise_initializer=linear(**DEPTHWISE)
            ),
            (5, 6, 32),
        ),
        (layers.Conv2DTranspose(96, (2, 3), kernel_initializer=linear(**TRANSPOSED)), (5, 6, 8)),
        (layers.EinsumDense("abc,cde->abde", (3, 4, 6), kernel_initializer=linear()), (3, 90)),
        (layers.EinsumDense("abcd,cde->abe", (3, 90), kernel_initializer=linear()), (3, 4, 6)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else str(value),
)
def test_variance_is_one_over_the_fan_in_that_the_layer_sums(layer, input_shape):
    layer.build((None, *input_shape))
    assert_one_over_fan_in(layer, np.ones((1, *input_shape), "float32"))


def test_attention_kernels_have_the_variance_of_what_they_sum():
    attention = layers.MultiHeadAttention(4, 6, kernel_initializer=linear())
    attention.build((None, 5, 90), (None, 5, 90))
    for layer in (attention.query_dense, attention.key_dense, attention.value_dense):
        assert_one_over_fan_in(layer, np.ones((1, 5, 90), "float32"))
    assert_one_over_fan_in(attention.output_dense, np.ones((1, 5, 4, 6), "float32"))


def assert_one_over_fan_in(layer, ones):
    """Compares the kernel with the largest sum of inputs, found by running the layer."""
    kernel = layer.weights[0]
    values = keras.ops.convert_to_numpy(kernel)
    kernel.assign(np.ones_like(values))
    fan_in = keras.ops.convert_to_numpy(layer(ones)).max()
    assert_moments(values, 1 / fan_in, "truncated_normal")


@pytest.mark.parametrize(
    # Fluctuations of log E z² have variance `excess` / width at each layer, where `excess` is
    # E f⁴ / (E f²)² - 1, and are multiplied by `slope`, d log E f(sqrt(q) z)² / d log q.
    ("activation", "depth", "excess", "slope"),
    [("tanh", 30, 0.627, 0.4611), ("elu", 30, 2.776, 0.8910), ("gelu", 6, 6.216, 1.1441)],
)
def test_second_moment_stays_one_through_a_deep_stack(activation, depth, excess, slope):
    widths = [(500, 1000)[layer % 2] for layer in range(depth)]
    signal = np.random.default_rng(5).normal(size=(64, 300)).astype("float32")
    z = layers.Dense(widths[0], kernel_initializer=ActivationScaling("linear", seed=5))(signal)
    variance = 2 / 300
    for seed, (width, next_width) in enumerate(itertools.pairwise(widths)):
        initializer = ActivationScaling(activation, seed=seed)
        outputs = keras.activations.get(activation)(z)
        z = layers.Dense(next_width, kernel_initializer=initializer)(outputs)
        variance = slope**2 * variance + excess / width
    second_moment = np.mean(keras.ops.convert_to_numpy(z) ** 2)
    assert abs(math.log(second_moment)) < 4 * math.sqrt(variance) + variance / 2


def test_fan_out_keeps_the_gradient_where_layers_widen():
    widths = (150, 300, 600, 1200, 2400)
    model = keras.Sequential([keras.Input((100,))])
    for seed, width in enumerate(widths):
        initializer = ActivationScaling("relu", mode="fan_out", seed=seed)
        model.add(layers.Dense(width, activation="relu", kernel_initializer=initializer))
    # After one step at learning rate 1 on one sample, a bias is the gradient at its unit.
    rng = np.random.default_rng(6)
    direction = rng.normal(size=(1, widths[-1])).astype("float32")
    model.compile(keras.optimizers.SGD(1.0), lambda y_true, y: keras.ops.sum(y_true * y))
    model.train_on_batch(rng.normal(size=(1, 100)).astype("float32"), direction)
    gradients = [keras.ops.convert_to_numpy(layer.bias) for layer in model.layers]
    first, last = np.mean(gradients[0] ** 2), np.mean(gradients[-1] ** 2)
    variance = sum(5 / width for width in widths)
    assert abs(math.log(first / last)) < 4 * math.sqrt(variance)


@pytest.mark.parametrize(
    ("activation", "same"),
    [
        (keras.activations.tanh, "tanh"),
        (layers.Activation("tanh"), "tanh"),
        (None, "linear"),
        (layers.LeakyReLU(negative_slope=0.2), "leaky_relu"),
        (keras.saving.serialize_keras_object(layers.LeakyReLU(negative_slope=0.2)), "leaky_relu"),
    ],
)
def test_an_activation_can_be_given_in_any_form(activation, same):
    initializer = ActivationScaling(activation, seed=7)
    expected = draw(ActivationScaling(same, seed=7), SHAPE)
    np.testing.assert_array_equal(draw(initializer, SHAPE), expected)
    config = json.loads(json.dumps(initializer.get_config()))
    np.testing.assert_array_equal(draw(ActivationScaling.from_config(config), SHAPE), expected)


@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
def test_centered_units_sum_to_zero_and_have_the_variance_of_the_spread(distribution):
    initializer = ActivationScaling("relu", distribution=distribution, centered=True, seed=9)
    kernel = draw(initializer, (3, 5, 20, 60)).astype("float64")
    np.testing.assert_allclose(kernel.sum(axis=(0, 1, 2)), 0.0, atol=1e-4)
    # Var relu(z) = (1 - 1 / pi) / 2. The kurtosis is at most that of the normal.
    variance = 2 / (1 - 1 / math.pi) / 300
    assert abs(kernel.var() / variance - 1) < 4 * math.sqrt(2 / kernel.size)


def test_centered_needs_two_inputs_and_a_bool():
    with pytest.raises(ValueError, match=r"`centered` weights.*Received: shape=\(1, 4\)"):
        ActivationScaling(centered=True)((1, 4))
    with pytest.raises(TypeError, match="`centered` should be True or False.*centered=1"):
        ActivationScaling(centered=1)


def test_a_function_that_cannot_be_named_is_saved_as_its_moments():
    initializer = ActivationScaling(lambda x: keras.ops.sin(x), mode="fan_avg", seed=8)
    config = json.loads(json.dumps(initializer.get_config()))
    assert config["activation"] == {
        "second_moment": pytest.approx((1 - math.exp(-2)) / 2, rel=1e-5),
        "variance": pytest.approx((1 - math.exp(-2)) / 2, rel=1e-5),  # its mean is zero
        "slope_second_moment": pytest.approx((1 + math.exp(-2)) / 2, rel=1e-5),
    }
    loaded = ActivationScaling.from_config(config)
    np.testing.assert_array_equal(draw(loaded, SHAPE), draw(initializer, SHAPE))
    assert loaded.get_config() == config


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"activation": "gelo"}, ValueError, "activation='gelo'. Did you mean 'gelu'?"),
        ({"activation": "softmax"}, ValueError, "each unit alone .* activation='softmax'"),
        ({"activation": 3}, TypeError, "`activation` should be .* activation=3 of type int"),
        ({"activation": lambda x: 0 * x}, ValueError, "let a signal through .* activation=<"),
        ({"mode": "fan_inn"}, ValueError, "`mode` should be one of .* Did you mean 'fan_in'?"),
        ({"mode": "FAN_IN"}, ValueError, "mode='FAN_IN'. Did you mean 'fan_in'?"),
        ({"distribution": "unifrom"}, ValueError, "`distribution` .* Did you mean 'uniform'?"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(kwargs, error, message):
    with pytest.raises(error, match=message.replace("?", r"\?")):
        ActivationScaling(**kwargs)
