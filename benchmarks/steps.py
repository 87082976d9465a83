"""How many steps does a deep network take until it learns, from each start?

Scikit-learn's digits, batches of 64. For each network and start: after how many steps the mean
training loss of five steps is below 0.5, in the best of the given optimizers, as the median of the
seeds; `-` where that is later than the last step. On JAX:

    KERAS_BACKEND=jax python benchmarks/steps.py [--networks "50 relu" ...] [--seeds 3]
        [--starts keras he_normal anyinit lsuv suggested] [--others]

Convolutions take `KERAS_BACKEND=tensorflow`, which trains one run after the other. `--others` takes
networks like them on which nothing was chosen. `anyinit` is PyPI's AnyInit; `lsuv` is orthogonal
and then scaled on a batch.
"""

import argparse
import functools
import itertools

import at_once
import keras
import numpy as np
from deep_networks import residual
from never_worse import BATCH, Positions, dense, digits, gated, start

layers = keras.layers

OPTIMIZERS = ((at_once.adam, 1e-3), (at_once.adam, 1e-4), (at_once.sgd, 1e-2))
BELOW, WINDOW = 0.5, 5


def zigzag(activation, depth):
    """A plain network that widens and narrows all the time."""
    widths = [(128, 32, 256, 64)[number % 4] for number in range(depth)]
    hidden = [layers.Dense(width, activation) for width in widths]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


def convolutions(make, depth, shape, first):
    """Convolutions that keep the shape of images or sequences, then the mean of their places."""
    hidden = [make(layers) for _ in range(depth - 1)]
    pool = layers.GlobalAveragePooling2D if len(shape) == 3 else layers.GlobalAveragePooling1D
    return keras.Sequential([keras.Input(shape), first, *hidden, pool(), layers.Dense(10)])


def conv2d(depth, activation="relu", width=32):
    def make(_):
        return layers.Conv2D(width, 3, padding="same", activation=activation)

    return convolutions(make, depth, (8, 8, 1), make(None))


def conv1d(depth, activation="relu"):
    def make(_):
        return layers.Conv1D(32, 3, padding="same", activation=activation)

    return convolutions(make, depth, (8, 8), make(None))


def separable(depth, activation="relu"):
    def make(_):
        return layers.SeparableConv2D(32, 3, padding="same", activation=activation)

    first = layers.Conv2D(32, 3, padding="same", activation=activation)
    return convolutions(make, depth, (8, 8, 1), first)


def depthwise(depth, activation="relu"):
    """A depthwise kernel and a dense one over channels, each with its activation."""

    def make(_):
        spatial = layers.DepthwiseConv2D(3, padding="same", activation=activation)
        return keras.Sequential([spatial, layers.Conv2D(32, 1, activation=activation)])

    first = layers.Conv2D(32, 3, padding="same", activation=activation)
    return convolutions(make, depth, (8, 8, 1), first)


def transformer(blocks, activation="gelu", width=32):
    """Blocks without normalization, as attention and two dense layers."""
    inputs = keras.Input((8, 8))
    x = Positions()(layers.Dense(width)(inputs))
    for _ in range(blocks):
        x = x + layers.MultiHeadAttention(2, width // 2)(x, x)
        x = x + layers.Dense(width)(layers.Dense(2 * width, activation)(x))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def recurrent(cell, steps=64):
    shape = (steps, 64 // steps)
    return keras.Sequential([keras.Input(shape), cell(64), layers.Dense(10)])


# The shape of their input, and the function that makes them.
NETWORKS = {
    **{
        f"{depth} {name}": ((64,), functools.partial(dense, name, depth, 64))
        for depth in (50, 200)
        for name in ("relu", "leaky_relu", "gelu", "silu", "hard_silu", "softplus", "mish")
    },
    "50 relu, BatchNormalization": ((64,), lambda: dense("relu", 50, 64, True)),
    "50 relu, zigzag": ((64,), lambda: zigzag("relu", 50)),
    "20 separable": ((8, 8, 1), lambda: separable(20)),
    "20 depthwise": ((8, 8, 1), lambda: depthwise(20)),
    "20 conv1d": ((8, 8), lambda: conv1d(20)),
    "20 conv2d": ((8, 8, 1), lambda: conv2d(20)),
    "20 gated": ((64,), lambda: gated(20)),
    "10 blocks": ((8, 8), lambda: transformer(10)),
    "SimpleRNN, 64 steps": ((64, 1), lambda: recurrent(layers.SimpleRNN)),
    "LSTM, 64 steps": ((64, 1), lambda: recurrent(layers.LSTM)),
}
OTHERS = {
    "100 gelu": ((64,), lambda: dense("gelu", 100, 64)),
    "30 softplus, narrow": ((64,), lambda: dense("softplus", 30, 32)),
    "80 tanh": ((64,), lambda: dense("tanh", 80, 64)),
    "50 elu": ((64,), lambda: dense("elu", 50, 64)),
    "50 selu": ((64,), lambda: dense("selu", 50, 64)),
    "30 silu, BatchNormalization": ((64,), lambda: dense("silu", 30, 64, True)),
    "40 silu, zigzag": ((64,), lambda: zigzag("silu", 40)),
    "14 separable, gelu": ((8, 8, 1), lambda: separable(14, "gelu")),
    "15 depthwise, silu": ((8, 8, 1), lambda: depthwise(15, "silu")),
    "30 conv1d, gelu": ((8, 8), lambda: conv1d(30, "gelu")),
    "30 conv2d, silu": ((8, 8, 1), lambda: conv2d(30, "silu", 16)),
    "8 gated": ((64,), lambda: gated(8)),
    "100 residual": ((64,), lambda: residual(100)),
    "20 blocks, relu": ((8, 8), lambda: transformer(20, "relu")),
    "SimpleRNN, 32 steps": ((32, 2), lambda: recurrent(layers.SimpleRNN, 32)),
    "GRU, 64 steps": ((64, 1), lambda: recurrent(layers.GRU)),
}


def steps_until(losses):
    """Returns after how many steps the mean of some losses is low; infinite where it is not."""
    if len(losses) < WINDOW:
        return np.inf
    means = np.convolve(losses, np.full(WINDOW, 1 / WINDOW), "valid")
    reached = np.flatnonzero(means < BELOW)
    return reached[0] + WINDOW if len(reached) else np.inf


def train_together(model, data, runs, steps):
    """Returns the steps that every run takes with each optimizer, all compiled as one."""
    x, y, x_test, _ = data
    weights = []
    for scheme, seed in runs:
        start(model, scheme, seed, x)
        weights.append(at_once.weights_of(model))
    _, orders = zip(*runs, strict=True)
    by_optimizer = at_once.train_by_each(
        OPTIMIZERS, model, weights, orders, (x, y, x_test), at_once.crossentropy, steps, BATCH
    )
    return [[steps_until(each) for each in losses] for losses, _ in by_optimizer]


def train_each(model, data, runs, steps):
    """Does the same one after the other, each until it is there."""
    x, y, *_ = data
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = []
    for update, rate in OPTIMIZERS:
        made = keras.optimizers.SGD(momentum=0.9)
        made = keras.optimizers.Adam() if update is at_once.adam else made
        model.compile(made, crossentropy, jit_compile=False)
        for scheme, seed in runs:
            start(model, scheme, seed, x)
            model.optimizer.learning_rate = rate
            rng, places, losses = np.random.default_rng(seed), np.array([], int), []
            while len(losses) < steps and np.isinf(steps_until(losses[-WINDOW:])):
                if len(places) < BATCH:
                    places = rng.permutation(len(x))
                batch, places = np.split(places, [BATCH])
                model.reset_metrics()
                losses.append(float(model.train_on_batch(x[batch], y[batch])))
            found.append(steps_until(losses))
    return found


def study(model, data, starts, seeds, steps):
    """Returns the steps that a network takes from every start with every optimizer and seed."""
    runs = list(itertools.product(starts, range(seeds)))
    train = train_together if keras.backend.backend() == "jax" else train_each
    found = train(model, data, runs, steps)
    return np.reshape(found, (len(OPTIMIZERS), len(starts), seeds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS, *OTHERS])
    parser.add_argument("--others", action="store_true")
    parser.add_argument(
        "--starts", nargs="+", default=["keras", "he_normal", "anyinit", "lsuv", "suggested"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    names = arguments.networks or list(OTHERS if arguments.others else NETWORKS)
    print("".join([f"{'network':30}", *(f"{each:>12}" for each in arguments.starts)]))
    for name in names:
        shape, make = (NETWORKS | OTHERS)[name]
        found = study(make(), digits(*shape), arguments.starts, arguments.seeds, arguments.steps)
        best = np.median(found, axis=-1).min(axis=0)
        shown = ("-" if np.isinf(each) else f"{each:g}" for each in best)
        print("".join([f"{name:30}", *(f"{each:>12}" for each in shown)]), flush=True)


if __name__ == "__main__":
    main()
