"""What makes a network start badly, one cause at a time: the start that heeds it, and others.

Adam on scikit-learn's digits and generated data. For each network and start the score at the best
of several rates (accuracy, or decibels of an image) as mean and standard deviation over the seeds,
and there the mean training loss of the first and the last tenth of the steps. On JAX:

    KERAS_BACKEND=jax python benchmarks/causes.py [linear ...] [--seeds 3]
"""

import argparse
import functools
from typing import NamedTuple

import keras
import numpy as np
from at_once import crossentropy, squared_error, train_all, weights_of
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_winit

layers = keras.layers
ops = keras.ops

BATCH = 64


def images():
    """Returns (x, y) to train on and to test on."""
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    return (x, y), (x_test, y_test)


class Task(NamedTuple):
    """What is learned, for how long, at which rates, and what is measured."""

    data: tuple
    steps: int = 210
    rates: tuple = (3e-3, 1e-3, 3e-4)
    loss: object = crossentropy
    score: object = lambda logits, y: 100 * (logits.argmax(-1) == y).mean()
    in_batches: bool = True


def by(*schemes):
    def draw(scheme, model, seed):
        keras_winit.initialize(model, scheme, seed=seed)

    return {scheme: functools.partial(draw, scheme) for scheme in schemes}


def linear():
    """Products of random matrices squeeze most directions; orthogonal ones keep all."""
    for depth in (3, 5, 10, 20):
        hidden = [layers.Dense(64) for _ in range(depth - 1)]
        model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])
        starts = by("keras", "he_normal", "lecun_normal", "suggested")
        yield f"{depth} linear layers", model, starts, Task(images())


def sines():
    """An output of sines needs their weights too: else it starts 30 times too large."""
    rng = np.random.default_rng(0)
    places = np.mgrid[-1:1:32j, -1:1:32j].reshape(2, -1).T.astype("float32")
    waves, phases = rng.uniform(-25, 25, (2, 20)), rng.uniform(0, 6, 20)
    picture = np.sin(places @ waves + phases).mean(-1, keepdims=True)
    picture += 0.5 * (np.hypot(*places.T)[:, None] < 0.3)  # with an edge
    data = places, picture.astype("float32")

    def glorot(model, seed):
        keras_winit.initialize(model, seed=seed)
        model.layers[-1].kernel.assign(keras.initializers.GlorotUniform(seed)((48, 1)))

    hidden = [layers.Dense(48, lambda z: ops.sin(30.0 * z)) for _ in range(3)]
    model = keras.Sequential([keras.Input((2,)), *hidden, layers.Dense(1)])
    decibels = lambda *of: -10 * np.log10(squared_error(*of))  # noqa: E731
    task = Task((data, data), 300, (1e-3, 3e-4), squared_error, decibels, in_batches=False)
    yield "image, 3 layers of sin(30 z)", model, {"glorot output": glorot, **by("suggested")}, task


class Positions(layers.Layer):
    def build(self, shape):
        self.table = layers.Embedding(*shape[1:])
        self.table.build(shape[1])

    def call(self, x):
        return x + self.table(ops.arange(x.shape[1]))


def positions():
    """Positions much smaller than what they are added to are lost in it: tokens look alike."""

    def transformer(blocks, normalization):
        inputs = keras.Input((64,))
        x = Positions()(layers.Dense(32)(layers.Reshape((8, 8))(inputs)))  # a row is a token
        for _ in range(blocks):
            y = normalization()(x)
            x += layers.MultiHeadAttention(4, 8)(y, y)
            x += layers.Dense(32)(layers.Dense(64, "gelu")(normalization()(x)))
        x = layers.GlobalAveragePooling1D()(normalization()(x))
        return keras.Model(inputs, layers.Dense(10)(x))

    def small(model, seed):
        keras_winit.initialize(model, seed=seed)
        (table,) = (each for each in model.weights if each.name == "embeddings")
        table.assign(keras.initializers.RandomUniform(seed=seed)(table.shape))

    starts = {**by("keras"), "positions of 0.03": small, **by("suggested")}
    task = Task(images(), 150, (3e-3, 1e-3))
    yield "2 blocks, normalized", transformer(2, layers.LayerNormalization), starts, task
    yield "10 blocks, not normalized", transformer(10, layers.Identity), starts, task


def gates():
    """A product shrinks by the gate's second moment, and gates that see their own work explode."""
    for activation, depth in (("sigmoid", 3), ("silu", 3), ("sigmoid", 20), ("silu", 20)):
        x = inputs = keras.Input((64,))
        for _ in range(depth):
            x = layers.Dense(64)(x) * layers.Dense(64, activation)(x)
        model = keras.Model(inputs, layers.Dense(10)(x))
        name, starts = f"{depth} gated layers, {activation}", by("keras", "he_normal", "suggested")
        yield name, model, starts, Task(images(), 150)


CAUSES = {cause.__name__: cause for cause in (linear, sines, positions, gates)}


def study(model, starts, task, seeds):
    """Returns for each start, seed and rate the loss of every step and the score."""
    weights = []
    for start in starts:
        for seed in range(seeds):
            start(model, seed)
            weights += [weights_of(model)] * len(task.rates)
    (x, y), (x_test, y_test) = task.data
    losses, outputs = train_all(
        model,
        weights,
        task.rates * (len(starts) * seeds),
        np.tile(np.repeat(range(seeds), len(task.rates)), len(starts)),
        (x, y, x_test),
        task.loss,
        task.steps,
        BATCH if task.in_batches else len(x),
    )
    scores = np.array([task.score(each, y_test) for each in outputs])
    return [each.reshape(len(starts), seeds, len(task.rates), -1) for each in (losses, scores)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("causes", nargs="*", default=list(CAUSES), help=", ".join(CAUSES))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'network':34} {'start':22} {'rate':>6} {'score':>12} {'first':>6} {'last':>6}")
    for cause in arguments.causes:
        for network, model, starts, task in CAUSES[cause]():
            found = study(model, starts.values(), task, arguments.seeds)
            for start, losses, scores in zip(starts, *found, strict=True):
                best = np.nan_to_num(scores, nan=-np.inf).mean((0, 2)).argmax()
                first, *_, last = np.array_split(losses[:, best].mean(0), 10)
                score = f"{scores[:, best].mean():.1f} ±{scores[:, best].std():.1f}"
                row = f"{network:34} {start:22} {task.rates[best]:6g} {score:>12}"
                print(row, f"{first.mean():6.2f} {last.mean():6.3f}", flush=True)


if __name__ == "__main__":
    main()
