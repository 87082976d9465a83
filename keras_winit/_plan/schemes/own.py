"""The reset: what the authors of the layers wrote."""

from keras_winit._plan.choice import from_layer


def own(network, keep):
    """Each weight from the initializer that its author gave."""
    return [from_layer(weight, as_keras=True) for weight in network.weights]
