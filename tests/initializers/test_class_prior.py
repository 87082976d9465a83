import copy
import json

import keras
import numpy as np
import pytest
from sampling import draw

import keras_winit
from keras_winit.initializers import ClassPrior

RNG = np.random.default_rng(0)


def initial_loss(prior, y, loss):
    """Returns the loss of a last layer that starts at a prior, and no weights."""
    outputs = len(prior.probabilities) if np.ndim(prior.probabilities) else 1
    layer = keras.layers.Dense(
        outputs, prior.activation, kernel_initializer="zeros", bias_initializer=prior
    )
    predicted = layer(np.ones((len(y), 3), "float32"))
    return keras.ops.convert_to_numpy(keras.losses.get(loss)(y, predicted)).mean().item()


def entropy(frequencies):
    frequencies = np.asarray(frequencies)
    return -(frequencies * np.log(frequencies)).sum()


def test_loss_starts_at_the_entropy_of_classes():
    y = RNG.choice(4, size=400, p=[0.7, 0.2, 0.09, 0.01])
    expected = entropy(np.bincount(y) / 400)
    one_hot = np.eye(4)[y]
    for labels, loss in ((y, "sparse_categorical_crossentropy"), (one_hot, "crossentropy")):
        prior = ClassPrior.from_labels(labels)
        assert prior.activation == "softmax"
        loss = loss if loss.startswith("sparse") else "categorical_crossentropy"
        assert initial_loss(prior, labels, loss) == pytest.approx(expected, abs=1e-5)


def test_loss_starts_at_the_entropy_of_labels_that_do_not_exclude_each_other():
    y = (RNG.uniform(size=(500, 3)) < [0.5, 0.1, 0.02]).astype("float32")
    frequencies = y.mean(0)
    expected = np.mean([entropy([p, 1 - p]) for p in frequencies])
    prior = ClassPrior.from_labels(y)
    assert prior.activation == "sigmoid"
    assert initial_loss(prior, y, "binary_crossentropy") == pytest.approx(expected, abs=1e-5)


def test_loss_starts_at_the_variance_of_targets():
    y = RNG.normal(100, 3, size=(200, 2)).astype("float32")
    prior = ClassPrior.from_labels(y)
    assert prior.activation == "linear"
    assert initial_loss(prior, y, "mean_squared_error") == pytest.approx(y.var(0).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("y", "activation"),
    [
        (np.array([0, 1, 1]), "sigmoid"),
        (np.array([[False], [True]]), "sigmoid"),
        (np.array([0, 3, 1]), "softmax"),
        (np.array([[0], [3], [1]]), "softmax"),
        (np.array([0.5, 3, 1]), "linear"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), "softmax"),
        (np.array([[1.0, 1.0], [1.0, 0.0]]), "sigmoid"),
        (np.array([[0.5, 1.0], [1.0, 0.0]]), "linear"),
    ],
)
def test_labels_tell_the_activation(y, activation):
    assert ClassPrior.from_labels(y).activation == activation


def test_the_function_of_the_package_makes_the_same_prior():
    y = np.array([0.0, 1.0, 1.0])
    for activation in (None, "linear"):
        prior = keras_winit.class_prior(y, activation)
        assert type(prior) is ClassPrior
        assert prior.get_config() == ClassPrior.from_labels(y, activation).get_config()


def test_a_subclass_makes_priors_of_its_own_kind():
    class Prior(ClassPrior):
        pass

    assert type(Prior.from_labels([0, 0, 1])) is Prior


def test_a_class_without_labels_counts_as_half_of_one():
    prior = ClassPrior.from_labels(np.array([0, 0, 2, 2, 2]))
    np.testing.assert_allclose(prior.probabilities, np.array([2, 0.5, 3]) / 5.5)
    assert ClassPrior.from_labels(np.zeros(10), "sigmoid").probabilities == 0.05
    assert ClassPrior.from_labels(np.ones(10), "sigmoid").probabilities == 0.95


def test_one_probability_is_for_all_outputs():
    bias = draw(ClassPrior(), (7,))
    np.testing.assert_allclose(bias, np.full(7, -np.log(99)), rtol=1e-6)


def test_what_is_certain_counts_as_one_in_a_million_from_it():
    certain = draw(ClassPrior([0.0, 1.0]), (2,))
    np.testing.assert_allclose(certain, np.log(1e6) * np.array([-1, 1]), rtol=1e-5)
    certain = draw(ClassPrior([0.0, 1.0], "softmax"), (2,))
    np.testing.assert_allclose(certain, [-np.log(1e6), 0], rtol=1e-5, atol=1e-5)


def test_it_holds_no_data_and_survives_saving(tmp_path):
    prior = ClassPrior.from_labels(RNG.integers(3, size=1000))
    assert set(json.loads(json.dumps(prior.get_config()))) == {"probabilities", "activation"}
    layer = keras.layers.Dense(3, bias_initializer=prior, name="classes")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0].bias_initializer
    for other in (loaded, copy.deepcopy(prior), keras.initializers.get(prior)):
        np.testing.assert_array_equal(draw(other, (3,)), draw(prior, (3,)))
    assert keras_winit.strip_initializers(model) == [
        "classes.bias_initializer: ClassPrior -> Zeros"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.51], "softmax"), r"should sum to 1.*sum to 1.01"),
        ((1.5,), r"between 0 and 1.*probabilities=1.5"),
        (([0.5, float("nan")],), "finite number"),
        ((0.5, "relu"), "`activation` should be one of .*'relu'"),
    ],
)
def test_what_is_no_prior_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassPrior(*arguments)


def test_a_bias_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"^ClassPrior: .*should have 2 outputs.*shape=\(3,\)"):
        ClassPrior([0.5, 0.5], "softmax")((3,))


@pytest.mark.parametrize(
    ("y", "activation", "message"),
    [
        (np.array([]), None, r"`y` should be .*shape \(0,\)"),
        (np.array([0.0, np.nan]), None, "finite"),
        (np.array(["a"]), None, "numbers"),
        (np.array([0, 2]), "sigmoid", "between 0 and 1 for a sigmoid.*from 0 to 2"),
        (np.array([-1, 2]), "softmax", "integers from 0 on.*from -1 to 2"),
    ],
)
def test_what_are_no_labels_is_refused(y, activation, message):
    with pytest.raises(ValueError, match=message):
        ClassPrior.from_labels(y, activation)


@pytest.mark.parametrize("probabilities", [[], (), np.array([])])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_no_classes_are_refused(probabilities, activation):
    with pytest.raises(ValueError, match="`probabilities` should hold a number.*at least one"):
        ClassPrior(probabilities, activation)


@pytest.mark.parametrize("y", [3, True, [1, [2]], np.array(0.5)])
def test_labels_without_samples_are_refused(y):
    with pytest.raises(ValueError, match="`y` should be an array of finite numbers, at least one"):
        ClassPrior.from_labels(y)


def test_a_number_is_no_bias_of_several_outputs():
    with pytest.raises(ValueError, match=r"should have 2 outputs.*shape=\(\)"):
        ClassPrior([0.2, 0.8])(())
