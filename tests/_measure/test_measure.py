import math
import random

import keras
import numpy as np
import pytest

from keras_winit._measure.batch import take
from keras_winit._measure.measure import measure
from keras_winit._network.network import Network
from keras_winit._random import distributions

layers = keras.layers
losses = keras.losses


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def normal(*shape, seed=0, mean=0.0):
    return np.random.default_rng(seed).normal(mean, size=shape).astype("float32")


def measured(model, x=None, y=None, loss=None):
    network = Network(model)
    return measure(network, take(network, x, y), loss)


def by_name(signal):
    return {layer.name: layer for layer in signal.layers}


def set_normal(model, scale=1.0):
    """Gives every weight, biases included, normal values."""
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(scale * rng.normal(size=weight.shape) / math.sqrt(weight.shape[0]))


def check_summary(found, x, rtol=1e-5):
    """Compares a `Summary` with NumPy in float64; units are along the last axis."""
    x = np.asarray(x, "float64")
    samples = x.reshape(len(x), -1)
    second_moment = (x**2).mean()
    expected = {
        "largest": np.abs(x).max(),
        "mean": x.mean(),
        "second_moment": second_moment,
        "common": (samples.mean(0) ** 2).mean(),
        "variance": x.var(),
        "zero": (x == 0).mean(),
        "dead": (np.abs(x).reshape(-1, x.shape[-1]).max(0) <= 1e-5 * np.abs(x).max()).mean(),
        "between_samples": samples.var(0).mean() / x.var(),
        "num_samples": len(x),
    }
    if len(x) > 1:
        products = samples @ samples.T
        pairs = products[~np.eye(len(x), dtype=bool)]
        expected["cosine"] = pairs.mean() / np.diag(products).mean()
    found = {name: getattr(found, name) for name in expected}
    atol = 1e-5 * math.sqrt(second_moment)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol, atol)


@pytest.fixture(scope="module")
def small():
    """A network with its batch, and all that is to be measured, by hand in float64."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(7, "tanh", name="first"),
            layers.Dense(4, "relu", name="second"),
            layers.Dense(3, name="last"),
        ]
    )
    set_normal(model, 1.5)
    x, y = normal(12, 5, seed=1, mean=0.3), np.arange(12) % 3
    w1, b1, w2, b2, w3, b3 = (each.astype("float64") for each in model.get_weights())
    z1 = x @ w1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ w2 + b2
    a2 = np.maximum(z2, 0)
    z3 = a2 @ w3 + b3
    exponentials = np.exp(z3)
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    loss = -np.log(probabilities[np.arange(12), y]).mean()
    d3 = (probabilities - np.eye(3)[y]) / 12
    d2 = d3 @ w3.T * (z2 > 0)
    d1 = d2 @ w2.T * (1 - a1**2)
    return {
        "model": model,
        "x": x,
        "y": y,
        "kernels": (w1, w2, w3),
        "preactivations": (z1, z2, z3),
        "outputs": (a1, a2, z3),
        "gradients": (d1, d2, d3),
        "kernel_gradients": (x.T @ d1, a1.T @ d2, a2.T @ d3),
        "loss": loss,
    }


@pytest.fixture(scope="module")
def small_signal(small):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return measured(small["model"], small["x"], small["y"], loss)


def test_signal_of_each_layer_agrees_with_numpy(small, small_signal):
    assert [layer.name for layer in small_signal.layers] == ["first", "second", "last"]
    for layer, z, a in zip(
        small_signal.layers, small["preactivations"], small["outputs"], strict=True
    ):
        check_summary(layer.preactivation, z)
        check_summary(layer.output, a)
        assert np.isin(layer.sample.round(3), a.astype("float32").round(3)).mean() > 0.9
        assert len(layer.sample) == min(a.size, 256)
        centered, first = (each - each.mean(0) for each in (a, small["outputs"][0]))
        squares = np.linalg.svd(centered, compute_uv=False) ** 2
        np.testing.assert_allclose(layer.rank, squares.sum() ** 2 / (squares**2).sum(), 1e-5)
        products = [(each @ each.T).ravel() for each in (centered, first)]
        cosine = products[0] @ products[1] / math.prod(map(np.linalg.norm, products))
        np.testing.assert_allclose(layer.alignment, cosine, 1e-5)


def test_gradients_agree_with_backpropagation_by_hand(small, small_signal):
    for layer, gradient, of_kernel in zip(
        small_signal.layers, small["gradients"], small["kernel_gradients"], strict=True
    ):
        np.testing.assert_allclose(layer.gradient, np.linalg.norm(gradient), rtol=1e-4)
        np.testing.assert_allclose(layer.kernels[0].gradient, np.linalg.norm(of_kernel), rtol=1e-4)


def test_kernels_agree_with_numpy(small, small_signal):
    for layer, kernel in zip(small_signal.layers, small["kernels"], strict=True):
        (found,) = layer.kernels
        assert found.shape == kernel.shape
        assert (found.fan_in, found.fan_out) == kernel.shape
        np.testing.assert_allclose(found.mean, kernel.mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.second_moment, (kernel**2).mean(), rtol=1e-5)
        np.testing.assert_allclose(found.norm, np.linalg.norm(kernel), rtol=1e-5)
        assert (found.repeated, found.twin) == (0, None)
        np.testing.assert_allclose(found.asked, 2 / sum(kernel.shape))


def test_what_a_constraint_leaves_of_a_kernel_agrees_with_numpy():
    kernels = [
        layers.Dense(5, kernel_constraint=keras.constraints.MaxNorm(0.1)),
        layers.Dense(3, kernel_constraint=keras.constraints.NonNeg()),
        layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((4,)), *kernels])
    set_normal(model)
    first, second, third = [layer.kernels[0] for layer in measured(model).layers]
    kernel = keras.ops.convert_to_numpy(kernels[0].kernel)
    norms = np.sqrt((kernel**2).sum(0))
    left = np.sqrt((np.minimum(norms, 0.1) ** 2).sum())
    np.testing.assert_allclose(first.constrained, left / np.linalg.norm(kernel), rtol=1e-4)
    kernel = keras.ops.convert_to_numpy(kernels[1].kernel)
    left = np.linalg.norm(np.maximum(kernel, 0))
    np.testing.assert_allclose(second.constrained, left / np.linalg.norm(kernel), rtol=1e-4)
    assert third.constrained is None
    kernels[0].trainable = False
    assert measured(model).layers[0].kernels[0].constrained is None


def test_the_rest_agrees_with_numpy(small, small_signal):
    signal, x = small_signal, small["x"].astype("float64")
    assert (signal.batch_size, signal.is_drawn, signal.not_reached) == (12, False, ())
    assert signal.problem is None
    (found,) = signal.inputs
    np.testing.assert_allclose((found.mean, found.second_moment), (x.mean(), (x**2).mean()))
    assert (found.shape, found.is_tokens) == ((12, 5), False)
    (output,) = signal.outputs
    check_summary(output, small["outputs"][-1])
    np.testing.assert_allclose(signal.loss.value, small["loss"], rtol=1e-5)
    np.testing.assert_allclose(signal.loss.uniform, math.log(3))
    first, second, last = signal.layers
    assert (first.is_first, second.is_first, last.is_first) == (True, False, False)
    assert (first.is_output, second.is_output, last.is_output) == (False, False, True)
    assert [layer.activation for layer in signal.layers] == ["tanh", "relu", None]
    saturated = np.abs(small["outputs"][0]) > 0.97
    np.testing.assert_allclose(first.saturated, saturated.mean())
    assert second.saturated is None


def test_without_labels_the_gradient_is_that_of_a_random_projection(small):
    model, x = small["model"], small["x"]
    signal = measured(model, x)
    assert signal.loss is None
    direction = distributions.normal((12, 3), seed=0, purpose="projection") / math.sqrt(12)
    np.testing.assert_allclose(signal.layers[-1].gradient, np.linalg.norm(direction), rtol=1e-5)
    by_second = direction @ small["kernels"][2].T * (small["preactivations"][1] > 0)
    np.testing.assert_allclose(signal.layers[1].gradient, np.linalg.norm(by_second), rtol=1e-4)


def test_losses_that_layers_add_are_part_of_the_gradient():
    class Penalty(layers.Layer):
        def call(self, x):
            self.add_loss(3 * keras.ops.mean(keras.ops.square(x)))
            return x

    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, name="first"), Penalty()])
    model.compile(loss=lambda y, outputs: 0 * outputs)
    x = normal(8, 5)
    signal = measured(model, x, normal(8, 3))
    kernel, bias = model.get_weights()
    by_output = 6 * (x @ kernel + bias) / (8 * 3)
    np.testing.assert_allclose(signal.layers[0].gradient, np.linalg.norm(by_output), rtol=1e-4)
    assert signal.loss.value == pytest.approx(0, abs=1e-6)


def test_gradient_by_a_convolution_agrees_with_finite_differences():
    model = keras.Sequential(
        [
            keras.Input((5, 4, 2)),
            layers.Conv2D(3, (3, 2), activation="tanh", name="convolution"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    set_normal(model)
    x, y = normal(4, 5, 4, 2), normal(4, 1, seed=1)
    layer = by_name(measured(model, x, y, "mean_squared_error"))["convolution"]
    kernel, bias, last, last_bias = (each.astype("float64") for each in model.get_weights())

    def windows(x):
        return np.stack([x[:, i : i + 3, j : j + 2] for i in range(3) for j in range(3)], 1)

    def preactivation(kernel):
        z = np.einsum("npabc,abcd->npd", windows(x.astype("float64")), kernel) + bias
        return z.reshape(4, 3, 3, 3)

    def loss(z):
        output = np.tanh(z).reshape(4, -1) @ last + last_bias
        return ((output - y) ** 2).mean()

    def differences(function, at):
        gradient = np.zeros_like(at)
        for place in np.ndindex(at.shape):
            step = np.zeros_like(at)
            step[place] = 1e-5
            gradient[place] = (function(at + step) - function(at - step)) / 2e-5
        return gradient

    z = preactivation(kernel)
    check_summary(layer.preactivation, z)
    check_summary(layer.output, np.tanh(z))
    np.testing.assert_allclose(layer.gradient, np.linalg.norm(differences(loss, z)), rtol=1e-4)
    by_kernel = differences(lambda kernel: loss(preactivation(kernel)), kernel)
    np.testing.assert_allclose(layer.kernels[0].gradient, np.linalg.norm(by_kernel), rtol=1e-4)
    assert (layer.kernels[0].fan_in, layer.kernels[0].fan_out) == (12, 18)


# Closed forms, for wide layers.


def stack(depth, activation, initializer, width=256):
    keras.utils.set_random_seed(1)
    hidden = [
        layers.Dense(width, activation, kernel_initializer=initializer()) for _ in range(depth)
    ]
    return keras.Sequential([keras.Input((width,)), *hidden])


def gaussian(samples, width):
    """Returns samples of second moment 1 whose inner products are zero."""
    q, _ = np.linalg.qr(normal(width, samples, seed=3))
    return (q.T * math.sqrt(width)).astype("float32")


def test_he_keeps_the_second_moment_of_relu_at_two():
    depth, width = 12, 256
    signal = measured(stack(depth, "relu", keras.initializers.HeNormal, width), gaussian(64, width))
    for number, layer in enumerate(signal.layers, start=1):
        # Of the logarithm, for the weights of all layers so far.
        error = 4 * math.sqrt(5 * number / width)
        assert abs(math.log(layer.preactivation.second_moment / 2)) <= error
        # Half of the units of a sample are off; samples become alike with depth.
        assert layer.output.zero == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(width))
        ratio = layer.output.second_moment / layer.preactivation.second_moment
        assert ratio == pytest.approx(0.5, abs=4 * math.sqrt(5 / 4 / width))


def test_cosines_follow_the_map_of_relu():
    signal = measured(stack(10, "relu", keras.initializers.HeNormal, 1024), gaussian(24, 1024))
    cosine = 0.0
    for layer in signal.layers:
        angle = math.acos(cosine)
        assert layer.preactivation.cosine == pytest.approx(cosine, abs=0.03)
        cosine = (math.sin(angle) + cosine * (math.pi - angle)) / math.pi
        assert layer.output.cosine == pytest.approx(cosine, abs=0.03)
    assert cosine == pytest.approx(0.871, abs=1e-3)


def test_tanh_keeps_its_signal_at_its_gain():
    def critical():
        return keras.initializers.VarianceScaling(1 / 0.394294, distribution="untruncated_normal")

    signal = measured(stack(8, "tanh", critical, 512), gaussian(64, 512))
    assert signal.layers[0].preactivation.second_moment == pytest.approx(1 / 0.394294, rel=0.1)
    # From there on the size settles where E tanh² stands in a fixed ratio to it.
    for layer in signal.layers[1:]:
        nodes, weights = np.polynomial.hermite_e.hermegauss(61)
        size = math.sqrt(layer.preactivation.second_moment)
        wanted = (weights @ np.tanh(size * nodes) ** 2) / weights.sum()
        assert layer.output.second_moment == pytest.approx(wanted, rel=0.05)
        saturated = math.erfc(math.atanh(0.97) / size / math.sqrt(2))
        assert layer.saturated == pytest.approx(saturated, abs=0.02)


def test_residual_blocks_double_the_signal():
    keras.utils.set_random_seed(2)
    width, depth = 512, 8
    x = inputs = keras.Input((width,))
    for _ in range(depth):
        branch = layers.Dense(width, kernel_initializer="lecun_normal")(x)
        x = layers.Add()([x, branch])
    signal = measured(keras.Model(inputs, x), gaussian(64, width))
    for number, layer in enumerate(signal.layers):
        error = 4 * math.sqrt(2 * (number + 1) / width)
        assert abs(math.log(layer.preactivation.second_moment / 2**number)) <= error
    (output,) = signal.outputs
    assert abs(math.log(output.second_moment / 2**depth)) <= 4 * math.sqrt(2 * depth / width)


def test_gradients_of_relu_keep_their_norm_with_he_by_the_outputs():
    def by_outputs():
        return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")

    signal = measured(stack(10, "relu", by_outputs, 512), gaussian(64, 512))
    last = signal.layers[-1].gradient
    for number, layer in enumerate(reversed(signal.layers)):
        assert abs(math.log((layer.gradient / last) ** 2)) <= 4 * math.sqrt(5 * number / 512) + 0.01


def test_units_that_are_off_for_all_samples_are_dead():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(10, "relu"), layers.Dense(2)])
    kernel, bias, *rest = model.get_weights()
    bias[:4], bias[4:] = -1e3, 1e3
    model.set_weights([kernel, bias, *rest])
    first = measured(model, normal(20, 6)).layers[0]
    assert (first.output.dead, first.output.zero) == pytest.approx((0.4, 0.4))
    assert first.preactivation.dead == 0


# The model is left as it was.


class Noisy(keras.Model):
    """Draws random numbers in and outside of layers, adds losses and remembers tensors."""

    def __init__(self, fails=False):
        super().__init__(name="noisy")
        self.fails = fails
        self.dense = layers.Dense(6, activation=layers.PReLU())
        self.dropout = layers.Dropout(0.3)
        self.noise = layers.GaussianNoise(0.1, seed=3)
        self.seed = keras.random.SeedGenerator(7)
        self.remembered = [None]
        self.normalization = layers.BatchNormalization()
        self.regularized = layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l2")

    def call(self, x, training=False):
        x = self.normalization(self.dense(x), training=training)
        x = self.noise(self.dropout(x, training=training), training=training)
        x = x + 0.01 * keras.random.normal(keras.ops.shape(x), seed=self.seed)
        self.remembered[0] = x
        self.add_loss(keras.ops.mean(x))
        if self.fails:
            raise ValueError("fails in the middle")
        return self.regularized(x)


class Failing(layers.Dense):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fails = False

    def call(self, x):
        if self.fails:
            raise ArithmeticError("fails in the middle")
        return super().call(x)


def noisy():
    keras.utils.set_random_seed(0)
    model = Noisy()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(normal(8, 4), normal(8, 3), verbose=0)
    return model


def state(model):
    """Returns all that a measurement might change, as values that can be compared."""
    everything = list(model._flatten_layers())
    everything += [op for each in everything for op in getattr(each, "operations", ())]
    values = [np.array(keras.ops.convert_to_numpy(each)) for each in model.variables]
    values += [np.array(keras.ops.convert_to_numpy(each)) for each in model.metrics_variables]
    if getattr(model, "optimizer", None):
        values += [keras.ops.convert_to_numpy(each) for each in model.optimizer.variables]
    attributes = [
        {
            name: (
                id(value),
                list(map(id, value)) if isinstance(value, (list, dict, set)) else None,
            )
            for name, value in vars(each).items()
        }
        for each in everything
    ]
    generator = np.random.mtrand._rand  # that of `np.random.normal` and the like
    sources = repr([random.getstate(), generator.get_state(), _backend_state()])
    return values, attributes, sources, [each.trainable for each in everything]


def _backend_state():
    if keras.backend.backend() == "torch":
        import torch

        return torch.get_rng_state().numpy().tobytes()
    return None


def check_same(before, after):
    for old, new in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(before[1], after[1], strict=True):
        assert old == new
    assert before[2:] == after[2:]


@pytest.mark.parametrize("labels", [None, normal(8, 3)])
def test_the_model_is_left_as_it_was(labels):
    model = noisy()
    before = state(model)
    measured(model, normal(8, 4), labels)
    check_same(before, state(model))
    history = model.fit(normal(8, 4), normal(8, 3), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.predict(normal(8, 4), verbose=0).shape == (8, 3)


def test_the_first_measurement_leaves_no_random_state_behind():
    for build in (noisy, noisy):
        keras.utils.set_random_seed(4)
        model = build()
        first = measured(model, normal(8, 4))
        second = measured(model, normal(8, 4))
        assert first.outputs == second.outputs


def test_the_model_is_left_as_it_was_after_an_exception_in_a_layer():
    model = noisy()
    before = state(model)
    model.fails = True
    with pytest.raises(ValueError, match="fails in the middle"):
        measured(model, normal(8, 4))
    model.fails = False
    check_same(before, state(model))


def test_the_model_is_left_as_it_was_after_an_exception_inside_of_a_kernel():
    layer = Failing(5, activation="relu")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, "tanh"), layer, layers.Dense(2)])
    before = state(model)
    layer.fails = True
    with pytest.raises(ArithmeticError, match="fails in the middle"):
        measured(model, normal(8, 4))
    layer.fails = False
    check_same(before, state(model))
    assert model.predict(normal(8, 4), verbose=0).shape == (8, 2)


def test_the_model_is_left_as_it_was_after_an_exception_in_the_loss():
    def loss(y, outputs):
        raise ArithmeticError("fails in the loss")

    model = noisy()
    before = state(model)
    with pytest.raises(ArithmeticError, match="fails in the loss"):
        measured(model, normal(8, 4), normal(8, 3), loss)
    check_same(before, state(model))
    with pytest.raises(ValueError, match="`y` should fit the loss"):
        measured(model, normal(8, 4), normal(8, 2))
    check_same(before, state(model))
    model.fit(normal(8, 4), normal(8, 3), verbose=0)


# What has no answer.


def test_a_model_without_kernels_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(), layers.ReLU()])
    with pytest.raises(ValueError, match="should have a layer with a kernel. Received: model="):
        measured(model, normal(8, 4))


def test_a_batch_that_a_subclassed_model_does_not_take_is_named():
    model = noisy()
    with pytest.raises(
        ValueError, match=r"`x` should be a batch that model 'noisy' takes.*\(8, 7\)"
    ):
        measured(model, normal(8, 7))


def test_a_model_that_does_not_run_in_training_mode_is_named():
    class Refusing(keras.Model):
        """A network that trains by another way, as consistency models do."""

        def __init__(self):
            super().__init__(name="refusing")
            self.dense = layers.Dense(3)

        def call(self, x, training=False):
            if training:
                raise NotImplementedError("Use `compute_loss`.")
            return self.dense(x)

    model = Refusing()
    model(normal(8, 4))
    before = state(model)
    with pytest.raises(ValueError, match="run on a batch in training mode.*'refusing'.*compute_lo"):
        measured(model, normal(8, 4))
    check_same(before, state(model))


def test_values_that_are_not_finite_show():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dense(2)])
    kernel, *rest = model.get_weights()
    kernel[1, 2] = np.nan
    model.set_weights([kernel, *rest])
    first, second = measured(model, normal(8, 4)).layers
    assert not math.isfinite(first.preactivation.second_moment)
    assert not math.isfinite(second.output.second_moment)
    assert not math.isfinite(second.kernels[0].gradient)


def test_a_signal_that_overflows_shows():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.Dense(2)])
    model.set_weights([1e30 * np.abs(each) for each in model.get_weights()])
    x = np.abs(normal(8, 4))
    first, second = measured(model, x).layers
    assert 1e50 < first.output.second_moment < 1e62
    assert not math.isfinite(second.output.second_moment)


def test_one_sample_has_no_cosine():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dense(2)])
    signal = measured(model, normal(1, 4))
    for layer in signal.layers:
        assert layer.output.cosine is None
        assert layer.output.between_samples == 0
        assert layer.gradient > 0


def test_kernels_with_the_same_values_are_twins():
    model = keras.Sequential([keras.Input((5,))] + [layers.Dense(5) for _ in range(5)])
    set_normal(model)
    first, zeros, copy, other_zeros, turned = model.layers
    copy.kernel.assign(first.kernel)
    turned.kernel.assign(np.transpose(keras.ops.convert_to_numpy(first.kernel)))
    for layer in (zeros, other_zeros):
        layer.kernel.assign(np.zeros((5, 5)))
    kernels = [layer.kernels[0] for layer in measured(model, normal(8, 5)).layers]
    assert [kernel.twin for kernel in kernels] == [None, None, first.kernel.path, None, None]
    assert [kernel.repeated for kernel in kernels] == [0, 1, 0, 1, 0]
