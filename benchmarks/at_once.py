"""Trains one network many times, compiled as one: from many starts, at many rates. On JAX."""

import jax
import keras
import numpy as np
from jax import numpy as jnp


def crossentropy(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1).mean()


def squared_error(outputs, y):
    return ((outputs - y) ** 2).mean()


def weights_of(model):
    """Returns the values of a model's weights, as `train_all` takes them."""
    both = (model.trainable_variables, model.non_trainable_variables)
    return [[keras.ops.convert_to_numpy(variable.value) for variable in each] for each in both]


def adam(weights, slopes, state, number, rate):
    mean, square = state
    mean = [0.9 * m + 0.1 * g for m, g in zip(mean, slopes, strict=True)]
    square = [0.999 * s + 0.001 * g**2 for s, g in zip(square, slopes, strict=True)]
    by_mean, by_square = 1 - 0.9 ** (number + 1), 1 - 0.999 ** (number + 1)
    weights = [
        w - rate * (m / by_mean) / (jnp.sqrt(s / by_square) + 1e-7)
        for w, m, s in zip(weights, mean, square, strict=True)
    ]
    return weights, (mean, square)


def sgd(weights, slopes, state, number, rate):
    """Gradient descent with a momentum of 0.9."""
    velocity, unused = state
    velocity = [0.9 * v - rate * g for v, g in zip(velocity, slopes, strict=True)]
    return [w + v for w, v in zip(weights, velocity, strict=True)], (velocity, unused)


def train_all(model, starts, rates, seeds, data, loss, steps, batch, update=adam):
    """Trains a network from each of its starts.

    Args:
        model: The network.
        starts: List of the weights of each start, as `weights_of` returns them.
        rates: The learning rate of each.
        seeds: For each, what orders its batches.
        data: (x, y) to train on, and x to be tested on.
        loss: Function of outputs and targets.
        steps: Number of steps.
        batch: Number of samples in a batch.
        update: `adam` or `sgd`.

    Returns:
        The loss of every step, and the outputs for what is tested on, of each.
    """
    x, y, x_test = map(jnp.array, data)
    steps_of_epoch = len(x) // batch

    def loss_of(trained, others, places):
        outputs, others, added = model.stateless_call(
            trained, others, x[places], training=True, return_losses=True
        )
        return loss(outputs, y[places]) + sum(added), others

    def train(arguments):
        (trained, others), rate, key = arguments

        def step(state, number):
            trained, others, memory = state
            # Each epoch goes through the samples in an order of its own.
            order = jax.random.fold_in(key, number // steps_of_epoch)
            first = number % steps_of_epoch * batch
            places = jax.random.permutation(order, len(x))
            places = jax.lax.dynamic_slice(places, (first,), (batch,))
            (value, others), slopes = jax.value_and_grad(loss_of, has_aux=True)(
                trained, others, places
            )
            trained, memory = update(trained, slopes, memory, number, rate)
            return (trained, others, memory), value

        zeros = [jnp.zeros_like(each) for each in trained]
        state = trained, others, (zeros, zeros)
        (trained, others, *_), losses = jax.lax.scan(step, state, jnp.arange(steps))
        outputs, _ = model.stateless_call(trained, others, x_test, training=False)
        return losses, outputs

    stacked = jax.tree.map(lambda *values: np.stack(values), *starts)
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    found = jax.jit(lambda *arguments: jax.lax.map(train, arguments))
    return map(np.array, found(stacked, jnp.array(rates), keys))


def train_by_each(optimizers, model, starts, seeds, data, loss, steps, batch):
    """Yields what `train_all` returns for each optimizer, a pair of an update and a rate."""
    for update, rate in optimizers:
        rates = [rate] * len(starts)
        yield train_all(model, starts, rates, seeds, data, loss, steps, batch, update)
