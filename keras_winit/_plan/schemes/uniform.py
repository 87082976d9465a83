"""One initializer for every kernel."""

import keras

from keras_winit._plan.choice import Choice, from_layer


def uniform(initializer):
    """Returns the scheme that gives one initializer to every kernel."""

    def scheme(network, keep):
        return [
            Choice(weight, _fresh(initializer), "asked for")
            if weight.is_kernel
            else from_layer(weight)
            for weight in network.weights
        ]

    return scheme


def _fresh(initializer):
    if type(initializer) is keras.initializers.Identity:  # it has no seed, and a copy has no gain
        return initializer
    return initializer.clone() if isinstance(initializer, keras.Initializer) else initializer
