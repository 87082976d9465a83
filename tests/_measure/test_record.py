import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_winit
from keras_winit import record

RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(6, size)).astype("float32") for size in (8, 3))


def model(*, name="model", **arguments):
    hidden = layers.Dense(5, "relu", name="hidden", **arguments)
    return keras.Sequential([keras.Input((8,)), hidden, layers.Dense(3, name="out")], name=name)


def expected(model):
    """Returns outputs and gradients of the mean squared error, in double precision."""
    first, bias, second, other_bias = (each.astype("float64") for each in model.get_weights())
    z = X @ first + bias
    hidden = np.maximum(z, 0)
    out = hidden @ second + other_bias
    by_out = 2 * (out - Y) / Y.size
    return {"hidden": hidden, "out": out}, {"hidden": by_out @ second.T, "out": by_out}


def assert_close(found, expected, tolerance=1e-5):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=tolerance)


@pytest.mark.parametrize("trainable", [True, False])
def test_outputs_and_gradients_are_those_of_the_chain_rule(trainable):
    network = model()
    network.layers[0].trainable = trainable
    found = record(network, X, Y, loss="mse")
    outputs, gradients = expected(network)
    assert_close(found.outputs, outputs)
    assert_close(found.gradients, gradients)
    assert found.loss == pytest.approx(np.mean((outputs["out"] - Y) ** 2), rel=1e-5)


def test_the_loss_may_be_that_of_the_compiled_model():
    network = model(kernel_regularizer=keras.regularizers.L2(0.1))
    network.compile("sgd", "mse")
    found = record(network, X, Y)
    assert_close(found.gradients, expected(network)[1])
    penalty = 0.1 * np.square(network.get_weights()[0]).sum()
    by_hand = np.mean((found.outputs["out"] - Y) ** 2) + penalty
    assert found.loss == pytest.approx(by_hand, rel=1e-5)


def test_without_labels_there_are_outputs_alone():
    found = record(model(), X)
    assert list(found.outputs) == ["hidden", "out"]
    assert (found.gradients, found.loss) == ({}, None)
    assert record(model()).rows[0].shape == (64, 5)  # noise


class Doubled(keras.Model):
    """Calls a layer twice, and gives a number that its loss does not depend on."""

    def __init__(self):
        super().__init__()
        self.shared, self.other = layers.Dense(8, name="shared"), layers.Dense(2, name="other")

    def call(self, x):
        self.other(x)
        return self.shared(ops.tanh(self.shared(x)))


def test_every_call_of_a_shared_layer_is_recorded():
    network = Doubled()
    network(X)
    y = np.zeros((6, 8), "float32")
    found = record(network, X, y, loss="mse")
    kernel, bias = (each.astype("float64") for each in network.shared.get_weights())
    first = X @ kernel + bias
    second = np.tanh(first) @ kernel + bias
    by_second = 2 * second / second.size
    by_first = by_second @ kernel.T * (1 - np.tanh(first) ** 2)
    np.testing.assert_allclose(found.outputs["shared"], first, atol=1e-5)
    np.testing.assert_allclose(found.outputs["shared#2"], second, atol=1e-5)
    np.testing.assert_allclose(found.gradients["shared"], by_first, atol=1e-5)
    np.testing.assert_allclose(found.gradients["shared#2"], by_second, atol=1e-5)
    assert not np.any(found.gradients.get("other", 0))


def test_layers_run_as_in_fit_where_there_are_labels_and_nothing_stays():
    hidden = [layers.BatchNormalization(momentum=0.5), layers.Dropout(0.5, name="drop")]
    network = keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3)])
    before = network.get_weights()
    share = [
        np.mean(each.outputs["drop"] == 0)
        for each in (
            record(network, X),
            record(network, X, training=True),
            record(network, X, Y, loss="mse"),
            record(network, X, Y, loss="mse", training=False),
        )
    ]
    assert (share[0], share[3]) == (0, 0)
    assert 0.1 < share[1] < 0.9
    assert 0.1 < share[2] < 0.9
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    outputs = ops.convert_to_numpy(network(X))
    np.testing.assert_allclose(record(network, X).rows[-1].output, outputs, atol=1e-6)


def nested():
    inner = keras.Sequential([layers.Dense(4, "gelu", name="one"), layers.LayerNormalization()])
    inner.name = "inner"
    return keras.Sequential([keras.Input((5, 3)), inner, layers.LSTM(2, name="memory")])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["inner/one", "inner/layer_normalization", "inner", "memory"]),
        ("inner/*", ["inner/one", "inner/layer_normalization"]),
        ("one", ["inner/one"]),
        (["memory", "inner"], ["inner", "memory"]),
    ],
)
def test_layers_are_chosen_by_name_path_and_pattern(names, expected):
    found = [row.layer for row in record(nested(), layers=names).rows]
    assert [name.rstrip("_0123456789") for name in found] == expected


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_what_is_computed_in_16_bits_is_in_float32(policy):
    network = keras.Sequential([keras.Input((8,)), layers.Dense(3, dtype=policy, name="out")])
    row = record(network, X, Y, loss="mse").rows[0]
    assert (row.output.dtype, row.gradient.dtype) == ("float32", "float32")
    by_hand = 2 * (row.output - Y) / Y.size
    np.testing.assert_allclose(row.gradient, by_hand, atol=0.01)


def test_a_recording_prints_as_a_table():
    found = record(model(name="small"), X, Y, loss="mse")
    title, header, _, hidden, out = repr(found).splitlines()
    assert title == f"Layers of model 'small', with a loss of {found.loss:.4g}"
    assert header.split() == ["layer", "kind", "shape", "mean", "std", "gradient", "norm"]
    assert (hidden.split()[0], out.split()[0]) == ("hidden", "out")
    row = found.rows[0]
    assert row.gradient_norm == pytest.approx(np.linalg.norm(found.gradients["hidden"]), rel=1e-6)
    assert (row.mean, row.std) == pytest.approx((row.output.mean(), row.output.std()), rel=1e-5)


if keras.backend.backend() == "jax":

    class Loop(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(8, name="in_the_loop")

        def build(self, shape):
            self.inner.build(shape)

        def call(self, x):
            return ops.fori_loop(0, 2, lambda _, x: self.inner(x), x)

    def test_layers_in_a_compiled_loop_are_named():
        network = keras.Sequential([keras.Input((8,)), Loop(), layers.Dense(3)])
        found = record(network, X)
        assert len(found.rows) == 2
        assert found.notes[0].startswith("Not recorded")
        assert "in_the_loop" in found.notes[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": "hiden"}, ValueError, "layers='hiden'. Did you mean 'hidden'"),
        ({"layers": 3}, TypeError, "`layers` should be .* a list of them. Received: layers=3"),
        ({"training": "yes"}, TypeError, "`training` should be True or False"),
        ({"loss": "mse"}, ValueError, "`loss` should come with labels"),
        ({"y": Y}, ValueError, "is not compiled. Give `loss`"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        record(model(), X, **arguments)


def test_a_batch_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="`x` should be of shape"):
        keras_winit.record(model(), X[:, :3])
