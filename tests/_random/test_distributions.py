"""Random numbers: the same bits on every machine, and the distributions they claim.

`golden/draws.json` holds the SHA-256 of the float32 bytes of some draws. They must hold on any
processor and NumPy version: whoever changes them changes the weights of every seed there is.
`python tests/test_draws.py` writes the file anew.
"""

import hashlib
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from keras_winit import _large_arrays
from keras_winit._random import distributions

DIGESTS = Path(__file__).parents[1] / "golden" / "draws.json"

ELEMENTWISE = {
    "normal": distributions.normal,
    "truncated_normal": distributions.truncated_normal,
    "uniform": distributions.uniform,
}
LAWS = {
    "normal": scipy.stats.norm(scale=0.3),
    "truncated_normal": scipy.stats.truncnorm(-2, 2, scale=0.3 / 0.87962566103423978),
    "uniform": scipy.stats.uniform(-0.3, 0.6),
}
SHAPES = [(), (7,), (3, 5, 4), (3, 65536), (5 * 65536 + 17,)]
CHOICES = [(5, 2, 1000), (5, 4, 1000), (300, 15, 40), (300, 290, 40)]
FOUR_SIGMA = 2 * scipy.stats.norm.sf(4)  # the p-value of a deviation by four standard errors


def digests():
    """Returns the digest of every draw that is checked in."""
    draws = {
        f"{name}{shape}": draw(shape, seed=seed, purpose="test")
        for (name, draw), (seed, shape) in itertools.product(ELEMENTWISE.items(), enumerate(SHAPES))
    }
    draws["normal, scaled"] = distributions.normal((40, 30), seed=-1, purpose="test", stddev=0.1)
    draws["uniform, scaled"] = distributions.uniform(
        (40, 30), seed=2**40, purpose="test", limit=0.1
    )
    draws |= {
        f"choice{sizes}": distributions.choice(*sizes, seed=3, purpose="test") for sizes in CHOICES
    }
    return {
        name: hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
        for name, values in draws.items()
    }


@pytest.fixture(scope="module")
def samples():
    """Some 4e6 numbers of standard deviation or limit 0.3 from each law, in float64."""
    scales = {"normal": "stddev", "truncated_normal": "stddev", "uniform": "limit"}
    return {
        name: ELEMENTWISE[name]((1 << 22,), seed=0, purpose="test", **{scale: 0.3}).astype(float)
        for name, scale in scales.items()
    }


def test_draws_are_bit_equal_to_those_checked_in():
    assert digests() == json.loads(DIGESTS.read_text())


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("num_threads", [2, 16])
def test_values_do_not_depend_on_the_number_of_threads(name, num_threads, monkeypatch):
    def draw(threads):
        monkeypatch.setattr(_large_arrays, "_num_processors", lambda: threads)
        return ELEMENTWISE[name]((33, 65537), seed=0, purpose="test")

    np.testing.assert_array_equal(draw(num_threads), draw(1))


# Rows, columns of a narrow and of a wide array, blocks in the middle, one number, all, nothing.
PARTS = [
    ((300, 700), ((37, 221), (0, 700))),
    ((300, 700), ((0, 300), (13, 17))),
    ((20, 50_000), ((3, 19), (11, 30_011))),
    ((20, 50_000), ((3, 19), (11, 49_000))),
    ((3, 5, 400, 70), ((1, 3), (0, 5), (57, 391), (0, 70))),
    ((200_000,), ((70_001, 140_002),)),
    ((200_000,), ((131_071, 131_072),)),
    ((33, 65537), ((0, 33), (0, 65537))),
    ((33, 65537), ((5, 5), (0, 65537))),
    ((), ()),
]


@pytest.mark.parametrize(
    "draw", [distributions.normal, distributions.truncated_normal, distributions.uniform]
)
@pytest.mark.parametrize(("shape", "bounds"), PARTS)
def test_part_has_the_values_of_the_whole(shape, bounds, draw):
    part = tuple(slice(*each) for each in bounds)
    whole = draw(shape, seed=0, purpose="test")
    alone = draw(shape, seed=0, purpose="test", part=part)
    np.testing.assert_array_equal(alone, whole[part])
    assert (alone.shape, alone.dtype) == (whole[part].shape, whole.dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values_are_float32_of_the_shape_asked_for(name):
    for shape in SHAPES:
        values = ELEMENTWISE[name](shape, seed=0, purpose="test")
        assert (values.shape, values.dtype) == (shape, np.float32)


def test_streams_of_different_keys_blocks_and_laws_are_independent():
    size = 1 << 16
    streams = {
        "normal": distributions.normal((size,), seed=0, purpose="a"),
        "truncated_normal": distributions.truncated_normal((size,), seed=0, purpose="a"),
        "uniform": distributions.uniform((size,), seed=0, purpose="a"),
        "choice": distributions.choice(2, 1, size, seed=0, purpose="a")[0],
        "other seed": distributions.normal((size,), seed=1, purpose="a"),
        "seed as text": distributions.normal((size,), seed="0/0", purpose="a"),
        "other purpose": distributions.normal((size,), seed=0, purpose="b"),
        "other shape": distributions.normal((size, 1), seed=0, purpose="a")[:, 0],
        "longer": distributions.normal((4 * size,), seed=0, purpose="a")[:size],
        "next block": distributions.normal((4 * size,), seed=0, purpose="a")[size : 2 * size],
    }
    correlation = scipy.stats.spearmanr(np.stack(list(streams.values()), axis=1)).statistic
    assert np.abs(correlation - np.eye(len(streams))).max() < 4 / math.sqrt(size)


@pytest.mark.parametrize("name", LAWS)
def test_law_is_that_of_scipy(name, samples):
    assert scipy.stats.kstest(samples[name][::4], LAWS[name].cdf).pvalue > FOUR_SIGMA


@pytest.mark.parametrize("power", [1, 2, 3, 4])
@pytest.mark.parametrize("name", LAWS)
def test_moments_are_those_of_the_law(name, power, samples):
    powers = samples[name] ** power
    error = powers.mean() - LAWS[name].moment(power)
    assert abs(error) < 4 * powers.std() / math.sqrt(powers.size)


def test_standard_deviation_of_a_cut_normal_is_the_one_asked_for(samples):
    values = samples["truncated_normal"]
    kurtosis = 2.3655
    assert values.std() == pytest.approx(0.3, rel=4 * math.sqrt((kurtosis - 1) / 4 / values.size))
    assert scipy.stats.kurtosis(values, fisher=False) == pytest.approx(kurtosis, abs=5e-3)


def test_cut_normal_reaches_two_sigma_and_no_further(samples):
    limit = 2 * np.float32(0.3 / 0.87962566103423978)
    for extreme in (samples["truncated_normal"].max(), -samples["truncated_normal"].min()):
        assert 0.99999 * limit < extreme <= limit


@pytest.mark.parametrize("sigmas", [3, 4, 4.5])
@pytest.mark.parametrize("side", [-1, 1])
def test_normal_has_its_tails(side, sigmas, samples):
    probability = scipy.stats.norm.sf(sigmas)
    size = samples["normal"].size
    count = np.count_nonzero(side * samples["normal"] > 0.3 * sigmas)
    error = count - size * probability
    assert abs(error) < 4 * math.sqrt(size * probability * (1 - probability))


def test_quantile_is_that_of_scipy_down_to_six_sigma():
    tail = np.geomspace(0.5, 2**31, 1 << 18).astype(np.float32)
    expected = scipy.stats.norm.isf(tail.astype(float) / 2**32)
    assert expected[0] > 6.3
    values = np.empty_like(tail)
    distributions._upper_quantile(tail, values, distributions._Scratch(tail.size))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("block", "limit"),
    [
        (distributions._normal_block, 6.4),
        (distributions._truncated_normal_block, 2.0),
        (distributions._uniform_block, np.nextafter(np.float32(1), np.float32(0))),
    ],
)
def test_no_word_gives_zero_or_leaves_the_bounds(block, limit):
    middle, end = 2**31, 2**32
    words = [0, 1, 2, middle - 2, middle - 1, middle, middle + 1, end - 3, end - 2, end - 1]
    values = np.empty(len(words), np.float32)
    block(np.array(words, np.uint32), values, distributions._Scratch(values.size))
    assert np.abs(values).min() > 0
    assert np.abs(values).max() <= limit


@pytest.mark.parametrize("population", [1, 2, 5, 64])
def test_choice_chooses_the_exact_count(population):
    for count in range(1, population + 1):
        chosen = distributions.choice(population, count, 20, seed=0, purpose="test")
        assert chosen.shape == (population, 20)
        assert chosen.sum(axis=0).tolist() == [count] * 20


@pytest.mark.parametrize(("population", "count"), [(5, 2), (6, 3), (5, 4), (6, 4)])
def test_every_subset_is_equally_likely(population, count):
    chosen = distributions.choice(population, count, 40_000, seed=0, purpose="test")
    _, frequencies = np.unique(chosen, axis=1, return_counts=True)
    assert frequencies.size == math.comb(population, count)
    assert scipy.stats.chisquare(frequencies).pvalue > FOUR_SIGMA


@pytest.mark.parametrize("count", [15, 150, 285])
def test_every_index_is_chosen_equally_often(count):
    num_sets = 10_000
    frequencies = distributions.choice(300, count, num_sets, seed=0, purpose="test").sum(axis=1)
    probability = count / 300
    spread = math.sqrt(num_sets * probability * (1 - probability))
    assert np.abs(frequencies - num_sets * probability).max() < 4 * spread


if __name__ == "__main__":
    DIGESTS.write_text(json.dumps(digests(), indent=2) + "\n")
