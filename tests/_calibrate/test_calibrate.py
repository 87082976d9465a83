import functools
import random
import re

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._activations.criticality import critical_point
from keras_winit._measure import statistics
from keras_winit._network.upstream import UPSTREAM, UPSTREAM_PAIRS, UPSTREAM_RELU
from keras_winit.initializers import ActivationScaling

layers = keras.layers
ops = keras.ops

# Draws with NumPy, where JAX would compile for each shape.
DRAWN = {"kernel_initializer": ActivationScaling}
DEPTHWISE = {"depthwise_initializer": ActivationScaling}
SEPARABLE = {**DEPTHWISE, "pointwise_initializer": ActivationScaling}
DRAWN_CELL = {**DRAWN, "recurrent_initializer": ActivationScaling}
TOLERANCE = 1e-3


def batch(*shape, samples=256, seed=0):
    return np.random.default_rng(seed).normal(0.5, 2, size=(samples, *shape)).astype("float32")


def sequential(shape, *rest):
    keras.utils.set_random_seed(0)
    return biased(keras.Sequential([keras.Input(shape), *(each() for each in rest)]))


def biased(model):
    """Returns the model with biases that are not zero."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(rng.normal(0.2, 0.4, size=weight.shape))
    return model


def dense(units, activation=None, **arguments):
    return lambda: layers.Dense(units, activation, **{**DRAWN, **arguments})


def preactivation(layer, inputs):
    """Runs a copy of a layer that has no activation."""
    config = layer.get_config()
    config |= {"activation": None} if "activation" in config else {}
    copy = type(layer).from_config(config)
    copy.build(inputs.shape)
    copy.set_weights(layer.get_weights())
    return ops.convert_to_numpy(ops.cast(copy(inputs), "float32"))


def preactivations(model, x):
    """Returns those of every layer with a kernel, by its name, for a model of symbolic tensors."""
    found, (inputs,) = {}, model.inputs
    for layer in model.layers:
        if hasattr(layer, "kernel") or hasattr(layer, "pointwise_kernel"):
            before = keras.Model(inputs, layer.input)
            found[layer.name] = preactivation(layer, before(x, training=True))
    return found


def by_unit(z):
    return z.reshape(-1, z.shape[-1])


def reasons(result):
    return {row.layer.rpartition("/")[2]: row.reason for row in result.layers}


def state(model):
    """Returns all that a run may change: values of variables and attributes of layers."""
    values = [ops.convert_to_numpy(each) for each in model.variables]
    attributes = [sorted(vars(layer)) for layer in model._flatten_layers()]
    lengths = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    return values, attributes, lengths


def assert_same(old, new):
    for before, after in zip(old[0], new[0], strict=True):
        np.testing.assert_array_equal(before, after)
    assert old[1:] == new[1:]


LAYERS = {
    "dense": ((6,), lambda: layers.Dense(12, "relu", **DRAWN)),
    "dense on a sequence": ((5, 6), lambda: layers.Dense(12, "relu", **DRAWN)),
    "dense without bias": ((6,), lambda: layers.Dense(12, "relu", use_bias=False, **DRAWN)),
    "conv1d": ((9, 3), lambda: layers.Conv1D(8, 4, strides=2, activation="tanh", **DRAWN)),
    "conv2d": ((6, 7, 3), lambda: layers.Conv2D(8, (2, 3), activation="relu", **DRAWN)),
    "grouped conv2d": ((6, 7, 4), lambda: layers.Conv2D(6, 3, groups=2, **DRAWN)),
    "depthwise": (
        (6, 7, 3),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", **DEPTHWISE),
    ),
    "separable": (
        (6, 7, 3),
        lambda: layers.SeparableConv2D(8, 3, depth_multiplier=2, **SEPARABLE),
    ),
    "transposed": (
        (5, 6, 3),
        lambda: layers.Conv2DTranspose(8, 3, strides=2, padding="same", **DRAWN),
    ),
    "einsum": (
        (5, 6),
        lambda: layers.EinsumDense("abc,cde->abde", (5, 2, 4), bias_axes="de", **DRAWN),
    ),
    "einsum with a bias per head": (
        (5, 6),
        lambda: layers.EinsumDense("abc,cde->abde", (5, 2, 4), bias_axes="d", **DRAWN),
    ),
}


@pytest.fixture(scope="module", params=["tensor", "unit", "centered"])
def calibrated(request):
    """Returns each kind of layer in a model of its own: before, after, and the result."""
    found = {}
    for name, (shape, layer) in LAYERS.items():
        model = sequential(shape, layer, layers.Flatten, dense(7, "relu"), dense(3))
        x = batch(*shape)
        before = preactivations(model, x)
        result = keras_winit.calibrate(model, x, mode=request.param)
        found[name] = before, preactivations(model, x), result
    return request.param, found


def is_per_unit(name):
    return not name.startswith("einsum")


@pytest.mark.parametrize("name", LAYERS)
def test_preactivations_are_at_their_target_on_the_calibration_half(calibrated, name):
    mode, found = calibrated
    _, after, _ = found[name]
    first, second, _ = (each[::2] for each in after.values())
    cases = [(first, is_per_unit(name), "without" not in name), (second, True, True)]
    for z, has_units, has_bias in cases:
        z = by_unit(z)
        if mode == "tensor" or not has_units or (mode == "centered" and not has_bias):
            assert np.square(z).mean() == pytest.approx(1, abs=TOLERANCE)
        elif mode == "centered":
            np.testing.assert_allclose(z.mean(0), 0, atol=TOLERANCE)
            assert z.var(0).mean() == pytest.approx(1, abs=TOLERANCE)
        elif has_bias:
            is_dead = z.std(0) < 1e-6
            np.testing.assert_allclose(z.mean(0), 0, atol=TOLERANCE)
            np.testing.assert_allclose(z.var(0)[~is_dead], 1, atol=TOLERANCE)
        else:
            np.testing.assert_allclose(np.square(z).mean(0), 1, atol=TOLERANCE)


@pytest.mark.parametrize("name", LAYERS)
def test_preactivations_are_near_their_target_on_held_out_samples(calibrated, name):
    _, found = calibrated
    _, after, _ = found[name]
    for z in [*after.values()][:2]:
        per_sample = np.square(z).reshape(len(z), -1).mean(1)
        # Both halves have an error, that of the units shifted and scaled by the same samples too.
        error = 2 * per_sample.std() * np.sqrt(2 / (len(z) / 2))
        assert per_sample[1::2].mean() == pytest.approx(per_sample[::2].mean(), abs=4 * error)


@pytest.mark.parametrize("name", LAYERS)
def test_result_tells_before_and_after_on_held_out_samples(calibrated, name):
    _, found = calibrated
    before, after, result = found[name]
    for z, row in zip(before.values(), result.layers, strict=True):
        assert row.before == pytest.approx(np.square(z[1::2]).mean(), rel=1e-4)
    for z, row in zip(after.values(), result.layers, strict=True):
        assert row.after == pytest.approx(np.square(z[1::2]).mean(), rel=TOLERANCE)
    assert result.num_samples == (128, 128)
    assert result.problem is None


def test_kernels_are_those_of_a_computation_in_numpy():
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=shape) for shape in ((7, 12), (12,), (12, 9), (9,), (9, 4), (4,))]
    model = sequential((7,), dense(12, "tanh"), dense(9, "relu"), dense(4))
    model.set_weights(weights)
    x = rng.normal(size=(40, 7))
    keras_winit.calibrate(model, x, mode="centered")
    signal = x[::2]
    for place, activation in ((0, np.tanh), (2, lambda z: np.maximum(z, 0))):
        z = signal @ weights[place]
        weights[place] = weights[place] / np.sqrt(z.var(0).mean())
        weights[place + 1] = -(signal @ weights[place]).mean(0)
        signal = activation(signal @ weights[place] + weights[place + 1])
    weights[4] = weights[4] * min(1, 1 / np.sqrt(np.square(signal @ weights[4]).mean()))
    for ours, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("mode", ["tensor", "unit", "centered"])
def test_signals_too_large_to_be_fetched_are_calibrated_alike(monkeypatch, mode, policy):
    def einsum():
        arguments = {"bias_axes": "d", "dtype": policy, **DRAWN}
        return layers.EinsumDense("abc,cde->abde", (5, 2, 4), **arguments)

    x, weights, rows = batch(5, 6), [], []
    for small in (statistics._SMALL, 0):
        monkeypatch.setattr(statistics, "_SMALL", small)
        model = sequential(
            (5, 6),
            dense(8, "relu", dtype=policy),
            einsum,
            lambda: layers.Reshape((5, 8)),
            dense(3, dtype=policy),
        )
        rows.append(keras_winit.calibrate(model, x, mode=mode).layers)
        weights.append(model.get_weights())
    tolerance = 1e-4 if policy == "float32" else 0.02
    for near, far in zip(*weights, strict=True):
        np.testing.assert_allclose(near, far, rtol=tolerance, atol=tolerance)
    for near, far in zip(*rows, strict=True):
        assert (near.mode, near.reason) == (far.mode, far.reason)
        assert near.after == pytest.approx(far.after, rel=tolerance)
        assert near.before == pytest.approx(far.before, rel=tolerance)


def relu_network():
    return sequential((6,), *(dense(units, "relu") for units in (20, 5)), dense(3))


def test_equalized_kernels_learn_at_one_speed():
    model, x = relu_network(), batch(6)
    keras_winit.calibrate(model, x, mode="unit")
    kernels = [layer.kernels[0] for layer in keras_winit.diagnose(model, x).layers]
    before = np.array([kernel.gradient / kernel.norm for kernel in kernels])
    assert before.max() / before.min() > 1.2
    assert not keras_winit.calibrate(model, x, mode="equalized").skipped
    kernels = [layer.kernels[0] for layer in keras_winit.diagnose(model, x).layers]
    ratios = np.array([kernel.gradient / kernel.norm for kernel in kernels])
    np.testing.assert_allclose(ratios / ratios.mean(), 1, atol=TOLERANCE)


def test_trading_kernels_leaves_the_outputs_as_they_are():
    x = batch(6)
    outputs, moments = [], []
    for mode in ("unit", "equalized"):
        model = relu_network()
        result = keras_winit.calibrate(model, x, mode=mode)
        outputs.append(ops.convert_to_numpy(model(x)))
        moments.append([row.after for row in result.layers])
        sizes = [np.square(z[1::2]).mean() for z in preactivations(model, x).values()]
        np.testing.assert_allclose(moments[-1], sizes, rtol=TOLERANCE)
    np.testing.assert_allclose(*outputs, atol=1e-4 * np.abs(outputs[0]).max())
    assert not np.allclose(*moments, rtol=0.05)


def test_equalizing_uses_no_labels():
    x = batch(6)
    pairs = iter([(x, np.ones(len(x)))])
    models = relu_network(), relu_network()
    for model, data in zip(models, (x, pairs), strict=True):
        keras_winit.calibrate(model, data, mode="equalized")
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(first, second)


def residual(last="activation_scaling", blocks=3, normalization=False):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = layers.Dense(12, **DRAWN, name="stem")(inputs)
    for number in range(blocks):
        y = layers.LayerNormalization()(x) if normalization else x
        y = layers.Dense(20, "relu", **DRAWN, name=f"wide_{number}")(y)
        y = layers.Dense(12, kernel_initializer=last, name=f"back_{number}")(y)
        x = layers.Add()([x, y])
    model = keras.Model(inputs, layers.Dense(3, **DRAWN, name="head")(x))
    return model if last == "zeros" else biased(model)


def frozen():
    model = relu_network()
    model.layers[1].trainable = False
    return model


def with_noise():
    model = sequential((6,), dense(20, "relu"), lambda: layers.GaussianNoise(1.0), dense(3))
    model.layers[-1].kernel.assign(0.01 * model.layers[-1].kernel)  # only traded
    return model


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (lambda: sequential((6,), dense(5, "tanh"), dense(3)), "tanh follows 'dense"),
        (lambda: sequential((6,), dense(5, "softmax"), dense(3)), "softmax follows 'dense"),
        (lambda: residual(), "no plain chain"),
        (
            lambda: sequential((6,), dense(5), layers.BatchNormalization, layers.ReLU, dense(3)),
            "no plain chain",
        ),
        (
            lambda: sequential((4, 6), lambda: layers.SimpleRNN(5, "relu", **DRAWN_CELL), dense(3)),
            "no plain chain",
        ),
        (frozen, r"'dense(_\d+)?' is to be left alone \(frozen\)"),
        (with_noise, "a change of scale changes its outputs"),
    ],
)
def test_equalized_is_refused_where_kernels_cannot_be_traded(model, problem):
    model = model()
    old = state(model)
    with pytest.raises(ValueError, match=f'plain networks of relu.*{problem}.*"auto" instead'):
        keras_winit.calibrate(model, mode="equalized")
    assert_same(old, state(model))


ACTIVATED = {
    "fused": lambda x, name: layers.Dense(20, name, **DRAWN)(x),
    "a layer": lambda x, name: layers.Activation(name)(layers.Dense(20, **DRAWN)(x)),
    "an operation": lambda x, name: getattr(ops, name)(layers.Dense(20, **DRAWN)(x)),
    "behind dropout": lambda x, name: layers.Activation(name)(
        layers.Dropout(0.2)(layers.Dense(20, **DRAWN)(x))
    ),
    "behind pooling": lambda x, name: layers.Activation(name)(
        layers.GlobalAveragePooling1D()(layers.Dense(20, **DRAWN)(layers.Reshape((2, 3))(x)))
    ),
}


@pytest.mark.parametrize("form", ACTIVATED)
@pytest.mark.parametrize(
    ("activation", "mode"),
    [("sigmoid", "centered"), ("softplus", "centered"), ("relu", "tensor"), ("tanh", "tensor")],
)
def test_auto_centers_where_an_output_would_be_mostly_its_mean(form, activation, mode):
    inputs = keras.Input((6,))
    outputs = layers.Dense(3, **DRAWN)(ACTIVATED[form](inputs, activation))
    result = keras_winit.calibrate(keras.Model(inputs, outputs))
    assert result.layers[0].mode == mode
    assert activation in result.layers[0].reason
    assert result.layers[1].mode == "output"


def test_auto_does_not_center_without_a_bias():
    model = sequential((6,), dense(20, "sigmoid", use_bias=False), dense(3))
    x = batch(6)
    result = keras_winit.calibrate(model, x)
    assert result.layers[0].mode == "tensor"
    assert "no bias" in result.layers[0].reason
    z, _ = preactivations(model, x).values()
    assert np.square(z[::2]).mean() == pytest.approx(1, abs=TOLERANCE)


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_auto_keeps_the_critical_point_where_biases_were_drawn_for_it(activation):
    model = sequential((16,), *[dense(64, activation)] * 4, dense(3))
    x = batch(16)
    assert {row.target for row in keras_winit.calibrate(model, x).layers[:4]} != {1.0}
    for layer in model.layers:
        layer.bias.assign(np.zeros(layer.bias.shape))
    targets = [row.target for row in keras_winit.calibrate(model, x).layers]
    assert targets == [pytest.approx(UPSTREAM**2), None, None, None, None]
    keras_winit.initialize(model, "critical", seed=0)
    result = keras_winit.calibrate(model, x)
    target = critical_point(activation).signal
    assert target != 1
    for z, row in zip(preactivations(model, x).values(), result.layers[:4], strict=False):
        assert row.target == target
        assert np.square(z[::2]).mean() == pytest.approx(target, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("activation", "depth", "share"),
    [("relu", 3, UPSTREAM_RELU), ("tanh", 4, UPSTREAM), ("relu", 8, UPSTREAM_PAIRS)],
)
def test_auto_makes_the_first_of_a_few_dense_layers_small_at_the_end(activation, depth, share):
    model, x = sequential((16,), *[dense(24, activation)] * depth, dense(3)), batch(16)
    keras_winit.initialize(model, seed=0)
    whole = keras.models.clone_model(model)
    whole.set_weights(model.get_weights())
    keras_winit.calibrate(whole, x, mode="tensor")
    for _ in range(2):  # the second time changes nothing
        result = keras_winit.calibrate(model, x)
        for number, (layer, other) in enumerate(zip(model.layers, whole.layers, strict=True)):
            expected = other.kernel.numpy() * (share if number == 0 else 1.0)
            np.testing.assert_allclose(layer.kernel.numpy(), expected, rtol=1e-3, atol=1e-6)
        first, *others = result.layers
        assert first.target == pytest.approx(share**2)
        assert first.reason.endswith("so that features are learned first")
        assert {row.target for row in others} == {None}
        held_out = preactivations(model, x)
        for row, z in zip(result.layers, held_out.values(), strict=True):
            assert row.after == pytest.approx(np.square(z[1::2]).mean(), rel=1e-3)


def test_auto_makes_convolutions_that_give_images_small_at_the_end():
    convolution = functools.partial(layers.Conv2D, kernel_size=3, padding="same", **DRAWN)
    hidden = [lambda n=n: convolution(n, activation="relu") for n in (8, 6, 5)]
    model, x = sequential((6, 6, 2), *hidden, lambda: convolution(1)), batch(6, 6, 2, samples=64)
    keras_winit.initialize(model, seed=0)
    whole = keras.models.clone_model(model)
    whole.set_weights(model.get_weights())
    keras_winit.calibrate(whole, x, mode="tensor")
    result = keras_winit.calibrate(model, x)
    # Outputs are made smaller where they are too large, and have been made so by `initialize`.
    for share, layer, other in zip((0.3, 0.7, 0.7, 1.0), model.layers, whole.layers, strict=True):
        np.testing.assert_allclose(
            layer.kernel.numpy(), share * other.kernel.numpy(), rtol=1e-3, atol=1e-6
        )
    assert [row.target for row in result.layers] == [pytest.approx(0.09), None, None, None]


@pytest.mark.parametrize("kind", ["deep", "normalized", "sigmoid"])
def test_auto_leaves_other_first_layers_their_size(kind):
    activation = {"deep": "relu", "normalized": "relu", "sigmoid": "sigmoid"}[kind]
    hidden = [dense(12, activation)] * (25 if kind == "deep" else 3)
    if kind == "normalized":
        hidden.insert(2, layers.LayerNormalization)
    result = keras_winit.calibrate(sequential((16,), *hidden, dense(3)), batch(16))
    assert result.layers[0].target == 1.0


def test_auto_gives_the_ends_of_residual_branches_their_share():
    model, x = residual(), batch(6)
    result = keras_winit.calibrate(model, x)
    for name, z in preactivations(model, x).items():
        target = 1 / 3 if name.startswith("back") else 1
        row = next(row for row in result.layers if row.layer.endswith(name))
        assert row.target == pytest.approx(target)
        if name != "head":
            assert np.square(z[::2]).mean() == pytest.approx(target, rel=TOLERANCE)


def test_auto_leaves_normalized_branches_their_size():
    result = keras_winit.calibrate(residual(normalization=True), batch(6))
    targets = {row.layer.rpartition("/")[2]: row.target for row in result.layers}
    assert {targets[f"wide_{number}"] for number in range(3)} == {1.0}
    assert {targets[f"back_{number}"] for number in range(3)} <= {1.0, None}


def test_branches_that_start_at_zero_stay_at_zero():
    model = residual(last="zeros")
    result = keras_winit.calibrate(model, batch(6))
    assert [row.mode for row in result.layers][2::2] == ["left alone"] * 3
    for number in range(3):
        assert not model.get_layer(f"back_{number}").kernel.numpy().any()
        assert reasons(result)[f"back_{number}"] == "its kernel gives nothing"


def test_of_attention_in_a_branch_only_the_output_gets_its_share():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 8))
    x = layers.Dense(12, **DRAWN)(inputs)
    attention = layers.MultiHeadAttention(2, 3, **DRAWN)
    x = layers.Add()([x, attention(x, x)])
    y = layers.Dense(12, **DRAWN)(layers.Dense(20, "relu", **DRAWN)(x))
    model = biased(keras.Model(inputs, layers.Dense(2, **DRAWN)(layers.Add()([x, y]))))
    data = batch(5, 8)
    result = keras_winit.calibrate(model, data)
    targets = {row.layer.rpartition("/")[2]: row.target for row in result.layers}
    assert targets["attention_output"] == 0.5
    assert {targets[name] for name in ("query", "key", "value")} == {1.0}
    signal = keras.Model(inputs, model.layers[1].output)(data[::2])
    for name in ("query", "key", "value"):
        z = preactivation(getattr(attention, f"_{name}_dense"), signal)
        assert np.square(z).mean() == pytest.approx(1, abs=TOLERANCE)
    z = ops.convert_to_numpy(attention(signal, signal))
    assert np.square(z).mean() == pytest.approx(0.5, rel=TOLERANCE)


@pytest.mark.parametrize("mode", ["auto", "tensor", "unit", "centered", "equalized"])
@pytest.mark.parametrize(("scale", "size"), [(30.0, 1.0), (0.01, None)])
def test_an_output_is_only_made_smaller_and_its_bias_stays(mode, scale, size):
    model = sequential((6,), dense(20, "relu"), dense(3))
    last = model.layers[-1]
    last.kernel.assign(scale * last.kernel)
    last.bias.assign([5.0, -5.0, 1.0])
    old = last.get_weights()
    x = batch(6)
    result = keras_winit.calibrate(model, x, mode=mode)
    kernel, bias = last.get_weights()
    if mode == "equalized":  # traded, which leaves the output as it is
        np.testing.assert_allclose(bias, old[1], rtol=1e-4)
        return
    assert result.layers[-1].mode == "output"
    np.testing.assert_array_equal(bias, old[1])
    if size is None:
        np.testing.assert_array_equal(kernel, old[0])
    else:
        z = preactivations(model, x)[last.name][::2] - bias
        assert np.square(z).mean() == pytest.approx(size, abs=TOLERANCE)


def test_a_bias_larger_than_the_target_is_made_smaller_too():
    model = sequential((6,), dense(20, "relu"), dense(3))
    model.layers[0].bias.assign(np.linspace(-5, 5, 20))
    x = batch(6)
    ratio = model.layers[0].bias.numpy() / model.layers[0].kernel.numpy()
    keras_winit.calibrate(model, x, mode="tensor")
    z = preactivations(model, x)[model.layers[0].name]
    assert np.square(z[::2]).mean() == pytest.approx(1, abs=TOLERANCE)
    np.testing.assert_allclose(
        model.layers[0].bias.numpy() / model.layers[0].kernel.numpy(), ratio, rtol=1e-4
    )


class Unknown(layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 4), name="matrix")

    def call(self, x):
        return ops.matmul(x, self.matrix)


def quantized():
    model = sequential((8,), dense(16, "relu"), dense(3))
    model.layers[0].quantize("int8")
    return model


SKIPPED = {
    "lstm": (
        lambda: sequential((4, 6), lambda: layers.LSTM(5, **DRAWN_CELL), dense(3)),
        "runs its kernels in a loop, out of sight",
    ),
    "bidirectional": (
        lambda: sequential(
            (4, 6), lambda: layers.Bidirectional(layers.GRU(5, **DRAWN_CELL)), dense(3)
        ),
        "runs its kernels in a loop, out of sight",
    ),
    "time distributed": (
        lambda: sequential(
            (4, 6), lambda: layers.TimeDistributed(layers.Dense(5, **DRAWN)), dense(3)
        ),
        "runs its kernels in a loop, out of sight",
    ),
    "embedding": (lambda: sequential((4,), lambda: layers.Embedding(9, 5), dense(3)), "embedding"),
    "normalized": (
        lambda: sequential((6,), dense(5), layers.BatchNormalization, layers.ReLU, dense(3)),
        "a normalization follows",
    ),
    "frozen": (frozen, "frozen"),
    "quantized": (quantized, "quantized to int8"),
    "unknown": (
        lambda: sequential((6,), Unknown, dense(3)),
        "Unknown is not known; use `describe_layer`",
    ),
}


@pytest.mark.parametrize("name", SKIPPED)
def test_what_cannot_be_calibrated_is_left_alone_for_a_reason(name):
    build, reason = SKIPPED[name]
    model = build()
    if name == "frozen":
        held = model.layers[1]
    else:
        held = model.layers[0]
    old = held.get_weights()
    result = keras_winit.calibrate(model)
    (row, *_) = result.skipped
    assert reason in row.reason
    assert (row.mode, row.target, row.factor) == ("left alone", None, None)
    assert row.layer.startswith(model.name)
    for before, after in zip(old, held.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_frozen_layers_are_calibrated_on_request():
    model, x = frozen(), batch(6)
    result = keras_winit.calibrate(model, x, mode="tensor", frozen=True)
    assert not result.skipped
    z = preactivations(model, x)[model.layers[1].name]
    assert np.square(z[::2]).mean() == pytest.approx(1, abs=TOLERANCE)


def test_a_layer_that_is_not_called_is_told():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = (
                layers.Dense(5, "relu", **DRAWN),
                layers.Dense(4, **DRAWN, name="unused"),
            )
            self.last = layers.Dense(3, **DRAWN)

        def build(self, shape):
            for layer, units in ((self.used, 6), (self.unused, 6), (self.last, 5)):
                layer.build((None, units))
            self.built = True

        def call(self, x):
            return self.last(self.used(x))

    model = Model()
    model.build((None, 6))
    result = keras_winit.calibrate(model, batch(6))
    assert [row.reason for row in result.skipped] == ["not called"]
    assert result.skipped[0].layer.endswith("unused")
    assert result.skipped[0].before is None


def test_a_shared_layer_is_calibrated_once_where_it_is_called_first():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    shared = layers.Dense(8, "relu", **DRAWN)
    hidden = shared(inputs)
    model = biased(keras.Model(inputs, layers.Dense(3, **DRAWN)(shared(hidden))))
    x = batch(8)
    result = keras_winit.calibrate(model, x, mode="tensor")
    assert [row.mode for row in result.layers] == ["tensor", "left alone", "output"]
    assert result.layers[1].layer == f"{result.layers[0].layer}#2"
    assert result.layers[1].reason.startswith("shared")
    first = preactivation(shared, x)
    assert np.square(first[::2]).mean() == pytest.approx(1, abs=TOLERANCE)
    second = preactivation(shared, np.maximum(first, 0))
    assert result.layers[1].after == pytest.approx(np.square(second[1::2]).mean(), rel=TOLERANCE)


class Block(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units, **DRAWN)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return ops.sigmoid(self.dense(x))


class Subclassed(keras.Model):
    def __init__(self, data_dependent=False):
        super().__init__()
        self.block, self.last = Block(12), layers.Dense(3, **DRAWN)
        self.data_dependent = data_dependent

    def call(self, x):
        if self.data_dependent and float(ops.sum(x)) == 123.0:
            x = -x
        return self.last(self.block(x))


def nested():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(12, "sigmoid", **DRAWN)])
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(3, **DRAWN)(inner(inputs))), inner.layers[0]


def subclassed():
    model = Subclassed()
    model(batch(6, samples=2))
    return model, model.block.dense


def unreadable():
    model = Subclassed(data_dependent=True)
    model(batch(6, samples=2))
    return model, model.block.dense


@pytest.mark.parametrize(
    ("build", "mode"), [(nested, "centered"), (subclassed, "centered"), (unreadable, "tensor")]
)
def test_models_of_any_kind(build, mode):
    keras.utils.set_random_seed(0)
    model, layer = build()
    biased(model)
    x = batch(6)
    result = keras_winit.calibrate(model, x)
    assert [row.mode for row in result.layers] == [mode, "output"]
    z = preactivation(layer, x[::2])
    if mode == "centered":
        np.testing.assert_allclose(z.mean(0), 0, atol=TOLERANCE)
        assert z.var(0).mean() == pytest.approx(1, abs=TOLERANCE)
    else:
        assert np.square(z).mean() == pytest.approx(1, abs=TOLERANCE)
        assert result.problem
        assert f"could not be read in full: {result.problem}" in repr(result)


def test_several_inputs():
    keras.utils.set_random_seed(0)
    inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((3, 2), name="b")}
    first = layers.Dense(9, "relu", **DRAWN)
    second = layers.Conv1D(4, 2, activation="relu", **DRAWN)
    x = layers.Concatenate()([first(inputs["a"]), layers.Flatten()(second(inputs["b"]))])
    model = biased(keras.Model(inputs, layers.Dense(3, **DRAWN)(x)))
    x = {"a": batch(6), "b": batch(3, 2)}
    keras_winit.calibrate(model, x, mode="tensor")
    for layer, name in ((first, "a"), (second, "b")):
        z = preactivation(layer, x[name])
        assert np.square(z[::2]).mean() == pytest.approx(1, abs=TOLERANCE)


def test_nothing_but_kernels_and_biases_changes():
    model = sequential(
        (6, 6, 2),
        lambda: layers.Conv2D(5, 3, use_bias=False, activation="relu", **DRAWN),
        layers.BatchNormalization,
        lambda: layers.Dropout(0.5),
        layers.Flatten,
        dense(7, "sigmoid"),
        dense(3),
    )
    model.layers[1].moving_mean.assign(np.arange(5.0))
    x = batch(6, 6, 2, samples=16)
    old_values, old_attributes, old_lengths = state(model)
    keras_winit.calibrate(model, x)
    values, attributes, lengths = state(model)
    changed = {
        f"{variable.path.split('/')[-2].rstrip('_0123456789')}/{variable.name}"
        for variable, old, new in zip(model.variables, old_values, values, strict=True)
        if not np.array_equal(old, new)
    }
    assert changed <= {"conv2d/kernel", "dense/kernel", "dense/bias"}
    assert {"conv2d/kernel", "dense/kernel", "dense/bias"} <= changed
    assert (attributes, lengths) == (old_attributes, old_lengths)


def test_what_is_drawn_afterwards_is_the_same():
    model = sequential((6,), dense(20, "relu"), lambda: layers.Dropout(0.5), dense(3))
    drawn = []
    for mode in (None, "unit", "equalized"):
        keras.utils.set_random_seed(0)
        if mode:
            keras_winit.calibrate(model, batch(6), mode=mode)
        dropped = layers.Dropout(0.5)(np.ones((4, 50), "float32"), training=True)
        drawn.append((ops.convert_to_numpy(dropped).tolist(), random.random()))
    assert drawn[0] == drawn[1] == drawn[2]


def test_batch_normalization_and_dropout_are_those_of_training():
    model = sequential(
        (6,), dense(20), layers.BatchNormalization, layers.ReLU, dense(9, "tanh"), dense(3)
    )
    model.layers[1].moving_variance.assign(np.full(20, 100.0))
    x = batch(6)
    keras_winit.calibrate(model, x)
    z = preactivations(model, x)[model.layers[3].name]
    assert np.square(z[::2]).mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_calibrated_without_rounding_the_kernels(policy):
    model = sequential(
        (6,), *(dense(units, "relu", dtype=policy) for units in (40, 30)), dense(3, dtype=policy)
    )
    old = [layer.kernel.numpy() for layer in model.layers]
    x = batch(6)
    result = keras_winit.calibrate(model, x, mode="tensor")
    for layer, kernel, row in zip(model.layers, old, result.layers, strict=True):
        np.testing.assert_allclose(layer.kernel.numpy() / kernel, row.factor, rtol=1e-5)
    z, second, _ = preactivations(model, x).values()
    for each in (z, second):
        assert np.square(each[::2]).mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("samples", [1, 3, 4, 5])
def test_a_few_samples_are_enough(samples):
    model = sequential((6,), dense(20, "relu"), dense(15, "relu"), dense(3))
    x = batch(6, samples=samples)
    result = keras_winit.calibrate(model, x)
    used = x if samples < 4 else x[::2]
    z, second, _ = preactivations(model, used).values()
    for each in (z, second):
        assert np.square(each).mean() == pytest.approx(1, abs=TOLERANCE)
    assert result.num_samples == (len(used), samples - len(used))
    assert ("of the same" in repr(result)) == (samples < 4)


def test_one_sample_has_no_variance_to_scale():
    model = sequential((6,), dense(20, "sigmoid"), dense(3))
    old = model.layers[0].get_weights()
    result = keras_winit.calibrate(model, batch(6, samples=1))
    assert result.layers[0].reason == "gives the same for every sample"
    for before, after in zip(old, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("mode", ["tensor", "unit", "centered"])
def test_what_comes_after_a_dead_layer_is_left_alone(mode):
    model = sequential((6,), dense(20, "relu"), layers.ReLU, dense(7, "relu"), dense(3))
    first, second = model.layers[0], model.layers[2]
    first.kernel.assign(np.zeros((6, 20)))
    first.bias.assign(np.full(20, -1.0))
    old = second.get_weights()
    result = keras_winit.calibrate(model, batch(6), mode=mode)
    assert [row.mode for row in result.layers] == ["left alone", "left alone", "output"]
    for before, after in zip(old, second.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("mode", ["tensor", "unit", "centered"])
def test_rounding_is_no_signal(mode):
    model = sequential((6,), dense(20, "relu"), dense(3))
    first = model.layers[0]
    first.kernel.assign(0.01 * first.kernel)
    first.bias.assign(np.full(20, 1e6))
    old = first.get_weights()
    row = keras_winit.calibrate(model, batch(6), mode=mode).layers[0]
    assert row.mode == "left alone"
    for before, after in zip(old, first.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_large_signal_that_is_constant_has_no_variance():
    x = ops.convert_to_tensor(np.full((256, 4096, 3), 0.1, "float32"))
    mean, variance = statistics.unit_moments(x, num_samples=256, unit_axis=-1, unit_rank=1)
    np.testing.assert_allclose(mean, 0.1, rtol=1e-6)
    np.testing.assert_allclose(variance, 0, atol=1e-15)


@pytest.mark.parametrize("small", [statistics._SMALL, 0])
def test_a_dead_unit_keeps_its_kernel(monkeypatch, small):
    monkeypatch.setattr(statistics, "_SMALL", small)
    model = sequential((6,), dense(5, "relu"), dense(3))
    kernel = model.layers[0].kernel.numpy()
    kernel[:, 2] = 0
    model.layers[0].kernel.assign(kernel)
    x = batch(6)
    keras_winit.calibrate(model, x, mode="unit")
    z = preactivation(model.layers[0], x[::2])
    np.testing.assert_allclose(z.var(0), [1, 1, 0, 1, 1], atol=TOLERANCE)
    np.testing.assert_allclose(z.mean(0), 0, atol=TOLERANCE)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("mode", ["auto", "unit", "centered", "equalized"])
def test_data_of_any_scale(scale, mode):
    model = sequential((6,), dense(20, "relu"), dense(3))
    model.layers[0].bias.assign(np.zeros(20))
    result = keras_winit.calibrate(model, scale * batch(6), mode=mode)
    target = UPSTREAM_RELU**2 if mode == "auto" else 1.0
    assert result.layers[0].after == pytest.approx(target, rel=0.5) or mode == "equalized"
    assert all(np.isfinite(each).all() for each in model.get_weights())
    z = preactivation(model.layers[0], scale * batch(6)[::2])
    if mode != "equalized":
        size = z.var(0).mean() if mode != "auto" else np.square(z).mean()
        assert size == pytest.approx(target, rel=TOLERANCE)


def test_an_exploding_network_is_brought_back():
    model = sequential((6,), *[dense(20, "relu", kernel_initializer="random_normal")] * 3, dense(3))
    for layer in model.layers:
        layer.kernel.assign(1e9 * layer.kernel)
    result = keras_winit.calibrate(model, batch(6), mode="unit")
    assert result.layers[2].before > 1e30
    assert result.layers[2].after == pytest.approx(1, abs=0.5)


class Broken(layers.Layer):
    def call(self, x):
        if getattr(self, "is_broken", False):
            raise RuntimeError("it broke")
        return x


class BrokenDense(layers.Dense):
    def call(self, x, training=None):
        if getattr(self, "is_broken", False):
            raise KeyError("it broke")
        return super().call(x)


@pytest.mark.parametrize("cls", [Broken, lambda: BrokenDense(4, "relu")])
def test_an_error_in_the_run_leaves_the_model_as_it_was(cls):
    model = sequential((6,), dense(20, "relu"), cls, dense(3))
    model.layers[1].is_broken = True
    old = state(model)
    with pytest.raises((RuntimeError, KeyError, ValueError), match="it broke"):
        keras_winit.calibrate(model, batch(6))
    assert_same(old, state(model))
    model.layers[1].is_broken = False
    keras_winit.calibrate(model, batch(6))


def test_an_error_while_assigning_leaves_the_model_as_it_was(monkeypatch):
    model = sequential((6,), dense(20, "relu"), dense(7, "relu"), dense(3))
    old = state(model)
    variable = type(model.layers[0].kernel)
    assign, count = variable._direct_assign, iter(range(100))

    def fail_once(self, value):
        if next(count) == 2:
            raise KeyboardInterrupt
        return assign(self, value)

    monkeypatch.setattr(variable, "_direct_assign", fail_once)
    with pytest.raises(KeyboardInterrupt):
        keras_winit.calibrate(model, batch(6), mode="unit")
    assert next(count) > 3
    assert_same(old, state(model))


def test_weights_that_are_not_finite_are_named_and_nothing_changes():
    model = sequential((6,), dense(20, "relu"), dense(7, "relu"), dense(3))
    kernel = model.layers[1].kernel.numpy()
    kernel[0, 0] = np.nan
    model.layers[1].kernel.assign(kernel)
    old = state(model)
    name = model.layers[1].name
    with pytest.raises(ValueError, match=rf"Layer '{name}' \(Dense\) should give finite numbers"):
        keras_winit.calibrate(model, batch(6))
    assert_same(old, state(model))


def with_nan():
    x = batch(6)
    x[3, 2] = np.nan
    return x


def unbuilt():
    return keras.Sequential([layers.Dense(3, **DRAWN)])


BAD = {
    "mode": (relu_network, {"mode": "centred"}, ValueError, "`mode`.*Did you mean 'centered'"),
    "model": (lambda: "dense", {}, TypeError, "`model` should be a Keras model"),
    "layer": (lambda: layers.Dense(3, **DRAWN), {}, ValueError, "`model` should be built"),
    "unbuilt": (unbuilt, {}, ValueError, "`model` should be built"),
    "no kernel": (
        lambda: sequential((6,), layers.BatchNormalization),
        {},
        ValueError,
        "should have a layer with a kernel",
    ),
    "nan": (relu_network, {"x": with_nan()}, ValueError, "`x` should be finite.*1 values"),
    "empty": (relu_network, {"x": np.zeros((0, 6))}, ValueError, "at least one"),
    "shape": (relu_network, {"x": np.zeros((4, 5))}, ValueError, r"shape \(None, 6\).*\(4, 5\)"),
    "only": (relu_network, {"only": "nothing"}, ValueError, "`only` should be.*'nothing'"),
    "only type": (relu_network, {"only": 3}, TypeError, "`only` should be.*only=3"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_told_and_nothing_changes(name):
    build, arguments, error, message = BAD[name]
    model = build()
    old = state(model) if isinstance(model, keras.Model) else None
    with pytest.raises(error, match=message):
        keras_winit.calibrate(model, **arguments)
    if old:
        assert_same(old, state(model))


def test_only_chosen_weights_change():
    x = batch(6)
    model = relu_network()
    chosen = model.layers[1]
    old = model.get_weights()
    result = keras_winit.calibrate(model, x, mode="unit", only=chosen.name)
    changed = [not np.array_equal(*pair) for pair in zip(old, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True, False, False]
    assert [row.reason for row in result.skipped] == ["not asked for"] * 2
    z = by_unit(preactivations(model, x)[chosen.name][::2])
    np.testing.assert_allclose(z.var(0), 1, atol=TOLERANCE)


def test_a_bias_that_is_not_chosen_stays():
    x = batch(6)
    for mode in ("unit", "centered", "tensor"):
        model = relu_network()
        model.layers[0].bias.assign(np.full(20, 3.0))
        old = model.get_weights()
        keras_winit.calibrate(model, x, mode=mode, only="*/kernel")
        for before, after in [*zip(old, model.get_weights(), strict=True)][1::2]:
            np.testing.assert_array_equal(before, after)


def test_every_layer_is_called_at_most_three_times():
    calls = {}

    class Counted(layers.Dense):
        def call(self, x, training=None):
            calls[self.name] = calls.get(self.name, 0) + 1
            return super().call(x)

    depth = 12
    inputs = keras.Input((6,))
    x = inputs
    for _ in range(depth):
        x = Counted(6, "relu")(x)
    model = keras.Model(inputs, x)
    calls.clear()
    keras_winit.calibrate(model, batch(6))
    assert len(calls) == depth
    assert max(calls.values()) <= 3


def sigmoid_network(classes=10):
    """Returns one as Keras draws it."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(64, "sigmoid") for _ in range(10)]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(classes)])


def cosine(model, x):
    """Returns the mean cosine between samples in the last hidden layer."""
    signal = ops.convert_to_numpy(keras.Model(model.inputs[0], model.layers[-1].input)(x))
    signal = signal / np.linalg.norm(signal, axis=1, keepdims=True)
    return (np.square(signal.sum(0)).sum() - len(x)) / (len(x) * (len(x) - 1))


def test_samples_stay_apart_in_a_deep_sigmoid_network():
    model, x = sigmoid_network(), batch(64, samples=128)
    assert cosine(model, x) > 0.9999
    keras_winit.calibrate(model, x)
    assert cosine(model, x) < 0.9


def test_a_deep_sigmoid_network_learns_digits_once_it_is_calibrated():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = ((images - images.mean()) / images.std()).astype("float32")
    accuracy = []
    for is_calibrated in (False, True):
        model = sigmoid_network()
        if is_calibrated:
            keras_winit.calibrate(model, images)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
        model.fit(images, labels, batch_size=128, epochs=6, verbose=0)
        accuracy.append(model.evaluate(images, labels, batch_size=599, verbose=0)[1])
    default, calibrated = accuracy
    assert default < 0.25
    assert calibrated > 0.8


def test_result_prints_as_a_table():
    inputs = keras.Input((4, 3))
    x = layers.Dense(6, "relu", kernel_initializer="ones", name="first")(inputs)
    x = layers.LSTM(2, kernel_initializer="zeros", recurrent_initializer="zeros", name="cells")(x)
    model = keras.Model(
        inputs, layers.Dense(2, kernel_initializer="zeros", name="last")(x), name="m"
    )
    rows = repr(keras_winit.calibrate(model, np.ones((8, 4, 3)))).splitlines()
    assert [re.sub(" +", " ", row) for row in rows] == [
        "Model 'm', calibrated on 4 samples; second moments of the preactivations on 4 held-out "
        "samples",
        "layer mode target times before after why",
        re.sub(" +", " ", rows[2]),
        "first tensor 0.04 0.06667 9 0.04 relu follows; first and plain: 0.2 times that, so that "
        "features are learned first",
        "cells left alone - - 0 0 runs its kernels in a loop, out of sight",
        "last left alone - - 0 0 its kernel gives nothing",
    ]


def test_result_says_whether_the_samples_were_noise():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, **DRAWN)])
    assert "samples of noise; second" in repr(keras_winit.calibrate(model))
    assert "samples; second" in repr(keras_winit.calibrate(model, np.eye(6)))


def test_result_is_html_in_a_notebook():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, **DRAWN)], name="a<b")
    page = keras_winit.calibrate(model)._repr_html_()
    assert "<caption>Model &#x27;a&lt;b&#x27;, calibrated on" in page
    assert re.search(r">[\w/&;]*dense(_\d+)?</td><td[^>]*>output</td>", page)
    assert "a<b" not in page
