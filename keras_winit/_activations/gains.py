"""The gain of any activation: what a kernel must multiply to keep the signal's size."""

import math
from typing import Literal

from keras_winit import _checks
from keras_winit._activations.activation import Activation
from keras_winit.typing import ActivationLike

KINDS = ("forward", "backward", "centered")


def gain(
    activation: ActivationLike, kind: Literal["forward", "backward", "centered"] = "forward"
) -> float:
    """Returns the gain of an activation for unit normal input.

    Weights of variance gain² / fan keep the size of the signal from layer to layer, for
    zero-mean independent weights and wide layers. With z ~ N(0, 1) the gain is

    - `"forward"`: 1 / sqrt(E f(z)²), with fan_in: the second moment of the preactivations stays 1;
    - `"backward"`: 1 / sqrt(E f'(z)²), with fan_out: that of the gradients stays the same;
    - `"centered"`: 1 / sqrt(Var f(z)), with fan_in, for weights whose sum over the inputs is
      zero (weight standardization) or where a bias removes the mean.

    The integrals are exact to 1e-10 for Keras's own activations, and to 1e-5 (`"backward"`:
    1e-4) for functions that are computed in float32. Note that `torch.nn.init.calculate_gain`
    gives other numbers for tanh (5/3), sigmoid (1) and selu (3/4), which keep neither.

    Args:
        activation: Name, function, activation layer, serialized activation, or `None` for
            linear. It acts on each unit alone: softmax and the like have no gain.
        kind: One of `"forward"`, `"backward"`, `"centered"`. Defaults to `"forward"`.

    Returns:
        Positive float.

    Raises:
        ValueError: If the activation is unknown, not elementwise, not finite, or constant.
        TypeError: If `activation` is none of the kinds above.

    Example:

    >>> round(keras_winit.gain("relu"), 6)
    1.414214
    >>> round(keras_winit.gain("tanh", "backward"), 6)
    1.467414
    >>> round(keras_winit.gain(keras.layers.LeakyReLU(negative_slope=0.1)), 6)
    1.407195

    Reference:

    - [He et al., 2015](https://arxiv.org/abs/1502.01852), section 2.2, for rectifiers
    - [Brock et al., 2021](https://arxiv.org/abs/2101.08692), section 4, for `"centered"`
    """
    _checks.option("kind", kind, KINDS)
    moments = Activation(activation).measure()
    moment = {
        "forward": moments.second_moment,
        "backward": moments.slope_second_moment,
        "centered": moments.variance,
    }[kind]
    return 1 / math.sqrt(check_moment(activation, moment))


def check_moment(activation, moment):
    """Returns `moment`, or raises if there is nothing to divide by."""
    if moment < 1e-12:
        raise ValueError(
            "`activation` should let a signal through to have a gain. Received: "
            f"activation={activation!r}, whose moment is {moment:.1g}."
        )
    return moment
