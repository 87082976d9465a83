"""Recurrent maps with one direction that stays, while all others fade."""

from collections.abc import Sequence

import numpy as np

from keras_winit._random import distributions
from keras_winit._references import Reference
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="normalized_positive_definite",
    formula="(A + I) / its largest eigenvalue, A = RᵀR / n, R normal",
    when="recurrent kernels of a SimpleRNN with relu (np-RNN)",
    reference=Reference("Talathi and Vartak, 2016", "https://arxiv.org/abs/1511.03771"),
)
class NormalizedPositiveDefinite(KernelInitializer):
    """Symmetric positive definite matrices with a largest eigenvalue of 1 (np-RNN).

    (A + I) / e with A = R^T R / n, R an n x n matrix of standard normal numbers, and e the largest
    eigenvalue of A + I. Repeated, the map holds a state along one direction and lets it fade along
    all others, and relu can only make it smaller: as the recurrent kernel of a `SimpleRNN` with
    relu it explodes less easily than the identity (IRNN), which holds all directions.

    For LSTM and GRU, which hold all gates in one kernel, wrap it:
    `PerGate(NormalizedPositiveDefinite())`, with `gates=3` for a GRU. A convolution kernel gets the
    matrix at its central tap. A kernel that is not square gets the leading part of the matrix of
    its longer side. An eigenvalue is computed, so the time grows with the third power of the units.

    Args:
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the kernel has fewer than two axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.NormalizedPositiveDefinite(seed=0)((32, 32))
    >>> eigenvalues = np.linalg.eigvalsh(keras.ops.convert_to_numpy(kernel))
    >>> bool(eigenvalues[0] > 0), round(float(eigenvalues[-1]), 4)
    (True, 1.0)

    Reference:

    - [Talathi and Vartak, 2016](https://arxiv.org/abs/1511.03771)
    """

    _is_of_states = True

    def __init__(
        self,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        # The mean square of an eigenvalue of A + I is 5, and e is about 5: 5 / 25.
        super().__init__(scale=0.2, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _draw(self, shape, axes, dtype, seed):
        _, inputs, outputs, batch = axes.sizes(shape)
        size = max(inputs, outputs)
        normal = distributions.normal((batch, size, size), seed=seed, purpose="positive_definite")
        normal = normal.astype(dtype, copy=False)
        matrices = normal.transpose(0, 2, 1) @ normal / dtype(size) + np.eye(size, dtype=dtype)
        matrices /= np.linalg.eigvalsh(matrices)[:, -1, None, None]
        return axes.kernel_at_centre(matrices[:, None, :inputs, :outputs], shape)
