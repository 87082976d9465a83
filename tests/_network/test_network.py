"""A model, read once."""

import keras
import numpy as np
import pytest

from keras_winit._activations.activation import NOTHING
from keras_winit._network.network import DEEP, Network

layers = keras.layers


def chain(depth, *between, activation="relu"):
    """Returns a model of as many layers with kernels, the output included."""
    model = keras.Sequential([keras.Input((6,), name="input")], name="chain")
    for number in range(depth - 1):
        model.add(layers.Dense(5, activation, name=f"hidden{number}"))
    for layer in between:
        model.add(layer)
    model.add(layers.Dense(3, name="output"))
    return model


def test_weights_are_those_of_the_model_in_its_order():
    model = chain(3)
    network = Network(model)
    assert [weight.variable for weight in network.weights] == model.weights
    assert [weight.name for weight in network.kernels] == ["kernel"] * 3


def test_weights_are_found_by_their_layer():
    model = chain(3)
    network = Network(model)
    for layer in model.layers:
        kernel, bias = network.layers[layer]
        assert (kernel.variable, bias.variable) == (layer.kernel, layer.bias)
        assert network.bias(layer) is bias
    assert network.bias(layers.Dense(2, use_bias=False)) is None


def test_a_weight_knows_its_shape_and_its_fans():
    network = Network(
        keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(6, (3, 5), groups=2)])
    )
    kernel, bias = network.weights
    assert (kernel.shape, bias.shape) == ((3, 5, 2, 6), (6,))
    assert kernel.fans == (3 * 5 * 2, 3 * 5 * 3)
    assert bias.fans == (None, None)


def test_what_follows_a_kernel_is_an_activation_or_nothing():
    network = Network(chain(3, activation="gelu"))
    assert [network.after(kernel).name for kernel in network.kernels] == ["gelu", "gelu", "nothing"]
    assert network.after(network.kernels[-1]) is NOTHING


def test_surroundings_are_read_once():
    model = chain(3)
    network = Network(model)
    assert network.around(model.layers[0]) is network.around(model.layers[0])


@pytest.mark.parametrize(
    ("between", "is_plain"), [((), True), ((layers.BatchNormalization(),), False)]
)
def test_a_network_is_deep_if_it_is_plain_and_long(between, is_plain):
    for depth in (DEEP, DEEP + 1):
        network = Network(chain(depth, *between))
        assert (network.depth, network.is_plain) == (depth, is_plain)
        assert network.is_deep == (is_plain and depth > DEEP)


def test_branches_make_it_no_plain_network():
    inputs = keras.Input((4,))
    x = layers.Dense(4)(inputs)
    network = Network(keras.Model(inputs, x + layers.Dense(4)(layers.Dense(4, "relu")(x))))
    assert network.num_branches == 1
    assert not network.is_plain


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("hidden1", ["hidden1/kernel", "hidden1/bias"]),
        ("*/bias", ["hidden0/bias", "hidden1/bias", "output/bias"]),
        (["output/kernel", "hidden0/bias"], ["output/kernel", "hidden0/bias"]),
        ("hidden?/kernel", ["hidden0/kernel", "hidden1/kernel"]),
    ],
)
def test_weights_are_selected_by_names_paths_and_patterns(names, expected):
    selected = Network(chain(3)).select(names, argument="only")
    assert [weight.path.removeprefix("chain/") for weight in selected] == expected


def test_a_name_that_nothing_has_is_refused_with_the_nearest_one():
    message = r"`only` should be the name.*only='hiden1'.*Did you mean 'hidden1'\?"
    with pytest.raises(ValueError, match=message):
        Network(chain(3)).select("hiden1", argument="only")
    with pytest.raises(TypeError, match="or a list of them. Received: only=3"):
        Network(chain(3)).select(3, argument="only")


def test_values_count_as_they_are_or_as_they_start():
    """A multiplier that starts at zero, and was trained, makes a branch that starts at zero."""
    inputs = keras.Input((4,))
    x = layers.Dense(4)(inputs)
    scale = layers.BatchNormalization(gamma_initializer="zeros")
    model = keras.Model(inputs, x + scale(layers.Dense(4, name="inner")(layers.Dense(4)(x))))
    scale.gamma.assign(np.ones(4))
    inner = model.get_layer("inner")
    assert Network(model, anew=True).around(inner).branch.is_zero
    assert not Network(model).around(inner).branch.is_zero


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="`model` should be a Keras model. Received: model='m'"):
        Network("m")


def test_a_layer_without_weights_is_named():
    model = keras.Sequential([layers.Dense(3, name="lazy")], name="unbuilt")
    network = Network(model)
    with pytest.raises(ValueError, match="`model` should be built. Received: model='unbuilt'"):
        network.check_built()


def test_what_a_model_never_calls_need_not_be_built():
    class Spare(layers.Layer):
        """Has a layer that it has no use for, and one without weights that it runs itself."""

        def __init__(self):
            super().__init__()
            self.used, self.spare, self.scaling = layers.Dense(5), layers.Dense(4), Scaling()

        def build(self, shape):
            self.used.build(shape)

        def call(self, x):
            return self.scaling.call(self.used(x))

        def compute_output_shape(self, shape):
            return (*shape[:-1], 5)

    class Scaling(layers.Layer):
        def call(self, x):
            return 2.0 * x

    inputs = keras.Input((6,))
    Network(keras.Model(inputs, Spare()(inputs))).check_built()
    alone = Spare()
    alone.build((None, 6))
    with pytest.raises(ValueError, match=f"layer {alone.spare.name!r} is not"):
        Network(alone).check_built()
    alone.spare.build((None, 5))
    Network(alone).check_built()
