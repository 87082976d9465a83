"""What a scheme gives does not depend on what a model has been through before."""

import itertools
import json

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import _network
from keras_winit._network.transaction import all_or_nothing

layers = keras.layers
initializers = keras_winit.initializers


class Doubtful(keras.layers.Layer):
    """A branch of the user's, multiplied by a weight of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.alpha_initializer = keras.initializers.Zeros()
        self.inner = layers.Dense(units, "relu")
        self.outer = layers.Dense(units)

    def build(self, shape):
        self.inner.build(shape)
        self.outer.build((*shape[:-1], self.inner.units))
        self.alpha = self.add_weight(shape=(), name="alpha", initializer=self.alpha_initializer)

    def call(self, x):
        return self.outer(self.inner(x)) * self.alpha


class ZeroScaled(keras.Model):
    """A model around branches that start at zero: by a weight of its own, and by a gamma."""

    def __init__(self):
        super().__init__(name="zero_scaled")
        self.doubtful = Doubtful(6, name="doubtful")
        self.last = layers.Dense(6, kernel_initializer="ones", name="last")
        self.gamma = layers.BatchNormalization(gamma_initializer="zeros", name="gamma")

    def call(self, x):
        x = x + self.doubtful(x)
        return x + self.gamma(self.last(keras.ops.relu(self.gamma(x))))


def every_attribute():
    """Returns a model with what its author gave at every attribute that a scheme may change."""
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 8, embeddings_initializer="ones")(tokens)
    recurrent = {"recurrent_initializer": "he_uniform", "unroll": True, "return_sequences": True}
    noisy = {"bias_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=3)}
    x = layers.Bidirectional(layers.LSTM(4, kernel_initializer="ones", **recurrent))(x)
    x = layers.RNN(layers.GRUCell(8, **noisy), return_sequences=True)(x)
    attention = layers.MultiHeadAttention(2, 4, kernel_initializer=initializers.Orthogonal(0.5))
    x = layers.Add()([x, attention(x, x)])
    shared = layers.Dense(8, "tanh", kernel_initializer=initializers.Sparse(0.5), **noisy)
    x = shared(shared(x))
    branch = layers.BatchNormalization(gamma_initializer="zeros")(layers.Dense(8, **noisy)(x))
    x = layers.Add()([x, layers.Dense(8)(layers.PReLU("ones")(branch))])
    x = layers.Conv1D(6, 3, groups=2, kernel_initializer="dirac", bias_initializer="ones")(x)
    x = layers.Dense(10)(layers.PReLU(initializers.Constant(0.3))(layers.Dense(7)(x)))
    x = layers.SeparableConv1D(4, 2, depth_multiplier=2, depthwise_initializer="he_normal")(x)
    return keras.Model(tokens, layers.Dense(3, kernel_initializer="zeros")(layers.Flatten()(x)))


def zero_scaled():
    model = ZeroScaled()
    model(np.zeros((2, 6), "float32"))
    return model


def deep():
    """Returns a network deep enough for kernels and biases at the critical point."""
    normal = initializers.RandomNormal(stddev=0.1)
    hidden = [layers.Dense(5, "gelu", bias_initializer=normal) for _ in range(22)]
    return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(2)])


def state(model):
    """Returns the weights of a model, and all initializers that its layers hold."""
    told = {
        f"{number}/{name}": keras.initializers.serialize(keras.initializers.get(value))
        for number, layer in enumerate(_network.walk(model))
        for name, value in vars(layer).items()
        if name.endswith("_initializer") and value is not None
    }
    # The streams are ours; the seeds that Keras takes for what has none are not drawn with.
    told = json.loads(json.dumps(told), object_hook=lambda d: {k: d[k] for k in d if k != "seed"})
    return [keras.ops.convert_to_numpy(each) for each in model.weights], told


def assert_equal(found, expected, label):
    for value, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(value, other, err_msg=label)
    assert found[1] == expected[1], label


def after(model, scheme):
    keras_winit.initialize(model, scheme, seed=1)
    return model


@pytest.mark.parametrize(
    ("build", "schemes"),
    [
        (every_attribute, ["suggested", "own", "pytorch", "gpt2", "mimetic", "sparse"]),
        (zero_scaled, ["suggested", "keras", "pytorch", "fixup", "zero_last", "ones"]),
        (deep, ["suggested", "own", "critical", "he_normal"]),
    ],
)
def test_a_scheme_gives_the_same_after_any_other(build, schemes):
    expected = {scheme: state(after(build(), scheme)) for scheme in schemes}
    model = build()
    for pair in itertools.combinations(schemes, 2):  # in a row: each comes before and after each
        for scheme in pair:
            assert_equal(state(after(model, scheme)), expected[scheme], f"{scheme} in {pair}")


@pytest.mark.filterwarnings("ignore:Not reset.*alpha", "ignore:Left alone.*Doubtful")
def test_what_calibration_a_fix_and_stripping_do_is_forgotten():
    model = zero_scaled()
    expected = {scheme: state(after(zero_scaled(), scheme)) for scheme in ("own", "suggested")}
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, size=(32, 6)).astype("float32")
    model.compile("sgd", "mean_squared_error")
    for change in (
        lambda: keras_winit.calibrate(model, x),
        lambda: keras_winit.diagnose(after(model, "ones"), x, x).fix(seed=2),
        lambda: keras_winit.strip_initializers(after(model, "sparse")),
    ):
        for scheme, known in expected.items():
            change()
            assert_equal(state(after(model, scheme)), known, scheme)


def test_what_somebody_sets_afterwards_is_the_authors():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, bias_initializer="ones")])
    after(model, "pytorch")
    model.layers[0].bias_initializer = keras.initializers.Constant(5.0)
    for scheme in ("he_normal", "pytorch", "own"):
        after(model, scheme)
    assert keras.ops.convert_to_numpy(model.layers[0].bias).tolist() == [5.0] * 4
    assert model.layers[0].bias_initializer.value == 5.0


def test_a_file_holds_what_was_told(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, kernel_initializer="ones")])
    after(model, "he_normal").save(tmp_path / "model.keras")
    for copy in (
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        after(copy, "own")
        assert isinstance(copy.layers[0].kernel_initializer, keras.initializers.HeNormal)
    after(model, "own")
    assert isinstance(model.layers[0].kernel_initializer, keras.initializers.Ones)


def tell_twice_and_stop(layer):
    with all_or_nothing() as changes:
        for _ in range(2):
            _network.tell(layer, "bias_initializer", keras.initializers.Zeros(), changes)
        raise KeyboardInterrupt


def test_an_error_while_layers_are_told_leaves_what_is_the_authors():
    layer = layers.Dense(4, bias_initializer="ones")
    author = layer.bias_initializer
    model = keras.Sequential([keras.Input((6,)), layer])
    for scheme in ("he_normal", "pytorch"):  # nothing was told before, and something
        held = after(model, scheme).layers[0].bias_initializer
        with pytest.raises(KeyboardInterrupt):
            tell_twice_and_stop(layer)
        assert layer.bias_initializer is held
        (_, bias) = _network.weights_of(model)
        assert bias.own_initializer() is author


def test_a_slope_of_the_authors_is_told_from_the_one_of_torch():
    model = keras.Sequential(
        [keras.Input((60,)), layers.Dense(300), layers.PReLU(initializers.Constant(1.0))]
    )
    after(model, "pytorch")
    after(model, "suggested")
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    # The identity follows: 1 / fan_in, and not 2 / (1 + 1 / 16) / fan_in.
    assert kernel.var() == pytest.approx(1 / 60, rel=4 * np.sqrt(2 / kernel.size))
