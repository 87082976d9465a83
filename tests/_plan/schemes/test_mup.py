import keras
import numpy as np
import pytest

import keras_winit

layers = keras.layers


def attending(width, heads=2, head_size=None, tokens=40):
    """Returns a model with a map of every role, whose heads grow with the width."""
    words = keras.Input((6,), dtype="int32")
    x = layers.Embedding(tokens, width, name="words")(words)
    attention = layers.MultiHeadAttention(heads, head_size or width // heads, name="attention")
    x = x + attention(layers.LayerNormalization(name="norm")(x), x)
    x = layers.Dense(3 * width, "gelu", name="hidden")(x)
    x = layers.Dense(5, name="narrow")(x)  # of the same size at any width
    x = layers.Dense(2 * width, "relu", name="wide_again")(x)
    return keras.Model(words, layers.Dense(7, name="output")(x), name="net")


@pytest.fixture(scope="module")
def drawn():
    model, base = attending(192), attending(48)
    result = keras_winit.initialize(model, "mup", base_model=base, seed=1)
    rows = {row.weight: row for row in result.rows}
    return {weight.path: weight for weight in model.weights}, rows, base


# Variance times fan_in. Its sampling error is that of a truncated normal, below that of a normal.
VARIANCES = {
    "attention/key/kernel": 1,
    "attention/value/kernel": 1,
    "attention/attention_output/kernel": 1,
    "attention/query/kernel": 1 / 4,  # logits by 1 / head size: 96 in place of 24
    "hidden/kernel": 1 / 0.4252,  # E gelu(z)², by numerical integration
    "narrow/kernel": 1 / 4,  # of 576 in place of 144 inputs to 5: 1 / fan_in²
    "wide_again/kernel": 2,
}


@pytest.mark.parametrize("path", VARIANCES)
def test_standard_deviation_is_that_of_the_role(drawn, path):
    weights, rows, _ = drawn
    values = keras.ops.convert_to_numpy(weights[path])
    variance = VARIANCES[path] / rows[path].fan_in
    assert abs(values.var() / variance - 1) < 4 * np.sqrt(2 / values.size)


def test_an_output_starts_at_zero(drawn):
    weights, _, _ = drawn
    assert not keras.ops.convert_to_numpy(weights["output/kernel"]).any()


def test_reasons_say_what_width_does(drawn):
    _, rows, _ = drawn
    assert "4 times the base's width" in rows["narrow/kernel"].reason
    assert "heads 4 times as large" in rows["attention/query/kernel"].reason
    assert "2203.03466" not in rows["hidden/kernel"].reason


def test_more_heads_of_the_same_size_change_no_logits():
    model, base = attending(96, heads=8, head_size=12), attending(48, heads=4, head_size=12)
    keras_winit.initialize(model, "mup", base_model=base, seed=1)
    query = model.get_layer("attention").query_dense.kernel
    values = keras.ops.convert_to_numpy(query)
    assert abs(values.var() * 96 - 1) < 4 * np.sqrt(2 / values.size)


def test_a_model_beside_itself_is_the_base():
    model = attending(48)
    keras_winit.initialize(model, "mup", base_model=model, seed=1)
    values = keras.ops.convert_to_numpy(model.get_layer("narrow").kernel)
    assert abs(values.var() * 144 - 1) < 4 * np.sqrt(2 / values.size)


@pytest.mark.parametrize(
    "initializer", ["uniform", "glorot_normal", keras.initializers.RandomNormal(stddev=0.3)]
)
def test_the_size_of_embeddings_is_that_of_the_base(initializer):
    models = []
    for width in (512, 32):
        words = keras.Input((4,), dtype="int32")
        x = layers.Embedding(300, width, embeddings_initializer=initializer, name="words")(words)
        x = layers.Dense(width, "relu")(x)
        models.append(keras.Model(words, layers.Dense(3)(x)))
    model, base = models
    std = keras.ops.convert_to_numpy(base.get_layer("words").embeddings).std()
    keras_winit.initialize(model, "mup", base_model=base, seed=1)
    drawn = keras.ops.convert_to_numpy(model.get_layer("words").embeddings).std()
    # The base has 9600 values: 4 standard errors.
    assert abs(drawn / std - 1) < 4 / np.sqrt(2 * 9600)


def plain(width, depth=2):
    hidden = [layers.Dense(width, "relu", name=f"hidden_{n}") for n in range(depth)]
    return keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3, name="output")])


class Mixer(layers.Layer):
    """A layer with a matrix of which nothing tells the axes."""

    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], shape[-1]), name="mix", initializer="ones")

    def call(self, x):
        return x @ self.mix


def mixing(width):
    return keras.Sequential([keras.Input((8,)), layers.Dense(width), Mixer(), layers.Dense(3)])


def tied(width, last=layers.Dropout, rate=0.1):
    words = keras.Input((4,), dtype="int32")
    table = layers.ReversibleEmbedding(20, width, name="table")
    x = last(rate, name="last")(layers.Dense(width)(table(words)))
    return keras.Model(words, table(layers.Dropout(0.1)(x), reverse=True))


@pytest.mark.parametrize(
    "last",
    [
        lambda rate, name: layers.LayerNormalization(name=name),
        lambda rate, name: layers.RMSNormalization(name=name),
    ],
)
def test_the_scale_before_a_tied_table_shrinks_in_its_place(last):
    model, base = tied(48, last), tied(16, last)
    result = keras_winit.initialize(model, "mup", base_model=base, seed=1)
    scale, table = model.get_layer("last").weights[0], model.get_layer("table").embeddings
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scale), 1 / 3, rtol=1e-6)
    assert abs(keras.ops.convert_to_numpy(table).std() / (0.05 / np.sqrt(3)) - 1) < 0.1
    (row,) = [row for row in result.rows if row.weight == scale.path]
    assert "by a table 3 times as wide" in row.reason
    for optimizer, factor in (("sgd", 3 / 9), ("adam", 1 / 3)):
        scaled = keras_winit.scale_learning_rates(model, optimizer, base)
        assert scaled.learning_rate_factors[scale.path] == pytest.approx(factor)


def test_a_table_that_could_read_the_output_but_does_not_is_that_of_the_input():
    def build(width):
        words = keras.Input((4,), dtype="int32")
        x = layers.ReversibleEmbedding(20, width, name="table")(words)
        return keras.Model(words, layers.Dense(3)(layers.Dense(width)(x)))

    keras_winit.initialize(build(32), "mup", base_model=build(16))


def convolving(width, size=3):
    convolution = layers.Conv2D(width, size, padding="same")
    flat = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return keras.Sequential([keras.Input((6, 6, 1)), convolution, *flat])


WRONG = {
    "no base": (lambda: (plain(32), None), ValueError, "`base_model` should be given"),
    "no model": (lambda: (plain(32), 64), TypeError, "`base_model` should be a Keras model"),
    "not built": (
        lambda: (plain(32), keras.Sequential([layers.Dense(3)])),
        ValueError,
        "`base_model` is no base: .* should be built",
    ),
    "no width": (
        lambda: (plain(32, depth=0), plain(16, depth=0)),
        ValueError,
        "it has no width: no kernel comes after another",
    ),
    "deeper": (
        lambda: (plain(32), plain(16, depth=3)),
        ValueError,
        "`base_model` should be the same network.*with 8 weights, where .* has 6",
    ),
    "other taps": (
        lambda: (convolving(32), convolving(16, size=5)),
        ValueError,
        r"the same network.*of shape \(5, 5, 1, 16\).*of shape \(3, 3, 1, 32\)",
    ),
    "unknown matrix": (
        lambda: (mixing(32), mixing(16)),
        ValueError,
        r"Mixer\) is of shape \(32, 32\), and \(16, 16\).*describe_layer",
    ),
    "tied": (lambda: (tied(32), tied(16)), ValueError, "'table' reads the output.*tie_weights"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_wider_model_is_refused_and_nothing_changes(case):
    make, kind, message = WRONG[case]
    model, base = make()
    before = model.get_weights()
    with pytest.raises(kind, match=message):
        keras_winit.initialize(model, "mup", base_model=base)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_other_schemes_take_no_base():
    model = plain(32)
    with pytest.raises(
        ValueError, match='`base_model` should be left out but for the scheme "mup"'
    ):
        keras_winit.initialize(model, "orthogonal", base_model=plain(16))
    with pytest.raises(ValueError, match="with scheme=a plan"):
        keras_winit.initialize(model, keras_winit.suggest(model), base_model=plain(16))
