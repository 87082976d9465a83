"""Models that start from others: the outputs of both are compared, and single weights."""

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._inherit import values

layers = keras.layers
SAME = {"padding": "same", "activation": "relu"}


def dense(width, depth=2, classes=3, features=8):
    hidden = [layers.Dense(width, "relu", name=f"hidden_{n}") for n in range(depth)]
    end = layers.Dense(classes, name="end")
    return keras.Sequential([keras.Input((features,)), *hidden, end], name="net")


def images(width, places=4):
    """Returns a model in which channels are put together, multiplied, and flattened."""
    inputs = keras.Input((places, 5, 2))
    x = layers.Conv2D(width, (3, 2), **SAME, name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.Conv2D(3 * width // 2, (1, 2), **SAME, name="second")(x)
    x = layers.Concatenate()([y, x])
    x = layers.DepthwiseConv2D((2, 3), depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = layers.Flatten()(layers.MaxPooling2D((1, 2))(x))
    return keras.Model(inputs, layers.Dense(3, name="end")(layers.Dropout(0.5)(x)))


def many_kernels(width):
    """Returns a model with kernels of all kinds, and one that is called twice."""
    inputs = keras.Input((4, 3))
    x = layers.SeparableConv1D(width, 3, depth_multiplier=2)(inputs)
    x = layers.Conv1D(2 * width, 2, groups=2, activation="relu")(x)
    x = layers.Conv1DTranspose(width, 2)(x)
    twice = layers.Dense(width, "tanh")
    x = layers.Add()([twice(x), twice(twice(x))])
    x = layers.LSTM(width + 2, return_sequences=True, unroll=True)(x)
    x = layers.Bidirectional(layers.GRU(width, unroll=True))(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Reshape((1, 2 * width))(x)))


class Tokens(layers.Layer):
    """Rows of tokens and of places, times a number; they read the output again."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.tokens = layers.ReversibleEmbedding(11, width, name="tokens")
        self.places = layers.Embedding(5, width, name="places")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x, reverse=False):
        if reverse:
            return self.tokens(x, reverse=True)
        return (self.tokens(x) + self.places(x * 0 + 1)) * self.scale


def transformer(width, depth, heads, head_size=3):
    """Returns one with layers of its own inside, tied embeddings and no bias in its norms."""
    inputs, embedding = keras.Input((5,), dtype="int32"), Tokens(width)
    x = embedding(inputs)
    for _ in range(depth):
        h = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(heads, head_size)(h, h)
        h = layers.RMSNormalization()(x)
        gate, value = layers.Dense(2 * width, "silu")(h), layers.Dense(2 * width)(h)
        x = x + layers.Dense(width)(gate * value)
    return keras.Model(inputs, embedding(layers.LayerNormalization()(x), reverse=True))


def residual(width, depth):
    inputs = keras.Input((4, 5, 2))
    x = layers.Conv2D(width, 3, **SAME)(inputs)
    for _ in range(depth):
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(x))
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(layers.ReLU()(y)))
        x = layers.ReLU()(x + y)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def plain(width, depth):
    """Returns convolutions with normalization before relu."""
    stack = [keras.Input((6, 5, 2))]
    for _ in range(depth):
        stack += [layers.Conv2D(width, (3, 1), padding="same"), layers.BatchNormalization()]
        stack += [layers.ReLU()]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(3)])


def numbers(model):
    return [keras.ops.convert_to_numpy(each) for each in model.weights]


def trained(model, seed=0):
    """Gives a model weights, and statistics, as of one that was trained; returns it."""
    rng = np.random.default_rng(seed)
    for weight, value in zip(model.weights, numbers(model), strict=True):
        if "float" in str(weight.dtype):
            weight.assign(value + rng.uniform(0.0, 0.4, value.shape))
    return model


def outputs(model, seed=1):
    rng = np.random.default_rng(seed)
    (tensor,) = model.inputs
    x = rng.normal(size=(8, *tensor.shape[1:])).astype("float32")
    x = np.abs(x).astype("int32") if "int" in tensor.dtype else x
    return keras.ops.convert_to_numpy(model(x))


def assert_same_function(model, source, tolerance=1e-5):
    expected = outputs(source)
    np.testing.assert_allclose(outputs(model), expected, atol=tolerance * abs(expected).max())


# From the narrow one to the wide one, the deep one, or both.
GROWN = {
    "dense, not a multiple": lambda: (dense(7), dense(4)),
    "images": lambda: (images(8), images(4)),
    "many kernels": lambda: (many_kernels(8), many_kernels(4)),
    "transformer": lambda: (transformer(12, 2, 4, head_size=6), transformer(4, 1, 2)),
    "residual": lambda: (residual(6, 3), residual(3, 1)),
    "deep dense": lambda: (dense(4, 4), dense(4, 2)),
    "deep convolutions": lambda: (plain(6, 3), plain(3, 1)),
    "nested": lambda: (
        keras.Sequential([keras.Input((8,)), dense(9), layers.Dense(2)]),
        keras.Sequential([keras.Input((8,)), dense(4), layers.Dense(2)]),
    ),
}


@pytest.mark.parametrize("case", GROWN)
def test_a_larger_model_computes_what_its_source_does(case):
    model, source = GROWN[case]()
    result = keras_winit.inherit(model, trained(source))
    assert_same_function(model, source)
    assert result.difference < 1e-5
    assert "Its outputs are those of the source" in result.notes[0]


def test_a_narrower_model_computes_with_every_second_unit():
    model, source = images(4), trained(images(8))
    keras_winit.inherit(model, source)
    # In the source all other units are turned off, and sums of half as many made up for.
    layer = source.get_layer
    for name, units in (("first", 8), ("second", 12)):
        off = np.arange(units) % 2 == 1
        for weight in layer(name).weights + (layer("norm").weights[:2] if units == 8 else []):
            weight.assign(np.where(off, 0.0, keras.ops.convert_to_numpy(weight)))
    for name in ("second", "end"):
        layer(name).kernel.assign(layer(name).kernel * np.sqrt(2))
    assert_same_function(model, source)


def test_heads_and_tables_are_selected_as_such():
    model, source = transformer(4, 1, 2), trained(transformer(8, 1, 4))
    keras_winit.inherit(model, source)
    attention, other = (
        next(each for each in one.layers if isinstance(each, layers.MultiHeadAttention))
        for one in (model, source)
    )
    query, wide = attention.query_dense.kernel, other.query_dense.kernel
    assert_equal(query, np.sqrt(2) * keras.ops.convert_to_numpy(wide)[::2, ::2, :])
    kernel, wide = attention.output_dense.kernel, other.output_dense.kernel
    assert_equal(kernel, np.sqrt(2) * keras.ops.convert_to_numpy(wide)[::2, :, ::2])
    table, wide = (one.layers[1].tokens.embeddings for one in (model, source))
    assert_equal(table, keras.ops.convert_to_numpy(wide)[:, ::2])


def assert_equal(one, other):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(one), other, rtol=1e-6)


def test_what_takes_fewer_inputs_is_made_larger_as_their_sum_is_smaller():
    model, source = dense(4), trained(dense(16))
    keras_winit.inherit(model, source)
    (_, _, kernel, *_), (_, _, wide, *_) = numbers(model), numbers(source)
    np.testing.assert_allclose(kernel, 2 * wide[::4, ::4], rtol=1e-6)


def test_of_a_deeper_source_the_first_layers_are_taken_and_the_outputs():
    model, source = dense(4, depth=2), trained(dense(4, depth=4))
    result = keras_winit.inherit(model, source)
    expected = numbers(source)
    for value, other in zip(numbers(model), [*expected[:4], *expected[-2:]], strict=True):
        np.testing.assert_array_equal(value, other)
    (note,) = result.notes
    assert note == "Layers of the source without a place here: net/hidden_2, net/hidden_3."
    assert result.difference is None


def test_layers_of_one_name_are_paired_before_others():
    names = [keras.layers.Dense(4, name=name) for name in ("a", "c")]
    model = keras.Sequential([keras.Input((4,)), *names])
    source = keras.Sequential([keras.Input((4,)), *(layers.Dense(4, name=n) for n in "abc")])
    result = keras_winit.inherit(model, source, dry_run=True)
    assert [row.source.split("/")[-2] for row in result.rows] == ["a", "a", "c", "c"]


def test_a_dry_run_shows_the_same_and_changes_nothing():
    model, source = dense(4), trained(dense(8))
    before, given = numbers(model), numbers(source)
    plan = keras_winit.inherit(model, source, dry_run=True)
    assert repr(plan).startswith("What model 'net' would inherit from 'net'\n")
    for value, other in zip(numbers(model), before, strict=True):
        np.testing.assert_array_equal(value, other)
    result = keras_winit.inherit(model, source)
    assert (result.rows, plan.difference) == (plan.rows, None)
    for value, other in zip(numbers(source), given, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("unevenness", [0.0, values._UNEVENNESS])
def test_copies_part_in_training_as_their_shares_differ(unevenness, monkeypatch):
    monkeypatch.setattr(values, "_UNEVENNESS", unevenness)
    model = dense(8)
    keras_winit.inherit(model, trained(dense(4)))
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(np.ones((4, 8)), np.ones((4, 3)))
    kernel, *_ = numbers(model)
    assert np.allclose(kernel[:, ::2], kernel[:, 1::2], rtol=1e-6) == (not unevenness)


def test_other_numbers_of_classes_features_and_tokens():
    model, source = dense(8, classes=5, features=6), dense(4)
    before = numbers(model)
    result = keras_winit.inherit(model, trained(source))
    assert [row.what for row in result.left] == [
        "left alone: another number of inputs",
        "left alone: another number of inputs",
        "left alone: another number of outputs",
        "left alone: another number of outputs",
    ]
    unchanged = [np.array_equal(*pair) for pair in zip(before, numbers(model), strict=True)]
    assert unchanged == [True, True, False, False, True, True]

    def table(rows):
        hidden = layers.Dense(3)
        return keras.Sequential([keras.Input((2,)), layers.Embedding(rows, 4), hidden])

    for rows, words in ((5, "first 5 of 7 rows"), (9, "7 of 9 rows")):
        model, source = table(rows), trained(table(7))
        (before, *_) = numbers(model)
        assert keras_winit.inherit(model, source).rows[0].what == words
        expected = np.concatenate([numbers(source)[0], before[7:]])[:rows]
        np.testing.assert_array_equal(numbers(model)[0], expected)


def test_what_is_asked_for_keeps_its_values():
    model = dense(8)
    before = numbers(model)
    result = keras_winit.inherit(model, trained(dense(4)), leave=["hidden_0", "end/bias"])
    unchanged = [np.array_equal(*pair) for pair in zip(before, numbers(model), strict=True)]
    assert unchanged == [True, True, False, False, False, True]
    assert [row.left for row in result.rows] == unchanged
    assert result.difference is None


def test_post_normalized_blocks_cannot_start_as_the_identity_which_is_said():
    def build(depth):
        inputs = x = keras.Input((4,))
        for _ in range(depth):
            x = layers.LayerNormalization()(x + layers.Dense(4)(layers.Dense(6, "relu")(x)))
        return keras.Model(inputs, layers.Dense(3)(x))

    result = keras_winit.inherit(build(2), trained(build(1)))
    assert result.difference > 1e-3
    assert "Its outputs are not those of the source: they differ by" in result.notes[0]


def test_types_of_16_bits_are_cast_last():
    with_policy = keras.Sequential([keras.Input((8,)), layers.Dense(8, dtype="float16")])
    wide = keras.Sequential([keras.Input((8,)), layers.Dense(8)])
    keras_winit.inherit(with_policy, trained(wide))
    (value, _), (other, _) = numbers(with_policy), numbers(wide)
    np.testing.assert_array_equal(value, other.astype("float16"))
    wide.layers[0].kernel.assign(1e6 * other)
    with pytest.raises(ValueError, match=r"'dense.*/kernel' are not all finite in float16. Give"):
        keras_winit.inherit(with_policy, wide)
    np.testing.assert_array_equal(numbers(with_policy)[0], value)


def test_a_new_layer_before_tanh_is_left_alone_which_is_said():
    def build(depth):
        hidden = [layers.Dense(4, "tanh") for _ in range(depth)]
        return keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3)])

    result = keras_winit.inherit(build(3), build(2))
    assert {row.what for row in result.left} == {"left alone: the source has no such layer"}
    assert result.difference > 0.01
    assert "Its outputs are not those of the source" in str(result)


def test_where_the_last_weight_fails_all_keep_their_values():
    model, source = dense(4), trained(dense(6))
    source.layers[-1].bias.assign([0.0, np.nan, 0.0])
    before = numbers(model)
    with pytest.raises(ValueError, match="Layer 'end' .*bias of shape .* not all finite"):
        keras_winit.inherit(model, source)
    for old, new in zip(before, numbers(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_optimizer_keeps_its_state_and_that_is_said():
    model = dense(4)
    model.compile("adam", "mse", run_eagerly=True)
    model.train_on_batch(np.ones((4, 8)), np.ones((4, 3)))
    result = keras_winit.inherit(model, dense(8))
    assert result.notes == (
        "The optimizer keeps its state of 1 steps with the weights that were: compile the model "
        "again.",
    )


def test_what_is_quantized_is_left_alone():
    model, source = dense(4), dense(8)
    source.layers[0].quantize("int8")
    result = keras_winit.inherit(model, source)
    assert {row.what for row in result.left} == {"left alone: quantized to int8 in the source"}
    assert [row.left for row in result.rows] == [True, True, False, False, False, False]


def shared():
    model = dense(4)
    return model, keras.Sequential([keras.Input((8,)), *model.layers])


# What is refused: two models, the kind of error, and what it says.
WRONG = {
    "no source": (lambda: (dense(4), 3), TypeError, "`source` should be a Keras model.*=3"),
    "no model": (lambda: (3, dense(4)), TypeError, "`model` should be a Keras model.*=3"),
    "not built": (
        lambda: (dense(4), keras.Sequential([layers.Dense(2)])),
        ValueError,
        "`source` has nothing to give: `model` should be built",
    ),
    "shared": (shared, ValueError, "whose weight '.*/kernel' is one of the model"),
    "nothing alike": (
        lambda: (dense(4), keras.Sequential([keras.Input((8, 1)), layers.Conv1D(2, 3)])),
        ValueError,
        "`source` should be a model of the same kind of layers.*no layer with a kernel is like one",
    ),
    "nothing that fits": (
        lambda: (
            keras.Sequential([keras.Input((4, 5)), layers.Conv1D(6, 3), layers.Dense(3)]),
            keras.Sequential([keras.Input((7,)), layers.Dense(2)]),
        ),
        ValueError,
        "nothing fits model .*'.*dense.*/kernel' is left alone: another number of outputs",
    ),
    "taps": (
        lambda: tuple(
            keras.Sequential([keras.Input((8, 2)), layers.Conv1D(3, size, name="wave")])
            for size in (3, 5)
        ),
        ValueError,
        r"Layer 'wave' \(Conv1D\), kernel of shape \(3, 2, 3\), does not fit '.*wave/kernel' of "
        r"shape \(5, 2, 3\).*taps.*Give `leave='wave'`",
    ),
    "places": (
        lambda: (images(8, places=4), images(4, places=6)),
        ValueError,
        "Layer 'end' .*another number of places is flattened",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(case):
    make, kind, message = WRONG[case]
    model, source = make()
    before = numbers(model) if isinstance(model, keras.Model) else []
    with pytest.raises(kind, match=message):
        keras_winit.inherit(model, source)
    after = numbers(model) if before else []
    for value, other in zip(after, before, strict=True):
        np.testing.assert_array_equal(value, other)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="`dry_run` should be True or False"):
        keras_winit.inherit(dense(4), dense(8), dry_run=1)
    with pytest.raises(ValueError, match="`leave` should be.*Did you mean 'hidden_0'"):
        keras_winit.inherit(dense(4), dense(8), leave="hiden_0")


def test_unequal_copies_of_normalized_units_are_measured():
    def build(width):
        stack = [layers.Dense(width), layers.LayerNormalization(), layers.Dense(3)]
        return keras.Sequential([keras.Input((4,)), *stack])

    source = trained(build(4))
    assert keras_winit.inherit(build(8), source).difference < 1e-5
    assert keras_winit.inherit(build(6), source).difference > 1e-3
