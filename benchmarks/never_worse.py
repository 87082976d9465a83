"""Is a start ever worse than the usual ones? Ordinary and deep networks, from every start.

For every network and start: the mean loss of the first epoch and the score on test data at the best
of three rates of Adam, as mean and standard deviation over the seeds. Scores are accuracies where
classes are told apart, otherwise one minus the share of the variance that is left. Data are digits
of scikit-learn or generated.

    python benchmarks/never_worse.py [--networks "relu 6" ...] [--seeds 3]
        [--starts keras he_normal suggested mirrored own]

A start is a scheme of `initialize`, or `.02` for normal numbers of that size.
"""

import argparse
import functools
import time

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_winit

layers = keras.layers
ops = keras.ops

RATES = (3e-3, 1e-3, 3e-4)
BATCH = 64


@functools.cache
def digits(shape):
    """Returns images and classes to train on, then those to test on."""
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32").reshape(-1, *shape)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    return x, y, x_test, y_test


def dense(activation, depth, width, normalized=False):
    """Returns a plain network of that many kernels."""
    hidden = []
    for _ in range(depth - 1):
        hidden.append(layers.Dense(width))
        hidden += [layers.BatchNormalization()] * normalized
        hidden.append(layers.Activation(activation))
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


def convolutions(activation, depth, width, normalized=False):
    """Returns a plain network of that many kernels, in two stages of which the second is wider."""
    hidden = []
    for number in range(depth - 1):
        is_second = number >= (depth - 1) // 2
        is_first_there = number == (depth - 1) // 2
        hidden.append(layers.Conv2D(width * (1 + is_second), 3, 1 + is_first_there, padding="same"))
        hidden += [layers.BatchNormalization()] * normalized
        hidden.append(layers.Activation(activation))
    head = (layers.GlobalAveragePooling2D(), layers.Dense(10))
    return keras.Sequential([keras.Input((8, 8, 1)), *hidden, *head])


NETWORKS = {
    "relu 4": lambda: dense("relu", 4, 128),
    "relu 6": lambda: dense("relu", 6, 128),
    "relu 6, narrow": lambda: dense("relu", 6, 32),
    "silu 5, wide": lambda: dense("silu", 5, 256),
    "gelu 8": lambda: dense("gelu", 8, 128),
    "softplus 10": lambda: dense("softplus", 10, 128),
    "relu 12": lambda: dense("relu", 12, 128),
    "relu 12, BatchNormalization": lambda: dense("relu", 12, 64, normalized=True),
    "silu 20": lambda: dense("silu", 20, 64),
    "relu 30, BatchNormalization": lambda: dense("relu", 30, 64, normalized=True),
    "convolutions 4": lambda: convolutions("relu", 4, 16),
    "convolutions 8": lambda: convolutions("relu", 8, 16),
    "convolutions 12": lambda: convolutions("relu", 12, 16),
    "convolutions 20": lambda: convolutions("relu", 20, 16),
    "convolutions 8, BatchNormalization": lambda: convolutions("relu", 8, 16, True),
    "convolutions 12, BatchNormalization": lambda: convolutions("relu", 12, 16, True),
    "convolutions 20, BatchNormalization": lambda: convolutions("relu", 20, 16, True),
    "convolutions 12, silu": lambda: convolutions("silu", 12, 16),
}


def study(model, starts, seeds, epochs):
    """Returns for each start, rate and seed the loss of the first epoch and the score."""
    x, y, x_test, y_test = digits(model.input_shape[1:])
    model.compile(
        keras.optimizers.Adam(RATES[0]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    found = []
    for start in starts:
        scheme = keras.initializers.RandomNormal(stddev=0.02) if start == ".02" else start
        for rate in RATES:
            for seed in range(seeds):
                keras.utils.set_random_seed(seed)
                keras_winit.initialize(model, scheme, seed=seed, optimizer=True)
                model.optimizer.learning_rate = rate
                history = model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
                predicted = ops.convert_to_numpy(model(x_test, training=False))
                score = (predicted.argmax(-1) == y_test).mean()
                found.append((history.history["loss"][0], score))
    return np.array(found).reshape(len(starts), len(RATES), seeds, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--starts", nargs="+", default=["keras", "he_normal", "suggested"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    print(f"{'network':36} {'start':10} {'rate':>6} {'loss of epoch 1':>15} {'score':>14}")
    for name in arguments.networks:
        begun = time.perf_counter()
        found = study(NETWORKS[name](), arguments.starts, arguments.seeds, arguments.epochs)
        for start, by_rate in zip(arguments.starts, found, strict=True):
            best = by_rate[..., 1].mean(1).argmax()
            losses, scores = by_rate[best].T
            print(
                f"{name:36} {start:10} {RATES[best]:6g} {losses.mean():15.2f} "
                f"{scores.mean():8.3f} ±{scores.std():.3f}",
                flush=True,
            )
        print(f"  {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
