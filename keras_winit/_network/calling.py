"""The layer that is asking an initializer for a weight."""

from keras_winit import _keras_private
from keras_winit._network.kernels import kernels_of


def calling_layer():
    """Returns the layer whose weight is being made, `None` if it is not a layer that asks."""
    layer, _ = _keras_private.request()
    return layer


def asked_kernel():
    """Returns the `Kernel` that is being made, `None` if it is none that is known."""
    layer, name = _keras_private.request()
    return next((kernel for kernel in kernels_of(layer) or () if kernel.weight == name), None)


def gates_of(layer):
    """Returns the number of gates of a recurrent cell; 0 for a layer without, `None` if unknown."""
    known = kernels_of(layer)
    if known is None:
        return None
    return next((each.blocks for each in known if each.role == "recurrent"), 0)
