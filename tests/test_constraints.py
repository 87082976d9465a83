import copy
import json

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_winit
from keras_winit import SparsityMask
from keras_winit.initializers import Sparse


def masked(cls, *arguments, sparse, **keywords):
    return cls(
        *arguments, kernel_initializer=sparse, kernel_constraint=SparsityMask(sparse), **keywords
    )


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) / 16).astype("float32")[:600], labels[:600]


@pytest.fixture(scope="module")
def model(digits):
    """A small sparse network, trained on images of digits."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            masked(keras.layers.Conv2D, 16, 3, activation="relu", sparse=Sparse(0.5, seed=1)),
            keras.layers.Flatten(),
            masked(keras.layers.Dense, 64, "relu", sparse=Sparse(0.9, seed=2)),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(*digits, epochs=4, verbose=0)
    return model


def kernels(model):
    """Returns each sparse kernel with the one it was drawn as."""
    layers = [layer for layer in model.layers if getattr(layer, "kernel_constraint", None)]
    return [
        (
            keras.ops.convert_to_numpy(layer.kernel),
            keras.ops.convert_to_numpy(layer.kernel_initializer(tuple(layer.kernel.shape))),
        )
        for layer in layers
    ]


def test_zeros_stay_and_the_others_learn(model, digits):
    assert model.evaluate(*digits, verbose=0)[1] > 0.9
    for kernel, drawn in kernels(model):
        np.testing.assert_array_equal(kernel != 0, drawn != 0)
        # All but what looks at corners, which are the same in all images.
        assert np.mean(kernel[drawn != 0] != drawn[drawn != 0]) > 0.7
    # 9 inputs: 4 or 5 of them, rounded to even; 576 inputs, a tenth of them.
    counts = [
        np.count_nonzero(kernel.reshape(-1, kernel.shape[-1]), axis=0)
        for kernel, _ in kernels(model)
    ]
    assert set(counts[0]) == {4}
    assert set(counts[1]) == {58}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_zeros_stay_when_training_goes_on_after_loading(model, digits, suffix, tmp_path):
    model.save(tmp_path / f"model{suffix}")
    loaded = keras.saving.load_model(tmp_path / f"model{suffix}")
    loaded.compile("adam", "sparse_categorical_crossentropy")
    loaded.fit(*digits, epochs=1, verbose=0)
    for kernel, drawn in kernels(loaded):
        np.testing.assert_array_equal(kernel != 0, drawn != 0)


def test_a_model_takes_no_more_room_for_it(tmp_path):
    sizes = []
    for constraint in (None, SparsityMask(Sparse(seed=1))):
        layer = keras.layers.Dense(200, kernel_constraint=constraint, name="dense")
        path = tmp_path / "model.keras"
        keras.Sequential([keras.Input((300,)), layer], name="model").save(path)
        sizes.append(path.stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 1000  # of 240,000 bytes of weights


def test_axes_of_a_kernel_are_those_of_the_initializer():
    sparse = Sparse(connections=2, seed=3, input_axes=[0, 1], output_axes=[0, 1, 3])
    kernel = keras.ops.convert_to_numpy(SparsityMask(sparse)(np.ones((3, 3, 5, 2), "float32")))
    assert set(kernel.reshape(9, 10).sum(0)) == {2.0}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_kernel_keeps_its_dtype(dtype):
    kernel = keras.ops.ones((8, 6), dtype)
    kept = SparsityMask(Sparse(0.75, seed=9))(kernel)
    assert keras.backend.standardize_dtype(kept.dtype) == dtype


def test_config_and_copies_hold_the_same_zeros():
    mask = SparsityMask(Sparse(0.75, seed=9))
    ones = np.ones((8, 6), "float32")
    config = json.loads(json.dumps(keras.constraints.serialize(mask)))
    for other in (keras.constraints.deserialize(config), copy.deepcopy(mask)):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(other(ones)), keras.ops.convert_to_numpy(mask(ones))
        )


def test_initialize_leaves_a_masked_kernel_alone(model):
    copied = keras.models.clone_model(model)
    before = kernels(copied)
    result = keras_winit.initialize(copied, "he_normal", seed=1)
    assert ["SparsityMask" in row.reason for row in result.skipped] == [True, True]
    for (kernel, _), (old, _) in zip(kernels(copied), before, strict=True):
        np.testing.assert_array_equal(kernel, old)


@pytest.mark.parametrize(
    ("initializer", "error", "message"),
    [
        ("zeros", TypeError, "`initializer` should be a `keras_winit.initializers.Sparse`"),
        (Sparse(), ValueError, "`initializer` should have an integer seed.*seed=None"),
        (Sparse(seed=keras.random.SeedGenerator(1)), ValueError, "should have an integer seed"),
    ],
)
def test_what_the_zeros_do_not_follow_from_is_refused(initializer, error, message):
    with pytest.raises(error, match=message):
        SparsityMask(initializer)
