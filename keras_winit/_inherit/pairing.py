"""Which layer of another model each layer of a model is: by kind, order and name."""

import re

from keras_winit._network import kernels_of, snake_case, walk

# What layers that may be a pair have in common, from what counts most.
_WEIGHTS, _NAME, _PLACE, _TAPS, _ANYTHING = 10, 4, 3, 2, 1


def paired(network, source):
    """Returns the layer of another `Network` for each layer of a `Network` that has one there.

    Layers inside of layers are paired where those are. Of layers beside each other those are that
    are of one kind and keep their order, as many as possible: first of all those with weights, then
    those whose authors gave them the same name, and outputs and what comes behind all residual
    branches with such. Where one model has more of a kind, its first ones have a partner.
    """
    found, waiting = {}, [(network.model, source.model)]
    trees = [(each, _inside(each.model)) for each in (network, source)]
    while waiting:
        layer, other = waiting.pop()
        if layer in found:  # shared
            continue
        found[layer] = other
        beside = [
            [_Token(inner, each) for inner in tree[outer]]
            for (each, tree), outer in zip(trees, (layer, other), strict=True)
        ]
        waiting.extend(_in_order(*beside))
    return found


class _Token:
    """What counts of a layer where it is paired.

    Attributes:
        layer: The layer.
        kind: What has to be equal.
        has_weights: Whether it has some.
        name: Its name, `None` where Keras gave it.
        place: Whether it gives an output, and comes behind all residual branches.
        taps: Sizes of its kernels' taps.
    """

    def __init__(self, layer, network):
        own = (layer.weights and kernels_of(layer)) or ()
        ranks = tuple(len(getattr(layer, kernel.weight).shape) for kernel in own)
        is_output = bool(own) and network.around(layer).is_output
        is_past = bool(layer.weights) and network.is_past_branches(layer)
        self.layer, self.has_weights = layer, bool(layer.weights)
        self.kind = type(layer).__name__, ranks
        self.place = is_output, is_past
        base = re.escape(snake_case(type(layer).__name__))
        self.name = None if re.fullmatch(rf"{base}(_\d+)?", layer.name) else layer.name
        self.taps = getattr(layer, "kernel_size", None)

    def likeness(self, other):
        """Returns how much it has in common with another one, 0 if they are no pair."""
        if self.kind != other.kind:
            return 0
        has_name = self.name is not None and self.name == other.name
        has_taps = self.taps is not None and self.taps == other.taps
        has_place = self.place == other.place
        alike = _WEIGHTS * self.has_weights + _NAME * has_name + _PLACE * has_place
        return _ANYTHING + alike + _TAPS * has_taps


def _inside(model):
    """Returns for each layer of a model those that are inside of it, but of none of these."""
    parents, order = {}, list(walk(model))
    for layer in order:  # outer ones first
        parents.update((inner, layer) for inner in walk(layer) if inner is not layer)
    tree = {layer: [] for layer in order}
    for layer in order[1:]:
        tree[parents[layer]].append(layer)
    return tree


def _in_order(tokens, others):
    """Yields the pairs of layers with the most in common that keep the order of both."""
    best = [[0] * (len(others) + 1) for _ in range(len(tokens) + 1)]
    for row, token in reversed([*enumerate(tokens)]):
        for column, other in reversed([*enumerate(others)]):
            likeness = token.likeness(other)
            with_both = likeness and likeness + best[row + 1][column + 1]
            best[row][column] = max(with_both, best[row + 1][column], best[row][column + 1])
    row = column = 0
    while row < len(tokens) and column < len(others):
        likeness = tokens[row].likeness(others[column])
        if likeness and best[row][column] == likeness + best[row + 1][column + 1]:
            yield tokens[row].layer, others[column].layer
            row, column = row + 1, column + 1
        elif best[row][column] == best[row][column + 1]:
            column += 1
        else:
            row += 1
