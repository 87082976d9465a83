from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import initializers

layers = keras.layers


def small_model(name="small"):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, strides=2, use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Flatten(),
            layers.Dense(2, "softmax", name="classes"),
        ],
        name=name,
    )


@pytest.fixture
def model():
    return small_model()


@pytest.fixture
def plan(model):
    return keras_winit.suggest(model)


def class_name(initializer):
    return type(initializer).__name__


# What it says.


def test_prints_as_a_table(plan):
    assert repr(plan) + "\n" == (Path(__file__).parents[1] / "golden" / "plan.txt").read_text()


def test_html_is_the_same_table_escaped():
    inputs = keras.Input((4,))
    outputs = layers.Dense(2, name="<i>'kernel'")(inputs)
    page = keras_winit.suggest(keras.Model(inputs, outputs, name="<b>&"))._repr_html_()
    assert "Plan for model &#x27;&lt;b&gt;&amp;&#x27;" in page
    assert ">&lt;i&gt;&#x27;kernel&#x27;/kernel</td>" in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert ">GlorotUniform()</td>" in page
    assert page.endswith("<p>Others (1): what their layer gives them.</p>")


def test_no_footer_where_every_weight_is_in_the_table():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, use_bias=False)])
    plan = keras_winit.suggest(model)
    assert "Others" not in repr(plan)
    assert plan._repr_html_().endswith("</table>")


def test_a_model_whose_graph_cannot_be_read_says_so_in_its_title():
    class Branching(keras.Model):
        def __init__(self):
            super().__init__(name="branching")
            self.dense = layers.Dense(3, "relu", name="dense")

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x if keras.ops.sum(x) > 0 else -x)

    model = Branching()
    model(np.ones((2, 4), "float32"))
    plan = keras_winit.suggest(model)
    title, _, _, row, *_ = repr(plan).splitlines()
    assert title.startswith("Plan for model 'branching'; its graph could not be read in full: ")
    assert title.endswith(plan.problem)
    assert "relu follows: 2 / fan_in" in row
    assert class_name(plan["branching/dense/kernel"]) == "HeNormal"


@pytest.mark.parametrize("name", ["mix", "kernel", "recurrent"])
def test_what_is_left_alone_is_said_with_the_reason(name):
    class Mixer(layers.Layer):
        def build(self, shape):
            self.mix = self.add_weight(shape=(shape[-1], 3), name=name)

        def call(self, x):
            return x @ self.mix

    model = keras.Sequential([keras.Input((4,)), Mixer(name="mixer"), layers.Dense(2)], name="m")
    plan = keras_winit.suggest(model)
    assert plan[f"m/mixer/{name}"] is None
    (row,) = [line for line in repr(plan).splitlines() if line.startswith(f"m/mixer/{name}")]
    assert "left alone" in row
    assert "Mixer is not known; use `describe_layer`" in row


# It changes nothing.


def test_suggest_changes_nothing():
    model = small_model()

    def state():
        attributes = [value for layer in model.layers for value in vars(layer).items()]
        return model.to_json(), [id(v) for name, v in attributes if name.endswith("_initializer")]

    weights, before = model.get_weights(), state()
    plan = keras_winit.suggest(model)
    plan["*"] = "zeros"
    repr(plan)
    assert state() == before
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# It is a mapping.


def test_maps_every_weight_to_its_initializer(model, plan):
    assert isinstance(plan, Mapping)
    assert list(plan) == [weight.path for weight in model.weights]
    assert len(plan) == 9
    assert {path: class_name(each) for path, each in plan.items()} == {
        "small/conv/kernel": "LecunNormal",
        "small/norm/gamma": "Ones",
        "small/norm/beta": "Zeros",
        "small/norm/moving_mean": "Zeros",
        "small/norm/moving_variance": "Ones",
        "small/depthwise/kernel": "LecunNormal",
        "small/depthwise/bias": "Zeros",
        "small/classes/kernel": "GlorotUniform",
        "small/classes/bias": "Zeros",
    }
    assert "small/conv/bias" not in plan
    with pytest.raises(KeyError, match="small/conv/bias"):
        plan["small/conv/bias"]


def test_layers_of_the_same_name_each_have_their_place():
    def tower():
        inputs = keras.Input((4,))
        return keras.Model(inputs, layers.Dense(3, name="dense")(inputs))

    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Concatenate()([tower()(inputs), tower()(inputs)]))
    plan = keras_winit.suggest(model)
    assert list(plan) == ["dense/kernel", "dense/bias", "dense/kernel#2", "dense/bias#2"]
    plan["dense/kernel#2"] = "orthogonal"
    assert [class_name(plan[f"dense/kernel{end}"]) for end in ("", "#2")] == [
        "GlorotUniform",
        "Orthogonal",
    ]
    plan["dense"] = "zeros"
    assert {class_name(each) for each in plan.values()} == {"Zeros"}
    before = model.get_weights()
    keras_winit.initialize(model, "he_normal", seed=1)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert new.ndim == 1 or not np.array_equal(old, new)


# It can be edited.


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("conv", {"small/conv/kernel"}),
        ("small/conv", {"small/conv/kernel"}),
        ("small/conv/kernel", {"small/conv/kernel"}),
        ("small/classes/bias", {"small/classes/bias"}),
        ("*wise*", {"small/depthwise/kernel"}),
        ("*/bias", {"small/depthwise/bias", "small/classes/bias"}),
        ("small/norm/gamma", {"small/norm/gamma"}),
        ("small", {"small/conv/kernel", "small/depthwise/kernel", "small/classes/kernel"}),
        ("*", {"small/conv/kernel", "small/depthwise/kernel", "small/classes/kernel"}),
    ],
)
def test_assignment_changes_kernels_or_the_weights_that_are_named(plan, name, changed):
    before = dict(plan)
    mine = initializers.Constant(0.5)
    plan[name] = mine
    assert {path for path in plan if plan[path] is not before[path]} == changed
    assert all(plan[path] is mine for path in changed)
    assert list(plan) == list(before)
    rows = {line.split()[0]: line for line in repr(plan).splitlines()[3:]}
    assert all("Constant(value=0.5)  asked for" in rows[path] for path in changed)


def test_the_name_of_a_wrapper_or_nested_model_means_the_kernels_inside():
    inputs = keras.Input((5, 4))
    # Nothing in the paths of a functional model tells its name.
    encoder = keras.Model(inputs, layers.Dense(3, name="dense")(inputs), name="encoder")
    inputs = keras.Input((5, 4))
    x = layers.Bidirectional(layers.LSTM(2), name="both")(encoder(inputs))
    plan = keras_winit.suggest(keras.Model(inputs, layers.Dense(2, name="head")(x)))
    plan["encoder"] = "ones"
    plan["both"] = "zeros"
    names = [class_name(each) for path, each in plan.items() if path.endswith("kernel")]
    assert names == ["Ones", *["Zeros"] * 4, "GlorotUniform"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("he_uniform", initializers.HeUniform),
        (initializers.Sparse, initializers.Sparse),
        (initializers.Orthogonal(0.5), initializers.Orthogonal),
        ({"class_name": "HeNormal", "config": {}}, initializers.HeNormal),
    ],
)
def test_initializers_are_given_by_name_class_instance_or_config(plan, value, expected):
    plan["conv"] = value
    assert type(plan["small/conv/kernel"]) is expected


def test_a_function_of_shape_and_dtype_is_an_initializer(model, plan):
    plan["classes"] = lambda shape, dtype=None: keras.ops.full(shape, 0.125, dtype)
    keras_winit.initialize(model, plan, only="classes")
    kernel, _ = model.get_layer("classes").get_weights()
    assert (kernel == 0.125).all()


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("convv", "zeros", ValueError, r"`name` should be.*name='convv'. Did you mean 'conv'\?"),
        ("small/conv/kernal", "zeros", ValueError, "Did you mean 'small/conv/kernel'"),
        (3, "zeros", TypeError, "`name` should be the name, path or pattern.*3"),
        ("conv", "orthogonl", ValueError, "`initializer` should be.*Did you mean 'orthogonal'"),
        ("conv", 3, TypeError, "`initializer` should be an initializer, by name, class or inst"),
        ("conv", None, TypeError, "`initializer` should be.*None"),
        ("norm", "ones", ValueError, "name='norm': no kernel; give the path of a weight"),
    ],
)
def test_wrong_assignments_are_refused_and_change_nothing(plan, name, value, error, message):
    before = dict(plan)
    with pytest.raises(error, match=message):
        plan[name] = value
    assert dict(plan) == before


def test_what_must_be_left_alone_cannot_be_assigned():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="integer"), layers.Dense(2, name="float")]
    )
    model.get_layer("integer").quantize("int8")
    plan = keras_winit.suggest(model)
    with pytest.raises(ValueError, match="name='integer': quantized to int8"):
        plan["integer"] = "orthogonal"
    plan["*"] = "orthogonal"
    assert [class_name(each) for path, each in plan.items() if path.endswith("/kernel")] == [
        "NoneType",
        "Orthogonal",
    ]


# It is used.


def test_initialize_draws_what_the_plan_says(model, plan):
    plan["conv"] = initializers.Constant(0.25)
    plan["small/classes/bias"] = "ones"
    keras_winit.initialize(model, plan, seed=1)
    weights = dict(zip(plan, model.get_weights(), strict=True))
    assert (weights["small/conv/kernel"] == 0.25).all()
    assert (weights["small/classes/bias"] == 1).all()
    assert 0.1 < weights["small/depthwise/kernel"].std() < 1


def test_an_unedited_plan_is_the_suggested_scheme(model, plan):
    keras_winit.initialize(model, plan, seed=1)
    planned = model.get_weights()
    keras_winit.initialize(model, "suggested", seed=1)
    for expected, weight in zip(planned, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("name", ["small", "other"])
def test_a_plan_for_another_model_is_refused(model, plan, name):
    other = small_model(name)
    before = other.get_weights() + model.get_weights()
    with pytest.raises(ValueError, match="`scheme` should be a plan for this model.*'small'"):
        keras_winit.initialize(other, plan, seed=1)
    for old, new in zip(before, other.get_weights() + model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, TypeError, "`model` should be a Keras model. Received: model=3"),
        (keras.Sequential([layers.Dense(3)], name="m"), ValueError, "'m'.*Give it a `keras.Input`"),
        (layers.Dense(3, name="alone"), ValueError, "`model` should be built.*layer 'alone'"),
        (layers.ReLU(name="relu"), ValueError, "'relu', which has no weights"),
    ],
)
def test_what_is_no_built_model_is_refused(model, error, message):
    with pytest.raises(error, match=message):
        keras_winit.suggest(model)
