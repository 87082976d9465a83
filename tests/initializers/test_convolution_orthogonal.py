import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import ConvolutionOrthogonal

layers = keras.layers


def singular_values(kernel, size):
    """Returns those of the convolution on a circle of `size` positions along every axis.

    There it acts on each frequency by itself: by the Fourier transform of its taps.
    """
    spatial = tuple(range(kernel.ndim - 2))
    transformed = np.fft.fftn(kernel, s=[size] * len(spatial), axes=spatial)
    return np.linalg.svd(transformed, compute_uv=False)


@pytest.mark.parametrize(
    "shape",
    [(3, 4, 6), (4, 6, 4), (2, 5, 3), (3, 3, 4, 6), (2, 5, 5, 3), (1, 4, 3, 7), (3, 2, 3, 2, 5)],
)
def test_all_singular_values_on_a_circle_are_the_gain(shape):
    kernel = draw(ConvolutionOrthogonal(gain=1.5, seed=1), shape)
    np.testing.assert_allclose(singular_values(kernel, 7), 1.5, atol=1e-5)


def test_the_layer_itself_keeps_the_length_of_a_signal_on_a_circle():
    layer = layers.Conv2D(6, (3, 4), kernel_initializer=ConvolutionOrthogonal(seed=2))
    images = np.random.default_rng(2).normal(size=(5, 8, 9, 4)).astype("float32")
    circle = np.pad(images, ((0, 0), (0, 2), (0, 3), (0, 0)), mode="wrap")
    output = keras.ops.convert_to_numpy(layer(circle))
    assert output.shape == (5, 8, 9, 6)
    squares = np.square(images).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(np.square(output).sum(axis=(1, 2, 3)), squares, rtol=1e-5)


def test_groups_are_orthogonal_each_by_itself():
    kernel = draw(ConvolutionOrthogonal(groups=2, seed=3), (3, 3, 4, 10))
    first, second = kernel[..., :5], kernel[..., 5:]
    assert np.abs(first - second).max() > 0.1
    for group in (first, second):
        np.testing.assert_allclose(singular_values(group, 7), 1.0, atol=1e-5)


def test_every_tap_takes_part():
    kernel = draw(ConvolutionOrthogonal(seed=4), (5, 3, 8, 12))
    shares = np.square(kernel).sum(axis=(2, 3)) / np.square(kernel).sum()
    assert shares.min() > 1e-3
    # Each step moves half of the channels: a binomial spread around the centre.
    expected = np.outer([1, 4, 6, 4, 1], [1, 2, 1]) / 64
    np.testing.assert_allclose(shares, expected, atol=0.06)


def test_a_single_channel_is_handed_on_from_the_central_tap():
    # Half of one channel is nothing: the steps move it to and fro.
    kernel = draw(ConvolutionOrthogonal(seed=5), (3, 5, 1, 1))
    expected = np.zeros((3, 5))
    expected[1, 2] = 1
    np.testing.assert_allclose(np.abs(kernel[..., 0, 0]), expected, atol=1e-6)


def test_a_kernel_without_taps_is_refused():
    message = r"^ConvolutionOrthogonal: .* convolution.*shape=\(6, 4\)\. .*use `Orthogonal`"
    with pytest.raises(ValueError, match=message):
        ConvolutionOrthogonal()((6, 4))


def test_groups_that_do_not_divide_the_outputs_are_refused():
    message = "^ConvolutionOrthogonal: `groups` should divide the 4 outputs .* Received: groups=3"
    with pytest.raises(ValueError, match=message):
        ConvolutionOrthogonal(groups=3)((3, 3, 6, 4))
