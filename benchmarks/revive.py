"""What it gains to revive dead units while training: on scikit-learn's digits, over seeds.

Networks of relu whose units have died: by biases of -large, by a learning rate that is far too
high for the first steps, or by labels and pixels that change again and again, as in the paper
(Sokar et al., 2023). Accuracy on test images, units that are dead at the end, and how many were
revived, by training with and without `SignalMonitor(revive=True)`:

    KERAS_BACKEND=jax python benchmarks/revive.py [network ...] [--seeds 5] [--every 20]
"""

import argparse
import time

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_winit

layers = keras.layers

NUM_TRAINING = 1200


def dense(width=64, depth=3):
    hidden = [layers.Dense(width, "relu") for _ in range(depth)]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


def convolutions():
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(32, "relu"),
            layers.Dense(10),
        ]
    )


def digits():
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    return (x[:NUM_TRAINING], y[:NUM_TRAINING]), (x[NUM_TRAINING:], y[NUM_TRAINING:])


def kill(model, share, seed):
    """Has a share of the units of every hidden layer give nothing, by their bias or beta."""
    rng = np.random.default_rng(seed)
    for layer in model.layers[:-1]:
        name = "beta" if isinstance(layer, layers.BatchNormalization) else "bias"
        vector = getattr(layer, name, None)
        if vector is not None:
            values = keras.ops.convert_to_numpy(vector).copy()
            values[rng.random(len(values)) < share] = -100.0
            vector.assign(values)


def train(model, x, y, epochs, every, revives, seed):
    keras.utils.set_random_seed(seed)
    callbacks = []
    if revives:
        callbacks = [keras_winit.SignalMonitor(x[:256], y[:256], every=every, revive=True)]
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks)
    return sum(number for monitor in callbacks for _, _, number in monitor.revived)


def accuracy(model, x, y):
    outputs = model.predict(x, batch_size=len(x), verbose=0)
    return float(np.mean(outputs.argmax(-1) == y))


def dead_share(model, x):
    """Returns the share of units behind an activation that give nothing for any sample."""
    network = keras_winit.diagnose(model, x, verbose=0)
    shares = [each.output.dead for each in network.layers if each.activation]
    return float(np.mean(shares))


def compiled(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def dead_biases(build, share, revives, every, seed):
    (x, y), test = digits()
    keras.utils.set_random_seed(seed)
    model = compiled(build(), keras.optimizers.Adam(1e-3))
    kill(model, share, seed)
    number = train(model, x, y, 10, every, revives, seed)
    return model, accuracy(model, *test), number


def high_rate(build, rate, revives, every, seed):
    """One epoch at a rate that is far too high, then ten at a sensible one."""
    (x, y), test = digits()
    keras.utils.set_random_seed(seed)
    model = compiled(build(), keras.optimizers.Adam(rate))
    number = train(model, x, y, 1, every, revives, seed)
    model.optimizer.learning_rate = 1e-3
    number += train(model, x, y, 10, every, revives, seed)
    return model, accuracy(model, *test), number


def changing_task(build, rate, revives, every, seed, tasks=15):
    """Labels and pixels are permuted for every task; the accuracy is that of the last five."""
    (x, y), (test_x, test_y) = digits()
    keras.utils.set_random_seed(seed)
    model = compiled(build(), keras.optimizers.Adam(rate))
    rng, found, number = np.random.default_rng(seed), [], 0
    for _ in range(tasks):
        pixels, labels = rng.permutation(64), rng.permutation(10)
        number += train(model, x[:, pixels], labels[y], 3, every, revives, seed)
        found.append(accuracy(model, test_x[:, pixels], labels[test_y]))
    return model, float(np.mean(found[-5:])), number


CASES = {
    "dense, 50 % dead": (dead_biases, dense, 0.5),
    "dense, 90 % dead": (dead_biases, dense, 0.9),
    "dense, 100 % dead": (dead_biases, dense, 1.0),
    "convolutions, 90 % dead": (dead_biases, convolutions, 0.9),
    "convolutions, 100 % dead": (dead_biases, convolutions, 1.0),
    "dense, rate 0.1 first": (high_rate, dense, 0.1),
    "dense, rate 1 first": (high_rate, dense, 1.0),
    "convolutions, rate 1 first": (high_rate, convolutions, 1.0),
    "dense, tasks change": (changing_task, dense, 0.003),
    "dense, tasks change, rate 0.01": (changing_task, dense, 0.01),
    "dense, healthy": (dead_biases, dense, 0.0),
    "convolutions, healthy": (dead_biases, convolutions, 0.0),
}


def main(names, seeds, every):
    (x, _), _ = digits()
    for name in names:
        run, build, argument = CASES[name]
        for revives in (False, True):
            begin = time.perf_counter()
            runs = [run(build, argument, revives, every, seed) for seed in range(seeds)]
            accuracies = [each for _, each, _ in runs]
            shares = [dead_share(model, x[:256]) for model, _, _ in runs]
            print(
                f"{name:30} {'revive' if revives else 'as it is':8} "
                f"{np.mean(accuracies):6.1%} ({min(accuracies):.1%} - {max(accuracies):.1%}), "
                f"dead {np.mean(shares):5.1%}, revived {np.mean([n for _, _, n in runs]):5.0f} "
                f"({time.perf_counter() - begin:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(CASES), metavar="network")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--every", type=int, default=20)
    arguments = parser.parse_args()
    main(arguments.names, arguments.seeds, arguments.every)
