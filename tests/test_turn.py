"""Verbs in several threads: each as if it were alone, and nothing is left replaced."""

import concurrent.futures
import threading

import keras
import numpy as np
import pytest

import keras_winit

layers = keras.layers
BACKEND = keras.backend.backend()
NUM_THREADS = 4
X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")


def network(seed):
    hidden = [layers.Dense(5 + place, "relu", name=f"hidden_{place}") for place in range(3)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2, name="last")], name="net")
    keras_winit.initialize(model, "he_normal", seed=seed)
    return model


def in_threads(function, arguments):
    """Returns the results of calls that start at one time, each in a thread of its own."""
    start = threading.Barrier(len(arguments))

    def run(argument):
        start.wait()
        return function(argument)

    with concurrent.futures.ThreadPoolExecutor(len(arguments)) as executor:
        return list(executor.map(run, arguments))


def state(model):
    """Returns what verbs replace for a while: attributes of layers, and that of the backend."""
    attributes = [(layer.name, name) for layer in (model, *model.layers) for name in vars(layer)]
    return attributes, is_eager()


def is_eager():
    if BACKEND != "tensorflow":
        return False
    import tensorflow as tf

    return tf.config.functions_run_eagerly()


def diagnose(model):
    return keras_winit.diagnose(model, X).to_dict()


VERBS = {
    "diagnose": diagnose,
    "suggest": lambda model: repr(keras_winit.suggest(model)),
    "calibrate": lambda model: keras_winit.calibrate(model, X),
}


@pytest.mark.parametrize("verb", VERBS)
def test_threads_on_several_models_find_what_each_alone_finds(verb):
    models = [network(seed) for seed in range(NUM_THREADS)]
    expected = list(map(VERBS[verb], map(network, range(NUM_THREADS))))
    before = list(map(state, models))
    assert in_threads(VERBS[verb], models) == expected
    assert list(map(state, models)) == before


@pytest.mark.parametrize("verb", ["diagnose", "suggest"])
def test_threads_on_one_model_find_the_same(verb):
    model = network(0)
    before, expected = state(model), VERBS[verb](model)
    assert in_threads(VERBS[verb], [model] * NUM_THREADS) == [expected] * NUM_THREADS
    assert state(model) == before


def test_threads_that_calibrate_one_model_do_so_one_after_the_other():
    one, other = network(0), network(0)
    in_threads(lambda model: keras_winit.calibrate(model, X), [one] * NUM_THREADS)
    for _ in range(NUM_THREADS):
        keras_winit.calibrate(other, X)
    for weight, expected in zip(one.weights, other.weights, strict=True):
        pair = map(keras.ops.convert_to_numpy, (weight, expected))
        np.testing.assert_array_equal(*pair, err_msg=weight.path)


def test_a_thread_looks_while_another_one_draws_only_at_one_or_the_other():
    model = network(0)
    found = [diagnose(model)]
    keras_winit.initialize(model, "zeros", seed=1)
    found.append(diagnose(model))

    def run(number):
        if number % 2:
            keras_winit.initialize(model, ("he_normal", "zeros")[number // 2 % 2], seed=0)
            return None
        return numbers(diagnose(model))

    results = [each for each in in_threads(run, range(8)) if each]
    assert all(each in list(map(numbers, found)) for each in results)


def numbers(found):
    """Returns a diagnosis without the names of initializers, which go with the weights."""
    return [layer["preactivation"] for layer in found["signal"]["layers"]]


def test_monitors_in_threads_record_what_each_records_alone():
    def record(seed):
        monitor = keras_winit.SignalMonitor(X)
        monitor.set_model(network(seed))
        monitor.on_train_begin()
        return monitor.history

    seeds = range(NUM_THREADS)
    assert in_threads(record, seeds) == list(map(record, seeds))


def test_an_interrupt_leaves_nothing_replaced_and_lets_the_next_thread_in(monkeypatch):
    model = network(0)
    before, expected = state(model), diagnose(model)

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_winit._measure.taps.Taps._signal", stop)
    with pytest.raises(KeyboardInterrupt):
        diagnose(model)
    monkeypatch.undo()
    assert state(model) == before
    assert in_threads(diagnose, [model]) == [expected]
