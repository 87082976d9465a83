import keras
import numpy as np
import pytest
from sampling import draw
from scipy import stats

from keras_winit.initializers import Shift

layers = keras.layers


def places(kernel):
    """Returns the taps of a kernel as (place, channel, output), one of each channel and output."""
    *spatial, channels, outputs = kernel.shape
    by_connection = kernel.reshape(-1, channels, outputs)
    np.testing.assert_array_equal(np.count_nonzero(by_connection, axis=0), 1)
    return np.stack(np.unravel_index(by_connection.argmax(0), spatial), -1)


@pytest.mark.parametrize(
    ("spatial", "near"),
    [
        ((3, 3), [[0, 1, 2], [0, 1, 2]]),
        ((5, 7), [[1, 2, 3], [2, 3, 4]]),
        ((2, 4), [[0, 1], [0, 1, 2]]),
        ((1, 3), [[0], [0, 1, 2]]),
        ((9,), [[3, 4, 5]]),
    ],
)
def test_each_channel_has_one_tap_at_the_centre_or_beside_it(spatial, near):
    kernel = draw(Shift(gain=1.5, seed=1), (*spatial, 900, 2))
    assert set(np.unique(kernel)) == {0, 1.5}
    found = places(kernel).reshape(-1, len(spatial))
    assert [sorted(set(axis)) for axis in found.T] == near
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == np.prod([len(axis) for axis in near])
    assert len(counts) == 1 or stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("channels", [6, 7])
def test_both_channels_of_a_pair_move_alike(channels):
    kernel = draw(Shift(paired=True, seed=2), (3, 5, channels, 3))
    partners = channels // 2
    np.testing.assert_array_equal(kernel[:, :, :partners], kernel[:, :, -partners:])
    whole = draw(Shift(seed=2), (3, 5, channels, 3))
    assert not np.array_equal(whole[:, :, :partners], whole[:, :, -partners:])


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_depthwise_layer_gives_what_lies_beside(padding):
    initializer = Shift(seed=3, input_axes=[0, 1], output_axes=[0, 1, 3])
    layer = layers.DepthwiseConv2D(
        3, padding=padding, depth_multiplier=2, depthwise_initializer=initializer
    )
    images = np.random.default_rng(0).normal(size=(2, 6, 7, 4)).astype("float32")
    moved = keras.ops.convert_to_numpy(layer(images))
    inner = moved[:, 1:-1, 1:-1] if padding == "same" else moved
    for channel, taps in enumerate(places(keras.ops.convert_to_numpy(layer.kernel))):
        for output, (row, column) in enumerate(taps):
            expected = images[:, row : row + 4, column : column + 5, channel]
            np.testing.assert_allclose(inner[..., 2 * channel + output], expected, atol=1e-6)


@pytest.mark.parametrize("make", [layers.DepthwiseConv1D, layers.SeparableConv1D])
def test_a_string_is_enough(make):
    arguments = {} if make is layers.DepthwiseConv1D else {"filters": 5}
    layer = make(kernel_size=3, depth_multiplier=2, depthwise_initializer="shift", **arguments)
    layer.build((None, 8, 6))
    places(keras.ops.convert_to_numpy(layer.weights[0]))


def test_a_kernel_without_taps_is_refused():
    message = r"^Shift: .* convolution.*shape=\(6, 4\)"
    with pytest.raises(ValueError, match=message):
        Shift()((6, 4))
