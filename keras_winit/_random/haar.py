"""Random orthonormal matrices, exactly Haar, from Householder reflectors drawn directly.

The QR decomposition of a Gaussian matrix is not needed: its Householder vectors are
themselves independent Gaussian vectors of decreasing length (Stewart 1980, "The efficient
generation of random orthogonal matrices", SIAM J. Numer. Anal. 17). They are drawn, and
their product is accumulated in blocks as I - V T Vᵀ (compact WY; Schreiber & Van Loan
1989): half the work of the decomposition, nearly all of it matrix products.
"""

import numpy as np

from keras_winit._random import distributions

_PANEL_COLUMNS = 64  # with a stream of its own: another number draws other matrices
_MAX_BLOCK_PANELS = 4
_TRIANGLE_COLUMNS = 128
_ROWS_AT_ONCE = 512  # of a product that is added to something: no second whole matrix


def orthonormal(batch, rows, columns, *, seed, purpose, dtype=np.float32, gain=1.0):
    """Returns an array `(batch, rows, columns)` of matrices, each `gain` times a Haar one.

    The columns are orthonormal where there are at least as many rows, else the rows are.
    """
    if rows < columns:
        arguments = {"seed": seed, "purpose": purpose, "dtype": dtype, "gain": gain}
        return orthonormal(batch, columns, rows, **arguments).transpose(0, 2, 1)
    product = np.empty((batch, rows, columns), dtype)
    # Wide enough for fast products, narrow enough that the triangles of the blocks cost little.
    panels = min(max(columns // (8 * _PANEL_COLUMNS), 1), _MAX_BLOCK_PANELS)
    for first in reversed(range(0, columns, panels * _PANEL_COLUMNS)):
        width = min(panels * _PANEL_COLUMNS, columns - first)
        vectors = _gaussian(batch, rows, first, width, seed, purpose, dtype)
        triangle, signs = _make_reflectors(vectors)
        top, below = vectors[:, :width], vectors[:, width:]
        # Reflector i acts on coordinates i and later, and what comes after the block is so far
        # orthonormal in the rows below alone, the identity before.
        product[:, :first, first : first + width] = 0
        corner = product[:, first:, first:]
        later = corner[:, width:, width:]
        weights = triangle @ (below.transpose(0, 2, 1) @ later)
        np.negative(weights, out=weights)
        np.matmul(top, weights, out=corner[:, :width, width:])
        for row in range(0, rows - first - width, _ROWS_AT_ONCE):
            some = slice(row, row + _ROWS_AT_ONCE)
            later[:, some] += below[:, some] @ weights
        # The block itself: its reflectors act on the identity, times the signs of R's diagonal.
        signs *= dtype(gain)
        weights = (triangle @ top.transpose(0, 2, 1)) * signs[:, None, :]
        for column in range(0, width, _TRIANGLE_COLUMNS):
            stop = min(column + _TRIANGLE_COLUMNS, width)
            np.matmul(
                vectors[:, :, :stop], weights[:, :stop, column:stop], out=corner[:, :, column:stop]
            )
        diagonal = np.arange(width)
        corner[:, diagonal, diagonal] -= signs
    return product


def _gaussian(batch, rows, first, width, seed, purpose, dtype):
    """Returns Gaussian vectors (batch, rows - first, width); column i starts at coordinate i."""
    vectors = np.zeros((batch, rows - first, width), dtype)
    for column in range(0, width, _PANEL_COLUMNS):
        stop = min(column + _PANEL_COLUMNS, width)
        panel = distributions.normal(
            (batch, rows - first - column, stop - column),
            seed=seed,
            purpose=f"{purpose}/{first + column}",
        )
        square = panel[:, : stop - column]
        square *= np.tri(stop - column, dtype=np.float32)
        vectors[:, column:, column:stop] = panel
    return vectors


def _make_reflectors(vectors):
    """Turns Gaussian vectors into Householder ones, in place.

    Returns:
        The upper triangular T for which I - V T Vᵀ is the product of the reflectors, and the
        signs of the vectors' first coordinates.
    """
    gram = vectors.transpose(0, 2, 1) @ vectors
    diagonal = np.arange(vectors.shape[2])
    starts = vectors[:, diagonal, diagonal]
    signs = np.copysign(1, starts).astype(vectors.dtype)
    lengths = np.sqrt(gram[:, diagonal, diagonal])
    # Orthogonality is T⁻¹ + T⁻ᵀ = VᵀV. The vectors are Householder ones as soon as the length
    # is added to the start of each, which adds the starts of the rows to the products.
    square = vectors[:, : vectors.shape[2]]
    gram += square.transpose(0, 2, 1) * (signs * lengths)[:, None, :]
    inverse = np.triu(gram)
    inverse[:, diagonal, diagonal] = lengths * (lengths + np.abs(starts))
    square[:, diagonal, diagonal] += signs * lengths
    return _inverse(inverse), signs


def _inverse(triangle):
    """Returns the inverse of upper triangular matrices, half by half: nearly all products."""
    size = triangle.shape[1]
    if size <= 32:
        return np.linalg.inv(triangle.astype(np.float64)).astype(triangle.dtype)
    half = size // 2
    inverse = np.zeros_like(triangle)
    inverse[:, :half, :half] = _inverse(triangle[:, :half, :half])
    inverse[:, half:, half:] = _inverse(triangle[:, half:, half:])
    right = triangle[:, :half, half:] @ inverse[:, half:, half:]
    np.negative(inverse[:, :half, :half] @ right, out=inverse[:, :half, half:])
    return inverse
