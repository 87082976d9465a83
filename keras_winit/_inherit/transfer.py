"""What each weight of a model gets from another model."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_winit import _backends
from keras_winit._inherit.new_layers import new_layers
from keras_winit._inherit.pairing import paired
from keras_winit._inherit.values import copies, shares, taken
from keras_winit._network import Weight, is_quantized, kernels_of
from keras_winit._network.units import spread
from keras_winit.constraints import SparsityMask


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What one weight gets.

    Attributes:
        weight: The `Weight`.
        other: The one of the source that it gets its values of, or `None`.
        what: What it gets, in words.
        values: Function to its new values, `None` where it is left alone.
        keeps_all: Whether nothing of the other one is left out.
    """

    weight: Weight
    what: str
    other: Weight | None = None
    values: Callable[[], np.ndarray] | None = None
    keeps_all: bool = False


def transfers(network, source, left):
    """Returns a `Transfer` for every weight of a `Network`, and what of the source has no place.

    Args:
        network: The `Network`.
        source: That of the model that it inherits from.
        left: Set of `Weight`s that are to be left alone.

    Raises:
        ValueError: If the layers of the models do not fit each other.
    """
    others = _others(paired(network, source), network, source)
    reader = _Reader(network, others)
    new = new_layers(network, {weight.layer for weight in others})
    found = []
    for number, weight in enumerate(network.weights):
        other = others.get(weight)
        if weight in left:
            each = Transfer(weight=weight, what="left alone: asked for")
        elif other is not None:
            each = reader.transfer(weight, other, f"inherit {number}")
        elif weight in new:
            values, what = new[weight]
            each = Transfer(weight=weight, what=f"new: {what}", values=values)
        else:
            each = Transfer(weight=weight, what="left alone: the source has no such layer")
        found.append(each)
    _check_gives(found, others, left, network, source)
    used = {id(other) for other in others.values()}
    return found, [weight for weight in source.weights if id(weight) not in used]


def _check_gives(found, others, left, network, source):
    """Raises if no kernel gets anything, but for those that are asked to be left alone."""
    pairs = [each for each in found if each.weight.is_kernel and each.weight in others]
    if not any(each.values is not None or each.weight in left for each in pairs):
        told = [f"{each.weight.path!r} is {each.what}" for each in pairs[:1]]
        reason = told[0] if told else "no layer with a kernel is like one of the model"
        raise ValueError(
            "`source` should be a model of the same kind of layers, narrower, wider, shallower or "
            f"deeper. Received: source={source.model.name!r}, of which nothing fits model "
            f"{network.model.name!r}: {reason}."
        )


def _others(partners, network, source):
    """Returns for each `Weight` the one in the partner of its layer: by place, or by name.

    Names of weights whose author gave none are numbers of the process.
    """
    found = {}
    for layer, other in partners.items():
        weights, waiting = network.layers.get(layer, ()), [*source.layers.get(other, ())]
        if len(weights) == len(waiting):
            found.update(zip(weights, waiting, strict=True))
            continue
        for weight in weights:
            match = next((each for each in waiting if each.name == weight.name), None)
            if match is not None:
                waiting.remove(match)
                found[weight] = match
    return found


class _Reader:
    """Finds for each axis of a weight which places of the other one it stands for.

    Args:
        network: The `Network`.
        others: Dict from a `Weight` to the one of the source.
    """

    def __init__(self, network, others):
        self._network, self._others = network, others
        self._by_name = {(weight.layer, weight.name): weight for weight in network.weights}
        self._positions = set(network.positions)
        self._foreign = self._with_foreign_outputs()
        self._units = network.units(self._gives)
        self._tied = self._before_tied_tables()

    def transfer(self, weight, other, key):
        """Returns the `Transfer` from one weight to another."""
        reason = self._reason_to_leave(weight, other)
        if reason is not None:
            return Transfer(weight=weight, what=f"left alone: {reason}")
        if len(weight.shape) != len(other.shape):
            raise _misfit(weight, other, "they have another number of axes")
        places, words = [], []
        for axis in range(len(weight.shape)):
            along, word = self._along(axis, weight, other)
            places.append(along)
            words.append(word)

        def values():
            return self._values(weight, other, places, key)

        sizes = zip(weight.shape, other.shape, words, strict=True)
        changed = [_in_words(*each) for each in sizes if each[0] != each[1]]
        return Transfer(
            weight=weight,
            what=", ".join(changed) or "copied",
            other=other,
            values=values,
            keeps_all=all(map(_covers, places, other.shape)),
        )

    def _reason_to_leave(self, weight, other):
        for each, whose in ((weight, ""), (other, " in the source")):
            if is_quantized(each.layer):
                return f"quantized to {each.layer.quantization_mode}{whose}"
            if "float" not in str(each.variable.dtype):
                return f"not a float{whose}"
            if 0 in each.shape:
                return f"it has no values{whose}"
        if not weight.may_change:
            return "fixed by the layer"
        if isinstance(weight.variable.constraint, SparsityMask):
            return "its SparsityMask belongs to the zeros it has"
        if weight.layer in self._foreign:
            return "another number of outputs"
        if self._reads_foreign_inputs(weight.layer):
            return "another number of inputs"
        return None

    def _along(self, axis, weight, other):
        """Returns the place for each index along an axis, -1 for none, and what these are."""
        number, size = weight.shape[axis], other.shape[axis]
        word = self._word(axis, weight)
        if word == "taps" and number != size:
            raise _misfit(weight, other, "their taps are of another size")
        if word == "rows":  # each belongs to a token, or a place: there is no other for it
            return np.where(np.arange(number) < size, np.arange(number), -1), word
        known = self._units.get(weight.layer, {})
        candidates = known.get(weight.name) or known.get(None) or []
        units = next((each for each in candidates if each.fits(number, size)), None)
        if units is None:
            self._check_inputs(word, weight, other, candidates, number)
        return (spread(number, size) if units is None else units.places), word

    def _check_inputs(self, word, weight, other, candidates, number):
        """Raises if what a layer takes is not what the other one takes, spread or selected."""
        is_alone = len(candidates) == 1 and not weight.in_attention and not weight.is_in_cell
        if word == "inputs" and is_alone and len(candidates[0].places) == number:
            raise _misfit(
                weight,
                other,
                f"what it takes would be {candidates[0].size} inputs there: another number of "
                "places is flattened, or other layers are put together",
            )

    def _word(self, axis, weight):
        last = len(weight.shape) - 1
        if weight in self._positions or weight.role == "embedding":
            return "units" if axis == last else "rows"
        if weight.kernel is None:
            return "units"
        axes = weight.structure[1]
        if axis in axes.spatial:
            return "taps"
        if axis in axes.input:
            return "inputs"
        has_rows = any(kernel.role == "embedding" for kernel in kernels_of(weight.layer) or ())
        return "rows" if has_rows else "outputs"

    def _values(self, weight, other, places, key):
        values = taken(_backends.view(other.variable), places)
        values *= self._factor(weight, other, places)
        inputs = [axis for axis in range(len(places)) if self._word(axis, weight) == "inputs"]
        several = {axis: places[axis] for axis in inputs if (copies(places[axis]) > 1).any()}
        if several:
            values *= shares(weight.shape, several, key=key)
        for axis in inputs:  # sums of fewer are smaller
            values *= max(1.0, math.sqrt(other.shape[axis] / weight.shape[axis]))
        if all((along >= 0).all() for along in places):
            return values
        own = np.array(_backends.view(weight.variable), values.dtype)
        kept = np.ix_(*(along >= 0 for along in places))
        own[kept] = values[kept]
        return own

    def _factor(self, weight, other, places):
        """Returns what makes up, along the last axis, for sums that no kernel of its own takes."""
        if weight.shape == other.shape:
            return 1.0
        number, size = weight.shape[-1], other.shape[-1]
        if weight.layer in self._tied:  # what reads the output is the table of the inputs
            return math.sqrt(size / number) if number < size else 1 / copies(places[-1])
        is_query = weight.in_attention and weight.layer.name == "query"
        if is_query and number > size:  # logits are divided by the root of the head size
            return math.sqrt(number / size) / copies(places[-1])
        return 1.0

    def _gives(self, layer, kernel):
        """Returns the number of a kernel's outputs, here and in the source; see `carried`."""
        weight = self._by_name.get((layer, kernel.weight))
        other = self._others.get(weight)
        if other is None or layer in self._foreign:
            return None
        axes = weight.structure[1]
        if axes.batch and not axes.input and weight.role != "embedding":
            _, _, number, _ = weight.sizes
            return number, other.sizes[2], True
        if len(axes.output) != 1:
            return None
        (_, _, number, blocks), (_, _, size, other_blocks) = weight.sizes, other.sizes
        if weight.role == "embedding":
            return number, size, False
        return number * blocks, size * other_blocks, False

    def _with_foreign_outputs(self):
        """Returns the layers that give outputs of the model of which the source has others.

        Where sizes within the models grow as they do, they are no classes, but a width.
        """
        widths, found = set(), {}
        for weight, other in self._others.items():
            if weight.kernel is None or weight.role != "kernel":
                continue
            sizes = tuple(each.sizes[2] * each.sizes[3] for each in (weight, other))
            if self._network.around(weight.layer).is_output and weight.ends_layer:
                found[weight.layer] = sizes
            else:
                widths.add(sizes)
        return {
            layer for layer, sizes in found.items() if sizes[0] != sizes[1] and sizes not in widths
        }

    def _reads_foreign_inputs(self, layer):
        """Whether a layer reads inputs of the model of which the source has another number."""
        known = self._units.get(layer, {})
        for weight in self._network.layers[layer]:
            other = self._others.get(weight)
            if other is None:
                continue
            for axis, (number, size) in enumerate(zip(weight.shape, other.shape, strict=False)):
                if self._word(axis, weight) in ("inputs", "units") and any(
                    each.are_inputs and len(each.places) == number and each.size != size
                    for each in known.get(weight.name) or []
                ):
                    return True
        return False

    def _before_tied_tables(self):
        """Returns the normalizations whose output is read by the table of the inputs alone."""
        found = set()
        for layer in self._network.layers:
            if getattr(layer, "tie_weights", False) and len(self._network.fed_by(layer)) > 1:
                found.update(filter(None, self._network.normalized_by(layer)))
        return found


def _covers(places, size):
    return len(np.unique(places[places >= 0])) == size


def _in_words(number, size, word):
    if word == "rows":
        return f"first {number} of {size} rows" if number < size else f"{size} of {number} rows"
    return f"{number} of {size} {word}" if number < size else f"{number} {word} for {size}"


def _misfit(weight, other, reason):
    layer = weight.layer
    return ValueError(
        f"Layer {layer.name!r} ({type(layer).__name__}), {weight.name} of shape {weight.shape}, "
        f"does not fit {other.path!r} of shape {other.shape} in the source: {reason}. Give "
        f"`leave={layer.name!r}` to keep what it has, or another source."
    )
