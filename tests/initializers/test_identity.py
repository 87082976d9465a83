import keras
import numpy as np
import pytest

from keras_winit.initializers import Identity

layers = keras.layers

DEPTHWISE = Identity(input_axes=[0, 1], output_axes=[0, 1, 3])
TRANSPOSED = Identity(input_axes=[0, 1, 3], output_axes=[0, 1, 2])

same = {"padding": "same", "kernel_initializer": Identity()}


def signal(*shape):
    return np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(4, kernel_initializer=Identity()), (4,)),
        (layers.Conv1D(4, 3, **same), (9, 4)),
        (layers.Conv1D(4, 6, **same), (9, 4)),
        (layers.Conv2D(4, (3, 5), **same), (5, 6, 4)),
        (layers.Conv2D(4, (2, 4), **same), (5, 6, 4)),
        (layers.Conv2D(4, 3, dilation_rate=2, **same), (5, 6, 4)),
        (layers.Conv3D(4, (3, 2, 1), **same), (4, 5, 3, 4)),
        (
            layers.Conv2D(6, 3, groups=3, padding="same", kernel_initializer=Identity(groups=3)),
            (5, 6, 6),
        ),
        (
            layers.DepthwiseConv2D((3, 4), padding="same", depthwise_initializer=DEPTHWISE),
            (5, 6, 4),
        ),
        (layers.Conv1DTranspose(4, 4, **same), (9, 4)),
        (layers.Conv2DTranspose(4, (3, 2), **same), (5, 6, 4)),
        (layers.EinsumDense("abc,cd->abd", (None, 4), kernel_initializer=Identity()), (3, 4)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else str(value),
)
def test_the_layer_returns_its_input(layer, shape):
    x = signal(*shape)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), x, atol=1e-6)


@pytest.mark.parametrize("layer_class", [layers.Conv2D, layers.Conv2DTranspose])
@pytest.mark.parametrize(("channels", "filters"), [(3, 5), (5, 3)])
def test_the_channels_of_both_sides_are_handed_on_and_the_others_zero(
    layer_class, channels, filters
):
    x = signal(5, 6, channels)
    layer = layer_class(filters, 3, **same)
    outputs = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(outputs[..., :3], x[..., :3], atol=1e-6)
    assert np.count_nonzero(outputs[..., 3:]) == 0


def test_the_kernel_of_a_transposed_convolution_may_have_its_axes_named():
    x = signal(5, 6, 3)
    layer = layers.Conv2DTranspose(5, (3, 4), padding="same", kernel_initializer=TRANSPOSED)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x))[..., :3], x, atol=1e-6)


def test_each_group_has_an_identity_of_its_own():
    x = signal(9, 6)
    initializer = Identity(groups=2)
    layer = layers.Conv1D(4, 3, groups=2, padding="same", kernel_initializer=initializer)
    outputs = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(outputs, x[..., [0, 1, 3, 4]], atol=1e-6)


def test_attention_heads_together_are_the_identity():
    layer = layers.EinsumDense("abc,cde->abde", (None, 2, 3), kernel_initializer=Identity())
    x = signal(4, 6)
    outputs = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(outputs.reshape(x.shape), x, atol=1e-6)


@pytest.mark.parametrize("gain", [0.25, -2.0])
def test_gain_multiplies_the_signal_also_after_a_round_trip(gain):
    layer = layers.Conv1D(4, 3, padding="same", kernel_initializer=Identity(gain))
    x = signal(9, 4)
    for each in (layer, layers.Conv1D.from_config(layer.get_config())):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(each(x)), gain * x, atol=1e-6)


def test_a_relu_network_remembers_the_sum_of_its_inputs():
    layer = layers.SimpleRNN(
        5,
        activation="relu",
        kernel_initializer="dirac",
        recurrent_initializer="dirac",
        return_sequences=True,
    )
    x = np.abs(signal(30, 5))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(x)), np.cumsum(x, axis=1), rtol=1e-5
    )


def test_groups_that_do_not_divide_the_outputs_are_refused():
    message = "^Identity: `groups` should divide the 4 outputs .* Received: groups=3"
    with pytest.raises(ValueError, match=message):
        Identity(groups=3)((3, 3, 6, 4))
