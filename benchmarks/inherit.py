"""Does a network start better from the weights of another one, of another size?

A network is trained for ten epochs on 900 of scikit-learn's digits. Others, four times narrower or
four times wider, learn from 300 others: started by `initialize`, and by `inherit` from the first.
In percent, how many of the remaining 597 are classified right after 0, 1, 2 and 4 epochs of Adam
at 0.001, mean ± standard deviation over the seeds. `selected` is weight selection as published:
without the factor that `inherit` gives to kernels that take fewer inputs. In a few minutes:

    KERAS_BACKEND=torch python benchmarks/inherit.py [dense ...] [--seeds 3]
"""

import argparse
import functools
import math
import re

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_winit

layers = keras.layers

EPOCHS = (0, 1, 2, 4)


def dense(width):
    hidden = [layers.Dense(width, "relu") for _ in range(3)]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


def convolutions(width):
    """The width is that of eight filters."""
    stack = [keras.Input((64,)), layers.Reshape((8, 8, 1))]
    for filters, strides in ((width // 8, 1), (width // 8, 2), (width // 4, 2)):
        stack.append(layers.Conv2D(filters, 3, strides=strides, padding="same"))
        stack += [layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10)])


def transformer(width):
    """Two blocks on patches of 2 x 2, with heads of 16."""
    inputs = keras.Input((64,))
    x = layers.Conv2D(width, 2, strides=2)(layers.Reshape((8, 8, 1))(inputs))
    x = layers.Reshape((16, width))(x)
    for _ in range(2):
        h = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(width // 16, 16)(h, h)
        h = layers.LayerNormalization()(x)
        x = x + layers.Dense(width)(layers.Dense(2 * width, "gelu")(h))
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


NETWORKS = {
    "dense": (dense, 64, 256),
    "convolutions": (convolutions, 64, 256),
    "transformer": (transformer, 32, 128),
}


def digits():
    """Returns the samples for the source, for the others, and for the score."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = ((x - x.mean()) / x.std()).astype("float32")[order], y[order]
    return (x[:900], y[:900]), (x[900:1200], y[900:1200]), (x[1200:], y[1200:])


SOURCE, TRAIN, TEST = digits()


def compiled(model):
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def selected(model, source):
    result = keras_winit.inherit(model, source)
    for row, variable in zip(result.rows, model.weights, strict=True):
        for number, size in re.findall(r"(\d+) of (\d+) inputs", row.what):
            variable.assign(variable * math.sqrt(int(number) / int(size)))


STARTS = {
    "initialize": lambda model, source: None,
    "selected": selected,
    "inherit": keras_winit.inherit,
}


@functools.cache
def trained(build, width, seed):
    """Returns the network that others inherit from."""
    keras.utils.set_random_seed(seed)
    model = compiled(build(width))
    keras_winit.initialize(model, seed=seed)
    model.fit(*SOURCE, batch_size=32, epochs=10, verbose=0)
    return model


def scores(build, widths, start, seed):
    """Returns the accuracy of a network of the second width after each number of epochs."""
    source = trained(build, widths[0], seed)
    keras.utils.set_random_seed(seed)
    model = compiled(build(widths[1]))
    keras_winit.initialize(model, seed=seed + 100)
    STARTS[start](model, source)
    found, done = [], 0
    for epochs in EPOCHS:
        model.fit(*TRAIN, batch_size=32, epochs=epochs, initial_epoch=done, verbose=0)
        found.append(100 * model.evaluate(*TEST, verbose=0)[1])
        done = epochs
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*NETWORKS])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    columns = " | ".join(f"epoch {number}" for number in EPOCHS)
    print(f"| network | start | {columns} |\n|---|---|{'---|' * len(EPOCHS)}")
    for name in arguments.names:
        build, narrow, wide = NETWORKS[name]
        for widths in ((wide, narrow), (narrow, wide)):
            for start in STARTS:
                if start == "selected" and widths[0] < widths[1]:
                    continue
                runs = [scores(build, widths, start, seed) for seed in range(arguments.seeds)]
                cells = zip(np.mean(runs, axis=0), np.std(runs, axis=0), strict=True)
                row = " | ".join(f"{mean:.1f} ± {std:.1f}" for mean, std in cells)
                print(f"| {name}, {widths[0]} to {widths[1]} | {start} | {row} |", flush=True)


if __name__ == "__main__":
    main()
