"""Which function an activation is, in whatever form it is given."""

import functools

import keras
import numpy as np

from keras_winit import _checks
from keras_winit._activations.formulas import ALIASES, FORMULAS, NOT_ELEMENTWISE

layers = keras.layers

_SLOPES = (1000,)  # shape of a draw whose mean is that of the slopes of a PReLU

_NAMES = (*FORMULAS, *ALIASES, *NOT_ELEMENTWISE)


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


def applied(function):
    """Returns the function inside an `Activation` layer, and anything else as it is."""
    while isinstance(function, layers.Activation):
        function = function.activation
    return function


def identify(function):
    """Returns (name, arguments) of the Keras activation that `function` is; (None, {}) if none.

    A function of another library that agrees with one of Keras's on a few points is that one.
    """
    function = applied(function)
    if isinstance(function, keras.Layer):
        return formula_of_layer(function) or (None, {})
    arguments = {}
    if isinstance(function, functools.partial) and not function.args:
        function, arguments = function.func, function.keywords
    name = getattr(function, "__name__", None)
    if is_of_keras(function):
        return name, arguments
    if arguments:
        return None, {}
    points = np.array([-7.0, -2.5, -0.9, -0.3, 0.2, 0.7, 1.5, 6.5])
    try:
        values = evaluate(function, points)
    except Exception:  # whatever a function says of these points, it is not one of ours
        return None, {}
    for name, formula in FORMULAS.items():
        if name != "threshold" and np.allclose(values, formula(points), rtol=1e-5, atol=1e-6):
            return name, {}
    return None, {}


def is_of_keras(function):
    """Whether it is one of the functions of `keras.activations` that are known by name."""
    name = getattr(function, "__name__", None)
    return name in _NAMES and getattr(keras.activations, name, None) is function


def formula_of_layer(layer):
    """Returns (name, arguments) of the activation function that a Keras layer is.

    `None` where the layer is none of Keras's activation layers.
    """
    if isinstance(layer, layers.ReLU):
        names = ("negative_slope", "max_value", "threshold")
        return "relu", {name: getattr(layer, name) for name in names}
    if isinstance(layer, layers.LeakyReLU):
        return "leaky_relu", {"negative_slope": layer.negative_slope}
    if isinstance(layer, layers.ELU):
        return "elu", {"alpha": layer.alpha}
    if isinstance(layer, layers.PReLU):
        slope = layer.alpha if layer.built else layer.alpha_initializer(_SLOPES, dtype="float32")
        return "relu", {"negative_slope": float(np.mean(keras.ops.convert_to_numpy(slope)))}
    if isinstance(layer, layers.Softmax):
        return "softmax", {}
    if isinstance(layer, layers.Identity):
        return "linear", {}
    return None


def learns(function):
    """Whether training changes a function: a PReLU, built or not, or a layer with weights."""
    return isinstance(function, layers.PReLU) or bool(getattr(function, "trainable_weights", ()))


def config_of(activation):
    """Returns what a JSON config can hold of an activation; `None` where it can hold nothing."""
    if activation is None:
        return "linear"
    if isinstance(activation, (str, dict)):
        return activation
    if isinstance(activation, keras.Layer):
        return keras.saving.serialize_keras_object(activation)
    if is_of_keras(activation):
        return activation.__name__
    registered = keras.saving.get_registered_name(activation)
    if keras.saving.get_registered_object(registered) is activation:
        return registered
    return None


def evaluate(function, points):
    """Runs a backend function on a NumPy array of shape (n,), a layer on one sample of n units."""
    if isinstance(function, keras.Layer):
        copy = type(function).from_config(function.get_config())
        outputs = copy(keras.ops.convert_to_tensor(points[None]))
    else:
        outputs = function(keras.ops.convert_to_tensor(points))
    return keras.ops.convert_to_numpy(outputs).reshape(points.shape)
