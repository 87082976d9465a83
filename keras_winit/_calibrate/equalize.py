"""Trades the kernels of a network against each other until they learn at one speed."""

import dataclasses
import math

import keras
import numpy as np

from keras_winit import _backends
from keras_winit._measure.measure import measure, run

ops = keras.ops

# How much rounding may change the outputs, relative to the largest.
_TOLERANCES = {"float32": 1e-3, "float64": 1e-3}
_SUITED = "plain networks of relu and other activations with f(2z) = 2 f(z)"


def check(network, fixed):
    """Raises if the kernels of a model cannot be traded against each other."""
    problem = _problem(network, fixed)
    if problem:
        raise ValueError(_message(network.model, problem))


def _message(model, problem):
    return (
        f'`mode="equalized"` should be for {_SUITED}. '
        f'Received: model={model.name!r}: {problem}. Use mode="auto" instead.'
    )


def _problem(network, fixed):
    kernels = [weight for weight in network.weights if weight.kernel is not None]
    if network.problem:
        return f"its graph could not be read in full ({network.problem})"
    if not network.is_plain or len(kernels) != network.depth:
        return "it is no plain chain of layers with one kernel each"
    points = np.linspace(-3, 3, 13)
    for weight in kernels:
        if weight in fixed:
            return f"{weight.layer.name!r} is to be left alone ({fixed[weight]})"
        around = network.around(weight.layer)
        if around.activation is None or around.is_output:
            continue
        activation = around.activation
        if activation.moments is None or not np.allclose(
            activation.values(2 * points), 2 * activation.values(points), atol=1e-6
        ):
            return f"{activation.name} follows {weight.layer.name!r}"
    return None


def equalize(network, batch, layers, changes):
    """Makes the gradient by each kernel over its norm the same; the outputs stay as they are.

    In such a network a kernel times s makes every other kernel's gradient s times larger. Where
    the product of all factors is 1, the ratio of gradient to kernel thus falls by s² at each.

    Args:
        network: The `Network` of the model, which is changed.
        batch: The `Batch`, of which the labels are not used.
        layers: A `CalibratedLayer` for each call.
        changes: `Changes`, of which these are a part.

    Returns:
        The `CalibratedLayer`s with what has been changed.
    """
    model = network.model
    batch = dataclasses.replace(batch, y=None, sample_weight=None)
    outputs = _outputs(model, batch)
    kernels = [signal.kernels[0] for signal in measure(network, batch).layers]
    ratios = [(each.gradient or 0.0) / (each.norm or math.inf) for each in kernels]
    center = np.mean([math.log(ratio) for ratio in ratios if ratio] or [0.0])
    by_path = {weight.path: weight for weight in network.weights}
    total, rows = 1.0, []
    for row, kernel, ratio in zip(layers, kernels, ratios, strict=True):
        factor = math.exp((math.log(ratio) - center) / 2) if ratio else 1.0
        total *= factor
        weight = by_path[kernel.path]
        _multiply(weight.variable, factor, changes)
        bias = network.bias(weight.layer)
        if bias is not None:
            _multiply(bias.variable, total, changes)
        row = dataclasses.replace(row, mode="equalized", target=None)
        row = dataclasses.replace(row, reason="traded until all learn at one speed")
        factor *= row.factor or 1.0
        rows.append(dataclasses.replace(row, factor=factor, after=row.after * total**2))
    for old, new in zip(outputs, _outputs(model, batch), strict=True):
        if np.abs(new - old).max() > _TOLERANCES.get(model.compute_dtype, 0.1) * np.abs(old).max():
            raise ValueError(_message(model, "a change of scale changes its outputs"))
    return rows


def _outputs(model, batch):
    with _backends.without_gradient(), keras.StatelessScope():
        outputs = keras.tree.flatten(run(model, batch))
    return [np.float64(ops.convert_to_numpy(each)) for each in outputs]


def _multiply(variable, factor, changes):
    factor = ops.convert_to_tensor(np.float32(factor))
    changes.assign(variable, ops.multiply(variable.value, factor))
