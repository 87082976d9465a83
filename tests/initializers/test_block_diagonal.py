import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import BlockDiagonal, Graded

layers = keras.layers


def test_blocks_are_orthogonal_and_the_rest_is_zero():
    kernel = draw(BlockDiagonal(blocks=3, seed=1), (3, 10, 10))
    for first, last in ((0, 4), (4, 7), (7, 10)):
        block = kernel[:, first:last, first:last].reshape(-1, last - first)
        np.testing.assert_allclose(block.T @ block, np.eye(last - first), atol=1e-5)
        kernel[:, first:last, first:last] = 0
    assert not kernel.any()


def test_blocks_of_other_sizes_than_the_kernel_s_sides_are_as_equal_as_can_be():
    kernel = draw(BlockDiagonal("ones", blocks=2), (5, 4))
    expected = np.zeros((5, 4))
    expected[:3, :2] = expected[3:, 2:] = 1
    np.testing.assert_array_equal(kernel, expected)


def test_there_are_no_more_blocks_than_units():
    np.testing.assert_array_equal(
        draw(BlockDiagonal("ones", blocks=9), (2, 3)), [[1, 1, 0], [0, 0, 1]]
    )


def test_each_block_is_a_draw_of_its_own():
    kernel = draw(BlockDiagonal("he_normal", blocks=2, seed=1), (6, 8))
    assert not np.array_equal(kernel[:3, :4], kernel[3:, 4:])


def test_groups_of_a_recurrent_layer_see_nothing_of_each_other():
    layer = layers.SimpleRNN(
        8,
        kernel_initializer=Graded(smallest=0.1, blocks=2, seed=1),
        recurrent_initializer=BlockDiagonal(blocks=2, seed=2),
        return_sequences=True,
    )
    x = np.random.default_rng(0).normal(size=(3, 20, 4)).astype("float32")
    states = keras.ops.convert_to_numpy(layer(x))
    recurrent = keras.ops.convert_to_numpy(layer.cell.recurrent_kernel)
    kernel = keras.ops.convert_to_numpy(layer.cell.kernel)
    state = np.zeros((3, 4))
    for step in range(20):  # of the second group alone
        state = np.tanh(x[:, step] @ kernel[:, 4:] + state @ recurrent[4:, 4:])
        np.testing.assert_allclose(states[:, step, 4:], state, atol=1e-5)


def test_a_number_of_blocks_below_one_is_refused():
    with pytest.raises(ValueError, match="`blocks` should be .* Received: blocks=0"):
        BlockDiagonal(blocks=0)
