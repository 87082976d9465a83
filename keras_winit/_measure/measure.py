"""Runs a model once, forward and backward, and measures every layer. No verdict."""

import math

import keras
import numpy as np

from keras_winit import _backends, _checks, _network
from keras_winit._activations.activation import NOTHING
from keras_winit._measure import statistics
from keras_winit._measure.coverage import check_kernels, coverage
from keras_winit._measure.ending import dropout_noise, endings, is_linear
from keras_winit._measure.loss import Objective, output_names
from keras_winit._measure.signal import InputSignal, KernelSignal, LayerSignal, Signal, Summary
from keras_winit._measure.statistics import Reductions
from keras_winit._measure.taps import Taps
from keras_winit._measure.update import (
    decay,
    first_update,
    has_schedule,
    is_adaptive,
    lasting,
    name_and_rate,
)
from keras_winit._network.upstream import gives_images
from keras_winit.initializers._for_weight import variances
from keras_winit.initializers._names import brief

ops = keras.ops

# Half precision cannot hold small gradients: they are taken of a larger loss, as in training, and
# as there of a smaller one where they then overflow.
_FLOAT16_SCALES = (2.0**10, 1.0, 2.0**-6)


@_backends.kept_random_state()
def measure(network, batch, loss=None, *, with_update=False):
    """Returns the `Signal` of a `Network` on a `Batch`, in training mode; changes nothing.

    With `with_update`, the first step of the optimizer of a compiled model is measured too.

    Raises:
        ValueError: If the model has no layer with a kernel, or does not take the batch.
    """
    check_kernels(network)
    is_half = any(each.layer.compute_dtype == "float16" for each in network.kernels)
    for scale in _FLOAT16_SCALES if is_half else (1.0,):
        signal = _measure(network, batch, loss, with_update, scale)
        if _has_finite_gradients(signal):
            break
    return signal


def _has_finite_gradients(signal):
    """Whether a smaller loss would change nothing: there is no gradient that is not finite."""
    gradients = [layer.gradient for layer in signal.layers]
    gradients += [kernel.gradient for layer in signal.layers for kernel in layer.kernels]
    return all(each is None or math.isfinite(each) for each in gradients)


def _measure(network, batch, loss, with_update, scale):
    """Returns the `Signal`, with gradients taken of a loss times a scale."""
    model, reductions = network.model, Reductions()
    taps, objective = Taps(network, reductions), Objective(model, loss, batch)

    def forward(tap):
        with taps.on(lambda _, x: tap(x)):
            outputs = run(model, batch)
            # Inside, since what layers have added to the loss is forgotten afterwards.
            return objective(outputs) * scale, (outputs, objective.value, objective.added)

    def add_size(gradient):
        return reductions.add(statistics.size, gradient)

    variables = model.trainable_variables
    results, gradients, sizes = _backends.backpropagate(forward, variables, add_size)
    outputs, objective.value, objective.added = results

    def add_sizes(values):
        return {
            id(variable): add_size(value)
            for variable, value in zip(variables, values, strict=True)
            if value is not None and 0 not in variable.shape
        }

    of_variables = add_sizes(gradients)
    updates = None
    if with_update and objective.value is not None and objective.is_compiled:
        updates = first_update(model, variables, gradients, scale)
    of_updates = add_sizes(updates) if updates else {}
    factor = lasting(model) if updates else 1.0
    is_scheduled = bool(updates) and has_schedule(model)
    after_step = None if is_scheduled else _loss_after(objective, variables, updates)
    of_kernels = {each: _add_kernel(reductions, each) for each in network.kernels}
    of_constraints = {each: _add_constrained(reductions, each) for each in network.kernels}
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
    for weight, place in of_kernels.items():
        if place is not None:
            # With JAX, what the loss does not depend on has a gradient as well: zero.
            is_reached = weight.layer in reached
            gradient = norm(of_variables.get(id(weight.variable))) if is_reached else None
            update = of_updates.get(id(weight.variable))
            update = None if update is None else statistics.norm(*numbers[update]) * factor
            left = of_constraints[weight]
            left = None if left is None else statistics.norm(*numbers[left])
            signal = _kernel_signal(weight, numbers[place], gradient, update, left, alike)
            kernels.setdefault(weight.layer, []).append(signal)
    seen = {owner for each in tapped for owner in each.owners}
    not_reached = [each.layer.path for each in network.kernels if each.layer not in seen]
    return Signal(
        model=model.name,
        batch_size=batch.size,
        is_drawn=batch.is_drawn,
        layers=tuple(
            _layer_signal(each, network, numbers, norm(sizes[each.tap]), kernels) for each in tapped
        ),
        inputs=tuple(_input_signals(batch, network)),
        outputs=tuple(_summary(numbers[place]) for place in of_outputs),
        loss=objective.signal(outputs, after_step),
        not_reached=tuple(dict.fromkeys(not_reached)),
        problem=network.problem,
        coverage=coverage(network.weights, seen),
        losses=tuple(objective.signals(outputs)),
        endings=tuple(endings(network, output_names(model, outputs))),
        dropout_noise=dropout_noise(network),
        is_linear=is_linear(network),
        gives_images=gives_images(network),
        num_trainable=len(variables),
        optimizer=name_and_rate(model) if updates else None,
        is_adaptive=bool(updates) and is_adaptive(model),
        is_scheduled=is_scheduled,
        decay=decay(model) if updates else 0.0,
    )


def _loss_after(objective, variables, steps):
    """Returns the loss on the same batch after a step, `None` where the step is not known."""
    if not steps:
        return None
    model, batch = objective.model, objective.batch
    mapping = [
        (variable, variable.value + step)
        for variable, step in zip(variables, steps, strict=True)
        if step is not None
    ]
    again = Objective(model, None, batch)
    scope = keras.StatelessScope(state_mapping=mapping, collect_losses=True)
    with _backends.without_gradient(), _network.restored(model), scope:
        again(run(model, batch))
    return float(ops.convert_to_numpy(ops.cast(again.value, "float32")))


def run(model, batch):
    """Returns the outputs of a model in training mode, or raises what says which batch failed."""
    try:
        return batch.apply(model)
    except NotImplementedError as error:
        raise ValueError(
            "`model` should run on a batch in training mode, as `fit` runs it. "
            f"Received: model={model.name!r}, which raises {_checks.first_line(error)!r}. "
            "Give a network inside of it that does."
        ) from error
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
        largest=largest,
        mean=largest * mean,
        second_moment=square * second_moment,
        common=square * common,
        dead=dead,
        zero=zero,
        num_samples=int(samples),
    )


def _layer_signal(tapped, network, numbers, gradient, kernels):
    layer = tapped.layer
    around = network.around(_network.distributed(layer), tapped.number)

    def number(place):
        return None if place is None else float(numbers[place])

    is_known = tapped.directions is not None
    rank, alignment = map(float, numbers[tapped.directions]) if is_known else (None, None)
    return LayerSignal(
        layer=tapped.path,
        name=layer.name,
        kind=type(layer).__name__,
        activation=None if tapped.activation is None else tapped.activation.name,
        normalized=tapped.normalized,
        is_first=around.is_first,
        is_first_map=around.is_first_map,
        is_anew=around.is_anew,
        is_normalized_later=around.is_normalized_later,
        is_last=around.is_last,
        is_output=around.is_output,
        branch=around.branch,
        preactivation=_summary(numbers[tapped.preactivation]),
        output=_summary(numbers[tapped.output]),
        rank=rank,
        alignment=alignment,
        saturated=number(tapped.saturated),
        gradient=gradient,
        sample=statistics.split(numbers[tapped.output])[1],
        kernels=tuple(kernel for owner in tapped.owners for kernel in kernels.get(owner, ())),
        asked=_asked(tapped.activation),
        runs_away=tapped.activation is not None and tapped.activation.runs_away,
        logit_std=number(tapped.logit_std),
        num_keys=tapped.num_keys,
        token_cosine=number(tapped.token_cosine),
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


def _add_constrained(reductions, weight):
    """Adds what a constraint leaves of a kernel after a step; `None` where there is none."""
    variable = weight.variable
    if variable.constraint is None or not variable.trainable:
        return None
    with _backends.without_gradient():
        return reductions.add(statistics.size, variable.constraint(variable))


def _num_blocks(weight):
    """Returns the number of separate matrices in a kernel."""
    if weight.role == "embedding":  # its rows are drawn one by one, but make one matrix
        return 1
    shape, axes = weight.structure
    return axes.sizes(shape)[3]


def _kernel_signal(weight, numbers, gradient, update, left, alike):
    low, high, mean, second_moment, repeated = statistics.split_kernel(numbers, _num_blocks(weight))
    initializer = weight.held_initializer()
    fan_in, fan_out = weight.fans
    asked, asked_by_keras = variances(weight, initializer)
    norm = math.sqrt(second_moment * math.prod(weight.shape))
    return KernelSignal(
        path=weight.path,
        role=weight.role,
        shape=weight.shape,
        fan_in=fan_in,
        fan_out=fan_out,
        initializer=brief(initializer),
        mean=mean,
        second_moment=second_moment,
        asked=asked,
        asked_by_keras=asked_by_keras,
        repeated=repeated,
        gradient=gradient,
        twin=_twin(weight, low, high, alike),
        update=update / norm if update is not None and norm > 0 else None,
        constrained=left / norm if left is not None and norm > 0 else None,
        is_trainable=weight.variable.trainable,
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


def _input_signals(batch, network):
    is_scaled = any(map(_network.scales_columns, _network.walk(network.model)))
    paths = keras.tree.flatten_with_path(batch.x)
    outliers = batch.outliers or [1.0] * len(paths)
    for (path, array), outlier in zip(paths, outliers, strict=True):
        is_known = array.dtype.kind in "fiub" and array.size
        values = array.astype("float64") if is_known else np.zeros(1)
        is_table = array.ndim == 2 and array.dtype.kind == "f"
        yield InputSignal(
            name="/".join(map(str, path)) or "x",
            shape=array.shape,
            mean=float(values.mean()),
            second_moment=float((values**2).mean()),
            is_tokens=array.dtype.kind in "iub",
            varies=len(array) < 2 or bool((array[1:] != array[:1]).any()),
            outlier=outlier,
            scales=_scales(values) if is_table and not is_scaled else (),
        )


def _scales(table):
    scales = table.std(0)
    return tuple(scales[scales > 0].tolist())
