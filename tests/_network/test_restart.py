"""What is reset beside the weights, and what is said of the rest."""

import keras
import numpy as np
import pytest

import keras_winit

layers = keras.layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5, 6)).astype("float32")
Y = RNG.normal(size=(24, 3)).astype("float32")


def build(optimizer=None):
    """Returns a model with all that training changes: statistics, seeds, slots, metrics."""
    inputs = keras.Input((5, 6))
    x = layers.BatchNormalization()(layers.Dense(7, "relu")(inputs))
    x = layers.SpatialDropout1D(0.3, seed=4)(x)
    x = layers.SimpleRNN(4, dropout=0.2, seed=5, unroll=True)(x[:, :2])
    x = layers.GaussianNoise(0.1, seed=6)(x)
    model = keras.Model(inputs, layers.Dense(3, kernel_initializer="he_normal")(x))
    # Eagerly, which takes less time for so few steps.
    optimizer = optimizer or keras.optimizers.Adam(0.01)
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    return model


def train(model, rows):
    for _ in range(2):  # metrics go on from batch to batch
        logs = model.train_on_batch(X[rows], Y[rows])
    return [keras.ops.convert_to_numpy(each) for each in model.weights], logs


def assert_equal(found, expected):
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, other)


OPTIMIZERS = {
    "Adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    # Neither starts at zero throughout.
    "Adagrad": lambda: keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.3),
    "Nadam": lambda: keras.optimizers.Nadam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.RMSprop(0.01), initial_scale=8.0
    ),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), gradient_accumulation_steps=2
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_reset_model_trains_as_a_fresh_one(name):
    model = build(OPTIMIZERS[name]())
    for fold in range(2):
        rows = np.arange(24) % 3 != fold
        keras_winit.initialize(model, "own", seed=fold, optimizer=True)
        fresh = build(OPTIMIZERS[name]())
        keras_winit.initialize(fresh, "own", seed=fold)
        found, expected = train(model, rows), train(fresh, rows)
        assert_equal(found[0], expected[0])
        assert found[1] == expected[1]


def test_noise_without_a_seed_draws_the_same_again():
    model = keras.Sequential([keras.Input((50,)), layers.Dense(3), layers.GaussianNoise(0.5)])
    drawn = []
    for _ in range(2):
        keras_winit.initialize(model, seed=1, optimizer=True)
        drawn.append(keras.ops.convert_to_numpy(model(np.ones((9, 50)), training=True)))
    np.testing.assert_array_equal(*drawn)
    assert (keras.ops.convert_to_numpy(model(np.ones((9, 50)), training=True)) != drawn[0]).any()


def test_a_learning_rate_stays():
    model = build()
    train(model, slice(8))
    model.optimizer.learning_rate = 0.003
    keras_winit.initialize(model, seed=1, optimizer=True)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.003)
    assert int(model.optimizer.iterations) == 0


def trained():
    model = build()
    train(model, slice(8))
    return model


def said(record):
    """Returns the warnings to users, which name the line that called."""
    found = [each for each in record if each.category is UserWarning]
    assert {each.filename for each in found} == {__file__}
    return [str(each.message) for each in found]


KEPT = "optimizer keeps its state of 2 steps.*optimizer=True"


@pytest.mark.parametrize("scheme", ["own", "suggested", "zeros"])
def test_an_optimizer_that_keeps_its_state_is_a_warning(scheme):
    model = trained()
    with pytest.warns(UserWarning, match=KEPT) as record:
        result = keras_winit.initialize(model, scheme, seed=1)
    assert said(record) == list(result.warnings)
    assert result.warnings[0] in result.notes
    assert repr(result).endswith(result.warnings[0])
    assert keras_winit.initialize(model, scheme, seed=1, optimizer=True).warnings == ()


def test_an_optimizer_that_has_not_begun_is_none():
    model = build()
    model.optimizer.build(model.trainable_variables)
    assert keras_winit.initialize(model, seed=1).notes == ()


def test_calibrate_and_fix_say_it_too():
    model = trained()
    with pytest.warns(UserWarning, match=KEPT):
        assert "keeps its state" in keras_winit.calibrate(model, X).notes[-1]
    with pytest.warns(UserWarning, match=KEPT):
        keras_winit.initialize(model, "ones", seed=1)
    report = keras_winit.diagnose(model, X, Y)
    with pytest.warns(UserWarning, match=KEPT) as record:
        after = report.fix(seed=1)
    assert list(after.warnings) == said(record)
    for shown in (repr(after), after._repr_html_(), *after.to_dict()["warnings"]):
        assert "keeps its state" in shown


class Unknown(keras.layers.Layer):
    """A layer of which nobody knows how to draw its weights: it computes them afterwards."""

    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1],), name="gate", initializer="ones")
        self.gate.assign(keras.ops.linspace(0.5, 1.0, shape[-1]))

    def call(self, x):
        return x * self.gate


def with_unknown(**arguments):
    statistics = layers.Normalization(name="statistics")
    model = keras.Sequential(
        [keras.Input((6,)), statistics, Unknown(name="unknown", **arguments), layers.Dense(3)]
    )
    statistics.adapt(X[:, 0])
    return model


def test_what_a_reset_leaves_is_a_warning():
    model = with_unknown()
    with pytest.warns(UserWarning, match=r"Not reset.*statistics/mean.*unknown/gate \(") as record:
        result = keras_winit.initialize(model, "own", seed=1)
    assert said(record) == list(result.warnings)
    assert result.warnings[0] in repr(result)
    # What nobody asks for, what does not train, and what other schemes leave, is none.
    assert keras_winit.initialize(model, "own", seed=1, only="*dense*").warnings == ()
    assert keras_winit.initialize(model, "suggested", seed=1).warnings == ()
    with pytest.warns(UserWarning, match="Not reset") as record:
        keras_winit.initialize(with_unknown(trainable=False), "own", seed=1)
    assert "gate" not in said(record)[0]


def test_a_masked_kernel_that_a_reset_leaves_is_a_warning():
    sparse = keras_winit.initializers.Sparse(0.5, seed=1)
    mask = keras_winit.SparsityMask(sparse)
    layer = layers.Dense(4, kernel_initializer=sparse, kernel_constraint=mask)
    with pytest.warns(UserWarning, match="Not reset.*SparsityMask"):
        keras_winit.initialize(keras.Sequential([keras.Input((6,)), layer]), "own", seed=1)


def test_a_quantized_kernel_does_not_change_and_its_bias_does():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
    model.layers[0].quantize("int8")
    with pytest.warns(UserWarning, match="Not reset") as record:
        keras_winit.initialize(model, "own", seed=1)
    (warning,) = said(record)
    assert "/bias" in warning
    assert "/kernel" not in warning


class Stubborn(keras.optimizers.SGD):
    """An optimizer whose config does not say all."""

    def __init__(self, rate):
        super().__init__(rate, momentum=0.5)


def test_an_optimizer_that_cannot_start_anew_leaves_all_as_it_was():
    model = build(Stubborn(0.1))
    before, _ = train(model, slice(8))
    with pytest.raises(ValueError, match="Stubborn cannot be made .*Compile the model again"):
        keras_winit.initialize(model, seed=1, optimizer=True)
    model.layers[1].trainable = False
    model.optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    model.optimizer.build(model.weights)
    with pytest.raises(ValueError, match="SGD has been built for other variables.*Compile"):
        keras_winit.initialize(model, seed=1, optimizer=True)
    assert_equal([keras.ops.convert_to_numpy(each) for each in model.weights], before)


def test_optimizer_should_be_a_flag():
    with pytest.raises(TypeError, match="`optimizer` should be True or False"):
        keras_winit.initialize(build(), optimizer="adam")
