"""What is used of Keras and Flax without a public name: that it is there, and what happens if not.

A test that fails here with a new version of Keras names what has changed; `_keras_private` is the
one module to fix.
"""

import concurrent.futures
import operator

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import _keras_private, _network
from keras_winit._activations.formulas import FORMULAS, NOT_ELEMENTWISE
from keras_winit._network.graph import Graph

layers = keras.layers
ops = keras.ops


def without(record, name, monkeypatch):
    """Takes an attribute from a record of Keras's, as if it had another name there."""
    if name in vars(record):
        monkeypatch.delattr(record, name)
    else:
        monkeypatch.delattr(type(record), name)


# `_keras_history`, `_inbound_nodes` and what a node holds: without them no graph can be read.


def test_a_symbolic_tensor_leads_to_the_call_that_gave_it():
    first, second = keras.Input((4,)), keras.Input((4,))
    shared, attention = layers.Dense(3), layers.MultiHeadAttention(2, 3)
    shared(first)
    again = shared(second)
    call = _keras_private.call_that_gave(again)
    assert call.operation is shared
    assert [id(each) for each in call.inputs] == [id(second)]
    assert [id(each) for each in call.outputs] == [id(again)]
    sequence = keras.Input((5, 4))
    call = _keras_private.call_that_gave(attention(sequence, value=sequence))
    assert call.args == (sequence,)
    assert call.kwargs["value"] is sequence
    assert len(call.inputs) == 2
    assert not _keras_private.call_that_gave(first).inputs


def records(tensor):
    """Returns what is read of Keras's records, each with the object that it is an attribute of."""
    layer, number, _ = tensor._keras_history
    node = layer._inbound_nodes[number]
    return {
        "_keras_history": tensor,
        "_inbound_nodes": layer,
        "output_tensors": node,
        "arguments": node,
        "keras_tensors": node.arguments,
        "args": node.arguments,
        "kwargs": node.arguments,
    }


NAMES = list(records(keras.Input((4,))))


@pytest.mark.parametrize("name", NAMES)
def test_without_records_the_graph_is_not_read_and_the_plan_says_so(name, monkeypatch):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3, "relu", name="dense")(inputs))
    record = records(model.outputs[0])[name]
    without(record, name, monkeypatch)
    expected = f"`{type(record).__name__}` should have `{name}`"
    with pytest.raises(NotImplementedError, match=f"{expected}.*Keras {keras.__version__}"):
        _keras_private.call_that_gave(model.outputs[0])
    plan = keras_winit.suggest(model)
    assert expected in plan.problem
    # Each layer then counts with the activation that it applies itself.
    assert Graph(model).surroundings(model.get_layer("dense")).activation.name == "relu"


# Methods looked up on the instance: without that, a layer counts as not reached.


class Quantized(layers.Layer):
    quantization_mode = "int8"

    def quantized_call(self, x):
        return x


REPLACED = {
    "call": lambda: layers.Dense(3),
    "call of an operation": lambda: _keras_private.call_that_gave(ops.relu(keras.Input((4,))))[0],
    "activation": lambda: layers.Dense(3, "relu"),
    "quantized_call": Quantized,
}


@pytest.mark.parametrize("name", REPLACED)
def test_keras_calls_what_takes_the_place_of_a_method(name):
    operation, seen = REPLACED[name](), []
    x = ops.ones((2, 4))
    operation(x)
    name = name.partition(" ")[0]
    held = getattr(operation, name)

    def watched(*args, **kwargs):
        seen.append(name)
        return held(*args, **kwargs)

    _keras_private.replace(operation, name, watched)
    operation(x)
    assert seen == [name]


def test_a_method_of_all_layers_is_replaced_in_this_thread_alone():
    class Twice(keras.Layer):
        def call(self, x):
            return 2 * x

    layer, of_keras = Twice(), keras.Layer.__call__
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with _keras_private.layers_with("__call__", lambda call, layer, x: call(layer, x + 1)):
            here, elsewhere = layer(np.ones(3)), pool.submit(layer, np.ones(3)).result()
    assert (float(here[0]), float(elsewhere[0])) == (4, 2)
    assert keras.Layer.__call__ is of_keras


ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow")
OPERATORS = (*ARITHMETIC, "lt", "le", "gt", "ge")


@pytest.mark.parametrize("name", OPERATORS)
def test_a_variable_yields_to_a_symbolic_tensor_and_to_that_alone(name):
    variable, compute = keras.Variable(2 * np.ones((3, 3))), getattr(operator, name)
    own = getattr(keras.Variable, f"__{name}__")
    values = ops.convert_to_numpy(variable)
    with _keras_private.operands_that_yield():
        symbolic = compute(variable, keras.Input((3,)))
        computed = ops.convert_to_numpy(compute(variable, values))
    assert isinstance(symbolic, keras.KerasTensor)
    np.testing.assert_array_equal(computed, compute(values, values))
    assert getattr(keras.Variable, f"__{name}__") is own


@pytest.mark.parametrize("name", ARITHMETIC)  # TensorFlow compares with nothing unknown
def test_an_array_of_the_backend_yields_to_a_symbolic_tensor(name):
    array, compute = 2 * ops.ones((3, 3)), getattr(operator, name)
    own = vars(keras.KerasTensor)["__jax_array__"]
    with _keras_private.operands_that_yield():
        assert isinstance(compute(array, keras.Input((3,))), keras.KerasTensor)
    assert vars(keras.KerasTensor)["__jax_array__"] is own


def test_keras_asks_a_method_how_to_run_a_layer_again():
    with keras.RematScope(mode="full"):
        layer = layers.Dense(3)
    x, seen = ops.ones((2, 4)), []
    layer(x)

    def watched(call, *args, **kwargs):
        seen.append(call)
        return call

    _keras_private.replace(layer, "rematerialized_call", watched)
    layer(x)
    assert seen == [layer.call]


def test_a_layer_whose_method_is_not_looked_up_is_not_reached(monkeypatch):
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, name="hidden")(inputs)
    model = keras.Model(inputs, layers.EinsumDense("ab,bc->ac", 2, name="last")(hidden))
    call = layers.Dense.call
    monkeypatch.setattr(layers.Dense, "__call__", lambda self, x, **_: call(self, x))
    diagnosis = keras_winit.diagnose(model, np.ones((2, 4), "float32"))
    assert diagnosis.signal.not_reached == ("hidden",)


# `_check_valid_context`: without it, Flax refuses what a layer writes while gradients are traced.


def test_layers_have_the_check_of_flax_in_nnx_mode_and_there_alone():
    assert hasattr(layers.Dense(3), "_check_valid_context") == keras.config.is_nnx_enabled()


class Checked:
    """As a layer in NNX mode."""

    def _check_valid_context(self, message):
        raise AssertionError(message())


@pytest.mark.parametrize("layer", [layers.Dense(3), Checked()])
def test_a_layer_may_be_written_to_with_the_check_and_without(layer):
    _keras_private.allow_writes(layer)
    if hasattr(layer, "_check_valid_context"):
        layer._check_valid_context(lambda: "written to")


# Frames of `add_weight` and `bias_initializer`: without them, initializers know a shape alone.


class Asked(keras.Initializer):
    """Notes who asks it for which weight."""

    def __init__(self):
        self.seen = []

    def __call__(self, shape, dtype=None, **_):
        self.seen.append(_keras_private.request())
        return ops.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda asked: layers.Dense(3, kernel_initializer=asked), "kernel"),
        (lambda asked: layers.Dense(3, bias_initializer=asked), "bias"),
        (lambda asked: layers.Embedding(9, 3, embeddings_initializer=asked), "embeddings"),
        (lambda asked: layers.GRUCell(3, recurrent_initializer=asked), "recurrent_kernel"),
        (lambda asked: layers.LSTMCell(3, bias_initializer=asked), None),
    ],
)
def test_an_initializer_sees_which_layer_asks_for_which_weight(make, name):
    asked = Asked()
    layer = make(asked)
    layer.build((2, 4))
    assert asked.seen
    assert all(seen == (layer, name) for seen in asked.seen)


def test_what_is_not_asked_for_by_a_layer_has_a_shape_alone(monkeypatch):
    asked = Asked()
    asked((2, 3))
    monkeypatch.setattr(_keras_private, "_CALLERS", ("another_name",))
    layers.Dense(3, kernel_initializer=asked).build((2, 4))
    assert asked.seen == [(None, None)] * 2
    phases = keras_winit.initializers.FourierPhases()
    layer = layers.Dense(4, bias_initializer=phases)
    layer.build((2, 5))
    np.testing.assert_array_equal(layer.bias, phases((4,)))


# `MultiHeadAttention._kernel_initializer`: without it, its config cannot be made true.


@pytest.mark.parametrize("argument", ["kernel_initializer", "bias_initializer"])
@pytest.mark.parametrize("cls", [layers.MultiHeadAttention, layers.GroupQueryAttention])
def test_the_config_of_attention_is_made_of_the_attribute(cls, argument):
    layer = cls(4, 2) if cls is layers.MultiHeadAttention else cls(3, 4, 2)
    attribute = _keras_private.attribute_of(layer, argument)
    setattr(layer, attribute, keras.initializers.Constant(3.0))
    config = layer.get_config()[argument]
    assert keras.saving.deserialize_keras_object(config).value == 3


def test_attention_without_the_attribute_is_refused_and_left_as_it_was(monkeypatch):
    inputs = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(2, 3)
    model = keras.Model(inputs, attention(inputs, inputs))
    before = model.get_weights()
    held = attention._kernel_initializer
    monkeypatch.delattr(attention, "_kernel_initializer")
    with pytest.raises(NotImplementedError, match="MultiHeadAttention should keep `kernel_init"):
        keras_winit.initialize(model, "suggested", seed=1)
    for value, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, other)
    attention.kernel_initializer = held  # should Keras make it public
    keras_winit.initialize(model, "suggested", seed=1)
    assert not np.array_equal(model.get_weights()[0], before[0])


# Names of classes: under another name, a layer or operation counts as of an unknown kind.

IMAGE = (6, 6, 4)
OPERATIONS = {
    "Reshape": lambda x: ops.reshape(x, (-1, 36, 4)),
    "Transpose": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "Squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "ExpandDims": lambda x: ops.expand_dims(x, 1),
    "GetItem": lambda x: x[:, 0],
    "Cast": lambda x: ops.cast(x, "float16"),
    "Concatenate": lambda x: ops.concatenate([x, x]),
    "Stack": lambda x: ops.stack([x, x]),
    "Pad": lambda x: ops.pad(x, 1),
    "Add": lambda x: x + x,
    "Mean": lambda x: ops.mean(x, 1),
    "Max": lambda x: ops.max(x, 1),
    "MaxPool": lambda x: ops.max_pool(x, 2),
    "AveragePool": lambda x: ops.average_pool(x, 2),
    "AdaptiveAveragePool": lambda x: ops.adaptive_average_pool(x, (2, 2)),
}


def operation_of(function):
    return _keras_private.call_that_gave(function(keras.Input(IMAGE))).operation


# Not all of them are in the oldest Keras.
@pytest.mark.parametrize(
    "name",
    [
        each
        for each in OPERATIONS
        if each != "AdaptiveAveragePool" or hasattr(ops, "adaptive_average_pool")
    ],
)
def test_operations_are_known_by_the_names_of_their_classes(name):
    operation = operation_of(OPERATIONS[name])
    assert type(operation).__name__ == name
    assert _network.is_transparent(operation)
    assert _network.is_addition(operation) == (name == "Add")


def derived(cls):
    for each in cls.__subclasses__():
        yield each
        yield from derived(each)


def test_layers_of_applications_are_known_by_the_names_of_their_classes():
    of_applications = {
        each.__name__
        for each in derived(layers.Layer)
        if each.__module__.startswith("keras.") and ".applications." in each.__module__
    }
    names = {"LayerScale", "StochasticDepth", "CustomScaleLayer"}
    assert of_applications >= names
    assert _keras_private.TRANSPARENT == names | OPERATIONS.keys()
    assert _keras_private.ADDITIONS == {"Add", "CustomScaleLayer"}
    assert _keras_private.LAYER_SCALE == "LayerScale"


def test_the_names_of_activations_are_those_of_their_functions():
    for name in {*FORMULAS, *NOT_ELEMENTWISE, "exp"} & vars(ops).keys() - {"threshold"}:
        activation = _network.activation_of(operation_of(getattr(ops, name)))
        assert activation.name == ("exponential" if name == "exp" else name)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (lambda x: ops.threshold(x, 1.0, 0.5), 0.9, 0.5),
        (lambda x: ops.leaky_relu(x, 0.3), -2.0, -0.6),
        (lambda x: keras.activations.relu(x, 0.1, 4.0, 0.5), 9.0, 4.0),
    ],
)
def test_operations_keep_arguments_by_the_names_that_their_functions_have(function, x, expected):
    activation = _network.activation_of(operation_of(function))
    assert float(activation.function(ops.array(x))) == pytest.approx(expected)


def test_an_operation_of_another_name_is_of_no_known_kind(monkeypatch):
    for name in ("TRANSPARENT", "ADDITIONS"):
        monkeypatch.setattr(f"keras_winit._network.operations.{name}", set())
    operation = operation_of(OPERATIONS["Add"])
    assert not _network.is_transparent(operation)
    assert not _network.is_addition(operation)
    monkeypatch.setattr("keras_winit._network.operations.ACTIVATIONS", {})
    assert _network.activation_of(operation_of(ops.exp)) is None


def test_the_cell_of_a_convolutional_lstm_is_known_by_its_name(monkeypatch):
    cell = layers.ConvLSTM2D(3, 2).cell
    assert [each.blocks for each in _network.kernels_of(cell)] == [4, 4]
    monkeypatch.setattr(_keras_private, "CONV_LSTM_CELL", "Another")
    assert _network.kernels_of(cell) == ()


# What an optimizer keeps for each variable, in lists without public names.


def test_slots_of_an_optimizer_follow_the_order_of_the_variables():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    adam = keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=2)
    descent = keras.optimizers.SGD(momentum=0.9)
    for optimizer, names in (
        (adam, ["average", "gradient_accumulator", "momentum", "velocity"]),
        (descent, ["momentum"]),
        (keras.optimizers.SGD(), []),
    ):
        variables = model.trainable_variables
        optimizer.build(variables)
        found = list(_keras_private.slots_of(optimizer, len(variables)))
        paths = [variable.path.replace("/", "_") for variable in variables]
        expected = [[f"{path}_{name}" for path in paths] for name in names]
        assert sorted([each.name for each in slots] for slots, _ in found) == sorted(expected)
        averages = [
            slots[0].name.rpartition("_")[2] for slots, are_averages in found if are_averages
        ]
        assert averages == ["average"] * (optimizer is adam)
