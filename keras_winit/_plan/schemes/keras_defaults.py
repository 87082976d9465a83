"""What Keras does where nothing is said."""

from keras_winit._plan.choice import Choice


def keras_defaults(network, keep):
    """What Keras gives to layers of which nothing is said."""
    return [
        Choice(weight, weight.default_initializer(), "Keras's default", as_keras=True)
        for weight in network.weights
    ]
