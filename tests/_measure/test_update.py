"""The first step of the optimizer, measured without taking it."""

import math

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._measure.update import first_update

layers = keras.layers


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def network(cls=keras.Sequential):
    model = cls([keras.Input((6,)), layers.Dense(5, "tanh"), layers.Dense(3)])
    keras_winit.initialize(model, seed=0)
    return model


def kernels(optimizer, model=None):
    model = network() if model is None else model
    model.compile(optimizer, "mse")
    signal = keras_winit.diagnose(model, noise(20, 6), noise(20, 3, seed=1)).signal
    return signal, [kernel for layer in signal.layers for kernel in layer.kernels]


@pytest.mark.parametrize("rate", [0.1, 1e-4])
def test_step_of_sgd_is_the_rate_times_the_gradient(rate):
    signal, found = kernels(keras.optimizers.SGD(rate))
    assert signal.optimizer == ("SGD", pytest.approx(rate))
    for kernel in found:
        # What is added is rounded as the weights are.
        assert kernel.update == pytest.approx(rate * kernel.gradient / kernel.norm, rel=1e-2)


def test_momentum_counts_with_what_its_steps_add_up_to():
    _, found = kernels(keras.optimizers.SGD(0.01, momentum=0.9))
    for kernel in found:
        assert kernel.update == pytest.approx(0.1 * kernel.gradient / kernel.norm, rel=1e-2)


def test_first_step_of_adam_is_the_rate_for_every_weight():
    _, found = kernels(keras.optimizers.Adam(0.01))
    for kernel in found:
        expected = 0.01 * math.sqrt(math.prod(kernel.shape)) / kernel.norm
        assert kernel.update == pytest.approx(expected, rel=1e-3)


def test_clipped_gradients_make_small_steps():
    _, found = kernels(keras.optimizers.SGD(1.0, global_clipnorm=0.001))
    total = math.hypot(*(kernel.update * kernel.norm for kernel in found))
    assert 0 < total <= 0.00101


def test_model_and_optimizer_stay_as_they_were():
    model = network()
    before = model.get_weights()
    kernels(keras.optimizers.Adam(0.1), model)
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Trains(keras.Sequential):
    def train_step(self, *args):
        return super().train_step(*args)


@keras.saving.register_keras_serializable("test_update")
class Needs(keras.optimizers.SGD):
    """An optimizer that cannot be made from its config."""

    def __init__(self, schedule, **arguments):
        super().__init__(**arguments)


class Doubling(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that is not registered: it cannot be made from its config."""

    def __call__(self, step):
        return 2.0**step

    def get_config(self):
        return {}


@pytest.mark.parametrize(
    ("optimizer", "cls"),
    [
        (keras.optimizers.SGD(0.1), Trains),
        (Needs(None, learning_rate=0.1), keras.Sequential),
        (keras.optimizers.SGD(Doubling()), keras.Sequential),
    ],
)
def test_nothing_is_said_of_a_step_that_is_not_known(optimizer, cls):
    signal, found = kernels(optimizer, network(cls))
    assert signal.optimizer is None
    assert {kernel.update for kernel in found} == {None}


schedules = keras.optimizers.schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.PolynomialDecay(0.1, 10_000, end_learning_rate=0.1), 0.1),
        # From zero in 100 batches to 0.1, where it stays.
        (schedules.CosineDecay(0.0, 10**9, warmup_target=0.1, warmup_steps=100), 0.1),
        (schedules.ExponentialDecay(0.1, 1, 0.5), 0.1 * (1 / (1 - 0.5) - 0.5) / 512),
        (schedules.PolynomialDecay(0.1, 512), 0.05),
    ],
)
def test_rate_of_a_schedule_is_its_largest_mean_over_512_batches_or_more(schedule, expected):
    signal, found = kernels(keras.optimizers.SGD(schedule))
    assert signal.optimizer == ("SGD", pytest.approx(expected, rel=0.15))
    assert signal.is_scheduled
    assert signal.loss.after_step is None
    for kernel in found:
        rate = signal.optimizer[1]
        assert kernel.update == pytest.approx(rate * kernel.gradient / kernel.norm, rel=2e-2)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"gradient_accumulation_steps": 4}, 0.25),
        ({"loss_scale_factor": 1024.0}, 1.0),
        ({"weight_decay": 0.5}, 1.0),
        ({"use_ema": True}, 1.0),
    ],
)
def test_what_is_done_around_a_step_does_not_change_it(changes, factor):
    signal, found = kernels(keras.optimizers.SGD(0.1, **changes))
    for kernel in found:
        expected = 0.1 * kernel.gradient / kernel.norm * factor
        assert kernel.update == pytest.approx(expected, rel=1e-2)
    assert signal.decay == pytest.approx(0.1 * changes.get("weight_decay", 0.0))


def test_step_in_half_precision_is_that_of_the_gradient_itself():
    hidden, last = (layers.Dense(*each, dtype="mixed_float16") for each in [(5, "tanh"), (3,)])
    model = keras.Sequential([keras.Input((6,)), hidden, last])
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), "mse")
    x, y = noise(20, 6), noise(20, 3, seed=1)
    signal = keras_winit.diagnose(model, x, y).signal
    found = [kernel for layer in signal.layers for kernel in layer.kernels]
    assert signal.optimizer == ("SGD", pytest.approx(0.1))
    for kernel in found:
        assert kernel.update == pytest.approx(0.1 * kernel.gradient / kernel.norm, rel=1e-2)


def test_no_step_without_gradients():
    model = network()
    model.compile("sgd", "mse")
    variables = model.trainable_variables
    assert first_update(model, variables, [None] * len(variables), 1.0) is None


@pytest.mark.parametrize("rate", [0.05, 1.0])
def test_loss_after_the_step_is_that_after_a_batch_of_training(rate):
    model = network()
    signal, _ = kernels(keras.optimizers.SGD(rate), model)
    x, y = noise(20, 6), noise(20, 3, seed=1)
    model.train_on_batch(x, y)
    after = float(model.evaluate(x, y, batch_size=20, verbose=0))
    assert signal.loss.after_step == pytest.approx(after, rel=1e-4)
