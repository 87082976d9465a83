"""Networks of mirrored pairs: where in a model `LooksLinear` fits, and as what."""

import dataclasses

from keras_winit import _network
from keras_winit._activations import gains
from keras_winit._plan.by_activation import RECTIFIERS
from keras_winit._plan.choice import Choice
from keras_winit.initializers._any import changed

BALDUZZI = "Balduzzi et al., 2017, https://arxiv.org/abs/1702.08591"


def mirrored(choices, graph, initializer):
    """Returns choices with `LooksLinear` for every kernel that it fits.

    Units before a rectifier come in pairs that see the opposite of each other. A kernel whose
    inputs are such pairs takes one half from the other; that of an output, or one that no
    rectifier follows, makes no new ones.

    Args:
        choices: What the other kernels get.
        graph: `Graph` of the model.
        initializer: A `LooksLinear`, of which the gain counts.
    """
    makers = {
        id(choice.weight.layer): _sizes(choice.weight)[2]
        for choice in choices
        if _makes_pairs(choice.weight, graph) and _sizes(choice.weight)[3] == 1
    }
    return [_mirrored(choice, graph, initializer, makers) for choice in choices]


def _sizes(weight):
    """Returns the sizes (taps, inputs, outputs, batch) of a kernel."""
    shape, axes = weight.kernel.structure(weight.variable.shape)
    return axes.sizes(shape)


def _is_rectified(weight, graph):
    """Whether a rectifier follows a kernel, and nothing is added in between."""
    around = graph.surroundings(weight.layer)
    has_gates = weight.is_in_cell and weight.kernel.blocks > 1
    if not weight.kernel.activated or around.activation is None or has_gates:
        return False
    is_between = not around.is_output and not around.added and not weight.in_attention
    return is_between and gains.name_of(around.activation) in RECTIFIERS


def _makes_pairs(weight, graph):
    is_kernel = weight.kernel is not None and weight.role in ("kernel", "recurrent")
    return is_kernel and _is_rectified(weight, graph) and _sizes(weight)[2] % 2 == 0


def _sees_pairs(weight, graph, makers):
    _, inputs, _, batch = _sizes(weight)
    if weight.role == "recurrent":  # its own outputs
        return makers.get(id(weight.layer)) == inputs
    if batch > 1 or weight.kernel != _network.kernels_of(weight.layer)[0]:
        return False
    sources = graph.fed_by(weight.layer)
    return bool(sources) and all(makers.get(id(source)) == inputs for source in sources)


def _mirrored(choice, graph, initializer, makers):
    weight = choice.weight
    if weight.kernel is None or weight.role not in ("kernel", "recurrent"):
        return choice
    sees_pairs = _sees_pairs(weight, graph, makers)
    if _makes_pairs(weight, graph):
        reason = "pairs of units see the opposite of each other"
        if not sees_pairs:
            reason += "; the inputs are no such pairs"
        return Choice(weight, changed(initializer, first=not sees_pairs), reason, BALDUZZI)
    if sees_pairs and not weight.in_attention:
        reason = "takes the halves of its inputs, which are mirrored, from each other"
        told = changed(initializer, first=False, last=True)
        return Choice(weight, told, reason, BALDUZZI)
    if not _is_rectified(weight, graph):
        return choice
    number = _sizes(weight)[2]
    return dataclasses.replace(choice, reason=f"{number} units are no pairs; {choice.reason}")
