"""Whether a layer of an unknown class normalizes is found by trying."""

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._network.network import Network
from keras_winit._network.operations import is_normalization

layers = keras.layers
ops = keras.ops


class Own(layers.Layer):
    """A layer of somebody's, with a vector of weights that starts at zero."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def build(self, shape):
        self.vector = self.add_weight((shape[-1],), "zeros", name="vector")

    def call(self, x):
        return self.function(x, self.vector)


def size(x):
    return ops.sqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, vector: vector * x / size(x), True),
        (lambda x, vector: (1 + vector) * x / size(x), True),
        (lambda x, vector: vector * x, False),
        (lambda x, vector: x + vector, False),
        (lambda x, vector: vector * ops.tanh(x), False),
        (lambda x, vector: 0 * x * vector, False),
        (lambda x, vector: ops.mean(x / size(x) * vector, axis=-1), False),
    ],
)
def test_what_gives_the_same_for_a_larger_input_is_a_normalization(function, expected):
    layer = Own(function)
    layer.build((None, None, 6))
    assert is_normalization(layer) is expected
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.vector), np.zeros(6))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_model_with_such_a_layer_is_not_plain(policy):
    inputs = keras.Input((5, 6))
    norm = Own(lambda x, vector: (1 + vector) * x / size(x))
    norm.dtype_policy = policy
    x = layers.Dense(6, name="first")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(ops.relu(norm(x))))
    network = Network(model)
    assert not network.is_plain
    assert network.around(model.get_layer("first")).normalized


def test_what_follows_such_a_layer_is_measured():
    inputs = keras.Input((5, 6))
    x = Own(lambda x, vector: (1 + vector) * x / size(x))(layers.Dense(6)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(ops.relu(x)))
    first = keras_winit.diagnose(model).signal.layers[0]
    assert (first.normalized, first.activation) == (True, "relu")
