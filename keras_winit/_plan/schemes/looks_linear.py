"""Mirrored pairs where they fit, the rest as suggested."""

from keras_winit._plan.choice import from_layer
from keras_winit._plan.schemes.mirrored import mirrored
from keras_winit._plan.schemes.suggested import suggested


def looks_linear(initializer):
    """Returns the scheme of mirrored pairs, the rest as suggested."""

    def scheme(network, keep):
        chosen = [
            choice if choice.weight.is_kernel else from_layer(choice.weight)
            for choice in suggested(network, keep)
        ]
        return mirrored(chosen, network, initializer)

    return scheme
