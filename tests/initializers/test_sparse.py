import math

import keras
import numpy as np
import pytest
from sampling import assert_distribution, assert_moments, draw
from scipy import stats

from keras_winit.initializers import ActivationScaling, Sparse

layers = keras.layers

# Shape and axes of a kernel, and the axes that one output unit sums over.
KERNELS = {
    "dense": ((200, 30), {}, (0,)),
    "convolution": ((3, 3, 8, 20), {}, (0, 1, 2)),
    "transposed": (
        (3, 3, 20, 8),
        {"input_axes": [0, 1, 3], "output_axes": [0, 1, 2]},
        (0, 1, 3),
    ),
    "depthwise": ((5, 4, 6, 3), {"input_axes": [0, 1], "output_axes": [0, 1, 3]}, (0, 1)),
    "attention": ((40, 3, 4), {"input_axes": [0], "output_axes": [1, 2]}, (0,)),
}


@pytest.mark.parametrize(("shape", "axes", "summed"), KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(
    ("amount", "kept"),
    [
        ({"connections": 15}, 15),
        ({"connections": 1}, 1),
        ({"sparsity": 0.9}, 0.1),
        ({"sparsity": 0.3}, 0.7),
        ({"sparsity": 0.0}, 1.0),
        ({"sparsity": 0.9999}, 0.0001),
    ],
    ids=str,
)
def test_every_unit_has_the_same_number_of_weights(shape, axes, summed, amount, kept):
    kernel = draw(Sparse(**amount, **axes, seed=1), shape)
    fan_in = math.prod(shape[axis] for axis in summed)
    count = kept if "connections" in amount else max(1, round(kept * fan_in))
    assert (np.count_nonzero(kernel, axis=summed) == count).all()


@pytest.mark.parametrize(("shape", "axes", "summed"), KERNELS.values(), ids=KERNELS)
def test_weights_are_normal_of_variance_gain_squared_over_their_number(shape, axes, summed):
    draws = [draw(Sparse(connections=15, gain=2.0, **axes, seed=seed), shape) for seed in range(9)]
    kept = np.concatenate([kernel[kernel != 0] for kernel in draws])
    assert_moments(kept, 2.0**2 / 15)
    assert_distribution(kept, stats.norm(scale=2.0 / 15**0.5))


@pytest.mark.parametrize("connections", [5, 30])
def test_every_input_is_chosen_as_often_as_the_others(connections):
    inputs, units = 40, 4000
    chosen = draw(Sparse(connections=connections, seed=2), (inputs, units)) != 0
    expected = units * connections / inputs
    # The counts of the inputs add up: their covariance is that of a choice without replacement.
    variance = expected * (1 - connections / inputs) * inputs / (inputs - 1)
    statistic = ((chosen.sum(axis=1) - expected) ** 2).sum() / variance
    assert 1e-3 < stats.chi2(inputs - 1).sf(statistic) < 1 - 1e-3


@pytest.mark.parametrize("connections", [5, 30])
def test_units_choose_their_inputs_independently(connections):
    inputs, units = 40, 4000
    chosen = draw(Sparse(connections=connections, seed=3), (inputs, units)) != 0
    shared = (chosen[:, ::2] & chosen[:, 1::2]).sum(axis=0)
    overlap = stats.hypergeom(inputs, connections, connections)
    error = 4 * overlap.std() / shared.size**0.5
    assert shared.mean() == pytest.approx(overlap.mean(), abs=error)


def test_which_weights_are_kept_tells_nothing_of_their_values():
    shape = (60, 2000)
    kernel = draw(Sparse(connections=12, seed=4), shape)
    rows, _ = np.nonzero(kernel)
    kept = kernel[kernel != 0]
    error = 4 / kept.size**0.5
    for values in (kept, np.abs(kept)):
        assert abs(stats.spearmanr(rows, values).statistic) < error
    # Nor do they follow the values that other draws with the same seed have there.
    others = draw(ActivationScaling("linear", distribution="untruncated_normal", seed=4), shape)
    for values in (others, np.abs(others)):
        assert abs(np.corrcoef(values.ravel(), (kernel != 0).ravel())[0, 1]) < 4 / kernel.size**0.5
    assert abs(np.corrcoef(others[kernel != 0], kept)[0, 1]) < error


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(800, kernel_initializer=Sparse(connections=15, seed=5)), (300,)),
        (layers.Conv2D(800, (2, 3), kernel_initializer=Sparse(0.8, seed=5)), (3, 4, 25)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else str(value),
)
def test_the_output_of_a_layer_has_the_variance_of_its_input(layer, shape):
    x = np.random.default_rng(6).normal(size=(200, *shape)).astype("float32")
    outputs = keras.ops.convert_to_numpy(layer(x))
    # Each unit's variance is a mean of squares of its weights, 15 or 30 of them; the samples
    # add the error of their own.
    error = 4 * np.sqrt(2 / 15 / 800 + 2 / outputs.size + 2 / x.size)
    assert np.mean(outputs**2) == pytest.approx(1, abs=error)


def test_more_connections_than_inputs_are_refused():
    message = "^Sparse: `connections` should be at most 6, .* Received: connections=7"
    with pytest.raises(ValueError, match=message):
        Sparse(connections=7)((6, 4))
