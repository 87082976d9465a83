"""Orthonormal matrices, exactly Haar."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_winit import _checks
from keras_winit._random import haar
from keras_winit._references import SAXE
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import MODES, KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="keras_winit>Orthogonal",
    formula=(
        "orthonormal matrices, exactly Haar, along the true axes; times max(1, √(out / in)) "
        'with mode="fan_in"'
    ),
    when="deep and recurrent networks; bfloat16 and float16 too",
    reference=SAXE,
)
class Orthogonal(KernelInitializer):
    """Random orthogonal matrices, exactly Haar, in every floating-point type.

    The kernel is read as a matrix of (taps * inputs, outputs), or a batch of such matrices.
    Its columns are orthonormal, times `gain`, where there are no more outputs than inputs;
    else its rows are. The vectors are uniform on the sphere, unlike those of a QR
    decomposition without sign correction. It keeps the length of a signal exactly in a square
    layer, and a deep linear network of it learns in a time independent of depth.

    Where a layer has more outputs than inputs, the same length is spread over more units, each
    of which is then smaller than an input; `mode="fan_in"` makes up for it (scaled uniform
    orthogonal). The variance of the weights is then gain² / fan_in. `mode` is that of a
    `VarianceScaling`, and `"isometry"`, for which the variance is gain² / the larger side of the
    matrix. Under `"spectral"` all singular values are gain · √(outputs / inputs of the matrix),
    with which features change as much at any width.

    As `keras.initializers.Orthogonal`, with three differences: it works in bfloat16 and float16
    on every backend; it follows the axes that EinsumDense and attention give, so that q, k and
    v maps are orthogonal as maps; the same seed draws the same values on every backend. A
    convolution kernel is orthogonal as a matrix here; as an operator see `DeltaOrthogonal`.

    Args:
        gain: Positive float, multiplies the matrix. Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        mode: `"isometry"`, all singular values are `gain`; `"fan_in"`, the size of a unit is kept
            forward; `"fan_out"`, that of a gradient backward; `"fan_avg"`, between the two;
            `"spectral"`, all singular values are `gain` times √(outputs / inputs). They differ
            where a layer widens or narrows. Defaults to `"isometry"`.
        input_axes: List of ints, the axes that are summed over. An axis in both lists is a tap
            of a convolution, one in neither is batch: one matrix per index. By default the
            kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs.

    Raises:
        ValueError: If `gain` is not positive and finite, the mode is unknown, or the kernel has
            fewer than two axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.Orthogonal(seed=0)((6, 4), dtype="bfloat16")
    >>> kernel = keras.ops.convert_to_numpy(keras.ops.cast(kernel, "float32"))
    >>> bool(abs(kernel.T @ kernel - np.eye(4)).max() < 0.02)
    True

    Reference:

    - [Saxe et al., 2014](https://arxiv.org/abs/1312.6120), section 3.2
    - [Mezzadri, 2007](https://arxiv.org/abs/math-ph/0609050), section 5, for the Haar measure
    - [Stewart, 1980](https://doi.org/10.1137/0717034), section 3, for drawing reflectors
    - [Martens et al., 2021](https://arxiv.org/abs/2110.01765), for `mode="fan_in"`
    - [Yang, Simon and Bernstein, 2023](https://arxiv.org/abs/2310.17813), condition 1, for
      `mode="spectral"`
    """

    def __init__(
        self,
        gain: float = 1.0,
        seed: SeedLike | None = None,
        mode: Literal["isometry", "fan_in", "fan_out", "fan_avg", "spectral"] = "isometry",
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gain: float = _checks.real("gain", gain, positive=True)
        super().__init__(
            scale=self.gain**2, seed=seed, input_axes=input_axes, output_axes=output_axes
        )
        self.mode: str = _checks.option("mode", mode, ("isometry", *MODES, "spectral"))

    def _draw(self, shape, axes, dtype, seed):
        taps, inputs, outputs, batch = axes.sizes(shape)
        gain = self.gain
        if self.mode == "spectral":
            gain *= math.sqrt(outputs / (taps * inputs))
        elif self.mode != "isometry":
            fan_in, fan_out = axes.fans(shape)
            fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
            gain *= math.sqrt(max(taps * inputs, outputs) / fans[self.mode])
        matrices = haar.orthonormal(
            batch, taps * inputs, outputs, seed=seed, purpose="orthogonal", dtype=dtype, gain=gain
        )
        return axes.kernel(matrices, shape)

    def to_keras(self) -> keras.Initializer:
        """Returns a Keras initializer, unseeded, of about the same variance."""
        mode = {"isometry": "fan_avg", "spectral": "fan_in"}.get(self.mode, self.mode)
        return keras.initializers.VarianceScaling(self.scale, mode, self.distribution)

    def get_config(self) -> dict[str, Any]:
        # Without what is at its default, a saved file also loads as Keras's own `Orthogonal`.
        return self._changed(super().get_config())
