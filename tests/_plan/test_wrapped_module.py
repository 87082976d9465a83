"""What `suggest_initializer` returns for a module is a module."""

import copy
import json
import pickle
import rlcompleter
import types

import keras
import numpy as np
import pytest

import keras_winit

suggest = keras_winit.suggest_initializer
layers = suggest(keras.layers)

WRAPPED = {
    *("Dense", "EinsumDense", "Embedding", "ReversibleEmbedding"),
    *("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention"),
    *(f"Conv{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose")),
    *(f"Convolution{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose")),
    *(f"{kind}Conv{rank}D" for rank in (1, 2) for kind in ("Depthwise", "Separable")),
    *("SeparableConvolution1D", "SeparableConvolution2D", "DepthwiseConvolution1D"),
    *("DepthwiseConvolution2D", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    *(f"{kind}{cell}" for kind in ("SimpleRNN", "GRU", "LSTM") for cell in ("", "Cell")),
}


def public(module):
    return {name for name in dir(module) if not name.startswith("_")}


def test_it_has_all_that_the_module_has():
    assert isinstance(layers, types.ModuleType)
    assert dir(layers) == sorted(dir(keras.layers))
    for name in ("__name__", "__doc__", "__package__", "__spec__", "__path__"):
        assert getattr(layers, name) == getattr(keras.layers, name)
    assert repr(layers) == f"suggest_initializer({keras.layers!r})"
    completed = []
    complete = rlcompleter.Completer({"layers": layers}).complete
    while match := complete("layers.Conv2", len(completed)):
        completed.append(match.rstrip("()"))
    assert completed == ["layers.Conv2D", "layers.Conv2DTranspose"]


def test_layers_with_kernels_are_wrapped_and_all_else_is_passed_through():
    changed = {n for n in public(layers) if getattr(layers, n) is not getattr(keras.layers, n)}
    assert changed == WRAPPED & public(keras.layers)
    for name in changed:
        assert issubclass(getattr(layers, name), getattr(keras.layers, name))


def test_layers_are_those_of_keras_with_what_their_activation_needs():
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(5, "selu"),
            layers.Dense(2),
        ]
    )
    names = [type(each.kernel_initializer).__name__ for each in model.layers if each.weights]
    assert names == ["HeNormal", "LecunNormal", "GlorotUniform"]
    assert all(type(each).__module__.startswith("keras.") for each in model.layers)
    again = pickle.loads(pickle.dumps(model))
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())
    assert type(keras.layers.Dense(3, "relu").kernel_initializer).__name__ == "GlorotUniform"


def test_what_was_passed_is_kept_inside_of_layers_that_are_not_wrapped():
    inner = layers.Dense(3, "relu", kernel_initializer="glorot_uniform")
    layer = layers.TimeDistributed(inner)
    assert layer.layer is inner
    assert type(inner.kernel_initializer).__name__ == "GlorotUniform"
    both = layers.Bidirectional(layers.SimpleRNN(4, activation="relu"))
    assert type(both.backward_layer.cell.kernel_initializer).__name__ == "HeNormal"


def test_a_class_is_the_same_whenever_it_is_asked_for():
    assert layers.Dense is layers.Dense
    assert layers.Dense is suggest(keras.layers.Dense)
    seeded = suggest(keras.layers, seed=1)
    assert seeded.Dense is seeded.Dense
    assert seeded.Convolution2D is seeded.Conv2D
    assert suggest(layers) is layers
    assert suggest(seeded) is seeded
    assert suggest(layers, seed=2).Dense is not layers.Dense


@pytest.mark.parametrize(
    ("name", "meant"), [("Desne", "Dense"), ("conv2d", "Conv2D"), ("lstm", "LSTM"), ("Q", None)]
)
def test_an_unknown_name_is_told_with_what_was_meant(name, meant):
    with pytest.raises(AttributeError) as caught:
        getattr(layers, name)
    message = f"Module 'keras.layers' has no attribute {name!r}."
    assert str(caught.value) == message + (f" Did you mean {meant!r}?" if meant else "")
    assert not hasattr(layers, name)


def test_setting_a_name_does_not_change_keras():
    mine = suggest(keras.layers)
    mine.Dense = mine.extra = "mine"
    assert mine.Dense == mine.extra == "mine"
    assert "extra" in dir(mine)
    assert isinstance(keras.layers.Dense, type)
    assert not hasattr(keras.layers, "extra")


def test_modules_inside_of_a_module_are_wrapped_as_well():
    wrapped = suggest(keras)
    assert type(wrapped.layers.Dense(3, "relu").kernel_initializer).__name__ == "HeNormal"
    assert wrapped.layers is wrapped.layers
    assert wrapped.Model is keras.Model
    assert wrapped.Layer is keras.Layer


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_it_is_copied_and_pickled_by_name(again):
    assert again(layers).Dense is layers.Dense
    first, second = (again(suggest(keras.layers, seed=4)).Dense(3) for _ in range(2))
    assert first.kernel_initializer.get_config() == second.kernel_initializer.get_config()


# A module of the user's.


class Doubled(keras.layers.Dense):
    def __init__(self, units, **kwargs):
        super().__init__(2 * units, "relu", **kwargs)


class Told(keras.layers.Layer):
    def __init__(self, units, activation="relu", kernel_initializer="glorot_uniform"):
        super().__init__()
        self.inner = keras.layers.Dense(units, activation, kernel_initializer=kernel_initializer)


class Block(keras.layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.inner = keras.layers.Dense(units, "relu")


def block(units):
    return keras.layers.Dense(units, "relu")


def test_a_module_of_the_user():
    module = types.ModuleType("mine")
    vars(module).update(
        Doubled=Doubled, Told=Told, Block=Block, block=block, np=np, size=3, keras=keras
    )
    mine = suggest(module)
    assert type(mine.Doubled(3).kernel_initializer).__name__ == "HeNormal"
    assert mine.Doubled(3).units == 6
    assert type(mine.Told(3).inner.kernel_initializer).__name__ == "HeNormal"
    for name in ("Block", "block", "np", "size", "keras"):
        assert getattr(mine, name) is getattr(module, name)


def test_a_described_class_is_wrapped(monkeypatch):
    class Mixer(keras.layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.units = units
            self.activation = keras.activations.relu
            self.mix_initializer = keras.initializers.GlorotUniform()

    monkeypatch.setattr("keras_winit._network.kernels._described", {})
    keras_winit.describe_layer(Mixer, [keras_winit.Kernel("mix_initializer", "mix")])
    module = types.ModuleType("mine")
    module.Mixer = Mixer
    assert type(suggest(module).Mixer(3).mix_initializer).__name__ == "HeNormal"


# Seeds.


def kernel(layer):
    layer.build((None, 6))
    return keras.ops.convert_to_numpy(layer.kernel)


def test_a_seed_counts_the_layers_of_all_classes():
    def kernels():
        seeded = suggest(keras.layers, seed=7)
        return (
            kernel(seeded.Dense(4)),
            kernel(seeded.EinsumDense("ab,bc->ac", 4)),
            kernel(seeded.Dense(4)),
        )

    first, again = kernels(), kernels()
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    for other in first[1:]:
        assert not np.array_equal(first[0], other)
    np.testing.assert_array_equal(first[0], kernel(suggest(keras.layers.Dense, seed=7)(4)))
