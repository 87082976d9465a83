"""Rectifier networks that start as a linear map."""

import keras
import numpy as np

from keras_winit import _checks, _haar
from keras_winit.initializers._kernel_initializer import KernelInitializer


@keras.saving.register_keras_serializable("keras_winit")
class LooksLinear(KernelInitializer):
    """Mirrored weights [[W, -W], [-W, W]], with which a relu network starts as a linear map.

    Units come in pairs that see the opposite of each other: what relu cuts off in one, the other
    lets through, and the next layer subtracts them again. With an orthonormal W all lengths are
    kept, whatever the depth, and so are all angles: plain relu networks of hundreds of layers
    train from it, with gradients that neither fade nor tear.

    The first layer, whose inputs are no such pairs, takes `first=True`: [W, -W]. The layers need
    an even number of units; the last one, without relu, takes this class too (its own pairs are
    then opposite outputs) or any other initializer.

    Args:
        first: Whether it is for a layer whose inputs are not mirrored. Defaults to `False`.
        gain: Positive float, multiplies the weights. Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If `gain` is not positive and finite, or the number of outputs, or of
            mirrored inputs, is odd.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> first = keras_winit.initializers.LooksLinear(first=True, seed=0)((3, 8))
    >>> second = keras_winit.initializers.LooksLinear(seed=1)((8, 8))
    >>> first, second = map(keras.ops.convert_to_numpy, (first, second))
    >>> def network(x):
    ...     pairs = np.maximum(np.maximum(x @ first, 0) @ second, 0)
    ...     return pairs[:, :4] - pairs[:, 4:]
    >>> a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    >>> bool(np.allclose(network(a + b), network(a) + network(b), atol=1e-5))
    True

    Reference:

    - [Balduzzi et al., 2017](https://arxiv.org/abs/1702.08591), section 4
    """

    def __init__(self, first=False, gain=1.0, seed=None, input_axes=None, output_axes=None):
        self.first = _checks.flag("first", first)
        self.gain = _checks.real("gain", gain, positive=True)
        super().__init__(
            scale=(1 if first else 2) * self.gain**2,
            mode="fan_avg",
            seed=seed,
            input_axes=input_axes,
            output_axes=output_axes,
        )

    def _draw(self, shape, axes, dtype, seed):
        _, inputs, outputs, batch = axes.sizes(shape)
        for name, size, mirrored in (
            ("outputs", outputs, True),
            ("inputs", inputs, not self.first),
        ):
            if mirrored and size % 2:
                raise ValueError(
                    f"the number of {name} should be even: they come in pairs. "
                    f"Received: shape={shape}, with {size} {name}."
                )
        half = inputs if self.first else inputs // 2
        kept = _haar.orthonormal(
            batch, half, outputs // 2, seed=seed, purpose="looks_linear", dtype=dtype
        )
        signs = np.array([[1, -1]] if self.first else [[1, -1], [-1, 1]], dtype)
        matrices = np.stack([np.kron(signs, each) for each in kept]) * dtype(self.gain)
        return axes.kernel_at_centre(matrices[:, None], shape)
