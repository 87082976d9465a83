"""Does the best learning rate of a narrow network suit a wide one? By default, and with muP.

Adam on scikit-learn's digits (dense layers, convolutions) and on generated tasks of sequences (a
transformer: each token plus the one before it, modulo 16; recall: the first token, again and
again). For every start and width the training loss of the last epoch at each rate, a mean over the
seeds, and the rate of the lowest. On JAX:

    KERAS_BACKEND=jax python benchmarks/transfer.py [dense ...] [--seeds 2] [--out losses.json]
    python benchmarks/transfer.py --draw losses.json --picture transfer.png

With `--check` it trains for three steps alone, by muP, and tells how far apart by width what they
change is in every layer, at each rate. On torch, which is the fastest, but for the transformer:

    KERAS_BACKEND=torch python benchmarks/transfer.py [dense ...] --check 0.1 [--optimizer sgd]
        [--widths 64 128 256 512] [--seeds 3]
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_winit

layers = keras.layers

TOKENS, STEPS = 16, 16


def dense(width):
    hidden = [layers.Dense(width, "relu") for _ in range(3)]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


def convolutions(width):
    """The width is that of eight filters."""
    same = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(width // 8, 3, strides=2, **same),
            layers.Conv2D(width // 8, 3, **same),
            layers.Conv2D(width // 4, 3, strides=2, **same),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def transformer(width):
    """Two blocks with four heads, which grow with the width."""
    normal = keras.initializers.RandomNormal(stddev=1.0)
    tokens = keras.Input((STEPS,), dtype="int32")
    places = layers.Embedding(STEPS, width, embeddings_initializer=normal)(np.arange(STEPS)[None])
    x = layers.Embedding(TOKENS, width, embeddings_initializer=normal)(tokens) + places
    for _ in range(2):
        h = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, width // 4)(h, h, use_causal_mask=True)
        h = layers.LayerNormalization()(x)
        x = x + layers.Dense(width)(layers.Dense(2 * width, "gelu")(h))
    return keras.Model(tokens, layers.Dense(TOKENS)(layers.LayerNormalization()(x)))


def digits():
    x, y = load_digits(return_X_y=True)
    return ((x - x.mean()) / x.std()).astype("float32"), y


def sums():
    x = np.random.default_rng(0).integers(0, TOKENS, (512, STEPS))
    return x, (x + np.concatenate([x[:, :1] * 0, x[:, :-1]], axis=1)) % TOKENS


def first():
    x, _ = sums()
    return x, np.broadcast_to(x[:, :1], x.shape)


class Task(NamedTuple):
    """What is built, at which widths, and what it learns."""

    build: object
    data: object
    widths: tuple
    epochs: int
    batch_size: int
    rates: tuple


_TRANSFORMER = {
    "widths": (64, 128, 256),
    "batch_size": 32,
    "rates": tuple(2.0**n for n in range(-13, -4)),
}
TASKS = {
    "dense": Task(dense, digits, (64, 256, 1024), 4, 64, tuple(2.0**n for n in range(-13, -3))),
    "convolutions": Task(
        convolutions, digits, (64, 256, 1024), 4, 64, tuple(2.0**n for n in range(-12, -3))
    ),
    "transformer": Task(transformer, sums, epochs=6, **_TRANSFORMER),
    "recall": Task(transformer, first, epochs=3, **_TRANSFORMER),
}


OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}


def start(name, model, base, seed):
    """Returns the optimizer of a model that is given its weights."""
    adam = keras.optimizers.Adam(1e-3)
    if name != "mup":
        keras_winit.initialize(model, name, seed=seed)
        return adam
    keras_winit.initialize(model, "mup", base_model=base, seed=seed)
    return keras_winit.scale_learning_rates(model, adam, base)


def losses(task, name, width, seed):
    """Returns the loss of the last epoch at every rate. What is compiled is used for all."""
    x, y = task.data()
    keras.utils.set_random_seed(seed)
    model, base = task.build(width), task.build(task.widths[0])
    optimizer = start(name, model, base, seed)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    optimizer.build(model.trainable_variables)
    weights, state = model.get_weights(), [each.numpy() for each in optimizer.variables]
    found = []
    for rate in task.rates:
        model.set_weights(weights)
        for variable, value in zip(optimizer.variables, state, strict=True):
            variable.assign(value)
        optimizer.learning_rate = rate
        keras.utils.set_random_seed(seed)
        history = model.fit(x, y, batch_size=task.batch_size, epochs=task.epochs, verbose=0)
        found.append(history.history["loss"][-1])
    return found


def main(names, starts, seeds, out):
    found = {}
    for name in names:
        task = TASKS[name]
        print(f"\n{name}, loss by rate: {', '.join(f'2^{math.log2(r):.0f}' for r in task.rates)}")
        for scheme in starts:
            for width in task.widths:
                begin = time.perf_counter()
                of_seeds = [losses(task, scheme, width, seed) for seed in range(seeds)]
                mean = np.mean(np.nan_to_num(of_seeds, nan=np.inf), axis=0)
                best = task.rates[int(np.argmin(mean))]
                found[f"{name}/{scheme}/{width}"] = dict(
                    zip(task.rates, mean.tolist(), strict=True)
                )
                print(
                    f"{scheme:9} {width:5}  best 2^{math.log2(best):.0f}: {mean.min():.3f}  "
                    f"[{' '.join(f'{each:.2g}' for each in mean)}]  "
                    f"({time.perf_counter() - begin:.0f} s)",
                    flush=True,
                )
                if out:
                    Path(out).write_text(json.dumps(found, indent=1))


def check(names, rates, optimizer, widths, seeds):
    """Prints the coordinate check of muP for every network and rate."""
    for name, rate in itertools.product(names, rates):
        task = TASKS[name]
        x, y = task.data()
        base = task.build(widths[0])

        def build_model(width, task=task, base=base, rate=rate):
            model = task.build(width)
            keras_winit.initialize(model, "mup", base_model=base)
            made = keras_winit.scale_learning_rates(model, OPTIMIZERS[optimizer](rate), base)
            model.compile(made, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            return model

        found = keras_winit.coordinate_check(build_model, widths, x[:64], y[:64], seeds=seeds)
        print(f"\n{name}, {optimizer} at {rate:g}\n{found}", flush=True)


def draw(paths, picture):
    """Draws the losses of files over the rate: a row for each start, a line for each width."""
    from matplotlib import pyplot

    found = {}
    for path in paths:
        for key, by_rate in json.loads(Path(path).read_text()).items():
            name, scheme, width = key.split("/")
            rates, values = zip(*((float(r), loss) for r, loss in by_rate.items()), strict=True)
            found.setdefault((scheme, name), {})[width] = rates, values
    schemes = list(dict.fromkeys(scheme for scheme, _ in found))
    names = list(dict.fromkeys(name for _, name in found))
    size = (4 * len(names), 3 * len(schemes))
    grid = {"squeeze": False, "sharex": "col", "sharey": "col", "layout": "constrained"}
    figure, axes = pyplot.subplots(len(schemes), len(names), figsize=size, **grid)
    for row, scheme in zip(axes, schemes, strict=True):
        for ax, name in zip(row, names, strict=True):
            by_width = found.get((scheme, name), {})
            for shade, (width, (rates, values)) in enumerate(by_width.items()):
                color = pyplot.get_cmap("viridis")(shade / max(len(by_width), 2))
                ax.plot(rates, values, color=color, label=width)
                best = int(np.argmin(values))
                ax.plot(rates[best], values[best], "o", color=color)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.set_title(f"{name}, {scheme}")
            ax.set_ylabel("training loss")
            ax.legend(title="width")
    for ax in axes[-1]:
        ax.set_xlabel("learning rate")
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(TASKS), metavar="network")
    parser.add_argument("--starts", nargs="+", default=["suggested", "mup"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", help="file for the losses, as JSON")
    parser.add_argument("--check", nargs="+", type=float, help="rates for a coordinate check")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="for the check")
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 256, 1024])
    parser.add_argument("--draw", nargs="+", help="draw such files, and then train nothing")
    parser.add_argument("--picture", default="transfer.png")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.draw, arguments.picture)
        raise SystemExit
    if arguments.check:
        check(*map(vars(arguments).get, ("names", "check", "optimizer", "widths", "seeds")))
        raise SystemExit
    main(arguments.names, arguments.starts, arguments.seeds, arguments.out)
