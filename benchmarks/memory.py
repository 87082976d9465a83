"""Does an LSTM, a GRU or a SimpleRNN learn what its length asks for, from each start?

Tasks on sequences of 8 to 64 steps, of which the last state of 32 units is read: digits pixel by
pixel, recall of the first symbol, majorities, orders, frequencies, what came last. For each task
and start: test accuracy after the given steps (batches of 32), at the best of four rates by the
mean of the seeds, with the spread between these; and the training loss of the last 50 steps there.
On JAX:

    KERAS_BACKEND=jax python benchmarks/memory.py [--tasks "recall, 50" ...] [--seeds 3]
        [--starts keras forget_gate log_uniform chrono suggested] [--steps 300] [--others]
        [--cell GRU | SimpleRNN]

`chrono` is `ChronoBias` in all units, kernels that are orthogonal and Glorot's by gate, and the
output of Keras's default; of an LSTM `forget_gate` is that with the forget gate of Keras's default,
1, and `log_uniform` that with memories that are even on a logarithmic scale.
`--others` takes tasks on which nothing was chosen.
"""

import argparse

import at_once
import keras
import numpy as np
from never_worse import digits

import keras_winit

layers = keras.layers

OPTIMIZERS = ((at_once.adam, 1e-2), (at_once.adam, 3e-3), (at_once.adam, 1e-3), (at_once.sgd, 1e-2))
NUMBER, TRAINED = 1600, 1200
UNITS, BATCH, LAST = 32, 32, 50


def split(x, y):
    x = x.astype("float32")
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


def one_hot(symbols, number):
    return np.eye(number)[symbols] * number**0.5


def recall(steps):
    """Which of eight symbols came first, before noise."""
    rng = np.random.default_rng(1)
    y = rng.integers(8, size=NUMBER)
    x = rng.normal(0, 0.3, (NUMBER, steps, 9))
    x[..., 8] = 0
    x[np.arange(NUMBER), 0, y] += 2
    x[:, 0, 8] = 1
    return split(x, y)


def frequency(steps):
    """Which of eight frequencies a noisy sine of any phase has."""
    rng = np.random.default_rng(2)
    y = rng.integers(8, size=NUMBER)
    phases = rng.uniform(0, 2 * np.pi, (NUMBER, 1))
    x = np.sin(2 * np.pi * (y[:, None] + 1.5) / 40 * np.arange(steps) + phases)
    return split(1.2 * (x + rng.normal(0, 0.3, x.shape))[..., None], y)


def majority(steps):
    """Which of five symbols comes most often."""
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.full(5, 1.5), NUMBER)
    symbols = np.array([rng.choice(5, steps, p=each) for each in shares])
    counts = np.array([np.bincount(each, minlength=5) for each in symbols])
    return split(one_hot(symbols, 5), counts.argmax(1))


def recent(steps):
    """A function of the last three steps alone."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(NUMBER, steps, 3))
    return split(x, np.argmax(x[:, -3:].reshape(NUMBER, -1) @ rng.normal(size=(9, 6)), axis=1))


def order(steps):
    """In which order two symbols came, one early and one late, among others."""
    rng = np.random.default_rng(5)
    symbols = rng.integers(4, size=(NUMBER, steps))
    marks = rng.integers(2, size=(NUMBER, 2))
    early = rng.integers(2, steps // 3, NUMBER)
    late = rng.integers(steps // 2, steps - 4, NUMBER)
    for place, mark in zip((early, late), marks.T, strict=True):
        symbols[np.arange(NUMBER), place] = 4 + mark
    return split(one_hot(symbols, 6), 2 * marks[:, 0] + marks[:, 1])


def halves(steps):
    """Which of four channels differs most between the two halves."""
    rng = np.random.default_rng(6)
    y = rng.integers(4, size=NUMBER)
    x = rng.normal(size=(NUMBER, steps, 4))
    x[np.arange(NUMBER), : steps // 2, y] += 1
    x[np.arange(NUMBER), steps // 2 :, y] -= 1
    return split(x, y)


def marked(steps):
    """Whether the sum of two marked numbers is small, medium or large."""
    rng = np.random.default_rng(7)
    x = np.stack([rng.normal(size=(NUMBER, steps)), np.zeros((NUMBER, steps))], axis=-1)
    places = np.stack([rng.choice(steps, 2, replace=False) for _ in range(NUMBER)])
    sums = np.zeros(NUMBER)
    for place in places.T:
        x[np.arange(NUMBER), place, 1] = 2
        sums += x[np.arange(NUMBER), place, 0]
    return split(x, np.digitize(sums, [-0.6, 0.6]))


def motif(steps):
    """Which of three motifs of three symbols lies somewhere among others."""
    rng = np.random.default_rng(8)
    symbols, y = rng.integers(5, size=(NUMBER, steps)), rng.integers(3, size=NUMBER)
    motifs = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
    first = rng.integers(steps - 3, size=NUMBER)
    for offset in range(3):
        symbols[np.arange(NUMBER), first + offset] = 5 + motifs[y, offset]
    return split(one_hot(symbols, 8), y)


TASKS = {
    "digits, 8": lambda: digits(8, 8),
    "digits, 32": lambda: digits(32, 2),
    "digits, 64": lambda: digits(64, 1),
    "recall, 50": lambda: recall(50),
    "frequency, 64": lambda: frequency(64),
    "majority, 40": lambda: majority(40),
    "recent, 64": lambda: recent(64),
    "order, 40": lambda: order(40),
}
OTHERS = {
    "recall, 100": lambda: recall(100),
    "halves, 60": lambda: halves(60),
    "marked, 40": lambda: marked(40),
    "motif, 48": lambda: motif(48),
    "recent, 16": lambda: recent(16),
}


def start(model, name, seed):
    keras_winit.initialize(model, "keras" if name == "keras" else "suggested", seed=seed)
    cell, (_, steps, _) = model.layers[0].cell, model.input_shape
    if name == "chrono":
        gates = 3 if isinstance(cell, layers.GRUCell) else 4
        chrono = keras_winit.initializers.ChronoBias(steps, gates, seed=seed)
        cell.bias.assign(chrono(cell.bias.shape))
    if name in ("chrono", "forget_gate", "log_uniform"):
        kernels = {"orthogonal": "*/recurrent_kernel", "glorot_uniform": f"*/{cell.name}/kernel"}
        for scheme, only in {**kernels, "keras": f"{model.layers[-1].name}/kernel"}.items():
            keras_winit.initialize(model, scheme, only=only, seed=seed)
    if name in ("forget_gate", "log_uniform"):
        nothing, kept = np.zeros((2, UNITS)), np.ones(UNITS)
        if name == "log_uniform":
            rng = np.random.default_rng(seed)
            kept = (rng.permutation(UNITS) + rng.uniform(size=UNITS)) / UNITS * np.log(steps - 1)
            nothing[0] = -kept
        first, last = nothing
        cell.bias.assign(np.concatenate([first, kept, last, last]))


def study(cell, data, starts, seeds, steps):
    """Returns test accuracy and last loss of every optimizer, start and seed."""
    x, y, x_test, y_test = data
    outputs = int(y.max()) + 1
    hidden = getattr(layers, cell)(UNITS)
    model = keras.Sequential([keras.Input(x.shape[1:]), hidden, layers.Dense(outputs)])
    weights = []
    for name in starts:
        for seed in range(seeds):
            start(model, name, seed)
            weights.append(at_once.weights_of(model))
    orders, data = [*range(seeds)] * len(starts), (x, y, x_test)
    by_optimizer = at_once.train_by_each(
        OPTIMIZERS, model, weights, orders, data, at_once.crossentropy, steps, BATCH
    )
    found = []
    for losses, logits in by_optimizer:
        accuracy = (logits.argmax(-1) == y_test).mean(1)
        found.append([accuracy, losses[:, -LAST:].mean(1)])
    return np.reshape(found, (len(OPTIMIZERS), 2, len(starts), seeds)).transpose(2, 0, 1, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS, *OTHERS])
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--cell", choices=["LSTM", "GRU", "SimpleRNN"], default="LSTM")
    names = ["keras", "forget_gate", "log_uniform", "chrono", "suggested"]
    usual = ["keras", "chrono", "suggested"]
    parser.add_argument("--starts", nargs="+", choices=names, default=usual)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    print("".join([f"{'task':16}", *(f"{each:>22}" for each in arguments.starts)]))
    for name in arguments.tasks or (OTHERS if arguments.others else TASKS):
        data = (TASKS | OTHERS)[name]()
        shown = []
        for by_rate in study(
            arguments.cell, data, arguments.starts, arguments.seeds, arguments.steps
        ):
            accuracy, loss = by_rate[np.argmax(by_rate[:, 0].mean(1))]
            spread = np.std(accuracy, ddof=1)
            shown.append(f"{100 * accuracy.mean():.1f} ± {100 * spread:.1f} ({loss.mean():.3f})")
        print("".join([f"{name:16}", *(f"{each:>22}" for each in shown)]), flush=True)


if __name__ == "__main__":
    main()
