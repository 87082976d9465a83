"""What a layer's `call` writes to is as it was after any verb."""

import collections
import copy
import random
import types

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import _network

layers = keras.layers


class Counts:
    """A helper of the user's that is no layer."""

    def __init__(self):
        self.calls = 0
        self.shapes = []


class Notes(layers.Layer):
    """Writes to all that a layer can hold, whenever it is called."""

    def __init__(self):
        super().__init__(name="notes")
        self.number = 0
        self.cache = {"first": 0, "second": {"deep": []}}
        self.ordered = collections.OrderedDict(a=1, b=2)
        self.counter = collections.Counter("aab")
        self.log = [[1], ({"inside": [2]},)]
        self.names = {"a"}
        self.recent = collections.deque([1, 2, 3], maxlen=3)
        self.buffer = np.arange(6.0).reshape(2, 3)
        self.constant = np.ones(3)
        self.constant.flags.writeable = False
        self.counts = Counts()
        self.space = types.SimpleNamespace(values=[0])
        self.random = random.Random(0)
        self.generator = np.random.default_rng(0)
        self.legacy = np.random.RandomState(0)  # noqa: NPY002
        self.dense = layers.Dense(5)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        self.number += 1
        self.cache["third"] = x
        del self.cache["first"]
        self.cache["second"]["deep"].append(x)
        self.ordered.move_to_end("a")
        self.counter["a"] += 1
        self.log[0].append(x)
        self.log[1][0]["inside"].clear()
        self.names.add(str(self.number))
        self.recent.append(x)
        self.buffer[:] = -1
        self.counts.calls += 1
        self.counts.shapes.append(x.shape)
        self.counts.new = self.number
        self.space.values[0] += 1
        self.random.random()
        self.generator.normal()
        self.legacy.normal()
        random.random()
        np.random.normal()  # noqa: NPY002
        return self.dense(x)


class Diary(keras.Model):
    """A subclassed model, of which the code is run to read its graph."""

    def __init__(self):
        super().__init__(name="diary")
        self.pages = {"all": []}
        self.notes, self.last = Notes(), layers.Dense(2)

    def build(self, shape):
        self.notes.build(shape)
        self.last.build((None, 5))

    def call(self, x):
        self.pages["all"].append(len(self.pages["all"]))
        return self.last(self.notes(x))


STATES = {
    "random": random.Random.getstate,
    "generator": lambda value: value.bit_generator.state,
    "legacy": lambda value: str(value.get_state()),
    "counts": vars,
    "space": vars,
    "ordered": lambda value: list(value.items()),
}


def written(model):
    """Returns a copy of all that the code of the model writes to."""
    notes = model.notes
    names = "number cache counter log names recent buffer".split()
    state = {name: getattr(notes, name) for name in names}
    state |= {name: read(getattr(notes, name)) for name, read in STATES.items()}
    state["pages"] = model.pages
    return copy.deepcopy(plain(state))


def plain(value):
    """Returns containers as they are, of Keras or not, and the arrays as lists."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, collections.deque)):
        return [plain(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def built():
    model = Diary()
    model.build((None, 3))
    keras_winit.initialize(model, seed=1)
    return model


VERBS = {
    "suggest": keras_winit.suggest,
    "diagnose": keras_winit.diagnose,
    "calibrate": keras_winit.calibrate,
    "equalize": lambda model: keras_winit.calibrate(model, mode="unit"),
    "initialize": lambda model: keras_winit.initialize(model, seed=2),
    "strip": keras_winit.strip_initializers,
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_the_code_of_a_model_writes_to_is_as_it_was(verb):
    model = built()
    before = written(model)
    held = {id(each) for each in (model.notes.cache, model.notes.log[0], model.notes.buffer)}
    VERBS[verb](model)
    assert written(model) == before
    now = (model.notes.cache, model.notes.log[0], model.notes.buffer)
    assert held == {id(each) for each in now}
    assert "new" not in vars(model.notes.counts)


def test_the_code_does_write():
    model = built()
    before = written(model)
    model(np.ones((2, 3), "float32"))
    after = written(model)
    assert [key for key in before if before[key] == after[key]] == []


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "initialize"])
def test_random_numbers_go_on_as_without_the_verb(verb):
    model = built()
    keras.utils.set_random_seed(7)
    expected = draws()
    keras.utils.set_random_seed(7)
    VERBS[verb](model)
    assert draws() == expected


def draws():
    backend = keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist()
    return random.random(), np.random.normal(), backend  # noqa: NPY002


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_written_before_an_error_is_put_back(error):
    model = built()
    before = written(model)

    def stop(self, x):
        Notes.call(model.notes, x)
        raise error("stop")

    model.notes.call = types.MethodType(stop, model.notes)
    with pytest.raises(error, match="stop"):
        keras_winit.diagnose(model, np.ones((4, 3), "float32"))
    assert model.notes.call.__func__ is stop
    assert written(model) == before


def test_an_array_that_nobody_can_write_to_is_not_copied():
    model = built()
    model.notes.constant = np.broadcast_to(np.float32(1), (1 << 40,))  # four terabytes
    with _network.restored(model):
        pass
