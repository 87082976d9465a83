"""Units in pairs that see z and -z: which kernels make them, carry them and take them apart."""

import functools
import math
from dataclasses import dataclass

from keras_winit._activations.activation import NOTHING, Activation
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
        carries: Whether it is a depthwise kernel, which has to do the same to both units of a pair.
    """

    makes: bool
    takes: bool
    blocks: int = 1
    gain: float = 1.0
    size: float = 1.0
    carries: bool = False


def pairings(network, left=frozenset()):
    """Returns the `Pairing` of every kernel of a `Network` that makes, carries or takes pairs.

    A kernel can make them if f(z) - f(-z) is linear in z for the activation f that follows, its
    bias starts at zero, and all that its units go to can take them. One can take them if all its
    inputs come, unit by unit, from kernels that make them. In between may lie a depthwise kernel,
    alone in its layer or the first of a separable convolution, if f(z) - f(-z) is still linear
    behind the activation that follows it.

    Args:
        network: The `Network`.
        left: Set of `Weight`s that get something else.
    """
    return _Pairs(network, left).found()


class _Pairs:
    """The layers whose units come in pairs, as far as all that take them can."""

    def __init__(self, network, left):
        free = [weight for weight in network.kernels if weight in network.starting - left]
        self._network = network
        self._depthwise = {weight.layer: weight for weight in free if _is_depthwise(weight)}
        self._mixing = {weight.layer: weight for weight in free if _is_one_matrix(weight)}
        # What activation the units of a layer have gone through.
        self._activations = {layer: network.after(each) for layer, each in self._mixing.items()}
        self._makers = set(filter(self._can_make, self._mixing))
        carriers = self._depthwise.keys() - self._mixing.keys()
        self._activations |= {layer: self._carried(layer) for layer in carriers}
        self._makers |= {layer for layer in carriers if self._activations[layer] is not None}
        while True:
            takers = {layer: self._taken(layer) for layer in self._activations}
            kept = {layer for layer in self._makers if all(map(takers.get, network.feeds(layer)))}
            kept -= {layer for layer in carriers if not takers[layer]}
            if kept == self._makers:
                return
            self._makers = kept

    def found(self):
        """Returns the `Pairing` of every kernel that has one."""
        found = {}
        for layer in self._activations:
            taken, makes = self._taken(layer), layer in self._makers
            if layer in self._depthwise and taken:
                found[self._depthwise[layer]] = Pairing(False, True, carries=True)
            if layer in self._mixing and (taken or makes):
                found[self._mixing[layer]] = Pairing(makes, taken is not None, *(taken or ()))
        return found

    def _can_make(self, layer):
        weight, size = self._mixing[layer], self._activations[layer].pair_size
        is_normalized = self._network.around(layer).normalized  # to a size of 1
        has_pairs = weight.sizes[2] > 1 and size is not None and (size == 1 or not is_normalized)
        return has_pairs and self._is_between(layer)

    def _carried(self, layer):
        """Returns what pairs have gone through behind a depthwise layer, `None` if it keeps none.

        A normalization would take off a mean that is not that of z and -z.
        """
        before = {self._activations.get(source) for source in self._network.fed_by(layer)}
        after = self._network.after(self._depthwise[layer])
        is_normalized = after is not NOTHING and self._network.around(layer).normalized
        if len(before) != 1 or None in before or is_normalized or not self._is_between(layer):
            return None
        carried = _composed(*before, after)
        return None if carried.pair_size is None else carried

    def _is_between(self, layer):
        """Whether units go on to other kernels one by one, and nothing is added to them before."""
        around, bias = self._network.around(layer), self._network.bias(layer)
        is_centered = bias is None or gives_zeros(bias.own_initializer())
        is_alone = not around.is_output and not around.added
        return is_alone and is_centered and self._network.feeds(layer) is not None

    def _taken(self, layer):
        """Returns (blocks, gain, size) of the pairs that a layer takes, `None` if it takes none."""
        sources = self._network.fed_by(layer)
        weights = [each[layer] for each in (self._depthwise, self._mixing) if layer in each]
        is_free = [weight.kernel for weight in weights] == [*kernels_of(layer)]
        hands_on = layer in self._mixing or layer in self._makers
        if not (is_free and hands_on and sources and self._makers.issuperset(sources)):
            return None
        found = {self._taken_from(source, weights[0]) for source in sources}
        return found.pop() if len(found) == 1 else None

    def _taken_from(self, source, weight):
        units = math.prod(self._weight(source).sizes[2:])
        _, inputs, outputs, channels = weight.sizes
        blocks, rest = divmod(inputs * channels, units)
        is_along = not rest and unit_axis(source) == unit_axis(weight.layer)
        # Of several outputs of an odd number of channels, those of the middle one are halves.
        has_halves = channels == 1 or blocks == 1 and (outputs == 1 or channels % 2 == 0)
        activation = self._activations[source]
        taken = blocks, activation.pair_gain, activation.pair_size
        return taken if is_along and has_halves else None

    def _weight(self, layer):
        return self._mixing.get(layer) or self._depthwise[layer]


def _is_one_matrix(weight):
    """Whether it maps all that its layer takes, perhaps by a depthwise kernel, to all it gives."""
    is_last = weight.kernel == kernels_of(weight.layer)[-1] and not weight.in_attention
    return is_last and weight.role == "kernel" and weight.sizes[3] == 1


def _is_depthwise(weight):
    """Whether it has taps for each channel by itself."""
    _, inputs, _, channels = weight.sizes
    is_kernel = weight.role == "kernel" and weight.kernel.blocks == 1
    return is_kernel and bool(weight.structure[1].spatial) and inputs == 1 < channels


@functools.cache
def _composed(first, second):
    if second is NOTHING:
        return first
    return Activation(lambda x: second.function(first.function(x)))
