"""Random orthonormal matrices: orthonormal, and distributed by the Haar measure.

`golden/haar.json` holds a few entries of one draw. `python tests/test_haar.py` writes it anew.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from keras_winit._random import haar

GOLDEN = Path(__file__).parents[1] / "golden" / "haar.json"

# On both sides of the 64 columns that are accumulated at once.
SHAPES = [
    (1, 1, 1),
    (2, 5, 3),
    (2, 3, 5),
    (2, 64, 64),
    (1, 65, 63),
    (3, 63, 65),
    (1, 200, 130),
    (2, 130, 200),
]


def entries():
    """Returns every 23rd row and 13th column of a matrix of more than one block."""
    return haar.orthonormal(1, 70, 66, seed=0, purpose="test", dtype=np.float64)[0, ::23, ::13]


def correlation(shape, dtype):
    """Returns the inner products of the vectors along the shorter side."""
    matrices = haar.orthonormal(*shape, seed=0, purpose="test", dtype=dtype)
    assert (matrices.shape, matrices.dtype) == (shape, dtype)
    matrices = matrices.astype(np.float64)
    transposed = matrices.transpose(0, 2, 1)
    return transposed @ matrices if shape[1] >= shape[2] else matrices @ transposed


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("shape", SHAPES)
def test_vectors_of_the_shorter_side_are_orthonormal(shape, dtype, error):
    assert np.abs(correlation(shape, dtype) - np.eye(min(shape[1:]))).max() < error


def test_float32_is_float64_rounded():
    single, double = (
        haar.orthonormal(2, 150, 70, seed=0, purpose="test", dtype=dtype)
        for dtype in (np.float32, np.float64)
    )
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-6)


def test_values_are_those_checked_in():
    np.testing.assert_allclose(entries(), json.loads(GOLDEN.read_text()), rtol=0, atol=1e-6)
    single = haar.orthonormal(1, 70, 66, seed=0, purpose="test")[0, ::23, ::13]
    np.testing.assert_allclose(single, json.loads(GOLDEN.read_text()), rtol=0, atol=1e-6)


def test_blocks_of_more_panels_give_the_same_matrices(monkeypatch):
    shape = (1, 2100, 2050)  # four panels at once, and a last block of two columns
    wide = haar.orthonormal(*shape, seed=0, purpose="test")
    monkeypatch.setattr(haar, "_MAX_BLOCK_PANELS", 1)
    narrow = haar.orthonormal(*shape, seed=0, purpose="test")
    np.testing.assert_allclose(wide, narrow, rtol=0, atol=2e-6)
    assert np.abs(wide[0].T @ wide[0] - np.eye(2050)).max() < 1e-5


def test_gain_multiplies():
    one, three = (haar.orthonormal(2, 5, 70, seed=0, purpose="test", gain=gain) for gain in (1, 3))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"purpose": "other"}])
def test_seed_and_purpose_are_counted(changed):
    arguments = {"seed": 0, "purpose": "test"}
    first = haar.orthonormal(1, 70, 60, **arguments)
    second = haar.orthonormal(1, 70, 60, **(arguments | changed))
    assert abs(scipy.stats.pearsonr(first.ravel(), second.ravel()).statistic) < 4 / math.sqrt(4200)


@pytest.fixture(scope="module", params=[1, 2, 3, 70])
def matrices(request):
    """Many matrices of one size; the largest are accumulated in two blocks."""
    size = request.param
    num_matrices = 2_000 if size > 64 else 50_000
    return haar.orthonormal(num_matrices, size, size, seed=0, purpose="test")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (lambda matrices, trace: trace, 0),
        (lambda matrices, trace: trace**2, 1),
        (lambda matrices, trace: trace**4, 3),
        (lambda matrices, trace: np.einsum("bij,bji->b", matrices, matrices), 1),
        (lambda matrices, trace: np.linalg.slogdet(matrices).sign, 0),
    ],
    ids=["trace", "trace squared", "trace to the fourth", "trace of the square", "determinant"],
)
def test_moments_of_the_trace_are_those_of_the_haar_measure(matrices, moment, expected):
    if matrices.shape[1] == 1 and expected == 3:
        expected = 1  # a number is 1 or -1
    values = moment(matrices, np.einsum("bii->b", matrices))
    error = values.mean() - expected
    assert abs(error) <= 4 * values.std() / math.sqrt(values.size)


@pytest.mark.parametrize(("rows", "columns"), [(6, 4), (4, 6), (2, 2), (70, 66)])
def test_vectors_are_uniform_on_the_sphere(rows, columns):
    matrices = haar.orthonormal(2_000, rows, columns, seed=0, purpose="test")
    # One coordinate of a point on the sphere, scaled to [0, 1], follows a beta law.
    half = (max(rows, columns) - 1) / 2
    law = scipy.stats.beta(half, half, loc=-1, scale=2)
    for row in (0, rows // 2, rows - 1):
        for column in (0, columns // 2, columns - 1):
            assert scipy.stats.kstest(matrices[:, row, column], law.cdf).pvalue > 6e-5, (
                row,
                column,
            )


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(entries().round(8).tolist()) + "\n")
