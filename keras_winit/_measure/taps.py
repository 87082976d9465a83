"""Looks into a model while it runs: what every layer with a kernel makes of the signal.

For the time of a run, `call` of layers and operations, and the activations that layers apply
themselves, are replaced on the instances. What follows a layer is found by the tensors that go
from one to the next, so shared layers, nested and subclassed models need nothing of their own.
"""

import contextlib
from dataclasses import dataclass, field

import keras

from keras_winit import _backends, _network
from keras_winit._activations.activation import Activation
from keras_winit._keras_private import replace
from keras_winit._measure import statistics

ops = keras.ops


@dataclass
class Tapped:
    """One call of a layer with a kernel; numbers are places in `Reductions`.

    Attributes:
        layer: The layer that was called.
        owners: The layers inside of it, itself included, that hold kernels.
        number: How many times it had been called before.
        tap: Which tap its output went through, by their order; `None` if it gives no floats.
        activation: The `Activation` that is applied to its output, or `None`.
        normalized: Whether a normalization comes between.
        preactivation: `signal` of what the kernel gives; of a layer that runs others in a loop, of
            what that gives.
        output: `signal` of what is passed on, after normalization and activation.
        directions: `directions` of the output, where it has one vector for each sample, or `None`.
        by_unit: The largest magnitude of each unit of the output, where that is asked for and an
            activation is applied, or `None`.
        saturated: Fraction of the output that is saturated, or `None`.
        logit_std: That of the attention that it is the map of queries of, or `None`.
        num_keys: Number of keys of that attention.
        token_cosine: Mean cosine between the tokens that come into that attention.
    """

    layer: keras.Layer
    owners: list
    number: int
    tap: int | None = None
    activation: Activation | None = None
    normalized: bool = False
    preactivation: int | None = None
    output: int | None = None
    directions: int | None = None
    by_unit: int | None = None
    saturated: int | None = None
    logit_std: int | None = None
    num_keys: int | None = None
    token_cosine: int | None = None
    waiting: object = field(default=None, repr=False)

    @property
    def path(self):
        """The path of the layer, with a number from its second call on."""
        path = self.layer.path
        return path if self.number == 0 else f"{path}#{self.number + 1}"


class Taps:
    """Watches the calls of a model inside of `with taps.on(tap)`.

    Args:
        network: The `Network` of the model.
        reductions: `Reductions` for the statistics. Defaults to `None`, for none: only to tap.
        by_unit: Whether to take what each unit gives as well. Defaults to `False`.

    Attributes:
        tapped: A `Tapped` for every call of a layer with a kernel in the last run, in the order
            of the calls.
        hidden: Set of the layers with a kernel whose calls had no values to see in the last run:
            in loops, branches and functions that JAX compiles, or maps over.
    """

    def __init__(self, network, reductions=None, *, by_unit=False):
        self.network, self.reductions, self._by_unit = network, reductions, by_unit
        self.tapped, self.hidden = [], set()
        self._layers = list(_network.walk(network.model))
        self._watched = list(_watchable(self._layers))

    @contextlib.contextmanager
    def on(self, tap):
        """Replaces calls, and puts them back.

        Args:
            tap: Function of a `Tapped` and the float output of its kernel to what to go on with.
        """
        self._tap, self._num_taps = tap, 0
        self.tapped, self.hidden = [], set()
        self._open, self._calls, self._produced, self._vectors = {}, {}, {}, {}
        with _network.restored(self.network.model), self._seeing():
            for layer in self._layers:
                # What runs again in the backward pass would be tapped twice.
                replace(layer, "rematerialized_call", lambda call, *args, **kwargs: call)
            for operation, owners, activation in self._watched:
                name = "quantized_call" if _network.is_quantized(operation) else "call"
                call = getattr(operation, name)
                if owners:
                    replace(operation, name, self._kernel_call(operation, owners, call))
                    if activation is not None:
                        replace(operation, "activation", self._activation(operation, activation))
                elif self.reductions is None:
                    continue
                elif _network.is_attention(operation):
                    replace(operation, name, self._attention_call(call))
                else:
                    replace(operation, name, self._following_call(operation, activation, call))
            yield self
            self._finish()
        self._produced, self._vectors = {}, {}

    @contextlib.contextmanager
    def _seeing(self):
        """A context that raises if layers were hidden, and something failed or nothing was seen."""
        try:
            yield
        except Exception as error:
            if self.hidden:
                raise self._nothing_to_see() from error
            raise
        if self.hidden and not self.tapped:
            raise self._nothing_to_see()

    def _nothing_to_see(self):
        model = self.network.model
        inside = _network.network_inside(model, self.hidden)
        return ValueError(
            "`model` should run its layers where their signals can be seen. Received: "
            f"model={model.name!r}, which runs them in a loop, or a function, that JAX compiles. "
            f"Give {inside or 'one that runs them outside of it'}."
        )

    def _kernel_call(self, layer, owners, call):
        def watched(*args, **kwargs):
            if not all(map(_backends.has_values, keras.tree.flatten((args, kwargs)))):
                self.hidden.update(owners)
                return call(*args, **kwargs)
            number = self._calls.get(layer, 0)
            self._calls[layer] = number + 1
            tapped = Tapped(layer, owners, number)
            self.tapped.append(tapped)
            self._open[layer] = tapped
            output = call(*args, **kwargs)
            del self._open[layer]
            if tapped.tap is None:
                output = replace_first(output, lambda x: self._begin(tapped, x))
            return output

        return watched

    def _activation(self, layer, activation):
        def watched(x):
            tapped = self._open.get(layer)
            if tapped is None or tapped.tap is not None or not _is_float(x):
                return activation.function(x)
            x = self._through_tap(tapped, x)
            output = activation.function(x)
            tapped.activation = activation
            if self.reductions is not None:
                tapped.preactivation = self._signal(x, layer)
                self._take_output([tapped], output)
            return output

        return watched

    def _through_tap(self, tapped, x):
        tapped.tap = self._num_taps
        self._num_taps += 1
        return self._tap(tapped, x)

    def _signal(self, x, layer):
        return self.reductions.add(statistics.signal, x, unit_axis=_network.unit_axis(layer))

    def _keep(self, tapped, output):
        if len(output.shape) == 2:
            self._vectors[id(tapped)] = output

    def _take_directions(self):
        """Compares what layers pass on with what the first of them does."""
        found = [each for each in self.tapped if id(each) in self._vectors]
        for tapped in found:
            pair = [self._vectors[id(each)] for each in (tapped, found[0])]
            if pair[0].shape[0] == pair[1].shape[0]:
                tapped.directions = self.reductions.add(statistics.directions, *pair)

    def _begin(self, tapped, x):
        """Takes the output of a kernel, to which nothing has been applied yet."""
        x = self._through_tap(tapped, x)
        if self.reductions is not None:
            tapped.preactivation = self._signal(x, tapped.layer)
            self._pass_on(x, [tapped])
        return x

    def _pass_on(self, x, many):
        for tapped in many:
            tapped.waiting = x
        # The tensor is kept, or another one could get its number.
        self._produced[id(x)] = (x, many)

    def _following_call(self, operation, activation, call):
        def watched(*args, **kwargs):
            output = call(*args, **kwargs)
            if self._produced:
                self._follow(operation, activation, keras.tree.flatten((args, kwargs)), output)
            return output

        return watched

    def _follow(self, operation, activation, inputs, output):
        many = []
        for each in inputs:
            _, found = self._produced.pop(id(each), (None, ()))
            many.extend(found)
        if not many or not ops.is_tensor(output) or not _backends.has_values(output):
            return
        if activation is None:
            for tapped in many:
                tapped.normalized |= _network.is_normalization(operation)
            self._pass_on(output, many)
            return
        for tapped in many:
            tapped.activation, tapped.waiting = activation, None
        self._take_output(many, output)

    def _take_output(self, many, output):
        """Takes the statistics of what is passed on."""
        place, by_unit, saturated = self._signal(output, many[0].layer), None, None
        if self._by_unit:
            unit_axis = _network.unit_axis(many[0].layer)
            by_unit = self.reductions.add(statistics.by_unit, output, unit_axis=unit_axis)
        activation = many[0].activation
        if activation is not None and activation.saturation is not None:
            low, high = activation.saturation
            saturated = self.reductions.add(statistics.beyond, output, low=low, high=high)
        for tapped in many:
            tapped.output, tapped.by_unit, tapped.saturated = place, by_unit, saturated
            self._keep(tapped, output)

    def _attention_call(self, call):
        def watched(*args, **kwargs):
            before = len(self.tapped)
            output = call(*args, **kwargs)
            inner = {each.layer.name: each for each in self.tapped[before:]}
            maps = [inner.get(name) for name in ("query", "key")]
            if all(
                each and each.waiting is not None and len(each.waiting.shape) == 4 for each in maps
            ):
                of_query, of_key = maps
                of_query.logit_std = self.reductions.add(
                    statistics.logit_std, of_query.waiting, of_key.waiting
                )
                of_query.num_keys = of_key.waiting.shape[1]
                query = args[0] if args else kwargs.get("query")
                if query is not None and len(query.shape) == 3 and query.shape[1] > 1:
                    of_query.token_cosine = self.reductions.add(statistics.token_cosine, query)
            return output

        return watched

    def _finish(self):
        """Takes what was not followed by an activation that could be seen."""
        if self.reductions is None:
            return
        for tapped in self.tapped:
            output, tapped.waiting = tapped.waiting, None
            if tapped.output is not None or output is None:
                continue
            layer = _network.distributed(tapped.layer)
            around = self.network.around(layer, tapped.number)
            if around.fused is not None:
                # Applied out of sight, as in a cell.
                tapped.activation = around.fused
            elif around.normalized == tapped.normalized and not around.added:
                # A function in the code of a user's layer.
                tapped.activation = around.activation
                if around.activation is not None:
                    output = around.activation.function(output)
            if tapped.activation is not None or tapped.normalized:
                self._take_output([tapped], output)
            else:
                tapped.output = tapped.preactivation
                self._keep(tapped, output)
        self._take_directions()


def _is_float(x):
    return ops.is_tensor(x) and "float" in keras.backend.standardize_dtype(x.dtype)


def replace_first(output, function):
    """Applies a function to the first float tensor of a structure."""
    leaves = keras.tree.flatten(output)
    for number, each in enumerate(leaves):
        if _is_float(each):
            leaves[number] = function(each)
            return keras.tree.pack_sequence_as(output, leaves)
    return output


def _watchable(layers):
    """Yields the layers and operations to watch, the holders of kernels in each, the activation.

    That is the one that a layer applies where it can be replaced, or the one that it is.
    """
    closed = {layer: list(_network.walk(layer)) for layer in layers if _network.is_closed(layer)}
    hidden = {each for layer, inside in closed.items() for each in inside if each is not layer}
    for layer in layers:
        if layer in hidden:
            continue
        owners = [each for each in closed.get(layer, [layer]) if _network.kernels_of(each)]
        if owners:
            yield layer, owners, None if layer in closed else _network.fused_activation(layer)
        elif layer not in closed:
            yield from _followers(layer)


def _followers(layer):
    """Yields a layer, and the operations of a model, where they may follow a kernel."""
    operations = getattr(layer, "operations", ())
    for each in (layer, *(each for each in operations if not isinstance(each, keras.Layer))):
        activation = _network.activation_of(each)
        if activation is not None or _network.is_transparent(each) or _network.is_attention(each):
            yield each, [], activation
