import json
import signal
import threading

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import _backends, _network
from keras_winit._network import transaction
from keras_winit._network.transaction import all_or_nothing

layers = keras.layers
SIGINT = signal.SIGINT


def network():
    """Returns a model with attention, gates and dense layers, and a batch for it."""
    inputs = keras.Input((3, 6))
    x = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    x = layers.GRU(5, kernel_initializer="sparse")(x)
    x = layers.Dense(7, "relu", kernel_initializer="activation_scaling")(x)
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    return model, np.random.default_rng(0).normal(3.0, size=(8, 3, 6)).astype("float32")


def plain():
    """Returns a model that `"equalized"` suits, and a batch for it."""
    hidden = [layers.Dense(units, "relu", kernel_initializer="sparse") for units in (9, 7)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3)])
    return model, np.random.default_rng(0).normal(3.0, size=(8, 6)).astype("float32")


def broken():
    """Returns a model in which `fix` has weights to draw, to scale, and a bias to set."""
    hidden = [layers.Dense(9, "relu", kernel_initializer="ones") for _ in range(3)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3)])
    return model, np.random.default_rng(0).normal(3.0, size=(8, 6)).astype("float32")


VERBS = {
    "initialize": (network, lambda model, x: keras_winit.initialize(model, seed=1)),
    "calibrate": (plain, lambda model, x: keras_winit.calibrate(model, x, mode="unit")),
    "equalized": (plain, lambda model, x: keras_winit.calibrate(model, x, mode="equalized")),
    "fix": (broken, lambda model, x: keras_winit.diagnose(model, x).fix(seed=1)),
    "strip": (network, lambda model, x: keras_winit.strip_initializers(model)),
}


class State:
    """Weights and initializers of a model, which can be compared and put back."""

    def __init__(self, model):
        self.values = [keras.ops.convert_to_numpy(each) for each in model.weights]
        self.attributes = [
            (layer, name, value)
            for layer in _network.walk(model)
            for name, value in vars(layer).items()
            if name.endswith("_initializer")
        ]
        self.config = json.dumps(model.get_config(), sort_keys=True, default=repr)

    def __eq__(self, other):
        same = zip(self.values, other.values, strict=True)
        return self.config == other.config and all(map(lambda pair: np.array_equal(*pair), same))

    def put_back(self, model):
        for variable, value in zip(model.weights, self.values, strict=True):
            variable.assign(value)
        for layer, name, value in self.attributes:
            setattr(layer, name, value)


@pytest.fixture
def points(monkeypatch):
    """Has a function called before and after each assignment to a variable or an attribute.

    Yields a list that holds the function.
    """
    called = [None]

    def watch(owner, name):
        function = getattr(owner, name)

        def watched(self, *arguments):
            if called[0] is not None:
                called[0]()
            result = function(self, *arguments)
            if called[0] is not None:
                called[0]()
            return result

        monkeypatch.setattr(owner, name, watched)

    watch(type(keras.Variable(0.0)), "_direct_assign")
    watch(keras.Layer, "__setattr__")
    return called


# From how many bytes on old values are written in a thread, beside what comes next.
@pytest.mark.parametrize(
    ("verb", "large"), [*((verb, 1 << 20) for verb in VERBS), ("initialize", 0)]
)
def test_an_interrupt_at_any_point_leaves_the_old_model_or_the_new_one(
    verb, large, points, monkeypatch
):
    monkeypatch.setattr(transaction, "_LARGE", large)
    build, run = VERBS[verb]
    model, x = build()
    old, count = State(model), 0

    def see():
        nonlocal count
        count += 1

    points[0] = see
    run(model, x)
    points[0] = None
    new, last = State(model), count
    assert new != old
    ends = set()
    for point in {*np.linspace(1, last, 16).astype(int), last - 1}:
        old.put_back(model)
        count = 0

        def interrupt(point=point):
            nonlocal count
            count += 1
            if count == point or (count > point and point % 2):  # once, or again and again
                signal.raise_signal(SIGINT)

        points[0] = interrupt
        with pytest.raises(KeyboardInterrupt):
            run(model, x)
        points[0] = None
        state = State(model)
        assert state in (old, new), f"neither old nor new after an interrupt at {point} of {last}"
        ends.add("old" if state == old else "new")
        assert signal.getsignal(SIGINT) is signal.default_int_handler
    assert "old" in ends


def test_an_interrupt_during_the_undoing_waits_for_its_end(points):
    model, x = network()
    old = State(model)
    head = model.get_layer("head")

    def fail():
        with all_or_nothing() as changes:
            for variable in model.weights:
                changes.assign(variable, keras.ops.ones(variable.shape))
            changes.set(head, "kernel_initializer", None)
            points[0] = lambda: signal.raise_signal(SIGINT)
            raise ValueError("first")

    with pytest.raises(KeyboardInterrupt) as raised:
        fail()
    points[0] = None
    assert State(model) == old
    assert str(raised.value.__context__) == "first"


def test_a_handler_of_the_users_is_called_and_stays():
    seen = []
    before = signal.signal(SIGINT, lambda number, frame: seen.append(number))
    try:
        handler = signal.getsignal(SIGINT)
        with all_or_nothing():
            signal.raise_signal(SIGINT)
        assert signal.getsignal(SIGINT) is handler
        signal.signal(SIGINT, signal.SIG_IGN)
        with all_or_nothing():
            signal.raise_signal(SIGINT)
        assert signal.getsignal(SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(SIGINT, before)
    assert seen == [SIGINT]


@pytest.mark.parametrize("changed", [True, False])
def test_large_values_that_are_written_beside_what_comes_next_come_back(changed):
    sizes, numbers = (7, 1 << 21, 5), np.random.default_rng(0)
    variables = [keras.Variable(numbers.normal(size=size), dtype="float32") for size in sizes]
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]

    def fail():
        with all_or_nothing() as changes:
            for variable in variables:
                wait = changes.keep(variable, _backends.view(variable))
                if changed:
                    wait()
                    variable.assign(keras.ops.zeros(variable.shape))
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        fail()
    for variable, values in zip(variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), values)


def test_what_cannot_be_kept_is_an_error_before_the_variable_changes(monkeypatch):
    def write(self, variable, values):
        raise OSError("no space left")

    monkeypatch.setattr(transaction.Changes, "_write", write)
    variable = keras.Variable(np.ones((1 << 10, 300), "float32"))

    def change():
        with all_or_nothing() as changes:
            changes.assign(variable, keras.ops.zeros(variable.shape))

    with pytest.raises(OSError, match="no space left"):
        change()
    assert (keras.ops.convert_to_numpy(variable) == 1).all()


def test_what_fails_in_another_thread_is_undone():
    model, _ = plain()
    old, errors = State(model), []

    def run():
        try:
            with all_or_nothing() as changes:
                for variable in model.weights:
                    changes.assign(variable, keras.ops.ones(variable.shape))
                raise ValueError("in a thread")
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == ["in a thread"]
    assert State(model) == old


def test_changes_are_undone_backward_and_one_that_cannot_be_does_not_stop_the_others():
    variable, order = keras.Variable(np.arange(6.0).reshape(2, 3)), []

    def fail():
        with all_or_nothing() as changes:
            changes.on_error(order.append, "first")
            changes.assign(variable, keras.ops.ones((2, 3)))
            changes.assign(variable, keras.ops.zeros((2, 3)))
            changes.on_error(int, "cannot")
            changes.on_error(order.append, "last")
            raise RuntimeError("out of luck")

    with pytest.raises(ValueError, match="cannot"):
        fail()
    assert order == ["last", "first"]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), [[0, 1, 2], [3, 4, 5]])
