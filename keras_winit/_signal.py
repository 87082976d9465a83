"""Runs a model once, forward and backward, and measures every layer. No verdict."""

import functools
import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _backends, _fill, _gains, _layers, _plan, _statistics
from keras_winit._graph import Branch, Graph
from keras_winit._loss import LossSignal, Objective
from keras_winit._taps import Taps

ops = keras.ops

# Half precision cannot hold small gradients: they are taken of a larger loss, as in training.
_FLOAT16_SCALE = 2.0**15


@dataclass(frozen=True)
class Summary:
    """Numbers of a signal of (samples, positions, units).

    Attributes:
        largest: The largest magnitude.
        mean: Over everything.
        second_moment: Mean of the squares.
        common: Second moment of the mean over the samples, the part that all of them share.
        dead: Fraction of units that give nothing for any sample.
        zero: Fraction of values that are zero.
        num_samples: Number of samples.
    """

    largest: float
    mean: float
    second_moment: float
    common: float
    dead: float
    zero: float
    num_samples: int

    @property
    def variance(self):
        """Over everything."""
        return max(self.second_moment - self.mean**2, 0.0)

    @property
    def between_samples(self):
        """Share of the variance that is between samples; the rest is between units."""
        if not self.variance > 0:
            return 0.0
        return min(max(self.second_moment - self.common, 0.0) / self.variance, 1.0)

    @property
    def cosine(self):
        """Mean inner product of two samples over their mean square; `None` for one sample."""
        if self.num_samples < 2 or not self.second_moment > 0:
            return None
        excess = self.num_samples * self.common / self.second_moment - 1
        return excess / (self.num_samples - 1)


@dataclass(frozen=True)
class KernelSignal:
    """Numbers of one kernel.

    Attributes:
        path: Path of the weight.
        role: `"kernel"`, `"recurrent"` or `"embedding"`.
        shape: Its shape.
        fan_in: Products that one output sums.
        fan_out: Outputs that one input reaches.
        initializer: What its layer draws it with.
        mean: Mean of the weights.
        second_moment: Mean of their squares.
        asked: Variance that its initializer asks for by its true fans, or `None`.
        asked_by_keras: The same by the fans that Keras counts.
        repeated: Fraction of units that share all of their weights with another one.
        gradient: Norm of the gradient by it, `None` where it has none.
        twin: Path of an earlier kernel with the same values, or `None`.
    """

    path: str
    role: str
    shape: tuple
    fan_in: float
    fan_out: float
    initializer: str
    mean: float
    second_moment: float
    asked: float | None
    asked_by_keras: float | None
    repeated: float
    gradient: float | None
    twin: str | None

    @property
    def norm(self):
        """Euclidean norm."""
        return math.sqrt(self.second_moment * math.prod(self.shape))


@dataclass(frozen=True)
class LayerSignal:
    """Numbers of one call of a layer with a kernel.

    Attributes:
        layer: Its path in the model, with a number from the second call on.
        name: Name of the layer.
        kind: Class of the layer.
        activation: Name of what follows, or `None`.
        normalized: Whether a normalization comes between.
        is_first: Whether no other kernel comes before it.
        is_output: Whether no other kernel comes after it.
        branch: The residual `Branch` it is in, or `None`.
        preactivation: `Summary` of what the kernel gives.
        output: `Summary` of what is handed on, after normalization and activation.
        saturated: Fraction of the output that is saturated; `None` for unbounded activations.
        gradient: Norm of the gradient by the preactivation; `None` where the loss does not
            depend on it.
        sample: Up to 256 values of the output.
        kernels: A `KernelSignal` for each kernel.
        asked: Variance times fan_in that keeps the size of the signal by the activation, `None`
            where no such number is known.
        logit_std: Of attention, where it is the map of queries: standard deviation of the logits
            over the keys; `None` elsewhere.
        num_keys: Number of those keys.
        token_cosine: Mean cosine between the tokens that come into that attention.
    """

    layer: str
    name: str
    kind: str
    activation: str | None
    normalized: bool
    is_first: bool
    is_output: bool
    branch: Branch | None
    preactivation: Summary
    output: Summary
    saturated: float | None
    gradient: float | None
    sample: np.ndarray
    kernels: tuple
    asked: float | None = None
    logit_std: float | None = None
    num_keys: int | None = None
    token_cosine: float | None = None


@dataclass(frozen=True)
class InputSignal:
    """Numbers of one input of a model.

    Attributes:
        name: Its name, or its place.
        shape: Shape of the batch.
        mean: Over everything.
        second_moment: Mean of the squares.
        is_tokens: Whether it holds integers.
    """

    name: str
    shape: tuple
    mean: float
    second_moment: float
    is_tokens: bool


@dataclass(frozen=True)
class Signal:
    """What one forward and one backward pass have shown.

    Attributes:
        model: Name of the model.
        batch_size: Number of samples.
        is_drawn: Whether the batch is noise, for want of data.
        layers: A `LayerSignal` for every call of a layer with a kernel, in the order of calls.
        inputs: An `InputSignal` for every input.
        outputs: A `Summary` for every output.
        loss: `LossSignal`, or `None` without labels.
        not_reached: Paths of layers with a kernel that were not called.
        problem: Why the graph could not be read, or `None`.
    """

    model: str
    batch_size: int
    is_drawn: bool
    layers: tuple
    inputs: tuple
    outputs: tuple
    loss: LossSignal | None
    not_reached: tuple
    problem: str | None


def measure(model, batch, loss=None):
    """Returns the `Signal` of a model on a `Batch`, in training mode; changes nothing.

    Raises:
        ValueError: If the model has no layer with a kernel, or does not take the batch.
    """
    weights = [each for each in _layers.weights(model) if each.kernel is not None]
    weights = [each for each in weights if each.role != "lora"]
    if not weights:
        raise ValueError(
            f"`model` should have a layer with a kernel. Received: model={model.name!r}, with "
            f"{len(model.weights)} weights and no kernel among them."
        )
    graph = Graph(model)
    taps, objective = Taps(model, graph), Objective(model, loss, batch)
    scale = _FLOAT16_SCALE if model.compute_dtype == "float16" else 1.0

    def forward(tap, is_watched):
        with taps.on(tap, is_watched):
            outputs = run(model, batch)
            return objective(outputs) * scale, (outputs, objective.value)

    trainable = [each for each in weights if each.variable.trainable]
    (outputs, objective.value), gradients, sizes = _backends.backpropagate(
        forward, [each.variable for each in trainable], _statistics.size
    )
    gradients = dict(zip((id(each.variable) for each in trainable), gradients, strict=True))
    kernels = _kernel_signals(weights, gradients, scale)
    layers = _layer_signals(taps.tapped, sizes, kernels, graph, batch.size, scale)
    called = {id(owner) for tapped in taps.tapped for owner in tapped.owners}
    not_reached = [each.layer.path for each in weights if id(each.layer) not in called]
    return Signal(
        model.name,
        batch.size,
        batch.is_drawn,
        tuple(layers),
        tuple(_input_signals(batch)),
        tuple(_output_summaries(outputs, batch.size)),
        objective.signal(outputs),
        tuple(dict.fromkeys(not_reached)),
        graph.problem,
    )


def run(model, batch):
    """Returns the outputs of a model in training mode, or raises what says which batch failed."""
    try:
        return batch.apply(model)
    except (ValueError, TypeError) as error:
        shapes = keras.tree.map_structure(lambda each: each.shape, batch.x)
        raise ValueError(
            f"`x` should be a batch that model {model.name!r} takes. "
            f"Received: shape {shapes}: {str(error).splitlines()[0]}"
        ) from error


def _fetch(tensors):
    """Returns tensors as arrays of NumPy, those of one shape in one transfer; `None` stays."""
    groups = {}
    for number, tensor in enumerate(tensors):
        if tensor is not None:
            groups.setdefault(tuple(tensor.shape), []).append(number)
    arrays = [None] * len(tensors)
    for numbers in groups.values():
        stacked = ops.convert_to_numpy(ops.stack([tensors[number] for number in numbers]))
        for number, array in zip(numbers, stacked, strict=True):
            arrays[number] = array
    return arrays


def _summary(numbers, num_samples):
    largest, mean, second_moment, common, dead, zero = (float(each) for each in numbers)
    square = largest * largest
    return Summary(
        largest, largest * mean, square * second_moment, square * common, dead, zero, num_samples
    )


def _layer_signals(tapped, sizes, kernels, graph, num_samples, scale):
    fields = ("preactivation", "output", "saturated", "sample", "logit_std", "token_cosine")
    columns = [_fetch([getattr(each, name) for each in tapped]) for name in fields]
    rows = zip(tapped, _fetch(sizes), *columns, strict=True)
    for each, size, preactivation, output, saturated, sample, logit_std, token_cosine in rows:
        around = graph.surroundings(each.layer)
        path = each.layer.path
        yield LayerSignal(
            path if each.number == 0 else f"{path}#{each.number + 1}",
            each.layer.name,
            type(each.layer).__name__,
            None if each.activation is None else _gains.name_of(each.activation),
            each.normalized,
            around.is_first,
            around.is_output,
            around.branch,
            _summary(preactivation, num_samples),
            _summary(output, num_samples),
            None if saturated is None else float(saturated),
            None if size is None else _statistics.norm(*size) / scale,
            sample,
            tuple(kernel for owner in each.owners for kernel in kernels[id(owner)]),
            _asked(each.activation),
            None if logit_std is None else float(logit_std),
            each.num_keys,
            None if token_cosine is None else float(token_cosine),
        )


def _asked(activation):
    """Returns 1 / E f² for an activation that lets through more than its mean."""
    try:
        moments = _gains.activation_moments("linear" if activation is None else activation)
    except ValueError:
        return None
    if moments.mean**2 > 0.5 * moments.second_moment:
        return None
    return 1 / moments.second_moment


def _kernel_signals(weights, gradients, scale):
    """Returns the `KernelSignal`s of each layer, by its id."""
    structures = [_matrices(weight) for weight in weights]
    summaries = _fetch([summary for _, _, summary in structures])
    sizes = [gradients.get(id(weight.variable)) for weight in weights]
    sizes = _fetch([None if each is None else _statistics.size(each) for each in sizes])
    found, seen = {}, {}
    for weight, (blocks, outputs, _), summary, size in zip(
        weights, structures, summaries, sizes, strict=True
    ):
        mean, second_moment, *projections = (float(each) for each in summary)
        initializer = weight.own_initializer()
        signal = KernelSignal(
            weight.path,
            weight.role,
            tuple(int(size) for size in weight.variable.shape),
            *_plan.fans(weight),
            _plan.brief(initializer),
            mean,
            second_moment,
            *_fill.variances(weight, initializer),
            _statistics.fraction_repeated(projections, blocks, outputs) if projections else 0.0,
            None if size is None else _statistics.norm(*size) / scale,
            _twin(weight, second_moment, seen),
        )
        found.setdefault(id(weight.layer), []).append(signal)
    return found


def _matrices(weight):
    """Returns the numbers of blocks and outputs of a kernel, and its summary on the device."""
    shape, axes = weight.kernel.structure(weight.variable.shape)
    taps, inputs, outputs, blocks = axes.sizes(shape)
    order = axes.batch + axes.spatial + axes.input + axes.output
    kernel = ops.transpose(ops.reshape(weight.variable.value, shape), order)
    is_table = weight.role == "embedding"  # each row is drawn by itself
    inputs = blocks if is_table else taps * inputs
    blocks = 1 if is_table else blocks
    kernel = ops.reshape(kernel, (blocks, inputs, outputs))
    return blocks, outputs, _statistics.kernel_summary(kernel, _probe(inputs))


@functools.lru_cache(maxsize=64)
def _probe(inputs):
    return _statistics.probe(inputs)


def _twin(weight, second_moment, seen):
    """Returns the path of a kernel seen before that has the same values, if they vary."""
    key = (tuple(weight.variable.shape), second_moment)
    for other in seen.get(key, ()):
        values, others = (ops.convert_to_numpy(each.variable) for each in (weight, other))
        if np.array_equal(values, others) and values.min() < values.max():
            return other.path
    seen.setdefault(key, []).append(weight)
    return None


def _input_signals(batch):
    paths = keras.tree.flatten_with_path(batch.x)
    for path, array in paths:
        is_tokens = array.dtype.kind in "iub"
        values = array.astype("float64") if array.dtype.kind in "fiub" else np.zeros(1)
        name = "/".join(map(str, path)) or "x"
        yield InputSignal(
            name, array.shape, float(values.mean()), float((values**2).mean()), is_tokens
        )


def _output_summaries(outputs, num_samples):
    tensors = keras.tree.flatten(outputs)
    signals = [_statistics.by_unit(each, -1) for each in tensors]
    summaries = _fetch([_statistics.summaries(each)[0] for each in signals])
    return [_summary(each, num_samples) for each in summaries]
