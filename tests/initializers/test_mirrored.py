import keras
import numpy as np
import pytest
from sampling import draw
from scipy import stats

from keras_winit.initializers import LooksLinear, Mirrored

layers, ops = keras.layers, keras.ops

RNG = np.random.default_rng(0)

# f(z) - f(-z) is a multiple of z.
LINEAR = ["relu", "leaky_relu", "gelu", "silu", "softplus", "hard_silu"]


def check_additive(network, *shape, atol=2e-5):
    first, second = RNG.normal(size=(2, 5, *shape)).astype("float32")
    both, one, other = (
        ops.convert_to_numpy(network(ops.convert_to_tensor(each)))
        for each in (first + second, first, second)
    )
    np.testing.assert_allclose(both, one + other, atol=atol)
    assert abs(both).max() > 100 * atol


@pytest.mark.parametrize("activation", LINEAR)
def test_networks_start_as_a_linear_map(activation):
    network = keras.Sequential(
        [
            layers.Dense(9, activation, kernel_initializer=Mirrored(first=True, seed=0)),
            layers.Dense(12, activation, kernel_initializer=Mirrored(seed=1)),
            layers.Dense(7, activation, kernel_initializer=Mirrored("he_normal", seed=2)),
            layers.Dense(4, kernel_initializer=Mirrored("sparse", last=True, seed=3)),
        ]
    )
    check_additive(network, 6)


def test_convolutions_of_all_kinds_do():
    transposed = {"input_axes": [0, 1, 3], "output_axes": [0, 1, 2]}
    network = keras.Sequential(
        [
            layers.Conv2D(8, (3, 2), 2, "same", kernel_initializer=Mirrored(first=True, seed=0)),
            layers.Activation("gelu"),
            layers.AveragePooling2D((2, 1), 1),
            layers.Conv2D(10, 3, padding="same", kernel_initializer=Mirrored("dirac", seed=1)),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.UpSampling2D(2),
            layers.Conv2DTranspose(6, 3, 2, kernel_initializer=Mirrored(seed=2, **transposed)),
            layers.Activation("silu"),
            layers.Flatten(),
        ]
    )
    blocks = network.compute_output_shape((1, 8, 6, 3))[-1] // 6
    last = Mirrored(last=True, input_blocks=blocks, seed=3)
    check_additive(keras.Sequential([network, layers.Dense(4, kernel_initializer=last)]), 8, 6, 3)


def test_groups_do():
    def layer(filters, groups=2, **arguments):
        initializer = Mirrored(groups=groups, **arguments)
        return layers.Conv1D(filters, 2, groups=groups, kernel_initializer=initializer)

    network = keras.Sequential(
        [
            layer(10, first=True, seed=0),
            layers.ReLU(),
            layer(6, seed=1),
            layers.ReLU(),
            layer(3, groups=1, last=True, input_blocks=2, seed=2),
        ]
    )
    check_additive(network, 7, 4)


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_very_deep_networks_keep_all_lengths_and_angles(activation):
    deep = [
        layers.Dense(16, activation, kernel_initializer=Mirrored(seed=number))
        for number in range(100)
    ]
    network = keras.Sequential(
        [
            layers.Dense(
                16, activation, kernel_initializer=Mirrored("orthogonal", first=True, seed=100)
            ),
            *deep,
            layers.Dense(8, kernel_initializer=Mirrored(last=True, seed=101)),
        ]
    )
    points = RNG.normal(size=(5, 6)).astype("float32")
    outputs = ops.convert_to_numpy(network(points) - network(0 * points))
    np.testing.assert_allclose(outputs @ outputs.T, points @ points.T, atol=1e-3)


def test_the_law_of_the_weights_is_that_of_he():
    kernel = draw(Mirrored("lecun_normal", seed=1), (200, 301))
    quarter = kernel[:100, :151]
    stddev = np.sqrt(2 / 200) / 0.87962566103423978  # of the normal before it is truncated
    law = stats.truncnorm(-2, 2, scale=stddev)
    assert stats.kstest(quarter.ravel()[::4], law.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(kernel[100:, :151], -quarter)
    np.testing.assert_array_equal(kernel[:, 151:], -kernel[:, :150])


def test_one_of_an_odd_number_has_no_partner():
    kernel = draw(Mirrored(seed=0), (7, 5))
    np.testing.assert_array_equal(kernel[3], 0)
    np.testing.assert_array_equal(kernel[:3, 2], -kernel[4:, 2])
    assert abs(kernel[:3]).min() > 0


def test_in_the_central_tap_it_is_looks_linear():
    kernels = [
        draw(each, (3, 8, 6))
        for each in (Mirrored("delta_orthogonal", seed=0), LooksLinear(seed=0))
    ]
    for kernel in kernels:
        np.testing.assert_array_equal(kernel[[0, 2]], 0)
        np.testing.assert_array_equal(kernel[1, :4], -kernel[1, 4:])
        np.testing.assert_allclose(
            kernel[1].T @ kernel[1], np.kron([[2, -2], [-2, 2]], np.eye(3)), atol=1e-5
        )


@pytest.mark.parametrize("inner", ["he_uniform", "orthogonal", "random_normal"])
@pytest.mark.parametrize("places", [{}, {"first": True}, {"last": True}])
def test_the_nearest_of_keras_has_the_same_variance(inner, places):
    keras.utils.set_random_seed(0)
    initializer = Mirrored(inner, **places)
    kernel, nearest = (draw(each, (300, 300)) for each in (initializer, initializer.to_keras()))
    # Four standard errors of the variance of 300² / 4 values that are normal.
    assert nearest.var() == pytest.approx(kernel.var(), rel=4 * np.sqrt(2 / (nearest.size / 4)))


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [({"input_blocks": 4}, (6, 4)), ({"input_blocks": 6}, (6, 4)), ({}, (1, 4))],
)
def test_inputs_without_pairs_are_refused(arguments, shape):
    with pytest.raises(ValueError, match="^Mirrored: `input_blocks` should divide the"):
        Mirrored(**arguments)(shape)


def test_outputs_that_groups_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="^Mirrored: `groups` should divide the 5 outputs"):
        Mirrored(groups=2)((4, 5))
