import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import NormalizedPositiveDefinite, PerGate


@pytest.mark.parametrize("size", [2, 7, 60])
def test_it_is_symmetric_with_eigenvalues_from_above_zero_to_one(size):
    matrix = draw(NormalizedPositiveDefinite(seed=1), (size, size))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    eigenvalues = np.linalg.eigvalsh(matrix.astype("float64"))
    assert eigenvalues[0] > 0
    assert abs(eigenvalues[-1] - 1) < 1e-5


def test_the_eigenvalues_follow_marchenko_and_pastur():
    # Those of A lie between 0 and 4 with mean 1 and variance 1 (sides of equal length). The sum
    # of the n of them, the squares of n² standard normal numbers over n, has variance 2.
    size = 400
    matrix = draw(NormalizedPositiveDefinite(seed=2), (size, size)).astype("float64")
    eigenvalues = np.linalg.eigvalsh(matrix)
    # (0 + 1) / e and (4 + 1) / e are the ends, so e follows from the trace: (1 + 1) n / e.
    largest = 2 * size / eigenvalues.sum()
    assert abs(largest - 5) < 0.25  # the edge fluctuates by n^(-2/3) and lies slightly inside
    restored = eigenvalues * largest - 1
    assert abs(restored.mean() - 1) < 1e-9
    assert abs(np.square(restored).mean() - 2) < 0.1


def test_repeated_it_holds_one_direction_and_relu_can_only_shrink_it():
    layer = keras.layers.SimpleRNN(
        32, "relu", recurrent_initializer=NormalizedPositiveDefinite(seed=3)
    )
    layer.build((None, None, 5))
    recurrent = keras.ops.convert_to_numpy(layer.cell.recurrent_kernel).astype("float64")
    start = np.random.default_rng(3).normal(size=(20, 32))
    repeated = start @ np.linalg.matrix_power(recurrent, 2000)
    direction = np.linalg.eigh(recurrent)[1][:, -1]
    np.testing.assert_allclose(repeated, np.outer(start @ direction, direction), atol=1e-2)
    state = start
    for _ in range(5):
        previous, state = state, np.maximum(state @ recurrent, 0)
        assert (np.linalg.norm(state, axis=1) <= np.linalg.norm(previous, axis=1)).all()


def test_a_kernel_that_is_not_square_is_the_leading_part_of_one_that_is():
    square = draw(NormalizedPositiveDefinite(seed=4), (6, 6))
    tall = draw(NormalizedPositiveDefinite(seed=4), (6, 4))
    np.testing.assert_array_equal(tall, square[:, :4])
    values = np.linalg.svd(draw(NormalizedPositiveDefinite(seed=4), (4, 9)), compute_uv=False)
    assert values.max() <= 1 + 1e-6


def test_a_convolution_has_it_at_its_central_tap():
    kernel = draw(NormalizedPositiveDefinite(seed=5), (3, 4, 6, 6))
    assert np.count_nonzero(kernel) == np.count_nonzero(kernel[1, 1]) == 36
    assert abs(np.linalg.eigvalsh(kernel[1, 1])[-1] - 1) < 1e-5


def test_each_gate_gets_its_own():
    kernel = draw(PerGate(NormalizedPositiveDefinite(), gates=3, seed=6), (5, 15))
    gates = np.split(kernel, 3, axis=1)
    for gate in gates:
        assert abs(np.linalg.eigvalsh(gate)[-1] - 1) < 1e-5
    assert np.abs(gates[0] - gates[1]).max() > 0.01


def test_each_index_of_a_batch_axis_is_normalized_by_itself():
    initializer = NormalizedPositiveDefinite(seed=7, input_axes=[0], output_axes=[2])
    kernel = draw(initializer, (5, 3, 5))
    for index in range(3):
        assert abs(np.linalg.eigvalsh(kernel[:, index])[-1] - 1) < 1e-5


def test_the_keras_initializer_that_comes_nearest_has_about_the_variance():
    size = 300
    variance = np.square(draw(NormalizedPositiveDefinite(seed=8), (size, size))).mean()
    # The largest eigenvalue, by which all are divided, is a little less than 5.
    assert NormalizedPositiveDefinite().to_keras().scale / size == pytest.approx(variance, rel=0.1)
