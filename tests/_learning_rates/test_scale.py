import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._learning_rates.optimizers import SCALED

layers = keras.layers
optimizers = keras.optimizers


def network(width, heads=2):
    """Returns a model with weights of every kind that width scales."""
    images, words = keras.Input((6, 6, 2)), keras.Input((5,), dtype="int32")
    x = layers.Conv2D(width, 3, name="convolution")(images)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.SeparableConv2D(width, 2, name="separable")(x)
    x = layers.Conv2D(width, 1, groups=2, name="grouped")(x)
    x = layers.BatchNormalization(name="norm")(layers.Flatten()(x))
    y = layers.Embedding(9, width, name="words")(words)
    y = layers.MultiHeadAttention(heads, width // heads, name="attention")(y, y)
    y = layers.LSTM(2 * width, name="lstm")(y)
    x = layers.Dense(width, "relu", name="hidden")(layers.Concatenate()([x, y]))
    return keras.Model([images, words], layers.Dense(3, name="output")(x), name="net")


# From a width of 8 to one of 32, four times: the factors for SGD and for Adam.
FACTORS = {
    "convolution/kernel": (4, 1),  # an input of the model: as for vectors
    "convolution/bias": (4, 1),
    "depthwise/kernel": (4, 1),
    "separable/depthwise_kernel": (4, 1),
    "separable/pointwise_kernel": (1, 1 / 4),
    "grouped/kernel": (1, 1 / 4),
    "norm/gamma": (4, 1),
    "norm/beta": (4, 1),
    "words/embeddings": (4, 1),
    "attention/query/kernel": (1 / 4, 1 / 8),  # 1 and 1 / 4, and heads of 4 times the size
    "attention/query/bias": (1, 1 / 2),
    "attention/key/kernel": (1, 1 / 4),
    "attention/key/bias": (4, 1),
    "attention/attention_output/kernel": (1, 1 / 4),
    "lstm/lstm_cell/kernel": (1, 1 / 4),
    "lstm/lstm_cell/recurrent_kernel": (1, 1 / 4),
    "lstm/lstm_cell/bias": (4, 1),
    "hidden/kernel": (1, 1 / 4),
    "output/kernel": (1 / 4, 1 / 4),
    "output/bias": (1, 1),
}


@pytest.mark.parametrize("kind", SCALED)
def test_factors_are_those_of_the_roles(kind):
    optimizer = keras_winit.scale_learning_rates(network(32), kind(0.1), network(8))
    found = optimizer.learning_rate_factors
    place = 0 if kind is optimizers.SGD else 1
    for path, factors in FACTORS.items():
        assert found[path] == pytest.approx(factors[place]), path


@pytest.mark.parametrize("kind", [kind for kind in SCALED if hasattr(kind(), "epsilon")])
def test_epsilon_falls_as_gradients_do(kind):
    given = kind(0.1, epsilon=1e-4)
    optimizer = keras_winit.scale_learning_rates(network(32), given, network(8))
    assert optimizer.epsilon == pytest.approx(1e-4 / 4)
    assert given.epsilon == 1e-4


def test_of_the_base_itself_nothing_is_scaled():
    optimizer = keras_winit.scale_learning_rates(network(8), "adam", network(8))
    assert set(optimizer.learning_rate_factors.values()) == {1.0}
    assert optimizer.epsilon == optimizers.Adam().epsilon


def test_more_heads_of_the_same_size_change_no_logits():
    optimizer = keras_winit.scale_learning_rates(network(32, heads=8), "sgd", network(8))
    assert optimizer.learning_rate_factors["attention/query/kernel"] == 1


def plain(width, names=("a", "b", "c")):
    sizes = (width, width, 2)
    hidden = [layers.Dense(size, name=name) for size, name in zip(sizes, names, strict=True)]
    return keras.Sequential([keras.Input((4,)), *hidden], name="net")


def used():
    optimizer = optimizers.Adam()
    optimizer.build(plain(8).trainable_variables)
    return optimizer


class Own(optimizers.Adam):
    pass


WRONG = {
    "name": (lambda: "adams", ValueError, "(?i)adams"),
    "none": (lambda: 0.1, TypeError, "`optimizer` should be one of Keras's SGD, Adam.*=0.1"),
    "unknown": (optimizers.Ftrl, ValueError, "should be one of.*Received: one of class Ftrl"),
    "own": (Own, ValueError, "Received: one of class Own"),
    "loss scale": (
        lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
        ValueError,
        "of class LossScaleOptimizer.*put around what this returns",
    ),
    "used": (used, ValueError, "that has not been used"),
    "twice": (
        lambda: keras_winit.scale_learning_rates(plain(16), "adam", plain(8)),
        ValueError,
        "have been scaled. Give the one that it was made of",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_optimizer_of_unknown_kind_is_refused(case):
    make, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        keras_winit.scale_learning_rates(plain(16), make(), plain(8))


def test_models_that_are_not_of_the_same_code_are_refused():
    base = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2)])
    with pytest.raises(ValueError, match="Model 'net': `base_model` should be the same network"):
        keras_winit.scale_learning_rates(plain(16), "adam", base)
    with pytest.raises(TypeError, match="`base_model` should be a Keras model"):
        keras_winit.scale_learning_rates(plain(16), "adam", 8)
    with pytest.raises(TypeError, match="`model` should be a Keras model"):
        keras_winit.scale_learning_rates(16, "adam", plain(8))
    with pytest.raises(ValueError, match="`model` should be built"):
        keras_winit.scale_learning_rates(keras.Sequential([layers.Dense(2)]), "adam", plain(8))


class Twins(keras.Model):
    """A model whose layers have one name."""

    def __init__(self, width):
        super().__init__(name="net")
        self.first, self.second = (layers.Dense(width, name="same") for _ in range(2))
        self.build((None, 4))

    def build(self, shape):
        self.first.build(shape)
        self.second.build((None, self.first.units))
        self.built = True

    def call(self, x):
        return self.second(self.first(x))


def test_layers_of_one_name_are_told_apart():
    model = Twins(16)
    assert len({weight.path for weight in model.weights}) == 2
    optimizer = keras_winit.scale_learning_rates(model, "adam", Twins(8))
    assert [*optimizer.learning_rate_factors.values()] == [1, 1, 1 / 2, 1]
    model.compile(optimizer, "mse")
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 16)))
