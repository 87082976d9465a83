import keras
import numpy as np
import pytest
import scipy.stats
from sampling import draw

from keras_winit.initializers import FourierFeatures, FourierPhases


@pytest.fixture(scope="module")
def features():
    layer = keras.layers.Dense(
        4000,
        keras.ops.sin,
        kernel_initializer=FourierFeatures(stddev=2.0, seed=1),
        bias_initializer=FourierPhases(),
    )
    return lambda places: keras.ops.convert_to_numpy(layer(np.asarray(places, "float32")))


def test_frequencies_are_normal_with_stddev_cycles_per_unit():
    kernel = draw(FourierFeatures(stddev=3.0, seed=2), (2, 5000))
    frequencies = kernel[:, :2500].ravel() / (2 * np.pi)
    assert scipy.stats.kstest(frequencies, scipy.stats.norm(scale=3.0).cdf).pvalue > 0.01


def test_each_frequency_appears_twice():
    kernel = draw(FourierFeatures(seed=3), (3, 40))
    np.testing.assert_array_equal(kernel[:, :20], kernel[:, 20:])
    assert len(np.unique(kernel[0])) == 20


def test_features_are_the_sine_and_cosine_of_the_same_waves(features):
    values = features([[0.3, -0.2]])
    np.testing.assert_allclose(values[:, :2000] ** 2 + values[:, 2000:] ** 2, 1, atol=1e-4)
    # The mean of the squares, which the layers above see, is exactly one half.
    assert abs(np.square(values).mean() - 0.5) < 1e-5


def test_products_of_features_depend_on_the_distance_alone(features):
    step = np.array([0.05, 0.02])
    places = np.array([[0.1, 0.2], [0.7, -0.4], [-0.3, 0.9]])
    products = (features(places) * features(places + step)).mean(axis=1) * 2
    np.testing.assert_allclose(products, products[0], atol=1e-4)
    # A Gaussian of the distance, by Bochner; 2000 cosines of standard deviation below 0.5.
    expected = np.exp(-2 * np.pi**2 * 2.0**2 * np.sum(step**2))
    assert abs(products[0] - expected) < 4 * 0.5 / np.sqrt(2000)


def test_an_odd_number_of_outputs_is_refused():
    message = r"^FourierFeatures: .* even: .* sine and a cosine.*shape=\(2, 5\), with 5 outputs"
    with pytest.raises(ValueError, match=message):
        FourierFeatures()((2, 5))


def test_the_keras_initializer_that_comes_nearest_has_the_same_deviation():
    assert FourierFeatures(stddev=2.0).to_keras().stddev == pytest.approx(4 * np.pi)
