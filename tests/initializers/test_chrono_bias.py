import copy

import keras
import numpy as np
import pytest
from sampling import draw
from scipy import stats

import keras_winit
from keras_winit.initializers import ChronoBias


def gates(bias, number):
    return np.split(bias, number, axis=-1)


def test_memories_of_an_lstm_are_uniform_up_to_the_longest():
    input_gate, forget_gate, *others = gates(draw(ChronoBias(1000, seed=0), (4 * 5000,)), 4)
    # A gate at sigmoid(b) keeps 1 - 1 / T of a state per step: T = 1 + exp(b).
    times = 1 + np.exp(forget_gate.astype("float64"))
    assert stats.kstest(times, "uniform", (2, 998)).pvalue > 1e-3
    np.testing.assert_array_equal(input_gate, -forget_gate)
    assert not np.any(others)


def test_the_shortest_memory_is_two_steps_and_the_longest_the_timescale():
    assert not draw(ChronoBias(2, seed=0), (4 * 9,)).any()  # log 1
    forget_gate = gates(draw(ChronoBias(4, seed=0), (4 * 5000,)), 4)[1]
    times = 1 + np.exp(forget_gate.astype("float64"))
    assert 2 - 1e-6 < times.min() < 2.01
    assert 3.99 < times.max() < 4 + 1e-6


def test_the_update_gate_of_a_gru_keeps_its_state():
    chrono = ChronoBias(200, gates=3, seed=0)
    layer = keras.layers.GRU(40, kernel_initializer="zeros", bias_initializer=chrono)
    state = np.ones((1, 40), "float32")
    output = keras.ops.convert_to_numpy(layer(np.ones((1, 50, 2)), initial_state=state))[0]
    update = draw(chrono, (2, 120))
    assert not update[1].any()
    # The recurrent kernel sees the state too, so the share is near that of the bias alone.
    kept = 1 / (1 + np.exp(-update[0, :40].astype("float64")))
    assert stats.spearmanr(kept, output).statistic > 0.5
    assert not update[0, 40:].any()


def test_an_lstm_with_it_remembers_longer_than_with_a_forget_bias_of_one():
    def remembered(**arguments):
        layer = keras.layers.LSTM(
            30, kernel_initializer="zeros", recurrent_initializer="zeros", **arguments
        )
        state = [np.zeros((1, 30), "float32"), np.ones((1, 30), "float32")]
        output = layer(np.zeros((1, 50, 2)), initial_state=state)
        return keras.ops.convert_to_numpy(output).mean()

    chrono = ChronoBias(200, seed=0)
    with_chrono = remembered(bias_initializer=chrono, unit_forget_bias=False)
    assert remembered() < 1e-6 < 0.1 < with_chrono


def test_config_copies_and_saving(tmp_path):
    chrono = ChronoBias(50.0, 3, seed=4)
    assert chrono.get_config() == {"max_timescale": 50.0, "gates": 3, "seed": 4}
    layer = keras.layers.GRU(5, bias_initializer=chrono, name="memory")
    model = keras.Sequential([keras.Input((4, 2)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0].cell.bias_initializer
    for other in (loaded, copy.deepcopy(chrono)):
        np.testing.assert_array_equal(draw(other, (2, 15)), draw(chrono, (2, 15)))
    unseeded = ChronoBias()
    np.testing.assert_array_equal(draw(unseeded, (8,)), draw(copy.deepcopy(unseeded), (8,)))
    assert (draw(unseeded, (8,)) != draw(ChronoBias(), (8,))).any()
    assert keras_winit.strip_initializers(model)
    assert type(model.layers[0].cell.bias_initializer) is keras.initializers.Zeros


def test_every_backend_draws_the_same():
    expected = [-4.018896, -4.438968, 4.018896, 4.438968]
    np.testing.assert_allclose(draw(ChronoBias(seed=0), (8,))[:4], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_timescale": 1.5}, ValueError, "at least 2 steps.*max_timescale=1.5"),
        ({"max_timescale": "9"}, TypeError, "`max_timescale` should be a finite number"),
        ({"gates": 2}, ValueError, "`gates` should be 4 for an LSTM or 3 for a GRU.*gates=2"),
        ({"seed": 1.5}, TypeError, "`seed` should be an integer"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        ChronoBias(**arguments)


def test_a_bias_of_other_gates_is_refused():
    with pytest.raises(ValueError, match=r"^ChronoBias: .*4 gates.*shape=\(6,\).*unit_forget"):
        ChronoBias()((6,))
