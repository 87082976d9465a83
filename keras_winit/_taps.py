"""Looks into a model while it runs: what every layer with a kernel makes of the signal.

For the time of a run, `call` of layers and operations, and the activations that layers apply
themselves, are replaced on the instances. What follows a layer is found by the tensors that go
from one to the next, so shared layers, nested and subclassed models need nothing of their own.
"""

import contextlib
from dataclasses import dataclass, field

import keras

from keras_winit import _gains, _layers, _statistics

ops = keras.ops


@dataclass
class Tapped:
    """One call of a layer with a kernel; the numbers are tensors on the device.

    Attributes:
        layer: The layer that was called.
        owners: The layers inside of it, itself included, that hold kernels.
        number: How many times it had been called before.
        activation: Function or layer that is applied to its output, or `None`.
        normalized: Whether a normalization comes between.
        preactivation: `summaries` of what the kernel gives.
        output: `summaries` of what is handed on, after normalization and activation.
        saturated: Fraction of the output that is saturated, or `None`.
        sample: Some values of the output.
        logit_std: That of the attention that it is the map of queries of, or `None`.
        num_keys: Number of keys of that attention.
        token_cosine: Mean cosine between the tokens that come into that attention.
    """

    layer: keras.Layer
    owners: list
    number: int
    activation: object = None
    normalized: bool = False
    preactivation: object = None
    output: object = None
    saturated: object = None
    sample: object = None
    logit_std: object = None
    num_keys: int | None = None
    token_cosine: object = None
    waiting: object = field(default=None, repr=False)


class Taps:
    """Watches the calls of a model inside of `with taps.on(tap)`.

    Args:
        model: The model.
        graph: Its `Graph`, for activations that are functions in the code of a user's layer.
        change: Function of a layer, its arguments and its call to the output to go on with;
            for runs that alter the model as it goes. Defaults to `None`.

    Attributes:
        tapped: A `Tapped` for every call of a layer with a kernel in the last run that was watched,
            in the order of the calls.
    """

    def __init__(self, model, graph, change=None):
        self.model, self.graph, self.change = model, graph, change
        self.tapped = []

    @contextlib.contextmanager
    def on(self, tap, is_watched=True):
        """Replaces calls, and puts them back.

        Args:
            tap: Function that every float output of a kernel goes through.
            is_watched: Whether to take statistics, or only to tap.
        """
        self.tap, self.is_watched = tap, is_watched
        self._now, self._open, self._calls, self._produced = [], {}, {}, {}
        if is_watched:
            self.tapped = self._now
        replaced = []

        def replace(instance, name, value):
            held = vars(instance)
            replaced.append((held, name, held.get(name, replaced)))
            held[name] = value

        try:
            for operation, owners in _watchable(self.model):
                call = operation.call
                if owners:
                    replace(operation, "call", self._kernel_call(operation, owners, call))
                    fused = _layers.fused_activation(operation)
                    if fused is not None and not _layers.is_closed(operation):
                        replace(operation, "activation", self._activation(operation, fused))
                elif _layers.is_attention(operation):
                    replace(operation, "call", self._attention_call(call))
                else:
                    replace(operation, "call", self._following_call(operation, call))
            yield self
            self._finish()
        finally:
            for held, name, value in reversed(replaced):
                if value is replaced:
                    del held[name]
                else:
                    held[name] = value
            self._produced = {}

    def _kernel_call(self, layer, owners, call):
        def watched(*args, **kwargs):
            number = self._calls.get(id(layer), 0)
            self._calls[id(layer)] = number + 1
            tapped = Tapped(layer, owners, number)
            self._open[id(layer)] = tapped
            self._now.append(tapped)
            if self.change is not None:
                output = self.change(tapped, call, args, kwargs)
            else:
                output = call(*args, **kwargs)
            del self._open[id(layer)]
            if tapped.preactivation is None:
                output = _replace_first(output, lambda x: self._begin(tapped, x))
            return output

        return watched

    def _activation(self, layer, activation):
        def watched(x):
            tapped = self._open.get(id(layer))
            if tapped is None or not _is_float(x):
                return activation(x)
            x = self.tap(x)
            output = activation(x)
            tapped.activation = activation
            if self.is_watched:
                axis = _layers.unit_axis(layer)
                both = [_statistics.by_unit(each, axis) for each in (x, output)]
                tapped.preactivation, tapped.output = ops.unstack(_statistics.summaries(*both))
                self._take_output([tapped], output)
            else:
                tapped.preactivation = True
            return output

        return watched

    def _begin(self, tapped, x):
        """Takes the output of a kernel, to which nothing has been applied yet."""
        if not _is_float(x):
            return x
        x = self.tap(x)
        if self.is_watched:
            signal = _statistics.by_unit(x, _layers.unit_axis(tapped.layer))
            tapped.preactivation = _statistics.summaries(signal)[0]
            self._pass_on(x, [tapped])
        return x

    def _pass_on(self, x, many):
        for tapped in many:
            tapped.waiting = x
        # The tensor is kept, or another one could get its number.
        self._produced[id(x)] = (x, many)

    def _following_call(self, operation, call):
        def watched(*args, **kwargs):
            output = call(*args, **kwargs)
            if self._produced and self.is_watched:
                self._follow(operation, keras.tree.flatten((args, kwargs)), output)
            return output

        return watched

    def _follow(self, operation, inputs, output):
        many = []
        for each in inputs:
            _, found = self._produced.pop(id(each), (None, ()))
            many.extend(found)
        if not many or not ops.is_tensor(output):
            return
        activation = _layers.activation_of(operation)
        if activation is None:
            for tapped in many:
                tapped.normalized |= _layers.is_normalization(operation)
            self._pass_on(output, many)
            return
        for tapped in many:
            tapped.activation, tapped.waiting = activation, None
        self._take_output(many, output)

    def _take_output(self, many, output):
        """Takes the statistics of what is handed on."""
        if many[0].output is None:
            signal = _statistics.by_unit(output, _layers.unit_axis(many[0].layer))
            summary = _statistics.summaries(signal)[0]
            for tapped in many:
                tapped.output = summary
        limits = None
        if many[0].activation is not None:
            limits = _gains.saturation(many[0].activation)
        saturated = None if limits is None else _statistics.beyond(output, limits)
        sample = _statistics.sampled(output)
        for tapped in many:
            tapped.saturated, tapped.sample = saturated, sample

    def _attention_call(self, call):
        def watched(query, *args, **kwargs):
            before = len(self.tapped)
            output = call(query, *args, **kwargs)
            if self.is_watched:
                inner = {each.layer.name: each for each in self.tapped[before:]}
                maps = [inner.get(name) for name in ("query", "key")]
                if all(each is not None and len(each.waiting.shape) == 4 for each in maps):
                    of_query, of_key = maps
                    of_query.logit_std = _statistics.logit_std(of_query.waiting, of_key.waiting)
                    of_query.num_keys = of_key.waiting.shape[1]
                    if len(query.shape) == 3 and query.shape[1] > 1:
                        of_query.token_cosine = _statistics.cosine_of_tokens(query)
            return output

        return watched

    def _finish(self):
        """Takes what was not followed by an activation that could be seen."""
        if not self.is_watched:
            return
        for tapped in self.tapped:
            if tapped.output is not None or tapped.waiting is None:
                continue
            output, unchanged = tapped.waiting, not tapped.normalized
            around = self.graph.surroundings(tapped.layer)
            if unchanged and around.activation is not None and not around.normalized:
                # A function in the code of a user's layer.
                tapped.activation, unchanged = around.activation, False
                output = around.activation(output)
            if unchanged:
                tapped.output = tapped.preactivation
            tapped.waiting = None
            self._take_output([tapped], output)


def _is_float(x):
    return ops.is_tensor(x) and "float" in keras.backend.standardize_dtype(x.dtype)


def _replace_first(output, function):
    """Applies a function to a tensor, or to the first of several."""
    if isinstance(output, (tuple, list)):
        return type(output)([function(output[0]), *output[1:]])
    return function(output)


def _watchable(model):
    """Yields the layers and operations to watch, and the holders of kernels in each."""
    hidden = set()
    for layer in _layers.walk(model):
        if _layers.is_closed(layer):
            inner = [each for each in _layers.walk(layer) if each is not layer]
            hidden.update(map(id, inner))
    for layer in _layers.walk(model):
        if id(layer) in hidden:
            continue
        if _layers.is_closed(layer):
            owners = [each for each in _layers.walk(layer) if _layers.kernels(each)]
        else:
            owners = [layer] if _layers.kernels(layer) else []
        is_followed = _layers.is_transparent(layer) or _layers.activation_of(layer) is not None
        if owners or is_followed or _layers.is_attention(layer):
            yield layer, owners
        for operation in getattr(layer, "operations", ()):
            if not isinstance(operation, keras.Layer) and (
                _layers.is_transparent(operation) or _layers.activation_of(operation) is not None
            ):
                yield operation, []
