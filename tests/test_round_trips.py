"""What `initialize` writes loads again: every scheme and class, in every layer kind and type.

A model holds many layer kinds and is saved once for each type and scheme. A `.keras` file is read
back, which is made of the JSON config and a `.weights.h5`: so the layers are built anew from what
was told to them, before they get their weights. Models that the legacy `.h5` can hold are below.
"""

import functools

import keras
import numpy as np
import pytest
from models import CATALOGUE, CONVOLUTIONAL, away_from_default

import keras_winit
from keras_winit import initializers

layers = keras.layers

DTYPES = ("float32", "bfloat16", "float16", "mixed_bfloat16")


@keras.saving.register_keras_serializable("test_round_trips")
class Shelf(keras.Model):
    """Built layers side by side, which are never called: that would take most of the time."""

    def __init__(self, kinds, **arguments):
        super().__init__(**arguments)
        self.kinds = kinds
        self.built = True

    def get_config(self):
        kinds = [keras.saving.serialize_keras_object(kind) for kind in self.kinds]
        return {**super().get_config(), "kinds": kinds}

    @classmethod
    def from_config(cls, config):
        kinds = [keras.saving.deserialize_keras_object(kind) for kind in config.pop("kinds")]
        return cls(kinds, **config)


# Most kernels are of the same few shapes, since JAX compiles the draws of Keras for each.
# Name -> (layer, shape of its input).
KERNELS = {
    "Dense": (lambda: layers.Dense(8, "relu"), (6,)),
    "EinsumDense": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 6, 8), bias_axes="de"),
        (3, 4),
    ),
    "Conv1D": (lambda: layers.Conv1D(8, 3, strides=2), (9, 6)),
    "Conv1D, grouped": (lambda: layers.Conv1D(8, 3, groups=2), (9, 12)),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3, depth_multiplier=8), (9, 6)),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(8, 3, depth_multiplier=8), (9, 6)),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(6, 3, strides=2), (9, 8)),
    "Embedding": (lambda: layers.Embedding(6, 8), (3,)),
    "SimpleRNN": (lambda: layers.SimpleRNN(8), (3, 6)),
    "GRU": (lambda: layers.GRU(4), (3, 6)),
    "LSTM": (lambda: layers.LSTM(2), (3, 6)),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 3), (3, 9, 6)),
    "RNN of cells": (lambda: layers.RNN([layers.LSTMCell(2), layers.GRUCell(4)]), (3, 6)),
    "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(2)), (3, 6)),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(8)), (3, 6)),
    "MultiHeadAttention": (lambda: layers.MultiHeadAttention(2, 4), (3, 8)),
}
# Other ranks of these, and layers that only the schemes give something.
OTHERS = {
    "Conv2D": (lambda: layers.Conv2D(8, (3, 2)), (9, 9, 6)),
    "Conv3D": (lambda: layers.Conv3D(8, 2), (5, 5, 5, 6)),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D((3, 2), depth_multiplier=8), (9, 9, 6)),
    "SeparableConv2D": (
        lambda: layers.SeparableConv2D(8, (3, 2), depth_multiplier=8),
        (9, 9, 6),
    ),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(6, (3, 2)), (9, 9, 8)),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(6, 2), (5, 5, 5, 8)),
    "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, (3, 2)), (3, 9, 9, 6)),
    "ReversibleEmbedding": (lambda: layers.ReversibleEmbedding(6, 8, tie_weights=False), (3,)),
    "GroupQueryAttention": (lambda: layers.GroupQueryAttention(4, 2, 1), (3, 8)),
    "SpectralNormalization": (lambda: layers.SpectralNormalization(layers.Dense(8)), (6,)),
    "BatchNormalization": (lambda: layers.BatchNormalization(), (6,)),
    "LayerNormalization": (lambda: layers.LayerNormalization(), (6,)),
    "GroupNormalization": (lambda: layers.GroupNormalization(2), (6,)),
    "RMSNormalization": (lambda: layers.RMSNormalization(), (6,)),
    "PReLU": (lambda: layers.PReLU(), (6,)),
}


def shelf(kinds, dtype):
    """Returns a model of these layers, built as a user would build them in that type."""
    keras.config.set_dtype_policy(dtype)
    try:
        built = []
        for make, shape in kinds.values():
            layer = keras_winit.suggest_initializer(make)()
            shapes = (None, *shape), (None, *shape)
            layer.build(*shapes[: 2 if "Attention" in type(layer).__name__ else 1])
            built.append(layer)
        return Shelf(built)
    finally:
        keras.config.set_dtype_policy("float32")


@functools.cache
def kernels(dtype):
    return shelf(KERNELS, dtype)


@functools.cache
def everything(dtype):
    return shelf({**KERNELS, **OTHERS}, dtype)


def assert_loads(model, path):
    """Asserts that the model in a file is that which was saved."""
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.to_json() == model.to_json()
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        assert ours.dtype == theirs.dtype
        ours, theirs = map(keras.ops.convert_to_numpy, (ours, theirs))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "scheme", ["suggested", "own", "keras", "pytorch", "critical", "mimetic", "orthogonal"]
)
def test_every_layer_kind_loads_under_every_scheme(scheme, dtype, tmp_path):
    model = everything(dtype)
    keras_winit.initialize(model, scheme, seed=1)
    assert_loads(model, tmp_path / "model.keras")


# What `initialize` refuses, and says why.
WITHOUT_TAPS = set(KERNELS) - {name for name in KERNELS if "Conv" in name}
REFUSED = {
    **{cls: WITHOUT_TAPS for cls in CONVOLUTIONAL},
    # Each row of an embedding has one input. They make two cancel, or choose among them.
    initializers.ActivationScaling: {"Embedding"},
    initializers.Sparse: {"Embedding"},
    initializers.Identity: {"Embedding"},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cls", CATALOGUE)
def test_every_class_loads_in_every_layer_kind_that_takes_it(cls, dtype, tmp_path):
    model = kernels(dtype)
    initializer = cls(**away_from_default(cls, axes=False))
    plan, fits = keras_winit.suggest(model), []
    for name, layer in zip(KERNELS, model.kinds, strict=True):
        plan[layer.name] = initializer
        if name not in REFUSED.get(cls, ()):
            fits.append(layer.name)
        else:
            with pytest.raises(ValueError, match=rf"Layer '.*, with {cls.__name__}\("):
                keras_winit.initialize(model, plan, only=layer.name)
    result = keras_winit.initialize(model, plan, only=fits, seed=1)
    assert len(fits) >= 6
    assert sum(row.initializer.startswith(f"{cls.__name__}(") for row in result.rows) >= len(fits)
    assert_loads(model, tmp_path / "model.keras")


# Biases, by a plan, and identities of Keras, which do not suit embeddings.
@pytest.mark.parametrize("dtype", DTYPES)
def test_biases_and_identities_load(dtype, tmp_path):
    model = kernels(dtype)
    plan = keras_winit.suggest(model)
    layer = dict(zip(KERNELS, model.kinds, strict=True))
    for name in KERNELS:
        if name != "Embedding":
            plan[layer[name].name] = keras.initializers.Identity(0.5)
    plan[layer["Dense"].bias.path] = initializers.ClassPrior([0.25] + 7 * [0.1])
    plan[layer["Conv1D"].bias.path] = initializers.FourierPhases()
    for name in ("LSTM", "GRU", "ConvLSTM1D"):
        plan[layer[name].cell.bias.path] = initializers.ChronoBias()
    keras_winit.initialize(model, plan, seed=1)
    assert "keras_winit>Identity" in model.to_json()
    assert_loads(model, tmp_path / "model.keras")


@functools.cache
def residual(dtype):
    """A model with branches, which the legacy format can hold too."""
    keras.config.set_dtype_policy(dtype)
    wrap = keras_winit.suggest_initializer
    try:
        inputs = keras.Input((9, 6))
        x = layers.Conv1D(8, 3, padding="same", activation="relu")(inputs)
        for _ in range(2):
            branch = layers.Conv1D(6, 3, padding="same", activation="relu")(x)
            x = layers.Add()([x, layers.Conv1D(8, 3, padding="same")(branch)])
        x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
        x = wrap(lambda: layers.Bidirectional(layers.LSTM(2, return_sequences=True)))()(x)
        x = wrap(layers.GRU)(4)(x)
        return keras.Model(inputs, layers.Dense(12)(x))
    finally:
        keras.config.set_dtype_policy("float32")


# The legacy format has no bfloat16: what Keras itself writes there it reads on no backend.
FORMATS = {"float32": ".h5", "bfloat16": ".keras", "float16": ".h5", "mixed_bfloat16": ".h5"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scheme", ["suggested", "fixup", "zero_last", "gpt2", "orthogonal"])
def test_every_scheme_for_branches_loads(scheme, dtype, tmp_path):
    model = residual(dtype)
    keras_winit.initialize(model, scheme, seed=1)
    assert_loads(model, tmp_path / f"model{FORMATS[dtype]}")


def test_what_keras_cannot_load_at_all(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="bfloat16")])
    model.save(tmp_path / "model.h5")
    with pytest.raises((TypeError, ValueError)):
        keras.saving.load_model(tmp_path / "model.h5")
