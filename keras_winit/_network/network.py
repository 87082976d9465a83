"""A model as this package sees it, read once for all that a verb asks of it."""

import fnmatch
import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_winit import _checks
from keras_winit._activations.activation import NOTHING, Activation
from keras_winit._network.gates import Gated
from keras_winit._network.graph import Graph, Surroundings, has_graph
from keras_winit._network.kernels import kernels_of, walk
from keras_winit._network.operations import is_alpha_dropout, steps_to_last_state
from keras_winit._network.takers import Takers
from keras_winit._network.weights import Weight, weights_of
from keras_winit.typing import Names

# Networks without normalization or shortcuts need more than the right variance from here on.
DEEP = 20


class Network:
    """The weights of a model and what lies around each.

    Args:
        model: Built Keras model or layer.
        anew: Whether it is to start anew: its weights then count with what their layers start them
            with. Defaults to `False`: all count with the values they have.
        only: What alone is to start anew, as `select` takes it. Defaults to `None`, for all.

    Attributes:
        model: The model.
        weights: A `Weight` for every variable, each once, in the order of the model.
        starting: The weights that are to start anew and can: frozen ones stay.
        problem: Why the graph of the model could not be read in full, or `None`.
        depth: Largest number of layers with a kernel on a path.
        num_branches: Number of residual branches.
        is_plain: Whether it has neither normalization layers nor residual branches.
        gives_places: Whether an output has more axes than samples and units.

    Raises:
        TypeError: If `model` is no Keras model or layer.
    """

    def __init__(
        self, model: keras.Layer, *, anew: bool = False, only: Names | None = None
    ) -> None:
        if not isinstance(model, keras.Layer):
            raise TypeError(f"`model` should be a Keras model. Received: model={model!r}.")
        self.model: keras.Layer = model
        self.weights: list[Weight] = weights_of(model)
        asked = self.weights if only is None else self.select(only, argument="only")
        self.starting: set[Weight] = {w for w in asked if not w.skip and not w.is_frozen}
        self._graph = Graph(model, anew=self.weights if anew else ())
        self._around = {}
        self.problem: str | None = self._graph.problem
        self.depth: int = self._graph.depth
        self.num_branches: int = self._graph.num_branches
        self.is_plain: bool = not self._graph.normalized and not self.num_branches
        self.gives_places: bool = self._graph.gives_places

    @property
    def is_deep(self) -> bool:
        """Whether it is plain and too deep for variances alone to be right."""
        return self.is_plain and self.depth > DEEP

    @functools.cached_property
    def has_taps(self) -> bool:
        """Whether some kernel is a convolution's that sees more than one place."""
        return any(weight.structure[1].spatial for weight in self.kernels)

    @functools.cached_property
    def has_alpha_dropout(self) -> bool:
        """Whether units are set to a value of size 1, in which a small signal is lost."""
        return any(is_alpha_dropout(layer) for layer in walk(self.model))

    @functools.cached_property
    def is_linear(self) -> bool:
        """Whether it is plain, and nothing but straight lines follows a kernel before outputs."""
        return self.is_plain and all(
            self.after(weight).is_linear or self.around(weight.layer).is_output
            for weight in self.kernels
        )

    @functools.cached_property
    def kernels(self) -> list[Weight]:
        """The weights that are kernels of layers; those of LoRA, which are added, are not."""
        return [weight for weight in self.weights if weight.is_kernel]

    def around(self, layer: keras.Layer, again: int = 0) -> Surroundings:
        """Returns the `Surroundings` of a layer, as far as the graph tells.

        Args:
            layer: The layer.
            again: Which of its calls, from 0; the last one for all that come after.
        """
        if (layer, again) not in self._around:
            self._around[layer, again] = self._graph.surroundings(layer, again)
        return self._around[layer, again]

    def fed_by(self, layer: keras.Layer) -> list[Any]:
        """Returns for each call of a layer which one it has its inputs from; see `Graph`."""
        return self._graph.fed_by(layer)

    def normalized_by(self, layer: keras.Layer) -> list[keras.Layer | None]:
        """Returns for each call of a layer the normalization before it; see `Graph`."""
        return self._graph.normalized_by(layer)

    def feeds(self, layer: keras.Layer) -> list[keras.Layer] | None:
        """Returns the layers that take what a layer gives, unit by unit; see `Graph`."""
        return self._graph.feeds(layer)

    def is_past_branches(self, layer: keras.Layer) -> bool:
        """Whether no residual branch ends behind a layer; see `Graph`."""
        return self._graph.is_past_branches(layer)

    def units(self, gives: Callable[[Any, Any], Any]) -> dict[Any, Any]:
        """Returns the units of another network that each layer takes; see `units.carried`."""
        return self._graph.units(gives)

    def takers(self, layer: keras.Layer) -> Takers:
        """Returns who takes the units of a layer; see `Takers`."""
        return self._graph.takers(layer)

    def after(self, weight: Weight) -> Activation:
        """Returns the `Activation` of what a kernel gives, `NOTHING` where none follows it."""
        is_activated = weight.kernel is not None and weight.kernel.activated
        activation = self.around(weight.layer).activation if is_activated else None
        return NOTHING if activation is None else activation

    def before(self, weight: Weight) -> Activation:
        """Returns the `Activation` of what a kernel takes, `NOTHING` where that is not one."""
        sources = self.fed_by(weight.layer)
        found = {source and self.around(source).activation for source in sources}
        return found.pop() or NOTHING if len(found) == 1 else NOTHING

    @functools.cached_property
    def layers(self) -> dict[keras.Layer, list[Weight]]:
        """The layers that own weights, each with a list of them."""
        found = {}
        for weight in self.weights:
            found.setdefault(weight.layer, []).append(weight)
        return found

    def bias(self, layer: keras.Layer) -> Weight | None:
        """Returns the bias of a layer, `None` if it has none."""
        of_layer = self.layers.get(layer, ())
        return next((weight for weight in of_layer if weight.role == "bias"), None)

    @functools.cached_property
    def steps_to_last_state(self) -> dict[keras.Layer, int]:
        """The cells of recurrent layers whose last state alone is handed on, with its steps."""
        found = {layer: steps_to_last_state(layer) for layer in walk(self.model)}
        return {layer.cell: steps for layer, steps in found.items() if steps}

    @functools.cached_property
    def positions(self) -> dict[Weight, list[keras.Layer]]:
        """The tables that are added to a signal, with the layers with kernels it comes from."""
        found = self._graph.positions()
        return {
            weight: found[of]
            for weight in self.weights
            for of in (id(weight.variable), id(weight.layer))
            if of in found and weight.role in ("embedding", "other")
        }

    @functools.cached_property
    def gates(self) -> dict[keras.Layer, Gated]:
        """The layers that give a value, an activated gate or both, each with their product."""
        return self._graph.gates()

    def is_multiplied(self, layer: keras.Layer) -> bool:
        """Whether other signals are multiplied by all that a layer gives, f(z) or 1 - f(z)."""
        return self._graph.is_multiplied(layer)

    def heaviest_path(self, weigh: Callable[[Any], float]) -> float:
        """Returns the largest sum, along a path, of what `weigh` gives for an operation."""
        return self._graph.heaviest_path(weigh)

    @functools.cached_property
    def endings(self) -> list[tuple[keras.Layer | None, list[Any]]]:
        """For each output the layer of the last kernel, and what is called behind it, in order.

        The layer is `None` where several go into the output.
        """
        return self._graph.endings()

    @functools.cached_property
    def vocabularies(self) -> dict[int, int]:
        """The number of tokens that each input is looked up among, by its place."""
        return self._graph.vocabularies()

    def select(self, names: Names, argument: str) -> list[Weight]:
        """Returns the weights that have, or whose layer has, one of the names, paths or patterns.

        Args:
            names: String or list of strings.
            argument: Name of the argument that they were given as, for errors.
        """
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(
                f"`{argument}` should be the name, path or pattern of a layer or weight, or a "
                f"list of them. Received: {argument}={names!r}."
            )
        found = []
        for name in names:
            matches = [weight for weight in self.weights if _matches(weight, name)]
            if not matches:
                known = {n for weight in self.weights for n in (*weight.within, weight.path)}
                raise ValueError(
                    f"`{argument}` should be the name, path or pattern of a layer or weight. "
                    f"Received: {argument}={name!r}.{_checks.did_you_mean(name, sorted(known))}"
                )
            found.extend(matches)
        return found

    def check_built(self) -> None:
        """Raises if a layer of the model has no weights yet."""
        unbuilt = [
            layer.name
            for layer in walk(self.model)
            # What is no part of the calls of a functional model will have no weights.
            if not has_graph(self.model) and not layer.built and _may_get_weights(layer)
        ]
        if unbuilt or not self.weights:
            raise ValueError(
                f"`model` should be built. Received: model={self.model.name!r}, "
                + (f"whose layer {unbuilt[-1]!r} is not" if unbuilt else "which has no weights")
                + ". Give it a `keras.Input`, or call it once on a batch."
            )


def _may_get_weights(layer):
    """Whether weights are to come: of an unknown class, where it says how it is built."""
    known = kernels_of(layer)
    return type(layer).build is not keras.Layer.build if known is None else bool(known)


def _matches(weight, name):
    path = weight.path
    return (
        name in (*weight.within, weight.layer.path)
        or path.startswith(f"{name}/")
        or f"/{name}/" in path
        or matches_path(weight, name)
    )


def matches_path(weight, name):
    """Whether a weight, and not only its layer, has this path or pattern."""
    path = f"/{weight.path}"  # of some models it starts with their name, which nobody writes
    return path.endswith(f"/{name}") or fnmatch.fnmatchcase(path, f"*/{name}")
