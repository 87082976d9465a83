import keras
import numpy as np
import pytest
from sampling import draw

import keras_winit
from keras_winit.initializers import Identity, PerGate


@pytest.mark.parametrize("gates", [3, 4])
def test_every_gate_is_orthogonal_and_another_one(gates):
    kernel = draw(PerGate("orthogonal", gates, seed=0), (6, gates * 6))
    found = np.split(kernel, gates, axis=1)
    for gate in found:
        np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)
    assert abs(found[0] - found[1]).max() > 0.1


def test_variance_is_that_of_one_gate():
    kernel = draw(PerGate("glorot_uniform", seed=0), (3, 3, 10, 4 * 120))  # as of ConvLSTM2D
    expected = 2 / (9 * (10 + 120))
    # Four standard errors: a uniform variable squared varies by 0.8 of its mean squared.
    assert kernel.var() == pytest.approx(expected, rel=4 * np.sqrt(0.8 / kernel.size))


def test_an_irnn_keeps_its_state_and_an_lstm_gets_every_gate():
    layer = keras.layers.SimpleRNN(
        5,
        "relu",
        kernel_initializer="zeros",
        recurrent_initializer=PerGate("dirac", gates=1),
    )
    state = np.arange(10.0, dtype="float32").reshape(2, 5)
    output = layer(np.ones((2, 7, 3)), initial_state=state)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(output), state, atol=1e-6)
    kernel = draw(PerGate(Identity(0.5), gates=4), (5, 20))
    np.testing.assert_array_equal(kernel, np.tile(0.5 * np.eye(5), 4))


def test_it_draws_what_initialize_draws_for_a_recurrent_layer():
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.GRU(6)])
    keras_winit.initialize(model, PerGate("orthogonal", gates=3), seed=0)
    kernel = keras.ops.convert_to_numpy(model.layers[0].cell.recurrent_kernel)
    for gate in np.split(kernel, 3, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)


def test_each_gate_has_its_gain():
    kernel = draw(PerGate("orthogonal", 2, gains=[3, 0.5], seed=0), (6, 2 * 6))
    for gate, gain in zip(np.split(kernel, 2, axis=1), (3, 0.5), strict=True):
        np.testing.assert_allclose(gate @ gate.T, gain**2 * np.eye(6), atol=1e-5)


def test_the_gates_of_a_bias_have_theirs():
    np.testing.assert_array_equal(draw(PerGate("ones", 2, gains=[0, 1]), (6,)), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("layer", [keras.layers.LSTM(6), keras.layers.Dense(24)])
def test_initialize_gives_each_gate_its_gain(layer):
    gains = [1, 2, 3, 4]
    model = keras.Sequential([keras.Input((4, 6)), layer])
    keras_winit.initialize(model, PerGate("orthogonal", gains=gains), only="*/kernel", seed=0)
    kernel = keras.ops.convert_to_numpy(getattr(layer, "cell", layer).kernel)
    for gate, gain in zip(np.split(kernel, 4, axis=1), gains, strict=True):
        np.testing.assert_allclose(gate @ gate.T, gain**2 * np.eye(6), atol=1e-4)


def test_gains_are_in_the_config_where_there_are_some():
    assert PerGate(gates=2, gains=(1, 0.5)).get_config()["gains"] == [1.0, 0.5]
    assert "gains" not in PerGate().get_config()  # version 0.1.0 knows of none


@pytest.mark.parametrize(
    ("gains", "kind", "message"),
    [
        ([1, 2, 3], ValueError, r"one number for each of the 2 gates\. .*gains=\[1, 2, 3\]"),
        (2.0, TypeError, r"a list of numbers\. .*gains=2\.0"),
        ("ab", TypeError, r"a list of numbers\. .*gains='ab'"),
        ([1, "b"], TypeError, r"a finite number\. .*gains='b'"),
    ],
)
def test_other_gains_are_refused(gains, kind, message):
    with pytest.raises(kind, match=message):
        PerGate(gates=2, gains=gains)


def test_outputs_that_gates_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"^PerGate: `gates` should divide the 6 .*gates=4"):
        PerGate()((3, 6))
