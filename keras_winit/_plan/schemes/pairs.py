"""Networks of mirrored pairs: where in a model `Mirrored` or `LooksLinear` fits, and as what."""

import dataclasses

from keras_winit import _network
from keras_winit._plan.choice import Choice, from_layer
from keras_winit._plan.decisions import decide
from keras_winit._plan.keeping import kept
from keras_winit._plan.schemes.in_pairs import in_pairs, suggested_pairings
from keras_winit._plan.schemes.suggested import LINES, listed
from keras_winit._references import BALDUZZI
from keras_winit.initializers._equivalents import changed


def mirrored(initializer):
    """Returns the scheme of pairs wherever they make the network linear, the rest as suggested.

    Args:
        initializer: A `Mirrored`: what draws the half of each kernel, and times what gain.
    """
    lines = (*in_pairs(initializer), *LINES)

    def scheme(network, keep):
        found = suggested_pairings(network, keep or "none")
        chosen = decide(lines, network, found)
        or_kept = kept(chosen, network, keep or "special", zeros=True)
        pairs = zip(chosen, or_kept, strict=True)
        return [choice if choice.weight in found else other for choice, other in pairs]

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
            for choice in listed(network, keep)
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
