"""One initializer on one weight: as Keras draws it, or by the axes that the weight really has."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

import keras_winit
from keras_winit import _network, initializers
from keras_winit.initializers._for_weight import fill, in_config

layers = keras.layers

# Kernels of which the axes are not (*spatial, input, output), or are several side by side.
KINDS = {
    "dense": (lambda **own: layers.Dense(30, **own), (90,)),
    "depthwise": (
        lambda kernel_initializer: layers.DepthwiseConv2D(
            3, depth_multiplier=2, depthwise_initializer=kernel_initializer
        ),
        (7, 7, 90),
    ),
    "transposed": (lambda **own: layers.Conv2DTranspose(12, 4, strides=2, **own), (7, 7, 30)),
    "strided": (lambda **own: layers.Conv1D(40, 5, strides=3, **own), (20, 12)),
    "grouped": (lambda **own: layers.Conv1D(40, 5, groups=4, **own), (9, 48)),
    "gates": (lambda **own: layers.LSTM(20, **own), (3, 60)),
    "query": (lambda **own: layers.EinsumDense("abc,cde->abde", (None, 4, 8), **own), (3, 60)),
    "experts": (lambda **own: layers.EinsumDense("bnd,ndh->bnh", (6, 12), **own), (6, 40)),
    "embedding": (lambda kernel_initializer: layers.Embedding(150, 20, kernel_initializer), ()),
}


def build(kind, initializer="zeros", dtype="float32"):
    """Returns the first kernel of a layer that is built with an initializer."""
    keras.utils.set_random_seed(0)
    make_layer, shape = KINDS[kind]
    keras.config.set_dtype_policy(dtype)
    try:
        # Recurrent kernels of Keras are not drawn in 16 bits.
        recurrent = {"recurrent_initializer": "zeros"} if kind == "gates" else {}
        layer = make_layer(kernel_initializer=initializer, **recurrent)
        layer.build((None, *shape))
    finally:
        keras.config.set_dtype_policy("float32")
    return _network.weights_of(layer)[0]


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def assert_same_law(first, second):
    """Asserts that neither a Kolmogorov-Smirnov test nor the variances tell two draws apart."""
    first, second = first.ravel().astype("float64"), second.ravel().astype("float64")
    assert stats.ks_2samp(first, second).pvalue > 1e-3
    kurtosis = np.mean((first - first.mean()) ** 4) / np.var(first) ** 2
    tolerance = 4 * math.sqrt((kurtosis - 1) * (1 / first.size + 1 / second.size))
    assert np.var(first) == pytest.approx(np.var(second), rel=tolerance)
    assert np.mean(first) == pytest.approx(np.mean(second), abs=tolerance * np.std(first))


def assert_orthonormal(matrix, atol=1e-5):
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, atol=atol)


# What Keras draws.

ELEMENTWISE = [
    keras.initializers.RandomNormal(0.5, 0.2),
    keras.initializers.TruncatedNormal(0.5, 0.2),
    keras.initializers.RandomUniform(-0.5, 1.5),
    keras.initializers.HeUniform(),
    keras.initializers.LecunNormal(),
    keras.initializers.VarianceScaling(3.0, "fan_avg", "untruncated_normal"),
]


@pytest.mark.parametrize("initializer", ELEMENTWISE, ids=lambda each: type(each).__name__)
def test_initializers_of_keras_are_drawn_with_the_law_of_keras(initializer):
    weight = build("dense", initializer)
    assert_same_law(to_numpy(weight.variable), fill(weight, initializer, "1"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "initializer",
    [keras.initializers.GlorotUniform(), keras.initializers.VarianceScaling(2.0, "fan_out")],
    ids=["glorot_uniform", "fan_out"],
)
def test_as_keras_has_the_fans_of_keras(kind, initializer):
    weight = build(kind, initializer)
    drawn = fill(weight, initializer, "1", as_keras=True)
    assert_same_law(to_numpy(weight.variable), drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_as_keras_is_orthogonal_where_keras_is(kind):
    weight = build(kind, "orthogonal")
    drawn = fill(weight, keras.initializers.Orthogonal(), "1", as_keras=True)
    for values in (to_numpy(weight.variable), drawn):
        assert_orthonormal(values.reshape(-1, values.shape[-1]))


@pytest.mark.parametrize("value", [-1.5, np.arange(30.0), np.ones((90, 1)).tolist()])
def test_constants_are_those_of_keras(value):
    weight = build("dense", keras.initializers.Constant(value))
    drawn = fill(weight, weight.own_initializer(), "1")
    np.testing.assert_array_equal(drawn, to_numpy(weight.variable))


@pytest.mark.parametrize("unit_forget_bias", [True, False])
def test_the_forget_gate_starts_open_if_it_should(unit_forget_bias):
    layer = layers.LSTM(5, unit_forget_bias=unit_forget_bias)
    layer.build((None, 3, 4))
    bias = _network.weights_of(layer)[-1]
    drawn = fill(bias, bias.own_initializer(), "1")
    np.testing.assert_array_equal(drawn, to_numpy(bias.variable))
    assert drawn.sum() == 5 * unit_forget_bias


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_values_are_drawn_in_float32_whatever_the_weight_is_in(dtype):
    layer = layers.Dense(30, dtype=dtype)
    layer.build((None, 90))
    weight = _network.weights_of(layer)[0]
    drawn = fill(weight, keras.initializers.Orthogonal(), "1")
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, fill(build("dense"), keras.initializers.Orthogonal(), "1"))


# Initializers of others.

MATRICES = {
    "dense": [(90, 30)],
    "depthwise": [(3, 3, 1, 2)] * 90,
    "transposed": [(4, 4, 30, 12)],
    "strided": [(5, 12, 40)],
    "grouped": [(5, 12, 10)] * 4,
    "gates": [(60, 20)] * 4,
    "query": [(60, 32)],
    "experts": [(40, 12)] * 6,
    "embedding": [(1, 20)] * 150,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_is_called_for_each_matrix_as_for_a_kernel_of_its_own(kind):
    shapes = []

    def function(shape, dtype=None):
        shapes.append(shape)
        return keras.ops.full(shape, len(shapes), dtype=dtype)

    weight = build(kind)
    drawn = fill(weight, function, "1")
    assert shapes == MATRICES[kind]
    assert drawn.shape == tuple(weight.variable.shape)
    numbers, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(numbers, np.arange(len(shapes)) + 1)
    assert set(counts) == {drawn.size // len(shapes)}
    shapes.clear()
    fill(weight, function, "1", as_keras=True)
    assert shapes == [tuple(weight.variable.shape)]


class Plain(keras.initializers.Initializer):
    """A normal initializer as users write them."""

    def __init__(self, stddev=2.0, seed=None):
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape, dtype=None):
        return keras.random.normal(shape, stddev=self.stddev, dtype=dtype, seed=self.seed)

    def get_config(self):
        return {"stddev": self.stddev, "seed": self.seed}


def gates(values):
    return np.split(values, 4, axis=-1)


def test_a_subclass_draws_each_matrix_with_a_seed_of_its_own():
    weight = build("gates")
    drawn = fill(weight, Plain(seed=3), "1")
    assert len({gate.tobytes() for gate in gates(drawn)}) == 4
    np.testing.assert_array_equal(drawn, fill(weight, Plain(seed=4), "1"))
    assert not np.array_equal(drawn, fill(weight, Plain(seed=3), "2"))
    assert np.std(drawn) == pytest.approx(2, rel=4 * math.sqrt(1 / 2 / drawn.size))


def test_a_function_fills_a_transposed_kernel_the_right_way_round():
    def function(shape, dtype=None):
        return np.arange(math.prod(shape)).reshape(shape)

    drawn = fill(build("transposed"), function, "1")
    expected = np.arange(4 * 4 * 30 * 12).reshape(4, 4, 30, 12).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("kind", ["gates", "grouped"])
def test_a_function_fills_gates_and_groups_side_by_side(kind):
    def function(shape, dtype=None):
        return np.broadcast_to(np.arange(shape[-1]), shape)

    units = {"gates": 20, "grouped": 10}[kind]
    drawn = fill(build(kind), function, "1")
    np.testing.assert_array_equal(drawn[0, ..., :].reshape(-1, 4 * units)[0], [*range(units)] * 4)


def test_a_wrong_shape_is_refused():
    def function(shape, dtype=None):
        return np.zeros(shape[::-1])

    with pytest.raises(ValueError, match=r"should return an array of shape \(60, 20\).*\(20, 60\)"):
        fill(build("gates"), function, "1")


# The identity, for which axes matter most.

IDENTITIES = [
    keras.initializers.Identity(),
    initializers.Identity(),
    initializers.Identity(groups=3),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=["Keras's", "ours", "ours, in groups"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(9), (6,)),
        (layers.Conv1D(9, 3, padding="same"), (5, 6)),
        (layers.Conv2D(6, (3, 5), groups=3, padding="same"), (5, 5, 6)),
        (layers.DepthwiseConv2D(3, padding="same"), (5, 5, 6)),
        (layers.Conv2DTranspose(9, 3, padding="same"), (5, 5, 6)),
        (layers.EinsumDense("abc,dc->abd", (None, 9)), (5, 6)),
        (layers.SimpleRNN(9, activation=None, unroll=True), (1, 6)),
    ],
    ids=["matrix", "convolution", "groups", "depthwise", "transposed", "einsum", "cell"],
)
def test_identity_hands_the_input_on(layer, shape, identity):
    inputs = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    layer(inputs)
    weight = _network.weights_of(layer)[0]
    weight.variable.assign(fill(weight, identity, "1"))
    outputs = to_numpy(layer(inputs))
    inputs = inputs.reshape((*outputs.shape[:-1], 6))
    np.testing.assert_allclose(outputs[..., :6], inputs, atol=1e-6)
    np.testing.assert_array_equal(outputs[..., 6:], 0)


@pytest.mark.parametrize("identity", IDENTITIES, ids=["Keras's", "ours", "ours, in groups"])
def test_every_gate_is_the_identity(identity):
    for gate in gates(fill(build("gates"), identity, "1")):
        np.testing.assert_array_equal(gate, np.eye(60, 20))


def test_an_embedding_has_no_identity():
    for identity in IDENTITIES:
        with pytest.raises(ValueError, match="each of its rows is a vector"):
            fill(build("embedding"), identity, "1")


# What the config says.

SCALINGS = [
    keras.initializers.HeNormal(),
    keras.initializers.GlorotUniform(),
    keras.initializers.VarianceScaling(1.5, "fan_out", "untruncated_normal"),
    initializers.ActivationScaling("tanh", mode="fan_avg"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("initializer", SCALINGS, ids=lambda each: type(each).__name__)
def test_a_layer_built_from_its_config_has_the_law_that_was_drawn(kind, initializer):
    weight = build(kind)
    drawn = fill(weight, initializer, "1")
    rebuilt = build(kind, in_config(weight, initializer))
    assert_same_law(drawn, to_numpy(rebuilt.variable))


def test_the_config_keeps_the_name_where_keras_counts_right():
    for kind, initializer in [("dense", "glorot_uniform"), ("gates", "he_normal")]:
        initializer = keras.initializers.get(initializer)
        assert in_config(build(kind), initializer) is initializer


MATRICES_OF = {
    "depthwise": lambda kernel: kernel.reshape(9, 90, 2).transpose(1, 0, 2),
    "transposed": lambda kernel: [kernel.transpose(0, 1, 3, 2).reshape(-1, 12)],
    "query": lambda kernel: [kernel.reshape(60, 32)],
    "experts": lambda kernel: kernel,
}


@pytest.mark.parametrize("kind", MATRICES_OF)
def test_a_layer_built_from_its_config_is_orthogonal_by_its_axes(kind):
    told = in_config(build(kind), keras.initializers.Orthogonal())
    for matrix in MATRICES_OF[kind](to_numpy(build(kind, told).variable)):
        assert_orthonormal(matrix)


@pytest.mark.parametrize("kind", ["depthwise", "transposed", "strided", "grouped", "gates"])
def test_a_layer_built_from_its_config_is_the_identity_by_its_axes(kind):
    weight = build(kind)
    told = in_config(weight, keras.initializers.Identity())
    drawn = fill(weight, keras.initializers.Identity(), "1")
    np.testing.assert_array_equal(to_numpy(build(kind, told).variable), drawn)


# What Keras itself cannot draw, or save.

# A singular value moves by no more than the Frobenius norm of what is rounded: the unit roundoff
# times that of the kernel, whose singular values, 64 at most, are 1.
ROUNDING = {"bfloat16": 8 * 2**-8, "float16": 8 * 2**-11}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("kind", KINDS)
def test_in_16_bits_a_layer_is_built_from_its_config_as_orthogonal_as_before(kind, dtype):
    weight = build(kind, dtype=dtype)
    told = in_config(weight, keras.initializers.Orthogonal(seed=3), as_keras=True)
    values = to_numpy(build(kind, told, dtype).variable)
    assert_orthonormal(values.reshape(-1, values.shape[-1]), atol=ROUNDING[dtype])
    drawn = fill(weight, keras.initializers.Orthogonal(), "1", as_keras=True)
    assert_same_law(drawn, values)
    assert told.get_config()["seed"] == 3


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("kind", KINDS)
def test_in_16_bits_a_layer_is_built_from_its_config_by_its_axes(kind, dtype):
    told = in_config(build(kind, dtype=dtype), keras.initializers.Orthogonal())
    values = to_numpy(build(kind, told, dtype).variable)
    if kind == "embedding":
        matrices = values[:, None]
    elif kind in MATRICES_OF:
        matrices = MATRICES_OF[kind](values)
    else:
        matrices = [values.reshape(-1, values.shape[-1])]
    for matrix in matrices:
        assert_orthonormal(matrix, atol=ROUNDING[dtype])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_reset_keeps_what_keras_can_draw(dtype):
    initializer = keras.initializers.Orthogonal(seed=keras.random.SeedGenerator(3))
    for kind in ("dense", "query"):
        weight = build(kind, dtype=dtype)
        assert in_config(weight, initializer, as_keras=True) is initializer


@pytest.mark.parametrize(
    ("kind", "as_keras"),
    [(kind, False) for kind in ("dense", "gates", "grouped", "depthwise", "transposed", "query")]
    + [(kind, True) for kind in ("dense", "gates", "embedding")],  # of matrices Keras has one
)
def test_the_gain_of_an_identity_is_in_the_config(kind, as_keras):
    weight = build(kind)
    identity = keras.initializers.Identity(0.5)
    told = in_config(weight, identity, as_keras=as_keras)
    told = keras.initializers.deserialize(keras.initializers.serialize(told))
    drawn = fill(weight, identity, "1", as_keras=as_keras)
    assert drawn.max() == 0.5
    np.testing.assert_array_equal(to_numpy(build(kind, told).variable), drawn)


def test_own_draws_each_gate_and_group_as_their_initializer_says():
    recurrent = layers.LSTM(3, recurrent_initializer=initializers.PerGate(gates=4))
    grouped = layers.Conv1D(6, 3, groups=2, kernel_initializer=initializers.Identity(groups=2))
    model = keras.Sequential([keras.Input((5, 4)), grouped, recurrent])
    keras_winit.initialize(model, "own", seed=1)
    for gate in np.split(keras.ops.convert_to_numpy(recurrent.cell.recurrent_kernel), 4, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(3), atol=1e-5)
    for group in np.split(keras.ops.convert_to_numpy(grouped.kernel)[1], 2, axis=1):
        np.testing.assert_array_equal(group, np.eye(2, 3))
