import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit.initializers import (
    ActivationScaling,
    DeltaOrthogonal,
    Identity,
    Orthogonal,
    Sparse,
)

layers = keras.layers

LOAD_WITHOUT_PACKAGE = """
import sys
sys.modules["keras_winit"] = None  # as if it were not installed
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""


def build_model():
    """A model with ours in plain layers, cells, wrappers, attention and a nested model."""
    inner = keras.Sequential([layers.Dense(6, kernel_initializer="sparse")], name="inner")
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", kernel_initializer="delta_orthogonal")(inputs)
    x = layers.SeparableConv2D(
        4, 3, depthwise_initializer=Sparse(0.5), pointwise_initializer=Orthogonal(2.0)
    )(x)
    x = layers.Reshape((36, 4))(x)
    x = layers.MultiHeadAttention(2, 3, kernel_initializer=ActivationScaling("linear"))(x, x)
    x = layers.TimeDistributed(inner)(x)
    recurrent = layers.LSTM(3, kernel_initializer="sparse", recurrent_initializer=Orthogonal())
    x = layers.Bidirectional(recurrent)(x)
    outputs = layers.Dense(2, kernel_initializer=Identity(0.5))(x)
    return keras.Model(inputs, outputs)


def test_a_stripped_model_loads_without_the_package(tmp_path):
    model = build_model()
    images = np.random.default_rng(0).standard_normal((3, 8, 8, 2)).astype("float32")
    expected = model.predict(images, verbose=0)
    np.save(tmp_path / "images.npy", images)

    def load(name):
        model.save(tmp_path / name)
        arguments = [tmp_path / name, tmp_path / "predictions.npy", tmp_path / "images.npy"]
        return subprocess.run(
            [sys.executable, "-c", LOAD_WITHOUT_PACKAGE, *map(str, arguments)],
            capture_output=True,
            text=True,
        )

    failed = load("before.keras")
    assert failed.returncode != 0
    assert "keras_winit>" in failed.stderr
    replaced = keras_winit.strip_initializers(model)
    assert len(replaced) >= 9
    loaded = load("after.keras")
    assert loaded.returncode == 0, loaded.stderr
    np.testing.assert_allclose(np.load(tmp_path / "predictions.npy"), expected, atol=1e-5)


def test_weights_and_predictions_stay():
    model = build_model()
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    keras_winit.strip_initializers(model)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


def test_an_unbuilt_layer_is_stripped_and_still_builds():
    layer = layers.Conv2D(5, 3, kernel_initializer="dirac", name="c")
    assert keras_winit.strip_initializers(layer) == [
        "c.kernel_initializer: Identity -> VarianceScaling"
    ]
    assert keras_winit.strip_initializers(layer) == []
    layer.build((None, 6, 6, 4))
    assert keras.ops.convert_to_numpy(layer.kernel).std() > 0


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (ActivationScaling("relu", scale=1.5), 1.5 * 2 / 300),
        (ActivationScaling("tanh", mode="fan_out"), 1 / 0.464402902448 / 80),
        (ActivationScaling("linear", mode="fan_avg", distribution="uniform"), 2 / 380),
        (Orthogonal(3.0), 9 / 300),
        (Sparse(0.5, gain=2.0), 4 / 300),
    ],
)
def test_the_replacement_has_the_variance_of_the_original(initializer, variance):
    for each in (initializer, initializer.to_keras()):
        kernel = keras.ops.convert_to_numpy(each((300, 80)))
        kurtosis = np.mean(kernel**4) / np.mean(kernel**2) ** 2
        # The orthogonal kernel has its variance exactly; its replacement averages the fans.
        slack = 0.6 if isinstance(initializer, Orthogonal) else 0.0
        tolerance = 4 * np.sqrt((kurtosis - 1) / kernel.size) + slack
        assert abs(np.mean(kernel**2) / variance - 1) < tolerance


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_stripped_model_of_16_bits_can_be_built_anew(dtype, tmp_path):
    recurrent = layers.LSTM(3, recurrent_initializer=Orthogonal(), dtype=dtype)
    model = keras.Sequential([keras.Input((4, 2)), recurrent, layers.Dense(5, dtype=dtype)])
    for scheme in ("keras", "orthogonal"):
        keras_winit.initialize(model, scheme, seed=1)
        keras_winit.strip_initializers(model)
        assert "keras_winit" not in model.to_json()
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_mask_is_taken_off_and_its_zeros_stay(tmp_path):
    sparse = Sparse(0.8, seed=1)
    mask = keras_winit.SparsityMask(sparse)
    dense = layers.Dense(6, kernel_initializer=sparse, kernel_constraint=mask, name="dense")
    model = keras.Sequential([keras.Input((20,)), dense])
    assert keras_winit.strip_initializers(model) == [
        "dense.kernel_initializer: Sparse -> VarianceScaling",
        "dense.kernel_constraint: SparsityMask -> None",
    ]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert loaded.kernel_constraint is None
    assert np.count_nonzero(keras.ops.convert_to_numpy(loaded.kernel)) == 4 * 6


def test_what_cannot_be_replaced_is_refused_and_nothing_is_changed():
    class Holder(layers.Layer):
        def get_config(self):
            return {**super().get_config(), "how": keras.saving.serialize_keras_object(Sparse())}

    model = keras.Sequential([layers.Dense(3, kernel_initializer="sparse"), Holder()], name="m")
    with pytest.raises(ValueError, match="holds keras_winit>Sparse.*model='m'"):
        keras_winit.strip_initializers(model)
    assert isinstance(model.layers[0].kernel_initializer, Sparse)


def test_a_subclassed_model_without_a_config_is_stripped():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [{"dense": layers.Dense(3, kernel_initializer=DeltaOrthogonal())}]

        def call(self, x):
            return self.blocks[0]["dense"](x)

    model = Net()
    assert len(keras_winit.strip_initializers(model)) == 1
    assert model(np.ones((2, 4), "float32")).shape == (2, 3)


def test_something_else_is_refused():
    with pytest.raises(TypeError, match="`model` should be a Keras model.*model='m.keras'"):
        keras_winit.strip_initializers("m.keras")
