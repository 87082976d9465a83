import re

import keras
import numpy as np
import pytest

from keras_winit._network.network import Network

layers = keras.layers
ops = keras.ops

# What lies between a layer "one" of 3 units, another of 2, and the layer "end".
BETWEEN = {
    "nothing": lambda one, other: one,
    "unit by unit": lambda one, other: layers.Dropout(0.5)(layers.LeakyReLU()(one)),
    "pooled": lambda one, other: layers.GlobalAveragePooling2D()(layers.MaxPooling2D(1)(one)),
    "padded": lambda one, other: layers.ZeroPadding2D(1)(one),
    "flattened": lambda one, other: layers.Flatten()(one),
    "flattened with channels moved": lambda one, other: layers.Flatten("channels_first")(one),
    "reshaped": lambda one, other: layers.Reshape((8, 3))(one),
    "put together": lambda one, other: layers.Concatenate()([other, one, other]),
    "put together and flattened": lambda one, other: layers.Flatten()(
        layers.Concatenate()([other, one])
    ),
}


def build(between, end=None):
    """Returns a model in which "one" is before "end"."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 4, 2))
    one = layers.Conv2D(3, 1, activation="relu", name="one")(inputs)
    other = layers.Conv2D(2, 1, name="other")(inputs)
    end = layers.Dense(5, name="end") if end is None else end
    return keras.Model(inputs, end(between(one, other)))


def rows(model):
    found = Network(model).takers(model.get_layer("one"))
    assert found.problem is None
    ((layer, units),) = found.rows
    assert layer is model.get_layer("end")
    return units


@pytest.mark.parametrize("name", BETWEEN)
def test_without_its_rows_a_unit_changes_nothing_and_all_others_do(name):
    model = build(BETWEEN[name])
    units, kernel = rows(model), model.get_layer("end").kernel
    bias = model.get_layer("one").bias
    x = np.random.default_rng(0).normal(size=(6, 2, 4, 2)).astype("float32")
    assert set(units) >= {0, 1, 2}
    for unit in range(3):
        cut = ops.convert_to_numpy(kernel) * (units != unit)[:, None]
        for other in range(3):
            kept = ops.convert_to_numpy(kernel)
            kernel.assign(cut)
            before = ops.convert_to_numpy(model(x))
            bias.assign(7.0 * np.eye(3)[other])
            after = ops.convert_to_numpy(model(x))
            assert np.array_equal(before, after) == (other == unit)
            kernel.assign(kept)
            bias.assign(np.zeros(3))


@pytest.mark.parametrize(
    ("end", "axis"), [(layers.Conv2D, 2), (layers.Conv2DTranspose, 3), (layers.Dense, 0)]
)
def test_rows_are_those_of_the_axis_of_inputs(end, axis):
    end = end(5, name="end") if end is layers.Dense else end(5, (2, 1), name="end")
    model = build(BETWEEN["put together"], end)
    assert rows(model).tolist() == [-1, -1, 0, 1, 2, -1, -1]
    assert end.kernel.shape[axis] == 7


def test_several_layers_may_take_a_unit():
    inputs = keras.Input((4,))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Dense(3, name="one")(inputs)))
    ends = [layers.Dense(2, name="end"), layers.Dense(5, name="other")]
    model = keras.Model(inputs, [each(x) for each in ends])
    found = Network(model).takers(model.get_layer("one"))
    assert {layer.name for layer, _ in found.rows} == {"end", "other"}
    ((normalization, units),) = found.normalizations
    assert (normalization.name, units.tolist()) == ("norm", [0, 1, 2])


# What cannot be told, with the reason.
UNKNOWN = {
    "added": (lambda one, other: layers.Add()([one, layers.Dense(3)(other)]), "others.*Add"),
    "multiplied": (lambda one, other: layers.Multiply()([one, one]), "others.*Multiply"),
    "normalized across units": (
        lambda one, other: layers.LayerNormalization()(one),
        "LayerNormalization makes of it is not known",
    ),
    "normalized behind": (
        lambda one, other: layers.BatchNormalization()(one),
        "BatchNormalization behind its activation",
    ),
    "something of nothing": (
        lambda one, other: layers.Activation("sigmoid")(one),
        "sigmoid behind its activation",
    ),
    "softmax": (lambda one, other: layers.Softmax()(one), "softmax takes all units together"),
    "depthwise": (
        lambda one, other: layers.DepthwiseConv2D(1, name="depthwise")(one),
        "'depthwise'.*no rows of their own",
    ),
    "moved": (lambda one, other: layers.Permute((1, 3, 2))(one), "Permute makes of it"),
    "moved by a new shape": (lambda one, other: layers.Reshape((3, 8))(one), "moves its units"),
    "mixed by a new shape": (lambda one, other: layers.Reshape((2, 12))(one)[..., :5], "not known"),
    "along another axis": (lambda one, other: layers.Concatenate(1)([one, one]), "another axis"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_told_has_a_reason(name):
    between, reason = UNKNOWN[name]
    model = build(between)
    found = Network(model).takers(model.get_layer("one"))
    assert not found.rows
    assert re.search(reason, found.problem)


def test_layers_at_the_output_and_called_twice_have_a_reason():
    inputs = keras.Input((4,))
    one, shared = layers.Dense(3, "relu", name="one"), layers.Dense(4, "relu", name="shared")
    x = one(shared(shared(inputs)))
    model = keras.Model(inputs, [layers.Dense(2)(x), x])
    network = Network(model)
    assert "output of the model" in network.takers(one).problem
    assert "called several times" in network.takers(shared).problem
