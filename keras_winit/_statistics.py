"""Reductions of signals and kernels, on the device."""

import math

import keras
import numpy as np

from keras_winit import _backends

ops = keras.ops

# A unit is dead if all it gives is this much smaller than what the largest one gives.
DEAD = 1e-5
NUM_SAMPLED = 256
_NUM_PROJECTIONS = 3


def by_unit(x, unit_axis):
    """Returns a signal as (samples, positions, units)."""
    if unit_axis not in (-1, len(x.shape) - 1):
        x = ops.moveaxis(x, unit_axis, -1)
    if len(x.shape) < 2:
        x = ops.reshape(x, (x.shape[0], 1))
    return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]))


@_backends.compiled
def summaries(*signals):
    """Returns six numbers for each signal of shape (samples, positions, units).

    The largest magnitude; of the signal over that: mean, second moment, second moment of the
    mean over the samples; the fraction of units that are dead, and of values that are zero.
    """
    return ops.stack([_summary(ops.cast(each, "float32")) for each in signals])


def _summary(x):
    magnitude = ops.max(ops.abs(x), axis=(0, 1))
    largest = ops.max(magnitude)
    x = x * ops.where(largest > 0, 1 / ops.maximum(largest, 1e-37), 0.0)
    common = ops.mean(x, axis=0)
    return ops.stack(
        [
            largest,
            ops.mean(common),
            ops.mean(ops.square(x)),
            ops.mean(ops.square(common)),
            ops.mean(ops.cast(magnitude <= DEAD * largest, "float32")),
            ops.mean(ops.cast(ops.equal(x, 0.0), "float32")),
        ]
    )


@_backends.compiled
def unit_moments(x):
    """Returns mean and second moment of each unit of (samples, positions, units), (2, units)."""
    x = ops.cast(x, "float32")
    return ops.stack([ops.mean(x, axis=(0, 1)), ops.mean(ops.square(x), axis=(0, 1))])


@_backends.compiled
def beyond(x, limits):
    """Returns the fraction of the values that are beyond either limit."""
    x = ops.cast(x, "float32")
    return ops.mean(ops.cast((x < limits[0]) | (x > limits[1]), "float32"))


@_backends.compiled
def size(x):
    """Returns the largest magnitude, and the sum of the squares of the rest of it."""
    x = ops.cast(x, "float32")
    largest = ops.max(ops.abs(x))
    return ops.stack([largest, ops.sum(ops.square(x * (1 / ops.maximum(largest, 1e-37))))])


def norm(largest, squares):
    """Returns the Euclidean norm of what `size` was taken of."""
    return float(largest) * math.sqrt(float(squares))


def sampled(x):
    """Returns up to 256 values at even distances."""
    flat = ops.reshape(ops.stop_gradient(x), (-1,))
    return ops.cast(flat[:: max(1, flat.shape[0] // NUM_SAMPLED)][:NUM_SAMPLED], "float32")


@_backends.compiled
def cosine_of_tokens(x):
    """Returns the mean cosine between the tokens of a sample, for (samples, tokens, units)."""
    x = ops.cast(x, "float32")
    number = ops.cast(ops.shape(x)[1], "float32")
    squares = ops.mean(ops.square(x), axis=(1, 2))
    common = ops.mean(ops.square(ops.mean(x, axis=1)), axis=1)
    return ops.mean((number * common - squares) / ((number - 1) * ops.maximum(squares, 1e-37)))


def logit_std(query, key):
    """Returns the standard deviation over the keys of attention's logits, in two samples.

    Args:
        query: (samples, queries, heads, dim).
        key: (samples, keys, heads, dim), of as many heads or a divisor of that.
    """
    key = ops.repeat(key[:2], query.shape[2] // key.shape[2], axis=2)
    return _logit_std(query[:2], key)


@_backends.compiled
def _logit_std(query, key):
    query, key = ops.cast(query, "float32"), ops.cast(key, "float32")
    logits = ops.einsum("bqhd,bkhd->bhqk", query, key)
    dim = ops.cast(ops.shape(query)[3], "float32")
    return ops.sqrt(ops.mean(ops.var(logits, axis=-1)) / dim)


@_backends.compiled
def kernel_summary(kernel, probe):
    """Returns mean and second moment of a kernel (blocks, inputs, outputs), and projections.

    The projections of each output's weights, of shape (blocks, 3, outputs), tell units with the
    same weights.
    """
    kernel = ops.cast(kernel, "float32")
    numbers = ops.stack([ops.mean(kernel), ops.mean(ops.square(kernel))])
    projections = ops.einsum("pi,bio->bpo", probe, kernel)
    return ops.concatenate([numbers, ops.reshape(projections, (-1,))])


def probe(inputs):
    """Returns the vectors that `kernel_summary` projects on."""
    return np.random.default_rng(0).normal(size=(_NUM_PROJECTIONS, inputs)).astype("float32")


def fraction_repeated(projections, blocks, outputs):
    """Returns the fraction of units whose weights another unit of the block has as well."""
    points = np.asarray(projections).reshape(blocks, _NUM_PROJECTIONS, outputs)
    scale = np.abs(points).max()
    if outputs < 2:
        return 0.0
    if scale == 0:
        return 1.0
    rounded = np.round(points / scale * 1e5).transpose(0, 2, 1)
    repeated = 0
    for block in rounded:
        _, counts = np.unique(block, axis=0, return_counts=True)
        repeated += counts[counts > 1].sum()
    return float(repeated) / (blocks * outputs)
