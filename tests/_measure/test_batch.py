import re

import keras
import numpy as np
import pytest

from keras_winit._measure import batch
from keras_winit._network.network import Network

layers = keras.layers
ops = keras.ops


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def take(model, x=None, y=None):
    return batch.take(Network(model), x, y)


def dense(*shape, **arguments):
    return keras.Sequential([keras.Input(shape or (3,), **arguments), layers.Dense(2)])


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    return keras.Model({"a": a, "b": b}, layers.Dense(2)(layers.Concatenate()([a, b])))


def two_in_a_list():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    return keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b])))


X, Y = normal(10, 3), np.arange(10)


# Data in memory.


@pytest.mark.parametrize(
    "x",
    [
        X,
        X.tolist(),
        tuple(map(tuple, X.tolist())),
        list(X),
        X.astype("float64"),
        np.asfortranarray(X),
        [X],
        ops.convert_to_tensor(X),
    ],
    ids=["array", "lists", "tuples", "rows", "float64", "fortran", "one input", "tensor"],
)
def test_data_of_any_form_are_one_array(x):
    batch = take(dense(), x)
    (array,) = keras.tree.flatten(batch.x)
    assert isinstance(array, np.ndarray)
    assert array.dtype == "float32"
    np.testing.assert_array_equal(array, X)
    assert (batch.size, batch.y, batch.is_drawn) == (10, None, False)
    assert batch.apply(dense()).shape == (10, 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32", "uint8", "bool"])
def test_data_of_any_type_are_taken(dtype):
    x = ops.cast(ops.convert_to_tensor(np.arange(30).reshape(10, 3) % 5), dtype)
    batch = take(dense(), x)
    kept = dtype if "float" not in dtype else "float32"
    assert batch.x.dtype == kept
    np.testing.assert_array_equal(batch.x, ops.convert_to_numpy(x).astype(kept))
    assert np.isfinite(ops.convert_to_numpy(batch.apply(dense()))).all()


def test_labels_of_any_form_come_with_the_data():
    for y in (Y, Y.tolist(), ops.convert_to_tensor(Y), {"a": Y, "b": [Y, Y]}):
        batch = take(dense(), X, y)
        for array in keras.tree.flatten(batch.y):
            np.testing.assert_array_equal(array, Y)


@pytest.mark.parametrize("model", [two_inputs, two_in_a_list])
def test_inputs_by_name_and_by_place(model):
    b = normal(10, 2, seed=1)
    data = {"b": b.tolist(), "a": X} if model is two_inputs else (X, b)
    built = model()
    batch = take(built, data)
    assert batch.size == 10
    expected = built({"a": X, "b": b} if model is two_inputs else [X, b])
    np.testing.assert_allclose(
        ops.convert_to_numpy(batch.apply(built)), ops.convert_to_numpy(expected), rtol=1e-6
    )


def test_samples_of_a_large_data_set_are_evenly_spaced():
    x, y = np.arange(3000.0).reshape(1000, 3), np.arange(1000)
    batch = take(dense(), x, {"first": y, "second": y})
    assert batch.size == 256
    np.testing.assert_array_equal(batch.x[:, 0], batch.y["first"] * 3)
    np.testing.assert_array_equal(batch.y["first"], batch.y["second"])
    assert (batch.y["first"][0], batch.y["first"][-1]) == (0, 999)
    assert set(np.diff(batch.y["first"])) == {3, 4}


def test_large_samples_are_fewer():
    images = keras.Sequential([keras.Input((512, 512, 3)), layers.Conv2D(1, 1)])
    assert take(images, np.zeros((20, 512, 512, 3), "float16")).size == 8
    assert take(images, np.zeros((5, 512, 512, 3), "float16")).size == 5


# Data sets.


class Sequence(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        return self.batches[number]


class Endless(Sequence):
    @property
    def num_batches(self):
        return None


def data_sets(batches):
    yield iter(batches)
    yield (batch for batch in batches)
    yield Sequence(batches)
    yield Endless(batches)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        yield tf.data.Dataset.from_generator(
            lambda: batches,
            output_signature=tuple(tf.TensorSpec(np.shape(e), e.dtype) for e in batches[0]),
        )
    if keras.backend.backend() == "torch":
        import torch

        rows = list(zip(*map(torch.as_tensor, batches[0]), strict=True))
        yield torch.utils.data.DataLoader(rows, batch_size=10, shuffle=False)


WEIGHTS = np.linspace(0, 1, 10, dtype="float32")


@pytest.mark.parametrize("length", [2, 3])
def test_one_batch_of_a_data_set_is_taken(length):
    parts = (X, Y, WEIGHTS)[:length]
    for data in data_sets([parts, parts]):
        batch = take(dense(), data)
        np.testing.assert_array_equal(batch.x, X)
        np.testing.assert_array_equal(batch.y, Y)
        if length == 3:
            np.testing.assert_array_equal(batch.sample_weight, WEIGHTS)
        else:
            assert batch.sample_weight is None
        with pytest.raises(ValueError, match="`y` should be None where `x` holds both"):
            take(dense(), data, Y)


def random_state():
    if keras.backend.backend() != "torch":
        return None
    import torch

    return torch.get_rng_state().numpy().tobytes()


def test_a_data_set_that_shuffles_leaves_the_random_state():
    for data in data_sets([(X, Y)] * 2):
        before = random_state()
        take(dense(), data)
        assert random_state() == before


def test_a_data_set_may_hold_no_labels_and_dicts():
    batch = take(dense(), iter([X]))
    np.testing.assert_array_equal(batch.x, X)
    assert batch.y is None
    batch = take(two_inputs(), iter([({"a": X, "b": X[:, :2]}, Y)]))
    np.testing.assert_array_equal(batch.x["b"], X[:, :2])


# Noise.


def test_noise_is_unit_normal_and_always_the_same():
    batch = take(dense(200))
    assert batch.is_drawn
    assert batch.x.shape == (64, 200)
    error = 4 / np.sqrt(batch.x.size)
    assert abs(batch.x.mean()) < error
    assert abs(batch.x.var() - 1) < error * np.sqrt(2)
    np.testing.assert_array_equal(batch.x, take(dense(200)).x)


def test_inputs_get_noise_of_their_own():
    batch = take(two_inputs())
    assert {name: each.shape for name, each in batch.x.items()} == {"a": (64, 3), "b": (64, 2)}
    alike = [keras.Input((3,)), keras.Input((3,))]
    first, second = take(keras.Model(alike, layers.Dense(2)(layers.Add()(alike)))).x
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(first.size)


def test_noise_for_large_samples_is_smaller():
    images = keras.Sequential([keras.Input((224, 224, 3)), layers.Conv2D(1, 1)])
    assert take(images).x.shape == (8, 224, 224, 3)


def test_sizes_that_are_not_known_are_chosen():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(1, 1)])
    assert take(model).x.shape == (64, 32, 32, 3)


def test_tokens_are_drawn_where_an_embedding_reads():
    words = keras.Input((6,), dtype="int32", name="words")
    places = keras.Input((6,), dtype="int32", name="places")
    x = layers.Embedding(50, 4)(words) + layers.Embedding(6, 4)(places)
    batch = take(keras.Model([words, places], layers.Dense(2)(x)))
    words, places = batch.x
    assert words.dtype.kind == places.dtype.kind == "i"
    assert (words.min(), words.max()) == (0, 49)
    assert (places.min(), places.max()) == (0, 5)


def test_flags_are_drawn_where_nothing_reads_tokens():
    flags = keras.Input((5,), dtype="bool")
    x = layers.Dense(2)(ops.cast(flags, "float32"))
    batch = take(keras.Model(flags, x))
    assert batch.x.dtype == bool
    assert 0.2 < batch.x.mean() < 0.8
    # The first of each, as a mask that hides all is no mask.
    assert batch.x[:, 0].all()
    assert 0.3 < batch.x[:, 1:].mean() < 0.7


class Pair(keras.Model):
    def __init__(self):
        super().__init__(name="pair")
        self.first, self.second = layers.Dense(2), layers.Dense(2)

    def build(self, query_shape, value_shape):
        self.first.build(query_shape)
        self.second.build(value_shape)

    def call(self, query, value, training=False):
        return self.first(query) + self.second(value)


def test_several_arguments_of_a_subclassed_model():
    model = Pair()
    value = normal(10, 5, seed=2)
    expected = model(X, value)
    batch = take(model, {"query": X, "value": value})
    np.testing.assert_allclose(
        ops.convert_to_numpy(batch.apply(model)), ops.convert_to_numpy(expected), rtol=1e-6
    )
    drawn = take(model)
    assert {name: each.shape for name, each in drawn.x.items()} == {
        "query": (64, 3),
        "value": (64, 5),
    }
    assert drawn.apply(model).shape == (64, 2)


class Conditional(Pair):
    def call(self, query, value=None, training=False):
        return self.first(query) + (0 if value is None else self.second(value))


def test_arguments_that_a_model_was_built_with_are_arguments_though_they_have_a_default():
    model = Conditional()
    value = normal(10, 5, seed=2)
    expected = ops.convert_to_numpy(model(X, value))
    batch = take(model, {"query": X, "value": value})
    np.testing.assert_allclose(ops.convert_to_numpy(batch.apply(model)), expected, rtol=1e-6)
    assert take(model).apply(model).shape == (64, 2)


def test_none_in_place_of_an_input_is_named():
    with pytest.raises(ValueError, match="`x` should hold arrays alone.*None in place of one"):
        take(two_inputs(), (X, None))


class Plain(keras.Model):
    def __init__(self):
        super().__init__(name="plain")
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs["x"] if isinstance(inputs, dict) else inputs)


@pytest.mark.parametrize("data", [X, {"x": X}])
def test_a_dict_may_be_the_one_argument_of_a_subclassed_model(data):
    model = Plain()
    expected = model(data)
    batch = take(model, data)
    np.testing.assert_allclose(
        ops.convert_to_numpy(batch.apply(model)), ops.convert_to_numpy(expected), rtol=1e-6
    )


# What is refused.


def nan():
    x = X.copy()
    x[2, 1], x[4, 0] = np.nan, np.inf
    return x


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (None, Y, r"`y` should come with `x`. Received: x=None"),
        (normal(10, 4), None, r"`x` should be of shape \(None, 3\).*Received: shape \(10, 4\)"),
        (normal(10, 3, 2), None, r"`x` should be of shape \(None, 3\).*shape \(10, 3, 2\)"),
        (X[:0], None, r"at least one. Received: x with \[0\] samples"),
        (X, Y[:4], r"the same number of samples.*x with \[10\], y with \[4\] samples"),
        (nan(), None, r"`x` should be finite.*shape \(10, 3\) with 2 values that are NaN"),
        (X, nan(), r"`y` should be finite.*with 2 values"),
        (
            np.array([X, None], dtype=object),
            None,
            r"`x` should hold numbers.*Received: x with a ndarray of rows or objects",
        ),
        ([[1.0, 2.0], [3.0]], None, r"`x` should hold numbers in arrays of one shape"),
        (np.float32(3), None, r"`x` should have samples along its first axis.*of shape \(\)"),
        (3, None, r"`x` should be an array, a list.*Received: x=3 of type int"),
        (iter([]), None, r"`x` should yield a batch.*which is empty"),
        (Sequence([]), None, r"`x` should yield a batch.*which is empty"),
    ],
)
def test_data_that_do_not_fit_are_refused(x, y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        take(dense(), x, y)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"a": X}, r"an array for each of the 2 inputs.*Received: 1"),
        ({"a": X, "b": X[:5, :2]}, r"Received: x with \[10, 5\] samples"),
        ({"a": X, "b": X}, r"shape \(None, 2\) for input 'b'.*Received: shape \(10, 3\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        take(two_inputs(), x)


def test_a_model_that_is_not_built_is_refused():
    model = keras.Sequential([layers.Dense(2)], name="unbuilt")
    with pytest.raises(
        ValueError, match="`model` should be built. Received: model='unbuilt'.*Input"
    ):
        take(model, X)


def test_noise_is_refused_where_the_shape_is_not_known():
    class Unknown(Plain):
        def get_build_config(self):
            return None

    model = Unknown()
    model(X)
    message = "`x` should be given for model 'plain'. Received: x=None, and the model has not kept"
    with pytest.raises(ValueError, match=message):
        take(model)


NO_NUMBERS = {
    "complex": np.ones((4, 3), "complex64"),
    "words": np.full((4, 3), "word"),
    "bytes": np.full((4, 3), b"word"),
    "dates": np.full((4, 3), "2020-01-01", "datetime64[s]"),
    "durations": np.ones((4, 3), "timedelta64[s]"),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_is_no_real_number_is_refused(kind):
    data, x = NO_NUMBERS[kind], np.ones((4, 3), "float32")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    message = r"should hold real numbers. Received: . of shape \(4, 3\) and type "
    message += re.escape(str(data.dtype))
    with pytest.raises(ValueError, match=f"`x` {message}"):
        take(model, data)
    with pytest.raises(ValueError, match=f"`y` {message}"):
        take(model, x, data)


def test_numbers_that_float32_has_no_room_for_are_refused():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`x` should be up to 3.4e38.*\(4, 3\) with 12 larger"):
        take(model, np.full((4, 3), 1e300))


def test_noise_is_of_a_size_that_the_model_takes():
    class Positions(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(9, shape[-1]))

        def call(self, x):
            return x + self.table[: keras.ops.shape(x)[1]]

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((None, 3))
    short = keras.Model(inputs, layers.Dense(2)(Positions()(inputs)))
    assert take(short).x.shape[1:] == (8, 3)
    long = keras.Model(inputs, layers.Conv1D(2, 60)(inputs))
    assert take(long).x.shape[1:] == (128, 3)
    # None of them: what is wrong is for the run to say.
    none = keras.Model(inputs, layers.Dense(2)(layers.Reshape((-1, 3 * 49))(inputs)))
    assert take(none).x.shape[1:] == (32, 3)


@pytest.mark.parametrize("token", [-1, 7])
def test_tokens_that_an_embedding_has_no_row_for_are_refused(token):
    inputs = keras.Input((5,), dtype="int32", name="words")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(7, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    tokens = np.arange(300 * 5).reshape(300, 5) % 7
    assert batch.take(Network(model), tokens).size == 256
    tokens[1, 3] = token  # not among those that are run
    with pytest.raises(
        ValueError, match=f"tokens from 0 to 6 for input 'words'.*Received: {token} "
    ):
        batch.take(Network(model), tokens)
