import keras
import numpy as np
import pytest
from sampling import draw
from scipy import stats

from keras_winit.initializers import Siren

RNG = np.random.default_rng(0)


def preactivations(hidden, depth=6, width=512, omega=30.0):
    """Returns omega z of each layer of a network of sines, for coordinates in [-1, 1]."""
    x, found = RNG.uniform(-1, 1, size=(1000, 2)), []
    for number in range(depth):
        kernel = Siren(first=True, seed=0) if number == 0 else hidden(number)
        x = omega * (x @ draw(kernel, (x.shape[1], width)).astype("float64"))
        found.append(x)
        x = np.sin(x)
    return found


def test_preactivations_are_normal_in_every_layer_and_settle():
    variance = 1.0  # the sine of many periods has a variance of 1/2, which the weights double
    for values in preactivations(lambda number: Siren(seed=number))[1:]:
        # Of 512 units; the samples of one unit are alike. Chance adds up over the layers.
        assert values.var() == pytest.approx(variance, rel=8 * np.sqrt(2 / 512))
        normal = stats.norm(scale=values.std())
        assert stats.kstest(values[0], normal.cdf).pvalue > 1e-3
        variance = 1 - np.exp(-2 * variance)  # 2 E sin(z)²
    assert variance == pytest.approx(0.797, abs=0.01)


def test_glorot_makes_noise_of_the_same_network():
    glorot = keras.initializers.GlorotUniform
    last = preactivations(lambda number: glorot(seed=number))[-1]
    assert last.std() > 15


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ({"first": True}, 1 / 45),
        ({}, np.sqrt(6 / 45) / 30),
        ({"omega": 5}, np.sqrt(6 / 45) / 5),
        ({"input_axes": [2], "output_axes": [3]}, np.sqrt(6 / 5) / 30),
    ],
)
def test_weights_are_uniform_up_to_their_limit(arguments, limit):
    kernel = draw(Siren(seed=0, **arguments), (3, 3, 5, 800)) / limit
    assert stats.kstest(kernel.ravel(), "uniform", (-1, 2)).pvalue > 1e-3
    assert 0.999 < abs(kernel).max() <= 1 + 1e-6


def test_the_nearest_of_keras_has_the_same_variance():
    keras.utils.set_random_seed(0)
    kernel = draw(Siren(omega=5.0).to_keras(), (50, 400))
    # Four standard errors: a uniform variable squared varies by 0.8 of its mean squared.
    expected = 6 / (3 * 50 * 5**2)
    assert kernel.var() == pytest.approx(expected, rel=4 * np.sqrt(0.8 / kernel.size))


def test_first_should_be_a_flag():
    with pytest.raises(TypeError, match="`first` should be True or False. Received: first=1"):
        Siren(first=1)
