import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import BilinearUpsampling

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("factor", "size"), [(2, 4), (3, 5), (4, 8)])
def test_a_transposed_convolution_interpolates_linearly(factor, size):
    layer = keras.layers.Conv2DTranspose(
        3, size, factor, "same", kernel_initializer=BilinearUpsampling()
    )
    images = RNG.normal(size=(2, 5, 6, 3)).astype("float32")
    larger = keras.ops.image.resize(images, (5 * factor, 6 * factor), "bilinear")
    inside = (slice(None), slice(factor, -factor), slice(factor, -factor))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(images))[inside],
        keras.ops.convert_to_numpy(larger)[inside],
        rtol=0,
        atol=1e-5,
    )


def test_a_line_goes_on_in_one_dimension_and_a_constant_in_three():
    line = keras.layers.Conv1DTranspose(1, 4, 2, "same", kernel_initializer=BilinearUpsampling())
    values = keras.ops.convert_to_numpy(line(np.arange(5.0).reshape(1, 5, 1)))[0, :, 0]
    np.testing.assert_allclose(values[1:-1], np.arange(0.25, 4, 0.5), atol=1e-6)
    kernel = draw(BilinearUpsampling(), (4, 4, 4, 1, 1))
    assert kernel.sum() == pytest.approx(2**3)  # of the 8 outputs that an input reaches, 1 each


def test_each_axis_is_interpolated_by_its_own_stride():
    layer = keras.layers.Conv2DTranspose(
        2, (4, 5), (2, 3), "same", kernel_initializer=BilinearUpsampling()
    )
    ramp = np.broadcast_to(np.arange(6.0)[:, None], (1, 5, 6, 2)).astype("float32")
    values = keras.ops.convert_to_numpy(layer(ramp))[0, 2:-2, 3:-3, 1]
    expected = np.broadcast_to(np.arange(2, 14) / 3, values.shape)
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_channels_are_kept_apart_and_further_outputs_are_zero():
    kernel = draw(BilinearUpsampling(), (4, 4, 3, 2))
    assert not kernel[:, :, 0, 1].any()
    assert not kernel[:, :, 2].any()
    np.testing.assert_array_equal(kernel[:, :, 0, 0], kernel[:, :, 1, 1])


def test_each_channel_of_a_depthwise_kernel_is_smoothed():
    initializer = BilinearUpsampling(input_axes=[0, 1], output_axes=[0, 1, 3])
    layer = keras.layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=initializer)
    assert np.ptp(keras.ops.convert_to_numpy(layer(np.ones((1, 6, 6, 5))))[:, 1:-1, 1:-1]) < 1e-6
    kernel = draw(initializer, (3, 3, 5, 1))
    np.testing.assert_allclose(kernel[:, 1, 4, 0], [0.5, 1, 0.5])


def test_a_matrix_is_refused():
    with pytest.raises(ValueError, match=r"should be that of a convolution.*shape=\(3, 4\)"):
        BilinearUpsampling()((3, 4))
