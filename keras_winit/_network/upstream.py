"""How small the first of a few dense layers starts, so that features are learned first."""

from keras_winit._activations.activation import NOTHING
from keras_winit._activations.criticality import signal_slope

# Shares of what keeps the size of the signal, by measurement. Relu bears more of it, as it is no
# more linear for a small signal; of pairs of units the second is half.
UPSTREAM, UPSTREAM_RELU, UPSTREAM_PAIRS = 0.3, 0.2, 0.5


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
        and activation is not NOTHING
        and not activation.is_mostly_mean
    )


def upstream_share(activation):
    """Returns how large such a kernel is, as a share of what keeps the size of the signal."""
    keeps_shape = abs(signal_slope(activation) - 1) < 1e-3  # f(2z) is 2 f(z)
    return UPSTREAM_RELU if activation.is_rectifier and keeps_shape else UPSTREAM
