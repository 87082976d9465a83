import keras
import numpy as np
import pytest
from sampling import assert_moments, draw

from keras_winit.initializers import BlockDiagonal, Graded

layers = keras.layers


def test_each_group_has_its_share_of_the_variance():
    kernel = draw(Graded("lecun_normal", smallest=0.125, seed=1), (50, 4000))
    for number, group in enumerate(np.split(kernel, 4, axis=1)):
        assert_moments(group, (0.5**number) ** 2 / 50, "truncated_normal")


def test_groups_are_as_equal_in_size_as_can_be():
    kernel = draw(Graded("ones", smallest=0.01, blocks=3), (2, 5))
    np.testing.assert_allclose(kernel[0], [1, 1, 0.1, 0.1, 0.01], rtol=1e-6)
    np.testing.assert_allclose(draw(Graded("ones", smallest=0.01), (2, 2))[0], [1, 0.01])
    np.testing.assert_allclose(draw(Graded("ones"), (2, 1)), 1)
    np.testing.assert_allclose(draw(Graded("ones", blocks=1), (2, 3)), 1)


def test_a_share_of_the_units_alone_is_graded():
    kernel = draw(Graded("ones", smallest=0.01, blocks=3, share=0.5), (2, 7))
    np.testing.assert_allclose(kernel[1], [1, 1, 0.1, 0.01, 1, 1, 1], rtol=1e-6)


def test_units_of_a_transposed_kernel_are_those_of_its_axes():
    initializer = Graded("ones", 0.25, 2, input_axes=[0, 2], output_axes=[0, 1])
    kernel = draw(initializer, (3, 4, 5))
    np.testing.assert_array_equal(kernel, np.broadcast_to([[1], [1], [0.25], [0.25]], (3, 4, 5)))


def test_groups_that_take_less_remember_longer():
    layer = layers.SimpleRNN(
        80,
        kernel_initializer=Graded("lecun_normal", smallest=0.1, seed=1),
        recurrent_initializer=BlockDiagonal(seed=2),
    )
    x = np.random.default_rng(0).normal(size=(64, 30, 5)).astype("float32")
    changed = x.copy()
    changed[:, 0] *= -1
    states, others = (keras.ops.convert_to_numpy(layer(each)) for each in (x, changed))
    of_groups = (64, 4, 20)
    size = (states.reshape(of_groups) ** 2).mean((0, 2)) ** 0.5
    change = np.abs(states - others).reshape(of_groups).mean((0, 2)) / size
    assert (change[1:] > 2 * change[:-1]).all()


@pytest.mark.parametrize("value", [0.0, 1.5])
@pytest.mark.parametrize("name", ["smallest", "share"])
def test_a_share_out_of_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` should be .*{name}={value}"):
        Graded(**{name: value})
