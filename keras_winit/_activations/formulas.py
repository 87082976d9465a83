"""The elementwise activations of Keras in NumPy, by Keras's names, with its arguments.

In float64, so that gains are exact and equal on every backend (JAX computes in float32).
"""

import math

import numpy as np

_erfc = np.vectorize(math.erfc, otypes=[np.float64])

_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


def linear(x):
    return x


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    positive = x if max_value is None else np.clip(x, 0.0, max_value)
    return np.where(x > threshold, positive, negative_slope * (x - threshold))


def relu6(x):
    return np.clip(x, 0.0, 6.0)


def leaky_relu(x, negative_slope=0.2):
    return np.where(x >= 0, x, negative_slope * x)


def elu(x, alpha=1.0):
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def celu(x, alpha=1.0):
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))


def selu(x):
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def gelu(x, approximate=False):
    if approximate:
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * _erfc(-x / math.sqrt(2))


def sigmoid(x):
    return np.exp(-softplus(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.logaddexp(0.0, x)


def log_sigmoid(x):
    return -softplus(-x)


def mish(x):
    return x * np.tanh(softplus(x))


def hard_sigmoid(x):
    return np.clip(x / 6 + 0.5, 0.0, 1.0)


def hard_silu(x):
    return x * hard_sigmoid(x)


def tanh(x):
    return np.tanh(x)


def hard_tanh(x):
    return np.clip(x, -1.0, 1.0)


def tanh_shrink(x):
    return x - np.tanh(x)


def soft_shrink(x, threshold=0.5):
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0.0)


def hard_shrink(x, threshold=0.5):
    return np.where(np.abs(x) > threshold, x, 0.0)


def softsign(x):
    return x / (1 + np.abs(x))


def squareplus(x, b=4.0):
    return (x + np.sqrt(x**2 + b)) / 2


def sparse_plus(x):
    return np.where(x <= -1, 0.0, np.where(x < 1, (x + 1) ** 2 / 4, x))


def sparse_sigmoid(x):
    return np.clip((x + 1) / 2, 0.0, 1.0)


def exponential(x):
    return np.exp(x)


def threshold(x, threshold, default_value):
    return np.where(x > threshold, x, default_value)


FORMULAS = {
    function.__name__: function
    for function in (
        linear,
        relu,
        relu6,
        leaky_relu,
        elu,
        celu,
        selu,
        gelu,
        silu,
        mish,
        hard_silu,
        sigmoid,
        hard_sigmoid,
        tanh,
        hard_tanh,
        tanh_shrink,
        soft_shrink,
        hard_shrink,
        softsign,
        softplus,
        log_sigmoid,
        squareplus,
        sparse_plus,
        sparse_sigmoid,
        exponential,
        threshold,
    )
}

# Other names for the same; a PReLU layer starts with slope 0, as a ReLU.
ALIASES = {"swish": "silu", "hard_swish": "hard_silu", "prelu": "relu"}

# Activations whose units depend on each other: no gain is defined for them.
NOT_ELEMENTWISE = ("softmax", "log_softmax", "sparsemax", "glu")
