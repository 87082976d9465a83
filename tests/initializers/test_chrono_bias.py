import copy

import keras
import numpy as np
import pytest
from sampling import draw
from scipy import stats

import keras_winit
from keras_winit.initializers import ChronoBias

layers = keras.layers


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
    assert not draw(ChronoBias(2, gates=4, seed=0), (4 * 9,)).any()  # log 1
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
    assert ChronoBias(open_share=0.5).get_config()["open_share"] == 0.5
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


def test_a_share_of_the_units_remembers_nothing_by_its_gates():
    bias = draw(ChronoBias(100, open_share=0.25, gates=4, seed=0), (4 * 40,))
    whole = gates(draw(ChronoBias(100, gates=4, seed=0), (4 * 40,)), 4)
    found = gates(bias, 4)
    opened = found[3] == 4
    np.testing.assert_array_equal(opened, np.arange(40) < 10)
    for gate, value in zip(found, (4, -4, 0, 4), strict=True):
        np.testing.assert_array_equal(gate[opened], value)
    for gate, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(gate[~opened], expected[~opened])
    of_gru = draw(ChronoBias(100, open_share=0.4, gates=3, seed=0), (2, 3 * 10))
    update, reset, candidate = gates(of_gru[0], 3)
    np.testing.assert_array_equal(update[:4], -4)
    assert (update[4:] >= 0).all()
    np.testing.assert_array_equal(reset, [4] * 4 + [0] * 6)
    assert not candidate.any()
    assert not of_gru[1].any()


def test_every_backend_draws_the_same():
    expected = [-4.018896, -4.438968, 4.018896, 4.438968]
    np.testing.assert_allclose(draw(ChronoBias(seed=0), (8,))[:4], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_timescale": 1.5}, ValueError, "at least 2 steps.*max_timescale=1.5"),
        ({"max_timescale": "9"}, TypeError, "`max_timescale` should be a finite number"),
        ({"gates": 2}, ValueError, "`gates` should be 4 for an LSTM or 3 for a GRU.*gates=2"),
        ({"open_share": 1.0}, ValueError, "`open_share` should be from 0, below 1.*=1.0"),
        ({"seed": 1.5}, TypeError, "`seed` should be an integer"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        ChronoBias(**arguments)


@pytest.mark.parametrize(
    ("initializer", "shape", "message"),
    [
        (ChronoBias(), (7,), r"`gates` should be given.*neither.*shape=\(7,\)"),
        (ChronoBias(), (24,), r"`gates` should be given.*either.*shape=\(24,\)"),
        (ChronoBias(gates=4), (6,), r"4 gates of an LSTM.*shape=\(6,\)"),
        (ChronoBias(), (), r"4 gates of an LSTM.*shape=\(\)"),
    ],
)
def test_a_bias_of_other_or_unknown_gates_is_refused(initializer, shape, message):
    with pytest.raises(ValueError, match=f"^ChronoBias: .*{message}"):
        initializer(shape)


def bias_of(layer, shape):
    """Returns the biases of a built layer, of all cells in it."""
    layer.build(shape)
    return [keras.ops.convert_to_numpy(w) for w in layer.weights if w.name == "bias"]


def check(bias, gates, timescale=100):
    """Checks biases against what gates do: T = 1 + exp(b) is between 2 and the timescale."""
    rows = np.atleast_2d(bias)
    split = np.split(rows[0], gates)
    kept = split[1] if gates == 4 else split[0]
    times = 1 + np.exp(kept.astype("float64"))
    assert 2 - 1e-6 < times.min() < times.max() < timescale + 1e-4
    if gates == 4:
        np.testing.assert_array_equal(split[0], -kept)
    others = split[2:] if gates == 4 else split[1:]
    assert not np.any(others)
    assert not rows[1:].any()


SEQUENCES, IMAGES = (None, 5, 2), (None, 5, 6, 2)
OPEN = {"bias_initializer": "chrono_bias", "unit_forget_bias": False}
CLOSED = {"bias_initializer": "chrono_bias"}

# 12 units: their number says neither 3 nor 4 gates.
RIGHT = {
    "LSTM": (lambda: layers.LSTM(12, **OPEN), SEQUENCES, 4),
    "GRU": (lambda: layers.GRU(12, **CLOSED), SEQUENCES, 3),
    "GRU, one bias": (lambda: layers.GRU(12, **CLOSED, reset_after=False), SEQUENCES, 3),
    "ConvLSTM": (lambda: layers.ConvLSTM1D(12, 2, **OPEN), IMAGES, 4),
    "cell": (lambda: layers.RNN([layers.GRUCell(12, **CLOSED)] * 1), SEQUENCES, 3),
    "both ways": (lambda: layers.Bidirectional(layers.GRU(12, **CLOSED)), SEQUENCES, 3),
    "given as 4": (lambda: layers.GRU(12, bias_initializer=ChronoBias(gates=4)), SEQUENCES, 3),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_layer_tells_its_gates(name):
    build, shape, gates = RIGHT[name]
    biases = bias_of(build(), shape)
    assert biases
    for bias in biases:
        check(bias, gates)


WRONG = {
    "LSTM": (lambda: layers.LSTM(12, **CLOSED), SEQUENCES, "`unit_forget_bias` should be False"),
    "ConvLSTM": (lambda: layers.ConvLSTM1D(12, 2, **CLOSED), IMAGES, "unit_forget_bias=False"),
    "both ways": (
        lambda: layers.Bidirectional(layers.LSTM(12, **CLOSED)),
        SEQUENCES,
        "unit_forget_bias=False",
    ),
    "SimpleRNN": (lambda: layers.SimpleRNN(12, **CLOSED), SEQUENCES, "with 1 gates"),
    "Dense": (lambda: layers.Dense(12, **CLOSED), SEQUENCES, "with no gates"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_layer_for_which_it_would_be_wrong_is_refused(name):
    build, shape, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        bias_of(build(), shape)


def test_a_model_that_calls_an_initializer_is_no_layer_that_asks():
    class Model(keras.Model):
        def draw(self):
            return ChronoBias(seed=0)((8,))

    check(keras.ops.convert_to_numpy(Model().draw()), 4)


@pytest.mark.parametrize(
    "build", [lambda: layers.LSTM(12), lambda: layers.GRU(12), lambda: layers.ConvLSTM1D(12, 2)]
)
def test_a_plan_draws_it_for_every_layer_and_the_file_draws_the_same(build, tmp_path):
    layer = build()
    shape = IMAGES if "Conv" in type(layer).__name__ else SEQUENCES
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    gates = 3 if isinstance(layer, layers.GRU) else 4
    plan = keras_winit.suggest(model)
    (path,) = (path for path in plan if path.endswith("bias"))
    plan[path] = "chrono_bias"
    keras_winit.initialize(model, plan, seed=1)
    check(keras.ops.convert_to_numpy(layer.cell.bias), gates)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for other in (loaded, keras.models.clone_model(model)):
        assert other.layers[0].get_config()["bias_initializer"]["config"]["gates"] == gates
        check(keras.ops.convert_to_numpy(other.layers[0].cell.bias), gates)
    # Later schemes know nothing of it.
    keras_winit.initialize(model, "he_normal", seed=1)
    bias = keras.ops.convert_to_numpy(layer.cell.bias)
    assert bias.sum() == (12 if gates == 4 else 0)
    assert getattr(layer, "unit_forget_bias", True)


def test_own_draws_it_again():
    model = keras.Sequential([keras.Input((5, 2)), layers.GRU(12, **CLOSED)])
    before = keras.ops.convert_to_numpy(model.layers[0].cell.bias)
    keras_winit.initialize(model, "own", seed=1)
    bias = keras.ops.convert_to_numpy(model.layers[0].cell.bias)
    check(bias, 3)
    assert (bias != before).any()


def test_an_old_file_of_a_layer_for_which_it_was_wrong_loads_with_a_warning():
    config = layers.LSTM(12).get_config()
    # As version 0.1.0 wrote it.
    config["bias_initializer"] = {
        "module": "keras_winit.initializers._chrono_bias",
        "class_name": "ChronoBias",
        "config": {"max_timescale": 100.0, "gates": 4, "seed": None},
        "registered_name": "keras_winit>ChronoBias",
    }
    layer = layers.LSTM.from_config(config)
    with pytest.warns(UserWarning, match="ChronoBias draws zeros.*unit_forget_bias=False"):
        layer.build(SEQUENCES)
    assert ChronoBias(50, 3).get_config() == {"max_timescale": 50.0, "gates": 3, "seed": None}
