"""What `suggest_initializer` returns for a layer class is a class."""

import abc
import copy
import functools
import inspect
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._network.wrapped_class import WrappedClass

layers = keras.layers

Dense = keras_winit.suggest_initializer(layers.Dense)


class Mine(Dense):
    """A layer of the user's, which is not registered."""

    def __init__(self, units, double=False, **kwargs):
        super().__init__(units * (1 + double), activation="relu", **kwargs)
        self.double = double

    def get_config(self):
        config = super().get_config()
        del config["activation"]
        return {**config, "units": self.units // (1 + self.double), "double": self.double}


@keras.saving.register_keras_serializable("tests")
class Registered(Mine):
    pass


@keras.saving.register_keras_serializable("tests")
@keras_winit.suggest_initializer
class Decorated(layers.Dense):
    """A decorator takes the place of the class."""

    def __init__(self, units, activation="relu", **kwargs):
        super().__init__(units, activation, **kwargs)


@keras_winit.suggest_initializer
@keras.saving.register_keras_serializable("tests")
class DecoratedAfter(Mine):
    pass


def class_name(initializer):
    return type(initializer).__name__


def assert_same(one, two):
    assert type(one) is type(two)
    assert json.dumps(one.get_config()) == json.dumps(two.get_config())
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def model_of(*hidden):
    return keras.Sequential([keras.Input((5,)), *hidden])


# A class.


def test_what_it_builds_is_the_layer_itself_and_an_instance_of_both():
    layer = Dense(3, "relu")
    assert type(layer) is layers.Dense
    assert class_name(layer.kernel_initializer) == "HeNormal"
    assert isinstance(layer, Dense)
    assert isinstance(layers.Dense(3), Dense)
    assert not isinstance(layers.Flatten(), Dense)
    assert not isinstance(Dense(3), keras_winit.suggest_initializer(layers.Conv2D))
    assert "_keras_winit_passed_on" not in vars(layer)


def test_it_is_a_subclass_of_what_it_wraps_and_the_other_way_round():
    assert issubclass(Dense, layers.Dense)
    assert issubclass(layers.Dense, Dense)
    assert issubclass(Mine, Dense)
    assert issubclass(Mine, layers.Dense)
    assert not issubclass(layers.Dense, Mine)
    assert not issubclass(layers.Conv2D, Dense)


def test_it_looks_like_what_it_wraps():
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(Dense, name) == getattr(layers.Dense, name)
    assert inspect.signature(Dense) == inspect.signature(layers.Dense)
    assert inspect.signature(Dense.__init__) == inspect.signature(layers.Dense.__init__)
    assert Dense.call is layers.Dense.call
    assert repr(Dense) == f"suggest_initializer({layers.Dense!r})"
    assert repr(Mine) == f"<class '{__name__}.Mine'>"
    assert list(inspect.signature(Mine).parameters) == ["units", "double", "kwargs"]


def test_attributes_of_the_class_are_its_own():
    wrapped = keras_winit.suggest_initializer(layers.Dense, seed=1)
    wrapped.default_units = 4
    assert not hasattr(layers.Dense, "default_units")


def test_wrapping_again_changes_nothing():
    suggest = keras_winit.suggest_initializer
    assert suggest(Dense) is Dense
    assert suggest(layers.Dense) is Dense
    assert suggest(Mine) is Mine
    seeded = suggest(Dense, seed=3)
    assert suggest(seeded) is seeded
    kernels = []
    for cls in (seeded, suggest(layers.Dense, seed=3), suggest(Mine, seed=3)):
        layer = cls(3)
        layer.build((None, 5))
        kernels.append(keras.ops.convert_to_numpy(layer.kernel))
    np.testing.assert_array_equal(kernels[0], kernels[1])
    # Of relu, with the same seed: another distribution.
    assert type(layer) is Mine
    assert class_name(layer.kernel_initializer) == "HeNormal"
    assert layer.kernel_initializer.get_config()["seed"] is not None


def test_from_config_gives_what_was_saved():
    kept = layers.Dense(3, "relu", kernel_initializer="glorot_uniform")
    layer = Dense.from_config(kept.get_config())
    assert type(layer) is layers.Dense
    assert class_name(layer.kernel_initializer) == "GlorotUniform"
    directions = layers.Bidirectional(layers.SimpleRNN(3, activation="relu"))
    wrapped = keras_winit.suggest_initializer(layers.Bidirectional)
    copy = wrapped.from_config(directions.get_config())
    assert class_name(copy.forward_layer.cell.kernel_initializer) == "GlorotUniform"


# Classes that derive from it.


@pytest.mark.parametrize("cls", [Mine, Registered])
def test_a_class_that_derives_from_it_gets_the_same(cls):
    layer = cls(3, double=True)
    assert type(layer) is cls
    assert isinstance(layer, Dense)
    assert (layer.units, layer.double) == (6, True)
    assert class_name(layer.kernel_initializer) == "HeNormal"
    kept = cls(3, kernel_initializer="glorot_uniform")
    assert class_name(kept.kernel_initializer) == "GlorotUniform"
    assert "_keras_winit_passed_on" not in vars(layer)


def test_what_it_passes_on_is_kept_and_what_it_leaves_at_its_default_is_not():
    class Told(Dense):
        def __init__(self, units):
            super().__init__(units, "relu", True, "glorot_uniform")

    class Forwards(Dense):
        def __init__(self, units, kernel_initializer="glorot_uniform", **kwargs):
            super().__init__(units, "relu", kernel_initializer=kernel_initializer, **kwargs)

    assert class_name(Told(3).kernel_initializer) == "GlorotUniform"
    assert class_name(Forwards(3).kernel_initializer) == "HeNormal"
    assert class_name(Forwards(3, "glorot_uniform").kernel_initializer) == "GlorotUniform"


def test_it_may_take_its_activation_after_its_parent():
    class Late(Dense):
        def __init__(self, units):
            super().__init__(units)
            self.activation = keras.activations.gelu

    assert Late(3).kernel_initializer.scale == pytest.approx(keras_winit.gain("gelu") ** 2)


def test_a_class_without_a_constructor_and_with_two_parents():
    class Named:
        def title(self):
            return f"{self.name} of {self.units}"

    class Both(Dense, Named):
        def call(self, x):
            return 2 * super().call(x)

    layer = Both(4, "selu", name="both")
    assert layer.title() == "both of 4"
    assert class_name(layer.kernel_initializer) == "LecunNormal"
    assert layer(np.ones((1, 3), "float32")).shape == (1, 4)
    assert Both.from_config(layer.get_config()).get_config() == layer.get_config()


def test_keras_still_writes_the_config_of_a_layer_that_writes_none():
    class Scale(layers.Layer):
        def __init__(
            self, factor=2, activation="relu", kernel_initializer="glorot_uniform", **kwargs
        ):
            super().__init__(**kwargs)
            self.factor = factor
            self.inner = layers.Dense(3, activation, kernel_initializer=kernel_initializer)

    class Derived(keras_winit.suggest_initializer(Scale)):
        pass

    layer = Derived(factor=3, kernel_initializer="ones")
    assert layer.get_config()["factor"] == 3
    assert class_name(Derived.from_config(layer.get_config()).inner.kernel_initializer) == "Ones"
    assert class_name(Derived(3).inner.kernel_initializer) == "HeNormal"


def test_a_seed_reaches_the_layers_of_a_derived_class():
    def kernels():
        class Block(keras_winit.suggest_initializer(layers.Dense, seed=5)):
            pass

        for _ in range(2):
            layer = Block(3)
            layer.build((None, 4))
            yield keras.ops.convert_to_numpy(layer.kernel)

    (first, second), (again, _) = kernels(), kernels()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


def test_an_abstract_class_is_wrapped():
    class Abstract(layers.Dense, abc.ABC):
        @abc.abstractmethod
        def title(self):
            pass

    wrapped = keras_winit.suggest_initializer(Abstract)

    class Derived(wrapped):
        def title(self):
            return self.name

    assert isinstance(Derived(3, "relu"), wrapped)
    assert issubclass(wrapped, Abstract)
    assert not issubclass(layers.Conv2D, Abstract)
    assert not issubclass(layers.Conv2D, wrapped)
    assert not isinstance(layers.Dense(3), Abstract)
    with pytest.raises(TypeError, match="abstract"):
        wrapped(3)


def test_another_metaclass_is_kept():
    class Meta(type):
        def __call__(cls, *args, **kwargs):
            layer = super().__call__(*args, **kwargs)
            layer.is_seen = True
            return layer

    class Watched(layers.Dense, metaclass=Meta):
        pass

    wrapped = keras_winit.suggest_initializer(Watched)

    class Derived(wrapped):
        pass

    assert wrapped(3).is_seen
    assert Derived(3, "relu").is_seen
    assert isinstance(wrapped, Meta)
    assert isinstance(wrapped, WrappedClass)


@pytest.mark.parametrize("described", [lambda cls, wrapped: cls, lambda cls, wrapped: wrapped])
def test_it_is_described_as_what_it_wraps(described, monkeypatch):
    class Mixer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.activation = keras.activations.relu
            self.mix_initializer = keras.initializers.GlorotUniform()

    monkeypatch.setattr("keras_winit._network.kernels._described", {})
    wrapped = keras_winit.suggest_initializer(Mixer)
    kernels = [keras_winit.Kernel("mix_initializer", "mix")]
    keras_winit.describe_layer(described(Mixer, wrapped), kernels)
    assert class_name(wrapped().mix_initializer) == "HeNormal"


# Copies, pickles, files.


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_the_class_and_those_that_derive_from_it_are_pickled(protocol):
    def again(cls):
        return pickle.loads(pickle.dumps(cls, protocol))

    assert again(Dense) is Dense
    assert again(Mine) is Mine
    assert again(Decorated) is Decorated
    assert copy.copy(Dense) is copy.deepcopy(Dense) is Dense
    kernels = []
    for cls in (again(keras_winit.suggest_initializer(layers.Dense, seed=3)),) * 2:
        layer = cls(4)
        layer.build((None, 5))
        kernels.append(keras.ops.convert_to_numpy(layer.kernel))
    expected = keras_winit.suggest_initializer(layers.Dense, seed=3)(4)
    expected.build((None, 5))
    np.testing.assert_array_equal(kernels[0], keras.ops.convert_to_numpy(expected.kernel))
    assert not np.array_equal(*kernels)


BUILDERS = {
    "wrapped": functools.partial(Dense, 4, "gelu"),
    "derived": functools.partial(Mine, 2, double=True),
    "registered": functools.partial(Registered, 4),
    "decorated": functools.partial(Decorated, 4),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_layers_and_models_are_pickled_copied_cloned_and_saved(name, tmp_path):
    layer = BUILDERS[name]()
    model = model_of(layer, Dense(2))
    path = tmp_path / "model.keras"
    model.save(path)
    # Keras finds what is not registered where it is told of it.
    with keras.saving.custom_object_scope({"Mine": Mine} if name == "derived" else {}):
        for each in (layer, model):
            assert_same(pickle.loads(pickle.dumps(each)), each)
            assert_same(copy.deepcopy(each), each)
        assert_same(keras.models.load_model(path), model)
        assert keras.models.clone_model(model).get_config() == model.get_config()


def test_a_decorated_class_is_that_of_its_layers():
    assert type(Decorated(3)) is Decorated
    assert class_name(Decorated(3).kernel_initializer) == "HeNormal"
    kept = Decorated.from_config(Decorated(3, kernel_initializer="glorot_uniform").get_config())
    assert class_name(kept.kernel_initializer) == "GlorotUniform"


def test_a_class_that_was_registered_before_it_was_decorated_loads(tmp_path):
    model = model_of(DecoratedAfter(4))
    assert class_name(model.layers[0].kernel_initializer) == "HeNormal"
    assert isinstance(model.layers[0], DecoratedAfter)
    model.save(tmp_path / "model.keras")
    assert_same(keras.models.load_model(tmp_path / "model.keras"), model)


def test_a_file_names_the_layer_of_keras_and_loads_without_this_package(tmp_path):
    path = tmp_path / "model.keras"
    model = model_of(Dense(4, "gelu"), Dense(3, "relu"), Dense(2))
    model.save(path)
    with zipfile.ZipFile(path) as file:
        hidden = json.loads(file.read("config.json"))["config"]["layers"][1]
    assert (hidden["module"], hidden["class_name"]) == ("keras.layers", "Dense")
    assert hidden["registered_name"] is None
    program = f"""
import sys
sys.modules["keras_winit"] = None  # as if it were not installed
import keras, numpy as np
np.save({str(tmp_path / "outputs.npy")!r}, keras.models.load_model({str(path)!r}).predict(
    np.ones((2, 5), "float32"), verbose=0))
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parent)
    expected = keras.ops.convert_to_numpy(model(np.ones((2, 5), "float32")))
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected, rtol=1e-5, atol=1e-6)
