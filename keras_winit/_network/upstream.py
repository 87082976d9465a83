"""How small layers start where a network should learn features first, and not be undone first."""

from keras_winit._activations.activation import NOTHING
from keras_winit._activations.criticality import signal_slope

# Shares of what keeps the size of the signal, by measurement. Relu bears more of it, as it is no
# more linear for a small signal; of pairs of units the second is half.
UPSTREAM, UPSTREAM_RELU, UPSTREAM_PAIRS = 0.3, 0.2, 0.5
# Of convolutions that give images, for each layer, and of all layers together at least.
OF_IMAGES, OF_IMAGES_IN_ALL = 0.7, 0.2


def is_upstream(network, weight):
    """Whether a kernel is the first of a few dense layers, and relu, tanh and the like follow."""
    around, activation = network.around(weight.layer), network.after(weight)
    return (
        around.is_first
        and not around.is_output
        and not weight.is_in_cell
        and network.is_plain
        and not network.is_deep
        and not network.has_taps
        and not network.has_alpha_dropout
        and activation is not NOTHING
        and not activation.is_mostly_mean
    )


def upstream_share(activation):
    """Returns how large such a kernel is, as a share of what keeps the size of the signal."""
    keeps_shape = abs(signal_slope(activation) - 1) < 1e-3  # f(2z) is 2 f(z)
    return UPSTREAM_RELU if activation.is_rectifier and keeps_shape else UPSTREAM


def gives_images(network):
    """Whether convolutions alone give a number for each place; not what others take, as features.

    What is taken by others ends in relu, or in a normalization. Attention, cells, gated products
    and shortcuts have sizes of their own.
    """
    ends = [weight for weight in network.kernels if network.around(weight.layer).is_output]
    return (
        network.has_taps
        and network.gives_places
        and not network.num_branches
        and not network.gates
        and not any(weight.in_attention or weight.is_in_cell for weight in network.kernels)
        and any(
            not network.around(weight.layer).normalized and not network.after(weight).is_rectifier
            for weight in ends
        )
    )


def image_share(network, weight):
    """Returns how large a kernel of such a network is, as a share of what keeps the size."""
    around, activation = network.around(weight.layer), network.after(weight)
    if activation.moments is None or activation.is_mostly_mean or activation.is_steep:
        return 1.0
    if around.normalized:
        return OF_IMAGES
    if around.is_first and not around.is_output:
        return UPSTREAM
    return max(OF_IMAGES, OF_IMAGES_IN_ALL ** (1 / network.depth))
