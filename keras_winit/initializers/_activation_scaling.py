"""Variance gain² / fan, for any activation."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_winit import _checks
from keras_winit._activations.activation import Activation
from keras_winit._activations.gains import check_moment
from keras_winit._activations.identify import config_of
from keras_winit._random import distributions
from keras_winit._references import HE
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import MODES, KernelInitializer
from keras_winit.typing import ActivationLike, SeedLike

DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")

_MOMENTS = ("second_moment", "variance", "slope_second_moment")


@register(
    alias="activation_scaling",
    formula="variance gain² / fan, the gain of any activation by quadrature",
    when="the rule of He for gelu, tanh, your own function",
    reference=HE,
)
class ActivationScaling(KernelInitializer):
    """Random weights of the variance that an activation needs, whichever it is.

    He's rule for relu, generalized: with z ~ N(0, 1) and f the activation, the variance is

    - `mode="fan_in"`: `scale` / (fan_in E f(z)²). Forward: the second moment of the
      preactivations stays the same from layer to layer.
    - `mode="fan_out"`: `scale` / (fan_out E f'(z)²). Backward: that of the gradients does.
    - `mode="fan_avg"`: 2 `scale` / (fan_in E f² + fan_out E f'²). Between the two; for a linear
      activation it is Glorot's rule.

    `"relu"` gives `HeNormal`, `"selu"` and `"linear"` give `LecunNormal`. It assumes zero-mean
    weights and wide layers. For activations whose mean is large beside their spread (sigmoid,
    softplus) that keeps the size of the signal, but samples become alike within a few layers;
    `centered=True` keeps them apart: the weights of a unit sum to zero, so the mean is not
    passed on, and Var f takes the place of E f² in the formulas. For gelu, silu and mish the
    kept size is an unstable fixed point: good for some 20 layers without normalization.

    The fans are those of Keras: of `(*spatial, input, output)` kernels unless axes are given.

    Args:
        activation: Name, function, activation layer, serialized activation, or `None` for
            linear. By custom that of this layer; strictly, for `"fan_in"`, that of the layer
            before, whose output is summed. A function that Keras cannot serialize is saved as
            its two moments. Defaults to `"relu"`.
        scale: Positive float, multiplies the variance. Defaults to `1.0`.
        mode: One of `"fan_in"`, `"fan_out"`, `"fan_avg"`. Defaults to `"fan_in"`.
        distribution: One of `"truncated_normal"` (at two sigma, its variance corrected for
            that), `"untruncated_normal"`, `"uniform"`. Defaults to `"truncated_normal"`.
        centered: Whether the weights of each unit sum to zero. For sigmoid-like activations
            in networks without normalization. Defaults to `False`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes counted in fan_in. An axis in both lists is a tap of
            a convolution, one in neither is batch. Given by EinsumDense and attention.
        output_axes: List of ints, the axes counted in fan_out.

    Raises:
        ValueError: If an option is unknown, a number is out of its range, the activation is not
            elementwise and finite, or the kernel has fewer than two axes.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> initializer = keras_winit.initializers.ActivationScaling("gelu", seed=0)
    >>> kernel = initializer((400, 300))
    >>> round(float(keras.ops.std(kernel)) * 400**0.5, 1)
    1.5

    Reference:

    - [He et al., 2015](https://arxiv.org/abs/1502.01852), section 2.2
    - [Brock et al., 2021](https://arxiv.org/abs/2101.08692), section 4, for centered weights
    - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html), section 4.2.1
    """

    _takes_blocks = True

    def __init__(
        self,
        activation: ActivationLike = "relu",
        scale: float = 1.0,
        mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in",
        distribution: Literal[
            "truncated_normal", "untruncated_normal", "uniform"
        ] = "truncated_normal",
        centered: bool = False,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.activation: ActivationLike = activation
        self.centered: bool = _checks.flag("centered", centered)
        self._moments = _moments(activation)
        super().__init__(
            scale=_checks.real("scale", scale, positive=True),
            mode=_checks.option("mode", mode, MODES),
            distribution=_checks.option("distribution", distribution, DISTRIBUTIONS),
            seed=seed,
            input_axes=input_axes,
            output_axes=output_axes,
        )
        check_moment(activation, self._needed(1, 1))

    @property
    def _elementwise(self):
        return not self.centered

    def _needed(self, fan_in, fan_out):
        """Returns what one unit of variance makes of a unit signal, in the chosen direction."""
        second_moment, variance, slope_second_moment = self._moments
        forward = fan_in * (variance if self.centered else second_moment)
        backward = fan_out * slope_second_moment
        both = (forward + backward) / 2
        return {"fan_in": forward, "fan_out": backward, "fan_avg": both}[self.mode]

    def _draw(self, shape, axes, dtype, seed, part=None):
        stddev = math.sqrt(self.scale / self._needed(*axes.fans(shape)))
        arguments = {"seed": seed, "purpose": "activation_scaling", "part": part}
        if self.distribution == "truncated_normal":
            values = distributions.truncated_normal(shape, stddev=stddev, **arguments)
        elif self.distribution == "untruncated_normal":
            values = distributions.normal(shape, stddev=stddev, **arguments)
        else:
            values = distributions.uniform(shape, limit=math.sqrt(3) * stddev, **arguments)
        return _centered(values, axes.spatial + axes.input) if self.centered else values

    def to_keras(self) -> keras.Initializer:
        scale = self.scale / self._needed(1, 1)
        return keras.initializers.VarianceScaling(scale, self.mode, self.distribution)

    def get_config(self) -> dict[str, Any]:
        activation = config_of(self.activation)
        if activation is None:
            activation = dict(zip(_MOMENTS, self._moments, strict=True))
        return {**super().get_config(), "activation": activation}


def _centered(values, axes):
    """Takes the mean over the inputs out of each unit, and gives back the variance it had."""
    count = math.prod(values.shape[axis] for axis in axes)
    if count < 2:
        raise ValueError(
            "`centered` weights of a unit sum to zero, which takes at least 2 inputs. "
            f"Received: shape={values.shape}."
        )
    values -= values.mean(axis=axes, keepdims=True)
    values *= np.float32(math.sqrt(count / (count - 1)))
    return values


def _moments(activation):
    """Returns E f², Var f and E f'² of an activation, or what `get_config` wrote in its place."""
    if isinstance(activation, dict) and set(activation) == set(_MOMENTS):
        return tuple(_checks.real(name, activation[name]) for name in _MOMENTS)
    moments = Activation(activation).measure()
    return tuple(getattr(moments, name) for name in _MOMENTS)
