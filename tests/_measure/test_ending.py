"""What is seen of the layers without kernels: behind the last one, and dropout on the way."""

import keras
import pytest

from keras_winit._measure.ending import dropout_noise, endings, is_linear
from keras_winit._network.network import Network

layers = keras.layers


def network(*hidden, inputs=(6,)):
    return Network(keras.Sequential([keras.Input(inputs), *hidden]))


def only(found):
    (ending,) = endings(found)
    return ending


@pytest.mark.parametrize(
    ("behind", "activations", "dropout", "is_known"),
    [
        ([], ("tanh",), 0.0, True),
        ([layers.Softmax()], ("tanh", "softmax"), 0.0, True),
        ([layers.Dropout(0.25), layers.ReLU()], ("tanh", "relu"), 0.25, True),
        ([layers.Rescaling(2.0)], ("tanh",), 0.0, False),
        ([layers.LayerNormalization()], ("tanh",), 0.0, False),
    ],
)
def test_what_follows_the_last_kernel(behind, activations, dropout, is_known):
    last = layers.Dense(3, "tanh", name="last")
    found = only(network(layers.Dense(5, "relu"), last, *behind))
    assert found.layer.endswith("last")
    assert found.activations == activations
    assert (found.dropout, found.is_known) == (dropout, is_known)


def test_each_output_has_an_ending():
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, "relu")(inputs)
    first, second = layers.Dense(2, "sigmoid")(hidden), layers.Dense(3)(hidden)
    both = layers.Concatenate()([first, second])
    found = list(endings(Network(keras.Model(inputs, [first, second, both]))))
    assert [each.activations for each in found] == [("sigmoid",), (), ()]
    assert [each.layer is None for each in found] == [False, False, True]


def test_noise_of_dropout_multiplies_along_the_longest_path():
    assert dropout_noise(network(layers.Dense(5))) == 1
    in_a_row = [layers.Dropout(0.5), layers.Dense(5), layers.Dropout(0.75), layers.Dense(2)]
    assert dropout_noise(network(*in_a_row)) == pytest.approx(8)
    inputs = keras.Input((6,))
    sides = [layers.Dense(5)(layers.Dropout(rate)(inputs)) for rate in (0.5, 0.9)]
    beside = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(sides)))
    assert dropout_noise(Network(beside)) == pytest.approx(10)


def test_shortcuts_lead_around_the_noise_of_branches():
    inputs = x = keras.Input((6,))
    for rate in (0.5, 0.75, 0.5):
        branch = layers.Dense(6)(layers.Dropout(rate)(layers.Dense(6, "relu")(x)))
        x = layers.Add()([x, branch])
    assert dropout_noise(Network(keras.Model(inputs, x))) == pytest.approx(4)


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ([layers.Dense(5), layers.Dense(2, "softmax")], True),
        ([layers.Dense(5), layers.Dropout(0.5), layers.Dense(4), layers.Dense(2)], True),
        ([layers.Dense(2)], False),
        ([layers.Dense(5, "relu"), layers.Dense(2)], False),
        ([layers.Dense(5), layers.ReLU(), layers.Dense(2)], False),
        ([layers.Dense(5), layers.BatchNormalization(), layers.Dense(2)], False),
    ],
)
def test_a_network_is_linear_where_nothing_comes_between_its_kernels(hidden, expected):
    assert is_linear(network(*hidden)) == expected


@pytest.mark.parametrize(("pooling", "expected"), [("Average", True), ("Max", False)])
def test_the_largest_of_a_window_is_not_linear(pooling, expected):
    pool = getattr(layers, f"{pooling}Pooling1D")(2)
    last = [layers.Flatten(), layers.Dense(2)]
    assert is_linear(network(layers.Conv1D(3, 2), pool, *last, inputs=(8, 2))) == expected


def test_cells_and_tables_are_not_linear():
    assert not is_linear(network(layers.LSTM(3), layers.Dense(2), inputs=(8, 2)))
    tables = [layers.Embedding(9, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    assert not is_linear(network(*tables, inputs=(8,)))
