"""Draws as NumPy arrays, and how far a sample may be from what it is drawn from."""

import math

import keras
import pytest
from scipy import stats

# Fourth moment over squared variance.
KURTOSIS = {"truncated_normal": 2.3655, "uniform": 1.8, "untruncated_normal": 3.0}


def draw(initializer, shape, dtype=None):
    """Returns a draw as a NumPy array; one of a 16-bit type as float32."""
    values = initializer(shape, dtype=dtype)
    if keras.backend.standardize_dtype(values.dtype) in ("bfloat16", "float16"):
        values = keras.ops.cast(values, "float32")
    return keras.ops.convert_to_numpy(values)


def assert_moments(values, variance, distribution="untruncated_normal"):
    """Asserts mean zero and this variance, both within four standard errors."""
    mean_error = 4 * math.sqrt(variance / values.size)
    variance_error = 4 * math.sqrt((KURTOSIS[distribution] - 1) / values.size)
    assert values.mean(dtype="float64") == pytest.approx(0, abs=mean_error)
    assert (values.astype("float64") ** 2).mean() == pytest.approx(variance, rel=variance_error)


def assert_distribution(values, distribution):
    """Asserts that a Kolmogorov-Smirnov test does not tell values and distribution apart."""
    assert stats.kstest(values.ravel(), distribution.cdf).pvalue > 1e-3
