"""Gates: how a product of a value and an activated gate keeps its size, layer after layer."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from keras_winit._activations import quadrature

_STEP = 1e-4
# Where a function is less than that at zero it closes the gate.
_CLOSED = 0.1


@dataclass(frozen=True)
class Gate:
    """How the kernels of value and gate are to be drawn.

    Attributes:
        variance: The variance of what the gate's activation takes, for inputs of size 1.
        bias: What is added to it.
        scale: The variance times fan_in of the value's kernel.
    """

    variance: float
    bias: float
    scale: float


@functools.cache
def gate(activation, depth):
    """Returns the `Gate` with which a product of values and gates keeps its size.

    Where it is open, at 0 or else at a bias of 1, a gate is nearly a constant f if its input is
    small. What is left of that input scatters the product, by f'² variance / f² in each layer, and
    grows with the product itself: the variance is such that it is a half over all layers.

    Args:
        activation: The `Activation` of the gate.
        depth: The number of layers of the network.
    """

    def at(z):
        return float(activation.values(np.array([z]))[0])

    bias = 0.0 if abs(at(0.0)) > _CLOSED else 1.0
    slope = (at(bias + _STEP) - at(bias - _STEP)) / (2 * _STEP)
    variance = min(1.0, at(bias) ** 2 / (2 * depth * slope**2)) if slope else 1.0
    moments = quadrature.moments(lambda z: activation.values(bias + math.sqrt(variance) * z))
    # To six digits, since the last bits of exp differ between processors.
    variance, scale = (float(f"{each:.6g}") for each in (variance, 1 / moments.second_moment))
    return Gate(variance, bias, scale)
