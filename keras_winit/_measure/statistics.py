"""Reductions of signals and kernels: of small ones by NumPy, of large ones on the device."""

import functools
import math

import keras
import numpy as np

from keras_winit import _backends

ops = keras.ops

# A unit is dead if all it gives is this much smaller than what the largest one gives.
DEAD = 1e-5
NUM_SAMPLED = 256
_NUM_NUMBERS = 7
_NUM_PROJECTIONS = 3
# Two units are the same if their weights, projected, differ by less than this.
_SAME = 1e-5
# Up to so many numbers are fetched whole: NumPy has reduced them before a backend has begun.
_SMALL = 1 << 17
# So many numbers are reduced at a time.
_MOST_TOGETHER = 1 << 20


class Reductions:
    """Numbers of many tensors, reduced and fetched at the end.

    Tensors of one shape wait for each other: a call costs more than a small tensor does.
    """

    def __init__(self):
        self._waiting, self._reduced, self._count = {}, [], 0

    def add(self, reduce, *tensors, **constants):
        """Returns the place of the numbers that `reduce` gives of these tensors.

        Args:
            reduce: What `reduction` has made.
            *tensors: Tensors, of which no gradient is taken.
            **constants: Hashable.
        """
        tensors = [ops.stop_gradient(each) for each in tensors]
        kinds = tuple((tuple(each.shape), each.dtype) for each in tensors)
        key = (reduce, kinds, tuple(constants.items()))
        waiting = self._waiting.setdefault(key, [])
        waiting.append((self._count, tensors))
        if len(waiting) * sum(math.prod(shape) for shape, _ in kinds) >= _MOST_TOGETHER:
            self._reduce(key)
        self._count += 1
        return self._count - 1

    def fetch(self):
        """Returns the numbers by their places."""
        for key in list(self._waiting):
            self._reduce(key)
        numbers = [None] * self._count
        for places, reduced in self._reduced:
            for place, each in zip(places, np.float32(ops.convert_to_numpy(reduced)), strict=True):
                numbers[place] = each
        return numbers

    def _reduce(self, key):
        reduce, _, constants = key
        places, tensors = zip(*self._waiting.pop(key), strict=True)
        stacks = [_stacked(each) for each in zip(*tensors, strict=True)]
        self._reduced.append((places, reduce(*stacks, **dict(constants))))


def _stacked(tensors):
    """Returns tensors of one shape as a stack of float32: if they are small, an array."""
    if math.prod(tensors[0].shape) <= _SMALL:
        return np.stack([np.float32(ops.convert_to_numpy(each)) for each in tensors])
    stack = ops.expand_dims(tensors[0], 0) if len(tensors) == 1 else ops.stack(tensors)
    return ops.cast(stack, "float32")


def reduction(function):
    """Makes a reduction of a function of `ops`, of stacks and of constants.

    It takes stacks of tensors, reduced on the device with `keras.ops`, or stacks of arrays,
    reduced with `numpy`, which has the same names; returns a stack of numbers.
    """
    on_device = _backends.compiled(functools.partial(function, ops))

    @functools.wraps(function)
    def reduce(*stacks, **constants):
        if all(isinstance(each, np.ndarray) for each in stacks):
            with np.errstate(all="ignore"):
                return function(np, *stacks, **constants)
        return on_device(*stacks, **constants)

    return reduce


def _by_unit(ops, x, unit_axis):
    """Returns a stack of signals as (stack, samples, positions, units)."""
    unit_axis = unit_axis % (len(x.shape) - 1) + 1
    if unit_axis not in (1, len(x.shape) - 1):
        x = ops.moveaxis(x, unit_axis, -1)
    shape = x.shape if len(x.shape) > 2 else (*x.shape, 1)
    return ops.reshape(x, (*shape[:2], math.prod(shape[2:-1]), shape[-1]))


def near(x):
    """Returns a tensor that is small as an array of NumPy, in which it is reduced faster."""
    if math.prod(x.shape) > _SMALL:
        return x
    return np.float64(ops.convert_to_numpy(x))


def unit_moments(x, num_samples, unit_axis, unit_rank):
    """Returns mean and variance of each unit over the first samples, as an array (2, units).

    Args:
        x: Signal, a tensor or an array.
        num_samples: How many samples to take.
        unit_axis: The axis that units are along.
        unit_rank: Of units along several axes, the last ones, their number.
    """
    constants = {"num_samples": num_samples, "unit_axis": unit_axis, "unit_rank": unit_rank}
    return np.float64(ops.convert_to_numpy(_unit_moments(_precise(x), **constants)))


def _precise(x):
    return x if isinstance(x, np.ndarray) else ops.cast(x, "float32")


@reduction
def _unit_moments(ops, x, num_samples, unit_axis, unit_rank):
    x = x[:num_samples]
    if unit_rank > 1:
        x = ops.reshape(x, (*x.shape[:-unit_rank], math.prod(x.shape[-unit_rank:])))
    axes = tuple(axis for axis in range(len(x.shape)) if axis != unit_axis % len(x.shape))

    def mean_of(x):
        for axis in axes:  # one by one: a long sum loses more to rounding
            x = ops.mean(x, axis=axis, keepdims=True)
        return x

    mean = mean_of(x)
    x = x - mean
    # What rounding has left out of the mean is no variance.
    rest = mean_of(x)
    variance = ops.maximum(mean_of(ops.square(x)) - ops.square(rest), 0.0)
    return ops.stack([ops.reshape(each, (-1,)) for each in (mean + rest, variance)])


def second_moment(x, start):
    """Returns the second moment of a signal, a tensor or an array, from a sample on."""
    return float(ops.convert_to_numpy(_second_moment(_precise(x), start=start)))


@reduction
def _second_moment(ops, x, start):
    return ops.mean(ops.square(x[start:]))


@reduction
def signal(ops, x, unit_axis):
    """Returns seven numbers, and up to 256 values, of each signal of a stack.

    Number of samples; the largest magnitude; of the signal over that: mean, second moment, second
    moment of the mean over the samples; the fraction of units that are dead, and of values that
    are zero.
    """
    flat = ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    sample = ops.take(flat, _places(flat.shape[1]), axis=1)
    x = _by_unit(ops, x, unit_axis)
    magnitude = ops.maximum(ops.max(x, axis=(1, 2)), -ops.min(x, axis=(1, 2)))
    largest = ops.max(magnitude, axis=1, keepdims=True)
    x = x / ops.where(largest > 0, largest, 1.0)[:, None, None]
    common = ops.mean(x, axis=1)
    largest = largest[:, 0]
    numbers = [
        x.shape[1] * ops.ones_like(largest),
        largest,
        ops.mean(common, axis=(1, 2)),
        ops.mean(ops.square(x), axis=(1, 2, 3)),
        ops.mean(ops.square(common), axis=(1, 2)),
        ops.mean(magnitude <= DEAD * largest[:, None], axis=1),
        ops.mean(ops.equal(x, 0.0), axis=(1, 2, 3)),
    ]
    return ops.concatenate([ops.stack(numbers, axis=1), sample], axis=1)


@reduction
def by_unit(ops, x, unit_axis):
    """Returns the largest magnitude that each unit gives, of each signal of a stack."""
    return ops.max(ops.abs(_by_unit(ops, x, unit_axis)), axis=(1, 2))


def split(numbers):
    """Returns the seven numbers of a signal, and its sample."""
    return numbers[:_NUM_NUMBERS], numbers[_NUM_NUMBERS:]


@functools.lru_cache(maxsize=64)
def _places(size):
    """Returns up to 256 places among `size`, one drawn in each of as many equal parts."""
    number = min(size, NUM_SAMPLED)
    parts = np.arange(number) + np.random.default_rng(0).uniform(size=number)
    return (parts * (size / number)).astype("int32")


@reduction
def beyond(ops, x, low, high):
    """Returns the fraction of the values of each of a stack that are beyond either limit."""
    return ops.mean(ops.reshape((x < low) | (x > high), (x.shape[0], -1)), axis=1)


@reduction
def directions(ops, x, first):
    """Returns the effective rank of each of a stack of signals, and its alignment with the first.

    The rank is the participation ratio (Σ s²)² / Σ s⁴ of the singular values s around the mean of
    up to 256 samples; 0 where all samples are the same. The alignment, from 0 to 1, is the cosine
    between the inner products that samples have in either signal: linear CKA.

    Args:
        x: (stack, samples, units).
        first: (stack, samples, other units).
    """
    x, first = (_centered(ops, each[:, :NUM_SAMPLED]) for each in (x, first))
    own, across, others = (_overlap(ops, *of) for of in ((x, x), (x, first), (first, first)))
    rank = ops.square(ops.sum(ops.square(x), axis=(1, 2))) / ops.where(own > 0, own, 1.0)
    both = ops.sqrt(own) * ops.sqrt(others)
    return ops.stack([rank, across / ops.where(both > 0, both, 1.0)], axis=1)


def _centered(ops, x):
    largest = ops.max(ops.abs(x), axis=(1, 2), keepdims=True)
    x = x / ops.where(largest > 0, largest, 1.0)
    return x - ops.mean(x, axis=1, keepdims=True)


def _overlap(ops, x, other):
    """Returns Σ (x xᵀ)(y yᵀ) over all pairs of samples, by the smaller products."""
    if x.shape[1] <= min(x.shape[2], other.shape[2]):
        x, other = (ops.matmul(each, ops.transpose(each, (0, 2, 1))) for each in (x, other))
        return ops.sum(x * other, axis=(1, 2))
    return ops.sum(ops.square(ops.matmul(ops.transpose(x, (0, 2, 1)), other)), axis=(1, 2))


@reduction
def size(ops, x):
    """Returns for each of a stack the largest magnitude, and the sum of squares of the rest."""
    x = ops.reshape(x, (x.shape[0], -1))
    largest = ops.max(ops.abs(x), axis=1, keepdims=True)
    squares = ops.sum(ops.square(x / ops.where(largest > 0, largest, 1.0)), axis=1)
    return ops.stack([largest[:, 0], squares], axis=1)


def norm(largest, squares):
    """Returns the Euclidean norm of what `size` was taken of."""
    return float(largest) * math.sqrt(float(squares))


@reduction
def token_cosine(ops, x):
    """Returns the mean cosine between the tokens of a sample, for (stack, samples, tokens, units).

    As mean inner product over mean square.
    """
    number = x.shape[2]
    x = x / ops.maximum(ops.max(ops.abs(x), axis=(2, 3), keepdims=True), 1e-37)
    squares = ops.mean(ops.square(x), axis=(2, 3))
    common = ops.mean(ops.square(ops.mean(x, axis=2)), axis=2)
    cosine = (number * common - squares) / ((number - 1) * ops.maximum(squares, 1e-37))
    return ops.mean(cosine, axis=1)


@reduction
def logit_std(ops, query, key):
    """Returns the standard deviation over the keys of attention's logits.

    By the covariance of the keys: the logits themselves may be too many to hold.

    Args:
        query: (stack, samples, queries, heads, dim).
        key: (stack, samples, keys, heads, dim), of as many heads or a divisor of that.
    """
    _, _, num_keys, num_groups, dim = key.shape
    groups = (*query.shape[:3], num_groups, query.shape[3] // num_groups, dim)
    query = ops.reshape(query, groups)
    key = key - ops.mean(key, axis=2, keepdims=True)
    covariance = ops.einsum("nbkgd,nbkge->nbgde", key, key) / num_keys
    projected = ops.einsum("nbqghd,nbgde->nbqghe", query, covariance)
    variance = ops.mean(ops.sum(projected * query, axis=-1), axis=(1, 2, 3, 4)) / dim
    return ops.sqrt(ops.maximum(variance, 0.0))


@reduction
def kernel(ops, x, shape, order, blocks, outputs):
    """Returns the numbers of each of a stack of kernels; `split_kernel` reads them.

    Args:
        x: Stack of kernels.
        shape: Shape of each with the blocks as an axis of their own.
        order: Its axes in the order of blocks, inputs, outputs.
        blocks: Number of separate matrices in each.
        outputs: Number of outputs of such a matrix.
    """
    x = ops.reshape(x, (x.shape[0], *shape))
    x = ops.transpose(x, (0, *(axis + 1 for axis in order)))
    x = ops.reshape(x, (x.shape[0], blocks, -1, outputs))
    low, high = (extreme(x, axis=(1, 2, 3)) for extreme in (ops.min, ops.max))
    largest = ops.maximum(high, -low)
    x = x / ops.where(largest > 0, largest, 1.0)[:, None, None, None]
    moments = [ops.mean(each, axis=(1, 2, 3)) for each in (x, ops.square(x))]
    projections = ops.matmul(_probe(x.shape[2]), x)
    projections = ops.reshape(projections, (x.shape[0], -1))
    return ops.concatenate([ops.stack([low, high, *moments], axis=1), projections], axis=1)


def split_kernel(numbers, blocks):
    """Returns extremes, mean, second moment and the fraction of repeated units of a kernel."""
    low, high, mean, second_moment = map(float, numbers[:4])
    largest = max(high, -low)
    repeated = fraction_repeated(numbers[4:].reshape(blocks, _NUM_PROJECTIONS, -1))
    return low, high, largest * mean, largest * largest * second_moment, repeated


@functools.lru_cache(maxsize=64)
def _probe(inputs):
    """Returns vectors to project units on: units with the same weights get the same there."""
    return np.random.default_rng(0).normal(size=(_NUM_PROJECTIONS, inputs)).astype("float32")


def fraction_repeated(projections):
    """Returns the fraction of units whose weights another unit of the block has as well.

    Args:
        projections: Array of shape (blocks, projections, units).
    """
    if projections.shape[2] < 2:
        return 0.0
    # Units that are the same lie side by side in the order of any projection.
    order = np.argsort(projections[:, :1], axis=2)
    points = np.take_along_axis(projections, order, axis=2).astype("float64")
    norms = np.sqrt(np.square(points).sum(1))
    distances = np.abs(np.diff(points, axis=2)).max(1)
    is_next = distances <= _SAME * norms[:, 1:]
    edge = np.zeros((len(points), 1), bool)
    is_repeated = np.concatenate([is_next, edge], 1) | np.concatenate([edge, is_next], 1)
    return float(is_repeated.mean())
