"""Every way to save and copy a model, with every initializer in every layer that suits.

`golden/` holds models saved by earlier versions, each with its predictions. They must load in
every later version. `python tests/test_saving.py` adds those of the running versions.
"""

import copy
import functools
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from models import (
    CATALOGUE,
    CONVOLUTIONAL,
    away_from_default,
    every_layer,
    every_layer_inputs,
    one_of_each,
    one_of_each_inputs,
)

from keras_winit import initializers

BACKEND = keras.backend.backend()

GOLDEN = Path(__file__).parent / "golden"


def version(text):
    return tuple(int(number) for number in text.split(".")[:2])


def readable(path):
    """Whether the running Keras is not older than the one that wrote the file."""
    with zipfile.ZipFile(path) as file:
        written_by = json.loads(file.read("metadata.json"))["keras_version"]
    return version(written_by) <= version(keras.__version__)


@pytest.fixture(scope="module", params=CATALOGUE)
def cls(request):
    return request.param


@pytest.fixture(scope="module")
def model(cls):
    return every_layer(cls(**away_from_default(cls, axes=False)))


@pytest.fixture(scope="module")
def trained(model):
    """The model with other weights than its initializers draw."""
    changed = keras.models.clone_model(model)
    changed.set_weights([0.5 * weight + 0.01 for weight in model.get_weights()])
    return changed


def predictions(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


def assert_same_model(loaded, original):
    assert json.dumps(loaded.get_config()) == json.dumps(original.get_config())
    for ours, theirs in zip(loaded.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert_same_predictions(loaded, original)


def assert_same_predictions(loaded, original):
    values = predictions(loaded, every_layer_inputs())
    np.testing.assert_allclose(values, expected_predictions(original), rtol=0, atol=1e-6)


@functools.cache
def expected_predictions(model):
    return predictions(model, every_layer_inputs())


def test_every_layer_that_suits_holds_the_initializer(cls, model):
    expected = keras.initializers.serialize(cls(**away_from_default(cls, axes=False)))
    count = json.dumps(model.get_config()).count(json.dumps(expected))
    # Conv2D, DepthwiseConv2D, twice SeparableConv2D, Conv2DTranspose; EinsumDense, attention,
    # Embedding, Dense; twice LSTM and GRU; and twice both directions and the layer they copy.
    assert count >= (5 if cls in CONVOLUTIONAL else 5 + 4 + 4 + 4)


@pytest.mark.parametrize(
    "rebuilt",
    [
        lambda model: type(model).from_config(model.get_config()),
        lambda model: keras.models.model_from_json(model.to_json()),
        keras.models.clone_model,
    ],
    ids=["from_config", "to_json", "clone_model"],
)
def test_a_model_built_from_its_config_draws_the_same_weights(model, rebuilt):
    assert_same_model(rebuilt(model), model)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_of_a_trained_model_is_the_same_model(trained, copied):
    assert_same_model(copied(trained), trained)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_and_loaded_model_is_the_same_model(trained, suffix, tmp_path):
    trained.save(tmp_path / f"model{suffix}")
    assert_same_model(keras.saving.load_model(tmp_path / f"model{suffix}"), trained)


def test_weights_alone_load_into_a_model_with_other_initializers(trained, tmp_path):
    trained.save_weights(tmp_path / "model.weights.h5")
    other = every_layer(keras.initializers.Zeros())
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same_predictions(other, trained)


def export_saved_model(model, folder):
    import tensorflow

    model.export(folder, verbose=False)
    loaded = tensorflow.saved_model.load(folder)
    return lambda inputs: loaded.serve(inputs).numpy()


def export_torch(model, folder):
    import torch

    path = f"{folder}.pt2"
    model.export(path, format="torch", verbose=False)
    module = torch.export.load(path).module()
    return lambda inputs: module(torch.as_tensor(inputs)).detach().numpy()


# Keras has no SavedModel with torch, but a program of torch; with JAX it needs TensorFlow.
EXPORTS = {"tensorflow": export_saved_model, "torch": export_torch}
if importlib.util.find_spec("tensorflow"):
    EXPORTS["jax"] = export_saved_model

if BACKEND in EXPORTS:

    @pytest.mark.filterwarnings(
        # Keras 3.15 passes it to jax2tf.
        "ignore:The `native_serialization` parameter is deprecated:DeprecationWarning"
    )
    def test_an_exported_model_predicts_the_same(cls, tmp_path):
        initializer = cls(**away_from_default(cls, axes=False))
        model = keras.Sequential(
            [
                keras.Input((4, 5, 3)),
                keras.layers.Conv2D(6, 3, padding="same", kernel_initializer=initializer),
                keras.layers.Flatten(),
                keras.layers.Dense(2),
            ]
        )
        inputs = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype("float32")
        exported = EXPORTS[BACKEND](model, str(tmp_path / "model"))
        np.testing.assert_allclose(exported(inputs), predictions(model, inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(GOLDEN.glob("*.keras")) if readable(path)],
    ids=lambda p: p.stem,
)
def test_a_model_saved_by_an_earlier_version_loads(path):
    model = keras.saving.load_model(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    values = predictions(model, one_of_each_inputs())
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)
    held = [layer for layer in model.layers if hasattr(initializers, layer.name)]
    assert len(held) >= 5
    for layer in held:
        (initializer,) = (
            value
            for value in vars(layer).values()
            if type(value) is getattr(initializers, layer.name)
        )
        kernel = layer.weights[0]
        # It draws what it drew then.
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(initializer(tuple(kernel.shape))),
            keras.ops.convert_to_numpy(kernel),
            rtol=0,
            atol=1e-6,
        )


LOAD_WITHOUT_THE_PACKAGE = """
import json, sys, keras
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    outputs = keras.ops.convert_to_numpy(model(keras.ops.ones((2, 4, 6))))
    modules = [type(layer.kernel_initializer).__module__ for layer in model.layers]
    print(json.dumps([outputs.tolist(), modules]))
assert "keras_winit" not in sys.modules
"""


def test_default_identity_and_orthogonal_load_without_the_package(tmp_path):
    orthogonal = initializers.Orthogonal
    model = keras.Sequential(
        [
            keras.Input((4, 6)),
            keras.layers.Dense(5, kernel_initializer=orthogonal()),
            keras.layers.Dense(3, kernel_initializer=initializers.Identity()),
            keras.layers.LSTM(
                2, kernel_initializer=orthogonal(), recurrent_initializer=orthogonal()
            ),
        ]
    )
    paths = [tmp_path / "model.keras", tmp_path / "model.h5"]
    for path in paths:
        model.save(path)
    result = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_THE_PACKAGE, *paths],
        env={**os.environ, "KERAS_BACKEND": BACKEND},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    expected = predictions(model, np.ones((2, 4, 6), "float32"))
    for line in result.stdout.splitlines()[-len(paths) :]:
        outputs, modules = json.loads(line)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)
        assert {module.split(".")[0] for module in modules} == {"keras"}


if __name__ == "__main__":
    import keras_winit

    path = GOLDEN / f"keras_winit-{keras_winit.__version__}-keras-{keras.__version__}.keras"
    model = one_of_each()
    model.save(path)
    values = predictions(model, one_of_each_inputs()).astype("float64").round(7).tolist()
    path.with_suffix(".json").write_text(json.dumps(values) + "\n")
