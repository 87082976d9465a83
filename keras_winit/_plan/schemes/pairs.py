"""Networks of mirrored pairs: where in a model `Mirrored` or `LooksLinear` fits, and as what."""

import dataclasses

from keras_winit import _network
from keras_winit._network.pairings import pairings
from keras_winit._plan.choice import Choice, from_layer
from keras_winit._plan.schemes.suggested import suggested
from keras_winit._references import BALDUZZI
from keras_winit.initializers import Mirrored, Orthogonal
from keras_winit.initializers._equivalents import changed

# Why, by whether a kernel takes pairs and whether it makes them.
_REASONS = {
    (False, True): "pairs of units see z and -z: {} follows, and f(z) - f(-z) is linear",
    (True, True): "takes f(-z) from f(z), which is linear in z, and makes new pairs for {}",
    (True, False): "takes f(-z) from f(z), which is linear in z",
}


def mirrored(initializer):
    """Returns the scheme of pairs wherever they make the network linear, the rest as suggested.

    Args:
        initializer: A `Mirrored`: what draws the half of each kernel, and times what gain.
    """

    # What widens is to keep the size of each unit, not that of the whole.
    is_default = initializer.initializer == "orthogonal"
    inner = Orthogonal(mode="fan_in") if is_default else initializer.initializer

    def scheme(network, keep):
        chosen = {choice.weight: choice for choice in suggested(network, keep)}
        kept = {weight for weight, choice in chosen.items() if choice.instead_of is not None}
        for weight, pairing in pairings(network, kept if keep else ()).items():
            of_weight = Mirrored(
                inner,
                initializer.gain / pairing.gain,
                first=not pairing.takes,
                last=not pairing.makes,
                input_blocks=pairing.blocks,
            )
            reason = _REASONS[pairing.takes, pairing.makes].format(network.after(weight).name)
            chosen[weight] = Choice(weight, of_weight, reason, str(BALDUZZI))
            bias = network.bias(weight.layer)
            if bias is not None:  # not that of a critical point
                chosen[bias] = from_layer(bias)
        return list(chosen.values())

    return scheme


def looks_linear(initializer):
    """Returns the scheme of `LooksLinear` for every kernel that it fits, the rest as suggested.

    Units before a rectifier come in pairs that see the opposite of each other. A kernel whose
    inputs are such pairs takes one half from the other; that of an output, or one that no
    rectifier follows, makes no new ones.

    Args:
        initializer: A `LooksLinear`, of which the gain counts.
    """

    def scheme(network, keep):
        choices = [
            choice if choice.weight.is_kernel else from_layer(choice.weight)
            for choice in suggested(network, keep)
        ]
        makers = {
            choice.weight.layer: choice.weight.sizes[2]
            for choice in choices
            if _makes_pairs(choice.weight, network) and choice.weight.sizes[3] == 1
        }
        return [_looks_linear(choice, network, initializer, makers) for choice in choices]

    return scheme


def _is_rectified(weight, network):
    """Whether a rectifier follows a kernel, and nothing is added in between."""
    around = network.around(weight.layer)
    has_gates = weight.is_in_cell and weight.kernel.blocks > 1
    is_between = not around.is_output and not around.added and not weight.in_attention
    return is_between and not has_gates and network.after(weight).is_rectifier


def _makes_pairs(weight, network):
    is_kernel = weight.kernel is not None and weight.role in ("kernel", "recurrent")
    return is_kernel and _is_rectified(weight, network) and weight.sizes[2] % 2 == 0


def _sees_pairs(weight, network, makers):
    _, inputs, _, batch = weight.sizes
    if weight.role == "recurrent":  # its own outputs
        return makers.get(weight.layer) == inputs
    if batch > 1 or weight.kernel != _network.kernels_of(weight.layer)[0]:
        return False
    sources = network.fed_by(weight.layer)
    return bool(sources) and all(makers.get(source) == inputs for source in sources)


def _looks_linear(choice, network, initializer, makers):
    weight = choice.weight
    if weight.kernel is None or weight.role not in ("kernel", "recurrent"):
        return choice
    sees_pairs = _sees_pairs(weight, network, makers)
    if _makes_pairs(weight, network):
        reason = "pairs of units see the opposite of each other"
        if not sees_pairs:
            reason += "; the inputs are no such pairs"
        return Choice(weight, changed(initializer, first=not sees_pairs), reason, str(BALDUZZI))
    if sees_pairs and not weight.in_attention:
        reason = "takes the halves of its inputs, which are mirrored, from each other"
        told = changed(initializer, first=False, last=True)
        return Choice(weight, told, reason, str(BALDUZZI))
    if not _is_rectified(weight, network):
        return choice
    number = weight.sizes[2]
    return dataclasses.replace(choice, reason=f"{number} units are no pairs; {choice.reason}")
