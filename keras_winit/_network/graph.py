"""The graph of a model: every call of a layer or operation, and what follows it."""

import contextlib
import functools
import inspect
import math
import operator
import traceback
from dataclasses import dataclass, field

import keras
import numpy as np

from keras_winit import _backends, _keras_private, _network
from keras_winit._activations.activation import Activation
from keras_winit._network.gates import gates
from keras_winit._network.positions import positions
from keras_winit._network.takers import takers
from keras_winit._network.units import carried

# What is tried where a model takes any size: steps of a sequence, pixels of a side.
_SIZES = (32, 8, 4, 128, 1024)
_BATCH_SIZE = 3


@dataclass
class Call:
    """One call of a layer or operation; `operation` is `None` for an input of the model.

    `variables` are those among its arguments, `shape` is that of its first output. `parts` are, for
    each input that is a part of the units of what was sliced, their numbers; else `None`.
    """

    operation: object
    inputs: list
    variables: list
    shape: tuple = ()
    parts: list = field(default_factory=list)
    consumers: list = field(default_factory=list)


@dataclass(frozen=True)
class Branch:
    """A residual branch: what is added to a shortcut.

    Attributes:
        number: Its place among the branches of the model, from 0.
        depth: Number of layers with a kernel in it.
        normalized: Whether there is a normalization layer in it.
        is_zero: Whether it is multiplied by a weight that starts at zero, as in ReZero.
        is_last: Whether the layer in question is the last one of the branch.
    """

    number: int
    depth: int
    normalized: bool
    is_zero: bool
    is_last: bool


@dataclass(frozen=True)
class Surroundings:
    """What lies around a layer with a kernel.

    Attributes:
        activation: The `Activation` that is applied to its output, `None` for linear.
        normalized: Whether a normalization comes between the layer and that activation.
        is_first: Whether no other kernel lies between an input of the model and it.
        is_output: Whether no other kernel lies between it and an output of the model, nor an
            addition to a shortcut.
        branch: The innermost `Branch` it lies in, or `None`.
        added: Whether an addition comes between the layer and that activation.
        fused: The `Activation` that the layer applies itself, `None` for linear.
        is_first_map: Whether no other kernel than those of embeddings lies before it.
        is_anew: Whether all that it takes has been normalized, since the kernels before it.
        is_normalized_later: Whether all of what it gives is normalized before a kernel takes it.
        is_last: Whether no other kernel takes what comes of it.
    """

    activation: Activation | None = None
    normalized: bool = False
    is_first: bool = False
    is_output: bool = False
    branch: Branch | None = None
    added: bool = False
    fused: Activation | None = None
    is_first_map: bool = False
    is_anew: bool = False
    is_normalized_later: bool = False
    is_last: bool = False


class Graph:
    """The calls of a model in topological order.

    Args:
        model: The model.
        anew: Its `Weight`s, if it is to start anew: they count with what their layers start them
            with. Defaults to `()`: all count with the values they have.

    Attributes:
        problem: Why the graph could not be read in full, or `None`.
        depth: Largest number of layers with a kernel on a path.
        num_branches: Number of residual branches.
        normalized: Whether the model has a normalization layer.
        gives_places: Whether an output has more axes than samples and units.
    """

    def __init__(self, model, *, anew=()):
        self._anew = {id(weight.variable): weight for weight in anew}
        self.calls, outputs, self.problem = _read(model)
        self._ends, self._outputs = outputs, set(outputs)
        self.gives_places = any(len(self.calls[number].shape) > 2 for number in outputs)
        # Read now, since parameters of activations cannot be read while gradients are traced.
        self._fused = {
            layer: self._at_start(_network.fused_activation(layer))
            for layer in _network.walk(model)
        }
        self._applied = [
            self._at_start(_network.activation_of(call.operation)) for call in self.calls
        ]
        self.normalized = any(_network.is_normalization(layer) for layer in _network.walk(model))
        self._index_layers()
        self._index_paths()
        self._index_branches()

    def surroundings(self, layer, again=0):
        """Returns the `Surroundings` of a layer, as far as the graph tells.

        Args:
            layer: The layer.
            again: Which of its calls, from 0; the last one for all that come after.
        """
        fused = self._fused.get(layer)
        numbers = self._calls_of_layer.get(layer)
        if numbers is None:
            return Surroundings(fused, fused=fused)
        number = numbers[min(again, len(numbers) - 1)]
        call = self.calls[number]
        branch = self._branches.get(number)
        before = {
            "is_first": self._count_kernels(self._ancestors[number]) == 1,
            "is_first_map": self._count_kernels(self._ancestors[number] & ~self._tables) == 1,
            "is_anew": self._is_anew(number),
            "is_normalized_later": self._is_normalized_later(number),
            "is_last": not self._before_kernels >> number & 1,
            "branch": branch,
            "fused": fused,
        }
        if not _network.is_last_kernel(call.operation, layer):
            return Surroundings(fused, **before)
        activation, normalized, is_output, added = fused, False, False, False
        waiting, seen = [(number, True, False)], set()
        while waiting:
            current, is_alone, is_added = waiting.pop(0)
            is_output |= is_alone and current in self._outputs
            for consumer in self.calls[current].consumers:
                operation = self.calls[consumer].operation
                if consumer in seen:
                    continue
                seen.add(consumer)
                applied = self._applied[consumer]
                if applied is not None and activation is None:
                    activation, added = applied, is_added
                if applied is None and not _network.is_transparent(operation):
                    continue
                if activation is None:
                    normalized |= _network.is_normalization(operation)
                is_added_here = is_added or _network.is_addition(operation)
                is_alone_here = is_alone and consumer not in self._additions
                waiting.append((consumer, is_alone_here, is_added_here))
        return Surroundings(activation, normalized, is_output=is_output, added=added, **before)

    def _is_anew(self, number):
        """Whether a call takes only what normalizations give, through nothing with a kernel."""
        found, waiting, seen = False, [*self.calls[number].inputs], set()
        while waiting:
            each = waiting.pop()
            call = self.calls[each]
            if _network.is_normalization(call.operation):
                found = True
                continue
            if not call.inputs or not self._passes_on(each):
                return False
            waiting.extend(other for other in call.inputs if other not in seen)
            seen.update(call.inputs)
        return found

    def _is_normalized_later(self, number):
        """Whether normalizations take all that a call gives, before an output or a kernel does."""
        found, waiting, seen = False, [number], set()
        while waiting:
            each = waiting.pop()
            if each in self._outputs or (each != number and not self._passes_on(each)):
                return False
            for consumer in self.calls[each].consumers:
                if _network.is_normalization(self.calls[consumer].operation):
                    found = True
                elif consumer not in seen:
                    seen.add(consumer)
                    waiting.append(consumer)
        return found

    def _passes_on(self, number):
        """Whether a call has no kernel, and gives what it takes but for an activation."""
        operation = self.calls[number].operation
        passes = _network.is_transparent(operation) or self._applied[number] is not None
        return passes and not self._kernels >> number & 1

    def fed_by(self, layer):
        """Returns for each call of a layer which one it has its inputs from, unit by unit.

        `None` where that is more than one, or units have been mixed or moved in between.
        """
        return [self._source(number) for number in self._calls_of_layer.get(layer, ())]

    def _source(self, number):
        if self._only_layer(number) is None:  # which may pass its inputs on to several
            return None
        while len(self.calls[number].inputs) == 1:
            (number,) = self.calls[number].inputs
            if self._kernels >> number & 1:
                return self._only_layer(number)
            if not _network.keeps_units(self.calls[number].operation):
                return None
        return None

    def normalized_by(self, layer):
        """Returns for each call of a layer which normalization alone gives its inputs to it.

        `None` where that is none, or others take the same.
        """
        return [self._normalization(number) for number in self._calls_of_layer.get(layer, ())]

    def _normalization(self, number):
        while len(self.calls[number].inputs) == 1:
            (number,) = self.calls[number].inputs
            call = self.calls[number]
            if len(call.consumers) > 1 or number in self._outputs or self._applied[number]:
                return None
            if _network.is_normalization(call.operation):
                return call.operation
            if not _network.keeps_units(call.operation):
                return None
        return None

    def feeds(self, layer):
        """Returns the layers with a kernel that take what a layer gives, unit by unit.

        `None` where something else takes it as well, or what is in between keeps no pairs of units.
        """
        found = []
        waiting = list(self._calls_of_layer.get(layer, ()))
        for number in waiting:
            if number in self._outputs:
                return None
            for consumer in self.calls[number].consumers:
                call = self.calls[consumer]
                if self._kernels >> consumer & 1:
                    found.append(self._only_layer(consumer))
                elif len(call.inputs) == 1 and _network.keeps_pairs(call.operation):
                    waiting.append(consumer)
                else:
                    return None
        return found if all(found) else None

    def _only_layer(self, number):
        """Returns the layer with a kernel in a call, `None` if there are several."""
        found = [
            each
            for each in _network.walk(self.calls[number].operation)
            if _network.kernels_of(each)
        ]
        return found[0] if len(found) == 1 else None

    def _at_start(self, activation):
        return _network.at_start(activation) if self._anew else activation

    def units(self, gives):
        """Returns the units of another network that each layer takes; see `units.carried`."""
        return carried(self.calls, gives)

    def takers(self, layer):
        """Returns who takes the units of a layer; see `takers.takers`."""
        known = (self.calls, self._calls_of_layer, self._outputs, self._applied)
        return takers(layer, *known, self._fused.get(layer))

    def is_past_branches(self, layer):
        """Whether no addition of a residual branch comes after a layer."""
        before = functools.reduce(operator.or_, (self._ancestors[n] for n in self._additions), 0)
        return not any(before >> number & 1 for number in self._calls_of_layer.get(layer, ()))

    def positions(self):
        """Returns what tables are added to; see `positions.positions`."""
        return positions(self.calls)

    def gates(self):
        """Returns the `Gated` product that the outputs of a layer go into; see `gates.gates`."""
        return gates(self.calls, lambda layer: self.surroundings(layer).activation)

    def is_multiplied(self, layer):
        """Whether other signals are multiplied by all that a layer gives, f(z) or 1 - f(z)."""
        waiting, found = [*self._calls_of_layer.get(layer, ())], False
        for number in waiting:
            if number in self._outputs:
                return False
            for consumer in self.calls[number].consumers:
                call = self.calls[consumer]
                if len(call.inputs) > 1:
                    if not _network.is_multiplication(call.operation):
                        return False
                    found = True
                elif self._kernels >> consumer & 1:
                    return False
                elif consumer not in waiting:
                    waiting.append(consumer)
        return found

    def heaviest_path(self, weigh):
        """Returns the largest sum, along a path, of what `weigh` gives for an operation."""
        sums = []
        for call in self.calls:
            before = max((sums[number] for number in call.inputs), default=0.0)
            sums.append(before + weigh(call.operation))
        return max(sums, default=0.0)

    def endings(self):
        """Returns for each output the layer of the last kernel, and what is called behind it.

        The layer is `None` where several go into the output.
        """
        return [self._ending(number) for number in self._ends]

    def _ending(self, number):
        behind = []
        while not self._kernels >> number & 1:
            call = self.calls[number]
            if len(call.inputs) != 1:
                return None, behind
            behind.insert(0, call.operation)
            (number,) = call.inputs
        return self._only_layer(number), behind

    def vocabularies(self):
        """Returns the number of tokens that each input is looked up among, by its place."""
        inputs = [number for number, call in enumerate(self.calls) if call.operation is None]
        found = {}
        for place, number in enumerate(inputs):
            readers = (self.calls[consumer].operation for consumer in self.calls[number].consumers)
            sizes = [_network.vocabulary(reader) for reader in readers]
            if any(sizes):
                found[place] = min(filter(None, sizes))
        return found

    def _index_layers(self):
        self._calls_of_layer, self._kernels, self._tables = {}, 0, 0
        for number, call in enumerate(self.calls):
            for previous in set(call.inputs):
                self.calls[previous].consumers.append(number)
            if isinstance(call.operation, keras.Layer):
                inside = list(_network.walk(call.operation))
                for layer in inside:
                    self._calls_of_layer.setdefault(layer, []).append(number)
                    if _network.kernels_of(layer):
                        self._kernels |= 1 << number
                if self._kernels >> number & 1 and all(map(_holds_tables, inside)):
                    self._tables |= 1 << number

    def _index_paths(self):
        """Finds the calls that each call depends on, as the bits of a number, and the depth."""
        self._ancestors, self._before_kernels, depths = [], 0, []
        for number, call in enumerate(self.calls):
            ancestors = 1 << number
            for previous in call.inputs:
                ancestors |= self._ancestors[previous]
            self._ancestors.append(ancestors)
            if self._kernels >> number & 1:
                self._before_kernels |= ancestors & ~(1 << number)
            depths.append(
                max((depths[previous] for previous in call.inputs), default=0)
                + (self._kernels >> number & 1)
            )
        self.depth = max(depths, default=0)

    def _index_branches(self):
        self._branches, self._additions = {}, set()
        for addition, call in enumerate(self.calls):
            branch = self._branch(call)
            if not branch:
                continue
            members = [self.calls[number] for number in _numbers(branch)]
            kernels = list(_numbers(branch & self._kernels))
            properties = {
                "number": len(self._additions),
                "depth": len(kernels),
                "normalized": any(_network.is_normalization(each.operation) for each in members),
                "is_zero": any(map(self._is_zero, members)),
            }
            for number in kernels:
                branch = Branch(**properties, is_last=number == kernels[-1])
                self._branches.setdefault(number, branch)
            self._additions.add(addition)
        self.num_branches = len(self._additions)

    def _is_zero(self, call):
        """Whether a call multiplies by a weight that is zero, or starts at it."""
        return any(
            self._anew[id(variable)].starts_at_zero
            if id(variable) in self._anew
            else _network.is_zero(variable)
            for variable in _network.multipliers(call.operation, call.variables)
        )

    def _branch(self, call):
        """Returns the calls of the residual branch that a call adds to its shortcut, as bits."""
        if not _network.is_addition(call.operation) or len(call.inputs) != 2:
            return 0
        first, second = (self._ancestors[number] for number in call.inputs)
        if not first & second:
            return 0
        # What comes from elsewhere, such as an encoder, is no part of the branch.
        fork = (first & second).bit_length() - 1
        sides = [self._after(fork, side) for side in (first & ~second, second & ~first)]
        sides.sort(key=self._count_kernels)
        shortcut, branch = (self._count_kernels(side) for side in sides)
        # A projection of the shortcut is one layer; two sides alike are no residual branch.
        return sides[1] if shortcut <= 1 and branch > shortcut else 0

    def _after(self, fork, calls):
        """Returns those of the calls that depend on the call `fork`."""
        return sum(1 << n for n in _numbers(calls) if self._ancestors[n] >> fork & 1)

    def _count_kernels(self, calls):
        return (calls & self._kernels).bit_count()


def _holds_tables(layer):
    """Whether all kernels of a layer, if it has some, are tables of embeddings."""
    return all(kernel.role == "embedding" for kernel in _network.kernels_of(layer) or ())


def _numbers(bits):
    """Yields the places of the bits that are set, the lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _read(model):
    """Returns the calls of a model, the numbers of its outputs, and what could not be read.

    Code that asks for a size of its input, as that of a causal mask does, is read on inputs that
    have one. Of several readings the one counts that leaves the fewest kernels unread.
    """
    readings = []
    for size in (None, *sizes(model)):
        # The code of a user's `call` may draw random numbers and add losses.
        with _backends.kept_random_state(), _network.restored(model), keras.StatelessScope():
            reader = _Reader(model, size)
            try:
                with reader.opened():
                    outputs = reader.read_model(model)
                unread = len(set().union(*map(_layers_with_kernels, reader.unread)))
                problem, place = next(iter(reader.unread.values()), (None, None))
            except Exception as error:  # whatever that code raises
                reader.calls, outputs, unread, place = [], [], math.inf, _place(error)
                inside = _network.network_inside(model, _layers_with_kernels(model))
                problem = _first_line(error)
                if inside:
                    problem = f"{problem.removesuffix('.')}. Give {inside}, to have that read"
        if reader.calls:
            is_no_matter_of_size = any(each == (problem, place) for _, each, _ in readings)
        else:
            is_no_matter_of_size = has_graph(model) and not readings  # what Keras has recorded
        readings.insert(0, (unread, (problem, place), (reader.calls, outputs, problem)))
        if not unread or is_no_matter_of_size:
            break
    return min(readings, key=lambda each: each[0])[-1]


def _first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _layers_with_kernels(layer):
    return {each for each in _network.walk(layer) if _network.kernels_of(each)}


def _place(error):
    """Returns the numbers of the lines that led to an error."""
    return [line for _, line in traceback.walk_tb(error.__traceback__)]


class _Reader:
    """Follows symbolic tensors back to their inputs, into nested models and layers of users.

    Args:
        model: The model, whose layers it changes: to be used where they are restored.
        size: Size of the inputs where the model takes any, but for the batch; `None` to leave it
            open.

    Attributes:
        calls: The calls that were read.
        unread: Layers with kernels inside that stay one call, each with the reason and the place.
    """

    def __init__(self, model, size=None):
        self._size, self.calls, self.unread, self._parts = size, [], {}, {}
        for layer in _network.walk(model):
            spec = self._spec(layer, layer.compute_output_spec)
            _keras_private.replace(layer, "compute_output_spec", spec)
            # Keras takes no symbolic tensors for losses.
            _keras_private.replace(layer, "add_loss", lambda loss: None)

    def read_model(self, model):
        """Appends the calls of a model and returns the numbers of those that are its outputs."""
        inputs = symbolic_inputs(model)
        if self._size is not None:
            inputs = keras.tree.map_structure(self._sized, inputs)
        if has_graph(model):
            outputs = model.outputs if self._size is None else model.call(inputs)
        else:
            outputs = (model.call if _network.is_composite(model) else model)(**inputs)
        produced = {
            id(tensor): self._append(None, [], shape=tensor.shape)
            for tensor in keras.tree.flatten(inputs)
        }
        return self._read(keras.tree.flatten(outputs), produced)

    def _sized(self, tensor):
        sizes = (self._size if size is None else size for size in tensor.shape[1:])
        return keras.KerasTensor((_BATCH_SIZE, *sizes), tensor.dtype)

    @contextlib.contextmanager
    def opened(self):
        """A context with the code of models and of layers of users in place of symbolic calls.

        Else each call is recorded as one, whose outputs may not be `None`.
        """

        def call(of_keras, layer, *args, **kwargs):
            is_symbolic = any(
                isinstance(each, keras.KerasTensor) for each in keras.tree.flatten((args, kwargs))
            )
            if not is_symbolic and args and _network.vocabulary(layer):  # as of numbers of places
                places = keras.ops.convert_to_tensor(args[0])
                return of_keras(layer, keras.Input(batch_shape=places.shape, dtype=places.dtype))
            if is_symbolic and (isinstance(layer, keras.Model) or _network.is_composite(layer)):
                try:
                    return _run(layer, args, kwargs)
                except Exception as error:
                    self._leave(layer, error)
            try:
                return of_keras(layer, *args, **kwargs)
            except Exception:
                if not (is_symbolic and _network.is_attention(layer)):
                    raise
                return _run(layer, args, kwargs)

        with (
            _keras_private.layers_with("__call__", call),
            _keras_private.operands_that_yield(),
            _keras_private.branches_of_known_conditions(),
        ):
            yield

    def _spec(self, layer, own):
        """Returns what gives the shapes of a layer's outputs, whatever its own method knows.

        That may not take all arguments, as of a class derived from attention, or tell the sizes
        that the layer was built with, as that of `EinsumDense`.
        """

        def has_sizes(outputs):
            return all(None not in each.shape for each in keras.tree.flatten(outputs))

        def by_call(*args, **kwargs):
            outputs = _run(layer, args, kwargs)
            return keras.tree.map_structure(
                lambda each: keras.KerasTensor(each.shape, each.dtype), outputs
            )

        # What the author of a layer says of its outputs may be less than it gives.
        is_unknown = self._size is not None and _network.kernels_of(layer) is None
        ways = (by_call, own) if is_unknown else (own, by_call)

        def compute_output_spec(*args, **kwargs):
            for compute in ways:
                with contextlib.suppress(Exception):
                    outputs = compute(*args, **kwargs)
                    if self._size is None or has_sizes(outputs):
                        return outputs
            return keras.Operation.compute_output_spec(layer, *args, **kwargs)

        return compute_output_spec

    def _leave(self, layer, error):
        """Notes a layer that stays one call, as its code needs values."""
        if _layers_with_kernels(layer):
            kind = type(layer).__name__
            problem = f"layer {layer.name!r} ({kind}), {_first_line(error)}"
            self.unread.setdefault(layer, (problem, _place(error)))

    def _append(self, operation, inputs, variables=(), shape=()):
        self.calls.append(Call(operation, inputs, variables, tuple(shape)))
        return len(self.calls) - 1

    def _read(self, outputs, produced):
        """Appends the calls between known tensors and `outputs`; not recursive in the depth."""
        waiting = list(outputs)
        while waiting:
            tensor = waiting[-1]
            if id(tensor) in produced:
                waiting.pop()
                continue
            if not isinstance(tensor, keras.KerasTensor):  # made of no input
                produced[id(tensor)] = self._append(keras.layers.Identity(), [])
                continue
            call = _keras_private.call_that_gave(tensor)
            missing = [each for each in call.inputs if id(each) not in produced]
            if missing:
                waiting.extend(missing)
                continue
            numbers = self._read_call(call, produced)
            produced.update(zip(map(id, call.outputs), numbers, strict=True))
        return [produced[id(tensor)] for tensor in outputs]

    def _read_call(self, call, produced):
        """Returns the numbers of the calls, one or those inside of it, that give the outputs."""
        inputs = [produced[id(tensor)] for tensor in call.inputs]
        if not inputs:  # of Keras's own layer for inputs, a constant here
            return [self._append(call.operation, [])]
        operation = _network.distributed(call.operation)
        if isinstance(operation, keras.Model) and has_graph(operation):
            known = dict(zip(map(id, operation.inputs), inputs, strict=True))
            return self._read(operation.outputs, known)
        if _network.is_composite(operation) and operation not in self.unread:
            # The tensors of its own call stand in for what it computes.
            before = len(self.calls)
            try:
                outputs = _run(operation, call.args, call.kwargs)
                return self._read(keras.tree.flatten(outputs), dict(produced))
            except Exception as error:
                del self.calls[before:]
                self._leave(operation, error)
        if _network.only_adds(operation):
            with contextlib.suppress(Exception):
                return self._read_addition(operation, call, produced)
        arguments = keras.tree.flatten((call.args, call.kwargs))
        variables = [each for each in arguments if isinstance(each, keras.Variable)]
        number = self._append(operation, inputs, variables, call.outputs[0].shape)
        self.calls[number].parts = [self._parts.get(id(tensor)) for tensor in call.inputs]
        if _network.is_slicing(operation):
            self._parts.update(zip(map(id, call.outputs), _units_of_parts(call), strict=False))
        return [number] * len(call.outputs)

    def _read_addition(self, layer, call, produced):
        """Returns the number of the call that adds the weights of a layer, or gives them."""

        def sized(each):
            sizes = (size or _BATCH_SIZE for size in each.shape)
            return keras.KerasTensor(tuple(sizes), each.dtype)

        args, kwargs = keras.tree.map_structure(
            lambda each: sized(each) if isinstance(each, keras.KerasTensor) else each,
            (call.args, call.kwargs),
        )
        if not isinstance(_run(layer, args, kwargs), keras.KerasTensor):
            return [self._append(layer, [], list(layer.weights))] * len(call.outputs)
        output = _run(layer, call.args, call.kwargs)
        inner = _keras_private.call_that_gave(output)
        if _network.is_addition(inner.operation) and {*map(id, inner.inputs)} <= produced.keys():
            return self._read([output], dict(produced))
        raise ValueError("it does more than add weights")


def _units_of_parts(call):
    """Returns which units each of the parts is that a call gives, by slicing their numbers."""

    def numbers(tensor):
        sizes = [size or _BATCH_SIZE for size in tensor.shape]
        return np.broadcast_to(np.arange(sizes[-1]), sizes)

    arguments = keras.tree.map_structure(
        lambda each: numbers(each) if isinstance(each, keras.KerasTensor) else each,
        (call.args, call.kwargs),
    )
    try:
        parts = keras.tree.flatten(call.operation.call(*arguments[0], **arguments[1]))
        rows = [keras.ops.convert_to_numpy(part) for part in parts]
    except Exception:  # as of what is known only when it runs
        return []
    return [row.reshape(-1, row.shape[-1])[0] if row.ndim and row.size else None for row in rows]


def _run(layer, args, kwargs):
    """Returns what the code of a layer gives; an argument it does not take is meant for Keras."""
    if "training" in kwargs and "training" not in inspect.signature(layer.call).parameters:
        kwargs = {name: value for name, value in kwargs.items() if name != "training"}
    return layer.call(*args, **kwargs)


def sizes(model):
    """Yields what to try where a model takes any size: at last, how many rows its tables have."""
    yield from _SIZES
    rows = set()
    for layer in filter(_network.may_have_tables, _network.walk(model)):
        inner = {
            id(each) for part in _network.walk(layer) if part is not layer for each in part.weights
        }
        own = (each.shape for each in layer.weights if id(each) not in inner)
        rows.update(shape[-2] for shape in own if len(shape) > 1 and shape[-2] < max(_SIZES))
    yield from sorted(rows - {1, *_SIZES})


def has_graph(model):
    """Whether a model has been made of symbolic tensors: Functional, or a built Sequential."""
    return isinstance(getattr(model, "outputs", None), list) and bool(model.outputs)


def required_arguments(model):
    """Returns the names of what a model has to be called with."""
    return [
        name
        for name, each in inspect.signature(model.call).parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]


def symbolic_inputs(model):
    """Returns the symbolic inputs of a model, of a subclassed one by argument of its `call`."""
    if has_graph(model):
        return model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    config = model.get_build_config()
    if not config:
        raise ValueError("the model has not kept the shape of its input")
    first = next(iter(inspect.signature(model.call).parameters))
    shapes = config.get("shapes_dict") or {first: config["input_shape"]}
    shapes = {name.removesuffix("_shape"): shape for name, shape in shapes.items()}
    for name in required_arguments(model):
        if name not in shapes:
            raise ValueError(f"the model has not kept the shape of {name!r}; give it a `build`")
    return {name: keras.tree.map_shape_structure(_symbolic, each) for name, each in shapes.items()}


def _symbolic(shape):
    if shape is None:
        raise ValueError("the model takes None in place of an input; give one that does without")
    return keras.KerasTensor(shape)
