"""Kernels that start smaller, or larger, than a scheme says, and all else as it says."""

import re

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit import initializers

layers = keras.layers


def varied():
    """Returns a model of many kinds of weights, of which one kernel is zero and one special."""
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 8)(tokens)
    x = layers.Conv1D(8, 3, padding="same", activation="relu", name="convolution")(x)
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 4)(y, y)
    x = x + layers.Dense(8)(layers.Dense(12, "gelu")(layers.LayerNormalization()(x)))
    x = layers.SeparableConv1D(6, 3, depthwise_initializer=small, name="special")(x)
    x = layers.LSTM(5)(layers.BatchNormalization()(x))
    return keras.Model(tokens, layers.Dense(3, kernel_initializer="zeros", name="end")(x))


def plain(activation, depth, **arguments):
    hidden = [layers.Dense(8, activation, **arguments) for _ in range(depth - 1)]
    return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3)])


def values(model, *arguments, **keywords):
    """Returns the weights of a model by path, initialized so."""
    keras_winit.initialize(model, *arguments, seed=3, **keywords)
    return {each.path: keras.ops.convert_to_numpy(each) for each in model.weights}


@pytest.fixture(scope="module")
def model():
    return varied()


def assert_kernels_alone_are_multiplied(model, scheme, scale):
    without = values(model, scheme, keep="none")
    found = values(model, scheme, keep="none", scale=scale)
    for path, value in found.items():
        is_multiplied = "kernel" in path and "recurrent" not in path
        expected = without[path] * (scale if is_multiplied else 1)
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(
    "scheme",
    [
        *("suggested", "own", "pytorch", "gpt2", "he_uniform", "sparse"),
        keras.initializers.RandomNormal(0.1, 0.2),
        keras.initializers.RandomUniform(-0.1, 0.3),
        keras.initializers.Constant(0.1),
        initializers.PerGate(initializers.Orthogonal(1.5), gates=1),
    ],
)
def test_kernels_are_multiplied_and_all_else_is_as_without(scheme, model):
    assert_kernels_alone_are_multiplied(model, scheme, 0.3)


@pytest.mark.parametrize(
    ("scheme", "activation"),
    [
        ("suggested", "sigmoid"),  # centered weights
        ("critical", "gelu"),  # biases that are drawn
        *[(each, "relu") for each in ("mirrored", "looks_linear", "orthogonal", "identity")],
    ],
)
def test_so_are_those_of_plain_networks(scheme, activation):
    assert_kernels_alone_are_multiplied(plain(activation, 7), scheme, 2)


def test_a_network_of_pairs_stays_linear():
    model = plain("relu", 12)
    keras_winit.initialize(model, scale=0.9, seed=0)
    a, b = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    outputs = [keras.ops.convert_to_numpy(model(each)) for each in (a, b, a + b)]
    np.testing.assert_allclose(outputs[0] + outputs[1], outputs[2], atol=1e-5)


def test_what_is_kept_of_the_author_is_not_multiplied(model):
    rows = {row.weight: row for row in keras_winit.initialize(model, scale=0.5, seed=1).rows}
    kept = rows["special/depthwise_kernel"]
    assert kept.initializer == "TruncatedNormal(stddev=0.02)"
    assert "times" not in kept.reason
    assert rows["end/kernel"].initializer == "Zeros()"
    assert "times" not in rows["end/kernel"].reason


def test_it_does_not_add_up():
    model = plain("relu", 3)
    first = values(model, "own", scale=0.5)
    again = values(model, "own", scale=0.5)
    for path, value in first.items():
        np.testing.assert_array_equal(again[path], value)


def test_a_copy_that_its_layers_draw_starts_as_small():
    model = plain("relu", 3)
    keras_winit.initialize(model, "he_normal", scale=0.25, seed=1)
    wide = keras.Sequential([keras.Input((64,)), layers.Dense(256)])
    wide.layers[0].kernel_initializer = model.layers[0].kernel_initializer
    copy = type(wide).from_config(wide.get_config())
    expected = 0.25 * np.sqrt(2 / 64)
    std = keras.ops.convert_to_numpy(copy.layers[0].kernel).std()
    assert abs(std / expected - 1) < 4 / np.sqrt(2 * 64 * 256)


def test_a_plan_shows_it_and_can_be_given():
    model = plain("relu", 3)
    plan = keras_winit.suggest(model, scale=0.5)
    first, *_ = plan.rows
    assert first.initializer == "VarianceScaling(scale=0.02)"  # .2² · 2 · .5²
    assert first.reason.endswith("; times 0.5")
    assert "times 0.5" in str(plan)
    by_plan, at_once = values(model, plan), values(model, scale=0.5)
    for path, value in by_plan.items():
        np.testing.assert_array_equal(value, at_once[path])


def test_one_changes_nothing(model):
    assert str(keras_winit.suggest(model, scale=1)) == str(keras_winit.suggest(model))


class Foreign(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.ones(shape, dtype)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"scale": 0}, ValueError, "`scale` should be a positive finite number. Received: scale=0"),
        ({"scale": -1.0}, ValueError, "should be a positive finite number. Received: scale=-1.0"),
        ({"scale": float("nan")}, ValueError, "a positive finite number. Received: scale=nan"),
        ({"scale": float("inf")}, ValueError, "a positive finite number. Received: scale=inf"),
        ({"scale": True}, TypeError, "a positive finite number. Received: scale=True"),
        ({"scale": "small"}, TypeError, "a positive finite number. Received: scale='small'"),
        ({"scale": None}, TypeError, "a positive finite number. Received: scale=None"),
        (
            {"scale": 0.5, "scheme": initializers.Siren(first=True)},
            ValueError,
            "`scale` should be left out where the size of a kernel cannot be told. Received: "
            "scale=0.5, for 'convolution/kernel': Siren(first=True) has no argument that sets its",
        ),
        ({"scale": 0.5, "scheme": Foreign()}, ValueError, "Foreign() has no argument that"),
        ({"scale": 0.5, "scheme": "mimetic"}, ValueError, "MimeticAttention() has no argument"),
    ],
)
def test_bad_scales_are_refused_and_change_nothing(arguments, kind, message, model):
    before = model.get_weights()
    with pytest.raises(kind, match=re.escape(message)):
        keras_winit.initialize(model, **arguments)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_plan_has_its_scale_already():
    model = plain("relu", 3)
    message = "`scale` should be left out where `scheme` is a plan. Received: scale=0.5. Give it to"
    with pytest.raises(ValueError, match=re.escape(message)):
        keras_winit.initialize(model, keras_winit.suggest(model), scale=0.5)


def image_network(*hidden, end=None, shape=(8, 8, 2)):
    """Returns a network that gives images, but for another `end`."""
    end = end or layers.Conv2D(1, 3, padding="same", name="last")
    return keras.Sequential([keras.Input(shape), *hidden, end])


def convolution(filters, activation="relu", **arguments):
    return layers.Conv2D(filters, 3, padding="same", activation=activation, **arguments)


def shares(build):
    """Returns how much smaller each kernel is than the activation asks for, by its values."""
    model, found = build(), []
    keras_winit.initialize(model, seed=1)
    for row in keras_winit.diagnose(model).layers:
        for kernel in row.kernels:
            found.append(np.sqrt(kernel.second_moment * kernel.fan_in / (row.asked or 1.0)))
    return found


WIDE = (convolution(32), convolution(40), convolution(36))


def u_net():
    inputs = keras.Input((8, 8, 4))
    above = convolution(32, "silu")(inputs)
    below = convolution(40, "silu")(layers.AveragePooling2D(2)(above))
    x = layers.Concatenate()([layers.UpSampling2D()(below), above])
    return keras.Model(inputs, layers.Conv2D(3, 1)(convolution(36, "silu")(x)))


# An output gets Glorot's variance: 2 / (fan_in + fan_out).
IMAGES = {
    "plain": (
        lambda: image_network(*WIDE),
        [0.3, 0.7, 0.7, 0.7 * np.sqrt(2 * 324 / (324 + 9))],
    ),
    "U-Net": (u_net, [0.3, 0.7, 0.7, 0.7 * np.sqrt(2 * 36 / (36 + 3))]),
    "classes": (
        lambda: image_network(*WIDE, end=layers.Dense(5, "softmax")),
        [0.3, 0.7, 0.7, np.sqrt(2 * 36 / (36 + 5))],
    ),
    "encoder and decoder": (
        lambda: image_network(
            layers.Flatten(),
            layers.Dense(200, "relu"),
            layers.Reshape((5, 5, 8)),
            layers.Conv2DTranspose(30, 3, activation="relu"),
        ),
        [0.3, 0.7, 0.7 * np.sqrt(2 * 270 / (270 + 9))],
    ),
    "normalized": (
        lambda: image_network(
            convolution(32, None),
            layers.BatchNormalization(),
            layers.ReLU(),
            convolution(40),
        ),
        [0.7 / np.sqrt(2), 0.7, 0.7 * np.sqrt(2 * 360 / (360 + 9))],
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_convolutions_that_give_images_start_small(name):
    build, expected = IMAGES[name]
    np.testing.assert_allclose(shares(build), expected, rtol=0.12)


def gated():
    inputs = keras.Input((8, 8, 2))
    value, gate = convolution(12, None)(inputs), convolution(12, "sigmoid")(inputs)
    return keras.Model(inputs, layers.Conv2D(1, 3)(layers.Multiply()([value, gate])))


NOT_IMAGES = {
    "gated": gated,
    "classes of images": lambda: image_network(*WIDE, layers.Flatten(), end=layers.Dense(3)),
    "features": lambda: image_network(*WIDE, end=convolution(40)),
    "features, pooled": lambda: image_network(*WIDE, end=layers.MaxPooling2D()),
    "normalized features": lambda: image_network(
        *WIDE, convolution(8, None), end=layers.BatchNormalization()
    ),
    "places without convolutions": lambda: image_network(
        layers.Dense(32, "relu"), end=layers.Dense(3)
    ),
    "cells": lambda: image_network(
        layers.Conv1D(32, 3, activation="relu"),
        layers.LSTM(6, return_sequences=True),
        end=layers.Dense(3),
        shape=(9, 2),
    ),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_other_kernels_are_not_made_smaller(name):
    for row in keras_winit.suggest(NOT_IMAGES[name]()).rows:
        assert "images" not in row.reason


def test_however_deep_what_gives_images_keeps_some_of_the_signal():
    def row(depth):
        hidden = [convolution(16, "tanh") for _ in range(depth - 1)]
        return keras_winit.suggest(image_network(*hidden)).rows[2]

    assert row(4).reason.endswith("; 0.7 times that, as images come out")
    assert row(20).reason.endswith("; 0.923 times that, as images come out")  # 0.923 ** 20 = 0.2
    assert re.fullmatch("He et al., 2015, [^ ]*; Kunin et al., 2024, [^;]*", row(4).reference)


def test_what_authors_and_steep_or_mostly_constant_functions_ask_for_stays():
    small = keras.initializers.RandomNormal(stddev=0.02)
    model = image_network(
        convolution(8, "sigmoid"),
        convolution(8, lambda x: keras.ops.sin(30 * x)),
        convolution(8, kernel_initializer=small),
    )
    rows = [row for row in keras_winit.suggest(model).rows if row.fan_in is not None]
    assert ["images" in row.reason for row in rows] == [False, False, False, True]
