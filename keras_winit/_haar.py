"""Random orthonormal matrices, exactly Haar, from Householder reflectors drawn directly.

The QR decomposition of a Gaussian matrix is not needed: its Householder vectors are
themselves independent Gaussian vectors of decreasing length (Stewart 1980, "The efficient
generation of random orthogonal matrices", SIAM J. Numer. Anal. 17). They are drawn, and
their product is accumulated in blocks as I - V T Vᵀ (compact WY; Schreiber & Van Loan
1989): half the work of the decomposition, nearly all of it matrix products.
"""

import numpy as np

from keras_winit import _draws

_BLOCK_COLUMNS = 64


def orthonormal(batch, rows, columns, *, seed, purpose, dtype=np.float32):
    """Returns an array `(batch, rows, columns)` of matrices, each Haar on its shorter side.

    The columns are orthonormal where there are at least as many rows, else the rows are.
    """
    if rows < columns:
        tall = orthonormal(batch, columns, rows, seed=seed, purpose=purpose, dtype=dtype)
        return tall.transpose(0, 2, 1)
    product = np.zeros((batch, rows, columns), dtype)
    product[:, np.arange(columns), np.arange(columns)] = 1
    signs = np.empty((batch, columns), dtype)
    for first in reversed(range(0, columns, _BLOCK_COLUMNS)):
        block = slice(first, min(first + _BLOCK_COLUMNS, columns))
        vectors, signs[:, block] = _reflectors(
            (batch, rows - first, block.stop - first), seed, f"{purpose}/{first}", dtype
        )
        # Reflector i acts on coordinates i and later; the product is still the identity in
        # the columns before, so only the lower right corner changes.
        corner = product[:, first:, first:]
        triangle = _triangle(vectors).astype(dtype)
        corner -= vectors @ (triangle @ (vectors.transpose(0, 2, 1) @ corner))
    product *= signs[:, None, :]
    return product


def _reflectors(shape, seed, purpose, dtype):
    """Returns Householder vectors (batch, rows, block), and the signs of R's diagonal."""
    gaussian = _draws.normal(shape, seed=seed, purpose=purpose).astype(dtype, copy=False)
    vectors = np.tril(gaussian)  # column i starts at coordinate i
    diagonal = np.arange(shape[2])
    signs = np.copysign(1, vectors[:, diagonal, diagonal]).astype(dtype)
    lengths = np.sqrt(np.einsum("bij,bij->bj", vectors, vectors))
    vectors[:, diagonal, diagonal] += signs * lengths
    vectors /= lengths[:, None, :]
    return vectors, -signs


def _triangle(vectors):
    """Returns the upper triangular T for which I - V T Vᵀ is the product of the reflectors.

    Orthogonality is T⁻¹ + T⁻ᵀ = VᵀV; in float64, so that its error is that of V alone.
    """
    vectors = vectors.astype(np.float64, copy=False)
    gram = vectors.transpose(0, 2, 1) @ vectors
    diagonal = np.arange(gram.shape[1])
    inverse = np.triu(gram)
    inverse[:, diagonal, diagonal] /= 2
    return np.linalg.inv(inverse)
