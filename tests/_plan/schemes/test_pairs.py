"""Networks that start as a linear map, as a whole: what `LooksLinear` and `Mirrored` are where."""

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit.initializers import LooksLinear, Mirrored

layers = keras.layers

RNG = np.random.default_rng(0)


def run(model, x):
    return keras.ops.convert_to_numpy(model(np.asarray(x, "float32"))).astype("float64")


def responses(model, shape):
    """Returns what a model gives for each unit of its input alone, and checks that it is linear."""
    x = RNG.normal(size=(8, *shape))
    y = RNG.normal(size=(8, *shape))
    together, apart = run(model, x + y), run(model, x) + run(model, y)
    # Each layer rounds anew; a network with kinks is off by as much as its outputs are.
    np.testing.assert_allclose(together, apart, atol=1e-4 * abs(apart).max())
    size = int(np.prod(shape))
    return run(model, np.eye(size).reshape(size, *shape)).reshape(size, -1)


def plain(depth=20, inputs=24, width=64, outputs=10, **first):
    hidden = [layers.Dense(width, "relu") for _ in range(depth)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])


def test_a_plain_relu_network_is_linear_from_input_to_output_with_full_rank():
    model = plain()
    keras_winit.initialize(model, "looks_linear", seed=1)
    matrix = responses(model, (24,))
    assert np.linalg.matrix_rank(matrix) == 10
    values = np.linalg.svd(matrix, compute_uv=False)
    assert 1 + 1e-4 > values[0] > values[-1] > 0.1
    kernels = [keras.ops.convert_to_numpy(layer.kernel) for layer in model.layers]
    assert np.linalg.matrix_rank(kernels[0]) == 24
    assert np.linalg.matrix_rank(kernels[-1]) == 10


def convolutions():
    same = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, **same),
            layers.BatchNormalization(),
            layers.Conv2D(12, 3, strides=2, **same),
            layers.AveragePooling2D(2),
            layers.Dropout(0.3),
            layers.Conv2DTranspose(8, 2, **same),
            layers.GlobalAveragePooling2D(),
            layers.Flatten(),
            layers.Dense(6),
            layers.LeakyReLU(0.0),
            layers.Dense(4),
        ]
    )


def test_convolutions_with_pooling_are_linear():
    model = convolutions()
    keras_winit.initialize(model, "looks_linear", seed=1)
    responses(model, (8, 8, 3))


def test_a_relu_rnn_is_linear_in_its_sequence():
    rnn = layers.SimpleRNN(8, "relu", unroll=True)
    model = keras.Sequential([keras.Input((5, 3)), rnn, layers.Dense(4)])
    keras_winit.initialize(model, "looks_linear", seed=1)
    responses(model, (5, 3))


def test_a_shared_layer_that_follows_itself_is_linear():
    inputs = keras.Input((6,))
    shared = layers.Dense(8, "relu")
    x = shared(shared(layers.Dense(8, "relu")(inputs)))
    model = keras.Model(inputs, layers.Dense(3)(x))
    keras_winit.initialize(model, "looks_linear", seed=1)
    responses(model, (6,))


def chosen(*between, inputs=(6, 4), scheme="looks_linear"):
    """Returns what the kernels of a chain get, as short words, and the plan's reasons."""
    model = keras.Sequential([keras.Input(inputs), *between])
    result = keras_winit.initialize(model, scheme, seed=1)
    names = {
        "LooksLinear()": "both",
        "LooksLinear(first=True)": "first",
        "LooksLinear(last=True)": "last",
    }
    rows = [row for row in result.rows if row.fan_in is not None]
    return [names.get(row.initializer, row.initializer) for row in rows], rows


def dense(units, activation="relu"):
    return layers.Dense(units, activation)


CHAINS = {
    "plain": ([dense(8), dense(8), dense(3, None)], ["first", "both", "last"]),
    # Of 5 units there are no halves.
    "odd": (
        [dense(8), dense(5), dense(8), dense(3, None)],
        ["first", "last", "first", "last"],
    ),
    "odd first": (
        [dense(7), dense(8), dense(3, None)],
        ["VarianceScaling(scale=0.08)", "first", "last"],
    ),
    # The units of each place follow each other.
    "flattened": (
        [dense(8), layers.Flatten(), dense(8), dense(3, None)],
        ["first", "first", "last"],
    ),
    "grouped": (
        [layers.Conv1D(8, 1, groups=2, activation="relu"), dense(8), dense(3, None)],
        ["first", "first", "last"],
    ),
    "mixed": (
        [dense(8), layers.LayerNormalization(), dense(8), dense(3, None)],
        ["first", "first", "last"],
    ),
    "tanh": (
        [dense(8, "tanh"), dense(8), dense(3, None)],
        ["VarianceScaling(scale=0.2283)", "first", "last"],
    ),
    "linear": (
        [dense(8), dense(6, None), dense(8), dense(2, None)],
        ["first", "last", "first", "last"],
    ),
    "cell": (
        [layers.LSTM(8, return_sequences=True), dense(8), dense(2, None)],
        ["GlorotUniform()", "Orthogonal()", "first", "last"],
    ),
    "both ways": (
        [layers.Bidirectional(layers.SimpleRNN(4, "relu")), dense(8), dense(2, None)],
        ["first", "both", "first", "both", "first", "last"],
    ),
    "separable": (
        [layers.SeparableConv1D(8, 2, activation="relu"), dense(8), dense(3, None)],
        ["LecunNormal()", "first", "both", "last"],
    ),
    "one layer": ([dense(3, None)], ["GlorotUniform()"]),
    "relu at the end": ([dense(8), dense(4)], ["first", "last"]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_first_and_last_are_where_pairs_begin_and_end(name):
    between, expected = CHAINS[name]
    copies = [type(layer).from_config(layer.get_config()) for layer in between]
    assert chosen(*copies)[0] == expected


def test_the_plan_says_why():
    _, rows = chosen(dense(8), dense(5), dense(8), dense(3, None))
    assert "opposite of each other; the inputs are no such pairs" in rows[0].reason
    assert "takes the halves of its inputs" in rows[1].reason
    _, rows = chosen(dense(7), dense(3, None))
    assert rows[0].reason.startswith("7 units are no pairs; relu")


def test_sums_attention_and_embeddings_are_as_suggested():
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 8)(tokens)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.Dense(8, "relu")(x)
    x = layers.ReLU()(layers.Add()([x, layers.Dense(8)(x)]))
    model = keras.Model(tokens, layers.Dense(3)(x))
    result = keras_winit.initialize(model, "looks_linear", seed=1)
    found = {r.weight: r.initializer for r in result.rows if "LooksLinear" in r.initializer}
    assert list(found.values()) == ["LooksLinear(first=True)", "LooksLinear(last=True)"]


def test_an_instance_keeps_its_gain():
    model = plain(depth=2)
    keras_winit.initialize(model, LooksLinear(gain=0.5), seed=1)
    halved = responses(model, (24,))
    keras_winit.initialize(model, "looks_linear", seed=1)
    np.testing.assert_allclose(halved, responses(model, (24,)) / 8, atol=1e-6)


def test_a_plan_does_what_was_asked():
    model = plain(depth=2)
    plan = keras_winit.suggest(model)
    plan[model.layers[0].name] = LooksLinear(gain=0.5)
    keras_winit.initialize(model, plan, seed=1)
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    np.testing.assert_array_equal(kernel[:12], -kernel[12:])


def test_a_saved_model_is_built_anew_as_linear(tmp_path):
    model = plain(depth=2)
    keras_winit.initialize(model, "looks_linear", seed=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(responses(loaded, (24,)), responses(model, (24,)), atol=1e-6)
    responses(keras.models.clone_model(model), (24,))


def mlp(*widths, activation="gelu", inputs=7):
    hidden = [layers.Dense(width, activation) for width in widths]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(5)])


def images():
    same = {"padding": "same", "activation": "silu"}
    return keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            layers.Conv2D(9, (3, 2), **same),
            layers.AveragePooling2D((2, 1)),
            layers.Conv2D(12, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.3),
            layers.UpSampling2D((1, 2)),
            layers.Conv2DTranspose(7, 3, **same),
            layers.ZeroPadding2D(1),
            layers.SpatialDropout2D(0.3),
            layers.Flatten(),
            layers.Dense(8, "relu"),
            layers.Dense(4),
        ]
    )


def sequences():
    return keras.Sequential(
        [
            keras.Input((9, 4)),
            layers.Conv1D(6, 3, padding="causal", activation="softplus"),
            layers.Dense(10, "hard_silu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )


def depthwise():
    """Depthwise kernels, alone and in separable convolutions, of even and odd numbers of units."""
    same = {"padding": "same"}
    return keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            layers.Conv2D(9, 3, **same, activation="relu"),
            layers.DepthwiseConv2D((3, 2), **same, activation="relu"),
            layers.Conv2D(6, 1, activation="leaky_relu"),
            layers.DepthwiseConv2D(3, strides=2, depth_multiplier=3, **same),
            layers.LeakyReLU(0.3),
            layers.SeparableConv2D(10, 3, **same),
            layers.BatchNormalization(),
            layers.Activation("silu"),
            layers.DepthwiseConv2D(2, **same),
            layers.BatchNormalization(),
            layers.SeparableConv2D(7, 2, depth_multiplier=2, activation="gelu", **same),
            layers.SeparableConv2D(8, 3, activation="softplus", **same),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )


def two_ways():
    """The units of one layer go to two, and a layer is shared."""
    inputs = keras.Input((6,))
    x = layers.Dense(9, "relu")(inputs)
    shared = layers.Dense(9, "relu")
    left = layers.Dense(5)(shared(shared(x)))
    right = layers.Dense(5)(layers.Dense(4, "gelu")(x))
    return keras.Model(inputs, layers.Concatenate()([left, right]))


MIRRORED = {
    "odd widths": (lambda: mlp(9, 12, 7, 30, 5), (7,)),
    "widths up and down": (lambda: mlp(*[32, 8, 64] * 10, activation="relu"), (7,)),
    "200 layers": (lambda: mlp(*[16] * 200), (7,)),
    "images": (images, (8, 6, 3)),
    "sequences": (sequences, (9, 4)),
    "depthwise": (depthwise, (8, 6, 3)),
    "two ways": (two_ways, (6,)),
}


def is_linear_but_for_a_constant(model, shape):
    """Checks it, and returns what the model gives for each unit of its input alone, less that."""
    x, y = RNG.normal(size=(2, 8, *shape))
    zero = run(model, np.zeros((1, *shape)))
    together, apart = run(model, x + y) - zero, run(model, x) + run(model, y) - 2 * zero
    np.testing.assert_allclose(together, apart, atol=1e-4 * abs(apart).max())
    size = int(np.prod(shape))
    return (run(model, np.eye(size).reshape(size, *shape)) - zero).reshape(size, -1)


@pytest.mark.parametrize("name", MIRRORED)
def test_networks_of_mirrored_kernels_are_linear(name):
    make, shape = MIRRORED[name]
    model = make()
    result = keras_winit.initialize(model, "mirrored", seed=1)
    kernels = [row for row in result.rows if row.fan_in is not None]
    assert all(row.initializer.startswith(("Mirrored(", "Shift(")) for row in kernels)
    matrix = is_linear_but_for_a_constant(model, shape)
    # A sum of as many terms as there are inputs, of the size of one of them.
    assert 0.05 < np.sqrt((matrix**2).sum(0).mean()) < 5


def test_a_square_network_keeps_all_lengths_at_any_depth():
    model = keras.Sequential(
        [keras.Input((6,)), *[layers.Dense(12, "gelu") for _ in range(50)], layers.Dense(6)]
    )
    keras_winit.initialize(model, "mirrored", seed=1)
    matrix = responses(model, (6,))
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, atol=1e-3)
    assert keras_winit.diagnose(model).ok


def test_calibration_keeps_pairs():
    model = mlp(9, 12, 7)
    keras_winit.initialize(model, "mirrored", seed=1)
    keras_winit.calibrate(model, 3 * RNG.normal(size=(64, 7)).astype("float32"))
    responses(model, (7,))


def test_what_draws_the_halves_can_be_given():
    model = mlp(9, 12, activation="leaky_relu")
    keras_winit.initialize(model, keras_winit.initializers.Mirrored("lecun_normal", 1.5), seed=1)
    given = model.layers[1].kernel_initializer
    assert (given.initializer, given.first) == ("lecun_normal", False)
    assert given.gain == pytest.approx(1.5 / 1.2)  # f(z) - f(-z) = 1.2 z
    responses(model, (7,))


def test_what_is_drawn_is_what_the_config_draws():
    model = images()
    keras_winit.initialize(model, "mirrored", seed=1)
    copy = keras.models.clone_model(model)
    is_linear_but_for_a_constant(copy, (8, 6, 3))


# What breaks pairs: their kernels get what they would get without.
BROKEN = {
    "an odd function": [layers.Activation("tanh")],
    "an activation that is not linear for pairs": [layers.Activation("elu")],
    "no activation": [],
    "layer normalization": [layers.ReLU(), layers.LayerNormalization()],
    "units that move": [layers.ReLU(), layers.Reshape((4, 2)), layers.Permute((2, 1))],
    "maximum pooling": [layers.ReLU(), layers.MaxPooling1D(2)],
    "another layer that takes them": [layers.ReLU(), layers.SimpleRNN(4, return_sequences=True)],
}


@pytest.mark.parametrize("between", BROKEN.values(), ids=BROKEN)
def test_where_pairs_are_broken_none_are_made(between):
    between = [layer.from_config(layer.get_config()) for layer in between]
    is_sequence = any(isinstance(each, (layers.RNN, layers.MaxPooling1D)) for each in between)
    shape = (5, 6) if is_sequence else (6,)
    model = keras.Sequential([keras.Input(shape), layers.Dense(8), *between, layers.Dense(3)])
    plans = [keras_winit.initialize(model, scheme, seed=1) for scheme in ("mirrored", "suggested")]
    first, second = ([row.initializer for row in plan.rows] for plan in plans)
    assert first == second


# Between a convolution of 7 units and relu, and a separable one.
NOT_CARRIED = {
    "an activation that is not linear for what relu gives": [
        layers.DepthwiseConv1D(3, activation="silu")
    ],
    "a mean that is taken off": [
        layers.DepthwiseConv1D(3),
        layers.BatchNormalization(),
        layers.ReLU(),
    ],
    "halves of a channel": [layers.DepthwiseConv1D(3, depth_multiplier=2)],
    "two in a row": [layers.DepthwiseConv1D(3), layers.DepthwiseConv1D(3)],
    "a kernel of the author's": [layers.DepthwiseConv1D(3, depthwise_initializer="ones")],
    "a bias": [layers.DepthwiseConv1D(3, bias_initializer="ones")],
    "a separable kernel of the author's": [
        layers.SeparableConv1D(5, 3, depthwise_initializer="ones")
    ],
}


@pytest.mark.parametrize("between", NOT_CARRIED.values(), ids=NOT_CARRIED)
def test_depthwise_kernels_that_cannot_carry_pairs_get_none(between):
    between = [layer.from_config(layer.get_config()) for layer in between]
    first = layers.Conv1D(7, 1, activation="relu", name="first")
    last = layers.SeparableConv1D(4, 3, activation="relu", name="last")
    model = keras.Sequential([keras.Input((12, 3)), first, *between, last, layers.Dense(2)])
    result = keras_winit.initialize(model, "mirrored", seed=1, keep="special")
    assert not any(row.initializer.startswith("Shift(") for row in result.rows)
    assert not isinstance(first.kernel_initializer, Mirrored)
    assert isinstance(last.pointwise_initializer, Mirrored)  # where they begin


def test_pairs_end_where_a_shortcut_adds_to_them():
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="stem")(inputs)
    y = layers.Dense(8, name="last")(layers.Dense(12, "relu", name="first")(x))
    model = keras.Model(inputs, layers.Dense(3, name="output")(x + y))
    rows = keras_winit.initialize(model, "mirrored", seed=1).rows
    mirrored = [row.weight for row in rows if row.initializer.startswith("Mirrored(")]
    assert mirrored == ["first/kernel", "last/kernel"]


def test_what_is_kept_is_no_part_of_a_pair():
    own = keras.initializers.TruncatedNormal(0.02)
    model = keras.Sequential(
        [
            keras.Input((7,)),
            *[layers.Dense(8, "relu") for _ in range(2)],
            layers.Dense(8, "relu", kernel_initializer=own),
            layers.Dense(3),
        ]
    )

    def given(**keep):
        rows = keras_winit.initialize(model, "mirrored", seed=1, **keep).rows
        return [row.initializer.partition("(")[0] for row in rows if row.fan_in is not None]

    assert given() == ["Mirrored"] * 4
    assert given(keep="special") == ["Mirrored", "Mirrored", "TruncatedNormal", "GlorotUniform"]


def test_what_stays_is_no_part_of_a_pair():
    """Frozen layers, and what `only` leaves, have units that are no pairs."""
    model = mlp(9, 12, 7, 9, 12, 7)

    def given(**arguments):
        rows = keras_winit.initialize(model, seed=1, **arguments).rows
        return [row.initializer for row in rows if row.fan_in is not None and not row.skipped]

    gelu = f"VarianceScaling(scale={(0.3 * keras_winit.gain('gelu')) ** 2:.4g})"
    pairs = ["Mirrored(gain=0.5, first=True)", *["Mirrored()"] * 5, "Mirrored(last=True)"]
    assert given() == pairs
    assert given(only=[model.layers[-1].name]) == ["GlorotUniform()"]
    names = [layer.name for layer in model.layers[3:5]]
    end = f"Mirrored(gain={keras_winit.gain('gelu'):.4g}, last=True)"  # before gelu, as it is
    assert given(only=names) == ["Mirrored(first=True)", end]
    model.layers[1].trainable = False
    assert given() == [gelu, "Mirrored(first=True)", *pairs[3:]]


def test_biases_that_do_not_start_at_zero_make_no_pairs():
    hidden = [layers.Dense(8, "relu", bias_initializer="ones", name="biased")]
    hidden += [layers.Dense(8, "relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3)])
    result = keras_winit.initialize(model, "mirrored", seed=1)
    kernels = [row.initializer for row in result.rows if row.fan_in is not None]
    first = "VarianceScaling(scale=0.08)"
    assert kernels == [first, "Mirrored(first=True)", "Mirrored()", "Mirrored(last=True)"]
