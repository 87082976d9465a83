import keras
import numpy as np
import pytest

from keras_winit._network.graph import Graph
from keras_winit._network.units import spread

layers = keras.layers


def test_units_are_spread_evenly_and_in_equal_parts_as_in_the_whole():
    assert spread(3, 12).tolist() == [0, 4, 8]
    assert spread(6, 4).tolist() == [0, 0, 1, 2, 2, 3]
    halves = [spread(3, 5), 5 + spread(3, 5)]
    np.testing.assert_array_equal(spread(6, 10), np.concatenate(halves))


def taken(build):
    """Returns the places of the inputs of the layer "end", and their number in the source.

    The source has a channel for each of one layer and 3 for each of another.
    """
    inputs = keras.Input((2, 3, 1))
    one = layers.Conv2D(2, 1, name="one")(inputs)
    other = layers.Conv2D(2, 1, name="other")(inputs)
    model = keras.Model(inputs, layers.Dense(5, name="end")(build(one, other)))

    def gives(layer, kernel):
        if layer.name == "depthwise":
            return 2, 2, True
        return {"one": (2, 2, False), "other": (2, 6, False)}.get(layer.name)

    found = Graph(model).units(gives)[model.get_layer("end")]["kernel"]
    return (found[0].places.tolist(), found[0].size) if found else None


# What is made of both: the places.
MADE = {
    "activation": (lambda one, other: layers.ReLU()(layers.Dropout(0.5)(other)), ([0, 3], 6)),
    "put together": (
        lambda one, other: layers.Concatenate()([one, other, one]),
        ([0, 1, 2, 5, 8, 9], 10),
    ),
    "one after the other": (
        lambda one, other: layers.Concatenate(axis=1)([other, other]),
        ([0, 3], 6),
    ),
    "flattened": (
        lambda one, other: layers.Flatten()(layers.MaxPooling2D((1, 2))(other)),
        ([0, 3, 6, 9], 12),
    ),
    "reshaped": (lambda one, other: layers.Reshape((6, 2))(other), ([0, 3], 6)),
    "to a vector": (
        lambda one, other: layers.Reshape((4,))(layers.MaxPooling2D((1, 2))(other)),
        ([0, 3, 6, 9], 12),
    ),
    "depthwise": (
        lambda one, other: layers.DepthwiseConv2D(1, depth_multiplier=2, name="depthwise")(other),
        ([0, 1, 6, 7], 12),
    ),
    "added": (lambda one, other: layers.Add()([other, other * other]), ([0, 3], 6)),
    "of unlike units": (lambda one, other: one + other, None),
}


@pytest.mark.parametrize("case", MADE)
def test_units_are_followed(case):
    build, expected = MADE[case]
    assert taken(build) == expected
