"""The gain of any activation: what a kernel must multiply to keep the signal's size."""

import dataclasses
import functools
import math

import keras
import numpy as np

from keras_winit import _checks, _network
from keras_winit._activations import quadrature
from keras_winit._activations.formulas import ALIASES, FORMULAS, NOT_ELEMENTWISE

KINDS = ("forward", "backward", "centered")

_NAMES = (*FORMULAS, *ALIASES, *NOT_ELEMENTWISE)


def gain(activation, kind="forward"):
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
    - [Brock et al., 2021](https://arxiv.org/abs/2101.08692), section 3, for `"centered"`
    """
    _checks.option("kind", kind, KINDS)
    moments = activation_moments(activation)
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


def activation_moments(activation):
    """Returns the `Moments` of an activation given in any form.

    To twelve digits, since the last bits of tanh and exp differ between processors.
    """
    function = _network.applied_activation(resolve(activation))
    name, arguments = identify(function)
    if name in NOT_ELEMENTWISE:
        raise ValueError(
            f"`activation` should act on each unit alone to have a gain. Received: "
            f"activation={activation!r}. For a last layer with {name} use 'linear'."
        )
    try:
        if name is not None:
            return _formula_moments(name, tuple(sorted(arguments.items())))
        _check_elementwise(function)
        return _rounded(quadrature.moments(functools.partial(_evaluate, function)))
    except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
        raise ValueError(
            f"`activation` should be an elementwise function, finite everywhere. "
            f"Received: activation={activation!r}: {error}."
        ) from error


@functools.cache
def _formula_moments(name, arguments):
    return _rounded(quadrature.moments(_formula(name, arguments)))


def _rounded(moments):
    return quadrature.Moments(*(float(f"{value:.12g}") for value in dataclasses.astuple(moments)))


def name_of(activation):
    """Returns what to call an activation: Keras's name for it, else its own."""
    function = resolve(activation)
    name, _ = identify(function)
    return name or getattr(function, "__name__", type(function).__name__)


def saturation(activation):
    """Returns the outputs (low, high) beyond which a bounded activation is saturated.

    Within 1.5 % of its range of either bound: where tanh is beyond 0.97. `None` if it has no
    bounds, or acts on units together.
    """
    name, _ = identify(resolve(activation))
    if name in NOT_ELEMENTWISE:
        return None
    try:
        with np.errstate(all="ignore"):
            low, lower, upper, high = numpy_function(activation)(np.array([-1e3, -5e2, 5e2, 1e3]))
    except Exception:  # whatever a user's function says of these points
        return None
    span = high - low
    if not 0 < abs(span) < 1e2 or max(abs(lower - low), abs(high - upper)) > 0.01 * abs(span):
        return None
    margin = 0.015 * span
    bounds = sorted((float(low + margin), float(high - margin)))
    # The lower bound of a rectifier is where it is off.
    return (-math.inf, bounds[1]) if name in ("relu", "relu6") else tuple(bounds)


def resolve(activation):
    """Returns the function or layer that `activation` names, or raises."""
    if activation is None:
        return keras.activations.linear
    if isinstance(activation, str):
        name = ALIASES.get(activation, activation)
        found = getattr(keras.activations, name, None) if name in _NAMES else None
        found = found or keras.saving.get_registered_object(activation)
        if found is None:
            raise ValueError(
                "`activation` should be the name of an activation of Keras or a registered one. "
                f"Received: activation={activation!r}."
                f"{_checks.did_you_mean(activation, _NAMES)}"
            )
        return found() if isinstance(found, type) else found
    if isinstance(activation, dict):
        return keras.activations.get(activation)
    if isinstance(activation, type) or not callable(activation):
        raise TypeError(
            "`activation` should be a name, a function, a layer instance or None. "
            f"Received: activation={activation!r} of type {type(activation).__name__}."
        )
    return activation


def identify(function):
    """Returns (name, arguments) of the Keras activation that `function` is; (None, {}) if none.

    A function of another library that agrees with one of Keras's on a few points is that one.
    """
    function = _network.applied_activation(function)
    if isinstance(function, keras.Layer):
        formula = _network.activation_formula(function)
        return formula or (None, {})
    arguments = {}
    if isinstance(function, functools.partial) and not function.args:
        function, arguments = function.func, function.keywords
    name = getattr(function, "__name__", None)
    if name in _NAMES and getattr(keras.activations, name, None) is function:
        return name, arguments
    if arguments:
        return None, {}
    points = np.array([-7.0, -2.5, -0.9, -0.3, 0.2, 0.7, 1.5, 6.5])
    try:
        values = _evaluate(function, points)
    except Exception:  # whatever a function says of these points, it is not one of ours
        return None, {}
    for name, formula in FORMULAS.items():
        if name != "threshold" and np.allclose(values, formula(points), rtol=1e-5, atol=1e-6):
            return name, {}
    return None, {}


def numpy_function(activation):
    """Returns an activation given in any form as a function of a NumPy array of shape (n,).

    It is the same object whenever it is the same activation of Keras.
    """
    function = resolve(activation)
    name, arguments = identify(function)
    if name in FORMULAS:
        return _formula(name, tuple(sorted(arguments.items())))
    return functools.partial(_evaluate, function)


@functools.cache
def _formula(name, arguments):
    return functools.partial(FORMULAS[name], **dict(arguments))


def config(activation):
    """Returns what a JSON config can hold of an activation; `None` where it can hold nothing."""
    if activation is None:
        return "linear"
    if isinstance(activation, (str, dict)):
        return activation
    function = activation
    if isinstance(function, keras.Layer):
        return keras.saving.serialize_keras_object(function)
    name = getattr(function, "__name__", None)
    if name in _NAMES and getattr(keras.activations, name, None) is function:
        return name
    registered = keras.saving.get_registered_name(function)
    if keras.saving.get_registered_object(registered) is function:
        return registered
    return None


def _check_elementwise(function):
    points = np.linspace(-2.0, 2.0, 8)
    together, alone = _evaluate(function, points)[:3], _evaluate(function, points[:3])
    if not np.allclose(together, alone, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise ValueError("its value at a point depends on the other points")


def _evaluate(function, points):
    """Runs a backend function on a NumPy array of shape (n,), a layer on one sample of n units."""
    if isinstance(function, keras.Layer):
        copy = type(function).from_config(function.get_config())
        outputs = copy(keras.ops.convert_to_tensor(points[None]))
    else:
        outputs = function(keras.ops.convert_to_tensor(points))
    return keras.ops.convert_to_numpy(outputs).reshape(points.shape)
