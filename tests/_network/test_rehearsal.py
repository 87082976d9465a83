"""Layers of unknown classes tell by their code what they draw their weights with."""

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._network import weights_of

layers = keras.layers
initializers = keras.initializers


class Norm(layers.Layer):
    """Has no config: its argument is no plain value."""

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        size = keras.ops.mean(keras.ops.square(x), axis=-1, keepdims=True)
        return x * keras.ops.rsqrt(size + self.epsilon()) * self.scale


class Positions(layers.Layer):
    def __init__(self, steps, initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.steps, self.initializer = steps, initializers.get(initializer)

    def build(self, shape):
        self.table = self.add_weight((self.steps, shape[-1]), self.initializer, name="table")

    def call(self, x):
        return x + self.table[: keras.ops.shape(x)[1]]


class ClassToken(layers.Layer):
    """Has another layer inside, and so is made anew from its config."""

    def __init__(self, units, stddev=0.02, **kwargs):
        super().__init__(**kwargs)
        self.units, self.stddev = units, stddev
        self.dense = layers.Dense(units)

    def build(self, shape):
        initializer = initializers.TruncatedNormal(stddev=self.stddev)
        self.dense.build(shape)
        self.token = self.add_weight((1, 1, self.units), initializer, name="token")
        self.fixed = self.add_weight((self.units,), "zeros", trainable=False, name="fixed")
        self.fixed.assign(3 * self.token[0, 0])

    def call(self, x):
        token = keras.ops.broadcast_to(self.token, (keras.ops.shape(x)[0], 1, self.units))
        return keras.ops.concatenate([token, self.dense(x)], axis=1)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "stddev": self.stddev}


class Experts(layers.Layer):
    def __init__(self, num_experts, units):
        super().__init__()
        self.num_experts, self.units = num_experts, units

    def build(self, shape):
        shape = (self.num_experts, shape[-1], self.units)
        self.bank = self.add_weight(shape, name="bank")

    def call(self, x):
        return keras.ops.mean(keras.ops.einsum("btd,edh->ebth", x, self.bank), axis=0)


def model():
    inputs = keras.Input((7, 6))
    x = Positions(7, name="positions")(inputs)
    x = ClassToken(10, name="token")(x)
    x = Experts(3, 20)(Norm(lambda: 1e-6)(x))
    return keras.Model(inputs, layers.Dense(2, name="dense")(x))


@pytest.fixture(scope="module")
def weights():
    return {weight.name: weight for weight in weights_of(model())}


def test_weights_of_unknown_layers_have_the_initializers_that_their_code_asks_for(weights):
    assert weights["scale"].own_initializer().__class__ is initializers.Ones
    assert weights["table"].own_initializer().__class__ is initializers.GlorotUniform
    token = weights["token"].own_initializer()
    assert (token.__class__, token.stddev) == (initializers.TruncatedNormal, 0.02)
    assert [weights[name].skip for name in ("scale", "table", "token", "bank")] == [None] * 4


def test_what_the_code_of_a_layer_has_computed_is_left_alone():
    net = model()
    with pytest.warns(UserWarning, match="token/fixed"):
        result = keras_winit.initialize(net, "own", seed=1)
    (row,) = result.skipped
    assert row.weight.endswith("fixed")
    assert row.before == row.after > 0


def test_each_expert_has_its_own_fans_and_no_two_are_alike(weights):
    assert weights["bank"].fans == (10, 20)
    net = model()
    keras_winit.initialize(net, seed=1)
    bank = keras.ops.convert_to_numpy(next(each for each in net.weights if each.name == "bank"))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(bank[one].ravel(), bank[other].ravel())[0, 1]) < 4 / np.sqrt(200)
    variance = {"lecun": 1 / 10, "glorot": 2 / 30, "keras": 2 / (3 * 30)}
    error = 4 * np.sqrt(2 / bank.size)
    assert any(abs(bank.var() / variance[name] - 1) < error for name in ("lecun", "glorot"))
    assert abs(bank.var() / variance["keras"] - 1) > error


def test_looking_leaves_no_trace():
    net = model()
    before = [keras.ops.convert_to_numpy(each) for each in net.weights]
    add_weight = keras.Layer.add_weight
    weights_of(net)
    assert keras.Layer.add_weight is add_weight
    for each, values in zip(net.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(each), values)


class Patches(layers.Layer):
    """Says more in its config than it takes, and has given an argument's name to a layer."""

    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.norm = [layers.LayerNormalization()]

    def build(self, shape):
        self.token = self.add_weight((1, 1, self.units), "random_normal", name="token")
        self.norm[0].build(shape)
        self.rate = layers.Dropout(self.rate)
        self.dense = layers.Dense(self.units)
        self.dense.build(shape)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rate": self.rate, "num_tokens": 1}


class RelativeBias(layers.Layer):
    """Makes its own weights in its `__init__`, and keeps one of its arguments as a layer only."""

    def __init__(self, heads, size, dropout, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.size = heads, size
        self.dense, self.dropout_layer = layers.Dense(size), layers.Dropout(dropout)
        initializer = initializers.RandomNormal(stddev=size**-0.5)
        self.bias_table = self.add_weight((32, heads), initializer, name="bias_table")

    def build(self, shape):
        self.dense.build(shape)


class Scale(layers.Layer):
    """Takes nothing that Keras gives to layers."""

    def __init__(self, units):
        super().__init__()
        self.scale = self.add_weight((units,), "ones", name="scale")
        self.logit_scale = self.add_weight((), lambda *_, **__: 2.5, name="logit_scale")


class Unsaid(layers.Layer):
    """Draws its weight with an argument that it keeps nowhere."""

    def __init__(self, units, start, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.table = self.add_weight((5, units), initializers.Constant(start), name="table")


def own(layer):
    """Returns what each of its own weights is drawn with, by name."""
    layer.build((None, 6))
    return {each.name: each.skip or each.own_initializer() for each in weights_of(layer)}


def test_a_copy_is_made_of_attributes_where_the_config_does_not_fit():
    token = own(Patches(10, dtype=keras.DTypePolicy("mixed_bfloat16")))["token"]
    assert (token.__class__, token.stddev) == (initializers.RandomNormal, 0.05)


def test_weights_made_before_the_layer_is_built_are_known_by_its_arguments():
    table = own(RelativeBias(3, 16, 0.2, dtype=keras.DTypePolicy("mixed_bfloat16")))["bias_table"]
    assert (table.__class__, table.stddev) == (initializers.RandomNormal, 0.25)
    assert own(Scale(4))["scale"].__class__ is initializers.Ones


def test_a_function_that_gives_the_same_each_time_is_a_constant():
    layer = Scale(4)
    assert own(layer)["logit_scale"].value == 2.5
    layer.logit_scale.assign(7.0)
    keras_winit.initialize(layer, "own", seed=1)
    assert keras.ops.convert_to_numpy(layer.logit_scale) == 2.5


def test_an_argument_that_matters_and_is_kept_nowhere_leaves_a_weight_unknown():
    said = own(Unsaid(4, 0.3, dtype=keras.DTypePolicy("mixed_bfloat16")))["table"]
    assert "Unsaid is not known" in said


def test_what_cannot_be_built_again_stays_unknown():
    class Counting(layers.Layer):
        """Its code gives other weights the second time."""

        made = 0

        def build(self, shape):
            Counting.made += 1
            self.scale = self.add_weight((Counting.made,), "ones", name="scale")

        def call(self, x):
            return x * self.scale[0]

    layer = Counting()
    layer.build((None, 4))
    (weight,) = weights_of(layer)
    assert "Counting is not known; use `describe_layer`" in weight.skip


def test_a_weight_in_place_of_the_number_it_starts_with_is_left_alone():
    class Factor(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def build(self, shape):
            start = keras.initializers.Constant(self.factor)
            self.factor = self.add_weight((1,), start, name="factor")

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {"factor": self.factor}

    model = keras.Sequential([keras.Input((3,)), Factor(0.5), keras.layers.Dense(2)])
    model.layers[0].factor.assign([0.7])
    with pytest.warns(UserWarning, match="Not reset.*factor"):
        result = keras_winit.initialize(model, "own", seed=1)
    assert keras_winit.suggest(model).problem is None
    assert [row.weight.split("/")[-1] for row in result.skipped] == ["factor"]
