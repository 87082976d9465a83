"""What is special stays: which initializers `initialize` keeps, and which it replaces."""

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import initializers
from keras_winit._plan.plan import choices_of, make_plan

layers = keras.layers
VarianceScaling = keras.initializers.VarianceScaling


class Foreign(keras.initializers.HeNormal):
    """An initializer of another package."""


def function(shape, dtype=None):
    return keras.ops.full(shape, 0.1, dtype)


SPECIAL = {
    "zeros": "zeros",
    "ones": "ones",
    "constant": keras.initializers.Constant(0.1),
    "identity": keras.initializers.Identity(0.5),
    "dirac": "dirac",
    "orthogonal": "orthogonal",
    "near zero": VarianceScaling(1e-10, "fan_avg", "uniform"),
    "scale": VarianceScaling(0.3, "fan_in", "truncated_normal"),
    "scale of He's in another mode": VarianceScaling(2.0, "fan_avg"),
    "truncated normal": keras.initializers.TruncatedNormal(stddev=0.02),
    "normal": keras.initializers.RandomNormal(stddev=1.0),
    "normal of a mean": keras.initializers.RandomNormal(mean=0.1),
    "uniform": keras.initializers.RandomUniform(-0.1, 0.1),
    "sparse": "sparse",
    "centered": initializers.ActivationScaling("relu", centered=True),
    "foreign": Foreign(),
    "function": function,
}
GENERIC = {
    **{
        f"{name}_{law}": f"{name}_{law}"
        for name in ("glorot", "he", "lecun")
        for law in ("uniform", "normal")
    },
    "Glorot's": VarianceScaling(1.0, "fan_avg", "uniform"),
    "He's": VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    "LeCun's": VarianceScaling(),
    "random_normal": "random_normal",
    "random_uniform": keras.initializers.RandomUniform(seed=3),
    "truncated_normal": "truncated_normal",
    "what the activation asks for": keras_winit.select_initializer("gelu").initializer,
}


def network(initializer, activation="gelu"):
    """Returns a model with a kernel of an initializer, and others of Keras's default."""
    layer = layers.Dense(4, activation, kernel_initializer=initializer, name="layer")
    first = layers.Dense(8, "relu", name="first")
    return keras.Sequential([keras.Input((6,)), first, layer, layers.Dense(3, name="last")])


def choice(plan, path):
    (found,) = (each for each in choices_of(plan) if each.weight.path.endswith(path))
    return found


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_special_is_kept_beside_what_is_suggested(kind):
    own = keras.initializers.get(SPECIAL[kind])
    plan = keras_winit.suggest(network(SPECIAL[kind]))
    found = choice(plan, "layer/kernel")
    assert type(found.initializer) is type(own)
    assert found.reason == "kept: the author's; suggested is VarianceScaling(scale=2.352)"
    assert found.instead_of.scale == pytest.approx(keras_winit.gain("gelu") ** 2)
    assert plan["first/kernel"].scale == pytest.approx(0.08)
    everything = choice(keras_winit.suggest(network(SPECIAL[kind]), keep="none"), "layer/kernel")
    assert (everything.instead_of is None) == (kind != "zeros")


@pytest.mark.parametrize("kind", GENERIC)
def test_what_says_nothing_of_its_own_is_replaced(kind):
    found = choice(keras_winit.suggest(network(GENERIC[kind])), "layer/kernel")
    assert found.reason.startswith("gelu follows: 2.352 / fan_in")
    assert found.instead_of is None
    found = choice(keras_winit.suggest(network(GENERIC[kind]), keep="all"), "layer/kernel")
    is_nothing_new = kind in ("glorot_uniform", "what the activation asks for")
    assert found.reason.startswith("gelu follows" if is_nothing_new else "kept: the author's")


def test_the_default_is_that_of_the_layer_and_weight():
    def build(**arguments):
        cell = layers.SimpleRNN(5, "relu", name="layer", **arguments)
        return keras.Sequential([keras.Input((4, 3)), cell, layers.Dense(2)])

    plan = keras_winit.suggest(build(recurrent_initializer="identity"))
    assert choice(plan, "/recurrent_kernel").reason.startswith("kept: the author's")
    for keep in keras_winit._plan.keeping.KEEP:
        plan = keras_winit.suggest(build(), keep=keep)
        assert not any(each.instead_of for each in choices_of(plan))
    # For a kernel it is not the default.
    plan = keras_winit.suggest(build(kernel_initializer="orthogonal"))
    assert choice(plan, "layer/simple_rnn_cell/kernel").instead_of is not None


def branching(end, output="glorot_uniform", norm=True):
    """Returns a model of three branches, their kernels of Keras's default but for the ends."""
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="stem")(inputs)
    for _ in range(3):
        y = layers.LayerNormalization()(x) if norm else x
        x = x + layers.Dense(8, kernel_initializer=end)(layers.Dense(10, "silu")(y))
    return keras.Model(inputs, layers.Dense(3, kernel_initializer=output)(x))


@pytest.mark.parametrize(
    ("arguments", "is_designed"),
    [
        ({"end": "zeros"}, True),
        ({"end": "zeros", "norm": False}, True),
        ({"end": VarianceScaling(1e-10, "fan_avg", "uniform")}, True),
        ({"end": keras.initializers.RandomNormal(stddev=1e-6)}, True),
        ({"end": VarianceScaling(0.1)}, False),
        ({"end": "glorot_uniform", "output": "zeros"}, False),
    ],
)
def test_beside_branches_that_the_author_starts_at_zero_all_is_kept(arguments, is_designed):
    choices = choices_of(keras_winit.suggest(branching(**arguments)))
    kernels = [each for each in choices if each.weight.name == "kernel"][:-1]  # but the output
    others = [each for each in kernels if each.weight.shape != (10, 8)]
    assert len(others) == 4
    reason = "kept: beside kernels that the author starts at zero; suggested is "
    assert [each.reason.startswith(reason) for each in others] == [is_designed] * 4
    everything = choices_of(keras_winit.suggest(branching(**arguments), keep="none"))
    assert "kept: beside" not in " ".join(each.reason for each in everything)


def test_wrapped_layers_are_suggested_anew_by_what_is_around_them():
    """A depthwise kernel is told another scale, which makes up for fans that Keras counts wrong."""
    wrapped = keras_winit.suggest_initializer(layers)
    first = wrapped.DepthwiseConv2D(3, 2, activation="silu", depth_multiplier=2, padding="same")
    hidden = [wrapped.Conv2D(4, 3, padding="same", activation="silu") for _ in range(20)]
    model = keras.Sequential([keras.Input((4, 4, 2)), first, *hidden, layers.Flatten()])
    plan = keras_winit.suggest(keras.Sequential([model, layers.Dense(2)]))
    assert not [each.reason for each in choices_of(plan) if each.instead_of is not None]
    kernels = [each.initializer for each in choices_of(plan) if each.weight.name == "kernel"]
    assert [type(kernel) for kernel in kernels[1:-1]] == [initializers.Mirrored] * 20


# What is kept is what "own" gives.


def special_model():
    images = keras.Input((4, 4, 2))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer=VarianceScaling(0.3))(
        images
    )
    x = layers.Reshape((4, 4))(x)
    normal = keras.initializers.TruncatedNormal(stddev=0.02)
    x = layers.MultiHeadAttention(2, 3, kernel_initializer=normal)(x, x)
    x = layers.LSTM(3, kernel_initializer="he_uniform", recurrent_initializer="ones")(x)
    return keras.Model(images, layers.Dense(2, kernel_initializer="zeros", name="last")(x))


def values(model):
    return [keras.ops.convert_to_numpy(each) for each in model.weights]


def test_kept_weights_are_those_of_own_and_of_the_seed():
    model = special_model()
    keras_winit.initialize(model, "own", seed=3)
    own = values(model)
    keras_winit.initialize(model, "pytorch", seed=1)  # which is not the author's
    result = keras_winit.initialize(model, seed=3)
    first = values(model)
    keras_winit.initialize(model, seed=3)
    kept = [row.reason.startswith("kept: the author's") for row in result.rows]
    assert kept.count(True) == 7
    for is_kept, row, drawn, once, twice in zip(
        kept, result.rows, own, first, values(model), strict=True
    ):
        np.testing.assert_array_equal(once, twice, err_msg=row.weight)
        if is_kept:
            np.testing.assert_array_equal(once, drawn, err_msg=row.weight)
    assert any(not np.array_equal(a, b) for a, b in zip(own, first, strict=True))


def test_what_is_kept_stays_in_the_config_and_is_kept_of_a_copy():
    model = special_model()
    keras_winit.initialize(model, seed=3)
    copy = keras.Model.from_config(model.get_config())
    assert copy.get_layer("last").kernel_initializer.__class__.__name__ == "Zeros"
    keras_winit.initialize(copy, seed=3)
    for value, other in zip(values(model), values(copy), strict=True):
        np.testing.assert_array_equal(value, other)


def test_suggest_changes_nothing():
    model = special_model()
    before, config = values(model), model.to_json()
    for keep in ("special", "all", "none"):
        keras_winit.suggest(model, keep=keep)
    assert model.to_json() == config
    for value, other in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(value, other)


# What is asked for by name.


@pytest.mark.parametrize("scheme", ["keras", "pytorch", "critical", "he_normal", "looks_linear"])
def test_a_scheme_by_name_gives_what_it_says(scheme):
    for kind in ("zeros", "truncated normal"):
        found = choice(make_plan(network(SPECIAL[kind], "relu"), scheme), "layer/kernel")
        assert found.instead_of is None
        assert type(found.initializer) is not type(keras.initializers.get(SPECIAL[kind]))
        found = choice(make_plan(network(SPECIAL[kind], "relu"), scheme, "special"), "layer/kernel")
        assert found.instead_of is not None


def test_what_a_scheme_leaves_to_the_suggestions_is_kept_as_there():
    plan = make_plan(network(SPECIAL["scale"], "softmax"), "looks_linear")
    assert isinstance(plan["first/kernel"], initializers.LooksLinear)
    images = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 2, kernel_initializer=SPECIAL["scale"])(images, images)
    outputs = layers.Dense(3, "relu", kernel_initializer=SPECIAL["scale"], name="last")(x)
    plan = make_plan(keras.Model(images, outputs), "mimetic")
    assert choice(plan, "query/kernel").instead_of is None
    assert choice(plan, "last/kernel").reason.startswith("kept: the author's")


def test_own_keeps_all():
    model = network("truncated_normal")
    for keep in (None, "special", "none"):
        assert choice(make_plan(model, "own", keep), "layer/kernel").from_layer


def test_keep_is_checked():
    model = network("zeros")
    message = "`keep` should be one of 'special', 'all', 'none'. Received: keep='specal'. Did you"
    with pytest.raises(ValueError, match=message):
        keras_winit.suggest(model, keep="specal")
    plan = keras_winit.suggest(model)
    with pytest.raises(ValueError, match="`keep` should be left out where `scheme` is a plan"):
        keras_winit.initialize(model, plan, keep="all")


# The other verbs agree.


@pytest.mark.parametrize(
    ("rule", "build"),
    [
        ("identical_units", lambda: network("ones")),
        ("identical_units", lambda: network(keras.initializers.Constant(0.1))),
        ("vanishing_signal", lambda: small(keras.initializers.RandomNormal(stddev=0.01))),
        ("vanishing_signal", lambda: small(VarianceScaling(1e-10))),
    ],
)
def test_fix_mends_what_was_found_whoever_gave_it(rule, build):
    report = keras_winit.diagnose(build())
    assert rule in [finding.rule for finding in report.findings]
    assert rule not in [finding.rule for finding in report.fix(seed=1).findings]


def small(initializer):
    hidden = [layers.Dense(16, "relu", kernel_initializer=initializer) for _ in range(8)]
    return keras.Sequential([keras.Input((12,)), *hidden, layers.Dense(3)])


@pytest.mark.parametrize("end", ["zeros", VarianceScaling(1e-10, "fan_avg", "uniform")])
def test_diagnose_finds_no_fault_with_ends_that_start_near_zero(end):
    report = keras_winit.diagnose(branching(end, output=end))
    assert {finding.rule for finding in report.findings} <= {"twin_kernels"}  # one instance for all


@pytest.mark.parametrize(
    ("end", "is_left"),
    [
        (VarianceScaling(1e-10, "fan_avg", "uniform"), True),
        (keras.initializers.RandomNormal(stddev=1e-5), True),
        (keras.initializers.RandomNormal(mean=0.5, stddev=1e-5), False),
        (VarianceScaling(0.01), False),
    ],
)
def test_calibrate_leaves_what_starts_near_zero(end, is_left):
    inputs = keras.Input((12,))
    x = layers.Dense(8, name="stem")(inputs)
    y = layers.Dense(10, "relu")(layers.LayerNormalization()(x))
    x = x + layers.Dense(8, kernel_initializer=end, name="end")(y)
    model = keras.Model(inputs, layers.Dense(3)(x))
    before = keras.ops.convert_to_numpy(model.get_layer("end").kernel)
    result = keras_winit.calibrate(model)
    same = np.array_equal(before, keras.ops.convert_to_numpy(model.get_layer("end").kernel))
    assert same == is_left
    (row,) = (row for row in result.layers if row.layer.endswith("end"))
    assert (row.reason == "starts near zero, as its author meant it") == is_left
    # Once it is drawn anew, it is a layer like the others.
    keras_winit.initialize(model, keep="none")
    (row,) = (row for row in keras_winit.calibrate(model).layers if row.layer.endswith("end"))
    assert row.reason != "starts near zero, as its author meant it"


def test_notes_say_what_is_kept_and_how_it_is_not():
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    hidden = [layers.Dense(4, "relu", kernel_initializer=each) for each in (small, small, "zeros")]
    model = keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(2)])
    note = (
        "Kept as the author gave it: 2 weights, TruncatedNormal(stddev=0.02). "
        '`keep="none"` suggests for it too.'
    )
    assert keras_winit.suggest(model).notes[-1] == note
    assert keras_winit.initialize(model, seed=1).notes == (note,)
    assert keras_winit.initialize(model, seed=1, only=["*/bias"]).notes == ()
    assert keras_winit.initialize(model, keep="none", seed=1).notes == ()
