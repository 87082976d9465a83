import math

import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import DeltaOrthogonal

layers = keras.layers

CONVOLUTIONS = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}


def singular_values(layer, image):
    """Returns those of the layer as an operator on images, by running it on a basis."""
    size = math.prod(image)
    basis = np.eye(size, dtype="float32").reshape(size, *image)
    matrix = keras.ops.convert_to_numpy(layer(basis)).reshape(size, -1)
    return np.linalg.svd(matrix, compute_uv=False)


@pytest.mark.parametrize(
    ("image", "kernel_size", "filters", "groups"),
    [
        ((9, 4), 3, 4, 1),
        ((9, 3), 4, 5, 1),
        ((9, 5), 2, 3, 1),
        ((5, 6, 3), (3, 3), 5, 1),
        ((5, 6, 5), (3, 3), 3, 1),
        ((5, 6, 3), (2, 5), 4, 1),
        ((5, 6, 4), (3, 4), 6, 2),
        ((5, 6, 6), (3, 4), 4, 2),
        ((3, 4, 3, 2), (3, 2, 3), 3, 1),
    ],
)
def test_all_singular_values_of_the_convolution_are_the_gain(image, kernel_size, filters, groups):
    *positions, channels = image
    layer = CONVOLUTIONS[len(positions)](
        filters,
        kernel_size,
        padding="same",
        groups=groups,
        kernel_initializer=DeltaOrthogonal(gain=1.5, groups=groups, seed=1),
    )
    values = singular_values(layer, image)
    kept = math.prod(positions) * min(channels, filters)
    np.testing.assert_allclose(values[:kept], 1.5, atol=1e-5)
    np.testing.assert_allclose(values[kept:], 0.0, atol=1e-5)


def test_a_transposed_convolution_is_an_isometry_with_its_axes():
    initializer = DeltaOrthogonal(seed=2, input_axes=[0, 1, 3], output_axes=[0, 1, 2])
    layer = layers.Conv2DTranspose(5, (3, 4), padding="same", kernel_initializer=initializer)
    np.testing.assert_allclose(singular_values(layer, (5, 6, 3)), 1.0, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 4, 6), (4, 4, 6), (3, 2, 4, 6), (3, 1, 2, 6, 4)])
def test_centre_is_orthogonal_and_the_rest_is_zero(shape):
    kernel = draw(DeltaOrthogonal(gain=0.5, seed=3), shape)
    centre = kernel[tuple((size - 1) // 2 for size in shape[:-2])]
    values = np.linalg.svd(centre, compute_uv=False)
    np.testing.assert_allclose(values, 0.5, atol=1e-5)
    assert np.count_nonzero(kernel) == centre.size == np.count_nonzero(centre)


def test_groups_get_matrices_of_their_own():
    kernel = draw(DeltaOrthogonal(groups=2, seed=4), (3, 3, 4, 6))[1, 1]
    assert np.abs(kernel[:, :3] - kernel[:, 3:]).max() > 0.1


def test_thirty_convolutions_keep_the_length_of_every_signal():
    images = np.random.default_rng(5).normal(size=(4, 6, 7, 3)).astype("float32")
    x = images
    for depth in range(30):
        x = layers.Conv2D(
            filters=3 + depth // 6,
            kernel_size=(3, 2 + depth % 3),
            padding="same",
            kernel_initializer=DeltaOrthogonal(seed=depth),
        )(x)
    squares = np.square(keras.ops.convert_to_numpy(x)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(squares, np.square(images).sum(axis=(1, 2, 3)), rtol=1e-4)


def test_a_kernel_without_taps_is_refused():
    message = r"^DeltaOrthogonal: .* convolution.*shape=\(6, 4\)\. .*use `Orthogonal`"
    with pytest.raises(ValueError, match=message):
        DeltaOrthogonal()((6, 4))


def test_groups_that_do_not_divide_the_outputs_are_refused():
    message = "^DeltaOrthogonal: `groups` should divide the 4 outputs .* Received: groups=3"
    with pytest.raises(ValueError, match=message):
        DeltaOrthogonal(groups=3)((3, 3, 6, 4))
