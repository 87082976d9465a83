"""Layers that a deeper model has besides: started so that its outputs stay as they are."""

import numpy as np

from keras_winit._activations.activation import NOTHING
from keras_winit._network import is_affine
from keras_winit.initializers import Identity
from keras_winit.initializers._for_weight import fill


def new_layers(network, known):
    """Returns what weights of new layers get: weight -> (function to its values, words).

    The last kernel of a residual branch in which all is new is zero, so that the branch adds
    nothing: what comes before it may be anything. Others become the identity where they can be:
    where they give as many units as they take, place by place, and what follows leaves these as
    they are. All else is left as it is.

    Args:
        network: The `Network` of the deeper model.
        known: Set of its layers that are not new.
    """
    branches, found = _branches(network), {}
    for weight in network.kernels:
        if weight.layer in known:
            continue
        branch = network.around(weight.layer).branch
        if branch is not None and known.isdisjoint(branches[branch.number]):
            is_end = branch.is_last and weight.ends_layer
            for each in network.layers[weight.layer]:
                words = "zero, ends a branch" if is_end else "in a branch that starts at zero"
                found[each] = (_zeros(each) if is_end else None), words
        elif _may_be_identity(network, weight):
            found[weight] = _identity(weight), "the identity"
            bias = network.bias(weight.layer)
            if bias is not None:
                found[bias] = _zeros(bias), "zero"
    if not branches:
        found.update(_of_batch_normalization(network, known))
    return found


def _branches(network):
    """Returns the layers with kernels in each residual branch, by its number."""
    found = {}
    for weight in network.kernels:
        branch = network.around(weight.layer).branch
        if branch is not None:
            found.setdefault(branch.number, set()).add(weight.layer)
    return found


def _may_be_identity(network, weight):
    kernel, (taps, inputs, outputs, _) = weight.kernel, weight.sizes
    axes = weight.structure[1]
    is_square = inputs == outputs and len(axes.input) == len(axes.output) == 1 and not axes.batch
    keeps_places = not kernel.transposed and kernel.stride == 1
    keeps_size = taps == 1 or getattr(weight.layer, "padding", None) == "same"
    is_map = is_affine(weight.layer) and not weight.in_attention
    return is_map and is_square and keeps_places and keeps_size and _is_kept(network, weight)


def _is_kept(network, weight):
    """Whether the activation that follows leaves what a kernel takes as it is."""
    activation = network.after(weight)
    if activation is NOTHING:
        return True
    is_normalized = any(network.normalized_by(weight.layer))
    names = {activation.name, network.before(weight).name}
    return names == {"relu"} and not is_normalized


def _of_batch_normalization(network, known):
    """Yields what has new layers give what they take, but for training: they then normalize it."""
    for layer, weights in network.layers.items():
        if layer in known or not hasattr(layer, "moving_variance"):
            continue
        for weight in weights:
            if weight.name == "gamma":
                scale = np.sqrt(1 + layer.epsilon)
                yield weight, (_constant(weight, scale), "the identity, but while training")


def _zeros(weight):
    return _constant(weight, 0.0)


def _constant(weight, value):
    return lambda: np.full(weight.shape, value, np.float32)


def _identity(weight):
    return lambda: fill(weight, Identity(), 0)
