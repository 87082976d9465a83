"""Random numbers: keyed streams of bits turned into arrays, the same on every machine.

Only raw bits come from NumPy: those of its Philox bit generator, whose stream NumPy
promises not to change. What turns bits into numbers is ours and uses additions,
multiplications and table look-ups alone, each rounded as IEEE 754 prescribes. So a seed
gives the same float32 values on every processor, NumPy version and backend, which the
methods of `numpy.random.Generator` do not promise.

Every draw has a key made from its seed, purpose, distribution and shape: no two share a
stream. An array is filled in blocks of `BLOCK` numbers, each from its own position of the
keyed counter, so any number of threads gives the same values.
"""

import functools
import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK = 1 << 16

# The standard deviation that a standard normal has left when it is cut at two sigma.
TRUNCATED_STDDEV = 0.87962566103423978

_CUT = 2.0
_CUT_TAIL = 0.022750131948179195  # P(z < -2)

# The quantile table is indexed by the leading bits of a float32: its exponent, and
# the first bits of its mantissa. The remaining bits interpolate.
_TABLE_BITS = 9
_FRACTION_BITS = 23 - _TABLE_BITS
_FIRST_INDEX = 126 << _TABLE_BITS  # of one half, the smallest number looked up
_NUM_OCTAVES = 32


def normal(shape, *, seed, purpose, stddev=1.0):
    """Returns a float32 array of shape `shape` from N(0, `stddev`²)."""
    return _fill(shape, _normal_block, seed, purpose, stddev)


def truncated_normal(shape, *, seed, purpose, stddev=1.0):
    """Returns a float32 array from a normal cut at two sigma, of standard deviation `stddev`.

    The cut lies at 2 / 0.8796 = 2.27 times `stddev`, since `stddev` is what remains after it.
    """
    return _fill(shape, _truncated_normal_block, seed, purpose, stddev / TRUNCATED_STDDEV)


def uniform(shape, *, seed, purpose, limit=1.0):
    """Returns a float32 array, uniform in (-`limit`, `limit`)."""
    return _fill(shape, _uniform_block, seed, purpose, limit)


def sign(shape, *, seed, purpose):
    """Returns a float32 array of -1 and 1 with equal probability."""
    return _fill(shape, _sign_block, seed, purpose, 1.0)


def choice(population, count, num_sets, *, seed, purpose):
    """Chooses `count` of `population` without replacement, independently `num_sets` times.

    Floyd's algorithm, all sets at once: the cost grows with the smaller of what is
    chosen and what is left out.

    Returns:
        Boolean array of shape `(population, num_sets)` with exactly `count` True in each column.
    """
    key = stream_key(seed, f"{purpose}/choice", (population, count, num_sets))
    inverted = count > population // 2
    steps = population - count if inverted else count
    chosen = np.zeros((population, num_sets), dtype=bool)
    sets = np.arange(num_sets)
    for step in range(steps):
        last = population - steps + step
        words = _raw(key, step, num_sets)
        # 53 random bits times last + 1: the bias of the floor is below 2**-53 * population.
        pick = ((words >> np.uint64(11)) * 2.0**-53 * (last + 1)).astype(np.int64)
        taken = chosen[pick, sets]
        pick[taken] = last
        chosen[pick, sets] = True
    return ~chosen if inverted else chosen


def stream_key(seed, purpose, shape):
    """Returns the 128-bit key of the stream that belongs to these three."""
    text = repr((str(seed), purpose, tuple(int(size) for size in shape)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def integer_seed(text):
    """Returns a seed that every backend takes, made from any text."""
    return stream_key(text, "seed", ()) % 2**31


def _raw(key, block, size):
    """Returns `size` random 64-bit words from the block's own part of the keyed counter."""
    return np.random.Philox(key=key, counter=block << 128).random_raw(size)


def _bits(key, block, size):
    """Returns `size` random 32-bit words."""
    words = _raw(key, block, (size + 1) // 2)
    return words.astype("<u8", copy=False).view("<u4")[:size]


def _fill(shape, transform, seed, purpose, scale):
    size = math.prod(shape)
    key = stream_key(seed, f"{purpose}/{transform.__name__}", shape)
    scale = np.float32(scale)
    values = np.empty(size, dtype=np.float32)

    def fill_block(block):
        part = values[block * BLOCK : (block + 1) * BLOCK]
        np.multiply(transform(_bits(key, block, part.size)), scale, out=part)

    num_blocks = -(-size // BLOCK)
    if num_blocks < 4:
        for block in range(num_blocks):
            fill_block(block)
    else:
        with ThreadPoolExecutor(min(num_blocks, os.cpu_count() or 1)) as threads:
            list(threads.map(fill_block, range(num_blocks)))
    return values.reshape(shape)


def _uniform_block(bits):
    """Midpoints of 2²⁴ equal cells of (-1, 1): symmetric, and never the bounds."""
    cells = (bits.view(np.int32) >> 8).astype(np.float32)
    cells += np.float32(0.5)
    cells *= np.float32(2.0**-23)
    return cells


def _sign_block(bits):
    return np.where(bits >> 31, np.float32(-1.0), np.float32(1.0))


def _normal_block(bits):
    tail = (bits >> 1).astype(np.float32)
    tail += np.float32(0.5)
    return _with_sign(_upper_quantile(tail), bits)


def _truncated_normal_block(bits):
    tail = (bits >> 1).astype(np.float32)
    tail *= np.float32(1.0 - 2.0 * _CUT_TAIL)
    tail += np.float32(_CUT_TAIL * 2.0**32)
    quantile = _upper_quantile(tail)
    np.minimum(quantile, np.float32(_CUT), out=quantile)
    return _with_sign(quantile, bits)


def _with_sign(values, bits):
    """Gives each value the sign that its lowest random bit says."""
    words = values.view(np.uint32)
    words ^= bits << 31
    return values


def _upper_quantile(tail):
    """Returns z with P(N(0, 1) > z) = `tail` / 2³², for float32 `tail` in [0.5, 2³¹]."""
    start, slope = _quantile_table()
    words = tail.view(np.uint32)
    index = (words >> _FRACTION_BITS).astype(np.intp)
    index -= _FIRST_INDEX
    words &= np.uint32((1 << _FRACTION_BITS) - 1)
    fraction = words.astype(np.float32)
    quantile = np.take(slope, index, mode="clip")
    quantile *= fraction
    quantile += np.take(start, index, mode="clip")
    return quantile


@functools.cache
def _quantile_table():
    """Returns the normal quantile at every table position, and its slope up to the next.

    An octave of tail probabilities has 2⁹ positions, so linear interpolation is off by less
    than 1e-6 from the centre to 6.3 sigma. Newton steps with +, -, *, / alone: the logarithm
    and exponential of one C library differ from another's in the last bit.
    """
    octaves = 2.0 ** np.arange(-1, _NUM_OCTAVES - 1)
    positions = 1.0 + np.arange(1 << _TABLE_BITS) * 2.0**-_TABLE_BITS
    tail = np.append((octaves[:, None] * positions).ravel(), 2.0 ** (_NUM_OCTAVES - 1)) * 2.0**-32
    grid = np.arange(0.0, 6.6, 2.0**-8)
    nearest = np.searchsorted(-_normal_tail(grid)[0], -tail)
    quantile = grid[np.minimum(nearest, grid.size - 1)]
    for _ in range(4):
        value, density = _normal_tail(quantile)
        quantile = quantile + (value - tail) / density
    quantile[-1] = 2.0**-40  # the median, kept off zero so that no weight is exactly zero
    start = quantile.astype(np.float32)
    slope = np.append(np.diff(quantile), 0.0) * 2.0**-_FRACTION_BITS
    return start, slope.astype(np.float32)


def _normal_tail(z):
    """Returns P(N(0, 1) > z) and the density at z, for an array of z in [0, 7]."""
    power = z * z * (-0.5 / 256)
    exponential = np.ones_like(z)
    for order in range(12, 0, -1):
        exponential = 1.0 + exponential * power / order
    for _ in range(8):
        exponential = exponential * exponential
    density = exponential * 0.3989422804014327
    # Near the centre the power series of the integral, further out its continued fraction.
    term = total = z
    for order in range(3, 60, 2):
        term = term * z * z / order
        total = total + term
    near = 0.5 - density * total
    fraction = z
    for level in range(80, 0, -1):
        fraction = z + level / np.maximum(fraction, 1.0)
    return np.where(z < 2.5, near, density / np.maximum(fraction, 1.0)), density
