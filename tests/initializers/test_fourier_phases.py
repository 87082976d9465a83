import keras
import numpy as np
import pytest
from sampling import draw

from keras_winit.initializers import FourierFeatures, FourierPhases


def test_the_second_half_is_a_quarter_of_a_turn_ahead():
    np.testing.assert_allclose(draw(FourierPhases(), (6,)), [0, 0, 0] + [np.pi / 2] * 3)


def test_it_pairs_with_the_kernel_where_units_have_several_axes():
    layer = keras.layers.EinsumDense(
        "ab,bcd->acd",
        (4, 6),
        activation=keras.ops.sin,
        bias_axes="cd",
        kernel_initializer=FourierFeatures(seed=1),
        bias_initializer=FourierPhases(),
    )
    places = np.random.default_rng(1).uniform(size=(3, 2)).astype("float32")
    squares = np.square(keras.ops.convert_to_numpy(layer(places))).sum(axis=(1, 2))
    np.testing.assert_allclose(squares, 12, rtol=1e-4)


def test_an_odd_number_of_units_is_refused():
    message = r"^FourierPhases: .* even number of units.* Received: shape=\(5,\)"
    with pytest.raises(ValueError, match=message):
        FourierPhases()((5,))


def test_it_survives_saving(tmp_path):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4, bias_initializer=FourierPhases())]
    )
    model.save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert type(layer.bias_initializer) is FourierPhases
    np.testing.assert_allclose(layer.bias, [0, 0, np.pi / 2, np.pi / 2])
