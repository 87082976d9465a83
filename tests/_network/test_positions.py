import keras
import pytest

from keras_winit._network.network import Network

layers = keras.layers
ops = keras.ops

STEPS, UNITS = 5, 6


class Embedded(layers.Layer):
    """Adds what it looks up for the number of each step."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = layers.Embedding(STEPS, UNITS, name="table")

    def build(self, shape):
        self.table.build((shape[1],))

    def call(self, x):
        return x + self.table(ops.arange(ops.shape(x)[1]))


class Added(layers.Layer):
    """Adds a weight, and has no layer inside."""

    def build(self, shape):
        self.table = self.add_weight(shape=(1, *shape[1:]), name="table")

    def call(self, x):
        return x + self.table


class Projected(layers.Layer):
    """Adds a weight to what a layer inside of it gives."""

    def build(self, shape):
        self.dense = layers.Dense(UNITS, name="projection")
        self.dense.build(shape)
        self.table = self.add_weight(shape=(shape[1], UNITS), name="table")

    def call(self, x):
        return ops.add(self.dense(x), self.table)


class Given(Added):
    """Gives the weight for the steps that there are, for others to add."""

    def call(self, x):
        return ops.broadcast_to(ops.convert_to_tensor(self.table)[:, : x.shape[1]], ops.shape(x))


class Scaled(Added):
    def call(self, x):
        return x * self.table


class OfVector(Added):
    """Adds a weight for each unit, which is a bias."""

    def build(self, shape):
        self.table = self.add_weight(shape=(1, 1, shape[-1]), name="table")


class OfScores(Projected):
    """Adds a weight to what is no layer's: scores of attention."""

    def call(self, x):
        x = self.dense(x)
        scores = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        return ops.matmul(ops.softmax(scores + self.table), x)


def model_of(add, steps=STEPS, goes_on=True):
    inputs = keras.Input((steps, 3))
    x = layers.Dense(UNITS, name="signal")(inputs)
    x = layers.Dropout(0.1)(add(layers.LayerNormalization()(x)))
    return keras.Model(inputs, layers.Dense(2)(x) if goes_on else x)


def found(model):
    """Returns the names of the tables of a model, each with those of the layers before the sum."""
    network = Network(model)
    assert network.problem is None
    return {
        weight.path.split("/")[-2 if weight.role == "embedding" else -1]: [
            layer.name for layer in before
        ]
        for weight, before in network.positions.items()
    }


def add_given(x):
    return layers.Add()([x, Given()(x)])


@pytest.mark.parametrize(
    ("add", "before"),
    [
        (Embedded(), ["signal"]),
        (Added(), ["signal"]),
        (Projected(), ["projection"]),
        (add_given, ["signal"]),
    ],
    ids=["embedding", "weight", "weight beside a layer", "weight that is given"],
)
def test_tables_that_are_added_are_found(add, before):
    assert found(model_of(add)) == {"table": before}


@pytest.mark.parametrize("add", [Scaled(), OfVector()])
def test_what_is_multiplied_or_no_table_is_none(add):
    assert found(model_of(add)) == {}


def test_what_is_added_to_scores_or_to_an_output_is_none():
    scores = model_of(OfScores(), UNITS)
    assert found(scores) == {}
    assert found(model_of(Embedded(), goes_on=False)) == {}


def test_what_is_looked_up_for_samples_is_none():
    inputs, kinds = keras.Input((STEPS, 3)), keras.Input((STEPS,), dtype="int32")
    x = layers.Dense(UNITS)(inputs) + layers.Embedding(4, UNITS)(kinds)
    assert found(keras.Model([inputs, kinds], layers.Dense(2)(x))) == {}


def test_embeddings_are_found_on_sequences_of_any_length():
    tokens = keras.Input((None,), dtype="int32")
    x = Embedded()(layers.Embedding(9, UNITS, name="tokens")(tokens))
    network = Network(keras.Model(tokens, layers.Dense(9)(x)))
    (before,) = network.positions.values()
    assert [layer.name for layer in before] == ["tokens"]
    assert network.vocabularies.keys() <= {0}  # the numbers of places are no input


def test_inputs_as_they_come_have_no_size_that_is_known():
    inputs = keras.Input((STEPS, UNITS))
    assert found(keras.Model(inputs, layers.Dense(2)(Added()(inputs)))) == {}
