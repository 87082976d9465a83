"""Whole models get new weights: the right ones, all of them or none, the same everywhere.

`golden/initialize.json` holds the weights of a small model: the SHA-256 of their float32 bytes,
or the weights themselves where matrix products are involved. They must hold on every backend.
`PYTHONPATH=tests python tests/test_initialize.py` writes the file anew.
"""

import concurrent.futures
import hashlib
import html
import json
import math
import multiprocessing
import re
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats

import keras_winit
from keras_winit import _network, initializers

layers = keras.layers

BACKEND = keras.backend.backend()

GOLDEN = Path(__file__).parents[1] / "golden" / "initialize.json"


def to_numpy(tensor):
    """Returns a tensor as a NumPy array, of a 16-bit type as float32."""
    values = keras.ops.convert_to_numpy(tensor)
    return values if values.dtype.kind in "iu" else values.astype(np.float32, copy=False)


def normal(shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def values_of(model):
    return {w.path: to_numpy(w.variable) for w in _network.weights_of(model)}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for path in first:
        np.testing.assert_array_equal(first[path], second[path], path)


def assert_same_law(first, second, path):
    """Asserts that neither a Kolmogorov-Smirnov test nor the variances tell two draws apart."""
    first, second = first.ravel().astype("float64"), second.ravel().astype("float64")
    if np.ptp(first) == 0 or np.array_equal(first, second):
        np.testing.assert_array_equal(first, second, path)
        return
    assert stats.ks_2samp(first, second).pvalue > 1e-3, path
    kurtosis = np.mean((first - first.mean()) ** 4) / np.var(first) ** 2
    tolerance = 4 * math.sqrt((kurtosis - 1) * (1 / first.size + 1 / second.size))
    assert np.var(first) == pytest.approx(np.var(second), rel=tolerance), path


def small(name="model"):
    """Returns a model of two named layers, the first of them four times as wide as its input."""
    inputs = keras.Input((12,))
    x = layers.Dense(48, "relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="head")(x), name=name)


# Seeds.


def shared_instance():
    shared = keras.initializers.HeNormal()
    inputs = keras.Input((10,))
    x = layers.Dense(10, kernel_initializer=shared)(inputs)
    return keras.Model(inputs, layers.Dense(10, kernel_initializer=shared)(x))


def seeded_cell():
    seeded = keras.initializers.HeNormal(seed=1)
    inputs = keras.Input((3, 10))
    layer = layers.LSTM(10, kernel_initializer=seeded, recurrent_initializer=seeded)
    return keras.Model(inputs, layer(inputs))


def seeded_attention():
    inputs = keras.Input((3, 10))
    layer = layers.MultiHeadAttention(2, 5, kernel_initializer=keras.initializers.HeNormal(seed=1))
    return keras.Model(inputs, layer(inputs, inputs))


def seeded_both_ways():
    seeded = keras.initializers.HeNormal(seed=1)
    inputs = keras.Input((3, 10))
    layer = layers.SimpleRNN(7, kernel_initializer=seeded)
    return keras.Model(inputs, layers.Bidirectional(layer)(inputs))


def seeded_shapes():
    inputs = keras.Input((10,))
    x = layers.Dense(9, kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    layer = layers.Dense(10, kernel_initializer=keras.initializers.HeNormal(seed=1))
    return keras.Model(inputs, layer(x))


TWINS = [shared_instance, seeded_cell, seeded_attention, seeded_both_ways, seeded_shapes]


def num_twins(model):
    """Returns how many kernels begin with the numbers of another one, but for their scale."""
    kernels = [
        to_numpy(weight.variable).ravel()[:12]
        for weight in _network.weights_of(model)
        if weight.kernel is not None
    ]
    beginnings = {tuple(np.round(each / each[0], 2)) for each in kernels}
    return len(kernels) - len(beginnings)


@pytest.mark.parametrize("build", TWINS)
@pytest.mark.parametrize("scheme", ["own", "suggested", "pytorch", "he_normal", "sparse"])
def test_no_twins_remain_whatever_was_there(build, scheme):
    model = build()
    assert num_twins(model) > 0
    scheme = initializers.Sparse(0, seed=1) if scheme == "sparse" else scheme
    keras_winit.initialize(model, scheme, seed=1)
    assert num_twins(model) == 0


def with_layers(between):
    """Returns a model with the layers `between` in its middle, and an unnamed one around them."""
    model = keras.Sequential([keras.Input((12,)), layers.Dense(9), layers.Dense(9, name="middle")])
    for layer in between:
        model.add(layer)
    model.add(layers.Dense(9, name="last"))
    return model


def test_a_layer_more_leaves_the_weights_of_the_others():
    first, second = with_layers([]), with_layers([layers.Dense(9, name="added")])
    for model in (first, second):
        keras_winit.initialize(model, "he_normal", seed=1)
    of_first, of_second = (
        {layer.name: to_numpy(layer.kernel) for layer in model.layers} for model in (first, second)
    )
    unnamed, middle, last = of_first
    np.testing.assert_array_equal(of_second[second.layers[0].name], of_first[unnamed])
    np.testing.assert_array_equal(of_second["middle"], of_first[middle])
    np.testing.assert_array_equal(of_second["last"], of_first[last])


def test_the_seed_decides():
    models = [small(), small(), small()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        keras_winit.initialize(model, "he_normal", seed=seed)
    first, second, third = map(values_of, models)
    assert_equal(first, second)
    assert not np.array_equal(first["hidden/kernel"], third["hidden/kernel"])
    assert not np.array_equal(first["head/kernel"], third["head/kernel"])


@pytest.mark.parametrize("seed", [-5, 2**80, np.int64(3)])
def test_any_integer_is_a_seed(seed):
    first, second = small(), small()
    assert keras_winit.initialize(first, seed=seed).seed == seed
    keras_winit.initialize(second, seed=int(seed))
    assert_equal(values_of(first), values_of(second))


def test_without_a_seed_that_of_keras_governs_and_is_reported():
    results, drawn = [], []
    for start in (3, 3, 4):
        keras.utils.set_random_seed(start)
        model = small()
        results.append(keras_winit.initialize(model, "he_normal"))
        drawn.append(values_of(model))
    assert_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0]["hidden/kernel"], drawn[2]["hidden/kernel"])
    model = small()
    keras_winit.initialize(model, "he_normal", seed=results[2].seed)
    assert_equal(values_of(model), drawn[2])


# Initializers that look at no matrix products are the same to the bit.
SCHEMES = {"pytorch": True, "he_normal": True, "keras": False, "orthogonal": False}


def golden_model():
    images = keras.Input((6, 6, 2), name="images")
    words = keras.Input((3,), dtype="int32", name="words")
    x = layers.Conv2D(4, 3, strides=2, groups=2)(images)
    x = layers.DepthwiseConv2D(2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2DTranspose(3, 2, name="up")(x)
    x = layers.Reshape((4, 3))(x)
    y = layers.Embedding(5, 3)(words)
    x = layers.MultiHeadAttention(2, 2)(x, y)
    x = layers.Bidirectional(layers.LSTM(2))(x)
    x = layers.PReLU()(x)
    return keras.Model([images, words], layers.Dense(3)(x))


def fingerprints(scheme):
    """Returns what `golden/initialize.json` holds of a scheme, by stable path."""
    model = golden_model()
    keras_winit.initialize(model, scheme, seed=3)
    weights = _network.weights_of(model)
    values = [to_numpy(weight.variable) for weight in weights]
    if SCHEMES[scheme]:
        values = [hashlib.sha256(each.astype("<f4").tobytes()).hexdigest() for each in values]
    else:
        values = [each.astype("float64").round(7).ravel().tolist() for each in values]
    return dict(zip(_network.stable_paths(model, weights), values, strict=True))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_weights_are_those_checked_in(scheme):
    expected, drawn = json.loads(GOLDEN.read_text())[scheme], fingerprints(scheme)
    assert drawn.keys() == expected.keys()
    for path in expected:
        if SCHEMES[scheme]:
            assert drawn[path] == expected[path], path
        else:
            np.testing.assert_allclose(drawn[path], expected[path], rtol=0, atol=1e-6)


# Models.


def nested():
    inner = keras.Sequential([keras.Input((48,)), layers.Dense(96), layers.Dense(24)])
    inputs = keras.Input((48,))
    return keras.Model(inputs, layers.Dense(96)(inner(inputs)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [{"first": layers.Dense(96)}, layers.Dense(24)]

    def call(self, x):
        return self.blocks[1](keras.ops.sin(self.blocks[0]["first"](x)))


def subclassed():
    model = Subclassed()
    model(normal((2, 48)))
    return model


def multi_input():
    first, second = keras.Input((48,)), keras.Input((24,))
    x = layers.Concatenate()([layers.Dense(96)(first), layers.Dense(24)(second)])
    return keras.Model([first, second], [layers.Dense(24)(x), layers.Dense(96)(x)])


def one_layer():
    layer = layers.Dense(96)
    layer.build((None, 48))
    return layer


@pytest.mark.parametrize("build", [nested, subclassed, multi_input, one_layer])
def test_every_kernel_of_every_kind_of_model_is_drawn(build):
    model = build()
    result = keras_winit.initialize(model, "he_uniform", seed=1)
    assert [row.shape for row in result.rows] == [tuple(v.shape) for v in model.weights]
    kernels = [variable for variable in model.weights if variable.name == "kernel"]
    assert kernels
    for kernel in kernels:
        values = to_numpy(kernel)
        tolerance = 4 * math.sqrt(0.8 / values.size)  # the kurtosis of a uniform law is 1.8
        assert np.mean(values**2) == pytest.approx(2 / len(values), rel=tolerance)
        assert abs(values).max() <= math.sqrt(6 / len(values))


def test_shared_and_tied_weights_are_drawn_once():
    shared = layers.Dense(6, name="shared")
    embedding = layers.ReversibleEmbedding(20, 6, name="tied")
    inputs = keras.Input((3,), dtype="int32")
    x = shared(shared(embedding(inputs)))
    inner = keras.Sequential([keras.Input((3, 6)), shared])
    model = keras.Model(inputs, embedding(inner(x), reverse=True))
    result = keras_winit.initialize(model, "he_normal", seed=1)
    assert sorted(row.weight for row in result.rows) == [
        "shared/bias",
        "shared/kernel",
        "tied/embeddings",
    ]


def untied(initializer):
    inputs = keras.Input((3,), dtype="int32")
    embedding = layers.ReversibleEmbedding(
        20, 6, tie_weights=False, embeddings_initializer=initializer, name="untied"
    )
    x = layers.Dense(6, "relu", name="dense")(embedding(inputs))
    return keras.Model(inputs, embedding(x, reverse=True))


@pytest.mark.parametrize("scheme", ["suggested", "pytorch", "orthogonal"])
def test_two_tables_with_one_initializer_are_drawn_the_same_again_and_their_config_is_true(scheme):
    model = untied("he_normal")
    results = [keras_winit.initialize(model, scheme, seed=1) for _ in range(2)]
    assert results[0].rows[0].initializer == results[1].rows[0].initializer
    drawn = model.get_weights()
    keras_winit.initialize(model, scheme, seed=1)
    for one, again in zip(drawn, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, again)
    # They were drawn unlike, and so what a copy draws is what the author wrote.
    copy = keras.models.clone_model(model)
    assert copy.get_layer("untied").embeddings_initializer.__class__.__name__ == "HeNormal"
    keras_winit.initialize(model, "own", seed=1)
    for table in ("embeddings", "reverse_embeddings"):
        values = to_numpy(getattr(model.get_layer("untied"), table))
        tolerance = 4 * math.sqrt(2 / values.size)
        assert np.mean(values**2) == pytest.approx(2 / len(values), rel=tolerance)


def test_two_tables_with_one_initializer_tell_it_where_both_have_it():
    model = untied("he_normal")
    normal = keras.initializers.RandomNormal(stddev=0.3)
    keras_winit.initialize(model, normal, seed=1, only="untied/reverse_embeddings")
    layer = model.get_layer("untied")
    assert type(layer.embeddings_initializer).__name__ == "HeNormal"
    keras_winit.initialize(model, normal, seed=1)
    assert layer.embeddings_initializer.stddev == 0.3


def test_normalization_and_the_like_start_anew():
    inputs = keras.Input((4, 6))
    x = layers.BatchNormalization()(inputs)
    x = layers.LayerNormalization(gamma_initializer="zeros")(x)
    x = layers.GroupNormalization(2)(layers.RMSNormalization()(x))
    model = keras.Model(inputs, layers.PReLU(alpha_initializer="ones")(x))
    before = values_of(model)
    for variable in model.weights:
        variable.assign(keras.ops.full(variable.shape, 3.5))
    result = keras_winit.initialize(model, seed=1)
    assert_equal(values_of(model), before)
    assert {row.after for row in result.rows} == {0.0}


FORGETFUL = ["suggested", "own", "keras", "critical", "he_normal", "orthogonal"]


@pytest.mark.parametrize("scheme", FORGETFUL)
@pytest.mark.parametrize(
    ("layer", "shape"),
    [(layers.LSTM, (3, 4)), (layers.ConvLSTM1D, (3, 4, 4))],
    ids=["LSTM", "Conv"],
)
def test_forget_gates_start_open(layer, shape, scheme):
    arguments = (5,) if layer is layers.LSTM else (5, 3)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(*arguments)(inputs))
    model.layers[1].cell.bias.assign(normal((20,)))
    keras_winit.initialize(model, scheme, seed=1)
    expected = [0] * 5 + [1] * 5 + [0] * 10
    np.testing.assert_array_equal(to_numpy(model.layers[1].cell.bias), expected)


# Schemes.


def with_own_initializers():
    inputs = keras.Input((9, 9, 12))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(inputs)
    x = layers.Conv2D(
        20, 3, kernel_initializer=initializers.Sparse(0.5), bias_initializer="random_normal"
    )(x)
    x = layers.Conv2DTranspose(16, 3, strides=2, kernel_initializer="glorot_normal")(x)
    x = layers.Reshape((121, 16))(x)
    x = layers.MultiHeadAttention(4, 16, kernel_initializer="orthogonal")(x, x)
    x = layers.LSTM(24, recurrent_initializer="he_uniform", bias_initializer="random_uniform")(x)
    return keras.Model(inputs, layers.Dense(40, kernel_initializer="ones")(x))


def test_own_draws_again_what_the_layers_would_draw():
    keras.utils.set_random_seed(1)
    model = with_own_initializers()
    before = values_of(model)
    config = model.get_config()
    for seed in (1, 2):
        keras_winit.initialize(model, "own", seed=seed)
        assert model.get_config() == config
        for path, values in values_of(model).items():
            assert_same_law(values, before[path], path)
            is_random = np.ptp(before[path]) > 0
            assert np.array_equal(values, before[path]) != is_random, path
        (bias,) = (values for path, values in values_of(model).items() if "lstm_cell/bias" in path)
        np.testing.assert_array_equal(bias[24:48], 1)


def test_keras_gives_the_defaults_whatever_the_layers_have():
    def build(**own):
        inputs = keras.Input((3, 40))
        recurrent = {f"{each}_initializer": "ones" for each in own.pop("cell", ())}
        x = layers.LSTM(30, return_sequences=True, **recurrent)(inputs)
        x = layers.BatchNormalization(
            **{f"{each}_initializer": "zeros" for each in own.pop("norm", ())}
        )(x)
        return keras.Model(inputs, layers.Dense(50, **own)(x))

    keras.utils.set_random_seed(1)
    expected = list(values_of(build()).values())
    model = build(
        cell=("kernel", "recurrent", "bias"),
        norm=("gamma", "moving_variance"),
        kernel_initializer="ones",
        bias_initializer="ones",
    )
    keras_winit.initialize(model, "keras", seed=1)
    for (path, values), default in zip(values_of(model).items(), expected, strict=True):
        assert_same_law(values, default, path)
    assert isinstance(model.layers[-1].kernel_initializer, keras.initializers.GlorotUniform)
    assert isinstance(model.layers[1].cell.recurrent_initializer, keras.initializers.Orthogonal)


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


def two_uniforms(bound):
    """The law of the sum of two draws: torch has two biases where Keras has one."""
    return stats.triang(0.5, -2 * bound, 4 * bound)


TORCH = {
    "Linear": (lambda: layers.Dense(30), (60,), [uniform(60**-0.5)] * 2),
    "Conv1d": (lambda: layers.Conv1D(30, 4, strides=2), (9, 20), [uniform(80**-0.5)] * 2),
    "Conv2d": (lambda: layers.Conv2D(40, 3, groups=2), (9, 9, 20), [uniform(90**-0.5)] * 2),
    "depthwise": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        (9, 9, 40),
        [uniform(9**-0.5)] * 2,
    ),
    # torch counts the fan of a transposed convolution over its outputs.
    "ConvTranspose2d": (
        lambda: layers.Conv2DTranspose(40, 3, strides=2),
        (9, 9, 10),
        [uniform(360**-0.5)] * 2,
    ),
    "Embedding": (lambda: layers.Embedding(60, 20), (3,), [stats.norm()]),
    "RNN": (lambda: layers.SimpleRNN(25), (3, 40), [uniform(1 / 5)] * 2 + [two_uniforms(1 / 5)]),
    "LSTM": (lambda: layers.LSTM(25), (3, 40), [uniform(1 / 5)] * 2 + [two_uniforms(1 / 5)]),
    "GRU": (lambda: layers.GRU(25), (3, 40), [uniform(1 / 5)] * 3),
    "ConvLSTM": (
        lambda: layers.ConvLSTM1D(20, 3),
        (3, 9, 30),
        [uniform(90**-0.5), uniform(60**-0.5), uniform(90**-0.5)],
    ),
    "MultiheadAttention": (
        lambda: layers.MultiHeadAttention(4, 10),
        (3, 40),
        [uniform((6 / 160) ** 0.5), None] * 3 + [uniform(40**-0.5), None],
    ),
}


def torch_model(name):
    build, shape, laws = TORCH[name]
    layer = build()
    dtype = "int32" if isinstance(layer, layers.Embedding) else "float32"
    inputs = keras.Input(shape, dtype=dtype)
    is_attention = isinstance(layer, layers.MultiHeadAttention)
    model = keras.Model(inputs, layer(inputs, inputs) if is_attention else layer(inputs))
    keras_winit.initialize(model, "pytorch", seed=1)
    return [to_numpy(variable).ravel() for variable in model.weights], laws


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_draws_with_the_laws_of_torch(name):
    for values, law in zip(*torch_model(name), strict=True):
        if law is None:
            np.testing.assert_array_equal(values, 0)
        else:
            assert stats.kstest(values, law.cdf).pvalue > 1e-3
            tolerance = 4 * math.sqrt((law.stats("k") + 2) / values.size)
            assert np.mean(values**2) == pytest.approx(law.var(), rel=tolerance)


def test_pytorch_leaves_what_torch_has_in_common_with_keras():
    inputs = keras.Input((4, 6))
    x = layers.LayerNormalization()(layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, layers.PReLU(shared_axes=[1])(x))
    before = values_of(model)
    keras_winit.initialize(model, "pytorch", seed=1)
    after = values_of(model)
    alpha = [path for path in after if path.endswith("alpha")]
    np.testing.assert_array_equal(after.pop(alpha[0]), 0.25)
    assert_equal(after, {path: before[path] for path in after})


if BACKEND == "torch":

    def torch_modules():
        from torch import nn

        yield "Linear", nn.Linear(60, 30), ["weight", "bias"]
        yield "Conv1d", nn.Conv1d(20, 30, 4, 2), ["weight", "bias"]
        yield "Conv2d", nn.Conv2d(20, 40, 3, groups=2), ["weight", "bias"]
        yield "depthwise", nn.Conv2d(40, 80, 3, groups=40), ["weight", "bias"]
        yield "ConvTranspose2d", nn.ConvTranspose2d(10, 40, 3, 2), ["weight", "bias"]
        yield "Embedding", nn.Embedding(60, 20), ["weight"]
        for name, module in (("RNN", nn.RNN(40, 25)), ("LSTM", nn.LSTM(40, 25))):
            yield name, module, ["weight_ih_l0", "weight_hh_l0", ("bias_ih_l0", "bias_hh_l0")]
        yield "GRU", nn.GRU(40, 25), ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"]

    def test_pytorch_draws_as_the_modules_of_torch_do():
        import torch

        torch.manual_seed(1)
        for name, module, parameters in torch_modules():
            named = {each: value.detach().numpy() for each, value in module.named_parameters()}
            expected = [
                named[each] if isinstance(each, str) else named[each[0]] + named[each[1]]
                for each in parameters
            ]
            for values, theirs in zip(torch_model(name)[0], expected, strict=True):
                assert_same_law(values, theirs, name)

    def test_pytorch_draws_as_the_attention_of_torch_does():
        import torch

        torch.manual_seed(1)
        module = torch.nn.MultiheadAttention(40, 4)
        theirs = np.split(module.in_proj_weight.detach().numpy(), 3)
        theirs.append(module.out_proj.weight.detach().numpy())
        ours = torch_model("MultiheadAttention")[0][::2]
        for each, values, expected in zip("qkvo", ours, theirs, strict=True):
            assert_same_law(values, expected, each)
        assert not module.in_proj_bias.any()
        assert not module.out_proj.bias.any()


def test_suggested_is_the_default():
    first, second = small(), small()
    keras_winit.initialize(first, seed=1)
    keras_winit.initialize(second, keras_winit.suggest(second), seed=1)
    assert_equal(values_of(first), values_of(second))
    assert first.layers[1].kernel_initializer.scale == pytest.approx(0.08)


@pytest.mark.parametrize(
    "scheme", ["orthogonal", keras.initializers.Orthogonal, keras.initializers.Orthogonal()]
)
def test_an_initializer_is_given_by_name_class_or_instance(scheme):
    model = small()
    keras_winit.initialize(model, scheme, seed=1)
    kernel = to_numpy(model.layers[1].kernel)
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(12), atol=1e-5)


# What is left alone.


def test_what_is_skipped_does_not_hang_on_a_name():
    def halves(shape, dtype=None):
        return 0.5 * np.ones(shape)

    halves.__name__ = "left alone"
    result = keras_winit.initialize(small(), halves, seed=1)
    assert [row.initializer for row in result.rows].count("left alone") > 0
    assert not result.skipped


def test_frozen_layers_are_left_alone_unless_asked_for():
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(9), layers.BatchNormalization(), layers.Dense(3)]
    )
    for layer in model.layers[:2]:
        layer.trainable = False
    before = values_of(model)
    result = keras_winit.initialize(model, "he_normal", seed=1)
    assert [row.reason for row in result.skipped] == ["frozen"] * 6
    assert [row.initializer for row in result.skipped] == ["left alone"] * 6
    after = values_of(model)
    for row in result.skipped:
        np.testing.assert_array_equal(after[row.weight], before[row.weight])
    assert isinstance(model.layers[0].kernel_initializer, keras.initializers.GlorotUniform)
    result = keras_winit.initialize(model, "he_normal", seed=1, frozen=True)
    assert not result.skipped
    assert isinstance(model.layers[0].kernel_initializer, keras.initializers.HeNormal)
    assert not np.array_equal(to_numpy(model.layers[0].kernel), next(iter(before.values())))


def test_the_kernel_under_lora_is_left_alone_unless_asked_for():
    model = small()
    layer = model.layers[1]
    layer.enable_lora(2)
    before = to_numpy(layer._kernel)
    result = keras_winit.initialize(model, "he_normal", seed=1)
    assert [row.weight for row in result.skipped] == ["hidden/kernel"]
    np.testing.assert_array_equal(to_numpy(layer._kernel), before)
    keras_winit.initialize(model, "he_normal", seed=1, frozen=True)
    assert not np.array_equal(to_numpy(layer._kernel), before)


def test_quantized_weights_are_left_alone_and_measured():
    model = small()
    model.layers[1].quantize("int8")
    before = values_of(model)
    result = keras_winit.initialize(model, "he_normal", seed=1, frozen=True)
    assert {row.weight: row.reason for row in result.skipped} == {
        "hidden/kernel": "quantized to int8",
        "hidden/bias": "quantized to int8",
        "hidden/kernel_scale": "quantized to int8",
    }
    for row in result.skipped:
        np.testing.assert_array_equal(values_of(model)[row.weight], before[row.weight])
        assert row.after == pytest.approx(np.std(before[row.weight].astype("float64")), rel=1e-5)


def branched():
    inputs = keras.Input((6,))
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, name="first"), layers.Dense(4, name="second")],
        name="encoder",
    )
    x = layers.Dense(6, name="conv_1")(inputs)
    x = layers.Dense(6, name="conv_2")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(inner(x)))


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("head", {"head/kernel", "head/bias"}),
        ("head/kernel", {"head/kernel"}),
        ("conv_*", {"conv_1/kernel", "conv_1/bias", "conv_2/kernel", "conv_2/bias"}),
        (
            "*/kernel",
            {f"{name}/kernel" for name in ("conv_1", "conv_2", "head", "first", "second")},
        ),
        (["first", "conv_?/bias"], {"first/kernel", "first/bias", "conv_1/bias", "conv_2/bias"}),
        ([], set()),
    ],
)
def test_only_these_are_drawn(only, expected):
    model = branched()
    for variable in model.weights:
        variable.assign(keras.ops.full(variable.shape, 3.5))
    result = keras_winit.initialize(model, "he_normal", seed=1, only=only)
    drawn = {path for path, values in values_of(model).items() if not (values == 3.5).all()}
    assert {path.removeprefix("encoder/") for path in drawn} == expected
    assert {row.weight for row in result.rows} == drawn


def test_only_what_is_chosen_is_told():
    model = branched()
    keras_winit.initialize(model, "he_normal", seed=1, only="head")
    assert isinstance(model.get_layer("head").kernel_initializer, keras.initializers.HeNormal)
    other = model.get_layer("conv_1").kernel_initializer
    assert isinstance(other, keras.initializers.GlorotUniform)


# All or nothing.


class Failing(keras.initializers.Initializer):
    """Draws `count` matrices and then fails."""

    def __init__(self, count, error):
        self.count, self.error = count, error

    def __call__(self, shape, dtype=None):
        self.count -= 1
        if self.count >= 0:
            return keras.ops.full(shape, 7.0, dtype=dtype)
        if isinstance(self.error, BaseException):
            raise self.error
        return keras.ops.zeros(self.error)

    def clone(self):
        return self


def attributes(model):
    """Returns every initializer that is an attribute of a layer."""
    return [
        (layer.name, name, value)
        for layer in _network.walk(model)
        for name, value in sorted(vars(layer).items())
        if name.endswith("_initializer")
    ]


def mixed(dtype):
    inputs = keras.Input((3, 6), dtype=dtype)
    x = layers.MultiHeadAttention(2, 4, dtype=dtype)(inputs, inputs)
    x = layers.LSTM(5, recurrent_initializer="glorot_uniform", dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(3, dtype=dtype, name="head")(x))


# Four kernels of attention, four gates twice, the head.
NUM_MATRICES = 13


@pytest.mark.parametrize("count", [0, 1, 4, 6, NUM_MATRICES - 1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_keeps_everything_if_a_draw_fails(count, dtype):
    model = mixed(dtype)
    before, told = values_of(model), attributes(model)
    errors = {RuntimeError("out of luck"): "out of luck", KeyboardInterrupt("stop"): "stop"}
    errors[(5, 5, 5)] = r"Layer '.*, .*kernel of shape .*, with Failing.*of shape \(5, 5, 5\)"
    for error, message in errors.items():
        kind = type(error) if isinstance(error, BaseException) else ValueError
        with pytest.raises(kind, match=message):
            keras_winit.initialize(model, Failing(count, error), seed=1)
        assert_equal(values_of(model), before)
        assert attributes(model) == told
    keras_winit.initialize(model, Failing(NUM_MATRICES, None), seed=1)
    assert (to_numpy(model.get_layer("head").kernel) == 7).all()


def test_a_weight_that_does_not_take_its_values_is_noticed(monkeypatch):
    model = small()
    before, told = values_of(model), attributes(model)
    monkeypatch.setattr(model.get_layer("head").kernel, "assign", lambda values: None)
    with pytest.raises(RuntimeError, match="'head/kernel' did not take the values"):
        keras_winit.initialize(model, "he_normal", seed=1)
    assert_equal(values_of(model), before)
    assert attributes(model) == told


def test_values_that_are_not_finite_are_refused():
    model = small()
    before = values_of(model)
    message = r"Layer 'hidden' \(Dense\), kernel of shape \(12, 48\), with .*not all finite"
    with pytest.raises(ValueError, match=message):
        keras_winit.initialize(model, lambda shape, dtype: np.full(shape, np.nan), seed=1)
    assert_equal(values_of(model), before)


# The config tells the truth.


def every_kernel():
    inputs = keras.Input((10, 10, 20))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(inputs)
    x = layers.Conv2DTranspose(16, 4, strides=2)(x)
    x = layers.SeparableConv2D(24, 3, strides=2)(x)
    x = layers.Conv2D(24, 3, strides=2, groups=2, padding="same")(x)
    x = layers.Reshape((16, 24))(x)
    x = layers.MultiHeadAttention(4, 12)(x, x)
    x = layers.GroupQueryAttention(12, 4, 2)(x, x)
    x = layers.Bidirectional(layers.LSTM(20))(x)
    return keras.Model(inputs, layers.Dense(60)(x))


# What the config of a layer has no words for: gates that are orthogonal each, a forget gate that
# is not open, and kernels of attention that are not alike.
UNSPOKEN = {
    "suggested": r".*/recurrent_kernel",
    "pytorch": r".*lstm_cell/bias|.*_attention.*/kernel",
}


@pytest.mark.parametrize("scheme", ["glorot_uniform", "he_normal", "suggested", "pytorch"])
def test_a_model_built_from_the_config_has_the_law_that_was_drawn(scheme):
    keras.utils.set_random_seed(1)
    model = every_kernel()
    keras_winit.initialize(model, scheme, seed=1)
    rebuilt = keras.Model.from_config(model.get_config())
    for (path, values), other in zip(
        values_of(model).items(), values_of(rebuilt).values(), strict=True
    ):
        if not re.fullmatch(UNSPOKEN.get(scheme, ""), path):
            assert_same_law(values, other, path)


def test_attention_built_from_the_config_is_orthogonal():
    inputs = keras.Input((5, 24))
    x = layers.MultiHeadAttention(3, 4, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.GroupQueryAttention(4, 4, 2, name="grouped")(x, x))
    keras_winit.initialize(model, "orthogonal", seed=1)
    rebuilt = keras.Model.from_config(model.get_config())
    kernels = [to_numpy(each) for each in rebuilt.weights if each.name == "kernel"]
    assert len(kernels) == 8
    for kernel in kernels:
        matrix = kernel.reshape(24, -1) if len(kernel) == 24 else kernel.reshape(-1, 24)
        np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, atol=1e-5)


@pytest.mark.parametrize("scheme", ["suggested", "pytorch", "orthogonal", "identity"])
def test_a_saved_model_loads_with_its_weights_and_initializers(scheme, tmp_path):
    inputs = keras.Input((8, 8, 4))
    x = layers.DepthwiseConv2D(3)(inputs)
    x = layers.Conv2DTranspose(6, 3, strides=2)(x)
    x = layers.Conv2D(4, 3, groups=2, activation="relu")(x)
    model = keras.Model(inputs, layers.LSTM(5)(layers.Reshape((121, 4))(x)))
    keras_winit.initialize(model, scheme, seed=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(values_of(model), values_of(loaded))
    expected, told = attributes(model), attributes(loaded)
    assert len(expected) == len(told) > 6
    for (*place, first), (*same_place, second) in zip(expected, told, strict=True):
        assert place == same_place
        assert keras.initializers.serialize(first) == keras.initializers.serialize(second)
    # What Keras can express is saved as Keras's own; not the memory of an LSTM.
    changed = keras_winit.strip_initializers(loaded)
    assert bool(changed)
    if scheme == "suggested":
        assert changed == [
            "lstm_cell.kernel_initializer: PerGate -> VarianceScaling",
            "lstm_cell.recurrent_initializer: PerGate -> VarianceScaling",
            "lstm_cell.bias_initializer: ChronoBias -> Zeros",
        ]
    assert "keras_winit>" not in json.dumps(loaded.get_config(), default=str)


# The result.


def test_the_result_prints_as_a_table():
    model = small("net")
    model.layers[1].trainable = False
    for variable in model.weights:
        variable.assign(keras.ops.full(variable.shape, 0.5))
    result = keras_winit.initialize(model, initializers.Orthogonal(3.0), seed=7)
    spread = f"{result.rows[2].after:.4g}"
    header, line, *rows = [re.split("  +", text) for text in repr(result).splitlines()[1:]]
    assert repr(result).startswith("Model 'net', initialized with seed 7\n")
    assert header == [
        *("weight", "shape", "fan in", "fan out", "drawn with", "std before", "std", "why")
    ]
    assert set("".join(line)) == {"-"}
    assert rows == [
        ["hidden/kernel", "(12, 48)", "12", "48", "left alone", "0", "0", "frozen"],
        ["hidden/bias", "(48,)", "-", "-", "left alone", "0", "0", "frozen"],
        ["head/kernel", "(48, 3)", "48", "3", "Orthogonal(gain=3)", "0", spread, "asked for"],
        ["head/bias", "(3,)", "-", "-", "Zeros()", "0", "0", "what their layer gives them"],
    ]
    assert result.model == "net"
    assert result.seed == 7
    assert [row.weight for row in result.skipped] == ["hidden/kernel", "hidden/bias"]


def test_rows_hold_the_fans_and_the_spread_before_and_after():
    model = branched()
    before = values_of(model)
    result = keras_winit.initialize(model, "he_uniform", seed=1)
    after = values_of(model)
    for row in result.rows:
        assert row.before == pytest.approx(np.std(before[row.weight].astype("float64")), rel=1e-5)
        assert row.after == pytest.approx(np.std(after[row.weight].astype("float64")), rel=1e-5)
        assert row.shape == before[row.weight].shape
        fans = row.shape if len(row.shape) == 2 else (None, None)
        assert (row.fan_in, row.fan_out) == fans


def test_the_table_in_a_notebook_escapes_what_it_shows():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="<b>&")], name="<script>alert(1)"
    )
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1)
    with pytest.warns(UserWarning, match="keeps its state"):
        result = keras_winit.initialize(model, seed=1)
    page = result._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert html.escape("<b>&") in page
    assert page.count("<tr>") == 3
    assert result.notes[0] in html.unescape(page)


# Bad input.


def test_an_unbuilt_model_is_refused():
    message = r"should be built. Received: model='net', whose layer 'first' is not.*keras.Input"
    with pytest.raises(ValueError, match=message):
        keras_winit.initialize(keras.Sequential([layers.Dense(3, name="first")], name="net"))
    with pytest.raises(ValueError, match="model='none', which has no weights"):
        keras_winit.initialize(keras.Sequential([keras.Input((3,)), layers.ReLU()], name="none"))


@pytest.mark.parametrize("model", [None, "model.keras", layers.Dense])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match="`model` should be a Keras model. Received: model="):
        keras_winit.initialize(model)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"scheme": "sugested"}, ValueError, "scheme='sugested'. Did you mean 'suggested'?"),
        ({"scheme": "py_torch"}, ValueError, "scheme='py_torch'. Did you mean 'pytorch'?"),
        ({"scheme": "he_norml"}, ValueError, "scheme='he_norml'. Did you mean 'he_normal'?"),
        ({"scheme": "delta"}, ValueError, "`scheme` should be a scheme or an initializer"),
        ({"scheme": 3}, TypeError, "`scheme` should be a scheme or an initializer, by name, class"),
        ({"seed": 1.5}, TypeError, "`seed` should be an integer. Received: seed=1.5"),
        ({"seed": True}, TypeError, "`seed` should be an integer. Received: seed=True"),
        ({"only": "haed"}, ValueError, "only='haed'. Did you mean 'head'?"),
        ({"only": ["head", "x"]}, ValueError, "`only` should be the name, path or pattern"),
        ({"only": 3}, TypeError, "or a list of them. Received: only=3"),
        ({"only": [3]}, TypeError, "or a list of them. Received: only=[3]"),
        ({"scheme": "gpt2"}, ValueError, 'no residual branch was found in the model. Use "sugg'),
    ],
)
def test_bad_arguments_are_refused_and_change_nothing(arguments, kind, message):
    model = small()
    before = values_of(model)
    with pytest.raises(kind, match=re.escape(message)):
        keras_winit.initialize(model, **arguments)
    assert_equal(values_of(model), before)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("identity", r"Layer 'table' \(Embedding\), embeddings of shape \(9, 4\), with Identity"),
        ("delta_orthogonal", r"Layer 'last' \(Dense\), kernel of shape \(4, 3\), with DeltaOrth"),
        (initializers.Sparse(connections=9), r"Layer 'table' \(Embedding\).* with Sparse\("),
    ],
)
def test_a_scheme_that_does_not_fit_names_the_weight_and_the_remedy(scheme, message):
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, name="table"),
            layers.Conv1D(4, 3, name="convolution"),
            layers.Dense(3, name="last"),
        ]
    )
    if scheme == "delta_orthogonal":
        scheme = keras_winit.suggest(model)
        scheme["convolution"] = scheme["last"] = "delta_orthogonal"
    before, told = values_of(model), attributes(model)
    with pytest.raises(ValueError, match=message + ".*Leave it out with `only`"):
        keras_winit.initialize(model, scheme, seed=1)
    assert_equal(values_of(model), before)
    assert attributes(model) == told


@pytest.mark.parametrize("by", ["scheme", "plan", "reset", "gates"])
def test_an_identity_keeps_its_gain(by, tmp_path):
    identity = keras.initializers.Identity(0.5)
    arguments = {"kernel_initializer": identity} if by == "reset" else {}
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="last", **arguments)])
    scheme = {"reset": "own", "scheme": identity, "gates": initializers.PerGate(identity, 1)}
    if by == "plan":
        scheme["plan"] = keras_winit.suggest(model)
        scheme["plan"]["last"] = identity
    result = keras_winit.initialize(model, scheme[by])
    assert by == "gates" or result.rows[0].initializer == "Identity(gain=0.5)"
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded, keras.models.clone_model(loaded)):
        kernel = keras.ops.convert_to_numpy(each.layers[-1].kernel)
        np.testing.assert_array_equal(kernel, 0.5 * np.eye(4, 3))


NAN, INFINITY = float("nan"), float("inf")
OF_KERAS = {
    "`stddev` should not be negative. Received: stddev=-1": [
        keras.initializers.RandomNormal(stddev=-1),
        keras.initializers.TruncatedNormal(stddev=-1),
    ],
    "`stddev` should be finite. Received: stddev=nan": [
        keras.initializers.RandomNormal(stddev=NAN),
        keras.initializers.TruncatedNormal(stddev=NAN),
    ],
    "`mean` should be finite. Received: mean=inf": [
        keras.initializers.RandomNormal(INFINITY),
        keras.initializers.TruncatedNormal(INFINITY),
    ],
    "`stddev` should be a number. Received: stddev='0.1'": [
        keras.initializers.RandomNormal(stddev="0.1")
    ],
    "`minval` should not be above `maxval`. Received: minval=1, maxval=-1": [
        keras.initializers.RandomUniform(1, -1)
    ],
    "`maxval` should be finite. Received: maxval=inf": [
        keras.initializers.RandomUniform(0, INFINITY)
    ],
    "`value` should be finite. Received: value=nan": [keras.initializers.Constant(NAN)],
    "`value` should be finite. Received: value=1e+300": [keras.initializers.Constant(1e300)],
    "`scale` should be a positive finite number. Received: scale=nan": [
        keras.initializers.VarianceScaling(NAN)
    ],
    "`gain` should be a positive finite number. Received: gain=nan": [
        keras.initializers.Orthogonal(NAN)
    ],
    "`gain` should be a finite number. Received: gain=nan": [keras.initializers.Identity(NAN)],
}


@pytest.mark.parametrize("message", OF_KERAS)
def test_what_keras_does_not_check_names_the_weight_and_the_argument(message):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="last")])
    before, told = values_of(model), attributes(model)
    expected = rf"Layer 'last' \(Dense\), kernel of shape \(4, 3\), with .*{re.escape(message)}"
    for initializer in OF_KERAS[message]:
        with pytest.raises((ValueError, TypeError), match=expected):
            keras_winit.initialize(model, initializer)
    assert_equal(values_of(model), before)
    assert attributes(model) == told


def test_what_keras_draws_at_the_edge_is_drawn():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    kernel = model.layers[0].kernel
    for initializer, value in (
        (keras.initializers.RandomNormal(2.0, stddev=0), 2.0),
        (keras.initializers.TruncatedNormal(2.0, stddev=0.0), 2.0),
        (keras.initializers.RandomUniform(2, 2), 2.0),
        (keras.initializers.Constant(np.full(3, 2)), 2.0),
        (keras.initializers.RandomNormal(np.float32(2), np.array(0.0)), 2.0),
    ):
        keras_winit.initialize(model, initializer)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), np.full((4, 3), value))


# Memory and devices.


def in_new_process(function):
    """Runs a function of this module where no backend has started yet."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
        return executor.submit(function).result()


def resident(name):
    """Returns the memory of this process in bytes, or the most it has been."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024


def measure_memory():
    """Returns how much more memory than the model itself its initialization takes."""
    model = keras.Sequential(
        [keras.Input((3000,)), *(layers.Dense(units) for units in (1000, 4000, 3000))]
    )
    peaks = []
    for seed in range(4):  # what else goes on in the process only adds to a peak
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        keras_winit.initialize(model, "he_normal", seed=seed)
        peaks.append(resident("VmHWM") - before)
    return min(peaks[1:])


if sys.platform == "linux":

    def test_memory_stays_under_the_model_and_its_largest_weight_once_more(monkeypatch):
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")  # what is freed is given back
        blocks = 8 * 2**20  # of numbers being drawn, however large the weights
        assert in_new_process(measure_memory) < 4000 * 3000 * 4 + blocks


def residual():
    inputs = keras.Input((16,))
    x = layers.Dense(32, "relu", name="wide")(inputs)
    x = layers.BatchNormalization(name="normalization")(x)
    return keras.Model(inputs, layers.Dense(16, name="narrow")(x))


if BACKEND == "jax":

    def check_model_parallel():
        import jax

        assert jax.device_count() == 8
        expected = residual()
        keras_winit.initialize(expected, seed=1)
        mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"))
        layout = keras.distribution.LayoutMap(mesh)
        layout["wide/kernel"] = (None, "model")
        layout["wide/bias"] = ("model",)
        with keras.distribution.ModelParallel(layout_map=layout).scope():
            model = residual()
            before = [variable.value.sharding for variable in model.weights]
            keras_winit.initialize(model, seed=1)
        assert [variable.value.sharding for variable in model.weights] == before
        shards = model.get_layer("wide").kernel.value.addressable_shards
        assert {shard.data.shape for shard in shards} == {(16, 8)}
        assert_equal(values_of(model), values_of(expected))

    def test_shards_stay_where_they_are(monkeypatch):
        monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
        in_new_process(check_model_parallel)


if BACKEND == "tensorflow":

    def check_mirrored_strategy():
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        device = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(processor, [device, device])
        expected = residual()
        keras_winit.initialize(expected, seed=1)
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            model = residual()
        keras_winit.initialize(model, seed=1)
        for variable, other in zip(model.weights, expected.weights, strict=True):
            assert len(variable.value.values) == 2
            for replica in variable.value.values:
                np.testing.assert_array_equal(replica.numpy(), to_numpy(other))

    def test_replicas_of_a_mirrored_strategy_stay_equal():
        in_new_process(check_mirrored_strategy)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({scheme: fingerprints(scheme) for scheme in SCHEMES}, indent=0))


# What has no values, and what is not real.


class Nothing(layers.Layer):
    """Adds weights of which some have no values."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 0))
        self.bias = self.add_weight(name="bias", shape=(0,), initializer="zeros")

    def call(self, x):
        return keras.ops.concatenate([x, keras.ops.matmul(x, self.kernel) + self.bias], axis=-1)


def with_nothing():
    """Returns a model with a Dense layer of no inputs, and a custom layer of no outputs."""
    inputs, nothing = keras.Input((6,)), keras.Input((0,))
    x = Nothing()(layers.Dense(4, "relu")(inputs))
    x = layers.Concatenate()([x, layers.Dense(3, name="of_nothing")(nothing)])
    return keras.Model([inputs, nothing], layers.Dense(2, name="head")(x))


@pytest.mark.parametrize("scheme", ["suggested", "own", "keras", "pytorch", "critical", "sparse"])
def test_weights_without_values_are_listed_and_the_rest_is_drawn(scheme):
    model = with_nothing()
    before = to_numpy(model.get_layer("head").kernel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `"own"`, on what is not reset
        result = keras_winit.initialize(model, scheme, seed=1)
    rows = {row.weight: row for row in result.rows}
    (kernel,) = [row for path, row in rows.items() if path.endswith("of_nothing/kernel")]
    assert (kernel.before, kernel.after, kernel.reason) == (None, None, "it has no values")
    assert kernel.initializer == "left alone"
    assert sum(0 in row.shape for row in rows.values()) == 3
    assert not np.array_equal(to_numpy(model.get_layer("head").kernel), before)
    assert "nan" not in repr(result)


def test_weights_without_values_stop_no_other_verb():
    model = with_nothing()
    assert keras_winit.calibrate(model).layers
    assert keras_winit.diagnose(model).layers
    assert "it has no values" in repr(keras_winit.suggest(model))


class Imaginary(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.cast(keras.ops.ones(shape), "complex64")


def test_complex_values_are_refused():
    model = small()
    before = values_of(model)
    message = r"Layer 'hidden' \(Dense\), kernel of shape \(12, 48\).*real numbers.*complex64"
    with pytest.raises(ValueError, match=message):
        keras_winit.initialize(model, Imaginary(), seed=1)
    assert_equal(values_of(model), before)


def test_weights_of_unknown_layers_are_said_to_be_left_alone_only_if_they_are():
    class Frequencies(layers.Layer):
        def build(self, shape):
            self.frequencies = self.add_weight((shape[-1],), "random_normal", name="frequencies")

        def call(self, x):
            return keras.ops.sin(x * self.frequencies)

    class Mixer(Frequencies):
        def build(self, shape):
            self.frequencies = self.add_weight((shape[-1], 5), name="mix")

        def call(self, x):
            return x @ self.frequencies

    model = keras.Sequential([keras.Input((6,)), Frequencies(), Mixer(), layers.Dense(2)])
    notes = " ".join(keras_winit.initialize(model, seed=1).notes)
    assert "Left alone, since their kernels are not known: Mixer (1)" in notes
    assert "Frequencies" not in notes
