import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import ICNR

RNG = np.random.default_rng(0)


def shuffled(pixels, factor):
    """Moves channels into space, as `tf.nn.depth_to_space` does."""
    samples, height, width, channels = pixels.shape
    channels //= factor**2
    blocks = pixels.reshape(samples, height, width, factor, factor, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(
        samples, height * factor, width * factor, channels
    )


@pytest.mark.parametrize("factor", [2, 3])
def test_shuffled_pixels_are_the_upsampled_outputs_of_a_smaller_convolution(factor):
    layer = keras.layers.Conv2D(
        5 * factor**2, 3, padding="same", kernel_initializer=ICNR(factor, "glorot_uniform", seed=1)
    )
    images = RNG.normal(size=(2, 4, 6, 3)).astype("float32")
    pixels = shuffled(keras.ops.convert_to_numpy(layer(images)), factor)
    smaller = keras.layers.Conv2D(5, 3, padding="same")
    smaller.build(images.shape)
    smaller.set_weights([keras.ops.convert_to_numpy(layer.kernel)[..., :5], np.zeros(5)])
    upsampled = keras.layers.UpSampling2D(factor)(smaller(images))
    np.testing.assert_allclose(pixels, keras.ops.convert_to_numpy(upsampled), rtol=0, atol=1e-5)


def test_the_shuffle_of_this_test_is_that_of_tensorflow():
    # depth_to_space of TensorFlow on pixels 0 ... 11: its documentation's example.
    pixels = np.arange(1, 13).reshape(1, 1, 1, 12)
    expected = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]
    np.testing.assert_array_equal(shuffled(pixels, 2)[0], expected)


def test_variance_is_that_of_the_initializer_on_the_smaller_kernel():
    kernel = draw(ICNR(2, "he_normal", seed=0), (3, 3, 40, 4 * 50))[..., :50]
    # Four standard errors of a variance: sqrt(2 / n), less for a truncated normal.
    assert kernel.var() * 9 * 40 == pytest.approx(2.0, rel=4 * np.sqrt(2 / kernel.size))


@pytest.mark.parametrize(("shape", "repeats"), [((5, 3, 6), 2), ((3, 3, 3, 2, 16), 8)])
def test_kernels_of_other_dimensions_repeat_by_theirs(shape, repeats):
    kernel = draw(ICNR(2, seed=0), shape)
    size = shape[-1] // repeats
    for number in range(repeats):
        part = kernel[..., number * size : (number + 1) * size]
        np.testing.assert_array_equal(part, kernel[..., :size])
    assert len(np.unique(kernel)) == kernel.size // repeats


def test_outputs_are_repeated_on_whichever_axis_they_are():
    axes = {"input_axes": [0, 1, 3], "output_axes": [0, 1, 2]}
    kernel = draw(ICNR(2, seed=0, **axes), (3, 3, 12, 5))
    for number in range(4):
        part = kernel[:, :, 3 * number : 3 * number + 3]
        np.testing.assert_array_equal(part, kernel[:, :, :3])
    assert len(np.unique(kernel)) == kernel.size // 4


def test_the_seed_is_its_own():
    inner = ICNR(2, {"class_name": "HeNormal", "config": {"seed": 5}}, seed=1)
    np.testing.assert_array_equal(draw(inner, (3, 3, 2, 4)), draw(ICNR(2, seed=1), (3, 3, 2, 4)))


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({}, (3, 3, 2, 6), r"multiple of 4.*shape=\(3, 3, 2, 6\), with 6 outputs"),
        ({}, (3, 4), r"should be that of a convolution.*shape=\(3, 4\)"),
    ],
)
def test_a_kernel_that_does_not_suit_is_refused(arguments, shape, message):
    with pytest.raises(ValueError, match=f"^ICNR: .*{message}"):
        ICNR(**arguments)(shape)


@pytest.mark.parametrize("initializer", ["he_norml", 3.0, None])
def test_what_is_no_initializer_is_refused(initializer):
    with pytest.raises((TypeError, ValueError), match=f"`initializer` should .*{initializer!r}"):
        ICNR(initializer=initializer)


def test_the_nearest_name_is_suggested():
    with pytest.raises(ValueError, match="Received: initializer='sparce'. Did you mean 'sparse'"):
        ICNR(initializer="sparce")
