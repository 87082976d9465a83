import math

import keras
import numpy as np
import pytest
from sampling import assert_distribution, draw
from scipy import stats

from keras_winit.initializers import Orthogonal

layers = keras.layers


def assert_orthonormal(matrices, tolerance=1e-5, gain=1.0):
    """Asserts it of the shorter side of each matrix of a stack."""
    if matrices.shape[-2] < matrices.shape[-1]:
        matrices = np.swapaxes(matrices, -2, -1)
    gram = np.swapaxes(matrices, -2, -1) @ matrices
    assert np.abs(gram - gain**2 * np.eye(gram.shape[-1])).max() < tolerance


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize(
    "shape", [(12, 7), (7, 12), (1, 9), (9, 1), (3, 2, 4, 10), (1, 2, 3, 20), (150, 130), (66, 200)]
)
def test_the_shorter_side_is_orthonormal_times_gain(shape, gain):
    values = draw(Orthogonal(gain, seed=1), shape)
    assert_orthonormal(values.reshape(-1, shape[-1]), 1e-5 * gain**2, gain)


if keras.backend.backend() != "jax":  # which has no float64 unless it is told so at its start

    def test_float64_kernels_are_orthonormal_in_float64():
        assert_orthonormal(draw(Orthogonal(seed=1), (150, 130), "float64"), 1e-13)


@pytest.mark.parametrize(("dtype", "epsilon"), [("bfloat16", 2.0**-7), ("float16", 2.0**-10)])
@pytest.mark.parametrize("shape", [(40, 30), (3, 2, 5, 60)])
def test_16_bit_kernels_are_orthonormal_within_their_rounding(shape, dtype, epsilon):
    values = draw(Orthogonal(seed=2), shape, dtype)
    # Each entry is off by half an epsilon of itself; by Cauchy-Schwarz a product of two
    # unit vectors by no more than one epsilon.
    assert_orthonormal(values.reshape(-1, shape[-1]), 1.01 * epsilon)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_each_entry_is_that_of_a_uniform_unit_vector(shape):
    batch = Orthogonal(seed=3, input_axes=[1], output_axes=[2])
    values = draw(batch, (2000, *shape))
    # One coordinate of a uniform point of the sphere in R^6.
    coordinate = stats.beta(2.5, 2.5, loc=-1, scale=2)
    for row, column in [(0, 0), (0, shape[1] - 1), (shape[0] - 1, 0), (-1, -1)]:
        assert_distribution(values[:, row, column], coordinate)


@pytest.mark.parametrize(
    ("equation", "inputs", "outputs"),
    [
        ("abc,cde->abde", (20,), (3, 4)),
        ("abc,cde->abde", (10,), (3, 4)),
        ("abcd,cde->abe", (3, 4), (20,)),
        ("abcd,cde->abe", (3, 4), (10,)),
    ],
)
def test_the_map_of_an_einsum_layer_is_orthonormal(equation, inputs, outputs):
    layer = layers.EinsumDense(equation, (None, *outputs), kernel_initializer=Orthogonal(seed=5))
    assert_orthonormal(map_of(layer, inputs))


def test_the_maps_of_attention_are_orthonormal():
    attention = layers.MultiHeadAttention(3, 4, kernel_initializer=Orthogonal(seed=6))
    attention.build((None, 2, 20), (None, 2, 20))
    for layer in (attention.query_dense, attention.key_dense, attention.value_dense):
        assert_orthonormal(map_of(layer, (20,)))
    assert_orthonormal(map_of(attention.output_dense, (3, 4)))


def map_of(layer, inputs):
    """Returns the matrix (inputs, outputs) that a layer applies, by running it on a basis."""
    size = int(np.prod(inputs))
    basis = np.eye(size, dtype="float32").reshape(1, size, *inputs)
    return keras.ops.convert_to_numpy(layer(basis)).reshape(size, -1)


def test_each_channel_of_a_depthwise_kernel_is_a_matrix_of_its_own():
    initializer = Orthogonal(seed=7, input_axes=[0, 1], output_axes=[0, 1, 3])
    layer = layers.DepthwiseConv2D((2, 3), depth_multiplier=4, depthwise_initializer=initializer)
    layer.build((None, 8, 8, 5))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    matrices = kernel.transpose(2, 0, 1, 3).reshape(5, 6, 4)
    assert_orthonormal(matrices)
    assert np.abs(matrices[0] - matrices[1]).max() > 0.1


def test_an_lstm_in_bfloat16_gets_an_orthonormal_recurrent_kernel():
    layer = layers.LSTM(5, recurrent_initializer=Orthogonal(seed=8), dtype="bfloat16")
    layer.build((None, 3, 4))
    kernel = layer.cell.recurrent_kernel
    assert kernel.dtype == "bfloat16"
    values = keras.ops.convert_to_numpy(keras.ops.cast(kernel, "float32"))
    assert values.shape == (5, 20)
    assert_orthonormal(values, 1.01 * 2.0**-7)


def test_a_deep_linear_network_keeps_the_length_of_every_signal():
    signals = np.random.default_rng(9).normal(size=(6, 40)).astype("float32")
    x = signals
    for seed in range(50):
        x = layers.Dense(40, kernel_initializer=Orthogonal(seed=seed))(x)
    lengths = np.linalg.norm(keras.ops.convert_to_numpy(x), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(signals, axis=1), rtol=1e-4)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (3, 5, 4, 30), (3, 5, 30, 4)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_modes_give_the_variance_of_their_fan(shape, mode):
    kernel = draw(Orthogonal(gain=1.5, seed=1, mode=mode), shape)
    fan_in, fan_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    # The sum of the squares of an orthonormal matrix is exact, whatever was drawn.
    assert np.square(kernel).mean() * fan == pytest.approx(1.5**2, rel=1e-5)
    values = np.linalg.svd(kernel.reshape(-1, shape[-1]), compute_uv=False)
    assert values.max() / values.min() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (3, 5, 4, 30)])
def test_spectral_mode_bounds_what_a_layer_does_to_a_unit(shape):
    kernel = draw(Orthogonal(gain=1.5, seed=1, mode="spectral"), shape).reshape(-1, shape[-1])
    expected = 1.5 * math.sqrt(kernel.shape[1] / kernel.shape[0])
    values = np.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_a_widening_layer_keeps_the_size_of_units_in_fan_in_mode():
    x = np.random.default_rng(2).normal(size=(50, 16)).astype("float32")
    for mode, expected in (("isometry", 16 / 96), ("fan_in", 1.0)):
        layer = keras.layers.Dense(96, kernel_initializer=Orthogonal(seed=2, mode=mode))
        output = keras.ops.convert_to_numpy(layer(x))
        assert np.square(output).mean() / np.square(x).mean() == pytest.approx(expected, rel=1e-4)


def test_a_narrowing_layer_is_the_same_in_fan_in_mode():
    np.testing.assert_array_equal(
        draw(Orthogonal(seed=3, mode="fan_in"), (9, 4)), draw(Orthogonal(seed=3), (9, 4))
    )


def test_an_unknown_mode_is_refused():
    message = "`mode` should be one of .*fan_in.* Received: mode='fan_inn'. Did you mean 'fan_in'"
    with pytest.raises(ValueError, match=message):
        Orthogonal(mode="fan_inn")
