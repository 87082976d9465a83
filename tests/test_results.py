"""Everything that users get back is public in `keras_winit.results`, documented, and pickled."""

import dataclasses
import inspect
import json
import pickle
import re

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import results

layers = keras.layers
X = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
Y = np.arange(64) % 3


class Mixer(layers.Layer):
    """A layer whose kernel is not known."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], self.units), name="mix", initializer="ones")

    def call(self, x):
        return x @ self.mix


def network(mixer=layers.Dense):
    """Returns a model with a residual branch, a layer of your choice, and something wrong."""
    inputs = keras.Input((8,), name="x")
    branch = layers.Dense(8, "relu", kernel_initializer="zeros", name="first")(inputs)
    x = layers.Add()([inputs, layers.Dense(8, name="last_of_branch")(branch)])
    x = layers.Dense(8, "relu", kernel_initializer="ones", name="same")(mixer(8, name="mixer")(x))
    model = keras.Model(inputs, layers.Dense(3, name="classes")(x), name="net")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def compare():
    return keras_winit.compare(network, X, Y, ["zeros"], seeds=1, epochs=1, verbose=0)


def check():
    return keras_winit.coordinate_check(lambda width: network(), [1, 2], X, Y, seeds=1)


def dead():
    model = network()
    model.get_layer("same").bias.assign(np.full(8, -99.0))
    return model


def changed_plan():
    plan = keras_winit.suggest(network())
    plan["classes"] = "he_uniform"
    return plan


MAKE = {
    "suggest": lambda: keras_winit.suggest(network()),
    "diff": lambda: changed_plan().diff(),
    "initialize": lambda: keras_winit.initialize(network(), seed=1),
    "calibrate": lambda: keras_winit.calibrate(network(), X),
    "diagnose": lambda: keras_winit.diagnose(network(Mixer), X, Y),
    "fix": lambda: keras_winit.diagnose(network(), X, Y).fix(seed=1),
    "record": lambda: keras_winit.record(network(), X, Y),
    "compare": compare,
    "coordinate_check": check,
    "inherit": lambda: keras_winit.inherit(network(), network(Mixer)),
    "revive": lambda: keras_winit.revive(dead(), X, seed=1),
    "catalogue": keras_winit.catalogue,
    "select_initializer": lambda: keras_winit.select_initializer("relu"),
}


@pytest.fixture(scope="module")
def returned():
    return {verb: make() for verb, make in MAKE.items()}


def parts(value):
    """Yields what a value holds where its users may look: its fields, properties and items."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        yield from value
    elif type(value).__module__.startswith("keras_winit"):
        names = {name for name in dir(value) if not name.startswith("_")}
        yield from (getattr(value, name) for name in names)
        yield from value if isinstance(value, results.Catalogue) else ()


def reached(value):
    """Returns all that can be reached from a value through public attributes, each type once."""
    found, waiting = {}, [value]
    while waiting:
        value = waiting.pop()
        if callable(value) or type(value) in (str, bytes):
            continue
        waiting.extend(each for each in parts(value) if type(each) not in found)
        if not isinstance(value, (dict, list, tuple)) or hasattr(value, "_fields"):
            found.setdefault(type(value), value)
    return found


def ours(types):
    return {each for each in types if each.__module__.startswith("keras_winit")}


def test_all_that_verbs_return_is_public(returned):
    found = ours(kind for value in returned.values() for kind in reached(value))
    public = {getattr(results, name) for name in results.__all__}
    assert found <= public
    assert public - found == {results.Part, results.Result}


def test_no_public_attribute_is_a_model_or_holds_its_weights(returned):
    found = {kind for value in returned.values() for kind in reached(value)}
    live = (keras.Layer, keras.Variable, keras.Optimizer)
    assert not [kind for kind in found if issubclass(kind, live)]


@pytest.mark.parametrize("name", results.__all__)
def test_it_is_known_by_its_public_name(name):
    cls = getattr(results, name)
    assert (cls.__module__, cls.__qualname__) == ("keras_winit.results", name)
    assert getattr(keras_winit, name, cls) is cls


@pytest.mark.parametrize("name", results.__all__)
def test_docstring_tells_every_attribute(name):
    cls = getattr(results, name)
    documentation = inspect.getdoc(cls)
    summary, *rest = documentation.splitlines()
    assert summary.endswith(".")
    assert not rest or rest[0] == ""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    for field in fields:
        assert field.name.startswith("_") or f"\n    {field.name}: " in documentation
    for each, member in inspect.getmembers(cls, lambda each: isinstance(each, property)):
        assert each.startswith("_") or member.__doc__, each


@pytest.mark.parametrize("verb", [name for name in MAKE if name != "suggest"])
def test_pickles_name_no_private_module_of_ours_and_show_the_same(verb, returned):
    pickled = pickle.dumps(returned[verb])
    assert not re.search(rb"keras_winit\._", pickled)
    assert repr(pickle.loads(pickled)) == repr(returned[verb])


def test_a_plan_is_pickled_with_its_model(returned):
    plan = pickle.loads(pickle.dumps(returned["suggest"]))
    assert repr(plan) == repr(returned["suggest"])


def test_a_pickled_diagnosis_holds_no_model_and_says_so(returned):
    pickled = pickle.dumps(returned["diagnose"])
    assert len(pickled) < 20_000
    with pytest.raises(ValueError, match="`fix` should be called on what `diagnose` returned.*"):
        pickle.loads(pickled).fix()


def test_rows_are_what_the_table_shows(returned):
    for value in returned.values():
        if isinstance(value, results.Result):
            assert len(value.rows) == len(value.table.rows) > 0
            assert all(isinstance(row, results.Part) for row in value.rows)


def test_parts_print_as_one_line(returned):
    found = {kind: each for value in returned.values() for kind, each in reached(value).items()}
    for kind in ours(found):
        if not issubclass(kind, results.Result) and kind is not results.Table:
            assert "\n" not in repr(found[kind])
            assert len(repr(found[kind])) < 350
    finding = returned["diagnose"].findings[0]
    assert repr(finding).startswith(f"Finding(rule={finding.rule!r}, severity='error', layer=")
    assert finding.reason not in repr(finding)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Piece(results.Part):
    name: str
    inner: results.Part | None = None
    several: tuple = ()
    size: float = 1.0
    hidden: int = dataclasses.field(default=0, repr=False)


def test_parts_leave_out_defaults_and_cut_what_is_long():
    inner = Piece(name="x" * 100, size=0.123456)
    assert repr(inner) == f"Piece(name='{'x' * 55}...', size=0.1235)"
    outer = Piece(name="y", inner=inner, several=(inner, inner), hidden=3)
    assert repr(outer) == "Piece(name='y', inner=Piece(...), several=<2 Piece>)"
    assert outer.to_dict()["several"][1] == {**inner.to_dict(), "name": "x" * 100}
    assert outer.to_dict()["hidden"] == 3


def test_everything_that_verbs_return_goes_through_json_and_into_a_frame(returned):
    values = {kind: each for value in returned.values() for kind, each in reached(value).items()}
    for kind in ours(values):
        if issubclass(kind, (results.Result, results.Part)):
            plain = values[kind].to_dict()
            assert json.loads(json.dumps(plain, allow_nan=False)) == plain, kind
            assert len(values[kind].to_frame()) >= 1, kind
    assert values[results.Suggestion].to_dict()["initializer"] == "HeNormal()"
    assert values[results.Entry].to_dict()["initializer"] == values[results.Entry].name


def test_a_difference_holds_what_a_plan_changes():
    model = network()
    model.get_layer("mixer").kernel_initializer = keras.initializers.LecunNormal(seed=3)
    plan = keras_winit.suggest(model)
    plan["classes"], plan["mixer"] = "he_uniform", "lecun_normal"
    difference = plan.diff()
    changed = {row.weight: (row.held, row.initializer) for row in difference.rows}
    assert changed["classes/kernel"] == ("GlorotUniform()", "HeUniform()")
    assert "mixer/kernel" not in changed  # another seed alone
    assert all(before != after for before, after in changed.values())
    assert difference.num_weights == len(plan) > len(changed)
    keras_winit.initialize(model, plan, seed=1)
    assert plan.diff().rows == ()


def test_parts_are_made_by_name_alone():
    many = [getattr(results, name) for name in results.__all__ if name not in ("Entry", "Branch")]
    for cls in filter(dataclasses.is_dataclass, many):
        fields = dataclasses.fields(cls)
        assert len(fields) < 4 or all(field.kw_only for field in fields), cls
