"""Every kind of layer is run on a signal of unit variance, and every class of Keras is known."""

import functools
import inspect
import math
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from scipy import stats

import keras_winit
from keras_winit import _network
from keras_winit.initializers._for_weight import fill

layers = keras.layers

BACKEND = keras.backend.backend()

KURTOSIS = 2.3655  # of a normal cut at two sigma
BATCH = 64


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def normal(shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


# Variance.


@dataclass(frozen=True)
class Case:
    """A layer on a signal.

    Attributes:
        build: Returns the layer.
        shape: Shape of one input.
        run: Name of the layer inside that is run instead; `build` then sees 9 inputs of 96.
        kernels: Number of kernels, one behind the other.
        orthogonal: Variance after orthogonal weights.
        inputs: Between which positions, along each axis of space, inputs reach all taps.
        outputs: Between which positions outputs sum all taps.
    """

    build: object
    shape: tuple
    run: str | None = None
    kernels: int = 1
    orthogonal: float = 1.0
    inputs: tuple = (None, None)
    outputs: tuple = (None, None)


def einsum(equation, shape, output_shape, **arguments):
    return Case(lambda: layers.EinsumDense(equation, output_shape), shape, **arguments)


def attention():
    return layers.MultiHeadAttention(2, 24)


def grouped_attention():
    return layers.GroupQueryAttention(16, 4, 2)


# Kernels are not square, and where there are more outputs than (taps times) inputs, orthogonal
# weights share the variance of the inputs among them. An output of a strided transposed
# convolution sees only one in `strides` of the taps that make a unit vector.
CASES = {
    "Dense": Case(lambda: layers.Dense(48), (192,)),
    "Dense, expanding": Case(lambda: layers.Dense(192), (48,), orthogonal=1 / 4),
    "Dense on a sequence": Case(lambda: layers.Dense(48), (5, 192)),
    "Conv1D": Case(lambda: layers.Conv1D(64, 5), (40, 32), inputs=(4, -4)),
    "Conv2D": Case(lambda: layers.Conv2D(48, 3), (10, 10, 24), inputs=(2, -2)),
    "Conv2D, dilated": Case(
        lambda: layers.Conv2D(48, 3, dilation_rate=2), (14, 14, 24), inputs=(4, -4)
    ),
    "Conv2D, strided": Case(lambda: layers.Conv2D(48, 3, strides=2), (14, 14, 24), inputs=(2, -2)),
    "Conv2D, patches": Case(lambda: layers.Conv2D(48, 8, strides=8), (24, 24, 3)),
    "Conv2D, wide and 1x1": Case(lambda: layers.Conv2D(192, 1), (6, 6, 48), orthogonal=1 / 4),
    "Conv2D, groups": Case(lambda: layers.Conv2D(64, 3, groups=4), (10, 10, 32), inputs=(2, -2)),
    "Conv2D, a group per channel": Case(
        lambda: layers.Conv2D(96, 3, groups=48), (8, 8, 48), inputs=(2, -2)
    ),
    "Conv3D": Case(lambda: layers.Conv3D(24, 3), (6, 6, 6, 12), inputs=(2, -2)),
    "DepthwiseConv1D": Case(lambda: layers.DepthwiseConv1D(5), (20, 192), inputs=(4, -4)),
    "DepthwiseConv2D": Case(lambda: layers.DepthwiseConv2D(3), (8, 8, 192), inputs=(2, -2)),
    "DepthwiseConv2D, multiplier": Case(
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 96), inputs=(2, -2)
    ),
    "DepthwiseConv2D, strided": Case(
        lambda: layers.DepthwiseConv2D(3, strides=2), (10, 10, 192), inputs=(2, -2)
    ),
    "SeparableConv1D": Case(
        lambda: layers.SeparableConv1D(48, 5, depth_multiplier=2),
        (20, 96),
        kernels=2,
        inputs=(4, -4),
    ),
    "SeparableConv2D": Case(
        lambda: layers.SeparableConv2D(48, 3), (8, 8, 192), kernels=2, inputs=(2, -2)
    ),
    "Conv1DTranspose, strided": Case(
        lambda: layers.Conv1DTranspose(64, 4, strides=2),
        (20, 32),
        orthogonal=1 / 2,
        outputs=(2, -2),
    ),
    "Conv2DTranspose": Case(lambda: layers.Conv2DTranspose(48, 3), (8, 8, 24), outputs=(2, -2)),
    "Conv2DTranspose, strided": Case(
        lambda: layers.Conv2DTranspose(32, 4, strides=2),
        (6, 6, 16),
        orthogonal=1 / 4,
        outputs=(2, -2),
    ),
    "Conv2DTranspose, checkerboard": Case(
        lambda: layers.Conv2DTranspose(32, 3, strides=2),
        (8, 8, 64),
        orthogonal=1 / 4,
        outputs=(2, -3),
    ),
    "Conv2DTranspose, no overlap": Case(
        lambda: layers.Conv2DTranspose(24, 2, strides=2), (6, 6, 96), orthogonal=1 / 4
    ),
    "Conv2DTranspose, to an image": Case(
        lambda: layers.Conv2DTranspose(3, 4, strides=2),
        (6, 6, 192),
        orthogonal=1 / 4,
        outputs=(2, -2),
    ),
    "Conv3DTranspose, strided": Case(
        lambda: layers.Conv3DTranspose(16, 4, strides=2),
        (4, 4, 4, 8),
        orthogonal=1 / 8,
        outputs=(2, -2),
    ),
    "EinsumDense ab,bc->ac": einsum("ab,bc->ac", (192,), 48),
    "EinsumDense ...x,xy->...y": einsum("...x,xy->...y", (4, 192), 48),
    "EinsumDense abc,bd->adc": einsum("abc,bd->adc", (192, 3), (48, 3)),
    "EinsumDense abc,ec->abe": einsum("abc,ec->abe", (3, 192), (None, 48)),
    "EinsumDense abc,cde->abde": einsum("abc,cde->abde", (3, 64), (None, 8, 32), orthogonal=1 / 4),
    "EinsumDense abcd,cde->abe": einsum("abcd,cde->abe", (3, 8, 24), (None, 48)),
    "EinsumDense of experts": einsum("bnd,ndh->bnh", (8, 96), (8, 24)),
    "EinsumDense of rank one": einsum("bd,d->bd", (6000,), 6000),
    "MultiHeadAttention, query": Case(attention, (9, 96), run="query_dense"),
    "MultiHeadAttention, key": Case(attention, (9, 96), run="key_dense"),
    "MultiHeadAttention, value": Case(attention, (9, 96), run="value_dense"),
    "MultiHeadAttention, output": Case(attention, (9, 2, 24), run="output_dense", orthogonal=1 / 2),
    "GroupQueryAttention, query": Case(grouped_attention, (9, 96), run="_query_dense"),
    "GroupQueryAttention, key": Case(grouped_attention, (9, 96), run="_key_dense"),
    "GroupQueryAttention, value": Case(grouped_attention, (9, 96), run="_value_dense"),
    "GroupQueryAttention, output": Case(
        grouped_attention, (9, 4, 16), run="_output_dense", orthogonal=2 / 3
    ),
    "SimpleRNN, one step": Case(lambda: layers.SimpleRNN(48, activation=None), (1, 192)),
    "Bidirectional, one step": Case(
        lambda: layers.Bidirectional(layers.SimpleRNN(48, activation=None)), (1, 192)
    ),
    "TimeDistributed": Case(lambda: layers.TimeDistributed(layers.Dense(48)), (3, 192)),
    "SpectralNormalization": Case(lambda: layers.SpectralNormalization(layers.Dense(48)), (192,)),
}


def zeros(layer):
    """Returns a layer with zeros for initializers: JAX would compile a draw for every shape."""
    for inner in _network.walk(layer):
        for attribute in [each for each in vars(inner) if each.endswith("_initializer")]:
            setattr(inner, attribute, keras.initializers.Zeros())
    return layer


@functools.cache
def built(name):
    """Returns the model of a case, and the layer that is run."""
    case = CASES[name]
    layer = zeros(case.build())
    if case.run is None:
        inputs = keras.Input(case.shape)
        return keras.Model(inputs, layer(inputs)), layer
    inputs = keras.Input((9, 96))
    return keras.Model(inputs, layer(inputs, inputs)), getattr(layer, case.run)


def backpropagate(layer, inputs, output_gradients):
    """Returns the gradient with respect to the inputs of a layer."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        inputs = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        return tape.gradient(outputs, inputs, tf.constant(output_gradients))
    if BACKEND == "jax":
        import jax

        return jax.vjp(layer, inputs)[1](output_gradients)[0]
    import torch

    inputs = torch.from_numpy(inputs).requires_grad_()
    return torch.autograd.grad(layer(inputs), inputs, torch.from_numpy(output_gradients))[0]


def interior(values, part):
    """Returns the values between two positions of every axis of space."""
    return values[(slice(None), *[slice(*part)] * (values.ndim - 2))]


def assert_variance(values, expected, num_weights, num_others):
    """Asserts a mean square within 5 %, or four standard errors of it where that is wider.

    Truncated normal weights have one of √((kurtosis - 1) / weights). A random map between n and
    m numbers adds one of √(2 / n + 2 / m), which falls with the number of samples.
    """
    num_values = values[0].size
    weights = (KURTOSIS - 1) / num_weights if num_weights else 0.0
    samples = 2 * (1 / num_values + 1 / num_others) / len(values)
    tolerance = max(0.05, 4 * math.sqrt(weights + samples))
    assert tolerance < 0.2
    assert np.mean(values.astype("float64") ** 2) == pytest.approx(expected, rel=tolerance)


def smallest_kernel(layer):
    """Returns the number of weights of the smallest kernel inside a layer."""
    return min(
        math.prod(weight.variable.shape)
        for weight in _network.weights_of(layer)
        if weight.role == "kernel"
    )


def variance_of_outputs(name, initializer):
    model, layer = built(name)
    keras_winit.initialize(model, initializer, seed=1)
    case = CASES[name]
    inputs = normal((BATCH, *case.shape))
    return interior(to_numpy(layer(inputs)), case.outputs)


each_case = pytest.mark.parametrize("name", CASES)


@each_case
@pytest.mark.parametrize(("initializer", "variance"), [("lecun_normal", 1), ("he_normal", 2)])
def test_outputs_have_the_variance_of_the_initializer(name, initializer, variance):
    outputs = variance_of_outputs(name, initializer)
    _, layer = built(name)
    num_inputs = math.prod(CASES[name].shape)
    expected = variance ** CASES[name].kernels
    assert_variance(outputs, expected, smallest_kernel(layer), num_inputs)


@each_case
def test_orthogonal_weights_keep_the_variance_or_share_it_out(name):
    outputs = variance_of_outputs(name, "orthogonal")
    assert_variance(outputs, CASES[name].orthogonal, None, math.prod(CASES[name].shape))


@each_case
def test_fan_out_keeps_the_variance_of_the_gradient(name):
    model, layer = built(name)
    scheme = keras.initializers.VarianceScaling(1.0, "fan_out")
    keras_winit.initialize(model, scheme, seed=1)
    inputs = normal((BATCH, *CASES[name].shape))
    output_gradients = normal(to_numpy(layer(inputs)).shape)
    gradients = to_numpy(backpropagate(layer, inputs, output_gradients))
    gradients = interior(gradients, CASES[name].inputs)
    # Both directions of a `Bidirectional` reach the input.
    expected = 2 if name.startswith("Bidirectional") else 1
    assert_variance(gradients, expected, smallest_kernel(layer), output_gradients[0].size)


# Kernels that are several matrices in one array.


def recurrent_layers():
    """Yields each recurrent layer, its number of gates and the shape of its input."""
    yield layers.SimpleRNN(40), 1, (3, 90)
    yield layers.GRU(40), 3, (3, 90)
    yield layers.LSTM(40), 4, (3, 90)
    yield layers.ConvLSTM1D(12, 3), 4, (2, 7, 20)
    yield layers.ConvLSTM2D(12, 3), 4, (2, 7, 7, 20)
    yield layers.ConvLSTM3D(12, 2), 4, (2, 4, 4, 4, 20)


def gates(layer, number):
    """Yields each gate's matrix of the kernel and of the recurrent kernel."""
    for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel):
        for gate in np.split(to_numpy(kernel), number, axis=-1):
            yield gate.reshape(-1, gate.shape[-1]), math.prod(gate.shape[:-2])


@pytest.mark.parametrize(("layer", "number", "shape"), [*recurrent_layers()], ids=lambda each: "")
def test_gates_have_their_own_fans_and_are_orthogonal_each(layer, number, shape):
    zeros(layer).build((None, *shape))
    schemes = {
        "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
        "he_normal": lambda fan_in, fan_out: 2 / fan_in,
        "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    }
    for scheme, variance in schemes.items():
        keras_winit.initialize(layer, scheme, seed=1)
        for gate, taps in gates(layer, number):
            expected = variance(gate.shape[0], gate.shape[1] * taps)
            error = math.sqrt((KURTOSIS - 1) / gate.size)
            assert np.mean(gate**2) == pytest.approx(expected, rel=max(0.05, 4 * error))
    keras_winit.initialize(layer, "orthogonal", seed=1)
    for gate, _ in gates(layer, number):
        assert_orthonormal(gate)


def assert_orthonormal(matrix):
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, atol=1e-5)


def maps(kernel, inputs):
    """Returns the kernel of an attention map as a matrix, its first axes being `inputs`."""
    kernel = to_numpy(kernel)
    return [kernel.reshape(math.prod(kernel.shape[:inputs]), -1)]


SINGULAR = {
    "MultiHeadAttention, query": lambda layer: maps(layer.kernel, 1),
    "MultiHeadAttention, key": lambda layer: maps(layer.kernel, 1),
    "MultiHeadAttention, value": lambda layer: maps(layer.kernel, 1),
    "MultiHeadAttention, output": lambda layer: maps(layer.kernel, 2),
    "GroupQueryAttention, query": lambda layer: maps(layer.kernel, 1),
    "GroupQueryAttention, key": lambda layer: maps(layer.kernel, 1),
    "GroupQueryAttention, value": lambda layer: maps(layer.kernel, 1),
    "GroupQueryAttention, output": lambda layer: maps(layer.kernel, 2),
    "EinsumDense of experts": lambda layer: to_numpy(layer.kernel),
    "Conv2D, groups": lambda layer: np.split(to_numpy(layer.kernel).reshape(-1, 64), 4, axis=1),
    "DepthwiseConv1D": lambda layer: to_numpy(layer.kernel).transpose(1, 0, 2),
    "DepthwiseConv2D, multiplier": lambda layer: (
        to_numpy(layer.kernel).reshape(9, 96, 2).transpose(1, 0, 2)
    ),
    "SeparableConv2D": lambda layer: (
        to_numpy(layer.depthwise_kernel).reshape(9, 192, 1).transpose(1, 0, 2)
    ),
    "Conv2DTranspose": lambda layer: [to_numpy(layer.kernel).transpose(0, 1, 3, 2).reshape(-1, 48)],
}


@pytest.mark.parametrize("name", SINGULAR)
def test_each_map_is_orthogonal_by_itself(name):
    model, layer = built(name)
    keras_winit.initialize(model, "orthogonal", seed=1)
    for matrix in SINGULAR[name](layer):
        assert_orthonormal(matrix)


# Embeddings and LoRA.


def embeddings():
    """Yields each embedding, and whether it has a kernel for the way back."""
    yield layers.Embedding(400, 32), False
    yield layers.ReversibleEmbedding(400, 32), False
    yield layers.ReversibleEmbedding(400, 32, tie_weights=False), True


@pytest.mark.parametrize(("layer", "is_reversible"), [*embeddings()], ids=lambda each: "")
def test_each_row_of_an_embedding_is_a_vector_of_its_own(layer, is_reversible):
    zeros(layer).build()
    for scheme, variance in {"lecun_normal": 1, "he_normal": 2, "orthogonal": 1 / 32}.items():
        keras_winit.initialize(layer, scheme, seed=1)
        tolerance = 4 * math.sqrt((KURTOSIS - 1) / (400 * 32))
        vectors = to_numpy(layer(np.arange(400)))
        assert np.mean(vectors**2) == pytest.approx(variance, rel=tolerance)
        if scheme == "orthogonal":
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        if is_reversible:
            outputs = to_numpy(layer(normal((4 * BATCH, 32)), reverse=True))
            expected = 32 / 400 if scheme == "orthogonal" else variance
            assert_variance(outputs, expected, 32 * 400, 32)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [
        (layers.Dense(12), (None, 90), 90),
        (layers.Conv2D(12, 3), (None, 9, 9, 20), 180),
        (layers.EinsumDense("abc,cde->abde", (None, 4, 12)), (None, 3, 90), 90),
        (layers.EinsumDense("abcd,cde->abe", (None, 12)), (None, 3, 4, 20), 80),
    ],
    ids=lambda each: "",
)
def test_lora_is_drawn_with_its_true_fan_and_its_kernel_left_alone(layer, shape, fan_in):
    zeros(layer).build(shape)
    kernel = normal(layer.kernel.shape)
    layer.kernel.assign(kernel)
    layer.enable_lora(8)
    result = keras_winit.initialize(layer, "orthogonal", seed=1)
    first, second = to_numpy(layer.lora_kernel_a), to_numpy(layer.lora_kernel_b)
    tolerance = 4 * math.sqrt(0.8 / first.size)  # the kurtosis of a uniform law is 1.8
    assert np.mean(first**2) == pytest.approx(2 / fan_in, rel=tolerance)
    assert abs(first).max() <= math.sqrt(6 / fan_in)
    np.testing.assert_array_equal(second, 0)
    np.testing.assert_array_equal(to_numpy(layer._kernel), kernel)
    assert [row.reason for row in result.skipped] == ["frozen"]


def test_lora_of_an_embedding_is_drawn_beside_the_kernel_for_the_way_back():
    layer = zeros(layers.ReversibleEmbedding(400, 32, tie_weights=False))
    layer.build()
    layer.enable_lora(8)
    result = keras_winit.initialize(layer, "lecun_normal", seed=1)
    assert [row.reason for row in result.skipped] == ["frozen"]
    (first,) = (w for w in layer.weights if w.name == "lora_embeddings_a")
    (back,) = (w for w in layer.weights if w.name == "reverse_embeddings")
    rows, tolerance = to_numpy(first), 4 * math.sqrt(0.8 / (400 * 8))
    assert np.mean(rows**2) == pytest.approx(2, rel=tolerance)  # each is a vector of its own
    assert np.std(to_numpy(back)) == pytest.approx(1 / math.sqrt(32), rel=0.05)


# Which weights a layer has.

# What to give the arguments without a default; a name that is not here is of a new kind of layer.
ARGUMENTS = {
    **dict.fromkeys(("factor", "height_factor", "width_factor", "rate", "stddev"), 0.5),
    **dict.fromkeys(("height", "max_number", "n", "num_bins", "scale", "width"), 3),
    **dict.fromkeys(("filters", "output_dim", "output_shape", "output_size", "units"), 5),
    **dict.fromkeys(("head_dim", "input_dim", "key_dim"), 4),
    **dict.fromkeys(("kernel_size", "num_heads", "num_query_heads", "pool_size"), 2),
    **dict.fromkeys(("axes", "num_key_value_heads"), 1),
    **dict.fromkeys(("dims", "target_shape"), (-1,)),
    "activation": "relu",
    "equation": "ab,bc->ac",
    "function": abs,
    "layers": (),
}
# A function for what one class needs, or should have of its own.
OPTIONS = {
    layers.Bidirectional: lambda: {"layer": layers.GRU(5)},
    layers.CategoryEncoding: lambda: {"num_tokens": 3},
    layers.Discretization: lambda: {"num_bins": 3},
    layers.GroupNormalization: lambda: {"groups": 2},
    layers.InputLayer: lambda: {"shape": (4,)},
    layers.Permute: lambda: {"dims": (1,)},
    layers.RandomPosterization: lambda: {"factor": 3},
    layers.RNN: lambda: {"cell": layers.LSTMCell(5)},
    layers.StackedRNNCells: lambda: {"cells": [layers.GRUCell(5), layers.LSTMCell(5)]},
    layers.SpectralNormalization: lambda: {"layer": layers.Dense(5)},
    layers.TimeDistributed: lambda: {"layer": layers.Dense(5)},
    layers.Wrapper: lambda: {"layer": layers.Embedding(4, 5)},
}
SHAPES = [(2, 4), (2, 3, 4), (2, 4, 4, 4), (2, 4, 4, 4, 4), [(2, 3, 4), (2, 3, 4)]]

# They wrap the code of other libraries.
FOREIGN = {layers.FlaxLayer, layers.JaxLayer, layers.TFSMLayer, layers.TorchModuleWrapper}

CLASSES = sorted(
    {
        value
        for value in vars(layers).values()
        if isinstance(value, type) and issubclass(value, layers.Layer) and value not in FOREIGN
    },
    key=lambda cls: cls.__name__,
)


def required(function):
    """Returns the names of the parameters without a default, but for `self`."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]


@functools.cache
def built_layer(cls):
    """Returns a layer of a class, built on the first shape that it takes."""
    keras.utils.set_random_seed(0)
    errors = []
    for shape in SHAPES:
        arguments = OPTIONS.get(cls, dict)()
        missing = [name for name in required(cls.__init__) if name not in arguments]
        layer = cls(**arguments, **{name: ARGUMENTS[name] for name in missing})
        try:
            layer.build(*[shape] * len(required(cls.build)))
        except Exception as error:  # each says in its own way that the shape does not suit it
            errors.append(error)
        else:
            return layer
    raise ExceptionGroup(f"no shape suits {cls.__name__}", errors)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_weight_of_every_class_is_known_and_listed_once(cls):
    layer = built_layer(cls)
    weights = _network.weights_of(layer)
    assert [id(weight.variable) for weight in weights] == [id(each) for each in layer.weights]
    is_data = isinstance(layer, (layers.Normalization, layers.STFTSpectrogram))
    assert all((weight.skip is not None) == is_data for weight in weights)


def test_what_a_layer_of_any_class_is_built_with_is_known():
    for cls in CLASSES:
        for weight in _network.weights_of(built_layer(cls)):
            if weight.skip is not None:
                continue
            values = to_numpy(weight.variable).ravel()
            drawn = fill(weight, weight.own_initializer(), "1", as_keras=True).ravel()
            if len(set(values)) > values.size / 2:
                assert stats.ks_2samp(values, drawn).pvalue > 1e-3, weight.path
            else:
                np.testing.assert_array_equal(drawn, values, weight.path)


def names_and_skips(layer):
    return {weight.name: weight.skip for weight in _network.weights_of(layer)}


def test_what_is_left_alone_has_a_reason():
    quantized = layers.Dense(5)
    quantized.build((None, 4))
    quantized.quantize("int8")
    assert set(names_and_skips(quantized).values()) == {"quantized to int8"}
    adapted = layers.Normalization()
    adapted.adapt(normal((9, 4)))
    assert names_and_skips(adapted) == {
        "mean": "learned from data by `adapt`",
        "variance": "learned from data by `adapt`",
        "count": "not a float",
    }
    spectrogram = built_layer(layers.STFTSpectrogram)
    assert set(names_and_skips(spectrogram).values()) == {"fixed by the layer"}
    unknown = Mixer()
    unknown.build((None, 6, 4))
    assert names_and_skips(unknown) == {"mix": "Mixer is not known; use `describe_layer`"}


if BACKEND == "torch":

    def test_modules_of_torch_are_left_alone():
        import torch

        layer = layers.TorchModuleWrapper(torch.nn.Linear(4, 3))
        assert set(names_and_skips(layer).values()) == {"belongs to another library"}


if BACKEND == "jax":

    def test_functions_of_jax_are_left_alone():
        import jax

        layer = layers.JaxLayer(
            lambda params, inputs: inputs @ params,
            lambda rng, inputs: jax.random.normal(rng, (inputs.shape[-1], 3)),
        )
        layer(normal((2, 4)))
        assert set(names_and_skips(layer).values()) == {"belongs to another library"}


def test_weights_that_a_class_adds_by_itself_are_not_guessed():
    class Scaled(layers.Dense):
        def build(self, shape):
            super().build(shape)
            self.scaling = self.add_weight(shape=(5,), initializer="ones", name="scaling")

    class Shifted(keras.Model):
        def __init__(self):
            super().__init__()
            self.scaled = Scaled(5)
            self.shift = self.add_weight(shape=(5,), initializer="ones", name="bias")

        def call(self, x):
            return self.scaled(x) + self.shift

    model = Shifted()
    model(normal((2, 4)))
    reasons = [(weight.path, weight.skip) for weight in _network.weights_of(model)]
    assert reasons == [
        (f"{model.name}/bias", "Shifted has no `bias_initializer`"),
        (f"{model.name}/{model.scaled.name}/kernel", None),
        (f"{model.name}/{model.scaled.name}/bias", None),
        (f"{model.name}/{model.scaled.name}/scaling", "Scaled has no `scaling_initializer`"),
    ]


def test_a_weight_belongs_to_the_innermost_layer_wherever_that_is_held():
    class Block(layers.Layer):
        def __init__(self, dense):
            super().__init__()
            self.dense = dense

        def call(self, x):
            return self.dense(x)

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)
            self.block = Block(self.dense)

        def call(self, x):
            return self.block(self.dense(x))

    model = Twice()
    model(normal((2, 4)))
    for each in (model, keras.Sequential([keras.Input((4,)), layers.Dense(5)])):
        weights = _network.weights_of(each)
        assert [weight.name for weight in weights] == ["kernel", "bias"]
        assert {type(weight.layer) for weight in weights} == {layers.Dense}


# Layers of the user's own.


class Mixer(layers.Layer):
    """Mixes positions, and applies an activation."""

    def __init__(self, activation=None, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, shape):
        self.mix = self.add_weight(
            shape=(160, shape[1]), name="mix", initializer=self.kernel_initializer
        )

    def call(self, x):
        return self.activation(keras.ops.einsum("btc,st->bsc", x, self.mix))


KERNEL = keras_winit.Kernel("kernel_initializer", "mix", input_axes=[1], output_axes=[0])


@pytest.mark.parametrize("kernels", [[KERNEL], lambda layer: (KERNEL,)], ids=["list", "function"])
def test_a_described_layer_is_known_by_its_axes(kernels, monkeypatch):
    monkeypatch.setattr("keras_winit._network.kernels._described", {})
    keras_winit.describe_layer(Mixer, kernels)

    class Derived(Mixer):
        pass

    for cls in (Mixer, Derived):
        layer = cls()
        layer.build((None, 60, 4))
        result = keras_winit.initialize(layer, "lecun_normal", seed=1)
        assert (result.rows[0].fan_in, result.rows[0].fan_out) == (60, 160)
        assert_variance(to_numpy(layer(normal((BATCH, 60, 4)))), 1, 60 * 160, 60 * 4)
        suggested = keras_winit.suggest_initializer(cls)("relu")
        assert isinstance(suggested.kernel_initializer, keras.initializers.HeNormal)


@pytest.mark.parametrize("cls", ["Mixer", Mixer(), dict])
def test_only_layer_classes_are_described(cls):
    with pytest.raises(TypeError, match="`cls` should be a layer class. Received: cls="):
        keras_winit.describe_layer(cls, [KERNEL])


# Paths.


def build_model(extra=False):
    """Returns a model of unnamed layers and named ones, with a named one more if asked for."""
    inputs = keras.Input((6, 4))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
    x = layers.TimeDistributed(keras.Sequential([layers.Dense(5), layers.Dense(6)]))(x)
    if extra:
        x = layers.Dense(6, name="extra")(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.Dense(5)(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def stable_paths(model):
    return _network.stable_paths(model, _network.weights_of(model))


def test_stable_paths_are_the_same_for_every_model_of_the_same_code():
    first, second = build_model(), build_model()
    assert [v.path for v in first.weights] != [v.path for v in second.weights]
    assert stable_paths(first) == stable_paths(second)
    assert len(set(stable_paths(first))) == len(first.weights)


def test_stable_paths_stay_when_a_layer_is_added():
    with_extra = stable_paths(build_model(extra=True))
    extra = [path for path in with_extra if "extra" in path]
    assert len(extra) == 2
    assert [path for path in with_extra if path not in extra] == stable_paths(build_model())


def test_stable_paths_tell_layers_of_one_name_apart():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(4, name="same")
            self.second = layers.Dense(4, name="same")

        def call(self, x):
            return self.second(self.first(x))

    model = Two()
    model(normal((2, 4)))
    assert len(set(stable_paths(model))) == 4
