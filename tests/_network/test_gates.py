import keras
import pytest

from keras_winit._network.network import Network

layers = keras.layers
ops = keras.ops

UNITS = 6


def value():
    return layers.Dense(UNITS, name="value")


def gate(activation=None):
    return layers.Dense(UNITS, activation, name="gate")


def found(product):
    """Returns the names of the layers of values and of their gates."""
    inputs = keras.Input((4,))
    x = layers.Dense(5, "tanh")(inputs)
    network = Network(keras.Model(inputs, layers.Dense(2)(product(x))))
    assert network.problem is None
    return {value.name: gate.name for value, gate in network.gates.items()}


@pytest.mark.parametrize(
    "product",
    [
        lambda x: value()(x) * gate("sigmoid")(x),
        lambda x: layers.Multiply()([gate("silu")(x), value()(x)]),
        lambda x: ops.multiply(value()(x), ops.sigmoid(gate()(x))),
        lambda x: value()(x) * layers.Activation("gelu")(gate()(x)),
    ],
    ids=["operator", "layer", "operation", "activation of its own"],
)
def test_products_of_values_and_gates_are_found(product):
    assert found(product) == {"value": "gate"}


@pytest.mark.parametrize(
    "product",
    [
        lambda x: value()(x) * gate()(x),
        lambda x: ops.tanh(value()(x)) * gate("sigmoid")(x),
        lambda x: value()(x) * gate("sigmoid")(layers.Dense(3)(x)),
        lambda x: value()(x) + gate("sigmoid")(x),
        lambda x: x * layers.Dense(5, "sigmoid")(x),
        lambda x: ops.square(value()(x)),
    ],
    ids=["linear", "activated value", "other inputs", "sum", "inputs", "square"],
)
def test_other_products_are_none(product):
    assert found(product) == {}
