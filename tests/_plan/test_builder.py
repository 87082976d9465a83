import functools
import re

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import _network
from keras_winit._plan import by_activation
from keras_winit.initializers import ActivationScaling

layers = keras.layers


def class_name(initializer):
    return type(initializer).__name__


def kernel_class(activation, **arguments):
    Dense = keras_winit.suggest_initializer(layers.Dense)
    return class_name(Dense(3, activation=activation, **arguments).kernel_initializer)


# The decision list.


def variants_of_relu():
    yield from ("relu", "relu6", "leaky_relu", "elu", "celu", keras.activations.relu)
    yield from (layers.ReLU(max_value=6.0), layers.LeakyReLU(0.1), layers.PReLU(), layers.ELU())
    yield from (layers.Activation("relu"), keras.saving.serialize_keras_object(layers.ReLU()))
    yield lambda x: keras.ops.maximum(x, 0.0)


@pytest.mark.parametrize("activation", list(variants_of_relu()))
def test_variants_of_relu_get_he_normal(activation):
    assert kernel_class(activation) == "HeNormal"
    assert class_name(keras_winit.select_initializer(activation).initializer) == "HeNormal"


# Where 2 / fan_in is not near, it is not given.
FAR_VARIANTS = (
    layers.LeakyReLU(0.9),
    layers.ELU(3.0),
    layers.ReLU(max_value=1.0),
    functools.partial(keras.activations.celu, alpha=20.0),
)
OTHER_RECTIFIERS = (
    *("gelu", "silu", "swish", "mish", "hard_silu", "hard_swish", "sparse_plus"),
    layers.Activation("gelu"),
    functools.partial(keras.activations.gelu, approximate=True),
    functools.partial(keras.activations.threshold, threshold=0.5, default_value=0.0),
    lambda x: x * keras.ops.sigmoid(x),
)


@pytest.mark.parametrize("activation", [*OTHER_RECTIFIERS, *FAR_VARIANTS])
def test_other_rectifiers_get_the_variance_that_keeps_the_size_of_the_signal(activation):
    z = np.linspace(-9, 9, 36001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    outputs = keras.activations.get(activation)(keras.ops.convert_to_tensor(z, "float32"))
    squares = keras.ops.convert_to_numpy(outputs).astype("float64") ** 2
    second_moment = np.sum(squares * density) * (z[1] - z[0])  # to 1e-4 where it jumps
    layer = keras_winit.suggest_initializer(layers.Dense)(3, activation=activation)
    selected = keras_winit.select_initializer(activation).initializer
    for initializer in (layer.kernel_initializer, selected):
        assert type(initializer) is keras.initializers.VarianceScaling
        assert (initializer.mode, initializer.distribution) == ("fan_in", "truncated_normal")
        assert abs(initializer.scale * second_moment - 1) < 2e-4


def test_a_rectifier_that_lets_nothing_through_keeps_the_default_of_keras():
    assert kernel_class(layers.ReLU(max_value=0.0)) == "GlorotUniform"


@pytest.mark.parametrize("activation", ["selu", keras.activations.selu, layers.Activation("selu")])
def test_selu_gets_lecun_normal(activation):
    assert kernel_class(activation) == "LecunNormal"


@pytest.mark.parametrize(
    "activation", [None, "linear", "tanh", "sigmoid", "softmax", "softplus", lambda x: x**3]
)
def test_anything_else_keeps_the_default_of_keras(activation):
    layer = keras_winit.suggest_initializer(layers.Dense)(3, activation=activation)
    expected = layers.Dense(3, activation=activation).kernel_initializer
    assert type(layer.kernel_initializer) is type(expected)
    assert layer.kernel_initializer.get_config() == expected.get_config()


def test_docstring_prints_the_decision_list():
    text = re.sub(r"\s+", " ", keras_winit.suggest_initializer.__doc__)
    printed = text.partition("The first line that fits: - ")[2].partition(" It is set where")[0]
    kept, *lines = printed.split(" - ")
    assert kept == "an initializer was passed: it is kept"
    assert len(lines) == len(by_activation.LINES)
    named = []
    for entry, line in zip(lines, by_activation.LINES, strict=True):
        names, _, choice = entry.partition(": ")
        assert f"`{line.choice}`" in choice
        author, link = line.reference.split(" ")[0], line.reference.split(", ")[2]
        assert author in text
        assert link in text
        for name in [] if names == "anything else" else names.split(", "):
            named.append(name)
            activation = {"prelu": layers.PReLU(), "threshold": OTHER_RECTIFIERS[9]}.get(name, name)
            assert by_activation.decide(activation)[0] is line, name
    assert sorted(named) == sorted((*by_activation.RECTIFIERS, "selu"))


# What the user passed is kept.


@pytest.mark.parametrize(
    "build",
    [
        lambda builder: builder(3, activation="relu", kernel_initializer="glorot_uniform"),
        lambda builder: builder(3, "relu", True, "glorot_uniform"),
        lambda builder: builder(3, activation="relu", kernel_initializer="GlorotUniform"),
    ],
)
def test_an_initializer_that_was_passed_is_kept(build):
    assert (
        class_name(build(keras_winit.suggest_initializer(layers.Dense)).kernel_initializer)
        == "GlorotUniform"
    )


def test_an_instance_that_was_passed_is_kept_even_with_a_seed():
    mine = keras.initializers.Orthogonal()
    builder = keras_winit.suggest_initializer(layers.LSTM, seed=1)
    layer = builder(3, kernel_initializer=mine, recurrent_initializer=mine)
    assert layer.cell.kernel_initializer is mine
    assert layer.cell.recurrent_initializer is mine


def test_none_is_no_choice():
    assert kernel_class("relu", kernel_initializer=None) == "HeNormal"


def test_partial_arguments_count_as_passed():
    partial = functools.partial(layers.Dense, activation="relu")
    assert class_name(keras_winit.suggest_initializer(partial)(3).kernel_initializer) == "HeNormal"
    for builder in (
        functools.partial(partial, 3, kernel_initializer="glorot_uniform"),
        functools.partial(layers.Dense, 3, "relu", True, "glorot_uniform"),
    ):
        layer = keras_winit.suggest_initializer(builder)()
        assert class_name(layer.kernel_initializer) == "GlorotUniform"


def test_a_class_with_a_default_of_its_own_keeps_it():
    class Orthogonal(layers.Dense):
        def __init__(self, units, **arguments):
            super().__init__(units, "relu", kernel_initializer="orthogonal", **arguments)

    class Relu(layers.Dense):
        def __init__(self, units, **arguments):
            super().__init__(units, "relu", **arguments)

    suggest = keras_winit.suggest_initializer
    assert class_name(suggest(Orthogonal)(3).kernel_initializer) == "Orthogonal"
    assert class_name(suggest(Relu)(3).kernel_initializer) == "HeNormal"


# Builders.


def test_a_function_is_a_builder_and_a_decorator():
    @keras_winit.suggest_initializer
    def block(units, *, kernel_initializer=None):
        """A block."""
        return layers.Dense(units, "relu", kernel_initializer=kernel_initializer)

    assert block.__name__ == "block"
    assert block.__doc__ == "A block."
    assert class_name(block(3).kernel_initializer) == "HeNormal"
    kept = block(3, kernel_initializer="glorot_uniform").kernel_initializer
    assert class_name(kept) == "GlorotUniform"


@pytest.mark.parametrize(
    ("build", "find"),
    [
        (lambda inner: layers.TimeDistributed(inner), lambda layer: layer.layer),
        (lambda inner: layers.SpectralNormalization(inner), lambda layer: layer.layer),
        (
            lambda inner: keras.Sequential([layers.Dropout(0.1), inner]),
            lambda model: model.layers[1],
        ),
    ],
)
def test_wrapped_layers_are_looked_into(build, find):
    layer = keras_winit.suggest_initializer(lambda: build(layers.Dense(3, "relu")))()
    assert class_name(find(layer).kernel_initializer) == "HeNormal"


def test_both_directions_and_stacked_cells_are_looked_into():
    def build():
        cells = [layers.GRUCell(3, activation="relu"), layers.LSTMCell(4)]
        return layers.Bidirectional(layers.RNN(cells, return_sequences=True))

    layer = keras_winit.suggest_initializer(build, seed=5)()
    for direction in (layer.forward_layer, layer.backward_layer):
        relu, tanh = direction.cell.cells
        assert class_name(relu.kernel_initializer) == "HeNormal"
        assert class_name(tanh.kernel_initializer) == "GlorotUniform"
        assert class_name(relu.recurrent_initializer) == class_name(tanh.recurrent_initializer)
        assert class_name(relu.recurrent_initializer) == "Orthogonal"
    layer(np.zeros((1, 2, 5), "float32"))
    forward, backward = (
        keras.ops.convert_to_numpy(direction.cell.cells[0].kernel)
        for direction in (layer.forward_layer, layer.backward_layer)
    )
    assert not np.array_equal(forward, backward)


def test_layers_without_kernels_pass_through():
    dropout = keras_winit.suggest_initializer(layers.Dropout)(0.25)
    assert isinstance(dropout, layers.Dropout)
    assert dropout.rate == 0.25


def test_a_layer_of_the_user_is_told_through_its_argument():
    class Mine(layers.Layer):
        def __init__(self, units, activation="relu", kernel_initializer="glorot_uniform"):
            super().__init__()
            self.inner = layers.Dense(units, activation, kernel_initializer=kernel_initializer)

    Built = keras_winit.suggest_initializer(Mine)
    assert class_name(Built(3).inner.kernel_initializer) == "HeNormal"
    assert class_name(Built(3, "selu").inner.kernel_initializer) == "LecunNormal"
    kept = Built(3, kernel_initializer="glorot_uniform").inner
    assert class_name(kept.kernel_initializer) == "GlorotUniform"


def test_a_layer_that_was_described_may_have_no_activation(monkeypatch):
    monkeypatch.setattr("keras_winit._network.kernels._described", {})

    class Mine(layers.Layer):
        def __init__(self):
            super().__init__()
            self.mix_initializer = keras.initializers.GlorotUniform()

    keras_winit.describe_layer(Mine, [keras_winit.Kernel("mix_initializer", "mix")])
    built = keras_winit.suggest_initializer(Mine)()
    assert class_name(built.mix_initializer) == "GlorotUniform"


# The right argument, with the fans the layer really has: the layer is run on unit normal input.

KINDS = {
    "Dense": (lambda S: S(layers.Dense)(48, "relu"), (64,), ()),
    "EinsumDense": (
        lambda S: S(layers.EinsumDense)("abc,cde->abde", (None, 6, 16), activation="relu"),
        (3, 64),
        (),
    ),
    "Conv1D": (lambda S: S(layers.Conv1D)(48, 5, activation="relu"), (12, 16), ()),
    "Conv2D": (lambda S: S(layers.Conv2D)(48, 3, strides=2, activation="relu"), (9, 9, 16), ()),
    "grouped Conv2D": (
        lambda S: S(layers.Conv2D)(64, 3, groups=4, activation="relu"),
        (6, 6, 32),
        (),
    ),
    "Conv3D": (lambda S: S(layers.Conv3D)(24, 3, activation="relu"), (4, 4, 4, 6), ()),
    "DepthwiseConv1D": (
        lambda S: S(layers.DepthwiseConv1D)(5, depth_multiplier=2, activation="relu"),
        (9, 256),
        (),
    ),
    "DepthwiseConv2D": (
        lambda S: S(layers.DepthwiseConv2D)(3, depth_multiplier=2, activation="relu"),
        (6, 6, 256),
        (),
    ),
    "SeparableConv1D": (
        lambda S: S(layers.SeparableConv1D)(64, 5, activation="relu"),
        (8, 128),
        (),
    ),
    "SeparableConv2D": (
        lambda S: S(layers.SeparableConv2D)(64, 3, activation="relu"),
        (6, 6, 128),
        (),
    ),
    "Conv1DTranspose": (
        lambda S: S(layers.Conv1DTranspose)(16, 4, strides=2, activation="relu"),
        (12, 48),
        (4,),
    ),
    "Conv2DTranspose": (
        lambda S: S(layers.Conv2DTranspose)(8, 4, strides=2, activation="relu"),
        (7, 7, 48),
        (4, 4),
    ),
    "Conv3DTranspose": (
        lambda S: S(layers.Conv3DTranspose)(4, 3, activation="relu"),
        (5, 5, 5, 24),
        (2, 2, 2),
    ),
    "SimpleRNN": (lambda S: S(layers.SimpleRNN)(48, activation="relu"), (1, 64), ()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_relu_layers_keep_the_second_moment(kind):
    build, shape, border = KINDS[kind]
    keras.utils.set_random_seed(3)
    layer = build(lambda builder: keras_winit.suggest_initializer(builder, seed=11))
    inputs = np.random.default_rng(0).standard_normal((256, *shape)).astype("float32")
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    inside = (slice(None), *(slice(size, -size) for size in border))
    moment = np.mean(outputs[inside].astype("float64") ** 2)
    # The kernel is one sample: its variance is known to a relative sqrt(2 / weights), per stage.
    spread = np.sqrt(sum(2 / np.prod(v.shape) for v in layer.weights if len(v.shape) > 1))
    assert abs(moment - 1) < 4 * spread + 0.02


@pytest.mark.parametrize("kind", ["DepthwiseConv2D", "Conv2DTranspose"])
def test_what_is_set_is_a_built_in_of_keras_where_it_has_one(kind):
    layer = KINDS[kind][0](keras_winit.suggest_initializer)
    (kernel,) = _network.kernels_of(layer)
    initializer = getattr(layer, kernel.argument)
    is_ours = isinstance(initializer, ActivationScaling)
    assert is_ours is not _network.KERAS_TAKES_AXES


def test_depthwise_half_of_a_separable_convolution_keeps_its_variance():
    layer = keras_winit.suggest_initializer(layers.SeparableConv2D, seed=2)(8, 3, activation="relu")
    layer.build((None, 6, 6, 512))
    kernel = keras.ops.convert_to_numpy(layer.depthwise_kernel)
    # Uniform weights: kurtosis 1.8.
    assert abs(kernel.var() * 9 - 1) < 4 * np.sqrt(0.8 / kernel.size)


def test_attention_and_embeddings_stay_as_they_are():
    attention = keras_winit.suggest_initializer(layers.MultiHeadAttention, seed=1)(2, 4)
    expected = layers.MultiHeadAttention(2, 4, name=attention.name)
    assert attention.get_config() == expected.get_config()
    embedding = keras_winit.suggest_initializer(layers.Embedding)(10, 4)
    assert embedding.get_config() == layers.Embedding(10, 4, name=embedding.name).get_config()


def test_recurrent_kernels_stay_orthogonal():
    layer = keras_winit.suggest_initializer(layers.GRU)(4, activation="relu")
    assert class_name(layer.cell.kernel_initializer) == "HeNormal"
    assert class_name(layer.cell.recurrent_initializer) == "Orthogonal"


IN_16_BITS = {
    "LSTM": (lambda S, dtype: S(layers.LSTM)(4, dtype=dtype), (3, 5)),
    "GRU, explicit": (
        lambda S, dtype: S(layers.GRU)(4, dtype=dtype, recurrent_initializer="orthogonal"),
        (3, 5),
    ),
    "Dense, explicit": (
        lambda S, dtype: S(layers.Dense)(4, dtype=dtype, kernel_initializer="orthogonal"),
        (5,),
    ),
    "ConvLSTM1D": (lambda S, dtype: S(layers.ConvLSTM1D)(4, 3, dtype=dtype), (2, 6, 5)),
    "Bidirectional": (
        lambda S, dtype: S(lambda: layers.Bidirectional(layers.GRU(4, dtype=dtype)))(),
        (3, 5),
    ),
    "cells": (
        lambda S, dtype: S(
            lambda: layers.RNN(
                [layers.LSTMCell(4, dtype=dtype), layers.SimpleRNNCell(3, dtype=dtype)]
            )
        )(),
        (3, 5),
    ),
}


def orthogonal_of(layer):
    """Returns the orthogonal initializers of a layer and of what is in it."""
    values = [value for inner in _network.walk(layer) for value in vars(inner).values()]
    kinds = (keras.initializers.Orthogonal, keras_winit.initializers.Orthogonal)
    return [value for value in values if isinstance(value, kinds)]


@pytest.mark.parametrize("by_policy", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", IN_16_BITS)
def test_in_16_bits_layers_with_orthogonal_kernels_can_be_built(kind, dtype, by_policy):
    build, shape = IN_16_BITS[kind]
    keras.config.set_dtype_policy(dtype if by_policy else "float32")
    try:
        layer = build(keras_winit.suggest_initializer, None if by_policy else dtype)
        layer.build((None, *shape))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(each.dtype) for each in layer.weights} == {dtype}
    assert {type(each) for each in orthogonal_of(layer)} == {keras_winit.initializers.Orthogonal}


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kind", IN_16_BITS)
def test_in_32_bits_the_orthogonal_is_that_of_keras(kind, dtype):
    layer = IN_16_BITS[kind][0](keras_winit.suggest_initializer, dtype)
    assert {type(each) for each in orthogonal_of(layer)} == {keras.initializers.Orthogonal}


def test_in_16_bits_a_seed_reaches_recurrent_weights():
    builders = [keras_winit.suggest_initializer(layers.LSTM, seed=seed) for seed in (3, 3, 4)]
    first, again, other = (builder(4, dtype="bfloat16") for builder in builders)
    for layer in (first, again, other):
        layer.build((None, 2, 5))
    first, again, other = (
        keras.ops.convert_to_numpy(keras.ops.cast(layer.cell.recurrent_kernel, "float32"))
        for layer in (first, again, other)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_config_tells_the_truth():
    layer = keras_winit.suggest_initializer(layers.DepthwiseConv2D, seed=4)(3, activation="relu")
    copy = layers.DepthwiseConv2D.from_config(layer.get_config())
    for each in (layer, copy):
        each.build((None, 5, 5, 3))
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(e.kernel) for e in (layer, copy)))


# Seeds.


def kernels_of(seed, count=3):
    Dense = keras_winit.suggest_initializer(layers.Dense, seed=seed)
    built = [Dense(6, activation=name) for name in ("relu", "relu", None)[:count]]
    for layer in built:
        layer.build((None, 6))
    return [keras.ops.convert_to_numpy(layer.kernel) for layer in built]


def test_a_seed_makes_layers_reproducible_and_different():
    first, again, other = kernels_of(7), kernels_of(7), kernels_of(8)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_a_seed_reaches_recurrent_and_embedding_weights():
    for builder, shape in ((layers.LSTM, (None, 2, 5)), (layers.Embedding, (None, 3))):
        built = [keras_winit.suggest_initializer(builder, seed=3) for _ in range(2)]
        built = [build(7, *((4,) if builder is layers.Embedding else ())) for build in built]
        for layer in built:
            layer.build(shape)
        for one, two in zip(built[0].get_weights(), built[1].get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


def test_without_a_seed_the_random_seed_of_keras_governs():
    kernels = []
    for builder in (keras_winit.suggest_initializer(layers.Dense), layers.Dense):
        keras.utils.set_random_seed(5)
        layer = builder(4)
        layer.build((None, 6))
        kernels.append(keras.ops.convert_to_numpy(layer.kernel))
    np.testing.assert_array_equal(*kernels)


# select_initializer.


def test_a_suggestion_shows_choice_reason_and_reference():
    suggestion = keras_winit.select_initializer("selu")
    assert repr(suggestion).startswith("Suggestion(initializer=LecunNormal, reason='selu ")
    assert "1706.02515" in suggestion.reference
    assert suggestion.initializer is not keras_winit.select_initializer("selu").initializer


def test_selection_for_a_layer_counts_its_fans():
    layer = layers.Conv2DTranspose(4, 4, strides=2)
    initializer = keras_winit.select_initializer("relu", layer).initializer
    kernel = keras.ops.convert_to_numpy(initializer((4, 4, 40, 60)))
    # One output sums 4 * 4 * 60 / 2**2 products. Truncated at two sigma: kurtosis 2.3655.
    assert abs(kernel.var() * 4 * 60 - 2) < 2 * 4 * np.sqrt(1.3655 / kernel.size)


# Refusals.


class Unknown(layers.Layer):
    pass


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda S: S(layers.Dense(3)), TypeError, r"Pass the class.*call what it returns"),
        (lambda S: S("dense"), TypeError, r"Received: builder='dense'"),
        (lambda S: S(layers.Dense, seed=True), TypeError, r"`seed`.*Received: seed=True"),
        (lambda S: S(layers.Dense, seed=1.5), TypeError, r"`seed`.*Received: seed=1.5"),
        (lambda S: S(Unknown)(), TypeError, r"not known here: Unknown.*pass the initializer"),
        (lambda S: S(lambda: Unknown())(), TypeError, r"not known here: Unknown"),
        (lambda S: S(lambda: 3)(), TypeError, r"`builder` should return a layer.*returned 3"),
        (
            lambda S: S(lambda: keras.Sequential([keras.Input((2,)), layers.Dense(3, name="x")]))(),
            ValueError,
            r"'x' \(Dense\).*has been built",
        ),
        (
            lambda S: keras_winit.select_initializer("sillu"),
            ValueError,
            r"activation='sillu'. Did you mean 'silu'",
        ),
        (lambda S: keras_winit.select_initializer(3), TypeError, r"`activation`.*activation=3"),
        (
            lambda S: keras_winit.select_initializer("relu", layers.Dense),
            TypeError,
            r"`layer` should be a layer instance",
        ),
        (
            lambda S: keras_winit.select_initializer("relu", layers.Dropout(0.1, name="d")),
            ValueError,
            r"with a kernel.*Received: layer='d' of class Dropout",
        ),
    ],
)
def test_refusals_say_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call(keras_winit.suggest_initializer)
