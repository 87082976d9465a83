import math

import keras
import numpy as np
import pytest

from keras_winit._measure.batch import Batch
from keras_winit._measure.loss import Objective
from keras_winit._random import distributions

ops = keras.ops
losses = keras.losses


def model(outputs=3, activation=None, **compiled):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs, activation)])
    if compiled:
        model.compile("sgd", **compiled)
    return model


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def signal(model, y, outputs, loss=None, sample_weight=None):
    x = normal(len(outputs), 4)
    objective = Objective(model, loss, Batch(x, y, sample_weight))
    tensors = ops.convert_to_tensor(outputs)
    total = float(ops.convert_to_numpy(objective(tensors)))
    return objective.signal(tensors), total


LOGITS = normal(40, 3)
Y = np.array([0, 1, 1, 2, 1, 1, 0, 1] * 5)
PRIOR = np.array([0.25, 0.625, 0.125])


def log_softmax(logits):
    shifted = logits.astype("float64")
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_cross_entropy_of_classes(compiled, one_hot):
    cls = losses.CategoricalCrossentropy if one_hot else losses.SparseCategoricalCrossentropy
    loss, y = cls(from_logits=True), np.eye(3)[Y] if one_hot else Y
    found, total = (
        signal(model(loss=loss), y, LOGITS) if compiled else signal(model(), y, LOGITS, loss)
    )
    value = -log_softmax(LOGITS)[np.arange(40), Y].mean()
    np.testing.assert_allclose([found.value, total], value, rtol=1e-5)
    np.testing.assert_allclose(found.uniform, math.log(3))
    np.testing.assert_allclose(found.best, -(PRIOR * np.log(PRIOR)).sum())
    np.testing.assert_allclose(found.prior, PRIOR)
    assert found.from_logits is True
    assert found.name == ("" if one_hot else "sparse_") + "categorical_crossentropy"


def test_the_best_and_uniform_losses_are_those_of_constant_outputs():
    loss = losses.SparseCategoricalCrossentropy()
    found, _ = signal(model(), Y, np.repeat([PRIOR], 40, 0), loss)
    np.testing.assert_allclose(found.value, found.best, rtol=1e-5)
    found, _ = signal(model(), Y, np.full((40, 3), 1 / 3), loss)
    np.testing.assert_allclose(found.value, found.uniform, rtol=1e-5)
    assert found.from_logits is False


def test_binary_cross_entropy_of_several_labels():
    y = (np.arange(60).reshape(20, 3) % 7 < [1, 3, 5]).astype("float32")
    loss, prior = losses.BinaryCrossentropy(), y.mean(0)
    found, _ = signal(model(), y, np.repeat([prior], 20, 0), loss)
    np.testing.assert_allclose(found.value, found.best, rtol=1e-5)
    np.testing.assert_allclose(found.prior, prior)
    found, _ = signal(model(), y, np.full((20, 3), 0.5), loss)
    np.testing.assert_allclose([found.value, found.uniform], math.log(2), rtol=1e-5)


def test_labels_of_one_unit_may_be_a_vector():
    y = (np.arange(20) % 4 == 0).astype("float32")
    loss = losses.BinaryCrossentropy()
    found, _ = signal(model(1), y, np.full((20, 1), 0.25), loss)
    np.testing.assert_allclose(
        [found.value, found.best], -0.25 * math.log(0.25 * 0.75**3), rtol=1e-5
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_the_best_constant_is_that_of_smoothed_labels(smoothing):
    loss = losses.CategoricalCrossentropy(label_smoothing=smoothing)
    smooth = (1 - smoothing) * PRIOR + smoothing / 3
    found, _ = signal(model(), np.eye(3)[Y], np.tile(smooth.astype("float32"), (40, 1)), loss)
    np.testing.assert_allclose(found.prior, smooth)
    np.testing.assert_allclose([found.value, found.best], -(smooth * np.log(smooth)).sum(), 1e-5)
    assert found.label_smoothing == smoothing
    loss, share = losses.BinaryCrossentropy(label_smoothing=smoothing), 0.625
    share = (1 - smoothing) * share + smoothing / 2
    outputs = np.full((40, 1), share, "float32")
    found, _ = signal(model(1), (Y == 1).astype("float32")[:, None], outputs, loss)
    np.testing.assert_allclose(found.value, found.best, rtol=1e-5)


def test_squared_error():
    y = normal(20, 3, seed=2) * [1, 2, 3] + [0, 5, -5]
    found, _ = signal(model(), y, np.repeat([y.mean(0)], 20, 0), "mean_squared_error")
    np.testing.assert_allclose([found.value, found.best], y.var(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(found.prior, y.mean(0), rtol=1e-5)
    found, _ = signal(model(), y, np.zeros((20, 3)), "mse")
    np.testing.assert_allclose([found.value, found.uniform], (y**2).mean(), rtol=1e-5)
    assert (found.name, found.from_logits) == ("mean_squared_error", None)


def test_few_labels_tell_no_prior():
    found, _ = signal(model(), Y[:14], LOGITS[:14], losses.SparseCategoricalCrossentropy(True))
    assert (found.best, found.prior) == (None, None)
    assert found.uniform == math.log(3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": losses.SparseCategoricalCrossentropy(True, reduction="sum")},
        {"loss": losses.SparseCategoricalCrossentropy(True), "sample_weight": np.ones(40)},
        {"loss": lambda y, outputs: ops.mean(ops.square(outputs))},
        {"loss": "mean_absolute_error"},
    ],
)
def test_nothing_is_expected_where_no_formula_is_known(arguments):
    y = Y if callable(arguments["loss"]) else LOGITS
    found, _ = signal(model(), y, LOGITS, **arguments)
    assert (found.uniform, found.best, found.prior) == (None, None, None)
    assert math.isfinite(found.value)


@pytest.mark.parametrize("compiled", [False, True])
def test_weights_of_samples_count(compiled):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    weight = (np.arange(40) < 10).astype("float32") * 4
    given = {} if compiled else {"loss": loss}
    built = model(loss=loss) if compiled else model()
    found, _ = signal(built, Y, LOGITS, sample_weight=weight, **given)
    value = -log_softmax(LOGITS)[np.arange(10), Y[:10]].mean()
    np.testing.assert_allclose(found.value, value, rtol=1e-5)


def test_regularization_is_in_the_gradient_and_not_in_the_value():
    built = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer="l2")])
    built.compile("sgd", "mse")
    outputs = np.zeros((40, 3), "float32")
    found, total = signal(built, LOGITS, outputs)
    kernel = ops.convert_to_numpy(built.layers[0].kernel)
    np.testing.assert_allclose(found.value, (LOGITS**2).mean(), rtol=1e-4)
    np.testing.assert_allclose(total - found.value, 0.01 * (kernel**2).sum(), rtol=1e-3)


def test_an_ignored_class_is_no_wrong_label():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    y = np.concatenate([np.full(5, -1), Y[5:]])
    found, _ = signal(model(), y, LOGITS, loss)
    np.testing.assert_allclose(found.prior, np.bincount(Y[5:]) / 35)


def test_several_losses_are_summed_and_named():
    inputs = keras.Input((4,))
    outputs = {"a": keras.layers.Dense(3)(inputs), "b": keras.layers.Dense(1)(inputs)}
    built = keras.Model(inputs, outputs)
    built.compile("sgd", loss={"a": losses.SparseCategoricalCrossentropy(True), "b": "mse"})
    y = {"a": Y, "b": normal(40, 1)}
    objective = Objective(built, None, Batch(normal(40, 4), y))
    tensors = {"a": ops.convert_to_tensor(LOGITS), "b": ops.zeros((40, 1))}
    objective(tensors)
    found = objective.signal(tensors)
    value = -log_softmax(LOGITS)[np.arange(40), Y].mean() + (y["b"] ** 2).mean()
    np.testing.assert_allclose(found.value, value, rtol=1e-5)
    assert found.name == "sparse_categorical_crossentropy, mse"
    assert (found.uniform, found.from_logits) == (None, None)


def test_without_labels_the_outputs_are_projected_on_a_fixed_direction():
    objective = Objective(model(), None, Batch(normal(40, 4)))
    tensors = [ops.convert_to_tensor(LOGITS), ops.convert_to_tensor(LOGITS[:, :1])]
    directions = [
        distributions.normal(shape, seed=number, purpose="projection")
        for number, shape in enumerate([(40, 3), (40, 1)])
    ]
    wanted = (LOGITS * directions[0]).sum() + (LOGITS[:, :1] * directions[1]).sum()
    found = float(ops.convert_to_numpy(objective(tensors)))
    np.testing.assert_allclose(found, wanted / math.sqrt(40), rtol=1e-4)
    assert objective.signal(tensors) is None
    assert objective.name == "random projection of the outputs"


@pytest.mark.parametrize(
    ("y", "loss", "message"),
    [
        (Y, None, r"`y` should come with a loss, and model '.*' is not compiled. Give `loss`"),
        (None, "mse", r"`loss` should come with labels. Received: loss='mse' and y=None"),
        (Y, 3, r"`loss` should be a loss, .* dict of them for several outputs. Received: loss=3"),
        (
            np.where(Y == 2, 3, Y),
            losses.SparseCategoricalCrossentropy(True),
            r"`y` should hold integers from 0 to 2, as .* has 3 outputs. Received: the value 3",
        ),
        (
            -Y,
            losses.SparseCategoricalCrossentropy(True),
            r"`y` should hold integers from 0 to 2.*Received: the value -1 among 40",
        ),
        (
            np.full((40, 3), 255.0),
            losses.BinaryCrossentropy(),
            r"`y` should hold numbers from 0 to 1. Received: the value 255.0 among 120",
        ),
        (
            np.zeros((40, 7), "float32"),
            losses.CategoricalCrossentropy(),
            r"`y` should fit the loss 'categorical_crossentropy' of outputs of shape \(40, 3\). "
            r"Received: y of shape \(40, 7\): \S",
        ),
        (
            np.zeros((40, 7), "float32"),
            "mean_squared_error",
            r"`y` should fit the loss 'mean_squared_error'.*shape \(40, 7\): \S",
        ),
    ],
)
def test_what_does_not_fit_is_refused(y, loss, message):
    with pytest.raises((ValueError, TypeError), match=message):
        signal(model(), y, LOGITS, loss)


def test_frequencies_are_those_of_all_labels_and_not_of_the_batch_alone():
    y, batch = np.repeat([0, 1, 2], [30, 5, 5]), np.array([0, 1])
    objective = Objective(
        model(), "sparse_categorical_crossentropy", Batch(normal(2, 4), batch, labels=y)
    )
    outputs = ops.convert_to_tensor(np.full((2, 3), 1 / 3, "float32"))
    objective(outputs)
    found = objective.signal(outputs)
    np.testing.assert_allclose(found.prior, [0.75, 0.125, 0.125])
    assert found.num_labels == 40
    assert not found.is_constant


@pytest.mark.parametrize(("number", "is_constant"), [(31, False), (32, True)])
def test_labels_are_constant_where_32_are_the_same(number, is_constant):
    y = np.full((number, 1), 2.5, "float32")
    found, _ = signal(model(1), y, np.zeros((number, 1), "float32"), "mean_squared_error")
    assert found.is_constant == is_constant


@pytest.mark.parametrize(("smoothing", "not_one_hot"), [(0.0, 0.0), (0.1, 0.0)])
def test_smoothed_labels_are_of_one_class(smoothing, not_one_hot):
    y = np.eye(3)[Y] * (1 - smoothing) + smoothing / 3
    found, _ = signal(model(), y, np.full((40, 3), 1 / 3), "categorical_crossentropy")
    assert found.not_one_hot == not_one_hot
    y[:8] += np.eye(3)[(Y[:8] + 1) % 3]
    found, _ = signal(model(), y, np.full((40, 3), 1 / 3), "categorical_crossentropy")
    assert found.not_one_hot == pytest.approx(0.2)


def test_what_layers_add_is_told_beside_the_loss():
    regularizer = keras.regularizers.L2(0.5)
    dense = keras.layers.Dense(3, kernel_regularizer=regularizer)
    regularized = keras.Sequential([keras.Input((4,)), dense])
    regularized.compile("sgd", "mean_squared_error")
    found, total = signal(regularized, normal(20, 3), normal(20, 3, seed=1))
    kernel = ops.convert_to_numpy(dense.kernel)
    assert found.regularization == pytest.approx(0.5 * (kernel**2).sum(), rel=1e-5)
    assert total == pytest.approx(found.value + found.regularization, rel=1e-5)
