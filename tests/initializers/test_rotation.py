import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from sampling import draw

from keras_winit.initializers import PerGate, Rotation


def angles(matrix):
    """Returns the angles of the pairs of units, between -pi and pi."""
    even = np.arange(0, len(matrix) - 1, 2)
    return np.arctan2(matrix[even, even + 1], matrix[even, even])


@pytest.mark.parametrize("size", [2, 7, 50])
def test_it_is_a_rotation(size):
    matrix = draw(Rotation(seed=1), (size, size)).astype("float64")
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(size), atol=1e-6)
    assert abs(np.linalg.det(matrix) - 1) < 1e-5


def test_it_is_the_exponential_of_a_skew_symmetric_matrix():
    matrix = draw(Rotation(seed=2), (9, 9)).astype("float64")
    skew = np.zeros((9, 9))
    for pair, angle in enumerate(angles(matrix)):
        skew[2 * pair, 2 * pair + 1], skew[2 * pair + 1, 2 * pair] = angle, -angle
    np.testing.assert_allclose(matrix, scipy.linalg.expm(skew), atol=1e-6)


@pytest.mark.parametrize("max_angle", [math.pi, math.pi / 2, 0.1])
def test_angles_of_eigenvalues_are_uniform_up_to_the_largest(max_angle):
    found = angles(draw(Rotation(max_angle, seed=3), (800, 800)))
    uniform = scipy.stats.uniform(-max_angle, 2 * max_angle)
    assert scipy.stats.kstest(found, uniform.cdf).pvalue > 0.01


def test_those_of_the_half_circle_are_those_of_helfrich():
    # The Cayley transform of blocks s = sqrt((1 - cos t) / (1 + cos t)), t up to pi / 2, has
    # eigenvalues exp(+-i t).
    t = np.random.default_rng(4).uniform(0, math.pi / 2, size=400)
    s = np.sqrt((1 - np.cos(t)) / (1 + np.cos(t)))
    skew = scipy.linalg.block_diag(*([[0, each], [-each, 0]] for each in s))
    cayley = np.linalg.solve(np.eye(800) + skew, np.eye(800) - skew)
    expected = np.abs(angles(cayley))
    np.testing.assert_allclose(np.sort(expected), np.sort(t), atol=1e-9)
    found = np.abs(angles(draw(Rotation(math.pi / 2, seed=4), (800, 800))))
    assert scipy.stats.ks_2samp(found, expected).pvalue > 0.01


def test_the_last_of_an_odd_number_of_units_is_handed_on():
    matrix = draw(Rotation(seed=5), (5, 5))
    np.testing.assert_array_equal(matrix[-1], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(matrix[:, -1], [0, 0, 0, 0, 1])


def test_a_kernel_that_is_not_square_is_part_of_a_rotation():
    np.testing.assert_allclose(
        np.linalg.svd(draw(Rotation(seed=6), (4, 8)), compute_uv=False), 1, atol=1e-6
    )


def test_a_convolution_has_it_at_its_central_tap():
    kernel = draw(Rotation(seed=7), (3, 4, 6, 6))
    np.testing.assert_allclose(kernel[1, 1].T @ kernel[1, 1], np.eye(6), atol=1e-6)
    assert np.count_nonzero(kernel) == np.count_nonzero(kernel[1, 1])


def test_each_gate_turns_by_angles_of_its_own():
    gates = np.split(draw(PerGate(Rotation(), gates=4, seed=8), (6, 24)), 4, axis=1)
    assert len({angles(gate).round(4).tobytes() for gate in gates}) == 4


def test_an_angle_beyond_half_a_turn_is_refused():
    with pytest.raises(ValueError, match="`max_angle` should .* up to pi, in radians. Received"):
        Rotation(max_angle=6.28)
