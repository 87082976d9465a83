"""Units in pairs that see the opposite of each other, by any initializer."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_winit import _checks
from keras_winit._axes import outputs_of_group
from keras_winit._references import BALDUZZI
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._drawing import draw
from keras_winit.initializers._equivalents import ours
from keras_winit.initializers._of_another import OfAnother
from keras_winit.initializers._orthogonal import Orthogonal
from keras_winit.initializers._own_initializer import OwnInitializer
from keras_winit.typing import InitializerLike, SeedLike


@register(
    alias="mirrored",
    formula="mirrored pairs [[W, -W], [-W, W]], W by any initializer: the network starts as the "
    "linear one that has W",
    when="deep plain networks of relu, gelu, silu, softplus and the like",
    reference=BALDUZZI,
)
class Mirrored(OfAnother):
    """Weights [[W, -W], [-W, W]], where any initializer draws W.

    Units come in pairs that see z and -z, and the next layer takes f(z) - f(-z). For many
    activations that is linear, whatever z is: z for relu, gelu, silu, softplus and hard_silu,
    (1 + a) z for leaky_relu with a slope of a; relu6 within its bounds, mish nearly. So a network
    starts as the linear network that the initializer gives: with orthonormal matrices it keeps
    all lengths and angles, whatever its depth and width. While it trains the units of a pair part,
    since f'(z) and f'(-z) differ.

    W has half of the inputs and half of the outputs, and its variance is that of a layer of this
    size: `Mirrored("lecun_normal")` has the variance of `he_normal`, 2 / fan_in.

    The first layer, whose inputs are no pairs, takes `first=True`: [W, -W]. The last one, whose
    outputs are none, takes `last=True`: [W, -W] as rows. Biases should start at zero. The first
    half of the units are the partners of the second; of an odd number the unit in the middle has
    none, and the next layer starts without it.

    Args:
        initializer: What draws W: initializer, or its name. Its own seed is not used. Defaults to
            `None`: orthonormal over all taps of a convolution, and keeping the size of units where
            it widens, as `Orthogonal(mode="fan_in")` does. `"delta_orthogonal"` has the central tap
            alone.
        gain: Positive float, multiplies the weights: 1 / (1 + a) after a leaky_relu with a slope
            of a, whose f(z) - f(-z) is (1 + a) z. Defaults to `1.0`.
        first: Whether it is for a layer whose inputs are not mirrored. Defaults to `False`.
        last: Whether it is for a layer whose outputs are not mirrored. Defaults to `False`.
        input_blocks: Integer, into how many blocks the inputs are divided, each of which has its
            pairs as halves: as many as pixels after `Flatten`, as branches of one size after
            `Concatenate`. Defaults to `1`.
        groups: Integer, the number of groups of a grouped convolution: each has pairs of its own.
            Defaults to `1`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the initializer is unknown, `gain` is not positive and finite, the inputs
            cannot be divided into `input_blocks`, the outputs not into `groups`, or a block has
            less than one pair.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> Mirrored = keras_winit.initializers.Mirrored
    >>> first = Mirrored(first=True, seed=0)((3, 8))
    >>> second = Mirrored("he_normal", seed=1)((8, 6))
    >>> last = Mirrored(last=True, seed=2)((6, 5))
    >>> first, second, last = map(keras.ops.convert_to_numpy, (first, second, last))
    >>> def softplus(x):
    ...     return np.logaddexp(0, x)
    >>> def network(x):
    ...     return softplus(softplus(x @ first) @ second) @ last
    >>> a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    >>> bool(np.allclose(network(a + b), network(a) + network(b), atol=1e-5))
    True

    Reference:

    - [Balduzzi et al., 2017](https://arxiv.org/abs/1702.08591), section 4, for relu
    """

    def __init__(
        self,
        initializer: InitializerLike | None = None,
        gain: float = 1.0,
        first: bool = False,
        last: bool = False,
        input_blocks: int = 1,
        groups: int = 1,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gain: float = _checks.real("gain", gain, positive=True)
        self.first: bool = _checks.flag("first", first)
        self.last: bool = _checks.flag("last", last)
        self.input_blocks: int = _checks.integer("input_blocks", input_blocks, minimum=1)
        self.groups: int = _checks.integer("groups", groups, minimum=1)
        default = Orthogonal(mode="fan_in")
        axes = {"input_axes": input_axes, "output_axes": output_axes}
        super().__init__(initializer, default, seed=seed, **axes)

    def _draw(self, shape, axes, dtype, seed):
        taps, inputs, outputs, batch = axes.sizes(shape)
        units = outputs_of_group(shape, outputs, self.groups)
        rows, input_signs = _singles(inputs) if self.first else self._input_pairs(inputs, shape)
        columns, output_signs = _singles(units) if self.last else _pairs(units)
        # The kernels of the linear network, one for each group.
        spatial = (shape[axis] for axis in axes.spatial)
        linear = (batch * self.groups, *spatial, 1 + rows[-1], 1 + max(columns))
        drawn = draw(self._inner, linear, axes.in_order(), dtype, seed)
        drawn = drawn.reshape(batch, self.groups, taps, *linear[-2:])
        kernel = np.empty((batch, taps, inputs, self.groups, units), drawn.dtype)
        for number in range(self.groups):
            halves = drawn[:, number][..., columns]
            np.take(halves, rows, axis=2, out=kernel[..., number, :], mode="clip")
        kernel *= np.float32(input_signs)[:, None, None]
        kernel *= np.float32(output_signs)
        kernel *= dtype(self.gain)
        return axes.kernel(kernel.reshape(batch, taps * inputs, outputs), shape)

    def _input_pairs(self, inputs, shape):
        size, rest = divmod(inputs, self.input_blocks)
        if rest or size < 2:
            raise ValueError(
                f"`input_blocks` should divide the {inputs} inputs of a kernel of shape {shape} "
                f"into blocks of at least a pair. Received: input_blocks={self.input_blocks}. "
                "Use `first=True` where inputs are no pairs."
            )
        places, signs = _pairs(size)
        if size % 2:  # without a partner, f(z) alone would be added, which is not linear
            signs[size // 2] = 0
            places[size // 2] -= 1
        places = [block * (size // 2) + p for block in range(self.input_blocks) for p in places]
        return places, signs * self.input_blocks

    def to_keras(self) -> keras.Initializer:
        """Returns the initializer of Keras, unseeded, that comes nearest to the values."""
        known = ours(self._inner)
        nearest = known.to_keras() if isinstance(known, OwnInitializer) else known
        if not isinstance(nearest, keras.initializers.VarianceScaling):
            return nearest  # as it is, since constants have no variance to scale
        is_whole = {"fan_in": self.first, "fan_out": self.last}
        halves = 2 - is_whole.get(nearest.mode, self.first or self.last)
        scale = self.gain**2 * nearest.scale * halves
        return keras.initializers.VarianceScaling(scale, nearest.mode, nearest.distribution)


def _singles(size):
    """Returns for each of some units its place in the linear network, and its sign."""
    return list(range(size)), [1] * size


def _pairs(size):
    """Returns them for pairs of units; in an odd number the middle one has a place of its own."""
    half = size // 2
    return [*range(size - half), *range(half)], [1] * (size - half) + [-1] * half
