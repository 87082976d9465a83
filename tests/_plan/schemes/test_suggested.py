import itertools
import math
import re

import keras
import numpy as np
import pytest
import scipy

import keras_winit
from keras_winit._network import snake_case
from keras_winit._network.network import DEEP, Network
from keras_winit._network.upstream import UPSTREAM, UPSTREAM_RELU
from keras_winit._plan.decisions import Case, line_for
from keras_winit._plan.plan import brief, make_plan
from keras_winit._plan.schemes.in_pairs import (
    SHALLOW,
    SHALLOW_CONVOLUTIONS,
    is_worth_pairs,
    suggested_pairings,
)
from keras_winit._plan.schemes.suggested import DEEP_LINEAR, LINES, LONG, LONG_GRU, VERY_DEEP

layers = keras.layers
ops = keras.ops


def network(*hidden, shape=(6,), output=None):
    """Returns a model of hidden layers and an output."""
    output = output or layers.Dense(3, name="output")
    return keras.Sequential([keras.Input(shape), *hidden, output])


def deep(activation, depth, **arguments):
    """Returns a plain network of that many kernels, the output included."""
    names = ["first", *[None] * (depth - 3), "layer"]
    return network(*[layers.Dense(6, activation, name=name, **arguments) for name in names])


def deep_and_wider(activation, depth, **arguments):
    hidden = [layers.Dense(6, activation, **arguments) for _ in range(depth - 2)]
    return network(*hidden, layers.Dense(12, activation, name="layer", **arguments))


def deep_convolutions(depth, activation="relu", **arguments):
    arguments = {"padding": "same", "activation": activation, **arguments}
    names = ["strided", *[None] * (depth - 3), "layer"]
    hidden = [
        layers.Conv2D(2, 3, 2 if name == "strided" else 1, name=name, **arguments) for name in names
    ]
    return network(*hidden, layers.GlobalAveragePooling2D(), shape=(4, 4, 2))


# Pairs see z and -z only where biases start at zero.
BIASED = {"bias_initializer": "random_normal"}


def unpaired(activation, depth):
    return deep(activation, depth, **BIASED)


def moving(activation, depth):
    """Returns a network that has no pairs since its units move, and no biases."""
    hidden = []
    for number in range(depth - 1):
        name = "layer" if number == 3 else None
        hidden += [layers.Dense(6, activation, use_bias=False, name=name), layers.Permute((2, 1))]
    return network(*hidden, layers.Flatten(), shape=(6, 6))


def normalized(depth):
    hidden = [
        [layers.Dense(6, name="layer" if number else None), layers.BatchNormalization()]
        for number in range(2)
    ]
    others = [layers.Dense(6, "relu") for _ in range(depth - 3)]
    return network(*hidden[0], layers.ReLU(), *hidden[1], layers.ReLU(), *others)


def residual(block, blocks=4, head=True, width=6):
    """Returns a model of a stem and blocks, which are functions of (x, number of the block)."""
    inputs = keras.Input((width,))
    x = layers.Dense(width, name="stem")(inputs)
    for number in range(blocks):
        x = block(x, number)
    return keras.Model(inputs, layers.Dense(3, name="output")(x) if head else x)


def branch(depth, *end, activation="relu"):
    """Returns a block whose branch has that many kernels, and the layers of the classes `end`."""

    def block(x, number):
        y = x
        for place in range(1, depth + 1):
            last = place == depth
            y = layers.Dense(6, None if last else activation, name=f"block{number}_{place}")(y)
        for build in end:
            y = build(name=f"block{number}_end")(y)
        return x + y

    return block


class ReZero(layers.Layer):
    def build(self, shape):
        self.alpha = self.add_weight(shape=(), initializer="zeros", name="alpha")

    def call(self, x):
        return self.alpha * x


class ZeroGamma(layers.BatchNormalization):
    def __init__(self, **arguments):
        super().__init__(gamma_initializer="zeros", **arguments)


def separable(x, number):
    y = layers.SeparableConv1D(3, 2, padding="same", name=f"block{number}")(
        layers.Reshape((2, 3))(x)
    )
    return x + layers.Flatten()(y)


def attention(x, number):
    x = layers.Reshape((2, 3))(x)
    return layers.Flatten()(x + layers.MultiHeadAttention(2, 2, name=f"block{number}")(x, x))


def normalized_attention(x, number):
    x = layers.Reshape((2, 3))(x)
    y = layers.LayerNormalization()(x)
    return layers.Flatten()(x + layers.MultiHeadAttention(2, 2, name=f"block{number}")(y, y))


def sine(z):
    return ops.sin(30.0 * z)


def given(model, scheme="suggested"):
    """Returns what each weight of a model gets, as it prints: weight path -> initializer."""
    plan = make_plan(model, scheme)
    return {path: brief(initializer) for path, initializer in plan.items()}


def given_to(weight, model, scheme="suggested"):
    (found,) = (
        initializer
        for path, initializer in given(model, scheme).items()
        if f"/{path}".endswith(f"/{weight}")
    )
    return found


class Positions(layers.Layer):
    """Adds a table of positions, an embedding or a weight."""

    def __init__(self, embedding=None, initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.initializer = embedding, initializer

    def build(self, shape):
        if self.embedding is None:
            self.table = self.add_weight(
                shape=shape[1:], initializer=self.initializer, name="table"
            )
        else:
            self.embedding.build(shape[1])

    def call(self, x):
        table = self.table if self.embedding is None else self.embedding(ops.arange(x.shape[1]))
        return x + table


def with_positions(own="uniform", tokens=None):
    """Returns a model of a signal, or of tokens, and embedded positions."""
    inputs = keras.Input((5, 3)) if tokens is None else keras.Input((5,), dtype="int32")
    signal = (
        layers.Dense(6) if tokens is None else layers.Embedding(9, 6, embeddings_initializer=tokens)
    )
    positions = layers.Embedding(5, 6, embeddings_initializer=own, name="layer")
    return keras.Model(inputs, layers.Dense(3)(Positions(positions)(signal(inputs))))


def with_weight(own=None):
    return network(layers.Dense(6), Positions(initializer=own, name="positions"), shape=(5, 4))


def gated(activation, depth=4, normalization=layers.Identity, units=6, **arguments):
    """Returns a model of values that are multiplied by gates."""
    x = inputs = keras.Input((units,))
    for number in range(1, depth):
        x = normalization()(x)
        value = layers.Dense(units, name=f"value{number}", **arguments)(x)
        gate = layers.Dense(units, activation, name=f"gate{number}", **arguments)(x)
        x = layers.Multiply()([value, gate])
    return keras.Model(inputs, layers.Dense(3)(x))


def separable_gated():
    inputs = keras.Input((8, 6))
    value = layers.SeparableConv1D(6, 3, name="value")(inputs)
    gate = layers.SeparableConv1D(6, 3, activation="sigmoid", name="gate")(inputs)
    x = layers.GlobalAveragePooling1D()(layers.Multiply()([value, gate]))
    return keras.Model(inputs, layers.Dense(3)(x))


def gated_at_once(product, depth=4, normalization=layers.Identity, units=6):
    """Returns the same of kernels that give both."""
    x = inputs = keras.Input((units,))
    for number in range(1, depth):
        x = product(layers.Dense(2 * units, name=f"both{number}")(normalization()(x)))
    return keras.Model(inputs, layers.Dense(3)(x))


def highway(combined=lambda gate, new, x: gate * new + (1 - gate) * x):
    """Returns a model with a gate, between what is new and what is carried on."""
    inputs = keras.Input((6,))
    x = layers.Dense(6, "relu")(inputs)
    gate = layers.Dense(6, "sigmoid", name="layer", bias_initializer="ones")(x)
    x = combined(gate, layers.Dense(6, "relu")(x), x)
    return keras.Model(inputs, layers.Dense(3)(x))


def swiglu(both):
    value, gate = ops.split(both, 2, axis=-1)
    return value * ops.silu(gate)


def gate_first(both):
    gate, value = ops.split(both, 2, axis=-1)
    return value * ops.silu(gate)


# The decision list of `suggest`: a network for every line, and one that just misses it.

KERNEL = "layer/kernel"
CENTERED = "ActivationScaling(activation='{}', centered=True)"


def in_normalized(layer):
    return network(layer, layers.LayerNormalization(), layers.Dense(4))


def lstm(**arguments):
    return layers.LSTM(5, name="layer", **arguments)


def gru(**arguments):
    return layers.GRU(5, name="layer", **arguments)


def rnn(**arguments):
    return layers.SimpleRNN(6, name="layer", **arguments)


def cell(**arguments):
    return network(layers.RNN(layers.SimpleRNNCell(4, name="layer", **arguments)), shape=(3, 2))


def attending():
    inputs = keras.Input((5, 4))
    x = layers.Activation("relu")(layers.MultiHeadAttention(2, 2, name="layer")(inputs, inputs))
    return keras.Model(inputs, layers.Dense(2)(x))


DECISIONS = {
    # Biases, normalization and embeddings get what their layer gives them.
    "bias": (lambda: network(layers.Dense(4, "relu", name="layer")), "layer/bias", "Zeros()"),
    "own bias": (
        lambda: network(layers.Dense(4, bias_initializer="ones", name="layer")),
        "layer/bias",
        "Ones()",
    ),
    "gamma": (lambda: network(layers.BatchNormalization(name="layer")), "layer/gamma", "Ones()"),
    "embedding": (
        lambda: network(layers.Embedding(9, 4, name="layer"), layers.Flatten(), shape=(2,)),
        "layer/embeddings",
        "RandomUniform()",
    ),
    # Tables of positions have the size of what they are added to.
    "positions": (with_positions, "layer/embeddings", "RandomNormal(stddev=1)"),
    "positions of .02": (
        lambda: with_positions(keras.initializers.RandomNormal(stddev=0.02)),
        "layer/embeddings",
        "RandomNormal(stddev=0.02)",
    ),
    "positions and tokens": (
        lambda: with_positions(tokens="uniform"),
        "layer/embeddings",
        "RandomUniform()",
    ),
    "positions and larger tokens": (
        lambda: with_positions(tokens=keras.initializers.RandomNormal(stddev=0.5)),
        "layer/embeddings",
        "RandomNormal(stddev=0.5)",
    ),
    "weight of positions": (
        lambda: with_weight("random_normal"),
        "positions/table",
        "RandomNormal(stddev=1)",
    ),
    "weight of positions, Glorot": (
        with_weight,
        "positions/table",
        "RandomNormal(stddev=1)",  # of 0.43
    ),
    "weight of positions, zero": (
        lambda: with_weight("zeros"),
        "positions/table",
        "Zeros()",
    ),
    # Recurrent kernels are orthogonal.
    "recurrent": (
        lambda: cell(recurrent_initializer="he_uniform"),
        "layer/recurrent_kernel",
        "Orthogonal()",
    ),
    "recurrent, 16 steps": (
        lambda: network(lstm(), shape=(16, 2)),
        "layer/lstm_cell/recurrent_kernel",
        "PerGate(initializer=BlockDiagonal(initializer=Orthogonal(gain=1.037), blocks=8))",
    ),
    "kernel of an LSTM, 16 steps": (
        lambda: network(lstm(), shape=(16, 2)),
        "layer/lstm_cell/kernel",
        "PerGate(initializer=Graded(smallest=0.0625, share=0.5))",
    ),
    "recurrent of a GRU, 32 steps": (
        lambda: network(gru(), shape=(32, 2)),
        "layer/gru_cell/recurrent_kernel",
        "PerGate(initializer=BlockDiagonal(initializer=Orthogonal(gain=1.037), blocks=8), gates=3)",
    ),
    "kernel of a GRU, 32 steps": (
        lambda: network(gru(), shape=(32, 2)),
        "layer/gru_cell/kernel",
        "PerGate(initializer=Graded(smallest=0.03125, share=0.5), gates=3)",
    ),
    "recurrent of tanh, 16 steps": (
        lambda: network(rnn(), shape=(16, 2)),
        "layer/simple_rnn_cell/recurrent_kernel",
        "BlockDiagonal()",
    ),
    "kernel of tanh, 16 steps": (
        lambda: network(rnn(), shape=(16, 2)),
        "layer/simple_rnn_cell/kernel",
        "Graded(smallest=0.0625)",
    ),
    "output of tanh, 16 steps": (
        lambda: network(rnn(), layers.Dropout(0.1), shape=(16, 2)),
        "output/kernel",
        "VarianceScaling(scale=8.303)",
    ),
    "recurrent of relu, 16 steps": (
        lambda: network(rnn(activation="relu"), shape=(16, 2)),
        "layer/simple_rnn_cell/recurrent_kernel",
        "Orthogonal()",
    ),
    "kernel of tanh, 15 steps": (
        lambda: network(rnn(), shape=(15, 2)),
        "layer/simple_rnn_cell/kernel",
        "GlorotUniform()",
    ),
    "kernel of tanh, all states": (
        lambda: network(rnn(return_sequences=True), shape=(16, 2)),
        "layer/simple_rnn_cell/kernel",
        "GlorotUniform()",
    ),
    "kernel beside the author's map of states": (
        lambda: network(rnn(recurrent_initializer="identity"), shape=(16, 2)),
        "layer/simple_rnn_cell/kernel",
        "GlorotUniform()",
    ),
    "output beside it": (
        lambda: network(rnn(recurrent_initializer="identity"), shape=(16, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "output of 16 steps": (
        lambda: network(lstm(), layers.Dropout(0.1), shape=(16, 2)),
        "output/kernel",
        "VarianceScaling(scale=23.32)",
    ),
    "output of a GRU of 32 steps": (
        lambda: network(gru(), shape=(32, 2)),
        "output/kernel",
        "VarianceScaling(scale=11.96)",
    ),
    "output of a GRU of 31 steps": (
        lambda: network(gru(), shape=(31, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    **{
        f"{weight} beside the author's biases of {name}": (
            lambda make=make: network(make(bias_initializer="ones"), shape=(32, 2)),
            path,
            expected,
        )
        for name, make in {"an LSTM": lstm, "a GRU": gru}.items()
        for weight, path, expected in (
            ("kernel", f"layer/{make.__name__}_cell/kernel", "GlorotUniform()"),
            ("states", f"layer/{make.__name__}_cell/recurrent_kernel", "Orthogonal()"),
            ("output", "output/kernel", "GlorotUniform()"),
        )
    },
    "output of 16 steps of relu": (
        lambda: network(lstm(activation="relu"), shape=(16, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "relu output of 16 steps": (
        lambda: network(lstm(), shape=(16, 2), output=layers.Dense(3, "relu", name="output")),
        "output/kernel",
        "HeNormal()",
    ),
    "output of 15 steps": (
        lambda: network(lstm(), shape=(15, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "output of all of 16 steps": (
        lambda: network(lstm(return_sequences=True), shape=(16, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "output of one's own forget gate": (
        lambda: network(lstm(unit_forget_bias=False), shape=(16, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "output of 16 steps of a GRU": (
        lambda: network(layers.GRU(4), shape=(16, 2)),
        "output/kernel",
        "GlorotUniform()",
    ),
    # Gates, attention, functions across units: Glorot.
    "gates": (
        lambda: network(layers.RNN(layers.LSTMCell(4, name="layer")), shape=(3, 2)),
        KERNEL,
        "GlorotUniform()",
    ),
    "tanh cell": (cell, KERNEL, "GlorotUniform()"),
    "relu cell": (lambda: cell(activation="relu"), KERNEL, "HeNormal()"),
    "query": (attending, "query/kernel", "GlorotUniform()"),
    "attention output": (attending, "attention_output/kernel", "GlorotUniform()"),
    "query in a branch": (
        lambda: residual(attention),
        "block1/query/kernel",
        "GlorotUniform()",
    ),
    # One map and no other in each of four branches: 1 / branches.
    "attention output in a branch": (
        lambda: residual(attention),
        "block1/attention_output/kernel",
        "VarianceScaling(scale=0.25)",
    ),
    "attention output in a normalized branch": (
        lambda: residual(normalized_attention),
        "block1/attention_output/kernel",
        "GlorotUniform()",
    ),
    "softmax": (
        lambda: network(layers.Dense(4, "softmax", name="layer")),
        KERNEL,
        "GlorotUniform()",
    ),
    # Residual branches.
    "first of two in a branch": (
        lambda: residual(branch(2)),
        "block1_1/kernel",
        "VarianceScaling(scale=0.5)",  # 2 (4^(-1/2))²
    ),
    "last in a branch": (lambda: residual(branch(2)), "block1_2/kernel", "Zeros()"),
    "second of three in a branch": (
        lambda: residual(branch(3), 9),
        "block1_2/kernel",
        "VarianceScaling(scale=0.6667)",  # 2 (9^(-1/4))²
    ),
    "tanh in a branch": (
        lambda: residual(branch(2, activation="tanh")),
        "block1_1/kernel",
        "VarianceScaling(scale=0.634)",  # 2.536 / 4
    ),
    "branch of one": (
        lambda: residual(branch(1)),
        "block1_1/kernel",
        "VarianceScaling(scale=0.25)",
    ),
    "depthwise kernel in a branch": (
        lambda: residual(separable),
        "block1/depthwise_kernel",
        "LecunNormal()",
    ),
    "pointwise kernel in a branch": (
        lambda: residual(separable),
        "block1/pointwise_kernel",
        "VarianceScaling(scale=0.25)",
    ),
    "branch that is the output": (
        lambda: residual(branch(2), head=False),
        "block3_2/kernel",
        "Zeros()",
    ),
    "normalized branch": (
        lambda: residual(branch(2, layers.BatchNormalization)),
        "block1_2/kernel",
        "LecunNormal()",
    ),
    "branch that is zero": (
        lambda: residual(branch(2, ReZero)),
        "block1_2/kernel",
        "LecunNormal()",
    ),
    "outside of branches": (lambda: residual(branch(2)), "stem/kernel", "LecunNormal()"),
    # Outputs.
    "output": (network, "output/kernel", "GlorotUniform()"),
    "tanh output": (
        lambda: network(output=layers.Dense(3, "tanh", name="layer")),
        KERNEL,
        "GlorotUniform()",
    ),
    "relu output": (
        lambda: network(output=layers.Dense(3, "relu", name="layer")),
        KERNEL,
        "HeNormal()",
    ),
    "selu output": (
        lambda: network(output=layers.Dense(3, "selu", name="layer")),
        KERNEL,
        "LecunNormal()",
    ),
    # Sigmoid and the like.
    "first sigmoid": (
        lambda: network(layers.Dense(4, "sigmoid", name="layer")),
        KERNEL,
        "LecunNormal()",
    ),
    "sigmoid": (
        lambda: network(layers.Dense(5), layers.Dense(4, "sigmoid", name="layer")),
        KERNEL,
        CENTERED.format("sigmoid"),
    ),
    "softplus": (
        lambda: network(layers.Dense(5), layers.Dense(4, "softplus", name="layer")),
        KERNEL,
        CENTERED.format("softplus"),
    ),
    "normalized sigmoid": (
        lambda: in_normalized(layers.Dense(4, "sigmoid", name="layer")),
        KERNEL,
        "GlorotUniform()",
    ),
    "sigmoid beside shortcuts": (
        lambda: residual(
            lambda x, n: branch(1)(layers.Dense(6, "sigmoid", name=f"layer{n or ''}")(x), n)
        ),
        KERNEL,
        "GlorotUniform()",
    ),
    # Steep: of sin(30 z) the mean squared slope is 450, and 2 / 30² what Siren draws.
    "sin(30 z)": (
        lambda: network(layers.Dense(5), layers.Dense(4, sine, name="layer")),
        KERNEL,
        "VarianceScaling(scale=0.002222)",
    ),
    "sin(30 z), first": (
        lambda: network(layers.Dense(4, sine, name="layer")),
        KERNEL,
        "Siren(first=True)",
    ),
    "output of sin(30 z)": (
        lambda: network(layers.Dense(4, sine), layers.Dropout(0.1)),
        "output/kernel",
        "VarianceScaling(scale=0.002222)",
    ),
    "tanh output of sin(30 z)": (
        lambda: network(layers.Dense(4, sine), output=layers.Dense(3, "tanh", name="output")),
        "output/kernel",
        "VarianceScaling(scale=0.002222)",
    ),
    "output of sin(z)": (
        lambda: network(layers.Dense(4, ops.sin)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "output of an output of sin(30 z)": (
        lambda: network(layers.Dense(4, sine), layers.Dense(4)),
        "output/kernel",
        "GlorotUniform()",
    ),
    "21 sin(30 z)": (lambda: deep(sine, 21), KERNEL, "VarianceScaling(scale=0.002222)"),
    "sin(z)": (
        lambda: network(layers.Dense(5), layers.Dense(4, ops.sin, name="layer")),
        KERNEL,
        "VarianceScaling(scale=2.313)",
    ),
    # Products of values and gates: f(b)² / (2 depth f'(b)²), and what makes up for E f².
    "sigmoid gate": (lambda: gated("sigmoid"), "gate2/kernel", "VarianceScaling(scale=0.5)"),
    "sigmoid gate, bias": (lambda: gated("sigmoid"), "gate2/bias", "Zeros()"),
    "value of sigmoid gate": (
        lambda: gated("sigmoid"),
        "value2/kernel",
        "Orthogonal(gain=1.906, mode='fan_in')",
    ),
    "silu gate": (lambda: gated("silu"), "gate2/kernel", "VarianceScaling(scale=0.07763)"),
    "silu gate of 20": (
        lambda: gated("silu", 20),
        "gate2/kernel",
        "VarianceScaling(scale=0.01553)",
    ),
    "silu gate, bias": (lambda: gated("silu"), "gate2/bias", "Ones()"),
    "value of silu gate": (
        lambda: gated("silu"),
        "value2/kernel",
        "Orthogonal(gain=1.273, mode='fan_in')",
    ),
    "silu gate without bias": (
        lambda: gated("silu", use_bias=False),
        "gate2/kernel",
        "LecunNormal()",
    ),
    "value of silu gate without bias": (
        lambda: gated("silu", use_bias=False),
        "value2/kernel",
        "LecunNormal()",
    ),
    "normalized silu gate": (
        lambda: gated("silu", normalization=layers.LayerNormalization),
        "gate2/kernel",
        "LecunNormal()",
    ),
    "normalized sigmoid gate": (
        lambda: gated("sigmoid", normalization=layers.LayerNormalization),
        "gate2/kernel",
        "GlorotUniform()",
    ),
    "value of normalized silu gate": (
        lambda: gated("silu", normalization=layers.LayerNormalization),
        "value2/kernel",
        "LecunNormal()",
    ),
    "depthwise kernel of a value": (separable_gated, "value/depthwise_kernel", "LecunNormal()"),
    "depthwise kernel of a gate": (separable_gated, "gate/depthwise_kernel", "LecunNormal()"),
    "pointwise kernel of a value": (
        separable_gated,
        "value/pointwise_kernel",
        "Orthogonal(gain=1.846, mode='fan_in')",
    ),
    "value and sigmoid gate": (
        lambda: gated_at_once(keras.activations.glu),
        "both2/kernel",
        "PerGate(initializer=Orthogonal(mode='fan_in'), gates=2, gains=[1.906, 0.7071])",
    ),
    "value and sigmoid gate, bias": (
        lambda: gated_at_once(keras.activations.glu),
        "both2/bias",
        "Zeros()",
    ),
    "value and silu gate": (
        lambda: gated_at_once(swiglu),
        "both2/kernel",
        "PerGate(initializer=Orthogonal(mode='fan_in'), gates=2, gains=[1.273, 0.2786])",
    ),
    "value and silu gate, bias": (
        lambda: gated_at_once(swiglu),
        "both2/bias",
        "PerGate(initializer='ones', gates=2, gains=[0.0, 1.0])",
    ),
    "silu gate and value, bias": (
        lambda: gated_at_once(gate_first),
        "both2/bias",
        "PerGate(initializer='ones', gates=2, gains=[1.0, 0.0])",
    ),
    "normalized value and silu gate": (
        lambda: gated_at_once(swiglu, normalization=layers.LayerNormalization),
        "both2/kernel",
        "LecunNormal()",
    ),
    # Gates of a product that is a part of a sum, of signals of any kind.
    "highway": (highway, KERNEL, "GlorotUniform()"),
    "a gate that a kernel takes as well": (
        lambda: highway(lambda gate, new, x: gate * new * layers.Dense(6)(gate)),
        KERNEL,
        CENTERED.format("sigmoid"),
    ),
    "a gate that is given on as well": (
        lambda: highway(lambda gate, new, x: layers.Concatenate()([gate * new, gate])),
        KERNEL,
        CENTERED.format("sigmoid"),
    ),
    # Deep linear networks.
    "5 linear": (lambda: deep(None, 5), KERNEL, "Orthogonal()"),
    "5 linear, first": (lambda: deep(None, 5), "first/kernel", "Orthogonal()"),
    "5 linear, wider": (lambda: deep_and_wider(None, 5), KERNEL, "Orthogonal(mode='fan_in')"),
    "5 linear convolutions": (lambda: deep_convolutions(5, None), KERNEL, "DeltaOrthogonal()"),
    "5 linear, softmax": (
        lambda: keras.Sequential([deep(None, 5), layers.Softmax()]),
        KERNEL,
        "Orthogonal()",
    ),
    "5 linear, output": (lambda: deep(None, 5), "output/kernel", "GlorotUniform()"),
    "4 linear": (lambda: deep(None, 4), KERNEL, "LecunNormal()"),
    "4 linear and relu": (
        lambda: keras.Sequential([deep(None, 4), layers.ReLU(), layers.Dense(2)]),
        KERNEL,
        "LecunNormal()",
    ),
    "5 linear, normalized": (
        lambda: keras.Sequential([deep(None, 5), layers.LayerNormalization()]),
        KERNEL,
        "LecunNormal()",
    ),
    # Pairs.
    "6 relu": (lambda: deep("relu", 6), KERNEL, "Mirrored()"),
    "6 relu, first": (
        lambda: deep("relu", 6),
        "first/kernel",
        "Mirrored(gain=0.5, first=True)",
    ),
    "6 relu, output": (lambda: deep("relu", 6), "output/kernel", "Mirrored(last=True)"),
    "6 relu, bias": (lambda: deep("relu", 6), "layer/bias", "Zeros()"),
    "6 relu, before sigmoid": (
        lambda: network(
            *[layers.Dense(6, "relu") for _ in range(4)],
            layers.Dense(6, "sigmoid", name="layer"),
        ),
        KERNEL,
        "Mirrored(gain=1.846, last=True)",  # the mean square of sigmoid(z) is 1 / 1.846²
    ),
    "6 leaky_relu": (lambda: deep("leaky_relu", 6), KERNEL, "Mirrored(gain=0.8333)"),
    "6 softplus": (lambda: deep("softplus", 6), KERNEL, "Mirrored()"),
    # Of exp(z) where z is small: 0.1 / 2 sinh'(0), and back to size 1.
    "2 exponential, first": (
        lambda: deep("exponential", 2),
        "first/kernel",
        "Mirrored(gain=0.05, first=True)",
    ),
    "2 exponential": (lambda: deep("exponential", 2), KERNEL, "Mirrored(gain=0.4975)"),
    "2 exponential, output": (
        lambda: deep("exponential", 2),
        "output/kernel",
        "Mirrored(gain=4.975, last=True)",
    ),
    "exponential, normalized": (
        lambda: in_normalized(layers.Dense(4, "exponential", name="layer")),
        KERNEL,
        "VarianceScaling(scale=0.1353)",
    ),
    "6 relu, normalized": (lambda: normalized(6), KERNEL, "Mirrored()"),
    "6 relu, biased": (lambda: unpaired("relu", 6), KERNEL, "HeNormal()"),
    "6 tanh": (lambda: deep("tanh", 6), KERNEL, "VarianceScaling(scale=2.536)"),
    "5 relu": (lambda: deep("relu", 5), KERNEL, "HeNormal()"),
    "6 relu beside shortcuts": (
        lambda: residual(branch(2, layers.BatchNormalization)),
        "block1_1/kernel",
        "HeNormal()",
    ),
    "13 convolutions": (lambda: deep_convolutions(13), KERNEL, "Mirrored()"),
    "12 convolutions": (lambda: deep_convolutions(12), KERNEL, "HeNormal()"),
    # Deep rectifiers without pairs.
    "31 relu": (lambda: unpaired("relu", 31), KERNEL, "Orthogonal(gain=1.414)"),
    "31 relu, wider": (
        lambda: deep_and_wider("relu", 31, **BIASED),
        KERNEL,
        "Orthogonal(gain=1.414, mode='fan_in')",
    ),
    "31 leaky_relu": (lambda: unpaired("leaky_relu", 31), KERNEL, "Orthogonal(gain=1.387)"),
    "depthwise between pairs": (
        lambda: network(
            *[layers.SeparableConv1D(4, 3, activation="relu", padding="same") for _ in range(11)],
            layers.DepthwiseConv1D(3, activation="relu", padding="same", name="layer"),
            layers.GlobalAveragePooling1D(),
            shape=(6, 2),
        ),
        KERNEL,
        "Shift(paired=True)",
    ),
    "31 convolutions": (
        lambda: deep_convolutions(31, **BIASED),
        KERNEL,
        "DeltaOrthogonal(gain=1.414)",
    ),
    "31 convolutions, with stride": (
        lambda: deep_convolutions(31, **BIASED),
        "strided/kernel",
        "Orthogonal(gain=1.414)",
    ),
    "30 relu": (lambda: unpaired("relu", 30), KERNEL, "HeNormal()"),
    "21 elu": (lambda: deep("elu", 21), KERNEL, "Orthogonal(gain=1.245)"),
    "31 relu, layer normalization": (
        lambda: keras.Sequential([unpaired("relu", 31), layers.LayerNormalization()]),
        KERNEL,
        "HeNormal()",
    ),
    # Deep gelu, silu and mish without pairs: the critical point.
    "21 silu": (lambda: unpaired("silu", 21), KERNEL, "VarianceScaling(scale=1.988)"),
    "21 silu, bias": (
        lambda: unpaired("silu", 21),
        "layer/bias",
        "RandomNormal(stddev=0.7451)",
    ),
    "21 silu, first": (
        lambda: unpaired("silu", 21),
        "first/kernel",
        "VarianceScaling(scale=13.77)",  # 14.32 - 0.5551
    ),
    "21 gelu": (lambda: unpaired("gelu", 21), KERNEL, "VarianceScaling(scale=1.983)"),
    "21 mish": (lambda: unpaired("mish", 21), KERNEL, "VarianceScaling(scale=2.014)"),
    "20 silu": (lambda: unpaired("silu", 20), KERNEL, "VarianceScaling(scale=2.811)"),
    "20 silu, bias": (lambda: unpaired("silu", 20), "layer/bias", "RandomNormal()"),
    "21 silu without bias": (
        lambda: moving("silu", 21),
        KERNEL,
        "VarianceScaling(scale=2.811)",
    ),
    # Deep tanh and the like: orthogonal at the critical point.
    "21 tanh": (lambda: deep("tanh", 21), KERNEL, "Orthogonal(gain=1.025)"),  # sqrt(1.05)
    "21 tanh, first": (lambda: deep("tanh", 21), "first/kernel", "VarianceScaling(scale=0.02579)"),
    "21 tanh, bias": (lambda: deep("tanh", 21), "layer/bias", "Zeros()"),
    "21 tanh, wider": (
        lambda: deep_and_wider("tanh", 21),
        KERNEL,
        "Orthogonal(gain=1.025, mode='fan_in')",
    ),
    "21 softsign": (lambda: deep("softsign", 21), KERNEL, "Orthogonal(gain=1.05)"),
    "21 tanh convolutions": (
        lambda: deep_convolutions(21, "tanh"),
        KERNEL,
        "DeltaOrthogonal(gain=1.025)",
    ),
    "20 tanh": (lambda: deep("tanh", 20), KERNEL, "VarianceScaling(scale=2.536)"),
    "21 selu": (lambda: deep("selu", 21), KERNEL, "Orthogonal()"),
    "20 selu": (lambda: deep("selu", 20), KERNEL, "LecunNormal()"),
    # The first dense layer: 0.3² of the variance.
    "first relu": (lambda: deep("relu", 3), "first/kernel", "VarianceScaling(scale=0.08)"),
    "first selu": (lambda: deep("selu", 3), "first/kernel", "VarianceScaling(scale=0.09)"),
    "first selu, alpha dropout": (
        lambda: network(
            layers.Dense(5, "selu", name="layer"), layers.AlphaDropout(0.1), layers.Dense(4, "selu")
        ),
        KERNEL,
        "LecunNormal()",
    ),
    "first selu, no alpha dropout": (
        lambda: network(
            layers.Dense(5, "selu", name="layer"), layers.AlphaDropout(0), layers.Dense(4, "selu")
        ),
        KERNEL,
        "VarianceScaling(scale=0.09)",
    ),
    "first gelu": (lambda: unpaired("gelu", 20), "first/kernel", "VarianceScaling(scale=0.2117)"),
    "first of convolutions": (lambda: deep_convolutions(3), "strided/kernel", "HeNormal()"),
    "first of a network with convolutions": (
        lambda: network(
            layers.Dense(4, "relu", name="layer"),
            layers.Conv1D(2, 3),
            layers.Flatten(),
            shape=(6, 2),
        ),
        KERNEL,
        "HeNormal()",
    ),
    "first pairs of a network with convolutions": (
        lambda: deep_convolutions(13),
        "strided/kernel",
        "Mirrored(first=True)",
    ),
    "first, normalized": (
        lambda: network(layers.Dense(4, name="layer"), layers.BatchNormalization(), layers.ReLU()),
        KERNEL,
        "LecunNormal()",
    ),
    "convolution before normalization and gelu": (
        lambda: network(
            layers.Conv1D(4, 3, name="layer"),
            layers.LayerNormalization(),
            layers.Activation("gelu"),
            layers.Flatten(),
            shape=(6, 2),
        ),
        KERNEL,
        "LecunNormal()",
    ),
    "sum, normalization and relu": (
        lambda: residual(
            lambda x, number: (
                x
                + layers.Dense(6, name="layer" if number == 1 else None)(
                    layers.ReLU()(layers.BatchNormalization()(x))
                )
            )
        ),
        KERNEL,
        "HeNormal()",
    ),
    "normalization after relu": (
        lambda: network(layers.Dense(4, "relu", name="layer"), layers.BatchNormalization()),
        KERNEL,
        "HeNormal()",
    ),
    "first of 21": (lambda: deep("elu", 21), "first/kernel", "Orthogonal(gain=1.245)"),
    "first pairs of 21": (lambda: deep("relu", 21), "first/kernel", "Mirrored(first=True)"),
    "first pairs of softplus": (
        lambda: deep("softplus", 6),
        "first/kernel",
        "Mirrored(first=True)",
    ),
    "first, linear": (lambda: deep(None, 3), "first/kernel", "LecunNormal()"),
    "first and output": (
        lambda: network(output=layers.Dense(4, "relu", name="layer")),
        KERNEL,
        "HeNormal()",
    ),
    "first of a cell": (
        lambda: network(layers.SimpleRNN(4, "relu", name="layer"), shape=(5, 6)),
        "layer/simple_rnn_cell/kernel",
        "HeNormal()",
    ),
    # Anything else: gain² / fan_in.
    "relu": (lambda: deep("relu", 3), KERNEL, "HeNormal()"),
    "selu": (lambda: deep("selu", 3), KERNEL, "LecunNormal()"),
    "linear": (lambda: network(layers.Dense(4, name="layer")), KERNEL, "LecunNormal()"),
    "gelu": (lambda: deep("gelu", 3), KERNEL, "VarianceScaling(scale=2.352)"),
    "normalized relu": (
        lambda: in_normalized(layers.Dense(4, "relu", name="layer")),
        KERNEL,
        "HeNormal()",
    ),
}


@pytest.mark.parametrize("case", DECISIONS)
def test_suggest_decides_by_its_list(case):
    build, weight, expected = DECISIONS[case]
    assert given_to(weight, build()) == expected


LONG_MEMORY = {
    "16 steps": (lambda: lstm(), (16, 3), "ChronoBias(max_timescale=16, open_share=0.5)"),
    "both ways": (
        lambda: layers.Bidirectional(lstm()),
        (50, 3),
        "ChronoBias(max_timescale=50, open_share=0.5)",
    ),
    "15 steps": (lambda: lstm(), (15, 3), "Zeros()"),
    "unknown steps": (lambda: lstm(), (None, 3), "Zeros()"),
    "all states": (lambda: lstm(return_sequences=True), (16, 3), "Zeros()"),
    "one's own forget gate": (lambda: lstm(unit_forget_bias=False), (16, 3), "Zeros()"),
    "one's own bias": (lambda: lstm(bias_initializer="ones"), (16, 3), "Ones()"),
    "GRU": (lambda: gru(), (32, 3), "ChronoBias(max_timescale=32, open_share=0.5)"),
    "GRU of one bias": (
        lambda: gru(reset_after=False),
        (32, 3),
        "ChronoBias(max_timescale=32, open_share=0.5)",
    ),
    "GRU, 31 steps": (lambda: gru(), (31, 3), "Zeros()"),
    "GRU, all states": (lambda: gru(return_sequences=True), (32, 3), "Zeros()"),
    "GRU, one's own bias": (lambda: gru(bias_initializer="ones"), (32, 3), "Ones()"),
}


@pytest.mark.parametrize("case", LONG_MEMORY)
def test_an_lstm_of_long_sequences_remembers_over_all_of_their_lengths(case):
    build, shape, expected = LONG_MEMORY[case]
    rows = keras_winit.suggest(network(build(), shape=shape)).rows
    biases = [row.initializer for row in rows if row.weight.endswith("cell/bias")]
    assert biases
    assert set(biases) == {expected}


@pytest.mark.parametrize("make", [lstm, gru])
def test_a_memory_that_was_loaded_gets_the_same_again(make, tmp_path):
    model = network(make(), shape=(32, 2))
    expected = keras_winit.initialize(model).rows
    model.save(tmp_path / "model.keras")
    found = keras_winit.suggest(keras.models.load_model(tmp_path / "model.keras")).rows
    for one, other in zip(expected, found, strict=True):
        assert other.initializer.startswith(one.initializer.removesuffix(")"))


def test_half_of_the_units_of_a_gru_remembers():
    model = network(gru(), shape=(40, 3))
    keras_winit.initialize(model, seed=0)
    bias = keras.ops.convert_to_numpy(model.get_layer("layer").cell.bias)
    update, reset, candidate = np.split(bias[0], 3)
    is_open = np.arange(len(update)) < len(update) / 2
    np.testing.assert_array_equal(update[is_open], -4)
    np.testing.assert_array_equal(reset, 4 * is_open)
    assert len(set(update[~is_open])) == np.sum(~is_open) > 0
    assert ((0 <= update) & (update <= math.log(39)))[~is_open].all()
    assert not np.any(candidate)
    assert not bias[1].any()


def test_an_lstm_that_goes_on_from_batch_to_batch_keeps_its_biases():
    layer = lstm(stateful=True)
    inputs = keras.Input((16, 3), batch_size=2)
    plan = keras_winit.suggest(keras.Model(inputs, layer(inputs)))
    assert {row.initializer for row in plan.rows if row.shape == (20,)} == {"Zeros()"}


def test_gates_of_a_long_memory_are_those_of_the_length():
    model = network(lstm(), shape=(40, 3))
    keras_winit.initialize(model, seed=0)
    (layer,) = (each for each in model.layers if each.name == "layer")
    bias = keras.ops.convert_to_numpy(layer.cell.bias).reshape(4, 5)
    input_gate, forget_gate, cell, output_gate = bias[:, 3:]
    np.testing.assert_array_equal(input_gate, -forget_gate)
    assert len(set(forget_gate)) == 2
    assert (0 <= forget_gate).all()
    assert (forget_gate <= math.log(39)).all()
    assert not np.any([cell, output_gate])
    for unit in range(3):  # half of the units do not remember
        np.testing.assert_array_equal(bias[:, unit], [4, -4, 0, 4])
    assert layer.unit_forget_bias is False
    keras_winit.initialize(model, "own", seed=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.cell.bias)[5:10], 1)


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU])
def test_open_units_are_groups_of_a_simple_rnn(make):
    """Their states are those of that network; those that remember are apart from them."""
    units, steps = 24, 40
    model = network(make(units, name="layer"), shape=(steps, 5))
    keras_winit.initialize(model, seed=0)
    cell = model.get_layer("layer").cell
    kernel, states = map(keras.ops.convert_to_numpy, (cell.kernel, cell.recurrent_kernel))
    candidate = slice(2 * units, 3 * units)  # the third gate of either
    kernel, states = kernel[:, candidate][:, :12], states[:, candidate]
    assert not states[:12, 12:].any()
    assert not states[12:, :12].any()
    simple = layers.SimpleRNN(12)
    x = np.random.default_rng(0).normal(size=(32, steps, 5)).astype("float32")
    simple.build(x.shape)
    simple.set_weights([kernel, states[:12, :12] / 1.037, np.zeros(12)])
    expected = keras.ops.convert_to_numpy(simple(x))[:, 3:]  # without those that are not small
    found = keras.ops.convert_to_numpy(model.get_layer("layer")(x))[:, 3:12]
    slope = (found * expected).mean() / (expected**2).mean()
    assert 0.7 < slope < 1.3
    cosines = (found * expected).mean(0) / np.sqrt((found**2).mean(0) * (expected**2).mean(0))
    assert (cosines > 0.8).all(), cosines


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU])
def test_outputs_of_a_long_memory_have_the_size_of_their_targets(make):
    """Of inputs that are independent and all the same; units that do not remember give more."""
    units, steps = 60, 40
    model = network(make(units), shape=(steps, 5), output=layers.Dense(40))
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(64, steps, 5))
    same = np.repeat(rng.normal(size=(64, 1, 5)), steps, axis=1)
    sizes = []
    for seed in range(3):
        keras_winit.initialize(model, seed=seed)
        for x in (independent, same):
            sizes.append(np.std(keras.ops.convert_to_numpy(model(x.astype("float32")))))
    small, large = np.reshape(sizes, (3, 2)).mean(0)
    assert 1 < small < large < 2.5


def test_groups_of_an_rnn_take_less_and_less_and_its_output_has_the_size_of_its_targets():
    model = network(layers.SimpleRNN(60, name="layer"), shape=(100, 5), output=layers.Dense(40))
    inputs = np.random.default_rng(0).normal(size=(64, 100, 5)).astype("float32")
    sizes, of_groups = [], []
    for seed in range(3):
        keras_winit.initialize(model, seed=seed)
        cell = model.get_layer("layer").cell
        kernel, states = map(keras.ops.convert_to_numpy, (cell.kernel, cell.recurrent_kernel))
        of_groups.append((kernel.reshape(5, 4, 15) ** 2).mean((0, 2)))
        assert np.count_nonzero(states) == 4 * 15**2
        sizes.append(keras.ops.convert_to_numpy(model(inputs)).std())
    shares = np.mean(of_groups, axis=0) / (2 / 65)  # by Glorot
    # Four standard errors of 225 numbers that are uniform.
    expected = 0.01 ** (2 * np.arange(4) / 3)
    np.testing.assert_allclose(shares, expected, rtol=4 * math.sqrt(0.8 / 225))
    assert 1 < np.mean(sizes) < 2.5  # where the small ones are to count, the large ones do more


def test_an_output_alone_is_for_the_memory_that_is_there():
    model = network(lstm(), shape=(40, 3))
    (row,) = keras_winit.initialize(model, only="output/kernel").rows
    assert row.initializer == "GlorotUniform()"


# One of them for each line.
REACHED = (
    *("positions", "weight of positions"),
    *("recurrent, 16 steps", "kernel of an LSTM, 16 steps"),
    *("recurrent of a GRU, 32 steps", "kernel of a GRU, 32 steps", "recurrent of tanh, 16 steps"),
    *("recurrent", "query in a branch"),
    *("kernel of tanh, 16 steps", "gates", "softmax"),
    *("depthwise kernel in a branch", "branch of one", "last in a branch"),
    *("first of two in a branch", "value and sigmoid gate", "normalized value and silu gate"),
    *("value of sigmoid gate", "sigmoid gate"),
    *("normalized silu gate", "output of sin(30 z)", "output of 16 steps"),
    *("depthwise between pairs", "6 relu, first", "6 relu", "6 relu, output", "output"),
    *("highway", "normalized sigmoid", "first sigmoid", "sigmoid", "sin(30 z), first", "sin(30 z)"),
    *("5 linear convolutions", "5 linear, wider", "5 linear"),
    *("21 tanh, first", "21 tanh convolutions", "21 tanh, wider", "21 tanh"),
    *("31 convolutions", "31 relu, wider", "31 relu", "21 silu", "first relu"),
    *("convolution before normalization and gelu", "selu", "relu"),
)


@pytest.mark.parametrize(
    ("line", "case"), [*zip(LINES, REACHED, strict=True)], ids=[line.name for line in LINES]
)
def test_every_line_is_reached_and_says_what_it_gives(line, case):
    build, path, expected = DECISIONS[case]
    found = Network(build(), anew=True)
    (weight,) = (each for each in found.weights if f"/{each.path}".endswith(f"/{path}"))
    pairing = suggested_pairings(found, "special").get(weight) if is_worth_pairs(found) else None
    assert line_for(LINES, Case(weight, found, pairing)) is line
    name = expected.partition("(")[0]
    is_scaling = name in ("VarianceScaling", "HeNormal", "LecunNormal")
    said = [f"`{name}", f"`{snake_case(name)}`", *["varianc"] * is_scaling]
    assert any(each in line.gets for each in said)


def test_no_line_is_named_twice():
    assert len({line.name for line in LINES}) == len(LINES)


def test_the_docstring_prints_the_limits_of_the_list():
    text = re.sub(r"\s+", " ", keras_winit.suggest.__doc__)
    assert f"of more than {DEEP_LINEAR} layers without activations" in text
    assert f"number of steps, {LONG} or more of an LSTM, {LONG_GRU} of a GRU" in text
    limits = f"of more than {SHALLOW} layers ({SHALLOW_CONVOLUTIONS} where there are convolutions)"
    assert f"{limits} without shortcuts: `Mirrored`" in text
    assert f"not kept, in a plain network of more than {VERY_DEEP} layers: the same" in text
    assert f"in a plain network of more than {DEEP} layers: the critical point" in text
    assert (
        f"of {DEEP} layers or less without convolutions or AlphaDropout: {UPSTREAM} times the size"
        in text
    )
    assert f"({UPSTREAM_RELU} before relu and leaky_relu)" in text


@pytest.mark.parametrize(
    "build", [lambda: deep("silu", 21), lambda: residual(branch(2)), attending]
)
def test_every_kernel_has_a_reason_and_a_reference(build):
    for row in keras_winit.suggest(build()).rows:
        if row.fan_in is not None:
            assert row.reason
            assert re.search(r", (19|20)\d\d", row.reference)


def drift(function):
    """Returns how second moments drift in a layer: of a signal that is off, or of a gradient."""

    def mean(g):
        density = scipy.stats.norm.pdf
        return scipy.integrate.quad(lambda z: g(z) * density(z), -9, 9, points=[0])[0]

    def signal(second_moment):
        return mean(lambda z: function(math.sqrt(second_moment) * z) ** 2)

    step = 1e-3
    slopes = mean(lambda z: ((function(z + step) - function(z - step)) / (2 * step)) ** 2)
    return max((signal(1 + step) - signal(1 - step)) / (2 * step), slopes) / signal(1)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("gelu", lambda z: z * scipy.stats.norm.cdf(z)), ("tanh", np.tanh), ("softsign", None)],
)
def test_the_plan_says_how_many_layers_a_variance_is_fine_for(activation, function):
    growth = drift(function or (lambda z: z / (1 + abs(z))))
    rows = keras_winit.suggest(network(*[layers.Dense(4, activation) for _ in range(2)])).rows
    row = rows[2]  # after those of the first layer
    number = round(math.log(20) / math.log(growth))
    assert row.reason.endswith(f"(drifts by {growth:.3g} a layer: fine to about {number} layers)")


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear", "selu"])
def test_the_plan_says_nothing_of_depth_where_sizes_stay(activation):
    assert "fine to" not in keras_winit.suggest(deep(activation, 4)).rows[2].reason


def test_the_plan_says_nothing_of_depth_beside_normalization():
    model = in_normalized(layers.Dense(4, "gelu"))
    assert "fine to" not in keras_winit.suggest(model).rows[0].reason


# Schemes by name.


def test_critical_is_the_edge_of_chaos_for_every_layer():
    model = network(
        layers.Dense(4, "gelu", name="first"),
        layers.Dense(4, name="second"),
        layers.Activation("gelu"),
        layers.Dense(4, "relu", name="third"),
    )
    found = [each for path, each in given(model, "critical").items()]
    assert found == [
        *("VarianceScaling(scale=3.389)", "RandomNormal(stddev=0.4158)"),  # 3.56155 - 0.17292
        *("VarianceScaling(scale=1.983)", "RandomNormal(stddev=0.4158)"),
        *("HeNormal()", "Zeros()"),
        *("LecunNormal()", "Zeros()"),
    ]


def test_critical_scales_branches_so_that_their_sum_keeps_its_size():
    model = residual(branch(2, activation="gelu"), blocks=60)
    keras_winit.initialize(model, "critical", seed=1)
    x = np.random.default_rng(0).standard_normal((64, 6))
    outputs = keras.ops.convert_to_numpy(model(x))
    assert 0.2 < outputs.std() < 5  # 3e5 from kernels and biases at the critical point
    branches = [str(each) for path, each in given(model, "critical").items() if "stem" not in path]
    assert not any(each.startswith("RandomNormal") for each in branches)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
def test_critical_refuses_activations_without_a_critical_point(activation):
    model = network(layers.Dense(4, activation))
    before = model.get_weights()
    message = f"Model {model.name!r}, scheme 'critical': `activation` should have a critical"
    with pytest.raises(ValueError, match=message):
        keras_winit.initialize(model, "critical")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("fixup", ["VarianceScaling(scale=0.5)", "Zeros()", "Zeros()"]),
        ("zero_last", ["HeNormal()", "Zeros()", "LecunNormal()"]),
        ("gpt2", ["HeNormal()", "VarianceScaling(scale=0.25)", "LecunNormal()"]),
    ],
)
@pytest.mark.parametrize("end", [(), (layers.BatchNormalization,)])
def test_schemes_for_branches(scheme, expected, end):
    model = residual(branch(2, *end))
    names = ("block1_1", "block1_2", "output")
    assert [given_to(f"{name}/kernel", model, scheme) for name in names] == expected
    assert given_to("stem/kernel", model, scheme) == "LecunNormal()"
    assert given_to("block1_1/bias", model, scheme) == "Zeros()"


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("fixup", "VarianceScaling(scale=0.25)"),
        ("zero_last", "Zeros()"),
        ("gpt2", "VarianceScaling(scale=0.25)"),
    ],
)
def test_in_attention_only_the_output_is_scaled(scheme, expected):
    plan = given(residual(attention), scheme)
    outputs = {each for path, each in plan.items() if path.endswith("attention_output/kernel")}
    others = {each for path, each in plan.items() if re.search("(query|key|value)/kernel", path)}
    assert outputs == {expected}
    assert others == {"LecunNormal()"}


@pytest.mark.parametrize("scheme", ["fixup", "zero_last", "gpt2"])
def test_schemes_for_branches_refuse_models_without(scheme):
    class Branching(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x if ops.sum(x) > 0 else -x)

    with pytest.raises(ValueError, match='no residual branch was found.*Use "suggested" instead'):
        keras_winit.initialize(network(layers.Dense(4)), scheme)
    model = Branching()
    model(np.ones((2, 4), "float32"))
    with pytest.raises(ValueError, match=r"no residual branch was found in the model \(.*bool"):
        keras_winit.initialize(model, scheme)


# Branches that start at zero learn.

ENDS = {"": (), "norm": (layers.BatchNormalization,), "rezero": (ReZero,), "gamma": (ZeroGamma,)}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("scheme", ["suggested", "fixup", "zero_last"])
def test_no_branch_has_two_zeros_in_series(scheme, end):
    starts_at_zero = end in ("rezero", "gamma")
    left_at_zero = 0 if starts_at_zero or (scheme, end) == ("suggested", "norm") else 1
    plan = given(residual(branch(2, *ENDS[end])), scheme)
    for number in range(4):
        kernels = [plan[f"block{number}_{place}/kernel"] for place in (1, 2)]
        assert kernels.count("Zeros()") == left_at_zero


@pytest.mark.parametrize(
    ("scheme", "end"), [("suggested", ""), ("fixup", ""), ("suggested", "rezero")]
)
def test_two_steps_of_training_change_a_kernel_or_scale_of_every_branch(scheme, end):
    model = residual(branch(2, *ENDS[end]), blocks=2)
    keras_winit.initialize(model, scheme, seed=1)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((8, size)).astype("float32") for size in (6, 3))
    for _ in range(2):
        model.train_on_batch(x, y)
    changed = [
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if weight.name != "bias" and not np.array_equal(ops.convert_to_numpy(weight), old)
    ]
    for number in range(2):
        assert any(path.startswith(f"block{number}") for path in changed)


# Signals in deep networks. A layer of width n multiplies the second moment of its signal by a
# random number, whose logarithm has a mean of -κ/2n and a variance of κ/n, with κ = E f⁴/(E f²)²
# - 1, and two less for orthogonal weights, which keep the length of each sample. For relu κ = 5.

WIDTH = 64


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(0).standard_normal((32, WIDTH)).astype("float32")


def plain(activation, depth):
    hidden = [[layers.Dense(WIDTH), layers.Activation(activation)] for _ in range(depth)]
    return network(*itertools.chain(*hidden), shape=(WIDTH,))


def preactivations(model, x):
    """Returns what each kernel of a model gives, the output's left out."""
    kernels = [layer.output for layer in model.layers if isinstance(layer, layers.Dense)]
    outputs = keras.Model(model.inputs[0], kernels[:-1])(x)
    return [ops.convert_to_numpy(output) for output in outputs]


def log_growth(model, scheme, x, seeds=(1, 2, 3)):
    """Returns ln of the second moments of the last and the first signal, averaged over seeds."""
    ratios = []
    for seed in seeds:
        keras_winit.initialize(model, scheme, seed=seed)
        first, *_, last = preactivations(model, x)
        ratios.append(math.log(np.mean(last**2) / np.mean(first**2)))
    return np.mean(ratios)


def test_40_linear_layers_keep_all_lengths():
    model = network(*[layers.Dense(units) for units in [24] * 20 + [36] * 19], shape=(24,))
    keras_winit.initialize(model, seed=1)
    kernels = [ops.convert_to_numpy(layer.kernel) for layer in model.layers[:-1]]
    values = np.linalg.svd(np.linalg.multi_dot(kernels), compute_uv=False)
    np.testing.assert_allclose(values, math.sqrt(36 / 24), rtol=1e-4)  # and each unit its size


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "relu"])
def test_20_gated_layers_keep_the_signal(activation, batch):
    model = gated(activation, 21, units=WIDTH)
    products = [layer.output for layer in model.layers if isinstance(layer, layers.Multiply)]
    signals = keras.Model(model.inputs[0], [products[0], products[-1]])

    def growth(scheme):
        keras_winit.initialize(model, scheme, seed=1)
        first, last = (np.mean(ops.convert_to_numpy(each) ** 2) for each in signals(batch))
        return last / first

    # Of 64 units with a variance of E v⁴ - 1 = 2 in each of 19 layers the sum has 0.77².
    assert abs(math.log(growth("suggested")) + 19 / WIDTH) < 4 * 0.77 / 2
    assert growth("keras") < 1e-6


@pytest.mark.parametrize(
    "product", [keras.activations.glu, swiglu, gate_first], ids=["glu", "swiglu", "gate first"]
)
def test_values_and_gates_of_one_kernel_start_as_those_of_two(product, batch):
    """The halves have the variances that two layers would have, each orthogonal."""
    activation = "sigmoid" if product is keras.activations.glu else "silu"
    at_once = gated_at_once(product, 21, units=WIDTH)
    apart = gated(activation, 21, units=WIDTH)
    for model in (at_once, apart):
        keras_winit.initialize(model, seed=1)
    both = at_once.get_layer("both2")
    halves = np.split(ops.convert_to_numpy(both.kernel), 2, axis=1)
    value, gate = halves if product is not gate_first else reversed(halves)
    for half, name in ((value, "value2"), (gate, "gate2")):
        other = ops.convert_to_numpy(apart.get_layer(name).kernel)
        product_of_rows = half @ half.T
        size = np.mean(np.diag(product_of_rows))
        np.testing.assert_allclose(product_of_rows, size * np.eye(WIDTH), atol=1e-4 * size)
        # Four standard errors of the variance of as many normal numbers.
        assert half.var() == pytest.approx(other.var(), rel=4 * math.sqrt(2) / WIDTH)
    biases = np.split(ops.convert_to_numpy(both.bias), 2)
    assert np.concatenate(biases).sum() == (WIDTH if activation == "silu" else 0)
    sizes = [np.mean(ops.convert_to_numpy(model(batch)) ** 2) for model in (at_once, apart)]
    assert abs(math.log(sizes[0] / sizes[1])) < 4 * 0.77 * math.sqrt(2) / 2  # as above


def test_60_relu_layers_keep_the_signal(batch):
    model, variance = plain("relu", 60), 59 * 3 / WIDTH
    growth = log_growth(model, "suggested", batch)
    assert abs(growth + variance / 2) < 4 * math.sqrt(variance / 3)
    assert log_growth(model, "keras", batch, [1]) < -30  # 59 ln 2 = 41 were lost


def test_200_tanh_layers_keep_the_signal_and_what_tells_samples_apart(batch):
    model = plain("tanh", 200)
    keras_winit.initialize(model, "suggested", seed=1)
    first, *_, last = preactivations(model, batch)
    assert np.mean(first**2) == pytest.approx(0.0258, rel=0.1)
    assert 0.5 < np.mean(last**2) / np.mean(first**2) < 2

    def distances(signal):
        return np.linalg.norm(signal[:, None] - signal[None], axis=-1)[np.triu_indices(20, 1)]

    # A Gaussian of the same variance leaves 1e-5 of the distances in most directions.
    ratio = distances(last[:20]) / distances(first[:20])
    assert ratio.min() > 0.3
    assert ratio.max() < 3


@pytest.mark.parametrize(
    ("widen", "shape"),
    [
        (lambda width: layers.Dense(width), (24,)),
        (lambda width: layers.Conv1D(width, 3, padding="same"), (15, 24)),
    ],
    ids=["dense", "convolution"],
)
def test_30_tanh_layers_keep_the_size_of_units_where_they_widen(widen, shape):
    widths = [24] * 10 + [72] * 10 + [144] * 10
    hidden = [[widen(width), layers.Activation("tanh")] for width in widths]
    model = network(*itertools.chain(*hidden), layers.Flatten(), shape=shape)
    keras_winit.initialize(model, "suggested", seed=1)
    kernels = [layer.output for layer in model.layers if "filters" in layer.get_config()]
    kernels = kernels or [layer.output for layer in model.layers if hasattr(layer, "units")][:-1]
    x = np.random.default_rng(1).normal(size=(64, *shape)).astype("float32")
    signals = keras.Model(model.inputs[0], [kernels[0], kernels[29]])(x)
    first, last = (np.mean(ops.convert_to_numpy(signal) ** 2) for signal in signals)
    # Six times fewer, if only the length were kept.
    assert 0.6 < last / first < 1.2


def test_40_silu_layers_keep_the_critical_signal(batch):
    model, variance = plain("silu", 40), 39 * 5 / WIDTH
    keras_winit.initialize(model, "critical", seed=1)
    assert np.mean(preactivations(model, batch)[0] ** 2) == pytest.approx(14.32, rel=0.1)
    assert abs(log_growth(model, "critical", batch) + variance / 2) < 4 * math.sqrt(variance / 3)


def test_10_sigmoid_layers_keep_samples_apart_if_centered(batch):
    def cosine(scheme):
        keras_winit.initialize(model, scheme, seed=1)
        features = 1 / (1 + np.exp(-preactivations(model, batch)[-1]))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        return (features @ features.T)[np.triu_indices(len(features), 1)].mean()

    model = plain("sigmoid", 10)
    assert cosine("suggested") < 0.9  # 0.852 is that of independent samples
    assert cosine(keras_winit.initializers.ActivationScaling("sigmoid")) > 0.9999


def test_sines_keep_signal_and_gradient_as_siren_does():
    places = np.random.default_rng(1).uniform(-1, 1, size=(200, 2)).astype("float32")
    sines = [layers.Dense(128, sine) for _ in range(6)]
    model = network(*sines, shape=(2,), output=layers.Dense(64))
    report = keras_winit.diagnose(model, places)
    assert "exploding_gradient" in [finding.rule for finding in report.findings]
    keras_winit.initialize(model, seed=1)
    report = keras_winit.diagnose(model, places)
    assert not [finding for finding in report.findings if finding.severity == "error"]
    # 30 z has variance 0.80, where q = 1 - exp(-2 q).
    *_, last, output = report.signal.layers
    assert 900 * last.preactivation.second_moment == pytest.approx(0.80, rel=0.15)
    # 64 outputs of sines whose second moment is q / 2, by a variance of 2 / (30² fan_in).
    expected = pytest.approx(0.80 / 900, rel=4 * math.sqrt(2 / 64))
    assert output.preactivation.second_moment == expected


def test_50_residual_blocks_without_normalization_keep_the_signal(batch):
    model = residual(
        lambda x, n: x + layers.Dense(WIDTH)(layers.Dense(WIDTH, "relu")(x)), 50, width=WIDTH
    )
    stem, top = (model.get_layer(name) for name in ("stem", "output"))
    signals = keras.Model(model.inputs[0], [stem.output, top.input])

    def growth(scheme):
        keras_winit.initialize(model, scheme, seed=1)
        first, last = (np.mean(ops.convert_to_numpy(each) ** 2) for each in signals(batch))
        return last / first

    assert growth("suggested") == 1
    # (1 + 1/50)^50 = e; and branches are orthogonal to their shortcuts but for 1 / √width.
    assert abs(math.log(growth("gpt2")) - 1) < 4 * 2 / math.sqrt(WIDTH)
    assert growth("keras") > 1e6


def gives_a_constant(model):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    outputs = keras.ops.convert_to_numpy(model(x))
    return bool(np.ptp(outputs, 0).max() == 0)


def test_narrow_deep_networks_of_relu_are_never_born_dead():
    """From He's weights a quarter of them is, Lu et al., 2019."""
    model = network(*[layers.Dense(5, "relu") for _ in range(16)])
    dead = {"he_normal": 0, "suggested": 0}
    for scheme in dead:
        for seed in range(15):
            keras_winit.initialize(model, scheme, seed=seed)
            dead[scheme] += gives_a_constant(model)
    assert dead["he_normal"] > 0
    assert dead["suggested"] == 0


@pytest.mark.parametrize("depth", [2, 6])
def test_layers_of_exp_start_as_a_linear_map(depth):
    model = network(*[layers.Dense(8, "exponential") for _ in range(depth)])
    keras_winit.initialize(model, seed=0)
    x, y = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    of_x, of_y, of_both = (keras.ops.convert_to_numpy(model(each)) for each in (x, y, x + y))
    rms = np.sqrt(np.mean(of_both**2))
    assert rms > 0.1
    np.testing.assert_allclose(of_x + of_y, of_both, atol=0.1 * rms)
