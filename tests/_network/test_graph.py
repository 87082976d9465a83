import keras
import numpy as np
import pytest
from library_models import ATTENTION, Decoder, decoder

import keras_winit
from keras_winit import Kernel, _network, describe_layer
from keras_winit._activations.identify import identify
from keras_winit._network.graph import Graph

layers = keras.layers
ops = keras.ops


def named(model, name):
    return next(layer for layer in _network.walk(model) if layer.name == name)


def around(model, name):
    """Returns the surroundings of the layer of that name, in a model whose graph can be read."""
    graph = Graph(model)
    assert graph.problem is None
    return graph.surroundings(named(model, name))


def follows(surroundings):
    """Returns the name and the arguments of the activation, `None` where nothing follows."""
    if surroundings.activation is None:
        return None
    return identify(surroundings.activation.function)


def small_model(layer, after, shape=(6,)):
    """Returns inputs -> layer -> what comes after -> a last layer."""
    inputs = keras.Input(shape)
    layer.name = "layer"
    return keras.Model(inputs, layers.Dense(3, name="last")(after(layer(inputs))))


# Which activation follows.


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", ("relu", {})),
        (keras.activations.gelu, ("gelu", {})),
        (layers.LeakyReLU(0.3), ("leaky_relu", {"negative_slope": 0.3})),
        (lambda x: ops.where(x > 0, x, ops.exp(x) - 1), ("elu", {})),
        ("softmax", ("softmax", {})),
        (None, None),
        ("linear", None),
    ],
)
def test_a_fused_activation_is_found(activation, expected):
    model = small_model(layers.Dense(5, activation), lambda x: x)
    assert follows(around(model, "layer")) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (layers.ReLU(6.0, 0.1), ("relu", {"negative_slope": 0.1, "max_value": 6, "threshold": 0})),
        (layers.LeakyReLU(0.1), ("leaky_relu", {"negative_slope": 0.1})),
        (layers.PReLU(keras.initializers.Constant(0.25)), ("relu", {"negative_slope": 0.25})),
        (layers.ELU(0.7), ("elu", {"alpha": 0.7})),
        (layers.Softmax(), ("softmax", {})),
        (layers.Activation("mish"), ("mish", {})),
        (layers.Activation(layers.ELU(0.7)), ("elu", {"alpha": 0.7})),
        (layers.Activation("linear"), None),
        (ops.relu, ("relu", {})),
        (ops.relu6, ("relu6", {})),
        (ops.gelu, ("gelu", {"approximate": True})),
        (lambda x: ops.gelu(x, approximate=False), ("gelu", {"approximate": False})),
        (lambda x: ops.leaky_relu(x, 0.3), ("leaky_relu", {"negative_slope": 0.3})),
        (lambda x: ops.celu(x, 2.0), ("celu", {"alpha": 2.0})),
        (ops.silu, ("silu", {})),
        (ops.hard_silu, ("hard_silu", {})),
        (ops.hard_sigmoid, ("hard_sigmoid", {})),
        (ops.hard_tanh, ("hard_tanh", {})),
        (ops.log_sigmoid, ("log_sigmoid", {})),
        (ops.tanh_shrink, ("tanh_shrink", {})),
        (lambda x: ops.soft_shrink(x, 0.2), ("soft_shrink", {"threshold": 0.2})),
        (lambda x: ops.squareplus(x, 2.0), ("squareplus", {"b": 2.0})),
        (
            lambda x: ops.threshold(x, 0.1, 0.0),
            ("threshold", {"threshold": 0.1, "default_value": 0.0}),
        ),
        (
            lambda x: keras.activations.relu(x, 0.1, 6.0),
            ("relu", {"negative_slope": 0.1, "max_value": 6.0, "threshold": 0.0}),
        ),
        (ops.exp, ("exponential", {})),
        (ops.softmax, ("softmax", {"axis": -1})),
        (ops.log_softmax, ("log_softmax", {"axis": -1})),
        (ops.square, None),
    ],
)
def test_an_activation_is_found_as_a_layer_or_operation_of_its_own(after, expected):
    model = small_model(layers.Dense(6), after)
    assert follows(around(model, "layer")) == expected


BETWEEN = {
    "nothing": lambda x: x,
    "layer normalization": layers.LayerNormalization(),
    "batch normalization": layers.BatchNormalization(),
    "group normalization": layers.GroupNormalization(2),
    "unit normalization": layers.UnitNormalization(),
    "dropout": layers.Dropout(0.5),
    "spatial dropout": layers.SpatialDropout2D(0.5),
    "pooling": layers.MaxPooling2D(),
    "global pooling": layers.GlobalAveragePooling2D(),
    "padding": layers.ZeroPadding2D(),
    "cropping": layers.Cropping2D(),
    "upsampling": layers.UpSampling2D(),
    "flatten": layers.Flatten(),
    "reshape": layers.Reshape((-1,)),
    "permute": layers.Permute((2, 1, 3)),
    "concatenation": lambda x: layers.Concatenate()([x, x]),
    "addition": lambda x: layers.Add()([x, x]),
    "operations": lambda x: ops.transpose(ops.pad(ops.reshape(x, (-1, 16, 4)), 1), (0, 2, 1)),
    "operator": lambda x: x[:, 1:] + 3.0,
    "several": lambda x: layers.Dropout(0.1)(layers.Flatten()(layers.AveragePooling2D(2)(x))),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_the_activation_is_found_behind(between):
    model = small_model(
        layers.Conv2D(4, 3), lambda x: ops.relu(BETWEEN[between](x)), shape=(6, 6, 2)
    )
    surroundings = around(model, "layer")
    assert follows(surroundings) == ("relu", {})
    assert surroundings.normalized == ("normalization" in between)


@pytest.mark.parametrize("between", [layers.Dense(4), ops.square, lambda x: x * x])
def test_the_activation_is_not_looked_for_behind_what_changes_the_signal(between):
    model = small_model(layers.Dense(4), lambda x: ops.relu(between(x)))
    assert follows(around(model, "layer")) is None


def test_a_normalization_behind_the_activation_does_not_count():
    model = small_model(layers.Dense(4), lambda x: layers.BatchNormalization()(ops.relu(x)))
    assert not around(model, "layer").normalized
    assert Graph(model).normalized


# Every kind of model.


def chain():
    """Returns the four layers of which every model below is made."""
    first, last = layers.Dense(5, name="first"), layers.Dense(3, name="last")
    return [first, layers.ReLU(), last, layers.Softmax()]


def apply(chain, x):
    for layer in chain:
        x = layer(x)
    return x


def functional(chain, shape=(6,)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, apply(chain, inputs))


class Block(layers.Layer):
    def __init__(self, chain):
        super().__init__()
        self.chain = chain

    def call(self, x):
        return apply(self.chain, x)


class Subclassed(keras.Model):
    def __init__(self, chain):
        super().__init__()
        self.chain = chain

    def call(self, x, training=False):
        return apply(self.chain, x)


class InDict(Subclassed):
    def __init__(self, chain):
        super().__init__({"lower": chain[:2], "upper": {"dense": chain[2], "softmax": chain[3]}})

    def call(self, x):
        lower, upper = self.chain["lower"], self.chain["upper"]
        return upper["softmax"](upper["dense"](apply(lower, x)))


class SeveralArguments(Subclassed):
    def build(self, left_shape, right_shape):
        x = np.zeros((1, left_shape[-1] + right_shape[-1]), "float32")
        apply(self.chain, x)

    def call(self, left, right):
        return apply(self.chain, ops.concatenate([left, right], axis=-1))


class ListArgument(Subclassed):
    def call(self, inputs):
        return apply(self.chain, inputs[0] - inputs[1])


class DictArgument(Subclassed):
    def call(self, inputs):
        return {"probabilities": apply(self.chain, inputs["features"])}


def called(model, *inputs):
    """Builds a model by calling it."""
    model(*inputs or [np.zeros((2, 6), "float32")])
    return model


KINDS = {
    "functional": lambda: functional(chain()),
    "sequential": lambda: keras.Sequential([keras.Input((6,)), *chain()]),
    "sequential built by a call": lambda: called(keras.Sequential(chain())),
    "nested": lambda: functional([functional(chain()[:2]), *chain()[2:]]),
    "nested sequential": lambda: functional([keras.Sequential(chain()[:2]), *chain()[2:]]),
    "nested twice": lambda: functional([functional([functional(chain()[:2]), *chain()[2:]])]),
    "model within time steps": lambda: functional(
        [layers.TimeDistributed(functional(chain()[:3])), layers.Softmax()], (4, 6)
    ),
    "composite layers": lambda: functional([Block(chain()[:1]), Block(chain()[1:])]),
    "composite layer in a composite": lambda: functional([Block([Block(chain())])]),
    "subclassed": lambda: called(Subclassed(chain())),
    "subclassed of sequential": lambda: called(
        Subclassed([keras.Sequential(chain()[:3]), chain()[3]])
    ),
    "subclassed of functional": lambda: called(Subclassed([functional(chain())])),
    "subclassed of subclassed": lambda: called(
        Subclassed([Subclassed(chain()[:1]), Subclassed([Block(chain()[1:])])])
    ),
    "blocks in a dict": lambda: called(InDict(chain())),
    "several arguments": lambda: called(
        SeveralArguments(chain()), np.zeros((2, 6), "float32"), np.zeros((2, 3), "float32")
    ),
    "list argument": lambda: called(ListArgument(chain()), [np.zeros((2, 6), "float32")] * 2),
    "dict argument": lambda: called(
        DictArgument(chain()), {"features": np.zeros((2, 6), "float32")}
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def any_model(request):
    return KINDS[request.param]()


def test_every_kind_of_model_is_read(any_model):
    graph = Graph(any_model)
    assert graph.problem is None
    assert graph.depth == 2
    assert not graph.normalized
    first, last = (graph.surroundings(named(any_model, name)) for name in ("first", "last"))
    assert follows(first)[0] == "relu"
    assert (first.is_first, first.is_output) == (True, False)
    assert follows(last)[0] == "softmax"
    assert (last.is_first, last.is_output) == (False, True)


def number_of_nodes(model):
    found = [*_network.walk(model)]
    found += [each for layer in found for each in getattr(layer, "operations", [])]
    return [(len(each._inbound_nodes), len(each._outbound_nodes)) for each in found]


def test_reading_leaves_the_records_of_calls_as_they_were(any_model):
    before = number_of_nodes(any_model)
    Graph(any_model)
    assert number_of_nodes(any_model) == before


def test_a_model_that_was_read_saves_clones_and_computes(tmp_path):
    model = keras.Sequential([keras.Input((6,)), *chain()[:3]])
    model = functional([model, ops.relu, Block(chain()[2:])])
    before = number_of_nodes(model)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    expected = model.predict(x, verbose=0)
    Graph(model)
    assert number_of_nodes(model) == before
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    model = functional(chain())
    expected = model.predict(x, verbose=0)
    Graph(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(x, verbose=0), expected)


@pytest.mark.parametrize(
    "layer",
    [layers.Dense(5, name="layer"), layers.Conv1D(5, 2, name="layer"), layers.LSTM(5)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_alone_is_a_model_of_one_layer(layer):
    layer.build((None, 4, 3))
    graph = Graph(layer)
    assert graph.problem is None
    assert graph.depth == 1
    (kernel, *_) = _network.weights_of(layer)
    surroundings = graph.surroundings(kernel.layer)
    assert (surroundings.is_first, surroundings.is_output) == (True, True)


def test_several_inputs_and_outputs():
    left, right = keras.Input((4,)), keras.Input((3,))
    hidden = layers.Dense(5, "tanh", name="left")(left)
    joined = layers.Concatenate()([hidden, layers.Dense(5, name="right")(right)])
    output = layers.Dense(2, name="output")(layers.ReLU()(joined))
    model = keras.Model([left, right], [output, hidden])
    left, right, output = (around(model, name) for name in ("left", "right", "output"))
    assert [each.is_first for each in (left, right, output)] == [True, True, False]
    assert [each.is_output for each in (left, right, output)] == [True, False, True]
    assert follows(left) == ("tanh", {})
    assert follows(right)[0] == "relu"
    assert follows(output) is None


def test_what_is_normalized_first_and_last_beside_a_shortcut():
    tokens, places = keras.Input((4,), dtype="int32"), keras.Input((4, 3))
    x = layers.Embedding(9, 6, name="table")(tokens) + layers.Dense(6, name="places")(places)
    y = layers.LayerNormalization()(layers.Dense(6, name="stem")(x))
    gate = layers.Dense(6, "softmax", name="gate")(y)
    inner = layers.Dense(8, "relu", name="inner")(layers.Dropout(0.1)(y))
    z = layers.Dense(6, name="end")(inner) * gate
    model = keras.Model([tokens, places], layers.LayerNormalization()(y + z))
    maps = ("places", "stem", "gate", "inner", "end")
    found = {name: around(model, name) for name in maps}

    def where(attribute):
        return [name for name, each in found.items() if getattr(each, attribute)]

    assert where("is_first") == ["places"]
    assert where("is_first_map") == ["places"]
    assert where("is_anew") == ["gate", "inner"]
    assert where("is_normalized_later") == ["stem"]
    assert where("is_last") == ["gate", "end"]
    inputs = keras.Input((4,), dtype="int32")
    model = keras.Model(inputs, layers.Dense(2, name="map")(layers.Embedding(9, 6)(inputs)))
    first = around(model, "map")
    assert (first.is_first, first.is_first_map) == (False, True)


def test_a_shared_layer_is_judged_by_its_first_call_and_counts_in_each():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    x = ops.tanh(layers.Dense(4)(ops.silu(shared(inputs))))
    model = keras.Model(inputs, layers.Dense(2)(ops.relu(shared(x))))
    surroundings = around(model, "shared")
    assert follows(surroundings)[0] == "silu"
    assert surroundings.is_first
    assert Graph(model).depth == 4


def test_depth_is_that_of_the_longest_path():
    inputs = keras.Input((4,))
    long = apply([layers.Dense(4) for _ in range(5)], inputs)
    short = layers.Dense(4)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([short, long])))
    assert Graph(model).depth == 6


# Layers that hold other layers.


@pytest.mark.parametrize(
    ("layer", "inner", "shape"),
    [
        (layers.TimeDistributed(layers.Dense(4, name="inner")), "inner", (4, 3)),
        (layers.SpectralNormalization(layers.Dense(4, name="inner")), "inner", (3,)),
        (layers.MultiHeadAttention(2, 3), "attention_output", (4, 3)),
    ],
)
def test_the_activation_behind_a_wrapper_is_that_of_its_kernel(layer, inner, shape):
    inputs = keras.Input(shape)
    attends = isinstance(layer, layers.MultiHeadAttention)
    x = layer(inputs, inputs) if attends else layer(inputs)
    model = keras.Model(inputs, layers.Dense(2)(ops.silu(layers.LayerNormalization()(x))))
    surroundings = around(model, inner)
    assert follows(surroundings)[0] == "silu"
    assert surroundings.normalized
    assert surroundings.is_first
    assert Graph(model).depth == 2


def test_time_steps_are_seen_through():
    model = functional(
        [
            layers.TimeDistributed(layers.Conv1D(4, 3, name="first")),
            layers.TimeDistributed(layers.BatchNormalization()),
            layers.TimeDistributed(layers.TimeDistributed(layers.Activation("silu"))),
            layers.TimeDistributed(layers.TimeDistributed(layers.Dense(3, name="last"))),
            layers.TimeDistributed(layers.Flatten()),
        ],
        (4, 6, 2),
    )
    assert Graph(model).depth == 2
    first, last = around(model, "first"), around(model, "last")
    assert follows(first)[0] == "silu"
    assert first.normalized
    assert last.is_output


def test_nothing_follows_query_key_and_value():
    inputs = keras.Input((4, 3))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    model = keras.Model(inputs, ops.relu(x))
    for name in ("query", "key", "value"):
        surroundings = around(model, name)
        assert follows(surroundings) is None
        assert (surroundings.is_first, surroundings.is_output) == (True, False)
    assert around(model, "attention_output").is_output


def test_cells_keep_their_fused_activation():
    inputs = keras.Input((4, 3))
    x = layers.Bidirectional(layers.GRU(5, name="gru"))(inputs)
    model = keras.Model(inputs, layers.Dense(2)(ops.relu(x)))
    for name in ("forward_gru", "backward_gru"):
        cell = named(model, name).cell
        assert follows(Graph(model).surroundings(cell)) == ("tanh", {})


def test_a_layer_with_a_kernel_of_its_own_is_one_call():
    class Normalized(layers.Dense):
        def build(self, shape):
            super().build(shape)
            self.normalization = layers.LayerNormalization()
            self.normalization.build((*shape[:-1], self.units))

        def call(self, x):
            return self.normalization(super().call(x))

    class Mixer(layers.Layer):
        def build(self, shape):
            self.mix = self.add_weight(shape=(shape[-1], 5), name="mix")

        def call(self, x):
            return x @ self.mix

    describe_layer(Mixer, [Kernel(None, "mix")])
    model = functional([Normalized(4, name="one"), ops.silu, Mixer(name="two"), ops.gelu])
    assert Graph(model).depth == 2
    assert follows(around(model, "one"))[0] == "silu"
    assert follows(around(model, "two"))[0] == "gelu"


# Long models.


def long_chain(number):
    """Returns a model that calls one layer that many times."""
    inputs = keras.Input((2,))
    return keras.Model(inputs, apply([layers.Dense(2)] * number, inputs))


def test_chains_that_keras_can_build_are_read():
    model = functional([layers.Dense(2, name="layer"), *[layers.Dropout(0.1)] * 900, ops.relu])
    assert follows(around(model, "layer")) == ("relu", {})
    assert Graph(long_chain(900)).depth == 900


def test_longer_chains_are_read_where_models_compose_them():
    model = functional([layers.Dense(2), *[long_chain(100)] * 10, ops.relu])
    assert Graph(model).depth == 1001


# Residual branches.


def residual(block, blocks=3):
    """Returns a model of a stem, blocks, and a head; `block` is a function of (x, number)."""
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="stem")(inputs)
    for number in range(blocks):
        x = block(x, number)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def dense(x, name, number):
    return layers.Dense(4, name=f"{name}{number}")(x)


def normalized(x):
    return ops.relu(layers.BatchNormalization()(x))


def identity_shortcut(add):
    return lambda x, n: add(x, dense(ops.relu(dense(x, "a", n)), "b", n))


def projection_shortcut(x, n):
    branch = dense(ops.relu(dense(x, "a", n)), "b", n)
    return ops.relu(layers.BatchNormalization()(dense(x, "shortcut", n)) + branch)


def post_activation(x, n):
    x = x + layers.BatchNormalization()(dense(normalized(dense(x, "a", n)), "b", n))
    return ops.relu(x)


def pre_activation(x, n):
    before = normalized(x)
    shortcut = dense(before, "shortcut", n) if n == 0 else x
    return shortcut + dense(normalized(dense(before, "a", n)), "b", n)


class ResidualBlock(layers.Layer):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def build(self, shape):
        self.a, self.b = (layers.Dense(4, name=f"{name}{self.number}") for name in "ab")
        self.a.build(shape)
        self.b.build(shape)

    def call(self, x):
        return x + self.b(ops.relu(self.a(x)))


@pytest.mark.parametrize(
    ("block", "is_normalized", "activations"),
    [
        (identity_shortcut(lambda x, y: layers.Add()([x, y])), False, ("relu", None)),
        (identity_shortcut(lambda x, y: layers.Add()([y, x])), False, ("relu", None)),
        (identity_shortcut(ops.add), False, ("relu", None)),
        (identity_shortcut(lambda x, y: x + y), False, ("relu", None)),
        (identity_shortcut(lambda x, y: x + 0.5 * y), False, ("relu", None)),
        (lambda x, n: ResidualBlock(n)(x), False, ("relu", None)),
        (projection_shortcut, False, ("relu", "relu")),
        (post_activation, True, ("relu", "relu")),
        (pre_activation, True, ("relu", "relu")),
    ],
)
def test_branches_of_residual_blocks_are_found(block, is_normalized, activations):
    graph = Graph(model := residual(block))
    assert graph.problem is None
    assert graph.num_branches == 3
    for number in range(3):
        found = [graph.surroundings(named(model, f"{name}{number}")) for name in "ab"]
        assert [each.branch.number for each in found] == [number] * 2
        assert [each.branch.depth for each in found] == [2, 2]
        assert [each.branch.is_last for each in found] == [False, True]
        assert {each.branch.normalized for each in found} == {is_normalized}
        assert {each.branch.is_zero for each in found} == {False}
        if number == 0:
            assert tuple(follows(each) and follows(each)[0] for each in found) == activations
    shortcuts = [layer for layer in _network.walk(model) if layer.name.startswith("shortcut")]
    for layer in (named(model, "stem"), named(model, "head"), *shortcuts):
        assert graph.surroundings(layer).branch is None


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_depth_of_a_branch_is_its_number_of_kernels(depth):
    model = residual(lambda x, n: x + apply([layers.Dense(4) for _ in range(depth)], x))
    graph = Graph(model)
    branches = [graph.surroundings(weight.layer).branch for weight in _network.weights_of(model)]
    assert {branch.depth for branch in branches if branch} == {depth}


@pytest.mark.parametrize("between", [ops.relu, normalized, layers.Dropout(0.1)])
@pytest.mark.parametrize("depth", [1, 2])
def test_equal_towers_are_no_residual_branch(between, depth):
    def tower(x):
        for _ in range(depth):
            x = between(layers.Dense(4)(x))
        return x

    assert Graph(residual(lambda x, n: tower(x) + tower(x))).num_branches == 0


def test_a_sum_of_two_inputs_or_of_one_tensor_with_itself_is_no_residual_branch():
    left, right = keras.Input((4,)), keras.Input((3,))
    model = keras.Model([left, right], left + layers.Dense(4)(right))
    assert Graph(model).num_branches == 0
    assert Graph(residual(lambda x, n: x + x)).num_branches == 0


def test_what_comes_from_elsewhere_is_no_part_of_a_branch():
    source, target = keras.Input((5, 4)), keras.Input((3, 4))
    encoded = apply([layers.Dense(4, name="encoder"), layers.LayerNormalization()], source)
    attended = layers.MultiHeadAttention(2, 2, name="attention")(target, encoded)
    model = keras.Model([source, target], target + layers.Dense(4, name="last")(attended))
    assert around(model, "encoder").branch is None
    branch = around(model, "last").branch
    assert (branch.depth, branch.normalized, branch.is_last) == (2, False, True)


def test_what_is_added_to_a_shortcut_is_no_output():
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="stem")(inputs)
    x = x + layers.Dense(4, name="last")(ops.relu(layers.Dense(4)(x)))
    model = keras.Model(inputs, [x, layers.Dense(2, name="beside")(inputs)])
    found = [around(model, name).is_output for name in ("stem", "last", "beside")]
    assert found == [False, False, True]


def test_the_innermost_branch_counts():
    def block(x, n):
        inner = x + dense(ops.relu(dense(x, "a", n)), "b", n)
        return x + dense(inner, "outer", n)

    graph = Graph(model := residual(block))
    assert graph.num_branches == 6
    inner, outer = (graph.surroundings(named(model, name)).branch for name in ("b0", "outer0"))
    assert (inner.number, inner.depth, inner.is_last) == (0, 2, True)
    assert (outer.number, outer.depth, outer.is_last) == (1, 3, True)


class Scale(layers.Layer):
    def __init__(self, initializer):
        super().__init__()
        self.initializer = initializer

    def build(self, shape):
        self.alpha = self.add_weight(shape=(), initializer=self.initializer, name="alpha")

    def call(self, x):
        return self.alpha * x


class ScaledBlock(ResidualBlock):
    def __init__(self, number, initializer, multiply):
        super().__init__(number)
        self.initializer, self.multiply = initializer, multiply

    def build(self, shape):
        super().build(shape)
        self.alpha = self.add_weight(shape=(), initializer=self.initializer, name="alpha")

    def call(self, x):
        return x + self.multiply(self.b(self.a(x)), self.alpha)


@pytest.mark.parametrize("initializer", ["zeros", "ones"])
@pytest.mark.parametrize(
    "block",
    [
        lambda x, n, initializer: x + Scale(initializer)(dense(dense(x, "a", n), "b", n)),
        lambda x, n, initializer: ScaledBlock(n, initializer, lambda x, by: x * by)(x),
        lambda x, n, initializer: ScaledBlock(n, initializer, lambda x, by: by * x)(x),
        lambda x, n, initializer: (
            x
            + layers.BatchNormalization(gamma_initializer=initializer)(
                dense(dense(x, "a", n), "b", n)
            )
        ),
    ],
    ids=["layer", "composite", "composite, weight first", "gamma"],
)
def test_a_branch_that_is_multiplied_by_zero_is_known(block, initializer):
    model = residual(lambda x, n: block(x, n, initializer))
    assert around(model, "b1").branch.is_zero == (initializer == "zeros")


# Models whose code needs values.


class Branching(Subclassed):
    """Its graph depends on the data."""

    def build(self, shape):
        for layer in self.chain:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x):
        return apply(self.chain, x if ops.sum(x) > 0 else -x)


class BackendOnly(Branching):
    """Its code calls another library."""

    def call(self, x):
        return apply(self.chain, ops.convert_to_tensor(np.abs(ops.convert_to_numpy(x))))


def relu_then_softmax():
    return [layers.Dense(5, "relu", name="first"), layers.Dense(3, "softmax", name="last")]


@pytest.mark.parametrize("cls", [Branching, BackendOnly])
def test_a_model_that_cannot_be_read_says_why_and_keeps_its_fused_activations(cls):
    model = called(cls(relu_then_softmax()))
    before = number_of_nodes(model)
    graph = Graph(model)
    assert "KerasTensor" in graph.problem
    assert "\n" not in graph.problem
    assert (graph.depth, graph.num_branches) == (0, 0)
    for name, activation in (("first", "relu"), ("last", "softmax")):
        surroundings = graph.surroundings(named(model, name))
        assert follows(surroundings)[0] == activation
        assert (surroundings.is_first, surroundings.is_output) == (False, False)
    assert number_of_nodes(model) == before


def test_the_branch_of_a_condition_on_a_size_is_read_and_constants_beside_the_outputs():
    class Prompt(layers.Layer):
        """Has two ways, of which a size of its input says which, and gives a table as it is."""

        def build(self, shape):
            self.of_none, self.of_some = layers.Dense(3, "relu"), layers.Dense(3, "tanh")
            self.of_none.build(shape)
            self.of_some.build(shape)
            self.table = self.add_weight((5, 3), "random_normal", name="table")

        def call(self, x):
            is_empty = ops.equal(ops.shape(x)[1], 0)
            embedded = ops.cond(is_empty, lambda: self.of_none(x), lambda: self.of_some(x))
            return {"embedded": embedded, "places": ops.sin(self.table)}

    inputs = keras.Input((4, 6))
    prompt = Prompt()
    outputs = prompt(inputs)
    model = keras.Model(inputs, [layers.Dense(2)(outputs["embedded"]), outputs["places"]])
    graph = Graph(model)
    assert graph.problem is None
    assert graph.depth == 2
    read = [call.operation for call in graph.calls]
    assert prompt.of_some in read
    assert prompt.of_none not in read


def test_a_model_that_cannot_be_read_names_the_network_inside_that_may_be():
    network = keras.Sequential(relu_then_softmax(), name="network")
    graph = Graph(called(BackendOnly([network, layers.Dense(2)])))
    assert graph.problem.endswith(
        "Give the network inside of it, Sequential 'network', to have that read"
    )


def test_a_model_that_takes_none_in_place_of_an_input_says_so():
    class Pair(keras.layers.Layer):
        def build(self, input_shape):
            self.dense = layers.Dense(3)
            self.dense.build(input_shape[0])

        def call(self, inputs):
            x, other = inputs
            return self.dense(x if other is None else x + other)

    model = Pair()
    model.build(((None, 6), None))
    assert "takes None in place of an input" in Graph(model).problem


def test_a_model_that_has_not_kept_the_shape_of_its_inputs_says_so():
    class Forgetful(Subclassed):
        def get_build_config(self):
            return None

    class SecondArgument(Subclassed):
        def call(self, left, right):
            return apply(self.chain, left - right)

    graph = Graph(called(Forgetful(chain())))
    assert graph.problem == "ValueError: the model has not kept the shape of its input"
    graph = Graph(called(SecondArgument(chain()), *[np.zeros((2, 6), "float32")] * 2))
    assert "shape of 'right'; give it a `build`" in graph.problem


@pytest.mark.parametrize("cls", [Branching, BackendOnly])
def test_a_composite_layer_that_cannot_be_read_stays_one_call(cls):
    class Composite(Block):
        build, call = cls.build, cls.call

    inputs = keras.Input((6,))
    # Keras computes the shape of the output from `compute_output_shape`, without a call.
    Composite.compute_output_shape = lambda self, shape: (*shape[:-1], 3)
    x = Composite(relu_then_softmax())(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="after")(ops.tanh(x)))
    graph = Graph(model)
    assert graph.problem.startswith(f"layer {model.layers[1].name!r} (Composite), ")
    assert graph.depth == 2
    first = graph.surroundings(named(model, "first"))
    assert follows(first) == ("relu", {})
    assert first.is_first
    assert not graph.surroundings(named(model, "after")).is_first


# Models whose code needs sizes.


@pytest.mark.parametrize("attention", ATTENTION)
def test_a_decoder_whose_mask_asks_for_sizes_is_read(attention):
    model = decoder(attention)
    before = number_of_nodes(model)
    graph = Graph(model)
    assert graph.problem is None
    assert graph.num_branches == 4
    block = model.get_layer("block_1")
    up, down = graph.surroundings(block.up), graph.surroundings(block.down)
    assert follows(up)[0] == "gelu"
    assert (up.branch.number, up.branch.depth, up.branch.normalized) == (3, 2, True)
    assert (up.branch.is_last, down.branch.is_last) == (False, True)
    assert number_of_nodes(model) == before


@pytest.mark.parametrize(
    "outer",
    [
        lambda inner: functional([layers.Dense(6), inner], (4, 6)),
        lambda inner: called(Subclassed([inner]), np.zeros((2, 4, 6), "float32")),
    ],
    ids=["functional", "subclassed"],
)
def test_a_decoder_in_a_model_in_a_model_is_read(outer):
    inputs = keras.Input((None, 6))
    block = Decoder(ATTENTION["of Keras"](), 10)
    graph = Graph(outer(keras.Model(inputs, block(inputs))))
    assert graph.problem is None
    assert graph.num_branches == 2


def test_attention_with_another_argument_is_one_layer_of_its_branch():
    for attention, depth in (("of Keras", 1), ("with another argument", 1), ("of its own", 4)):
        model = decoder(attention)
        query = named(model.get_layer("block_0"), "query")
        assert Graph(model).surroundings(query).branch.depth == depth


def up_to_seven_steps(x, table):
    if ops.shape(x)[1] > 30:
        raise ValueError("too many steps")
    if ops.shape(x)[1] > 7:
        raise ValueError("too many steps")
    return x


@pytest.mark.parametrize(
    "call",
    [
        lambda x, table: ops.add(x, table[: ops.shape(x)[1]]),
        lambda x, table: ops.add(x, table) if ops.shape(x)[1] > 1 else x,
        up_to_seven_steps,
    ],
    ids=["at most the rows of a table", "just as many", "fewer than the lines of code allow"],
)
def test_what_takes_no_sequence_of_32_steps_is_read_on_a_shorter_one(call):
    class Positions(Block):
        def build(self, shape):
            super().build(shape)
            self.chain[0].build(shape)
            self.table = self.add_weight(shape=(9, 6))

        def call(self, x):
            return call(self.chain[0](x), self.table)

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, Positions([layers.Dense(6, "relu", name="first")])(inputs))
    assert Graph(model).problem is None
    assert keras_winit.diagnose(model).signal.layers


def test_outputs_that_a_layer_does_not_tell_are_found_by_its_code():
    class Rotation(layers.Layer):
        """Gives two tensors, and says that it gives one."""

        def call(self, query, key):
            angles = ops.arange(ops.shape(query)[1], dtype="float32")[:, None]
            return query * ops.cos(angles), key * ops.sin(angles)

        def compute_output_shape(self, shape):
            return shape

    class Attention(Block):
        def __init__(self, chain):
            super().__init__(chain)
            self.rotation = Rotation()

        def build(self, shape):
            for layer in self.chain:
                layer.build(shape)

        def call(self, x):
            query, key = self.rotation(*(layer(x) for layer in self.chain))
            return x + ops.softmax(query @ ops.transpose(key, (0, 2, 1))) @ x

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((None, 6))
    maps = [layers.Dense(5, name="query"), layers.Dense(5, name="key")]
    graph = Graph(keras.Model(inputs, Attention(maps)(inputs)))
    assert (graph.problem, graph.num_branches) == (None, 1)


def test_a_layer_that_gives_two_tables_is_read():
    class Tables(layers.Layer):
        def build(self, shape):
            self.cosines, self.sines = (self.add_weight((5, 6)) for _ in range(2))

        def call(self, x):
            return self.cosines, self.sines

        def compute_output_spec(self, x):
            return keras.KerasTensor((5, 6)), keras.KerasTensor((5, 6))

    inputs = keras.Input((5, 6))
    cosines, sines = Tables()(inputs)
    x = layers.Dense(6, name="dense")(inputs)
    assert Graph(keras.Model(inputs, ops.relu(x * cosines + x * sines))).problem is None


def test_reading_puts_the_call_of_layers_back_and_is_for_symbols_alone():
    before = keras.Layer.__call__

    class Called(Block):
        def call(self, x):
            assert keras.Layer.__call__ is not before
            inner = apply(self.chain, np.ones((2, 6), "float32"))
            assert not isinstance(inner, keras.KerasTensor)
            return apply(self.chain, x)

        def build(self, shape):
            self.chain[0].build(shape)

        def compute_output_shape(self, shape):
            return (*shape[:-1], 5)

    inputs = keras.Input((6,))
    graph = Graph(keras.Model(inputs, Called([layers.Dense(5)])(inputs)))
    assert graph.problem is None
    assert keras.Layer.__call__ is before
