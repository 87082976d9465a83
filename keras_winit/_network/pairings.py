"""Units in pairs that see z and -z: which kernels can make them, and which take them apart."""

from dataclasses import dataclass

from keras_winit._network.kernels import kernels_of
from keras_winit._network.operations import unit_axis
from keras_winit._network.weights import gives_zeros


@dataclass(frozen=True)
class Pairing:
    """What pairs of units mean to one kernel.

    Attributes:
        makes: Whether its own units come in pairs.
        takes: Whether its inputs do.
        blocks: Into how many blocks the inputs are divided, each with its pairs as halves.
        gain: The size of f(z) - f(-z) in the inputs, over that of z.
        size: The size of that z.
    """

    makes: bool
    takes: bool
    blocks: int = 1
    gain: float = 1.0
    size: float = 1.0


def pairings(network, left=frozenset()):
    """Returns the `Pairing` of every kernel of a `Network` that can make pairs or take them.

    A kernel can make them if f(z) - f(-z) is linear in z for the activation f that follows, its
    bias starts at zero, and all that its units go to can take them. One can take them if all its
    inputs come, unit by unit, from kernels that make them.

    Args:
        network: The `Network`.
        left: Set of `Weight`s that get something else.
    """
    kernels = {
        weight.layer: weight
        for weight in network.kernels
        if weight in network.starting - left and _is_one_matrix(weight)
    }
    makers = {layer for layer, weight in kernels.items() if _can_make(weight, network)}
    while True:
        takers = {
            layer: _taken(weight, makers, kernels, network) for layer, weight in kernels.items()
        }
        kept = {layer for layer in makers if all(map(takers.get, network.feeds(layer)))}
        if kept == makers:
            break
        makers = kept
    return {
        weight: Pairing(layer in makers, takers[layer] is not None, *(takers[layer] or ()))
        for layer, weight in kernels.items()
        if layer in makers or takers[layer]
    }


def _is_one_matrix(weight):
    """Whether it maps all inputs of its layer to all outputs, and is the only one that does."""
    is_alone = kernels_of(weight.layer) == (weight.kernel,) and not weight.in_attention
    return is_alone and weight.role == "kernel" and weight.sizes[3] == 1


def _can_make(weight, network):
    around = network.around(weight.layer)
    is_between = not around.is_output and not around.added
    size = network.after(weight).pair_size
    # A normalization gives what is of size 1.
    has_pairs = weight.sizes[2] > 1 and size is not None and (size == 1 or not around.normalized)
    bias = network.bias(weight.layer)
    is_centered = bias is None or gives_zeros(bias.own_initializer())
    return is_between and has_pairs and is_centered and network.feeds(weight.layer) is not None


def _taken(weight, makers, kernels, network):
    """Returns (blocks, gain, size) of the pairs that a kernel takes, `None` if it takes none."""
    sources = network.fed_by(weight.layer)
    if not sources or not makers.issuperset(sources):
        return None
    found = set()
    for source in map(kernels.get, sources):
        blocks, rest = divmod(weight.sizes[1], source.sizes[2])
        is_along = not rest and unit_axis(source.layer) == unit_axis(weight.layer)
        activation = network.after(source)
        taken = blocks, activation.pair_gain, activation.pair_size
        found.add(taken if is_along else None)
    return found.pop() if len(found) == 1 else None
