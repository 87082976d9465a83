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
    return {layer.name: (gated.layer.name, gated.parts) for layer, gated in network.gates.items()}


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
    assert found(product) == {"value": ("gate", ("value",)), "gate": ("gate", ("gate",))}


def halves(product):
    """Returns a product of what one kernel gives, taken apart."""
    return lambda x: product(layers.Dense(2 * UNITS, name="both")(x))


def split(both, axis=-1):
    first, second = ops.split(both, 2, axis=axis)
    return first * ops.silu(second)


VALUE_FIRST = {
    "glu": keras.activations.glu,
    "split": split,
    "slices": lambda both: both[:, :UNITS] * ops.sigmoid(both[:, UNITS:]),
    "from the end": lambda both: both[..., :-UNITS] * ops.relu(both[..., UNITS:]),
    "pieces": lambda both: (
        ops.slice(both, [0, 0], [3, UNITS]) * ops.silu(ops.slice(both, [0, UNITS], [3, UNITS]))
    ),
}


@pytest.mark.parametrize("product", VALUE_FIRST.values(), ids=VALUE_FIRST)
def test_products_of_the_halves_of_one_kernel_are_found(product):
    assert found(halves(product)) == {"both": ("both", ("value", "gate"))}


def test_the_gate_may_come_first():
    product = halves(lambda both: ops.silu(both[:, :UNITS]) * both[:, UNITS:])
    assert found(product) == {"both": ("both", ("gate", "value"))}


def test_the_activation_is_that_of_the_gate():
    inputs = keras.Input((8, 4))
    both = layers.Conv1D(2 * UNITS, 3)(inputs)
    network = Network(keras.Model(inputs, keras.activations.glu(both)))
    assert [gated.activation.name for gated in network.gates.values()] == ["sigmoid"]
    network = Network(keras.Model(inputs, split(both)))
    assert [gated.activation.name for gated in network.gates.values()] == ["silu"]


@pytest.mark.parametrize(
    "product",
    [
        lambda both: both[:, : UNITS + 1] * ops.silu(both[:, UNITS - 1 :]),
        lambda both: both[:, ::2] * ops.silu(both[:, 1::2]),
        lambda both: both[:, :UNITS] * ops.silu(both[:, :UNITS]),
        lambda both: both[:, :UNITS] * both[:, UNITS:],
        lambda both: ops.tanh(both[:, :UNITS]) * ops.silu(both[:, UNITS:]),
        lambda both: both[:, :UNITS] * ops.silu(both[:, UNITS:][:, ::-1]),
        lambda both: both[:, :1] * ops.silu(both[:, 1:]),
        lambda both: both * ops.silu(both),
        lambda both: keras.activations.glu(ops.relu(both)),
        lambda both: keras.activations.glu(ops.reshape(both, (-1, 2, UNITS)), axis=1)[:, 0],
    ],
    ids=[
        *("overlapping", "in turns", "one half", "linear", "activated value", "part of a part"),
        *("one value", "no parts", "activated before", "another axis"),
    ],
)
def test_other_parts_are_none(product):
    assert found(halves(product)) == {}


def test_places_that_are_multiplied_are_no_halves_of_a_kernel():
    inputs = keras.Input((8, 4))
    both = layers.Dense(2 * UNITS)(inputs)
    assert not Network(keras.Model(inputs, keras.activations.glu(both, axis=1))).gates
    assert Network(keras.Model(inputs, keras.activations.glu(both, axis=2))).gates


def test_what_does_not_run_on_numbers_is_no_part():
    """A start that only the data tell."""

    def product(x):
        both = layers.Dense(2 * UNITS, name="both")(x)
        start = ops.cast(ops.stack([0 * ops.sum(x), ops.sum(x)]), "int32")
        return ops.slice(both, start, [3, UNITS]) * ops.silu(both[:, UNITS:])

    assert found(product) == {}


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
