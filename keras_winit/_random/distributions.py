"""Random numbers: keyed streams of bits turned into arrays, the same on every machine.

Only raw bits come from NumPy: those of its Philox bit generator, whose stream NumPy
promises not to change. What turns bits into numbers is ours and uses additions,
multiplications and table look-ups alone, each rounded as IEEE 754 prescribes. So a seed
gives the same float32 values on every processor, NumPy version and backend, which the
methods of `numpy.random.Generator` do not promise.

Every draw has a key made from its seed, purpose, distribution and shape: no two share a
stream. An array is filled in blocks of `BLOCK` numbers, each from its own position of the
keyed counter, so any number of threads gives the same values, and a part of an array can be
drawn alone.
"""

import functools
import hashlib
import math

import numpy as np

from keras_winit import _large_arrays
from keras_winit._large_arrays import BLOCK  # with a stream of its own: another draws other numbers

# As many numbers are drawn in about the time that it takes to pass over them.
_LONG_GAP = 1 << 12

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


def normal(shape, *, seed, purpose, stddev=1.0, part=None):
    """Returns a float32 array of shape `shape` from N(0, `stddev`²).

    `part`, a slice for each axis, draws that part alone, with the values it has in the whole.
    """
    return _fill(shape, _normal_block, seed, purpose, stddev, part)


def truncated_normal(shape, *, seed, purpose, stddev=1.0, part=None):
    """Returns a float32 array from a normal cut at two sigma, of standard deviation `stddev`.

    The cut lies at 2 / 0.8796 = 2.27 times `stddev`, since `stddev` is what remains after it.
    """
    return _fill(shape, _truncated_normal_block, seed, purpose, stddev / TRUNCATED_STDDEV, part)


def uniform(shape, *, seed, purpose, limit=1.0, part=None):
    """Returns a float32 array, uniform in (-`limit`, `limit`)."""
    return _fill(shape, _uniform_block, seed, purpose, limit, part)


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
    flat, sets = chosen.reshape(-1), np.arange(num_sets)
    generator = np.random.Philox(key=key, counter=0)
    for step in range(steps):
        last = population - steps + step
        words = generator.random_raw(num_sets)
        generator.advance((1 << 128) - -(-num_sets // 4))  # to the next step's own part
        # 53 random bits times last + 1: the bias of the floor is below 2**-53 * population.
        words >>= np.uint64(11)
        fraction = words.view(np.int64).astype(np.float64)
        fraction *= 2.0**-53
        fraction *= last + 1
        pick = fraction.astype(np.int64)
        pick *= num_sets
        pick += sets
        # No place is out of range; of the modes that do not look for one, "wrap" is the faster.
        np.copyto(pick, last * num_sets + sets, where=flat.take(pick, mode="wrap"))
        flat.put(pick, True, mode="wrap")
    return np.logical_not(chosen, out=chosen) if inverted else chosen


def stream_key(seed, purpose, shape):
    """Returns the 128-bit key of the stream that belongs to these three."""
    text = repr((str(seed), purpose, tuple(int(size) for size in shape)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def integer_seed(text):
    """Returns a seed that every backend takes, made from any text."""
    return stream_key(text, "seed", ()) % 2**31


def _fill(shape, transform, seed, purpose, scale, part=None):
    key = stream_key(seed, f"{purpose}/{transform.__name__}", shape)
    sizes = shape
    if part is not None:
        bounds = [each.indices(size)[:2] for each, size in zip(part, shape, strict=True)]
        sizes = [stop - start for start, stop in bounds]
    values = _large_arrays.empty((math.prod(sizes),), np.float32)

    def work(firsts):
        scratch = _Scratch(min(BLOCK, values.size))
        for first in firsts:
            out = values[first : first + BLOCK]
            if part is None:
                bits = _bits(key, [first], [first + out.size])
            else:
                bits = _bits_of_part(key, shape, bounds, first, out.size)
            transform(bits, out, scratch)
            out *= np.float32(scale)

    _large_arrays.share(work, values.size)
    return values.reshape(sizes)


def _bits_of_part(key, shape, bounds, first, size):
    """Returns the random 32-bit words of `size` numbers of a part, from its `first` on.

    Args:
        key: Integer.
        shape: Tuple, of the whole array.
        bounds: The part, as (start, stop) for each axis.
    """
    starts, stops = _runs(shape, bounds, first, size)
    if (starts[1:] - stops[:-1] >= _LONG_GAP).all():
        return _bits(key, starts.tolist(), stops.tolist())
    # Drawing what lies between the runs costs less than going to each of them.
    counts = stops - starts
    places = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(size)
    blocks = np.arange(places[0] // BLOCK, places[-1] // BLOCK + 2)
    parts = []
    for here in np.split(places, np.searchsorted(places, blocks[1:-1] * BLOCK)):
        if here.size:
            start, stop = int(here[0]), int(here[-1]) + 1
            parts.append(_bits(key, [start], [stop])[here - start])
    return np.concatenate(parts)


def _runs(shape, bounds, first, size):
    """Returns where these numbers lie in the flattened whole array: starts and stops, ascending."""
    # Two axes of size 1 in front: there always is a last axis that is cut, and one before it.
    shape, bounds = (1, 1, *shape), ((0, 1), (0, 1), *bounds)
    starts, sizes = [start for start, _ in bounds], [stop - start for start, stop in bounds]
    axis = max((axis for axis, size in enumerate(shape) if sizes[axis] != size), default=1)
    row, inner = math.prod(shape[axis:]), math.prod(shape[axis + 1 :])
    length = sizes[axis] * inner
    runs = np.arange(first // length, -(-(first + size) // length))
    leading = np.unravel_index(runs, sizes[:axis])
    whole = [index + start for index, start in zip(leading, starts, strict=False)]
    begin = np.ravel_multi_index(whole, shape[:axis]) * row + starts[axis] * inner
    low = np.maximum(first - runs * length, 0)
    high = np.minimum(first + size - runs * length, length)
    return begin + low, begin + high


def _bits(key, starts, stops):
    """Returns the random 32-bit words of a keyed stream from each start to its stop."""
    parts, block = [], None
    for start, stop in zip(starts, stops, strict=True):
        while start < stop:
            if start // BLOCK != block:
                block, position = start // BLOCK, 0
                generator = np.random.Philox(key=key, counter=block << 128)
            end = min(stop, (block + 1) * BLOCK)
            # One step of the counter is 4 words of 64 bits.
            step, skipped = divmod(start - block * BLOCK, 8)
            if step != position:
                generator.advance(step - position)
            words = generator.random_raw((skipped + end - start + 1) // 2)
            position = step + -(-words.size // 4)
            bits = words.astype("<u8", copy=False).view("<u4")
            parts.append(bits[skipped : skipped + end - start])
            start = end
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Scratch:
    """Room for a block on its way from bits to numbers, allocated once per thread."""

    def __init__(self, size):
        self.words = np.empty(size, np.uint32)
        self.floats = np.empty(size, np.float32)
        self.index = np.empty(size, np.intp)


def _uniform_block(bits, out, scratch):
    """Midpoints of 2²⁴ equal cells of (-1, 1): symmetric, and never the bounds."""
    cells = scratch.words[: out.size].view(np.int32)
    np.right_shift(bits.view(np.int32), 8, out=cells)
    np.copyto(out, cells)
    out += np.float32(0.5)
    out *= np.float32(2.0**-23)


def _normal_block(bits, out, scratch):
    tail = _upper_half(bits, scratch)
    tail += np.float32(0.5)
    _upper_quantile(tail, out, scratch)
    _add_sign(out, bits, scratch)


def _truncated_normal_block(bits, out, scratch):
    tail = _upper_half(bits, scratch)
    tail *= np.float32(1.0 - 2.0 * _CUT_TAIL)
    tail += np.float32(_CUT_TAIL * 2.0**32)
    _upper_quantile(tail, out, scratch)
    np.minimum(out, np.float32(_CUT), out=out)
    _add_sign(out, bits, scratch)


def _upper_half(bits, scratch):
    """Returns all but the lowest of the bits as a float32 below 2³¹."""
    words, tail = scratch.words[: bits.size], scratch.floats[: bits.size]
    np.right_shift(bits, 1, out=words)
    np.copyto(tail, words.view(np.int32))  # processors convert signed integers faster
    return tail


def _add_sign(values, bits, scratch):
    """Gives each value the sign that its lowest random bit says."""
    signs = scratch.words[: values.size]
    np.left_shift(bits, 31, out=signs)
    words = values.view(np.uint32)
    words ^= signs


def _upper_quantile(tail, out, scratch):
    """Writes z with P(N(0, 1) > z) = `tail` / 2³², for float32 `tail` in [0.5, 2³¹]."""
    start, slope = _quantile_table()
    words, index = scratch.words[: tail.size], scratch.index[: tail.size]
    bits = tail.view(np.uint32)
    np.right_shift(bits, _FRACTION_BITS, out=words)
    np.copyto(index, words.view(np.int32))
    bits &= np.uint32((1 << _FRACTION_BITS) - 1)
    np.copyto(out, bits.view(np.int32))
    # No index is out of range; of the modes that do not look for one, "wrap" is the faster.
    np.take(slope, index, mode="wrap", out=tail)
    tail *= out
    np.take(start, index, mode="wrap", out=out)
    out += tail


@functools.cache
def _quantile_table():
    """Returns the normal quantile at every table position, and its slope up to the next.

    The index is the leading bits as they are: what lies before the first one is never read.

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
    slope = np.append(np.diff(quantile), 0.0) * 2.0**-_FRACTION_BITS
    unused = np.zeros(_FIRST_INDEX)
    return tuple(np.append(unused, each).astype(np.float32) for each in (quantile, slope))


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
