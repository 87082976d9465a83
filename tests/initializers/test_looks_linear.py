import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import LooksLinear

RNG = np.random.default_rng(0)


def relu_network(depth, inputs=6, width=16):
    """Returns a function of samples: `depth` relu layers, the first not mirrored."""
    kernels = [draw(LooksLinear(first=True, seed=0), (inputs, width)).astype("float64")]
    for number in range(1, depth):
        kernels.append(draw(LooksLinear(seed=number), (width, width)).astype("float64"))

    def run(x):
        for kernel in kernels:
            x = np.maximum(x @ kernel, 0)
        return x[:, : width // 2] - x[:, width // 2 :]

    return run


def test_a_deep_relu_network_is_a_linear_map_that_keeps_all_angles():
    run = relu_network(200)
    first, second = RNG.normal(size=(2, 5, 6))
    np.testing.assert_allclose(run(first + second), run(first) + run(second), atol=1e-4)
    np.testing.assert_allclose(run(first) @ run(second).T, first @ second.T, atol=1e-3)


def test_convolutions_do_the_same():
    def layer(filters, **arguments):
        return keras.layers.Conv1D(
            filters, 3, padding="same", kernel_initializer=LooksLinear(**arguments)
        )

    signal = RNG.normal(size=(2, 7, 3)).astype("float32")
    first, second = layer(8, first=True, seed=0), layer(8, seed=1)
    outputs = keras.ops.convert_to_numpy(second(keras.ops.relu(first(signal))))
    kept = outputs[..., :4]
    np.testing.assert_allclose((kept**2).sum(-1), (signal**2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(outputs[..., 4:], -kept, atol=1e-6)


def test_matrices_of_a_batch_are_different_ones():
    kernel = draw(LooksLinear(seed=0, input_axes=[1], output_axes=[2]), (3, 4, 6))
    for matrix in kernel:
        np.testing.assert_array_equal(matrix[:2], -matrix[2:])
        np.testing.assert_array_equal(matrix[:, :3], -matrix[:, 3:])
        np.testing.assert_allclose(matrix[:2, :3] @ matrix[:2, :3].T, np.eye(2), atol=1e-5)
    assert abs(kernel[0] - kernel[1]).max() > 0.1


@pytest.mark.parametrize("first", [True, False])
def test_the_nearest_of_keras_has_the_same_variance(first):
    keras.utils.set_random_seed(0)
    initializer = LooksLinear(first, gain=0.5)
    kernel, nearest = (draw(each, (300, 300)) for each in (initializer, initializer.to_keras()))
    # Four standard errors; the squares of an orthogonal matrix have a fixed sum.
    expected = (kernel**2).mean()
    assert nearest.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / nearest.size))


def test_gain_multiplies_the_weights():
    plain, scaled = (draw(LooksLinear(gain=gain, seed=0), (4, 6)) for gain in (1.0, 0.5))
    np.testing.assert_allclose(scaled, plain / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "shape", "size"),
    [({}, (4, 5), "5 outputs"), ({}, (5, 4), "5 inputs"), ({"first": True}, (5, 3), "3 outputs")],
)
def test_units_that_are_no_pairs_are_refused(arguments, shape, size):
    with pytest.raises(ValueError, match=rf"^LooksLinear: .* should be even.*with {size}"):
        LooksLinear(**arguments)(shape)


def test_first_should_be_a_flag():
    with pytest.raises(TypeError, match="`first` should be True or False. Received: first='no'"):
        LooksLinear(first="no")
