"""Every verb on dense, convolutional and recurrent models, as they are used one after the other.

These tests also run in the NNX mode of Keras, which `.ci/run` does.
"""

import gc
import weakref

import keras
import numpy as np
import pytest

import keras_winit

layers = keras.layers

MODELS = {
    "dense": ((6,), lambda: [layers.Dense(8, "relu"), layers.Dense(5, "tanh")]),
    "convolution": (
        (6, 6, 2),
        lambda: [
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Flatten(),
        ],
    ),
    "lstm": ((5, 4), lambda: [layers.LSTM(6, return_sequences=True), layers.GRU(5)]),
}
SCHEMES = ("suggested", "own", "keras", "pytorch", "critical", "he_normal", "sparse")


def build(kind):
    shape, hidden = MODELS[kind]
    return keras.Sequential([keras.Input(shape), *hidden(), layers.Dense(3, name="last")])


def batch(kind):
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, *MODELS[kind][0])).astype("float32"), np.arange(16) % 3


def values(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def assert_same(model, expected):
    for value, other in zip(values(model), expected, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.fixture(params=MODELS)
def kind(request):
    return request.param


def test_diagnose_measures_the_outputs_and_leaves_the_model(kind):
    model, (x, y) = build(kind), batch(kind)
    before = values(model)
    attributes = {layer.name: set(vars(layer)) for layer in model.layers}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    report = keras_winit.diagnose(model, x, y, loss=loss)
    assert report.signal.problem is None
    assert report.signal.coverage.is_complete
    assert all(np.isfinite(layer.gradient) for layer in report.layers)
    assert_same(model, before)
    assert {layer.name: set(vars(layer)) for layer in model.layers} == attributes
    if kind != "convolution":  # dropout is on while training
        outputs = keras.ops.convert_to_numpy(model(x))
        found = report.layers[-1].output.second_moment
        np.testing.assert_allclose(found, np.square(outputs).mean(), rtol=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_initialize_draws_by_the_seed(kind, scheme):
    model = build(kind)
    keras_winit.initialize(model, scheme, seed=1)
    first = values(model)
    keras_winit.initialize(model, scheme, seed=2)
    assert not np.array_equal(values(model)[0], first[0])
    keras_winit.initialize(model, scheme, seed=1)
    assert_same(model, first)


def test_initialize_does_what_suggest_shows(kind):
    one, other = build(kind), build(kind)
    plan = keras_winit.suggest(one)
    assert plan.problem is None
    keras_winit.initialize(one, plan, seed=3)
    keras_winit.initialize(other, seed=3)
    assert_same(one, values(other))


@pytest.mark.parametrize("mode", ["auto", "unit"])
def test_calibrate_changes_what_it_says(kind, mode):
    model, (x, _) = build(kind), batch(kind)
    before = values(model)
    result = keras_winit.calibrate(model, x, mode=mode)
    assert all(np.isfinite(layer.after) for layer in result.layers)
    kernels = [
        (old, new)
        for old, new, weight in zip(before, values(model), model.weights, strict=True)
        if weight.name == "kernel"
    ]
    changed = [not np.array_equal(*pair) for pair in kernels]
    assert changed == [layer.factor not in (None, 1.0) for layer in result.layers]


def test_fix_changes_the_weights_and_says_so(kind):
    model, (x, _) = build(kind), batch(kind)
    kernel = model.layers[-1].kernel
    kernel.assign(np.ones(kernel.shape))
    report = keras_winit.diagnose(model, x)
    assert "identical_units" in [finding.rule for finding in report.findings]
    after = report.fix(seed=1)
    assert "identical_units" not in [finding.rule for finding in after.findings]


def test_a_monitor_records_before_and_after_training(kind):
    model, (x, _) = build(kind), batch(kind)
    monitor = keras_winit.SignalMonitor(x, every=1)
    monitor.set_model(model)
    # By hand, as Keras 3.15 cannot train an LSTM in NNX mode.
    monitor.on_train_begin()
    monitor.on_epoch_begin(0)
    monitor.on_train_batch_end(0)
    monitor.on_train_end()
    assert [record["step"] for record in monitor.history[:: len(monitor.history) // 2]] == [0, 1]


def test_what_was_initialized_is_saved_and_loaded_also_when_stripped(kind, tmp_path):
    model = build(kind)
    keras_winit.initialize(model, "keras_winit>Orthogonal", seed=1)
    for name in ("ours", "stripped"):
        path = tmp_path / f"{name}.keras"
        model.save(path)
        assert_same(keras.saving.load_model(path), values(model))
        assert bool(keras_winit.strip_initializers(model)) == (name == "ours")


def test_a_wrapped_builder_makes_layers_that_compute():
    Dense = keras_winit.suggest_initializer(layers.Dense, seed=1)
    layer = Dense(4, "relu")
    assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
    assert tuple(layer(np.ones((2, 3), "float32")).shape) == (2, 4)


VERBS = {
    "suggest": lambda model: keras_winit.suggest(model),
    "initialize": lambda model: keras_winit.initialize(model, seed=1),
    "calibrate": lambda model: keras_winit.calibrate(model),
    "diagnose": lambda model: keras_winit.diagnose(model),
    "inherit": lambda model: keras_winit.inherit(model, build("dense")),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_model_that_was_looked_at_can_be_freed(verb):
    hidden = [layers.Dense(5), layers.PReLU(), layers.Dense(4, lambda x: keras.ops.sin(2 * x))]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3)])
    freed = [weakref.ref(each) for each in (model, *model.layers)]
    verb(model)
    del model, hidden
    gc.collect()
    assert not [each() for each in freed if each() is not None]
