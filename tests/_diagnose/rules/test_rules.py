"""The verdict on a model: every disease is found with its cause, and health is left in peace."""

import functools
import math
import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_winit
from keras_winit._diagnose.rules import RULES, WHILE_TRAINING, Action, Finding, judge
from keras_winit._network.graph import Branch

layers = keras.layers
# `functools.partial` binds arguments that a network of the tables is to be built with.
with_ = functools.partial


def normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)


def logits_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def digits(number=96):
    x, y = load_digits(return_X_y=True)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 0.1)
    return x[:number].astype("float32"), y[:number]


def dense(activation, depth, initializer="glorot_uniform", width=32, **arguments):
    """A plain network for the digits; a function makes an initializer for each layer."""

    def layer():
        chosen = initializer if isinstance(initializer, str) else initializer()
        return layers.Dense(width, activation, kernel_initializer=chosen, **arguments)

    hidden = [layer() for _ in range(depth)]
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])
    return model, *digits(), logits_loss()


def initialized(build, scheme="suggested"):
    model, *rest = build()
    keras_winit.initialize(model, scheme, seed=1)
    return model, *rest


def residual(blocks, make_branch, width=16):
    inputs = keras.Input((64,))
    x = layers.Dense(width)(inputs)
    for _ in range(blocks):
        x = layers.Add()([x, make_branch(x)])
    return keras.Model(inputs, layers.Dense(10)(x)), *digits(48), logits_loss()


def two_layers(x):
    hidden = layers.Dense(x.shape[-1], "relu", kernel_initializer="he_normal")(x)
    return layers.Dense(x.shape[-1], kernel_initializer="he_normal")(hidden)


class Gain(layers.Layer):
    def build(self, shape):
        self.alpha = self.add_weight(shape=(), initializer="zeros", name="alpha")

    def call(self, x):
        return x * self.alpha


def rezero(x):
    return Gain()(layers.Dense(x.shape[-1], "relu", kernel_initializer="he_normal")(x))


def shared_initializer():
    initializer = keras.initializers.HeNormal(seed=1)
    return dense("relu", 4, lambda: initializer)


def images(*rest, number=16, classes=4):
    """A model of images of noise, and its batch."""
    model = keras.Sequential([keras.Input((12, 12, 16)), *rest])
    return model, noise(number, 12, 12, 16), np.arange(number) % classes, logits_loss()


def depthwise(normalized=False):
    rest = []
    for _ in range(7):
        rest.append(layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="he_normal"))
        if normalized:
            rest.append(layers.BatchNormalization())
        rest.append(layers.ReLU())
    return images(*rest, layers.GlobalAveragePooling2D(), layers.Dense(4))


def attention(depth, shortcut=False):
    inputs = x = keras.Input((16, 24))
    for _ in range(depth):
        attended = layers.MultiHeadAttention(2, 12)(x, x)
        x = layers.Add()([x, attended]) if shortcut else attended
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(3)(x))
    return model, noise(8, 16, 24), np.arange(8) % 3, logits_loss()


def attention_times(logits, values, depth):
    """Layers of attention whose maps before and behind the softmax are multiplied."""
    model, *rest = attention(depth, shortcut=True)
    for layer in model.layers:
        if isinstance(layer, layers.MultiHeadAttention):
            for inner in (layer.query_dense, layer.key_dense):
                inner.kernel.assign(logits * inner.kernel)
            for inner in (layer.value_dense, layer.output_dense):
                inner.kernel.assign(values * inner.kernel)
    return model, *rest


def with_value(value):
    """A network one weight of which is not finite."""
    model, *rest = dense("relu", 2, "he_normal")
    kernel = keras.ops.convert_to_numpy(model.layers[1].kernel).copy()
    kernel[3, 5] = value
    model.layers[1].kernel.assign(kernel)
    return model, *rest


def binary(positives, activation="sigmoid", from_logits=False):
    """Imbalanced classes, with small logits."""
    out = layers.Dense(1, activation, kernel_initializer=normal(0.01))
    hidden = layers.Dense(16, "relu", kernel_initializer="he_normal")
    y = np.zeros((200, 1), "float32")
    y[:positives] = 1
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    return keras.Sequential([keras.Input((8,)), hidden, out]), noise(200, 8), y, loss


def last_layer(stddev):
    model, *rest = dense("relu", 1, "he_normal")
    model.layers[-1].kernel.assign(stddev * noise(32, 10))
    return model, *rest


def classifier(activation, from_logits):
    out = layers.Dense(10, activation, kernel_initializer=normal(0.1))
    hidden = layers.Dense(32, "relu", kernel_initializer="he_normal")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    return keras.Sequential([keras.Input((64,)), hidden, out]), *digits(), loss


def pixels(scale):
    model, x, y, loss = dense("relu", 2, "he_normal")
    return model, scale * np.random.default_rng(0).uniform(size=x.shape).astype("float32"), y, loss


def ending(activation, y, units=1, loss="mean_squared_error"):
    """A network that ends in an activation, with targets from four columns of noise."""
    hidden = layers.Dense(16, "relu", kernel_initializer="he_normal")
    out = layers.Dense(units, activation, kernel_initializer=normal(0.1))
    x = noise(64, 8)
    return keras.Sequential([keras.Input((8,)), hidden, out]), x, y(x), keras.losses.get(loss)


def signs(x):
    return (x[:, :1] > 0).astype("float32")


def sums(x):
    return x[:, :4].sum(1, keepdims=True) / 2


def classes(x):
    return np.digitize(x[:, :1], [-0.7, 0, 0.7])


def one_hot_classes(x):
    return keras.utils.to_categorical(classes(x), 4)


def with_activation(activation, model, *rest):
    model.layers[-1].activation = keras.activations.get(activation)
    return model, *rest


def with_one_hot(model, x, y, loss):
    return model, x, keras.utils.to_categorical(y, 4), loss


def ending_of(y, *_):
    return ending(None, y)


def standardized(model, x, y, loss):
    return model, (x - x.mean(0)) / x.std(0), y, loss


def with_logits(model, x, y, loss):
    model.layers[-1].activation = keras.activations.linear
    return model, x, y, logits_loss()


def without_last(model, *rest):
    return keras.Model(model.input, model.layers[-2].output), *rest


def followed_by(layer, model, *rest):
    return keras.Model(model.inputs, layer(model.outputs[0])), *rest


def followed(layer):
    return followed_by(layer(), *classifier("softmax", False))


def with_labels(y, model, x, _, loss):
    return model, x, y, loss


def alike_samples(*columns):
    """The samples differ in some columns alone."""
    model, x, y, loss = dense("relu", 2, "he_normal")
    same = np.repeat(x[:1], len(x), 0)
    same[:, columns] = x[:, columns]
    return model, same, y, loss


def table(small):
    model, x, y, loss = ending(None, sums)
    return model, x * np.resize([1, small, small], 8).astype("float32"), y, loss


def several_labels(number, activation="softmax", loss="categorical_crossentropy"):
    """Samples that are of so many of 4 classes."""
    model, x, *_ = ending(activation, sums, 4)
    places = np.random.default_rng(0).random((64, 4)).argsort(1)
    y = (places < number).astype("float32")
    return model, x, y, keras.losses.get(loss)


def smoothed(share):
    """Two classes, most of whose labels are given to both."""
    loss = keras.losses.BinaryCrossentropy(label_smoothing=share)
    return ending("sigmoid", signs, loss=loss)


def constrained(most):
    return dense("relu", 2, kernel_constraint=keras.constraints.MaxNorm(most))


def with_trainable(trainable):
    model, *rest = dense("relu", 2, "he_normal")
    model.trainable = trainable
    return model, *rest


def let_train(model, *rest):
    model.trainable = True
    return model, *rest


def passed_by(function):
    """A function between the first and the second of three layers."""
    inputs = keras.Input((64,))
    hidden = function(layers.Dense(32, "relu", kernel_initializer="he_normal")(inputs))
    hidden = layers.Dense(32, "relu", kernel_initializer="he_normal")(hidden)
    return keras.Model(inputs, layers.Dense(10)(hidden)), *digits(), logits_loss()


def with_dropout(rate):
    inputs = keras.Input((64,))
    hidden = layers.Dense(32, "relu", kernel_initializer="he_normal")(inputs)
    hidden = layers.Dropout(rate)(hidden)
    return keras.Model(inputs, layers.Dense(10)(hidden)), *digits(), logits_loss()


def with_rate(rate, model, *rest):
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = rate
    return model, *rest


def compiled(optimizer="adam", factor=0.0):
    model, x, y, loss = dense(
        "relu", 2, "he_normal", kernel_regularizer=keras.regularizers.L2(factor)
    )
    model.compile(keras.optimizers.get(optimizer), loss)
    return model, x, y, None


def compiled_anew(_model, *rest):
    return compiled()


def at_rate(rate):
    return compiled(keras.optimizers.SGD(rate))


def normalized_series(axis):
    """Means of series of one feature, which are normalized over an axis."""
    x = noise(64, 8, 1)
    inputs = keras.Input((8, 1))
    hidden = layers.Dense(16, "relu")(
        layers.Flatten()(layers.LayerNormalization(axis=axis)(inputs))
    )
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    return model, x, x[:, 0], keras.losses.MeanSquaredError()


def colors(axis):
    """Images of three channels, which lie on an axis."""
    x = np.moveaxis(noise(16, 12, 12, 3), -1, axis)
    layer = layers.Conv2D(8, 3, padding="same", activation="relu")
    rest = (layer, layers.Flatten(), layers.Dense(4))
    return keras.Sequential([keras.Input(x.shape[1:]), *rest]), x, np.arange(16) % 4, logits_loss()


def with_channels_last(_model, *rest):
    return colors(-1)


def with_base(trainable):
    """Four layers, of which three may be frozen."""
    base = keras.Sequential([keras.Input((64,)), *(layers.Dense(32, "relu") for _ in range(3))])
    base.trainable = trainable
    model = keras.Sequential([keras.Input((64,)), base, layers.Dense(10)])
    return model, *digits(), logits_loss()


def with_trained_base(model, *rest):
    for weight in model.layers[0].weights:
        weight.assign(0.8 * weight)
    return model, *rest


def score(y, outputs):
    """A coefficient of determination, which is best where it is 1."""
    residual = keras.ops.sum((y - outputs) ** 2)
    return 1 - residual / keras.ops.sum((y - keras.ops.mean(y)) ** 2)


def with_loss_of_score(model, x, y, _):
    return model, x, y, lambda y, outputs: 1 - score(y, outputs)


# What makes a rule fire, what does not, and how it is fixed where `fix` cannot do it.
CASES = {
    "non_finite": (with_(with_value, np.nan), with_(with_value, 1.0)),
    "loss_mismatch": (
        with_(classifier, "softmax", True),
        with_(classifier, "softmax", False),
        with_logits,
    ),
    "softmax_over_one": (
        with_(ending, "softmax", signs, loss="binary_crossentropy"),
        with_(ending, "sigmoid", signs, loss="binary_crossentropy"),
        with_(with_activation, "sigmoid"),
    ),
    "unreachable_targets": (
        with_(ending, "relu", sums),
        with_(ending, "relu", lambda x: abs(sums(x))),
        with_(with_activation, "linear"),
    ),
    "activation_twice": (
        with_(followed, layers.Softmax),
        with_(classifier, "softmax", False),
        without_last,
    ),
    "dropout_at_output": (
        with_(followed, with_(layers.Dropout, 0.1)),
        with_(with_dropout, 0.1),
        without_last,
    ),
    "constant_labels": (
        lambda: with_labels(np.full(96, 3), *dense("relu", 2, "he_normal")),
        with_(dense, "relu", 2, "he_normal"),
        with_(with_labels, digits()[1]),
    ),
    "labels_not_one_hot": (
        with_(several_labels, 2),
        with_(several_labels, 1),
        lambda *_: several_labels(2, "sigmoid", "binary_crossentropy"),
    ),
    "smoothed_labels": (
        with_(smoothed, 1.0),
        with_(smoothed, 0.1),
        lambda *_: smoothed(0.1),
    ),
    "tight_constraint": (
        with_(constrained, 0.01),
        with_(constrained, 3.0),
        lambda *_: constrained(3.0),
    ),
    "constant_input": (
        alike_samples,
        with_(alike_samples, 20, 30),
        lambda *_: dense("relu", 2),
    ),
    "targets_near_zero": (
        with_(ending, None, sums, loss="mean_absolute_percentage_error"),
        with_(ending, None, lambda x: sums(x) + 4, loss="mean_absolute_percentage_error"),
        lambda model, x, y, _: (model, x, y, keras.losses.MeanAbsoluteError()),
    ),
    "reversed_loss": (
        with_(ending, None, sums, loss=score),
        with_(ending, None, sums, loss=lambda y, outputs: (y - outputs) ** 2),
        with_loss_of_score,
    ),
    "channels_order": (with_(colors, 1), with_(colors, -1), with_channels_last),
    "targets_not_scaled": (
        with_(ending, None, lambda x: 1e5 * sums(x)),
        with_(ending, None, lambda x: 10 * sums(x)),
        with_(ending_of, sums),
    ),
    "unequal_features": (with_(table, 1e-3), with_(table, 0.05), lambda *_: table(1)),
    "nothing_trainable": (with_(with_trainable, False), with_(with_trainable, True), let_train),
    "frozen_random": (with_(with_base, False), with_(with_base, True), with_trained_base),
    "unreached_weights": (
        with_(passed_by, keras.ops.stop_gradient),
        with_(passed_by, keras.ops.negative),
        lambda *_: passed_by(keras.ops.negative),
    ),
    "no_nonlinearity": (
        with_(dense, None, 2),
        with_(dense, None, 0),
        lambda *_: dense("relu", 2, "he_normal"),
    ),
    "runaway_activation": (
        with_(initialized, with_(dense, "exponential", 10)),
        with_(initialized, with_(dense, "exponential", 5)),
        lambda *_: initialized(with_(dense, "softplus", 10)),
    ),
    "large_dropout": (with_(with_dropout, 0.99), with_(with_dropout, 0.5), with_(with_rate, 0.5)),
    "large_regularization": (
        with_(compiled, factor=30.0),
        with_(compiled, factor=1e-3),
        compiled_anew,
    ),
    "learning_rate": (with_(at_rate, 100.0), with_(at_rate, 0.01), compiled_anew),
    "broadcast_labels": (
        with_(ending, "softmax", classes, 4),
        with_(ending, "softmax", one_hot_classes, 4),
        with_one_hot,
    ),
    "input_not_standardized": (with_(pixels, 255), with_(pixels, 1), standardized),
    "identical_units": (with_(dense, "relu", 2, "zeros"), with_(dense, "relu", 2)),
    "twin_kernels": (shared_initializer, with_(dense, "relu", 4, "he_normal")),
    "wrong_fan": (depthwise, with_(depthwise, normalized=True)),
    "dead_units": (
        with_(dense, "relu", 2, "he_normal", bias_initializer=keras.initializers.Constant(-5)),
        with_(dense, "relu", 40, "he_normal"),
    ),
    "saturated_units": (
        with_(dense, "tanh", 3, with_(normal, 1.0)),
        with_(dense, "tanh", 3, "lecun_normal"),
    ),
    "attention_logits": (
        with_(attention_times, 10, 1, depth=2),
        with_(attention, 2, shortcut=True),
    ),
    "tokens_alike": (
        with_(attention_times, 1e-6, 4, depth=5),
        with_(attention, 5, shortcut=True),
    ),
    "constant_signal": (
        with_(normalized_series, -1),
        with_(normalized_series, (1, 2)),
        lambda *_: normalized_series((1, 2)),
    ),
    "samples_alike": (with_(dense, "sigmoid", 8), with_(dense, "sigmoid", 2)),
    "vanishing_signal": (with_(dense, "relu", 24), with_(dense, "relu", 24, "he_normal")),
    "exploding_signal": (
        with_(residual, 20, two_layers),
        with_(initialized, with_(residual, 20, two_layers)),
    ),
    "vanishing_gradient": (
        with_(dense, "sigmoid", 6),
        with_(initialized, with_(dense, "sigmoid", 6)),
    ),
    "exploding_gradient": (
        with_(dense, "tanh", 24, with_(normal, 0.6)),
        with_(dense, "tanh", 24, "lecun_normal"),
    ),
    "mismatched_activation": (with_(dense, "relu", 24), with_(dense, "tanh", 24)),
    "lost_directions": (
        with_(dense, "tanh", 40, width=16),
        with_(dense, "tanh", 40, "orthogonal", width=16),
    ),
    "class_prior": (with_(binary, 4), with_(binary, 80)),
    "initial_loss": (with_(last_layer, 1.0), with_(last_layer, 0.1)),
}

# Keras says so itself.
pytestmark = [
    pytest.mark.filterwarnings(message)
    for message in (
        r'ignore:"`sparse_categorical_crossentropy` received `from_logits=True`:UserWarning',
        "ignore:You are using a softmax over axis -1:UserWarning",
        "ignore:In loss categorical_crossentropy:SyntaxWarning",
    )
]


def look(case):
    model, x, y, loss = case
    return keras_winit.diagnose(model, x, y, loss=loss)


@functools.cache
def diagnosis_of(rule, place):
    keras.utils.set_random_seed(0)
    return look(CASES[rule][place]())


def names(report):
    return [finding.rule for finding in report.findings]


def test_every_rule_has_a_sick_and_a_healthy_network():
    assert set(CASES) == {rule.name for rule in RULES}


@pytest.mark.parametrize("rule", CASES)
def test_rule_fires_on_a_sick_network(rule):
    assert rule in names(diagnosis_of(rule, 0))


@pytest.mark.parametrize("rule", CASES)
def test_rule_is_silent_on_a_healthy_network(rule):
    assert rule not in names(diagnosis_of(rule, 1))


@pytest.mark.parametrize("rule", CASES)
def test_what_a_finding_suggests_makes_it_silent(rule):
    keras.utils.set_random_seed(0)
    sick, _, *fix = CASES[rule]
    case = sick()
    report = look(case)
    finding = next(each for each in report.findings if each.rule == rule)
    assert (finding.action is None) == bool(fix)
    after = look(fix[0](*case)) if fix else report.fix(seed=1)
    assert rule not in names(after)
    assert after.ok


def shows(text, number):
    """Whether a text has a number, rounded to two digits or to a percent."""
    found = re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?", text)
    numbers = [float(each.rstrip("%")) / (100 if each.endswith("%") else 1) for each in found]
    return any(math.isclose(each, number, rel_tol=0.06, abs_tol=0.006) for each in numbers)


@pytest.mark.parametrize("rule", CASES)
def test_finding_shows_its_number_and_its_limit_and_explains_itself(rule):
    for finding in diagnosis_of(rule, 0).findings:
        message = finding.message
        assert (
            "not finite" in message if finding.value == math.inf else shows(message, finding.value)
        )
        assert shows(message[message.index("limit") :], finding.limit)
        assert finding.severity in ("error", "warning")
        assert finding.layer is None or finding.layer in message.replace("/kernel", "")
        for text in (message, finding.reason, finding.fix):
            assert text[0].isupper() or text[0] in "`0123456789"
            assert text.endswith((".", "`."))
            assert "  " not in text
            assert "\n" not in text
        assert (
            "https://" in finding.reference
            or "http://" in finding.reference
            or "Keras 3" in (finding.reference)
        )


# What the literature knows as sick, and the first cause that is to be named.
SICK = {
    "relu_glorot_30": (with_(dense, "relu", 30), "vanishing_signal"),
    "sigmoid_10": (with_(dense, "sigmoid", 10), "samples_alike"),
    "softplus_10": (with_(dense, "softplus", 10), "samples_alike"),
    "tanh_50_small": (with_(dense, "tanh", 50, with_(normal, 0.01)), "vanishing_signal"),
    "tanh_50_large": (with_(dense, "tanh", 50, with_(normal, 1.0)), "saturated_units"),
    "residual_50": (with_(residual, 50, two_layers), "exploding_signal"),
    "zeros": (with_(dense, "relu", 3, "zeros"), "identical_units"),
    "ones": (with_(dense, "relu", 3, "ones"), "identical_units"),
    "shared_initializer": (shared_initializer, "twin_kernels"),
    "depthwise": (depthwise, "wrong_fan"),
    "biases_of_minus_5": (CASES["dead_units"][0], "dead_units"),
    "sigmoid_twice": (
        lambda: followed_by(layers.Activation("sigmoid"), *binary(80)),
        "activation_twice",
    ),
    "logits_as_probabilities": (with_(classifier, None, False), "loss_mismatch"),
    "pixels_to_255": (with_(pixels, 255), "input_not_standardized"),
    "nan": (with_(with_value, np.nan), "non_finite"),
    "infinity": (with_(with_value, np.inf), "non_finite"),
    "attention_12": (with_(attention, 12), "tokens_alike"),
    "large_queries": (with_(attention_times, 10, 1, depth=2), "attention_logits"),
    "imbalanced": (with_(binary, 4), "class_prior"),
    "imbalanced_logits": (with_(binary, 4, None, True), "class_prior"),
    "large_last_layer": (with_(last_layer, 1.0), "initial_loss"),
}
MILD = ("twin_kernels", "class_prior", "initial_loss")


@pytest.mark.parametrize("name", SICK)
def test_first_finding_is_the_cause(name):
    keras.utils.set_random_seed(0)
    build, rule = SICK[name]
    report = look(build())
    assert names(report)[0] == rule
    assert report.ok == (rule in MILD)


# What is found in all, where more comes of one cause.
ONE_CAUSE = {
    "depthwise": {"wrong_fan"},  # of which the signal vanishes, and the gradient
    "relu_glorot_30": {"vanishing_signal", "mismatched_activation"},
    "residual_50": {"exploding_signal"},
    "biases_of_minus_5": {"dead_units"},
    "ones": {"identical_units"},
}


@pytest.mark.parametrize("name", ONE_CAUSE)
def test_one_cause_is_told_once(name):
    keras.utils.set_random_seed(0)
    assert set(names(look(SICK[name][0]()))) == ONE_CAUSE[name]


def test_company_is_never_worse_than_what_it_is_told_with():
    signal = signal_of(False)
    rule = next(each for each in RULES if each.name == "vanishing_gradient")
    alike = Finding(
        **dict.fromkeys(("message", "reason", "reference", "fix"), ""),
        **{"rule": "samples_alike", "severity": "warning", "layer": None, "value": 1, "limit": 1},
    )
    shrunk = replace(signal.layers[0], gradient=1e-6 * signal.layers[-1].gradient)
    signal = replace(signal, layers=(shrunk, *signal.layers[1:]))
    for severity, told_with in (("warning", None), ("error", "samples_alike")):
        (found,) = rule(signal, [replace(alike, severity=severity)])
        assert found.severity == "error"
        assert (found.comes_with, found.told_with) == (told_with, told_with)


@pytest.mark.parametrize("from_logits", [False, True])
def test_loss_is_the_entropy_of_the_labels_once_the_bias_starts_at_the_prior(from_logits):
    report = look(binary(4, None if from_logits else "sigmoid", from_logits)).fix()
    entropy = -(0.02 * math.log(0.02) + 0.98 * math.log(0.98))
    assert report.signal.loss.value == pytest.approx(entropy, abs=1e-3)


def test_prior_of_a_class_that_is_not_in_the_batch_is_not_zero():
    model, x, y, _ = last_layer(0.01)
    report = keras_winit.diagnose(model, x, np.where(y < 9, 0, 1), loss=logits_loss()).fix()
    bias = keras.ops.convert_to_numpy(model.layers[-1].bias)
    assert names(report) == []
    np.testing.assert_allclose(bias[2:], math.log(0.5 / 96), rtol=1e-5)


def test_mean_of_the_targets_is_the_prior_of_a_regression():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(2)])
    y = noise(100, 2) * 2 + np.array([30.0, -10.0], "float32")
    report = keras_winit.diagnose(model, noise(100, 8, seed=1), y, loss="mse")
    assert names(report) == ["class_prior"]
    assert names(report.fix()) == []
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.layers[-1].bias), y.mean(0), 1e-5)


def test_prior_before_a_sigmoid_is_what_it_takes_to_the_mean():
    hidden, out = layers.Dense(16, "relu"), layers.Dense(2, "sigmoid")
    model = keras.Sequential([keras.Input((8,)), hidden, out])
    y = 0.05 + 0.005 * noise(100, 2)
    keras_winit.diagnose(model, noise(100, 8, seed=1), y, loss="mse").fix()
    mean = y.mean(0)
    expected = np.log(mean / (1 - mean))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(out.bias), expected, rtol=1e-5)


def image_net():
    rest = []
    for filters in (8, 12):
        rest += [layers.Conv2D(filters, 3, padding="same", use_bias=False)]
        rest += [layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(padding="same")]
    return images(*rest, layers.GlobalAveragePooling2D(), layers.Dense(4))


def separable():
    rest = []
    for _ in range(2):
        rest += [layers.DepthwiseConv2D(3, padding="same"), layers.BatchNormalization()]
        rest += [layers.ReLU(6.0), layers.Conv2D(8, 1), layers.BatchNormalization()]
        rest += [layers.ReLU(6.0)]
    return images(*rest, layers.GlobalAveragePooling2D(), layers.Dense(4))


def squeeze_and_excitation():
    inputs = keras.Input((12, 12, 16))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3)(inputs)))
    gate = layers.Dense(4, "relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Dense(16, "sigmoid")(gate)])
    model = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    return model, noise(16, 12, 12, 16), np.arange(16) % 4, logits_loss()


def u_net():
    def convolution(x):
        return layers.Conv2D(16, 3, padding="same", activation="relu")(x)

    inputs = keras.Input((12, 12, 16))
    wide = convolution(convolution(inputs))
    up = layers.Conv2DTranspose(16, 2, strides=2)(convolution(layers.MaxPooling2D()(wide)))
    x = convolution(layers.Concatenate()([up, wide]))
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))
    mask = (noise(8, 12, 12, 1, seed=1) > 0).astype("float32")
    return model, noise(8, 12, 12, 16), mask, "binary_crossentropy"


def generator():
    rest = [keras.Input((16,)), layers.Dense(3 * 3 * 16, use_bias=False)]
    rest += [layers.BatchNormalization(), layers.LeakyReLU(), layers.Reshape((3, 3, 16))]
    rest.append(layers.Conv2DTranspose(8, 4, 2, padding="same", use_bias=False))
    rest += [layers.BatchNormalization(), layers.LeakyReLU()]
    rest.append(layers.Conv2DTranspose(3, 3, padding="same", activation="tanh"))
    return keras.Sequential(rest), noise(16, 16), None, None


def discriminator():
    rest = []
    for filters in (8, 16):
        rest += [layers.Conv2D(filters, 5, 2, padding="same"), layers.LeakyReLU()]
    model, x, *_ = images(*rest, layers.Flatten(), layers.Dense(1))
    return model, x, np.ones((16, 1)), keras.losses.BinaryCrossentropy(from_logits=True)


def tokens(*shape):
    return np.random.default_rng(0).integers(1, 200, size=shape).astype("int32")


def transformer(depth=1, before=True):
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Embedding(200, 16)(inputs)
    for _ in range(depth):
        for attends in (True, False):
            y = layers.LayerNormalization()(x) if before else x
            if attends:
                y = layers.MultiHeadAttention(2, 8)(y, y)
            else:
                y = layers.Dense(16)(layers.Dense(32, "gelu")(y))
            x = layers.Add()([x, y])
            x = x if before else layers.LayerNormalization()(x)
    x = layers.GlobalAveragePooling1D()(x)
    y = np.arange(24) % 2
    model = keras.Model(inputs, layers.Dense(2, "softmax")(x))
    return model, tokens(24, 12), y, "sparse_categorical_crossentropy"


def recurrent():
    cells = [layers.Bidirectional(layers.LSTM(8, return_sequences=True)), layers.GRU(8)]
    rest = [layers.Embedding(200, 16), *cells, layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((12,), dtype="int32"), *rest])
    return model, tokens(24, 12), np.arange(24)[:, None] % 2, "binary_crossentropy"


def autoencoder():
    sizes = [layers.Dense(size, "relu") for size in (32, 8, 32)]
    model = keras.Sequential([keras.Input((64,)), *sizes, layers.Dense(64, "sigmoid")])
    x = load_digits().data[:96].astype("float32") / 16
    return model, x, x, "binary_crossentropy"


def frozen_base():
    base = [layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU()]
    base = keras.Sequential([keras.Input((12, 12, 16)), *base, layers.GlobalAveragePooling2D()])
    base.trainable = False
    return images(base, layers.Dense(4))


def siamese():
    encoder = keras.Sequential([keras.Input((64,)), layers.Dense(32, "relu"), layers.Dense(16)])
    inputs = [keras.Input((64,)), keras.Input((64,))]
    distance = layers.Subtract()([encoder(each) for each in inputs])
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(keras.ops.abs(distance)))
    x, _ = digits()
    return model, [x, x[::-1]], np.arange(96)[:, None] % 2, "binary_crossentropy"


def two_outputs():
    inputs = keras.Input((64,))
    x = layers.Dense(32, "relu")(layers.Dense(32, "relu")(inputs))
    model = keras.Model(inputs, [layers.Dense(10, "softmax")(x), layers.Dense(1)(x)])
    model.compile(loss=["sparse_categorical_crossentropy", "mse"])
    x, y = digits()
    return model, x, [y, (y[:, None] - y.mean()) / y.std()], None


def mixture():
    inputs = keras.Input((64,))
    gates = layers.Dense(32, "softmax")(inputs)
    experts = [layers.Dense(16, "relu")(inputs) for _ in range(2)]
    x = sum(gates[:, place : place + 1] * each for place, each in enumerate(experts))
    return keras.Model(inputs, layers.Dense(10)(x)), *digits(), logits_loss()


class Modulation(layers.Layer):
    """A kernel of zeros that is no end of a branch, as in diffusion transformers."""

    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units, kernel_initializer="zeros")

    def build(self, x_shape, condition_shape):
        self.dense.build(condition_shape)

    def call(self, x, condition):
        return x * (1 + self.dense(condition))


def modulated():
    inputs, condition = keras.Input((64,)), keras.Input((4,))
    x = layers.Dense(32, "silu")(inputs)
    x = layers.Dense(32, "silu")(Modulation(32)(x, condition))
    x_digits, y = digits()
    model = keras.Model([inputs, condition], layers.Dense(10)(x))
    return model, [x_digits, noise(96, 4)], y, logits_loss()


def multi_label():
    out = layers.Dense(20, "sigmoid")
    model = keras.Sequential([keras.Input((64,)), layers.Dense(32, "relu"), out])
    y = (noise(96, 20, seed=1) > 1).astype("float32")
    return model, digits()[0], y, "binary_crossentropy"


def one_hot():
    x = np.eye(50, dtype="float32")[np.arange(96) * 7 % 50]
    rest = [layers.Dense(16, "relu"), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((50,)), *rest])
    return model, x, np.arange(96)[:, None] % 2, "binary_crossentropy"


def regression(scale, shift=0.0):
    rest = [layers.Dense(32, "relu"), layers.Dense(32, "relu"), layers.Dense(1)]
    model = keras.Sequential([keras.Input((12,)), *rest])
    return model, noise(96, 12), noise(96, 1, seed=1) * scale + shift, "mse"


def rescaled():
    model, _, y, loss = images(
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(4),
    )
    x = np.random.default_rng(0).uniform(0, 255, size=(16, 12, 12, 16)).astype("float32")
    return model, x, y, loss


def normalized_pixels():
    rest = [layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten()]
    model, _, y, loss = images(*rest, layers.Dense(4, kernel_initializer=normal(0.01)))
    x = np.random.default_rng(0).uniform(0, 255, size=(16, 12, 12, 16)).astype("float32")
    return model, x, y, loss


def application():
    model = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=10)
    return model, noise(8, 32, 32, 3), np.arange(8), "sparse_categorical_crossentropy"


HEALTHY = {
    **{
        f"{activation}_{depth}": with_(initialized, with_(dense, activation, depth))
        for activation, depth in (("tanh", 30), ("selu", 30), ("gelu", 30), ("sigmoid", 10))
    },
    **{
        f"residual_{scheme}": with_(initialized, with_(residual, 12, two_layers), scheme)
        for scheme in ("suggested", "fixup", "zero_last")
    },
    "rezero": with_(residual, 8, rezero),
    "batch_normalization": image_net,
    "separable": separable,
    "squeeze_and_excitation": squeeze_and_excitation,
    "u_net": u_net,
    "generator": generator,
    "discriminator": discriminator,
    "transformer": transformer,
    "transformer_normalized_behind": with_(transformer, before=False),
    "recurrent": recurrent,
    "autoencoder": autoencoder,
    "frozen_base": frozen_base,
    "siamese": siamese,
    "two_outputs": two_outputs,
    "mixture": mixture,
    "modulated": modulated,
    "multi_label": multi_label,
    "one_hot": one_hot,
    "single_layer": with_(dense, "relu", 0),
    "two_layers_of_sigmoid": with_(dense, "sigmoid", 2),
    "regression": with_(regression, 1.0),
    "regression_50": with_(regression, 50.0),
    "pixels_to_1": with_(pixels, 1),
    "pixels_rescaled": rescaled,
    "pixels_before_normalization": normalized_pixels,
    "imbalanced_15": with_(binary, 30),
}
if keras.backend.backend() != "jax":  # which compiles each of its many shapes, for minutes
    HEALTHY["application"] = application


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_network_is_left_in_peace(name):
    keras.utils.set_random_seed(1)
    assert look(HEALTHY[name]()).findings == ()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("is_noise", [False, True], ids=["digits", "noise"])
def test_40_layers_of_relu_with_he_lose_directions_and_no_more(width, is_noise, seed):
    keras.utils.set_random_seed(seed)
    model, x, y, loss = dense("relu", 40, "he_normal", width)
    x = noise(*x.shape) if is_noise else x
    report = look((model, x, y, loss))
    # By chance the last of so many layers may be large.
    assert {"lost_directions"} <= set(names(report)) <= {"lost_directions", "initial_loss"}


# Rules need no model: the numbers of a healthy network are changed to both sides of a limit.


@functools.cache
def signal_of(attends):
    keras.utils.set_random_seed(0)
    case = attention(2, shortcut=True) if attends else dense("relu", 3, "he_normal")
    return look(case).signal


def changed(signal, place, kernel=None, output=None, preactivation=None, **changes):
    """Returns a signal with other numbers of the layer at a place, its kernel and its summaries."""
    layer = signal.layers[place]
    if kernel:
        changes["kernels"] = (replace(layer.kernels[0], **kernel),)
    if output:
        changes["output"] = replace(layer.output, **output)
    if preactivation:
        changes["preactivation"] = replace(layer.preactivation, **preactivation)
    new = [*signal.layers]
    new[place] = replace(layer, **changes)
    return replace(signal, layers=tuple(new))


# The log of the signal's size varies by chance with variance 5 / fan_in a layer, here of 64 and 32.
THREE_DEVIATIONS = 3 * math.sqrt(5 / 64 + 5 / 32)


def with_signal(signal, ratio):
    first = signal.layers[0].output.second_moment
    return changed(signal, 2, output={"second_moment": ratio * first})


def with_gradient(signal, ratio):
    last = signal.layers[3].gradient
    return changed(signal, 0, gradient=ratio * last)


def with_dead(signal, fraction):
    """As many units are off for all samples, and the others for half of them."""
    dead = {"dead": fraction, "zero": (1 + fraction) / 2}
    return changed(signal, 1, output=dead, preactivation={"common": 0.0})


def with_saturated(signal, fraction):
    return changed(signal, 1, saturated=fraction)


def with_repeated(signal, fraction):
    return changed(signal, 1, kernel={"repeated": fraction})


def with_cosine(signal, cosine):
    """The output is of second moment 1, and so is the preactivation of the last layer."""
    number = signal.layers[2].output.num_samples
    common = (cosine * (number - 1) + 1) / number
    summary = {"second_moment": 1.0, "common": common}
    return changed(changed(signal, 2, output=summary), 3, preactivation=summary)


def with_directions(signal, left, first=20.0):
    """As many are left behind the first of three layers."""
    for place, rank, alignment in ((0, first, 1.0), (1, 4 * left, 0.1), (2, 4 * left, 0.4)):
        signal = changed(signal, place, rank=rank, alignment=alignment)
    return signal


def with_input(signal, size):
    kernel = signal.layers[0].kernels[0]
    moment = size * kernel.fan_in * kernel.second_moment
    return changed(signal, 0, preactivation={"second_moment": moment})


def with_loss(signal, value, **changes):
    return replace(signal, loss=replace(signal.loss, value=value, **changes))


def with_prior(signal, value):
    return with_loss(signal, value, best=1.0, prior=(0.9, 0.1))


def with_variance(signal, factor):
    """Variances by Keras's fans, in a network whose signal vanishes, that are off by a factor."""
    signal = with_signal(signal, 1e-3)
    for place in range(3):
        moment = signal.layers[place].kernels[0].second_moment
        asked = {"asked": moment / factor, "asked_by_keras": moment}
        signal = changed(signal, place, kernel=asked)
    return signal


def with_misfit(signal, factor):
    """Variances in a network whose signal vanishes that are off by a factor, over three layers."""
    signal = with_signal(signal, 1e-3)
    for place in range(3):
        layer = signal.layers[place]
        moment = factor ** (1 / 3) * layer.asked / layer.kernels[0].fan_in
        signal = changed(signal, place, kernel={"second_moment": moment})
    return signal


def of_attention(place, name):
    """Returns what puts a number of the layer at a place into the signal of attention."""
    return lambda _, number: changed(signal_of(True), place, **{name: number})


def with_few_keys(_, logit_std):
    return changed(signal_of(True), 0, logit_std=logit_std, num_keys=3)


def with_targets(signal, size):
    return with_loss(signal, 1.0, targets=(-size, size))


def with_noise(signal, factor):
    return replace(signal, dropout_noise=factor)


def with_regularization(signal, ratio):
    return with_loss(signal, 2.0, regularization=2 * ratio)


def with_update(signal, size):
    for place in range(len(signal.layers)):
        signal = changed(signal, place, kernel={"update": size})
    return replace(signal, optimizer=("SGD", 0.1))


def with_decay(signal, ratio):
    return replace(with_update(signal, 0.01), decay=0.01 * ratio)


def with_outlier(signal, ratio):
    (first,) = signal.inputs
    return replace(signal, inputs=(replace(first, outlier=ratio),))


def with_rise(signal, ratio):
    return with_loss(with_update(signal, 0.01), 2.0, after_step=2 * ratio)


def with_large_rise(signal, ratio):
    return with_loss(with_update(signal, 0.2), 2.0, after_step=2 * ratio)


def with_fall(signal, share):
    return with_loss(with_update(signal, 5e-4), 2.0, after_step=2 * (1 - share))


def with_near_zero(signal, share):
    return with_loss(signal, 1.0, near_zero=share)


def with_smoothing(signal, share):
    return with_loss(signal, 1.0, label_smoothing=share)


def with_constraint(signal, share):
    return changed(signal, 1, kernel={"constrained": share})


def with_mean(signal, ratio):
    """Of a regression, so many times the loss of the best constant."""
    changes = {"best": 1.0, "uniform": ratio, "prior": (3.0,), "from_logits": None}
    return with_loss(signal, ratio, **changes)


# Rule, how a number gets into a signal, what is "above" or "below" which limits, and what chance
# multiplies them by.
SIGNAL_NOISE, GRADIENT_NOISE = math.exp(THREE_DEVIATIONS), math.exp(1.5 * math.sqrt(15 / 32))
LIMITS = [
    ("vanishing_signal", with_signal, "below", {"warning": 0.1, "error": 1e-4}, 1 / SIGNAL_NOISE),
    ("exploding_signal", with_signal, "above", {"warning": 10, "error": 1e4}, SIGNAL_NOISE),
    (
        "vanishing_gradient",
        with_gradient,
        "below",
        {"warning": 1e-2, "error": 1e-3},
        1 / GRADIENT_NOISE,
    ),
    ("exploding_gradient", with_gradient, "above", {"warning": 70, "error": 1e3}, GRADIENT_NOISE),
    ("dead_units", with_dead, "above", {"warning": 0.25, "error": 0.5}, 1),
    ("saturated_units", with_saturated, "above", {"error": 0.5}, 1),
    ("samples_alike", with_cosine, "above", {"warning": 0.999, "error": 0.99997}, 1),
    (
        "tokens_alike",
        of_attention(4, "token_cosine"),
        "above",
        {"warning": 0.9999, "error": 0.99997},
        1,
    ),
    ("attention_logits", of_attention(0, "logit_std"), "above", {"error": 2.3548}, 1),
    ("attention_logits", with_few_keys, "above", {"error": 2}, 1),
    ("lost_directions", with_directions, "below", {"warning": 1.2, "error": 0.4}, 1),
    ("identical_units", with_repeated, "above", {"warning": 0.1, "error": 0.5}, 1),
    ("input_not_standardized", with_input, "above", {"warning": 20, "error": 1e3}, 1),
    ("input_not_standardized", with_input, "below", {"warning": 1e-4, "error": 1e-8}, 1),
    ("wrong_fan", with_variance, "below", {"warning": 1 / 1.5}, 1),
    ("mismatched_activation", with_misfit, "below", {"warning": 0.1}, 1),
    ("initial_loss", with_loss, "above", {"warning": 2 * math.log(10)}, 1),
    ("class_prior", with_prior, "above", {"warning": 1.5}, 1),
    ("targets_not_scaled", with_targets, "above", {"warning": 100, "error": 1e4}, 1),
    ("targets_not_scaled", with_targets, "below", {"warning": 0.05, "error": 0.02}, 1),
    ("large_dropout", with_noise, "above", {"warning": 10, "error": 80}, 1),
    ("large_regularization", with_regularization, "above", {"warning": 3, "error": 20}, 1),
    ("large_regularization", with_decay, "above", {"warning": 1, "error": 2}, 1),
    ("input_not_standardized", with_outlier, "above", {"error": 1e3}, 1),
    ("learning_rate", with_update, "above", {"warning": 0.3, "error": 2}, 1),
    ("learning_rate", with_update, "below", {"warning": 3e-4, "error": 1e-5}, 1),
    ("learning_rate", with_rise, "above", {"warning": 1.5, "error": 10}, 1),
    ("learning_rate", with_large_rise, "above", {"warning": 1.05, "error": 10}, 1),
    ("learning_rate", with_fall, "below", {"warning": 4e-4}, 1),
    ("smoothed_labels", with_smoothing, "above", {"warning": 0.92, "error": 0.98}, 1),
    ("tight_constraint", with_constraint, "below", {"warning": 0.2, "error": 0.03}, 1),
    ("targets_near_zero", with_near_zero, "above", {"warning": 0.3, "error": 0.9}, 1),
    ("class_prior", with_mean, "above", {"warning": 5, "error": 100}, 1),
]


def severity(rule, signal):
    return next((each.severity for each in judge(signal) if each.rule == rule), None)


@pytest.mark.parametrize(
    ("rule", "put", "side", "limits", "chance"),
    LIMITS,
    ids=[f"{rule}-{side}-{[*limits.values()][0]:.3g}" for rule, _, side, limits, _ in LIMITS],
)
def test_verdict_changes_at_the_limit(rule, put, side, limits, chance):
    signal = signal_of(False)
    expected = None
    for beyond, limit in limits.items():
        limit *= chance
        # Of a cosine it is the distance from 1 that counts.
        step = 0.01 * (1 - limit if 0.99 < limit < 1 else limit)
        step = step if side == "above" else -step
        assert severity(rule, put(signal, limit - step)) == expected
        assert severity(rule, put(signal, limit + step)) == beyond
        expected = beyond


@pytest.mark.parametrize(
    ("rule", "put", "warning"),
    [("dead_units", with_dead, 0.25), ("saturated_units", with_saturated, 0.5)],
)
def test_while_a_model_trains_units_are_an_error_where_nothing_passes(rule, put, warning):
    for share, before, later in (
        (warning - 0.01, None, None),
        (warning + 0.01, "error" if warning == 0.5 else "warning", "warning"),
        (0.98, "error", "warning"),
        (1.0, "error", "error"),
    ):
        signal = put(signal_of(False), share)
        found = [each for each in judge(signal, WHILE_TRAINING) if each.rule == rule]
        assert severity(rule, signal) == before
        assert [each.severity for each in found] == [later] * (later is not None)
        assert all(f"{each.limit:.0%}" in each.message for each in found)


@pytest.mark.parametrize(
    ("activation", "is_found"),
    [
        (lambda: layers.LeakyReLU(negative_slope=1.0), True),
        (lambda: layers.Activation(lambda x: 2 * x + 1), True),
        (lambda: layers.LeakyReLU(), False),
        (lambda: layers.PReLU(alpha_initializer="ones"), False),  # which learns its slope
    ],
)
def test_a_straight_line_is_no_activation(activation, is_found):
    hidden = [each for _ in range(2) for each in (layers.Dense(16), activation())]
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])
    found = names(look((model, *digits(), logits_loss())))
    assert ("no_nonlinearity" in found) == is_found


def test_a_normalization_makes_up_for_a_constraint():
    layer = layers.Dense(32, kernel_constraint=keras.constraints.MaxNorm(0.01))
    hidden = [layer, layers.BatchNormalization(), layers.ReLU()]
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])
    assert "tight_constraint" not in names(look((model, *digits(), logits_loss())))


def test_directions_that_were_never_there_are_not_lost():
    """Of an input of rank 3 a fifth may be left, and of 8 units one direction."""
    signal = signal_of(False)
    assert severity("lost_directions", with_directions(signal, 0.61, first=3.0)) is None
    assert severity("lost_directions", with_directions(signal, 0.59, first=3.0)) == "warning"
    narrow = changed(signal, 1, kernel={"shape": (32, 8)})
    assert severity("lost_directions", with_directions(narrow, 1.01)) is None
    assert severity("lost_directions", with_directions(narrow, 0.99)) == "warning"


def test_what_has_learned_may_need_few_directions():
    signal = with_directions(with_loss(signal_of(False), 1.7, best=2.0), 0.1)
    assert severity("lost_directions", signal) == "error"
    assert severity("lost_directions", with_loss(signal, 1.5)) is None


def test_shortcuts_and_several_paths_keep_directions():
    signal = with_directions(signal_of(False), 0.1)
    branch = Branch(number=0, depth=2, normalized=False, is_zero=False, is_last=True)
    for changes in ({"branch": branch}, {"is_first_map": True}):
        assert severity("lost_directions", changed(signal, 2, **changes)) is None


@pytest.mark.parametrize(
    ("activation", "scale", "expected"),
    [
        ("tanh", 10, "error"),
        ("tanh", 3, "warning"),
        ("tanh", 1, None),
        ("sigmoid", 1, "warning"),
        ("softplus", 1, "warning"),
        ("hard_tanh", 30, "error"),
        (None, 10, None),
        ("gelu", 10, None),  # it may end in anything
    ],
)
def test_targets_out_of_reach_are_judged_by_the_error_that_is_left(activation, scale, expected):
    model, x, y, loss = ending(activation, lambda x: scale * sums(x))
    report = keras_winit.diagnose(model, x, y, loss=loss)
    found = {each.rule: each for each in report.findings}.get("unreachable_targets")
    assert (found and found.severity) == expected
    if found:
        low, high = (-1 if "tanh" in activation else 0), (math.inf if "plus" in activation else 1)
        missed = np.maximum(y - high, 0) ** 2 + np.maximum(low - y, 0) ** 2
        assert found.value == pytest.approx(missed.mean() / y.var(), rel=1e-4)


def test_output_that_is_scaled_behind_its_activation_is_not_judged_by_that():
    model, x, y, loss = ending("tanh", lambda x: 10 * sums(x))
    scaled = keras.Sequential([*model.layers, layers.Activation(lambda z: 100 * z)])
    scaled.build((None, 8))
    assert "unreachable_targets" not in names(look((scaled, x, y, loss)))


@pytest.mark.parametrize("end", [0, 1e-5])
def test_the_first_layer_may_lie_in_a_branch_that_ends_at_zero(end):
    """As the cross network of a recommender, that multiplies its branches by the inputs."""
    inputs = x = keras.Input((20,))
    for _ in range(3):
        y = layers.Dense(20, kernel_initializer=normal(end))(layers.Dense(5)(x))
        x = x + inputs * y
    x = layers.Dense(32, "relu", kernel_initializer="he_normal")(x)
    model = keras.Model(inputs, layers.Dense(1)(x))
    assert keras_winit.diagnose(model, noise(64, 20)).findings == ()


@pytest.mark.parametrize(("scale", "expected"), [(1, []), (100, ["input_not_standardized"])])
def test_input_of_a_cell_is_judged_by_its_own_size(scale, expected):
    model = keras.Sequential([keras.Input((8, 8)), layers.LSTM(16), layers.Dense(10)])
    x, y = digits()
    assert names(look((model, scale * x.reshape(-1, 8, 8), y, logits_loss()))) == expected


@pytest.mark.parametrize("number", [64, 400])
def test_classes_are_known_to_be_repeated_in_batches_of_any_size(number):
    model, *_ = ending("softmax", classes, 4)
    x = noise(number, 8)
    assert names(keras_winit.diagnose(model, x, classes(x), loss="mse"))[0] == "broadcast_labels"


class Compared(keras.losses.Loss):
    """A squared error of one's own, which leaves the shape of the labels as it is."""

    def call(self, y, outputs):
        return keras.ops.mean(keras.ops.square(y - outputs))


def flattened(y, outputs):
    """The same of labels without their column, as they are compared with outputs."""
    return keras.ops.mean((keras.ops.ravel(y) - outputs) ** 2)


@pytest.mark.parametrize(
    ("loss", "column", "expected"),
    [
        (Compared(), False, ["broadcast_labels"]),
        (Compared(), True, []),
        ("mse", False, []),
        (lambda y, outputs: keras.ops.mean((y - outputs) ** 2), False, []),
        (flattened, True, ["broadcast_labels"]),
        (flattened, False, ["broadcast_labels"]),
        (lambda y, outputs: flattened(y, keras.ops.ravel(outputs)), True, []),
    ],
)
def test_labels_without_a_column_are_broadcast_by_a_loss_of_ones_own(loss, column, expected):
    model, x, y, _ = ending(None, sums)
    model.compile("adam", loss)
    report = keras_winit.diagnose(model, x, y if column else y[:, 0])
    assert names(report) == expected
    if expected:
        assert report.findings[0].value == len(x)


def overlap(y, outputs):
    """Dice's coefficient."""
    return 2 * keras.ops.sum(y * outputs) / keras.ops.sum(y + outputs)


def crossentropy(y, outputs):
    return keras.losses.categorical_crossentropy(y, outputs)


def logarithms(y, outputs):
    """The binary one, of a logarithm that nothing keeps from zero."""
    likely = y * keras.ops.log(outputs) + (1 - y) * keras.ops.log(1 - outputs)
    return -keras.ops.mean(likely)


def product(y, outputs):
    """What a critic of Wasserstein is trained by, for labels of -1 and 1."""
    return keras.ops.mean(y * outputs)


def hinge(y, outputs):
    return keras.ops.mean(keras.ops.maximum(1 - y * outputs, 0))


def unlikely(y, outputs):
    """The log likelihood of a normal number, of which the output is the log of the variance."""
    return -keras.ops.mean(keras.ops.exp(-outputs) * y**2 + outputs)


def of_outputs(y, outputs):
    """That of a generator, which is to make them large."""
    return -keras.ops.mean(keras.ops.log(outputs))


def minus(loss):
    return lambda y, outputs: -loss(y, outputs)


@pytest.mark.parametrize(
    ("loss", "y", "activation", "expected"),
    [
        (overlap, signs, "sigmoid", True),
        (lambda y, outputs: 1 - overlap(y, outputs), signs, "sigmoid", False),
        (crossentropy, one_hot_classes, "softmax", False),
        (minus(crossentropy), one_hot_classes, "softmax", True),
        (keras.losses.binary_crossentropy, signs, "sigmoid", False),
        (minus(keras.losses.binary_crossentropy), signs, "sigmoid", True),
        (logarithms, signs, "sigmoid", False),
        (minus(logarithms), signs, "sigmoid", True),
        (minus(keras.losses.mean_absolute_error), sums, None, True),
        (minus(score), sums, None, False),
        (product, lambda x: 2 * signs(x) - 1, None, False),
        (minus(product), lambda x: 2 * signs(x) - 1, "tanh", False),
        (hinge, lambda x: 2 * signs(x) - 1, None, False),
        (minus(unlikely), sums, None, False),
        (of_outputs, signs, "sigmoid", False),
        (of_outputs, lambda x: 0 * signs(x), "sigmoid", False),
    ],
)
def test_a_loss_of_ones_own_is_least_where_outputs_are_the_labels(loss, y, activation, expected):
    case = ending(activation, y, 4 if y is one_hot_classes else 1, "mse")[:3]
    assert ("reversed_loss" in names(look((*case, loss)))) == expected


@pytest.mark.parametrize(
    ("loss_weights", "sample_weight", "expected"),
    [(None, 0, True), (None, 1, False), ([0.0], 1, True), ([0.5], 1, False)],
)
def test_a_loss_whose_weights_are_zero_reaches_no_weights(loss_weights, sample_weight, expected):
    model, x, y, loss = ending(None, sums)
    model.compile("adam", loss, loss_weights=loss_weights)
    report = keras_winit.diagnose(model, iter([(x, y, sample_weight * np.ones(len(x)))]))
    assert ("unreached_weights" in names(report)) == expected


@pytest.mark.parametrize(
    ("shape", "taken", "expected"),
    [
        ((3, 12, 12), 12, True),
        ((1, 12, 12), 12, True),
        ((12, 12, 3), 3, False),
        ((5, 12, 12), 12, False),  # as many series
        ((3, 12, 16), 16, False),
        ((12, 12, 3), 12, True),  # by layers with `data_format="channels_first"`
        ((3, 12, 12), 3, False),
        ((1, 7, 7), 7, False),
    ],
)
def test_channels_are_looked_for_on_both_sides_of_pixels(shape, taken, expected):
    signal = look(colors(-1)).signal
    (images,) = signal.inputs
    signal = replace(signal, inputs=(replace(images, shape=(16, *shape)),))
    signal = changed(signal, 0, kernel={"shape": (3, 3, taken, 8)})
    assert (severity("channels_order", signal) == "warning") == expected


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("zeros", "error"),
        ("both signs", "warning"),
        ("far from zero", None),
        ("of one sign, some of them small", None),
    ],
)
def test_percentages_are_of_targets_that_are_not_zero(targets, expected):
    def y(x):
        far = 4 + sums(x)
        return {
            "zeros": np.where(np.arange(len(x))[:, None] % 8 == 0, 0, far),
            "both signs": sums(x),
            "far from zero": far,
            "of one sign, some of them small": np.exp(2 * x[:, :1]),
        }[targets].astype("float32")

    report = look(ending(None, y, loss="mean_absolute_percentage_error"))
    found = [each.severity for each in report.findings if each.rule == "targets_near_zero"]
    assert found == ([] if expected is None else [expected])


class Divided(layers.Layer):
    """Divides each column by a number of its own."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        return x / keras.ops.convert_to_tensor(self.by)


def adapted(x):
    layer = layers.Normalization()
    layer.adapt(x)
    return layer


@pytest.mark.parametrize(
    ("in_front", "size", "expected"),
    [
        (adapted, 100, False),
        (adapted, 1e-3, False),
        (lambda x: layers.BatchNormalization(), 100, False),
        (lambda x: layers.BatchNormalization(), 1e-3, False),
        (lambda x: Divided(x.std(0)), 100, False),
        (lambda x: layers.Dropout(0.1), 100, True),
        (lambda x: layers.Dropout(0.1), 1e-3, True),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_columns_that_are_scaled_in_front_of_the_network_are_equal(in_front, size, expected, seed):
    keras.utils.set_random_seed(seed)
    model, x, y, loss = table(size)
    model = keras.Sequential([keras.Input((8,)), in_front(x), *model.layers])
    assert ("unequal_features" in names(look((model, x, y, loss)))) == expected


@pytest.mark.parametrize(
    ("activations", "from_logits", "expected"),
    [
        (("relu", "softmax"), False, "warning"),
        (("relu",), True, "warning"),
        (("softplus",), True, "warning"),
        (("tanh", "softmax"), False, None),
        (("softmax",), False, None),
        ((), True, None),
    ],
)
def test_logits_may_be_negative(activations, from_logits, expected):
    model, x, y, _ = classifier(None, False)
    behind = map(layers.Activation, activations)
    model = keras.Sequential([keras.Input((64,)), *model.layers, *behind])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    report = look((model, x, y, loss))
    found = [each.severity for each in report.findings if each.rule == "loss_mismatch"]
    assert found == ([] if expected is None else [expected])


def test_numbers_may_all_be_positive():
    assert look(ending("relu", lambda x: abs(sums(x)))).findings == ()


@pytest.mark.parametrize(("units", "expected"), [(1, True), (2, False)])
def test_a_single_number_has_no_direction(units, expected):
    report = look(ending(None, lambda x: x[:, :units], units, "cosine_similarity"))
    assert ("loss_mismatch" in names(report)) == expected


def intensities(x):
    return np.random.default_rng(0).uniform(size=(len(x), 4)).astype("float32")


@pytest.mark.parametrize(
    ("activation", "y", "expected"),
    [
        ("softmax", intensities, True),
        ("sigmoid", intensities, False),
        ("softmax", one_hot_classes, False),
    ],
)
def test_a_softmax_is_no_output_of_several_numbers(activation, y, expected):
    report = look(ending(activation, y, 4, "binary_crossentropy"))
    assert ("labels_not_one_hot" in names(report)) == expected


def test_classes_are_integers():
    with pytest.raises(
        ValueError, match=r"integers from 0 to 3.*Received: the value 0\.00[0-9]* among"
    ):
        look(ending("softmax", lambda x: classes(x) / 255, 4, "sparse_categorical_crossentropy"))


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_generator_may_be_trained_by_labels_that_are_all_the_same(is_frozen):
    critic, x, y, loss = ending("sigmoid", lambda x: 0 * signs(x) + 1, loss="binary_crossentropy")
    critic.trainable = not is_frozen
    critic.layers[-1].bias.assign([-8.0])  # of a critic that has learned
    model = keras.Sequential([keras.Input((5,)), layers.Dense(8), critic])
    report = look((model, x[:, :5], y, loss))
    assert ("constant_labels" in names(report)) != is_frozen
    assert not is_frozen or report.findings == ()


def of_tokens(stddev):
    """Tokens of a table that starts small, and two classes."""
    table = layers.Embedding(50, 8, embeddings_initializer=normal(stddev))
    rest = (table, layers.GlobalAveragePooling1D(), layers.Dense(1, "sigmoid"))
    model = keras.Sequential([keras.Input((12,), dtype="int32"), *rest])
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    x = np.random.default_rng(0).integers(50, size=(64, 12))
    return model, x, (x.sum(1, keepdims=True) > 294).astype("float32"), None


def test_a_rate_is_not_judged_by_tables_that_start_small():
    assert "learning_rate" not in names(look(of_tokens(0.01)))


@pytest.mark.parametrize(
    ("depth", "width", "optimizer", "expected"),
    [
        (14, 32, "sgd", ["warning"]),
        (14, 32, "adam", []),
        (14, 32, "rmsprop", []),
        (24, 32, "sgd", ["error"]),
        (24, 32, "adam", ["warning"]),
        (30, 256, "adam", ["warning"]),  # which the gradient does too, by more than a thousand
        (50, 32, "adam", ["error"]),
    ],
)
def test_steps_of_adam_do_not_shrink_with_the_signal(depth, width, optimizer, expected):
    keras.utils.set_random_seed(0)
    model, x, y, loss = dense("relu", depth, width=width)
    model.compile(optimizer, loss)
    findings = keras_winit.diagnose(model, x, y).findings
    sizes = ("vanishing_signal", "vanishing_gradient")
    assert [each.severity for each in findings if each.rule in sizes] == expected


@pytest.mark.parametrize("is_flat", [False, True])
def test_a_loss_without_a_derivative_reaches_no_weights(is_flat):
    model, x, y, _ = ending("sigmoid", signs)
    taken = keras.ops.round if is_flat else keras.ops.abs
    model.compile("adam", lambda y, outputs: keras.ops.mean((y - taken(outputs)) ** 2))
    report = keras_winit.diagnose(model, x, y)
    assert names(report) == ["unreached_weights"] * is_flat
    assert report.ok is not is_flat


@pytest.mark.parametrize(
    ("activation", "loss", "expected"),
    [
        ("sigmoid", "kl_divergence", ["loss_mismatch"]),
        ("softmax", "kl_divergence", []),
        ("softmax", keras.losses.KLDivergence(), []),
        ("linear", "poisson", ["loss_mismatch"]),
        ("relu", keras.losses.Poisson(), ["loss_mismatch"]),
        ("exponential", "poisson", []),
        ("softplus", "poisson", []),
    ],
)
def test_losses_of_a_logarithm_take_what_has_one(activation, loss, expected):
    model, x, y, _ = ending(activation, one_hot_classes, 4)
    assert names(keras_winit.diagnose(model, x, y, loss=loss))[:1] == expected


@pytest.mark.parametrize(("axis", "expected"), [(1, ["loss_mismatch"]), (-1, [])])
def test_a_softmax_is_over_the_classes(axis, expected):
    x = noise(64, 8, 3)
    hidden = layers.Dense(16, "relu", kernel_initializer="he_normal")
    out = layers.Dense(4, kernel_initializer=normal(0.1))
    model = keras.Sequential([keras.Input((8, 3)), hidden, out, layers.Softmax(axis)])
    y = np.digitize(x[..., 0], [-0.7, 0, 0.7])
    loss = keras.losses.get("sparse_categorical_crossentropy")
    assert names(look((model, x, y, loss))) == expected


@pytest.mark.parametrize(("value", "expected"), [(1e9, ["input_not_standardized"]), (30, [])])
def test_a_value_that_is_none_is_found_among_all_that_are_given(value, expected):
    model, *_ = ending(None, sums)
    x = noise(2000, 8)
    y, x[1501, 2] = sums(x), value
    assert names(look((model, x, y, keras.losses.get("mse")))) == expected


def test_layers_of_softmax_make_samples_alike():
    assert names(look(dense("softmax", 3)))[0] == "samples_alike"


@pytest.mark.parametrize(("steps", "expected"), [(4, "warning"), (10_000, None)])
def test_a_schedule_that_ends_at_once_is_judged_by_all_that_it_comes_to(steps, expected):
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    findings = look(compiled(keras.optimizers.Adam(schedule))).findings
    assert [(each.rule, each.severity) for each in findings] == (
        [("learning_rate", expected)] if expected else []
    )


def test_a_schedule_may_be_large_once_it_is_warm():
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, 10_000, warmup_target=1.0, warmup_steps=500
    )
    assert look(compiled(keras.optimizers.SGD(schedule))).findings == ()


@pytest.mark.parametrize(("rate", "expected"), [(1e-5, []), (1e-8, ["error"])])
def test_weights_that_have_learned_are_moved_by_little(rate, expected):
    """As in fine tuning; from weights that were just drawn that is too little."""
    drawn, x, y, _ = compiled(keras.optimizers.Adam(rate))
    findings = look((drawn, x, y, None)).findings
    assert [each.severity for each in findings] == (expected or ["warning"])
    for layer in drawn.layers:
        layer.kernel.assign(1.1 * layer.kernel)
    assert [each.severity for each in look((drawn, x, y, None)).findings] == expected


@pytest.mark.parametrize("kernel", [0.0, 1.0])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_zeros_are_no_columns(kernel, x):
    model, inputs, y, loss = table(1e-3)
    model.layers[0].kernel.assign(kernel * model.layers[0].kernel)
    report = look((model, x * inputs, y, loss))
    assert ("unequal_features" in names(report)) == (x * kernel == 1)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse", "mae", "hinge", "huber"])
@pytest.mark.parametrize("is_column", [False, True])
def test_labels_may_lack_their_column(loss, is_column):
    model, x, y, _ = ending("sigmoid", signs)
    model.compile("adam", loss)
    report = keras_winit.diagnose(model, x, y if is_column else y[:, 0])
    assert report.findings == ()
    assert report.signal.loss.best is not None or loss in ("mae", "hinge", "huber")


def test_steps_that_a_mask_leaves_out_have_no_classes():
    model = keras.Sequential([keras.Input((10,), dtype="int32")])
    model.add(layers.Embedding(50, 8, mask_zero=True))
    model.add(layers.Dense(3, "softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = np.where(rng.random((64, 10)) < 0.1, rng.integers(1, 50, (64, 10)), 0)
    masked = keras_winit.diagnose(model, x, x % 3).signal.loss
    assert masked.best is None
    whole = keras_winit.diagnose(model, x + (x == 0), x % 3).signal.loss
    assert whole.best is not None


def test_weights_that_no_gradient_reaches_are_no_matter_of_the_rate():
    model, x, y, loss = dense("relu", 2, "he_normal")
    *_, hidden, last = model.layers
    cut = keras.Model(model.inputs, last(keras.ops.stop_gradient(hidden.output)))
    cut.compile("adam", loss)
    assert names(keras_winit.diagnose(cut, x, y)) == ["unreached_weights"]


def of_branches(end, last="glorot_uniform", rate=1e-3):
    """A residual network whose branches end at a scale, compiled with Adam."""
    inputs = x = keras.Input((64,))
    x = layers.Dense(32)(x)
    for _ in range(3):
        y = layers.Dense(32, "relu", kernel_initializer="he_normal")(x)
        x = x + layers.Dense(32, kernel_initializer=normal(end))(y)
    model = keras.Model(inputs, layers.Dense(10, kernel_initializer=last)(x))
    model.compile(keras.optimizers.Adam(rate), logits_loss())
    return model, *digits(), None


@pytest.mark.parametrize("end", [0.0, 1e-5])
@pytest.mark.parametrize("last", ["glorot_uniform", "zeros", normal(1e-5)])
def test_a_rate_is_not_judged_by_weights_that_have_no_gradient_yet(end, last):
    assert look(of_branches(end, last)).findings == ()


@pytest.mark.parametrize(("rate", "severity"), [(1e-7, "error"), (1e-1, "warning")])
def test_a_rate_is_judged_by_the_weights_beside_branches_that_end_at_zero(rate, severity):
    findings = look(of_branches(0.0, rate=rate)).findings
    assert [(each.rule, each.severity) for each in findings] == [("learning_rate", severity)]


def attending():
    """Two blocks of attention and of a gated layer, with the small weights of language models."""

    def small():
        return {"kernel_initializer": normal(0.02)}

    tokens = keras.Input((32,), dtype="int32")
    x = layers.Embedding(50, 64, normal(0.02))(tokens)
    for _ in range(2):
        y = layers.RMSNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 32, **small())(y, y, use_causal_mask=True)
        y = layers.RMSNormalization()(x)
        y = layers.Dense(128, "silu", **small())(y) * layers.Dense(128, **small())(y)
        x = x + layers.Dense(64, **small())(y)
    return keras.Model(tokens, layers.RMSNormalization()(x))


def of_depth(depth):
    return lambda: dense("relu", depth, "he_normal", width=64)[0]


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
@pytest.mark.parametrize(
    "build", [of_depth(2), of_depth(20), attending], ids=["small", "deep", "attention"]
)
def test_half_precision_is_no_fault(policy, build):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    # 20 such layers of relu lose directions in float32 as well.
    assert set(names(keras_winit.diagnose(model))) <= {"lost_directions"}


# Several outputs: each is judged beside its own labels and loss.


def heads(as_dict=False, classes=(10, "softmax"), number=(1, None), behind=(), **compiled):
    """Two heads, one of classes and one of numbers, in a list or in a dict."""
    inputs = keras.Input((64,))
    x = layers.Dense(32, "relu")(inputs)
    last = layers.Dense(*number, name="last" if behind else "number")(x)
    for make in behind:
        last = make(name="number")(last)
    outputs = [layers.Dense(*classes, name="classes")(x), last]
    if as_dict:
        outputs = {"number": outputs[1], "classes": outputs[0]}
    model = keras.Model(inputs, outputs)
    losses = ["sparse_categorical_crossentropy", "mse"]
    if as_dict:
        losses = dict(zip(("classes", "number"), losses, strict=True))
    model.compile(**{"loss": losses, **compiled})
    return model


def numbers(scale=1.0):
    return scale * noise(96, 1, seed=2)


CROSSENTROPY = "sparse_categorical_crossentropy"
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SEVERAL = {
    "targets_not_scaled": ("number", {}, {}, numbers(1000.0), numbers()),
    "constant_labels": ("number", {}, {}, numbers(0.0) + 1, numbers()),
    "unreachable_targets": ("number", {"number": (1, "relu")}, {}, numbers(), abs(numbers())),
    "loss_mismatch": ("classes", {"classes": (10,)}, {"classes": (10, "softmax")}, None, None),
    "softmax_over_one": ("number", {"number": (1, "softmax")}, {}, None, None),
    "dropout_at_output": ("number", {"behind": [with_(layers.Dropout, 0.5)]}, {}, None, None),
    "activation_twice": (
        "number",
        {"number": (1, "sigmoid"), "behind": [with_(layers.Activation, "sigmoid")]},
        {"number": (1, "sigmoid")},
        abs(np.tanh(numbers())),
        abs(np.tanh(numbers())),
    ),
    "broadcast_labels": (
        "number",
        {"number": (10,)},
        {},
        np.arange(96)[:, None] % 10.0,
        numbers(),
    ),
    "class_prior": ("number", {}, {}, numbers() + 5, numbers()),
}


def of_heads(arguments, y, as_dict=False, **compiled):
    x, classes = digits()
    y = numbers() if y is None else y
    given = {"number": y, "classes": classes} if as_dict else [classes, y]
    keras.utils.set_random_seed(0)
    return keras_winit.diagnose(heads(as_dict, **arguments, **compiled), x, given)


@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("rule", SEVERAL)
def test_each_of_several_outputs_is_judged_beside_its_own_labels(rule, as_dict):
    output, sick, healthy, y_sick, y_healthy = SEVERAL[rule]
    found = [each for each in of_heads(sick, y_sick, as_dict).findings if each.rule == rule]
    assert [each.output for each in found] == [output]
    assert found[0].layer == ("last" if "behind" in sick else output)
    assert rule not in names(of_heads(healthy, y_healthy, as_dict))


def test_the_bias_of_one_of_several_outputs_starts_at_its_prior():
    report = of_heads({}, numbers() + 5)
    fixed = report.fix(seed=0)
    assert (names(report), names(fixed)) == (["class_prior"], [])
    (number,) = (each for each in fixed.signal.losses if each.output == "number")
    assert number.value < 5 < 25 < report.signal.losses[1].value


@pytest.mark.parametrize(
    "compiled",
    [
        {"loss": {"classes": CROSSENTROPY, "number": "mse"}},
        {"loss": [CROSSENTROPY, "mse"], "loss_weights": [1.0, 0.1]},
        {"loss": {"classes": CROSSENTROPY, "number": "mse"}, "loss_weights": {"number": 0.5}},
    ],
)
def test_losses_by_name_and_their_weights_leave_each_output_its_own_loss(compiled):
    if "number" in compiled.get("loss_weights", ()):
        compiled = {**compiled, "loss_weights": {"classes": 1.0, "number": 0.5}}
    report = of_heads({}, numbers(1000.0), **compiled)
    assert {each.output for each in report.findings} == {"number"}
    assert "targets_not_scaled" in names(report)
    values = [each.value for each in report.signal.losses]
    assert values[0] == pytest.approx(math.log(10), abs=1.5)
    assert values[1] == pytest.approx(np.square(numbers(1000.0)).mean(), rel=0.01)


def test_an_output_without_a_loss_or_of_no_weight_is_not_judged():
    assert of_heads({}, numbers(1000.0), loss_weights=[1.0, 0.0]).signal.losses[1] is None
    x, y = digits()
    model = heads(loss=[CROSSENTROPY, None])
    report = keras_winit.diagnose(model, x, [y])
    assert [each and each.output for each in report.signal.losses] == ["classes", None]
    assert {each.output for each in report.findings} <= {None}  # no gradient reaches its weights


@pytest.mark.parametrize(
    "loss", [[CROSSENTROPY, "mse"], {"number": "mse", "classes": CROSSENTROPY}]
)
def test_losses_may_be_given_for_each_output(loss):
    model, (x, y) = heads(), digits()
    given = keras_winit.diagnose(model, x, [y, numbers()], loss=loss).signal
    compiled = keras_winit.diagnose(model, x, [y, numbers()]).signal
    assert given.loss.value == pytest.approx(compiled.loss.value, rel=1e-5)
    assert given.loss.value == pytest.approx(sum(each.value for each in given.losses), rel=1e-5)


def test_labels_that_an_output_has_no_place_for_are_refused_by_its_name():
    x, y = digits()
    with pytest.raises(ValueError, match="integers from 0 to 9, .* for output 'classes'"):
        keras_winit.diagnose(heads(), x, [y + 5, numbers()])


def test_a_single_output_in_a_dict_is_judged():
    model, x, y, _ = regression(1000.0)
    named = keras.Model(model.inputs, {"price": model.layers[-1].output})
    report = keras_winit.diagnose(named, x, {"price": y}, loss="mse")
    (finding,) = report.findings
    assert (finding.rule, finding.output) == ("targets_not_scaled", None)


def test_labels_may_be_constant_where_a_loss_of_the_users_own_asks_for_nothing_of_them():
    model, x, *_ = regression(1.0)
    ignoring = keras_winit.diagnose(
        model, x, np.zeros((96, 1)), loss=lambda y, output: keras.ops.mean(output**2)
    )
    assert names(ignoring) == []


def test_one_unit_is_no_class_among_others():
    model, x, y, _ = ending("sigmoid", signs)
    found = names(keras_winit.diagnose(model, x, y, loss="categorical_crossentropy"))
    assert found[0] == "labels_not_one_hot"


def test_a_target_that_lies_far_off_is_no_fault_of_the_output():
    model, x, y, loss = ending("relu", lambda x: abs(sums(x)), loss="mean_absolute_error")
    y[0] = -100
    assert "unreachable_targets" not in names(look((model, x, y, loss)))


def test_numbers_that_are_no_classes_may_be_targets_of_several_outputs():
    assert "broadcast_labels" not in names(look(ending(None, sums, 4)))


def test_one_of_two_classes_may_be_the_target_of_all_outputs_of_an_ensemble():
    assert "broadcast_labels" not in names(look(ending("sigmoid", signs, 4)))


def test_the_code_that_a_finding_prints_fixes_data_with_constant_pixels():
    x, _ = load_digits(return_X_y=True)
    x = np.append(100 * x[:200], np.full((200, 1), 0.1), 1).astype("float32")
    constant = np.ptp(x, 0) == 0
    assert constant.sum() > 3
    model = keras.Sequential([keras.Input((65,)), layers.Dense(6, "relu"), layers.Dense(3)])
    findings = keras_winit.diagnose(model, x).findings
    finding = next(each for each in findings if each.rule == "input_not_standardized")
    scope = {"x": x}
    exec(re.search(r"`(x = [^`]*)`", finding.fix)[1], scope)
    fixed = scope["x"]
    # Rounding in the mean of a constant is divided by itself at most.
    assert np.abs(fixed[:, constant]).max() <= 1
    np.testing.assert_allclose(fixed[:, ~constant].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(fixed[:, ~constant].std(0), 1, rtol=1e-5)
    assert "input_not_standardized" not in names(keras_winit.diagnose(model, fixed))


def test_layers_off_by_a_little_are_no_misfits():
    signal = with_misfit(signal_of(False), 1 / 1.45**3)  # and 24 of them would make 1e-4
    signal = replace(signal, layers=signal.layers[:3] * 8 + signal.layers[3:])
    assert severity("vanishing_signal", signal) == "warning"
    assert severity("mismatched_activation", signal) is None


def test_units_of_samples_that_are_alike_may_be_off_together():
    signal = with_dead(signal_of(False), 0.6)
    output = signal.layers[1].output
    assert severity("dead_units", signal) == "error"
    # Half of 32 units are off by chance for all samples, four standard errors more at most.
    alike = changed(
        signal, 1, preactivation={"common": signal.layers[1].preactivation.second_moment}
    )
    assert severity("dead_units", alike) is None
    assert severity("dead_units", changed(alike, 1, output={"dead": 1.0, "zero": 1.0})) == "error"
    assert output.num_samples == 96


def test_units_that_are_on_for_some_positions_are_not_dead_for_zeros_in_the_data():
    signal = changed(signal_of(False), 1, output={"dead": 0.1, "zero": 0.9})
    assert severity("dead_units", signal) is None


def test_normalization_takes_any_input_and_starts_the_signal_anew():
    signal = signal_of(False)
    for rule, change in [
        ("input_not_standardized", with_input(signal, 1e5)),
        ("vanishing_signal", with_signal(signal, 1e-3)),
        ("exploding_gradient", with_gradient(signal, 300)),
    ]:
        assert severity(rule, change) is not None
        assert severity(rule, changed(change, 0, normalized=True)) is None


def test_a_signal_that_gets_smaller_is_no_matter_where_images_come_out():
    signal = replace(signal_of(False), gives_images=True)
    assert severity("vanishing_signal", with_signal(signal, 1e-3)) is None
    assert severity("vanishing_signal", with_signal(signal, 1e-6)) == "error"
    assert severity("exploding_signal", with_signal(signal, 1e3)) == "warning"
    hidden = [layers.Conv2D(16, 3, padding="same", activation="silu") for _ in range(8)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *hidden, layers.Conv2D(1, 3)])
    for scheme in ("keras", "suggested"):
        keras_winit.initialize(model, scheme, seed=0)
        assert keras_winit.diagnose(model).signal.gives_images
        assert "vanishing_signal" not in names(keras_winit.diagnose(model))


def test_size_of_gates_and_of_what_attention_multiplies_is_no_signal():
    large = {"output": {"second_moment": 1e9}}
    gate = changed(signal_of(False), 0, **large)
    query = changed(changed(signal_of(True), 0, **large), 2, branch=None)
    assert severity("vanishing_signal", gate) == "error"
    assert severity("vanishing_signal", changed(gate, 0, activation="sigmoid")) is None
    assert [layer.name for layer in query.layers[:3]] == ["query", "key", "value"]
    assert severity("vanishing_signal", query) is None


def test_signal_vanishes_in_no_branch_beside_a_shortcut():
    signal = with_signal(signal_of(False), 1e-9)
    branch = Branch(number=0, depth=2, normalized=False, is_zero=False, is_last=False)
    assert severity("vanishing_signal", changed(signal, 2, branch=branch)) is None
    signal = changed(with_signal(signal_of(False), 1e9), 2, branch=branch)
    assert severity("exploding_signal", signal) == "error"


def patches(stddev, stem=0.02):
    """A transformer without labels, whose first layer gives little: a normalization follows."""
    inputs = keras.Input((16, 48))
    x = layers.Dense(64, kernel_initializer=normal(stem))(inputs)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 32)(y, y)
        y = layers.LayerNormalization()(x)
        y = layers.Dense(128, "gelu", kernel_initializer=normal(stddev))(y)
        x = x + layers.Dense(64, kernel_initializer=normal(0.02))(y)
    return keras.Model(inputs, layers.LayerNormalization()(x)), None, None, None


@pytest.mark.parametrize(("stddev", "expected"), [(0.125, []), (100.0, ["exploding_signal"])])
def test_a_normalization_starts_the_signal_anew(stddev, expected):
    assert names(look(patches(stddev))) == expected


def test_what_a_normalization_gives_is_of_unit_size():
    anew = changed(with_signal(signal_of(False), 1e3), 2, is_anew=True)
    moment = anew.layers[2].output.second_moment
    assert severity("exploding_signal", anew) == "warning"
    large = {"second_moment": 1e6 * moment}
    larger = changed(changed(anew, 0, output=large), 1, output=large)
    assert severity("exploding_signal", larger) == "warning"
    assert severity("vanishing_signal", larger) is None
    assert severity("vanishing_signal", changed(larger, 2, is_anew=False)) == "error"


def test_what_is_behind_a_normalization_is_compared_with_unit_size_or_what_takes_it():
    for taken, then, rule in (
        (1e-3, 1.0, None),
        (1e-3, 1e3, "exploding_signal"),
        (1e3, 1.0, None),
        (1.0, 1e-3, "vanishing_signal"),
        (1e-3, 1e-3, None),
    ):
        signal = changed(signal_of(False), 0, output={"second_moment": 1e-2})
        signal = changed(signal, 1, is_anew=True, output={"second_moment": taken})
        signal = changed(signal, 2, output={"second_moment": then})
        behind = [each for each in judge(signal) if each.layer == signal.layers[2].layer]
        assert [each.rule for each in behind] == ([rule] if rule else [])


def test_what_is_normalized_before_a_kernel_takes_it_may_be_small_but_not_nothing():
    for ratio, expected in ((1e-3, None), (1e-7, "error")):
        signal = with_signal(signal_of(False), ratio)
        assert severity("vanishing_signal", signal) is not None
        later = changed(signal, 2, is_normalized_later=True)
        assert severity("vanishing_signal", later) == expected


def test_layers_that_take_another_input_are_not_compared_with_the_first():
    signal = with_signal(signal_of(False), 1e3)
    assert severity("exploding_signal", signal) == "warning"
    assert severity("exploding_signal", changed(signal, 2, is_first_map=True)) is None


def test_gradient_is_that_of_the_largest_of_all_that_take_embeddings():
    signal = changed(with_gradient(signal_of(False), 1e-6), 0, is_first=False, is_first_map=True)
    assert severity("vanishing_gradient", signal) == "error"
    assert severity("vanishing_gradient", changed(signal, 1, is_first_map=True)) is None


def test_gradient_of_branches_is_beside_that_of_all_that_nothing_comes_behind():
    """As of a router, and of the experts that it chooses among."""
    signal = changed(with_gradient(signal_of(False), 1e3), 3, is_output=False, is_last=True)
    assert severity("exploding_gradient", signal) == "warning"
    large = {"gradient": signal.layers[0].gradient, "is_last": True}
    both = changed(signal, 2, **large)
    assert severity("exploding_gradient", both) is None
    router = changed(both, 3, activation="softmax", gradient=1e-9)
    assert severity("exploding_gradient", router) is None


def test_probabilities_are_alike_without_the_samples_being_so():
    signal = with_cosine(signal_of(False), 1.0)
    assert severity("samples_alike", signal) == "error"
    assert severity("samples_alike", changed(signal, 2, activation="softmax")) is None


def test_samples_of_a_network_of_branches_are_alike_where_its_outputs_are():
    signal = with_cosine(signal_of(False), 1.0)
    (output,) = signal.outputs
    for common, expected in ((0.1, None), (1.0, "error")):
        outputs = (replace(output, second_moment=1.0, common=common),)
        branches = replace(changed(signal, 3, is_output=False), outputs=outputs)
        kept = replace(branches, layers=branches.layers[:3])
        assert severity("samples_alike", kept) == expected


def test_dropout_behind_features_is_no_fault():
    model, x, y, loss = followed(with_(layers.Dropout, 0.1))
    assert names(keras_winit.diagnose(model, x, y, loss=loss)) == ["dropout_at_output"]
    assert keras_winit.diagnose(model, x).findings == ()


def test_gradient_is_that_of_the_largest_of_several_outputs():
    signal = with_gradient(signal_of(False), 1e4)
    other = replace(signal.layers[3], gradient=signal.layers[0].gradient)
    assert severity("exploding_gradient", signal) == "error"
    for layers_ in ((other, *signal.layers[3:]), (*signal.layers[3:], other)):
        both = replace(signal, layers=(*signal.layers[:3], *layers_))
        assert severity("exploding_gradient", both) is None


def test_no_gradient_is_expected_behind_an_output_that_starts_at_zero():
    signal = with_gradient(signal_of(False), 0.0)
    assert severity("vanishing_gradient", signal) == "error"
    zeros = {"second_moment": 0.0, "repeated": 1.0}
    assert severity("vanishing_gradient", changed(signal, 3, kernel=zeros)) is None


def test_loss_is_no_finding_where_its_cause_is_one():
    loss = with_loss(signal_of(False), 50.0)
    assert severity("initial_loss", loss) == "warning"
    for cause in (
        with_input(loss, 1e5),
        with_signal(loss, 1e7),
        with_loss(loss, 50, from_logits=False),
    ):
        assert judge(cause)
        assert severity("initial_loss", cause) is None


def test_loss_far_beyond_chance_is_an_error():
    noise_of_logits = math.exp(1.5 * math.sqrt(5 / 64 + 3 * 5 / 32))
    limit = math.log(10) * (1 + 10 * noise_of_logits)
    found = [severity("initial_loss", with_loss(signal_of(False), limit * x)) for x in (0.99, 1.01)]
    assert found == ["warning", "error"]


def test_tokens_of_branches_alone_are_fixed_by_weights():
    signal = of_attention(4, "token_cosine")(None, 1.0)
    for change, action in [({}, Action("initialize")), ({"branch": None}, None)]:
        (finding,) = judge(changed(signal, 4, **change))
        assert (finding.rule, finding.action) == ("tokens_alike", action)


def test_wrong_fan_is_told_only_where_it_is_the_cause():
    # The signal vanishes, and these variances are too large.
    assert severity("wrong_fan", with_variance(signal_of(False), 4.0)) is None


def test_wrong_fan_explains_why_a_variance_does_not_fit():
    signal = with_misfit(signal_of(False), 1e-3)
    assert severity("mismatched_activation", signal) == "warning"
    for place in range(3):
        moment = signal.layers[place].kernels[0].second_moment
        asked = {"asked": 10 * moment, "asked_by_keras": moment}
        signal = changed(signal, place, kernel=asked)
    assert severity("wrong_fan", signal) == "warning"
    assert severity("mismatched_activation", signal) is None


def test_signal_that_fans_explain_in_part_vanishes_as_well():
    for factor, expected in [(1 / 16, None), (1 / 4, "warning")]:
        signal = with_variance(signal_of(False), factor)  # of 1 / 1000 they explain its square
        assert severity("wrong_fan", signal) == "warning"
        assert severity("vanishing_signal", signal) == expected


def test_signal_that_vanishes_in_dead_units_is_told_of_with_them():
    dead = {"second_moment": 0.0, "dead": 1.0, "zero": 1.0}
    signal = changed(signal_of(False), 2, output=dead)
    assert (severity("dead_units", signal), severity("vanishing_signal", signal)) == ("error", None)
    half = with_dead(with_signal(signal_of(False), 1e-6), 0.3)
    assert severity("dead_units", half) == "warning"
    assert severity("vanishing_signal", half) == "error"


@pytest.mark.parametrize(
    ("cause", "consequence", "by_signal", "by_gradient"),
    [
        ("vanishing_signal", "vanishing_gradient", {"error": 1e-6, "warning": 1e-2}, 1e-6),
        ("exploding_signal", "exploding_gradient", {"error": 1e6, "warning": 1e2}, 1e6),
    ],
)
def test_gradient_is_told_of_where_it_is_worse_than_the_signal(
    cause, consequence, by_signal, by_gradient
):
    for worse, ratio in by_signal.items():
        signal = with_gradient(with_signal(signal_of(False), ratio), by_gradient)
        assert severity(cause, signal) == worse
        assert severity(consequence, signal) == (None if worse == "error" else "error")


def test_gradient_vanishes_in_spite_of_a_fan_that_makes_the_signal_explode():
    signal = with_gradient(with_variance(signal_of(False), 4.0), 1e-6)
    signal = with_signal(signal, 1e7)
    assert severity("wrong_fan", signal) == "error"
    assert severity("vanishing_gradient", signal) == "error"


def test_samples_are_alike_where_the_outputs_are_so_too():
    signal = with_cosine(signal_of(False), 1.0)
    assert severity("samples_alike", signal) == "error"
    output = {"common": signal.layers[3].preactivation.second_moment / 2}
    assert severity("samples_alike", changed(signal, 3, preactivation=output)) is None


def test_a_cosine_of_nearly_zero_has_no_sign():
    signal = with_cosine(signal_of(False), 1.0)
    first = signal.layers[0].preactivation
    common = (1 - 0.001 * (first.num_samples - 1)) / first.num_samples * first.second_moment
    (finding,) = judge(changed(signal, 0, preactivation={"common": common}))
    assert "their mean cosine is 0.00 at" in finding.message


def test_input_that_was_drawn_is_not_judged():
    signal = with_input(signal_of(False), 1e5)
    assert severity("input_not_standardized", replace(signal, is_drawn=True)) is None


def test_zeros_are_meant_where_what_is_next_to_them_varies():
    zeros = {"second_moment": 0.0, "repeated": 1.0}
    inside = changed(signal_of(False), 1, kernel={**zeros, "gradient": 0.0})
    learns = changed(signal_of(False), 1, kernel={**zeros, "gradient": 0.1})
    output = changed(signal_of(False), 3, kernel={**zeros, "gradient": 0.0})
    found = [severity("identical_units", each) for each in (inside, learns, output)]
    assert found == ["error", None, None]


def test_of_one_class_alone_no_frequencies_are_known():
    one_class = with_loss(signal_of(False), 2.0, best=0.0, prior=(1.0,))
    assert severity("class_prior", one_class) is None


def test_prior_is_set_where_the_output_takes_it():
    signal = with_prior(signal_of(False), 1.6)
    actions = {
        activation: next(
            each.action
            for each in judge(changed(signal, 3, activation=activation))
            if each.rule == "class_prior"
        )
        for activation in (None, "relu")
    }
    assert actions == {None: Action("prior"), "relu": None}


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"kernel": {"second_moment": math.nan}}, 1, "A value of {layer}/kernel is not finite"),
        ({"output": {"second_moment": math.inf}}, 2, "The signal at {layer} is not finite"),
        ({"gradient": math.inf}, 2, "The gradient at {layer} is not finite"),
    ],
)
def test_only_the_first_number_that_is_not_finite_is_named(change, place, message):
    signal = changed(signal_of(False), 0, gradient=math.nan)
    signal = changed(signal, place, **change)
    (finding,) = judge(signal)
    layer = signal.layers[place].layer
    assert finding.layer == layer
    assert finding.message.startswith(message.format(layer=layer))


def test_loss_that_is_not_finite_is_named():
    (finding,) = judge(with_loss(signal_of(False), math.inf))
    assert finding.message.startswith("The loss is not finite")


def test_errors_come_first_and_causes_before_what_comes_of_them():
    signal = with_cosine(with_gradient(signal_of(False), 1e-9), 1.0)
    signal = with_loss(changed(signal, 1, kernel={"twin": "other/kernel"}), 5.0)
    found = [(each.severity, each.rule) for each in judge(signal)]
    assert found == [
        ("error", "samples_alike"),
        ("error", "vanishing_gradient"),
        ("warning", "twin_kernels"),
        ("warning", "initial_loss"),
    ]


def test_800_layers_are_judged():
    signal = signal_of(False)
    hidden = [replace(signal.layers[1], layer=f"layer_{number}") for number in range(800)]
    kernel = replace(hidden[0].kernels[0], second_moment=1e3)
    hidden = [replace(layer, kernels=(kernel,)) for layer in hidden]
    last = replace(hidden[-1], output=replace(hidden[-1].output, second_moment=1e300))
    signal = replace(signal, layers=(signal.layers[0], *hidden[:-1], last, signal.layers[-1]))
    found = [each.rule for each in judge(signal)]
    assert found == ["exploding_signal", "mismatched_activation"]
