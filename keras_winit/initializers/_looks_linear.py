"""Rectifier networks that start as a linear map."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_winit import _checks
from keras_winit._random import haar
from keras_winit._references import BALDUZZI
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import SeedLike


@register(
    alias="looks_linear",
    formula=(
        "mirrored pairs [[W, -W], [-W, W]], W orthonormal: a relu network starts as a linear map"
    ),
    when="very deep relu networks",
    reference=BALDUZZI,
)
class LooksLinear(KernelInitializer):
    """Mirrored weights [[W, -W], [-W, W]], with which a relu network starts as a linear map.

    Units come in pairs that see the opposite of each other: what relu cuts off in one, the other
    lets through, and the next layer subtracts them again. With an orthonormal W all lengths are
    kept, whatever the depth, and so are all angles: plain relu networks of hundreds of layers
    train from it, with gradients that neither vanish nor shatter.

    The first layer, whose inputs are no such pairs, takes `first=True`: [W, -W]. The last one,
    whose outputs are none, takes `last=True`: [W, -W] as rows. The others need an even number of
    units. `keras_winit.initialize(model, "looks_linear")` finds which is which.

    Args:
        first: Whether it is for a layer whose inputs are not mirrored. Defaults to `False`.
        gain: Positive float, multiplies the weights. Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.
        last: Whether it is for a layer whose outputs are not mirrored. Defaults to `False`.

    Raises:
        ValueError: If `gain` is not positive and finite, or the number of mirrored outputs or
            inputs is odd.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> first = keras_winit.initializers.LooksLinear(first=True, seed=0)((3, 8))
    >>> second = keras_winit.initializers.LooksLinear(seed=1)((8, 8))
    >>> last = keras_winit.initializers.LooksLinear(last=True, seed=2)((8, 5))
    >>> first, second, last = map(keras.ops.convert_to_numpy, (first, second, last))
    >>> def network(x):
    ...     return np.maximum(np.maximum(x @ first, 0) @ second, 0) @ last
    >>> a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    >>> bool(np.allclose(network(a + b), network(a) + network(b), atol=1e-5))
    True

    Reference:

    - [Balduzzi et al., 2017](https://arxiv.org/abs/1702.08591), section 4
    """

    _takes_transposed = True

    def __init__(
        self,
        first: bool = False,
        gain: float = 1.0,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
        last: bool = False,
    ) -> None:
        self.first: bool = _checks.flag("first", first)
        self.last: bool = _checks.flag("last", last)
        self.gain: float = _checks.real("gain", gain, positive=True)
        super().__init__(
            scale=(1 if first or last else 2) * self.gain**2,
            mode="fan_avg",
            seed=seed,
            input_axes=input_axes,
            output_axes=output_axes,
        )

    def _draw(self, shape, axes, dtype, seed):
        _, inputs, outputs, batch = axes.sizes(shape)
        for name, size, mirrored in (
            ("outputs", outputs, not self.last),
            ("inputs", inputs, not self.first),
        ):
            if mirrored and size % 2:
                raise ValueError(
                    f"the number of {name} should be even: they come in pairs. "
                    f"Received: shape={shape}, with {size} {name}."
                )
        rows, columns = ([1] if alone else [1, -1] for alone in (self.first, self.last))
        signs = np.outer(rows, columns).astype(dtype)
        half = inputs // len(rows), outputs // len(columns)
        kept = haar.orthonormal(batch, *half, seed=seed, purpose="looks_linear", dtype=dtype)
        matrices = np.stack([np.kron(signs, each) for each in kept]) * dtype(self.gain)
        return axes.kernel_at_centre(matrices[:, None], shape)

    def get_config(self) -> dict[str, Any]:
        # Version 0.1.0 does not know `last`.
        config = super().get_config()
        return config if self.last else {k: v for k, v in config.items() if k != "last"}
