"""The layer that is asking an initializer for a weight."""

import sys

import keras

from keras_winit._network.kernels import kernels_of

# Where Keras calls an initializer from: `add_weight`, or the function by which an LSTM puts ones
# in place of some biases.
_CALLERS = ("add_weight", "bias_initializer")


def calling_layer():
    """Returns the layer whose weight is being made, `None` if it is not a layer that asks.

    Keras tells initializers a shape alone, and the bias of an LSTM in two parts, each without
    saying which.
    """
    frame = _request()
    return None if frame is None else frame.f_locals["self"]


def asked_kernel():
    """Returns the `Kernel` that is being made, `None` if it is none that is known."""
    frame = _request()
    if frame is None:
        return None
    known = kernels_of(frame.f_locals["self"]) or ()
    name = frame.f_locals.get("name")
    return next((kernel for kernel in known if kernel.weight == name), None)


def _request():
    """Returns the frame in which a layer asks an initializer for a weight, or `None`."""
    frame = sys._getframe(1)
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), keras.Layer):
            return frame if frame.f_code.co_name in _CALLERS else None
        frame = frame.f_back
    return None


def gates_of(layer):
    """Returns the number of gates of a recurrent cell; 0 for a layer without, `None` if unknown."""
    known = kernels_of(layer)
    if known is None:
        return None
    return next((each.blocks for each in known if each.role == "recurrent"), 0)
