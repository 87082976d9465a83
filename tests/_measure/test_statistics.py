import math

import keras
import numpy as np
import pytest

from keras_winit._measure import statistics
from keras_winit._measure.statistics import Reductions

ops = keras.ops


@pytest.fixture(autouse=True, params=["NumPy", "device"])
def place_of_reduction(request, monkeypatch):
    """Small tensors are reduced by NumPy, and here on the device as well."""
    if request.param == "device":
        monkeypatch.setattr(statistics, "_SMALL", -1)


def reduced(reduce, *arrays, **constants):
    reductions = Reductions()
    place = reductions.add(reduce, *map(ops.convert_to_tensor, arrays), **constants)
    return reductions.fetch()[place]


def signal(x, unit_axis=-1):
    numbers, _ = statistics.split(reduced(statistics.signal, x, unit_axis=unit_axis))
    return numbers.astype("float64")


def expected_signal(x, unit_axis=-1):
    """Returns what `signal` gives, by NumPy in float64."""
    x = np.moveaxis(np.asarray(x, "float64"), unit_axis, -1)
    magnitude = np.abs(x).reshape(-1, x.shape[-1]).max(0)
    largest = magnitude.max()
    return [
        len(x),
        largest,
        x.mean() / largest,
        (x**2).mean() / largest**2,
        (x.mean(0) ** 2).mean() / largest**2,
        (magnitude <= 1e-5 * largest).mean(),
        (x == 0).mean(),
    ]


@pytest.fixture(scope="module")
def images():
    """Samples of shape (3, 4) with 5 units, the second dead, some values zero."""
    x = np.random.default_rng(0).normal(1.0, 2.0, size=(7, 3, 4, 5)).astype("float32")
    x[..., 1] = 0.0
    x[np.abs(x) < 0.3] = 0.0
    return x


@pytest.mark.parametrize(
    ("shape", "unit_axis"),
    [((7, 3, 4, 5), -1), ((7, 3, 4, 5), 1), ((7, 60), -1), ((7, 60), 1), ((21, 20), -1)],
)
def test_numbers_of_a_signal_agree_with_numpy(images, shape, unit_axis):
    x = images.reshape(shape)
    np.testing.assert_allclose(signal(x, unit_axis), expected_signal(x, unit_axis), rtol=2e-6)


def test_a_signal_without_units_has_one(images):
    x = images[:, 0, 0, 0]
    np.testing.assert_allclose(signal(x), expected_signal(x[:, None]), rtol=2e-6)


@pytest.mark.parametrize("size", [1e-35, 1e-30, 1e-3, 1e30, 1e37])
def test_numbers_hold_for_any_size_that_float32_holds(images, size):
    x = (images / np.abs(images).max() * 5 * size).astype("float32")
    found = signal(x)
    np.testing.assert_allclose(found[1], 5 * size, rtol=1e-4)
    np.testing.assert_allclose(found[2:5], expected_signal(images)[2:5], rtol=1e-4)


@pytest.mark.parametrize("samples", [6, 40])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_directions_agree_with_singular_values_and_linear_cka(samples, size):
    rng = np.random.default_rng(0)
    first = rng.normal(3, 1, size=(samples, 9)).astype("float32")
    x = first @ rng.normal(size=(9, 7)) * [3, 3, 1, 0.1, 0, 0, 0]
    found = reduced(statistics.directions, (size * x).astype("float32"), first)
    centered, start = x - x.mean(0), first - first.mean(0, dtype="float64")
    squares = np.linalg.svd(centered, compute_uv=False) ** 2
    norms = [np.linalg.norm(each.T @ each) for each in (centered, start)]
    alignment = np.linalg.norm(centered.T @ start) ** 2 / math.prod(norms)
    np.testing.assert_allclose(found, [squares.sum() ** 2 / sum(squares**2), alignment], 1e-5)


def test_of_the_same_samples_no_direction_is_left():
    x = np.full((5, 3), 2.0, "float32")
    assert reduced(statistics.directions, x, x).tolist() == [0, 0]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_half_precision_is_summed_in_float32(dtype, tolerance):
    x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32") * 200
    found = signal(ops.cast(x, dtype))
    np.testing.assert_allclose(found[3], expected_signal(x)[3], rtol=2 * tolerance)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_show(images, bad):
    x = images.copy()
    x[2, 1, 3, 4] = bad
    found = signal(x)
    assert not np.isfinite(found[1] ** 2 * found[3])
    assert not np.isfinite(statistics.norm(*reduced(statistics.size, x)))


def test_a_signal_of_zeros_is_dead():
    np.testing.assert_array_equal(signal(np.zeros((4, 3), "float32")), [4, 0, 0, 0, 0, 1, 1])


def test_a_unit_is_dead_only_if_it_is_for_all_samples_and_positions(images):
    x = images.copy()
    x[3, 2, 1, 1] = 1e-3
    assert signal(images)[5] == pytest.approx(1 / 5)
    assert signal(x)[5] == 0


def test_long_sums_are_exact_to_five_digits():
    x = np.random.default_rng(0).normal(3.0, size=(4, 1 << 18, 2)).astype("float32")
    np.testing.assert_allclose(signal(x), expected_signal(x), rtol=1e-5)


@pytest.mark.parametrize(("samples", "units"), [(256, 128), (64, 256), (40, 3), (300, 1), (2, 7)])
def test_the_sample_is_of_all_samples_and_units(samples, units):
    sample, unit = np.indices((samples, units)).astype("float32")
    for x in (sample, unit):
        _, values = statistics.split(reduced(statistics.signal, x, unit_axis=-1))
        assert len(values) == min(256, samples * units)
        # The mean of so many draws without replacement, within four standard errors.
        error = 4 * x.std() / np.sqrt(len(values))
        assert abs(values.mean() - x.mean()) <= error
    assert len(np.unique(values)) > min(units, 256) / 2


def test_numbers_come_back_to_the_tensor_they_are_of(monkeypatch):
    monkeypatch.setattr(statistics, "_MOST_TOGETHER", 40)
    rng = np.random.default_rng(0)
    shapes = [(2, 3), (4,), (2, 3), (2, 3, 2), (4,)] * 5
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    reductions = Reductions()
    places = [reductions.add(statistics.size, ops.convert_to_tensor(each)) for each in arrays]
    assert places == list(range(len(arrays)))
    norms = [statistics.norm(*each) for each in reductions.fetch()]
    np.testing.assert_allclose(norms, [np.linalg.norm(each) for each in arrays], rtol=1e-5)


def test_only_small_tensors_wait_for_each_other():
    reductions, seen = Reductions(), []

    def reduce(stack):
        seen.append(stack.shape[0])
        return stack[:, 0]

    for _ in range(5):
        reductions.add(reduce, ops.zeros((3,)))
        reductions.add(reduce, ops.zeros((statistics._MOST_TOGETHER,)))
    assert seen == [1] * 5
    reductions.fetch()
    assert seen == [1] * 5 + [5]


def test_functions_and_constants_are_kept_apart():
    reductions, x = Reductions(), np.array([[-3.0, -1.0, 0.5, 2.0]], "float32")
    tensor = ops.convert_to_tensor(x)
    for low, high in ((-2.0, 1.0), (-np.inf, 0.0), (-4.0, 4.0)):
        reductions.add(statistics.beyond, tensor, low=low, high=high)
    reductions.add(statistics.size, tensor)
    *fractions, size = reductions.fetch()
    np.testing.assert_allclose(fractions, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(statistics.norm(*size), np.linalg.norm(x), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_a_norm_holds_for_any_size(size):
    x = np.random.default_rng(0).normal(size=(3, 50)).astype("float32")
    found = statistics.norm(*reduced(statistics.size, (x * size).astype("float32")))
    np.testing.assert_allclose(found, np.linalg.norm(x.astype("float64")) * size, rtol=1e-5)
    assert statistics.norm(*reduced(statistics.size, np.zeros(4, "float32"))) == 0


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(("unit_axis", "unit_rank"), [(-1, 1), (1, 1), (-1, 2)])
def test_moments_of_units_are_those_of_the_first_samples(images, on_device, unit_axis, unit_rank):
    x = ops.convert_to_tensor(images) if on_device else images.astype("float64")
    found = statistics.unit_moments(x, 5, unit_axis, unit_rank)
    units = np.moveaxis(images[:5].astype("float64"), unit_axis, -1)
    units = units.reshape(-1, *units.shape[units.ndim - unit_rank :])
    expected = [units.mean(0).ravel(), units.var(0).ravel()]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_variance_far_from_zero_is_exact():
    x = np.random.default_rng(0).normal(1000.0, size=(64, 3)).astype("float32")
    found = statistics.unit_moments(ops.convert_to_tensor(x), 64, -1, 1)
    np.testing.assert_allclose(found[1], x.var(0, dtype="float64"), rtol=1e-3)


def test_a_second_moment_is_that_of_the_last_samples(images):
    expected = np.square(images[3:].astype("float64")).mean()
    for x in (ops.convert_to_tensor(images), images):
        np.testing.assert_allclose(statistics.second_moment(x, 3), expected, rtol=1e-5)


def test_token_cosine_is_the_mean_over_pairs():
    x = np.random.default_rng(0).normal(0.5, size=(3, 6, 4)).astype("float32")
    wanted = []
    for tokens in x.astype("float64"):
        products = tokens @ tokens.T
        pairs = products[~np.eye(6, dtype=bool)]
        wanted.append(pairs.mean() / np.diag(products).mean())
    for size in (1e-30, 1.0, 1e30):
        found = reduced(statistics.token_cosine, (x * size).astype("float32"))
        np.testing.assert_allclose(found, np.mean(wanted), rtol=1e-4)
    same = np.repeat(x[:, :1], 5, axis=1)
    np.testing.assert_allclose(reduced(statistics.token_cosine, same), 1.0, rtol=1e-5)


@pytest.mark.parametrize("groups", [6, 2])
def test_logit_std_is_that_over_the_keys(groups):
    rng = np.random.default_rng(0)
    query = rng.normal(size=(3, 5, 6, 4)).astype("float32")
    key = rng.normal(0.7, size=(3, 8, groups, 4)).astype("float32")
    repeated = np.repeat(key, 6 // groups, axis=2).astype("float64")
    logits = np.einsum("bqhd,bkhd->bhqk", query, repeated) / np.sqrt(4)
    wanted = np.sqrt(logits.var(-1).mean())
    np.testing.assert_allclose(reduced(statistics.logit_std, query, key), wanted, rtol=1e-5)


def kernel(x, shape=None, order=None, blocks=1, outputs=None):
    shape = shape or x.shape
    numbers = reduced(
        statistics.kernel,
        x,
        shape=shape,
        order=order or tuple(range(len(shape))),
        blocks=blocks,
        outputs=outputs or shape[-1],
    )
    return statistics.split_kernel(numbers, blocks)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_numbers_of_a_kernel_agree_with_numpy(size):
    x = np.random.default_rng(0).normal(0.5, size=(30, 40)).astype("float32") * np.float32(size)
    low, high, mean, second_moment, repeated = kernel(x)
    assert (low, high, repeated) == (x.min(), x.max(), 0)
    np.testing.assert_allclose(mean, x.mean(dtype="float64"), rtol=1e-5)
    np.testing.assert_allclose(second_moment, np.square(x.astype("float64")).mean(), rtol=1e-5)


@pytest.mark.parametrize("units", [2, 4096])
def test_random_units_are_not_repeated(units):
    x = np.random.default_rng(1).normal(size=(17, units)).astype("float32")
    assert kernel(x)[-1] == 0


@pytest.mark.parametrize(
    ("value", "wanted"), [(0.0, 1.0), (0.3, 1.0), (-2e-30, 1.0), (np.nan, 0.0)]
)
def test_units_of_a_constant_are_all_repeated(value, wanted):
    assert kernel(np.full((9, 6), value, "float32"))[-1] == wanted


def test_one_unit_is_no_repetition():
    assert kernel(np.zeros((9, 1), "float32"))[-1] == 0


def test_two_equal_units_among_many_are_found():
    x = np.random.default_rng(2).normal(size=(33, 1000)).astype("float32")
    x[:, 700] = x[:, 13]
    assert kernel(x)[-1] == 2 / 1000
    x[:, 700] *= 1.001
    assert kernel(x)[-1] == 0


def test_small_units_beside_a_large_one_are_told_apart():
    x = np.random.default_rng(3).normal(size=(20, 50)).astype("float32") * 1e-7
    x[:, 0] *= 1e9
    assert kernel(x)[-1] == 0
    x[:, 20] = x[:, 30]
    assert kernel(x)[-1] == 2 / 50


def test_units_are_compared_within_a_block():
    x = np.random.default_rng(4).normal(size=(8, 5)).astype("float32")
    gates = np.concatenate([x, x, x], axis=1)
    structure = {"shape": (8, 3, 5), "order": (1, 0, 2), "outputs": 5}
    assert kernel(gates, blocks=3, **structure)[-1] == 0
    assert kernel(gates)[-1] == 1
    gates[:, 7] = gates[:, 9]
    assert kernel(gates, blocks=3, **structure)[-1] == pytest.approx(2 / 15)


def test_axes_of_a_kernel_are_put_in_order():
    # (taps, outputs, inputs), as a transposed convolution keeps them.
    x = np.random.default_rng(5).normal(size=(3, 4, 6)).astype("float32")
    x[:, 2] = x[:, 0]
    assert kernel(x, order=(0, 2, 1), outputs=4)[-1] == 2 / 4
