"""Runs a model once, forward and backward, and measures every layer. No verdict."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _backends, _checks, _network
from keras_winit._activations.activation import NOTHING
from keras_winit._measure import statistics
from keras_winit._measure.coverage import Coverage, check_kernels, coverage
from keras_winit._measure.loss import LossSignal, Objective
from keras_winit._measure.statistics import Reductions
from keras_winit._measure.taps import Taps
from keras_winit._network.graph import Branch
from keras_winit.initializers._describe import brief
from keras_winit.initializers._fill import variances

ops = keras.ops

# Half precision cannot hold small gradients: they are taken of a larger loss, as in training.
_FLOAT16_SCALE = 2.0**10


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
        not_reached: Paths of layers with a kernel that were not called, or gave no floats.
        problem: Why the graph could not be read, or `None`.
        coverage: `Coverage`, which of the layers that own weights were looked at.
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
    coverage: Coverage = Coverage()


@_backends.kept_random_state()
def measure(network, batch, loss=None):
    """Returns the `Signal` of a `Network` on a `Batch`, in training mode; changes nothing.

    Raises:
        ValueError: If the model has no layer with a kernel, or does not take the batch.
    """
    check_kernels(network)
    model, reductions = network.model, Reductions()
    taps, objective = Taps(network, reductions), Objective(model, loss, batch)
    is_half = any(each.layer.compute_dtype == "float16" for each in network.kernels)
    scale = _FLOAT16_SCALE if is_half else 1.0

    def forward(tap):
        with taps.on(lambda _, x: tap(x)):
            outputs = run(model, batch)
            # Inside, since what layers have added to the loss is forgotten afterwards.
            return objective(outputs) * scale, (outputs, objective.value)

    def add_size(gradient):
        return reductions.add(statistics.size, gradient)

    variables = model.trainable_variables
    (outputs, objective.value), gradients, sizes = _backends.backpropagate(
        forward, variables, add_size
    )
    of_variables = {
        id(variable): add_size(gradient)
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is not None and 0 not in variable.shape
    }
    of_kernels = [_add_kernel(reductions, each) for each in network.kernels]
    of_outputs = [
        reductions.add(statistics.signal, each, unit_axis=-1)
        for each in keras.tree.flatten(outputs)
    ]
    numbers = reductions.fetch()

    def norm(place):
        return None if place is None else statistics.norm(*numbers[place]) / scale

    tapped = [each for each in taps.tapped if each.output is not None]
    reached = {o for each in tapped if sizes[each.tap] is not None for o in each.owners}
    kernels, alike = {}, {}
    for weight, place in zip(network.kernels, of_kernels, strict=True):
        # With JAX, what the loss does not depend on has a gradient as well: zero.
        is_reached = weight.layer in reached
        gradient = norm(of_variables.get(id(weight.variable))) if is_reached else None
        if place is not None:
            signal = _kernel_signal(weight, numbers[place], gradient, alike)
            kernels.setdefault(weight.layer, []).append(signal)
    seen = {owner for each in tapped for owner in each.owners}
    not_reached = [each.layer.path for each in network.kernels if each.layer not in seen]
    return Signal(
        model.name,
        batch.size,
        batch.is_drawn,
        tuple(_layer_signal(e, network, numbers, norm(sizes[e.tap]), kernels) for e in tapped),
        tuple(_input_signals(batch)),
        tuple(_summary(numbers[place]) for place in of_outputs),
        objective.signal(outputs),
        tuple(dict.fromkeys(not_reached)),
        network.problem,
        coverage(network.weights, seen),
    )


def run(model, batch):
    """Returns the outputs of a model in training mode, or raises what says which batch failed."""
    try:
        return batch.apply(model)
    except _backends.errors_of_shapes() as error:
        shapes = keras.tree.map_structure(lambda each: each.shape, batch.x)
        raise ValueError(
            f"`x` should be a batch that model {model.name!r} takes. "
            f"Received: shape {shapes}: {_checks.first_line(error)}"
        ) from error


def _summary(numbers):
    numbers, _ = statistics.split(numbers)
    samples, largest, mean, second_moment, common, dead, zero = map(float, numbers)
    square = largest * largest
    return Summary(
        largest, largest * mean, square * second_moment, square * common, dead, zero, int(samples)
    )


def _layer_signal(tapped, network, numbers, gradient, kernels):
    layer = tapped.layer
    around = network.around(_network.distributed(layer), tapped.number)

    def number(place):
        return None if place is None else float(numbers[place])

    return LayerSignal(
        tapped.path,
        layer.name,
        type(layer).__name__,
        None if tapped.activation is None else tapped.activation.name,
        tapped.normalized,
        around.is_first,
        around.is_output,
        around.branch,
        _summary(numbers[tapped.preactivation]),
        _summary(numbers[tapped.output]),
        number(tapped.saturated),
        gradient,
        statistics.split(numbers[tapped.output])[1],
        tuple(kernel for owner in tapped.owners for kernel in kernels.get(owner, ())),
        _asked(tapped.activation),
        number(tapped.logit_std),
        tapped.num_keys,
        number(tapped.token_cosine),
    )


def _asked(activation):
    """Returns 1 / E f² for an activation that lets through more than its mean."""
    activation = NOTHING if activation is None else activation
    if activation.moments is None or activation.is_mostly_mean:
        return None
    return 1 / activation.moments.second_moment


def _add_kernel(reductions, weight):
    """Adds a kernel to what is reduced and returns its place; `None` for a quantized one."""
    if "float" not in keras.backend.standardize_dtype(weight.variable.dtype):
        return None
    shape, axes = weight.structure
    order = axes.batch + axes.spatial + axes.input + axes.output
    return reductions.add(
        statistics.kernel,
        weight.variable.value,
        shape=shape,
        order=order,
        blocks=_num_blocks(weight),
        outputs=axes.sizes(shape)[2],
    )


def _num_blocks(weight):
    """Returns the number of separate matrices in a kernel."""
    if weight.role == "embedding":  # its rows are drawn one by one, but make one matrix
        return 1
    shape, axes = weight.structure
    return axes.sizes(shape)[3]


def _kernel_signal(weight, numbers, gradient, alike):
    low, high, mean, second_moment, repeated = statistics.split_kernel(numbers, _num_blocks(weight))
    initializer = weight.held_initializer()
    return KernelSignal(
        weight.path,
        weight.role,
        weight.shape,
        *weight.fans,
        brief(initializer),
        mean,
        second_moment,
        *variances(weight, initializer),
        repeated,
        gradient,
        _twin(weight, low, high, alike),
    )


def _twin(weight, low, high, seen):
    """Returns the path of a kernel seen before that has the same values, if they vary."""
    if low == high:
        return None
    others = seen.setdefault((weight.shape, low, high), [])
    for other in others:
        if np.array_equal(*(ops.convert_to_numpy(each.variable) for each in (weight, other))):
            return other.path
    others.append(weight)
    return None


def _input_signals(batch):
    paths = keras.tree.flatten_with_path(batch.x)
    for path, array in paths:
        is_tokens = array.dtype.kind in "iub"
        is_known = array.dtype.kind in "fiub" and array.size
        values = array.astype("float64") if is_known else np.zeros(1)
        name = "/".join(map(str, path)) or "x"
        yield InputSignal(
            name, array.shape, float(values.mean()), float((values**2).mean()), is_tokens
        )
