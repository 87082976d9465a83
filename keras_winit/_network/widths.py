"""How much wider a model is than another of the same code, weight by weight."""

import math
from dataclasses import dataclass

import keras

from keras_winit._network.network import Network
from keras_winit._network.weights import Weight

layers = keras.layers


@dataclass(frozen=True)
class Widths:
    """How many times the sizes of one weight are those of the base model's.

    Attributes:
        weight: The `Weight`.
        base: The one of the base model.
        inputs: Ratio of what one output sums: of a vector, or a table of vectors, 1.
        outputs: Ratio of what the weight gives, over all groups, gates and heads.
        share: What the weight is multiplied by, in place of what a layer of Keras does not multiply
            by: maps of queries for logits that are divided by the head size and not by its root,
            and the scale of a normalization whose output is read by the table of the input.
    """

    weight: Weight
    base: Weight
    inputs: float
    outputs: float
    share: float = 1.0

    @property
    def role(self):
        """What the weight is where widths grow: "input", "hidden", "output", "vector", "fixed"."""
        if self.inputs != 1:
            return "output" if self.outputs == 1 else "hidden"
        if self.outputs == 1:
            return "fixed"
        is_map = self.weight.kernel is not None
        return "input" if is_map else "vector"


def base_network(base_model):
    """Returns the `Network` of a base model, or raises what says that it is none."""
    if not isinstance(base_model, keras.Layer):
        raise TypeError(
            "`base_model` should be a Keras model: the one of the width that the learning rate was "
            f"tuned at. Received: base_model={base_model!r}."
        )
    base = Network(base_model, anew=True)
    try:
        base.check_built()
    except ValueError as error:
        raise ValueError(f"`base_model` is no base: {error}") from error
    return base


def widths(network, base):
    """Returns the `Widths` of every weight of a `Network`, by that of its base model.

    Raises:
        ValueError: If the models are not of the same code, or sizes grow that do not tell how.
    """
    if len(network.weights) != len(base.weights):
        raise _unlike(network, base, f"{len(base.weights)} weights", f"{len(network.weights)}")
    pairs = list(zip(network.weights, base.weights, strict=True))
    shares = {}
    for weight, other in pairs:
        if _is_tied(network, weight) and weight.shape != other.shape:
            shares[_last_normalization(network, weight)] = other.shape[-1] / weight.shape[-1]
    return {weight: _widths(network, base, weight, other, shares) for weight, other in pairs}


def _widths(network, base, weight, other, shares):
    kinds = [(type(each.layer), each.name, len(each.shape)) for each in (weight, other)]
    if kinds[0] != kinds[1]:
        raise _unlike(network, base, *map(_described, (other, weight)))
    if weight.kernel is not None:
        inputs, outputs = _of_kernel(network, base, weight, other)
    elif isinstance(weight.layer, layers.AdditiveAttention):  # its scale is summed over
        inputs, outputs = weight.shape[0] / other.shape[0], 1.0
    else:
        inputs, outputs = 1.0, _of_vectors(weight, other)
    share = shares.get(weight.layer) or _share_of_logits(weight, other)
    return Widths(weight, other, inputs, outputs, share)


def _of_kernel(network, base, weight, other):
    taps, inputs, outputs, blocks = weight.sizes
    other_taps, other_inputs, other_outputs, other_blocks = other.sizes
    if taps != other_taps:
        raise _unlike(network, base, *map(_described, (other, weight)))
    if weight.role == "embedding":  # a row for each token, of which there are no more
        return 1.0, outputs / other_outputs
    return inputs / other_inputs, (outputs * blocks) / (other_outputs * other_blocks)


def _of_vectors(weight, other):
    grown = [a / b for a, b in zip(weight.shape, other.shape, strict=True) if a != b]
    if len(grown) > 1:
        raise ValueError(
            f"weight {weight.path!r} of layer {weight.layer.name!r} ({type(weight.layer).__name__})"
            f" is of shape {weight.shape}, and {other.shape} in the base model: which of its axes "
            "are inputs is not known. Tell by `keras_winit.describe_layer`"
        )
    return math.prod(grown)


def _is_tied(network, weight):
    """Whether a weight is a table that reads the output as well."""
    layer = weight.layer
    is_tied = isinstance(layer, layers.ReversibleEmbedding) and layer.tie_weights
    return is_tied and (network.problem is not None or len(network.fed_by(layer)) != 1)


def _last_normalization(network, weight):
    """Returns the normalization before the table of a `Weight` reads the output."""
    found = [each for each in network.normalized_by(weight.layer) if each is not None]
    if len(found) != 1 or not isinstance(found[0], _WITH_SCALE) or not _has_scale(found[0]):
        raise ValueError(
            f"layer {weight.layer.name!r} reads the output by the table of the input, whose values "
            "should not shrink with width while logits by them should. Give it "
            "`tie_weights=False`, or what it reads from a `LayerNormalization` or "
            "`RMSNormalization` of its own, whose scale can shrink in their place"
        )
    return found[0]


_WITH_SCALE = (layers.LayerNormalization, layers.RMSNormalization)


def _has_scale(layer):
    return isinstance(layer, layers.RMSNormalization) or layer.scale


def _share_of_logits(weight, other):
    """Returns the root of how many times smaller heads were: Keras divides by that of their size.

    It has no argument for another divisor, so maps of queries take it over.
    """
    if not (weight.in_attention and weight.layer.name == "query"):
        return 1.0
    return math.sqrt(head_size(other.layer) / head_size(weight.layer))


def head_size(layer):
    """Returns that of a layer which is the map of queries of an attention layer, else 1."""
    is_query = isinstance(layer, layers.EinsumDense) and layer.name == "query"
    return int(layer.kernel.shape[-1]) if is_query else 1


def _described(weight):
    return f"{weight.path!r} of shape {weight.shape} in a {type(weight.layer).__name__}"


def _unlike(network, base, expected, received):
    return ValueError(
        "`base_model` should be the same network, narrower or wider: made by the same code, with "
        f"fewer or more units, filters or heads. Received: base_model={base.model.name!r} with "
        f"{expected}, where model {network.model.name!r} has {received}"
    )
