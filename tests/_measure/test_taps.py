import math

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._measure.batch import take
from keras_winit._measure.measure import measure
from keras_winit._network.network import Network

layers = keras.layers
ops = keras.ops


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")


def measured(model, x, y=None, loss=None):
    network = Network(model)
    return measure(network, take(network, x, y), loss)


def by_name(signal):
    return {layer.layer.split("/")[-1]: layer for layer in signal.layers}


def same(summary, tensor, rtol=1e-4):
    """Compares mean, second moment and magnitude of a `Summary` with those of a tensor."""
    x = numpy(tensor)
    found = (summary.mean, summary.second_moment, summary.largest, summary.num_samples)
    expected = (x.mean(), (x**2).mean(), np.abs(x).max(), len(x))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6)


def functional(*build, shape=(6,)):
    inputs = x = keras.Input(shape)
    for each in build:
        x = each(x)
    return keras.Model(inputs, x)


X = normal(8, 6)
IMAGES = normal(4, 6, 5, 3)
WORDS = np.random.default_rng(0).integers(0, 11, size=(4, 7))
SEQUENCES = normal(4, 7, 6)


# Where the activation of a layer is.


def batch_normalized(x):
    x = numpy(x)
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3)


def relu(x):
    return np.maximum(numpy(x), 0)


def dense(x, layer):
    return numpy(x) @ numpy(layer.kernel) + numpy(layer.bias)


def first_dense(**arguments):
    return layers.Dense(5, name="first", bias_initializer="normal", **arguments)


@pytest.mark.parametrize(
    ("build", "activation", "normalized", "output"),
    [
        ([first_dense(activation="relu")], "relu", False, relu),
        ([first_dense(), layers.ReLU()], "relu", False, relu),
        ([first_dense(), layers.Activation("relu")], "relu", False, relu),
        ([first_dense(), ops.relu], "relu", False, relu),
        ([first_dense(), keras.activations.relu], "relu", False, relu),
        ([first_dense(), layers.BatchNormalization()], None, True, batch_normalized),
        (
            [first_dense(), layers.BatchNormalization(), ops.relu],
            "relu",
            True,
            lambda z: relu(batch_normalized(z)),
        ),
        (
            [first_dense(activation=layers.LeakyReLU(negative_slope=0.2))],
            "leaky_relu",
            False,
            lambda z: np.where(z > 0, z, 0.2 * z),
        ),
        (
            [first_dense(activation=layers.PReLU(alpha_initializer="ones"))],
            "relu",
            False,
            lambda z: z,
        ),
        ([first_dense(), layers.Dropout(0.0), ops.tanh], "tanh", False, np.tanh),
        ([first_dense(), layers.Reshape((5, 1)), ops.tanh], "tanh", False, np.tanh),
        (
            [first_dense(), layers.Reshape((5, 1)), layers.GlobalMaxPooling1D(), ops.relu],
            "relu",
            False,
            lambda z: relu(z.max(1)),
        ),
        ([first_dense(), layers.GaussianNoise(0.0), layers.Softmax()], "softmax", False, None),
        ([first_dense(activation="linear")], None, False, lambda z: z),
        ([first_dense(activation=lambda x: x * ops.tanh(x))], "<lambda>", False, None),
    ],
)
def test_what_follows_a_layer_is_found(build, activation, normalized, output):
    model = functional(*build)
    (layer,) = measured(model, X).layers
    z = dense(X, build[0])
    same(layer.preactivation, z)
    assert (layer.activation, layer.normalized) == (activation, normalized)
    same(
        layer.output, ops.reshape(model(X, training=True), (8, -1)) if output is None else output(z)
    )
    assert layer.gradient > 0


def test_saturation_is_that_of_the_output():
    model = functional(first_dense(kernel_initializer="ones"), layers.Activation("sigmoid"))
    (layer,) = measured(model, X).layers
    output = 1 / (1 + np.exp(-dense(X, model.layers[1])))
    expected = ((output < 0.015) | (output > 0.985)).mean()
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(layer.saturated, expected, rtol=1e-5)


def test_what_two_layers_add_is_the_output_of_both():
    inputs = keras.Input((6,))
    first, second = layers.Dense(5, name="first"), layers.Dense(5, name="second")
    model = keras.Model(inputs, ops.relu(layers.Add()([first(inputs), second(inputs)])))
    found = by_name(measured(model, X))
    for layer in (first, second):
        same(found[layer.name].preactivation, dense(X, layer))
        same(found[layer.name].output, relu(dense(X, first) + dense(X, second)))
        assert found[layer.name].activation == "relu"


class Written(keras.Model):
    """Its activations are functions in its code."""

    def __init__(self, tail):
        super().__init__()
        self.first, self.second = layers.Dense(5, name="first"), layers.Dense(5, name="second")
        self.normalization = layers.BatchNormalization()
        self.normalization.build((None, 5))
        self.tail = tail

    def call(self, x, training=False):
        return self.second(self.tail(self, self.first(x)))


@pytest.mark.parametrize(
    ("tail", "activation", "normalized", "output"),
    [
        (lambda model, x: ops.relu(x), "relu", False, relu),
        (lambda model, x: keras.activations.tanh(x), "tanh", False, np.tanh),
        (
            lambda model, x: ops.relu(model.normalization(x, training=True)),
            "relu",
            True,
            lambda z: relu(batch_normalized(z)),
        ),
        (lambda model, x: model.normalization(x, training=True), None, True, batch_normalized),
        (lambda model, x: x, None, False, lambda z: z),
    ],
)
def test_activations_in_the_code_of_a_model_are_found(tail, activation, normalized, output):
    model = Written(tail)
    model(X)
    found = by_name(measured(model, X))
    z = dense(X, model.first)
    same(found["first"].preactivation, z)
    assert (found["first"].activation, found["first"].normalized) == (activation, normalized)
    same(found["first"].output, output(z))
    same(found["second"].preactivation, dense(output(z), model.second))


def test_an_activation_behind_a_sum_in_code_is_not_guessed():
    model = Written(lambda model, x: ops.relu(model.normalization(x, training=True) + x))
    model.normalization.gamma.assign(np.zeros(5))
    model(X)
    first = by_name(measured(model, X))["first"]
    assert (first.activation, first.normalized) == (None, True)
    same(first.output, np.zeros((8, 5)))


# Kinds of models.


def check_rows(signal, names):
    assert [layer.layer.split("/")[-1] for layer in signal.layers] == names
    assert all(layer.gradient > 0 for layer in signal.layers)


def test_a_shared_layer_has_a_row_for_each_call():
    inputs = keras.Input((6,))
    shared, last = layers.Dense(6, "tanh", name="shared"), layers.Dense(2, name="last")
    signal = measured(keras.Model(inputs, last(shared(shared(shared(inputs))))), X)
    check_rows(signal, ["shared", "shared#2", "shared#3", "last"])
    x = X
    for layer in signal.layers[:3]:
        same(layer.preactivation, dense(x, shared))
        x = np.tanh(dense(x, shared))
        same(layer.output, x)
    assert signal.layers[0].kernels == signal.layers[2].kernels


def test_nested_models_are_looked_into():
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, name="a"), layers.ReLU(), layers.Dense(6, name="b")]
    )
    outer = functional(inner, ops.tanh, inner, layers.Dense(2, name="c"))
    signal = measured(outer, X)
    check_rows(signal, ["a", "b", "a#2", "b#2", "c"])
    assert [layer.activation for layer in signal.layers] == ["relu", "tanh", "relu", None, None]
    assert [layer.is_first for layer in signal.layers] == [True, False, False, False, False]
    assert [layer.is_output for layer in signal.layers] == [False, False, False, False, True]
    a, b = inner.layers[0], inner.layers[2]
    same(signal.layers[2].preactivation, dense(np.tanh(dense(relu(dense(X, a)), b)), a))


@pytest.mark.parametrize("as_dict", [False, True])
def test_several_inputs_and_outputs(as_dict):
    inputs = {"x": keras.Input((6,), name="x"), "y": keras.Input((3,), name="y")}
    a, b = layers.Dense(5, name="a"), layers.Dense(4, name="b")
    outputs = {"a": a(inputs["x"]), "b": b(layers.Concatenate()(list(inputs.values())))}
    data = {"x": X, "y": normal(8, 3)}
    if not as_dict:
        inputs, outputs, data = (list(each.values()) for each in (inputs, outputs, data))
    signal = measured(keras.Model(inputs, outputs), data)
    assert {layer.name for layer in signal.layers} == {"a", "b"}
    found = by_name(signal)
    same(found["a"].output, dense(X, a))
    same(found["b"].output, dense(np.concatenate([X, normal(8, 3)], 1), b))
    assert [each.name for each in signal.inputs] == (["x", "y"] if as_dict else ["0", "1"])
    for summary, name in zip(signal.outputs, "ab", strict=True):
        assert summary == found[name].output


def test_a_frozen_base_has_gradients_by_its_signal_and_none_by_its_kernels():
    base = functional(layers.Dense(5, "relu", name="a"), layers.Dense(4, "relu", name="b"))
    base.trainable = False
    head = layers.Dense(3, name="head")
    model = functional(base, head)
    found = by_name(measured(model, X, np.arange(8) % 3, _cross_entropy()))
    z = dense(relu(model.layers[1](X)), head)
    probabilities = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    by_head = (probabilities - np.eye(3)[np.arange(8) % 3]) / 8
    by_b = by_head @ numpy(head.kernel).T * (numpy(base(X)) > 0)
    np.testing.assert_allclose(found["head"].gradient, np.linalg.norm(by_head), rtol=1e-4)
    np.testing.assert_allclose(found["b"].gradient, np.linalg.norm(by_b), rtol=1e-4)
    assert found["a"].gradient > 0
    assert [found[name].kernels[0].gradient is None for name in ("a", "b", "head")] == [1, 1, 0]


def _cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_what_the_loss_does_not_depend_on_has_no_gradient():
    inputs = keras.Input((6,))
    used, unused = layers.Dense(3, name="used"), layers.Dense(3, name="unused")

    class Head(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = used, unused

        def call(self, x):
            self.unused(x)
            return self.used(x)

    model = Head()
    model(X)
    found = by_name(measured(model, X))
    assert found["unused"].gradient is None
    assert found["unused"].kernels[0].gradient is None
    assert found["used"].gradient > 0
    assert keras.Model(inputs, used(inputs)) is not None


def test_layers_that_are_not_called_are_named():
    class Partial(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.left_out = layers.Dense(3), layers.Dense(3, name="left_out")

        def call(self, x, everything=False):
            return self.left_out(self.used(x)) if everything else self.used(x)

    model = Partial()
    model(X, everything=True)
    signal = measured(model, X)
    assert [path.split("/")[-1] for path in signal.not_reached] == ["left_out"]
    assert len(signal.layers) == 1


# Kinds of layers: the preactivation is what the layer itself gives without its activation.


def strided(cls, *arguments, **more):
    return lambda activation: cls(*arguments, activation=activation, name="it", **more)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (strided(layers.Dense, 4), X),
        (strided(layers.Conv1D, 4, 3, strides=2), SEQUENCES),
        (strided(layers.Conv2D, 4, (3, 2), dilation_rate=2), IMAGES),
        (strided(layers.Conv2D, 6, 2, groups=3, padding="same"), IMAGES),
        (strided(layers.DepthwiseConv2D, 2, depth_multiplier=2), IMAGES),
        (strided(layers.SeparableConv2D, 4, 3, depth_multiplier=2), IMAGES),
        (strided(layers.Conv2DTranspose, 4, 3, strides=2), IMAGES),
        (strided(layers.EinsumDense, "abc,cde->abde", output_shape=(None, 2, 3)), SEQUENCES),
        (strided(layers.Dense, 4), SEQUENCES),
    ],
)
def test_preactivation_and_output_are_told_apart(make, x):
    layer = make("tanh")
    model = functional(layer, shape=x.shape[1:])
    (found,) = measured(model, x).layers
    plain = make(None)
    plain.build((None, *x.shape[1:]))
    plain.set_weights(layer.get_weights())
    z = plain(x)
    same(found.preactivation, z)
    same(found.output, np.tanh(numpy(z)))
    assert found.activation == "tanh"
    assert all(kernel.gradient > 0 for kernel in found.kernels)
    assert len(found.kernels) == (2 if "separable" in type(layer).__name__.lower() else 1)


def channels_first_runs():
    if keras.backend.backend() != "tensorflow":
        return True
    return False


def test_units_of_channels_first_are_on_the_second_axis():
    # TensorFlow has no such convolution on processors: a pointwise one by hand there.
    cls = layers.Conv2D if channels_first_runs() else Pointwise
    x = np.moveaxis(IMAGES, -1, 1)
    layer = cls(4, 1, activation="relu", data_format="channels_first", name="it")
    model = functional(layer, shape=x.shape[1:])
    bias = np.array([-1e3, 0, -1e3, 0], "float32")
    layer.bias.assign(bias)
    (found,) = measured(model, x).layers
    assert found.output.dead == 0.5
    kernel = numpy(layer.kernel)[0, 0]
    z = np.einsum("nchw,cd->ndhw", x, kernel) + bias[:, None, None]
    same(found.preactivation, z)
    np.testing.assert_allclose(found.preactivation.common, (z.mean(0) ** 2).mean(), rtol=1e-4)


class Pointwise(layers.Conv2D):
    def call(self, x):
        z = ops.einsum("nchw,cd->ndhw", x, self.kernel[0, 0]) + self.bias[:, None, None]
        return self.activation(z)


@pytest.mark.parametrize(
    "cell", [layers.SimpleRNN, layers.GRU, layers.LSTM], ids=lambda cls: cls.__name__
)
@pytest.mark.parametrize("sequences", [False, True])
def test_a_recurrent_layer_is_one_row(cell, sequences):
    layer = cell(5, return_sequences=sequences, name="it")
    model = functional(layer, shape=(7, 6))
    (found,) = measured(model, SEQUENCES).layers
    output = layer(SEQUENCES)
    same(found.preactivation, output)
    same(found.output, output)
    assert found.activation == "tanh"
    np.testing.assert_allclose(found.saturated, (np.abs(numpy(output)) > 0.97).mean())
    assert [kernel.role for kernel in found.kernels] == ["kernel", "recurrent"]
    assert all(kernel.gradient > 0 for kernel in found.kernels)
    assert all(kernel.repeated == 0 for kernel in found.kernels)


def test_the_states_of_a_recurrent_layer_are_left_out():
    inputs = keras.Input((7, 6))
    layer = layers.LSTM(5, return_state=True, return_sequences=True, name="it")
    sequence, *states = layer(inputs)
    model = keras.Model(inputs, [sequence, *states])
    (found,) = measured(model, SEQUENCES).layers
    same(found.output, layer(SEQUENCES)[0])


def test_both_directions_are_rows():
    layer = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="it")
    signal = measured(functional(layer, shape=(7, 6)), SEQUENCES)
    assert [each.kind for each in signal.layers] == ["GRU", "GRU"]
    forward, backward = signal.layers
    same(forward.output, layer.forward_layer(SEQUENCES))
    same(backward.output, layer.backward_layer(SEQUENCES))


def test_stacked_cells_and_convolutional_ones_are_one_row():
    cells = layers.RNN([layers.GRUCell(4), layers.LSTMCell(3)], name="it")
    (found,) = measured(functional(cells, shape=(7, 6)), SEQUENCES).layers
    assert len(found.kernels) == 4
    same(found.output, cells(SEQUENCES))
    convolutional = layers.ConvLSTM1D(3, 2, name="it")
    x = normal(2, 3, 5, 2)
    (found,) = measured(functional(convolutional, shape=x.shape[1:]), x).layers
    assert len(found.kernels) == 2
    same(found.output, convolutional(x))


def test_a_distributed_layer_is_one_row():
    layer = layers.TimeDistributed(layers.Dense(4, "relu"), name="it")
    (found,) = measured(functional(layer, shape=(7, 6)), SEQUENCES).layers
    same(found.output, layer(SEQUENCES))
    assert (found.activation, found.is_first, found.is_output) == ("relu", True, True)
    assert found.kernels[0].gradient > 0


def test_an_embedding_is_a_row():
    table = layers.Embedding(11, 5, name="it")
    model = functional(table, layers.Flatten(), layers.Dense(2), shape=(7,))
    # Equal numbers in a row are no units that are the same.
    table.embeddings.assign(np.sign(normal(11, 5)))
    signal = measured(model, WORDS)
    found = signal.layers[0]
    same(found.output, numpy(table.embeddings)[WORDS])
    assert (found.kernels[0].role, found.kernels[0].repeated) == ("embedding", 0)
    assert found.kernels[0].gradient > 0
    assert signal.inputs[0].is_tokens


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.MultiHeadAttention(2, 4, name="it"),
        lambda: layers.GroupQueryAttention(4, 6, 2, name="it"),
    ],
    ids=["MultiHeadAttention", "GroupQueryAttention"],
)
def test_logits_of_attention_agree_with_numpy(make):
    inputs = keras.Input((7, 6))
    attention = make()
    model = keras.Model(inputs, attention(inputs, inputs, use_causal_mask=True))
    signal = measured(model, SEQUENCES)
    assert [layer.name for layer in signal.layers] == ["query", "key", "value", "attention_output"]
    maps = {}
    for layer in attention._flatten_layers():
        if layer.name in ("query", "key"):
            maps[layer.name] = np.einsum("abc,cde->abde", SEQUENCES, numpy(layer.kernel))
            maps[layer.name] += numpy(layer.bias)
    query, key = maps["query"], maps["key"]
    key = np.repeat(key, query.shape[2] // key.shape[2], axis=2)
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    found = signal.layers[0]
    np.testing.assert_allclose(found.logit_std, np.sqrt(logits.var(-1).mean()), rtol=1e-4)
    assert found.num_keys == 7
    products = np.einsum("btc,bsc->bts", SEQUENCES, SEQUENCES).astype("float64")
    pairs = products[:, ~np.eye(7, dtype=bool)].mean(1)
    cosine = (pairs / np.einsum("bttc->bt", products[..., None]).mean(1)).mean()
    np.testing.assert_allclose(found.token_cosine, cosine, rtol=1e-4, atol=1e-6)
    assert all(layer.logit_std is None for layer in signal.layers[1:])
    assert all(layer.gradient is not None for layer in signal.layers)


def test_attention_whose_arguments_have_other_names_is_measured():
    class Renamed(layers.MultiHeadAttention):
        def build(self, content_shape):
            super().build(content_shape, content_shape)

        def call(self, content):
            return super().call(content, content)

        def compute_output_spec(self, content):
            return keras.KerasTensor(content.shape, content.dtype)

    inputs = keras.Input((7, 6))
    model = keras.Model(inputs, Renamed(2, 4)(content=inputs))
    (query, *others) = measured(model, SEQUENCES).layers
    assert query.num_keys == 7
    assert query.logit_std > 0
    assert len(others) == 3


def test_two_attention_layers_are_told_apart():
    inputs = keras.Input((7, 6))
    first, second = (layers.MultiHeadAttention(2, 3, name=name) for name in ("one", "two"))
    x = first(inputs, inputs)
    signal = measured(keras.Model(inputs, second(x, x)), SEQUENCES)
    stds = [layer.logit_std for layer in signal.layers if layer.logit_std is not None]
    alone = measured(keras.Model(inputs, first(inputs, inputs)), SEQUENCES).layers[0].logit_std
    assert len(stds) == 2
    np.testing.assert_allclose(stds[0], alone, rtol=1e-5)
    assert stds[1] < stds[0]


class Mix(layers.Layer):
    """A kernel of the user's own, and an output that is a dict."""

    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], 4), name="mix", initializer="normal")

    def call(self, x):
        return {"mask": ops.cast(x > 0, "int32"), "mixed": ops.matmul(x, self.mix)}

    def compute_output_spec(self, x):
        return {
            "mask": keras.KerasTensor(x.shape, "int32"),
            "mixed": keras.KerasTensor((*x.shape[:-1], 4), x.dtype),
        }


def test_a_described_layer_is_a_row_whatever_its_output():
    keras_winit.describe_layer(Mix, [keras_winit.Kernel(None, "mix")])
    inputs = keras.Input((6,))
    layer = Mix(name="it")
    model = keras.Model(inputs, ops.relu(layer(inputs)["mixed"]))
    (found,) = measured(model, X).layers
    z = X @ numpy(layer.mix)
    same(found.preactivation, z)
    same(found.output, relu(z))
    assert found.gradient > 0


def test_a_layer_inside_of_one_with_a_kernel_has_its_own_gradient():
    class Gated(layers.Dense):
        def build(self, shape):
            super().build(shape)
            self.gate = layers.Dense(self.units, "sigmoid", name="gate")
            self.gate.build(shape)

        def call(self, x):
            return super().call(x) * self.gate(x)

    model = functional(Gated(4, name="it"))
    layer = model.layers[1]
    found = by_name(measured(model, X))
    direction = by_hand_direction(8, 4)
    z, gate = dense(X, layer), 1 / (1 + np.exp(-dense(X, layer.gate)))
    same(found["it"].preactivation, z * gate)
    same(found["gate"].preactivation, dense(X, layer.gate))
    np.testing.assert_allclose(found["it"].gradient, np.linalg.norm(direction), rtol=1e-4)
    by_gate = direction * z * gate * (1 - gate)
    np.testing.assert_allclose(found["gate"].gradient, np.linalg.norm(by_gate), rtol=1e-4)


def test_an_activation_that_a_layer_applies_twice_is_measured_the_first_time():
    class Twice(layers.Dense):
        def call(self, x):
            return self.activation(super().call(x))

    model = functional(Twice(5, "tanh", name="it"), layers.Dense(3))
    found, _ = measured(model, X).layers
    z = dense(X, model.layers[1])
    same(found.preactivation, z)
    same(found.output, np.tanh(z))
    by_output = by_hand_direction(8, 3) @ numpy(model.layers[2].kernel).T
    by_z = by_output * (1 - np.tanh(np.tanh(z)) ** 2) * (1 - np.tanh(z) ** 2)
    np.testing.assert_allclose(found.gradient, np.linalg.norm(by_z), rtol=1e-4)


def by_hand_direction(*shape):
    """Returns the gradient that a model without labels starts from."""
    from keras_winit._random import distributions

    return distributions.normal(shape, seed=0, purpose="projection") / math.sqrt(shape[0])


# Precision, quantization, adapters.


POLICIES = ["mixed_float16", "mixed_bfloat16"]
if keras.backend.backend() != "jax":  # which has no float64 unless told at its start
    POLICIES.append("float64")


@pytest.mark.parametrize("policy", POLICIES)
def test_statistics_are_the_same_in_another_precision(policy):
    def build(dtype):
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(5, "tanh", dtype=dtype),
                layers.Dense(4, "relu", dtype=dtype),
                layers.Dense(3, dtype=dtype),
            ]
        )

    full, half = build("float32"), build(policy)
    half.set_weights(full.get_weights())
    y = np.arange(8) % 3
    wanted, found = (measured(model, X, y, _cross_entropy()) for model in (full, half))
    tolerance = 0.05 if "bfloat16" in policy else 0.01
    for old, new in zip(wanted.layers, found.layers, strict=True):
        for name in ("mean", "second_moment", "common"):
            for part in ("preactivation", "output"):
                was, now = (getattr(getattr(each, part), name) for each in (old, new))
                assert now == pytest.approx(was, rel=tolerance, abs=tolerance * 0.1)
        assert new.gradient == pytest.approx(old.gradient, rel=tolerance)
        assert new.kernels[0].gradient == pytest.approx(old.kernels[0].gradient, rel=tolerance)
    assert found.loss.value == pytest.approx(wanted.loss.value, rel=tolerance)


def test_small_gradients_survive_float16():
    def build(dtype):
        hidden = [layers.Dense(16, dtype=dtype) for _ in range(6)]
        return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3, dtype=dtype)])

    full, half = build("float32"), build("mixed_float16")
    weights = [each * 0.03 for each in full.get_weights()]
    for model in (full, half):
        model.set_weights(weights)
    wanted, found = measured(full, X).layers[0], measured(half, X).layers[0]
    # Most of it is below the smallest number of float16.
    assert 0 < wanted.gradient < 6e-8 * math.sqrt(8 * 16)
    assert found.gradient == pytest.approx(wanted.gradient, rel=0.05)


def test_one_sample_does_not_overflow_in_float16():
    model = functional(layers.Dense(64, dtype="mixed_float16"))
    (found,) = measured(model, X[:1]).layers
    assert math.isfinite(found.gradient)
    assert found.gradient == pytest.approx(np.linalg.norm(by_hand_direction(1, 64)), rel=1e-2)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_gradients_that_overflow_in_float16_are_taken_of_a_smaller_loss(policy):
    def build(dtype):
        last = layers.Dense(4, dtype=dtype)
        return keras.Sequential(
            [keras.Input((4096, 2)), layers.Dense(8, "relu", dtype=dtype), last]
        )

    full, half = build("float32"), build(policy)
    half.set_weights(full.get_weights())
    x = 10 * normal(64, 4096, 2)
    wanted, found = (measured(model, x).layers for model in (full, half))
    # That by the kernel sums over all places: times 1024 it is beyond the largest number.
    assert 1024 * wanted[-1].kernels[0].gradient / math.sqrt(8 * 4) > 65504
    for old, new in zip(wanted, found, strict=True):
        assert new.gradient == pytest.approx(old.gradient, rel=0.05)
        assert new.kernels[0].gradient == pytest.approx(old.kernels[0].gradient, rel=0.05)


def test_what_is_not_finite_at_any_scale_stays_so():
    model = functional(layers.Dense(3, dtype="float16"))
    model.layers[-1].kernel.assign(np.full((6, 3), np.inf))
    assert not math.isfinite(measured(model, X).layers[0].preactivation.second_moment)


def test_an_adapter_is_part_of_its_layer():
    layer = layers.Dense(5, "relu", name="it")
    model = functional(layer, layers.Dense(2))
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(normal(2, 5))
    found = measured(model, X).layers[0]
    adapted = numpy(layer._kernel) + numpy(layer.lora_kernel_a) @ numpy(layer.lora_kernel_b)
    same(found.preactivation, X @ adapted + numpy(layer.bias))
    (kernel,) = found.kernels
    assert kernel.gradient is None
    np.testing.assert_allclose(kernel.second_moment, (numpy(layer._kernel) ** 2).mean(), rtol=1e-5)


def test_quantized_layers_are_rows_without_kernels():
    layer = layers.Dense(5, "relu", name="it")
    model = functional(layer, layers.Dense(2, name="last"))
    plain = measured(model, X).layers[0]
    layer.quantize("int8")
    signal = measured(model, X)
    found = signal.layers[0]
    assert (found.kernels, found.activation) == ((), "relu")
    assert found.preactivation.second_moment == pytest.approx(
        plain.preactivation.second_moment, rel=0.05
    )
    assert len(signal.layers[1].kernels) == 1
    assert signal.not_reached == ()


def test_layers_that_run_again_in_the_backward_pass_are_measured_once():
    with keras.RematScope(mode="full"):
        hidden = layers.Dense(5, "relu", name="it")
    model = functional(hidden, layers.Dense(2, name="last"))
    signal = measured(model, X)
    check_rows(signal, ["it", "last"])
    same(signal.layers[0].output, relu(dense(X, hidden)))


GROUPED = {
    "strided": (layers.Conv2D, {"groups": 2, "strides": (1, 2), "padding": "same"}),
    "dilated": (layers.Conv3D, {"groups": 2, "dilation_rate": 2}),
    "channels_first": (layers.Conv1D, {"groups": 2, "data_format": "channels_first"}),
}


def network_around(inputs, convolution):
    x = layers.Dense(4, name="before")(inputs)
    x = layers.Flatten()(convolution(x))
    return keras.Model(inputs, layers.Dense(3, name="after")(x))


def in_parts(arguments, convolution, kind):
    """Returns what does the same with plain convolutions, one a group, and gives them weights."""
    groups, rank = arguments.get("groups", 1), convolution.kernel.ndim - 2
    plain = {**arguments, "groups": 1, "data_format": "channels_last"}
    parts = [kind(8 // groups, 2, **plain, name=f"part_{number}") for number in range(groups)]
    channels = 1 if arguments.get("data_format") == "channels_first" else -1

    def apply(x):
        split = ops.split(ops.moveaxis(x, channels, -1), groups, axis=-1)
        convolved = [part(each) for part, each in zip(parts, split, strict=True)]
        return ops.moveaxis(ops.concatenate(convolved, axis=-1), -1, channels)

    def take_weights():
        kernels = np.split(numpy(convolution.kernel), groups, axis=rank + 1)
        for part, kernel in zip(parts, kernels, strict=True):
            part.set_weights([kernel, np.zeros(8 // groups)])

    return apply, take_weights


@pytest.mark.parametrize("name", GROUPED)
def test_convolutions_that_processors_lack_are_measured_as_their_parts_are(name):
    kind, arguments = GROUPED[name]
    rank = {layers.Conv1D: 1, layers.Conv2D: 2, layers.Conv3D: 3}[kind]
    inputs = keras.Input((4, 6, 8, 4)[-rank - 1 :])
    convolution = kind(8, 2, name="convolution", **arguments)
    model = network_around(inputs, convolution)
    apply, take_weights = in_parts(arguments, convolution, kind)
    expected = network_around(inputs, apply)
    take_weights()
    for layer in ("before", "after"):
        expected.get_layer(layer).set_weights(model.get_layer(layer).get_weights())
    x = normal(8, *inputs.shape[1:])
    found, wanted = by_name(measured(model, x)), by_name(measured(expected, x))
    parts = [each for layer, each in wanted.items() if layer.startswith("part")]
    for layer in ("before", "after"):
        assert found[layer].gradient == pytest.approx(wanted[layer].gradient, rel=1e-4)
        assert found[layer].output.second_moment == pytest.approx(
            wanted[layer].output.second_moment, rel=1e-4
        )
    middle = found["convolution"]
    moments = [each.preactivation.second_moment for each in parts]
    assert middle.preactivation.second_moment == pytest.approx(np.mean(moments), rel=1e-4)
    norms = [each.gradient for each in parts]
    assert middle.gradient == pytest.approx(np.linalg.norm(norms), rel=1e-4)
    norms = [each.kernels[0].gradient for each in parts]
    assert middle.kernels[0].gradient == pytest.approx(np.linalg.norm(norms), rel=1e-4)


def in_graph(function):
    """Returns a function as those who compile parts of their model write it."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function)


def test_calls_that_are_compiled_are_looked_into():
    class Compiled(Written):
        call = in_graph(Written.call)

    model = Compiled(lambda model, x: ops.relu(x))
    model(X)
    found = by_name(measured(model, X))
    same(found["first"].preactivation, dense(X, model.first))
    same(found["second"].preactivation, dense(relu(dense(X, model.first)), model.second))
    assert found["first"].gradient > 0


def test_normalization_takes_the_statistics_of_the_batch():
    normalization = layers.BatchNormalization()
    model = functional(layers.Dense(5, name="it", kernel_initializer="ones"), normalization)
    normalization.moving_mean.assign(np.full(5, 100.0))
    (found,) = measured(model, X).layers
    assert found.output.mean == pytest.approx(0, abs=1e-4)
    assert found.output.second_moment == pytest.approx(1, abs=1e-2)


class Looped(layers.Layer):
    """Runs a network several times, in a loop."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = keras.Sequential([layers.Dense(6, "tanh"), layers.Dense(6)], name="network")

    def build(self, shape):
        self.network.build(shape)

    def call(self, x):
        return ops.fori_loop(0, 3, lambda _, y: self.network(y), x)


def test_layers_in_a_loop_that_jax_compiles_are_not_reached():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6), Looped(), layers.Dense(2)])
    inside = [each.path for each in model.layers[1].network.layers]
    signal, result = measured(model, normal(64, 6)), keras_winit.calibrate(model, normal(64, 6))
    reasons = {row.layer: row.reason for row in result.skipped}
    if keras.backend.backend() == "jax":
        assert list(signal.not_reached) == inside
        assert len(signal.layers) == 2
        assert all(
            "in a loop, or a function, that JAX compiles" in reasons[each] for each in inside
        )
    else:
        assert not signal.not_reached
        assert len(signal.layers) == 2 + 3 * 2


def test_a_model_that_is_nothing_but_a_loop_is_refused_with_the_network_inside():
    model = keras.Sequential([keras.Input((6,)), Looped()], name="flow")
    if keras.backend.backend() == "jax":
        expected = "model='flow', which runs them in a loop.*Give the network inside of it, Looped"
        for verb in (measured, keras_winit.calibrate):
            with pytest.raises(ValueError, match=expected):
                verb(model, normal(64, 6))
    else:
        assert len(measured(model, normal(64, 6)).layers) == 3 * 2


def test_what_goes_wrong_in_a_loop_that_jax_compiles_is_not_laid_on_the_data():
    """There dropout leaves its seed behind, which the next loop cannot use."""
    inputs = keras.Input((6,))
    loop = Looped()
    loop.network.add(layers.Dropout(0.5))
    model = keras.Model(inputs, layers.Dense(2)(loop(loop(inputs))))
    if keras.backend.backend() == "jax":
        for verb in (measured, keras_winit.calibrate):
            with pytest.raises(ValueError, match="runs them in a loop.*Give the network inside"):
                verb(model, normal(64, 6))
    else:
        assert len(measured(model, normal(64, 6)).layers) == 2 * 3 * 2 + 1
