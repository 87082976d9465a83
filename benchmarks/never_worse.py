"""Is a start ever worse than the usual ones? Ordinary and deep networks, from every start.

Digits of scikit-learn, Adam, batches of 64. For every network and start the test accuracy at the
best of several rates, as mean and standard deviation over the seeds, and the mean training loss of
the first epoch there. All runs of a network are compiled as one, on JAX.

    KERAS_BACKEND=jax python benchmarks/never_worse.py [--networks "relu 6" ...] [--seeds 3]
        [--epochs 12] [--starts keras he_normal suggested mirrored]
"""

import argparse

import jax
import keras
import numpy as np
from jax import numpy as jnp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_winit

layers = keras.layers

RATES = (3e-3, 1e-3, 3e-4)
BATCH = 64


def dense(activation, depth, width, normalized=False):
    """Returns a plain network of that many kernels."""
    hidden = []
    for _ in range(depth - 1):
        hidden.append(layers.Dense(width))
        hidden += [layers.BatchNormalization()] * normalized
        hidden.append(layers.Activation(activation))
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


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
}


def images():
    """Returns (x, y) to train on and to test on."""
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    return (jnp.array(x), jnp.array(y)), (jnp.array(x_test), np.array(y_test))


def train(model, weights, rate, key, data, steps):
    """Returns the trained weights and the loss of every step."""
    x, y = data
    per_epoch = len(x) // BATCH

    def loss(trained, others, places):
        logits, others = model.stateless_call(trained, others, x[places], training=True)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[places][:, None], 1)
        return -picked.mean(), others

    def step(state, number):
        trained, others, mean, square = state
        # Each epoch goes through the images in an order of its own.
        order = jax.random.permutation(jax.random.fold_in(key, number // per_epoch), len(x))
        places = jax.lax.dynamic_slice(order, (number % per_epoch * BATCH,), (BATCH,))
        (value, others), gradient = jax.value_and_grad(loss, has_aux=True)(trained, others, places)
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradient, strict=True)]
        square = [0.999 * s + 0.001 * g**2 for s, g in zip(square, gradient, strict=True)]
        by_mean, by_square = 1 - 0.9 ** (number + 1), 1 - 0.999 ** (number + 1)
        trained = [
            w - rate * (m / by_mean) / (jnp.sqrt(s / by_square) + 1e-7)
            for w, m, s in zip(trained, mean, square, strict=True)
        ]
        return (trained, others, mean, square), value

    trained, others = weights
    zeros = [jnp.zeros_like(each) for each in trained]
    state, losses = jax.lax.scan(step, (trained, others, zeros, zeros), jnp.arange(steps))
    return state[:2], losses


def study(model, starts, seeds, epochs):
    """Returns for each start, rate and seed the loss of the first epoch and the test accuracy."""
    data, (x_test, y_test) = images()
    per_epoch = len(data[0]) // BATCH
    runs = [(start, rate, seed) for start in starts for rate in RATES for seed in range(seeds)]
    drawn = []
    for start, _, seed in runs:
        keras_winit.initialize(model, start, seed=seed)
        drawn.append([[np.array(w) for w in model.trainable_variables]])
        drawn[-1].append([np.array(w) for w in model.non_trainable_variables])
    stacked = jax.tree.map(lambda *values: np.stack(values), *drawn)
    rates = jnp.array([rate for _, rate, _ in runs])
    keys = jnp.stack([jax.random.key(seed) for *_, seed in runs])

    @jax.jit
    def run(stacked, rates, keys):
        def one(arguments):
            weights, losses = train(model, *arguments, data, epochs * per_epoch)
            logits, _ = model.stateless_call(*weights, x_test, training=False)
            return losses, logits.argmax(-1)

        return jax.lax.map(one, (stacked, rates, keys))

    losses, predicted = map(np.array, run(stacked, rates, keys))
    shape = len(starts), len(RATES), seeds
    first = losses[:, :per_epoch].mean(1).reshape(shape)
    return first, (predicted == y_test).mean(1).reshape(shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--starts", nargs="+", default=["keras", "he_normal", "suggested", "mirrored"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    print(f"{'network':28} {'start':10} {'rate':>6} {'loss of epoch 1':>15} {'accuracy':>13}")
    for name in arguments.networks:
        found = study(NETWORKS[name](), arguments.starts, arguments.seeds, arguments.epochs)
        for start, losses, accuracies in zip(arguments.starts, *found, strict=True):
            best = accuracies.mean(-1).argmax()
            loss, accuracy = losses[best].mean(), accuracies[best]
            print(
                f"{name:28} {start:10} {RATES[best]:6g} {loss:15.2f} "
                f"{accuracy.mean():8.3f} ±{accuracy.std():.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
