"""What goes into a model, and whether its numbers and its loss can be computed with."""

import math

import numpy as np

from keras_winit._diagnose.rules.finding import INITIALIZE
from keras_winit._diagnose.rules.rule import maps, rule
from keras_winit._references import LECUN, MICIKEVICIUS


@rule(
    limits={"error": float(np.finfo("float32").max)},
    limit="any weight, signal, loss or gradient that is infinite or not a number",
    reason="A number that is infinite or not a number spreads to all weights in the first step.",
    reference=MICIKEVICIUS.at("section 3"),
    fix="Initialize the model anew; if the batch has values of this size, scale it. A logarithm, "
    "root or quotient of your own, in a layer or the loss, needs what keeps it from zero: "
    "`ops.sqrt(x + 1e-7)`.",
    is_last=True,
)
def non_finite(rule, signal, found):
    what, layer = _not_finite(signal)
    if what:
        limit = rule.limits["error"]
        yield rule.finding(
            "error",
            layer=layer,
            value=math.inf,
            limit=limit,
            message=f"{what} is not finite; the limit is {limit:.2g}.",
            action=INITIALIZE,
        )


def _not_finite(signal):
    """Returns what is not finite where that starts, and the path of the layer."""
    for layer in signal.layers:
        for kernel in layer.kernels:
            if not math.isfinite(kernel.second_moment):
                return f"A value of {kernel.path}", layer.layer
        if not math.isfinite(layer.preactivation.second_moment + layer.output.second_moment):
            return f"The signal at {layer.layer}", layer.layer
    if signal.loss is not None and not math.isfinite(signal.loss.value):
        return "The loss", None
    for layer in reversed(signal.layers):
        if layer.gradient is not None and not math.isfinite(layer.gradient):
            return f"The gradient at {layer.layer}", layer.layer
    return None, None


@rule(
    # One-hot data are small, and what is small only makes the outputs small.
    limits={"error": (1e-8, 1e3), "warning": (1e-4, 20.0), "sample": 1e3},
    limit="the second moment of the input is outside of {warning[0]:g} to {warning[1]:g} "
    "(warning), {error[0]:g} to {error[1]:g} (error); or a sample of all that are given is more "
    "than {sample:g} times as large as they are (error)",
    reason="Initializers are made for inputs of unit size. Others scale the first layer's output "
    "and its gradient, and no learning rate suits that layer and the rest.",
    reference=LECUN.at("section 4.3"),
    fix="Standardize the data: `x = (x - x.mean(0)) / (x.std(0) + 1e-7)`, or a "
    "`keras.layers.Normalization` or `Rescaling` in front, and look at `abs(x).max(0)` for values "
    "that are none. The weights cannot make up for it.",
)
def input_not_standardized(rule, signal, found):
    if signal.is_drawn:
        return
    yield from _outliers(rule, signal)
    for layer in maps(signal):
        kernel = layer.kernels[0]
        if not layer.is_first or not kernel.fan_in * kernel.second_moment > 0:
            continue
        is_cell = any(each.role == "recurrent" for each in layer.kernels)
        if layer.normalized or kernel.role != "kernel" or len(layer.kernels) > 1 + is_cell:
            continue  # a normalization takes any scale
        size = layer.preactivation.second_moment / (kernel.fan_in * kernel.second_moment)
        if is_cell:  # of which the gates have taken the size
            if len(signal.inputs) > 1 or signal.inputs[0].is_tokens:
                continue
            size = signal.inputs[0].second_moment
        if not size > 0:
            continue  # it is lost on the way, or constant
        for severity in ("error", "warning"):
            low, high = rule.limits[severity]
            if not low <= size <= high:
                limit = low if size < low else high
                yield rule.finding(
                    severity,
                    layer=layer.layer,
                    value=size,
                    limit=limit,
                    message=f"The input that reaches {layer.layer} has a second moment of about "
                    f"{size:.2g}; the limit is {limit:g}, and 1 is right.",
                )
                break


def _takes(each, layer):
    """Whether a layer may take an input as it is, by its size, and not what scales its columns.

    One column may be far larger than all others: by chance its weights are then off by four
    standard errors.
    """
    kernel, found = layer.kernels[0], layer.preactivation.second_moment
    expected = kernel.fan_in * kernel.second_moment * each.second_moment
    if not (found > 0 and expected > 0):
        return False
    return abs(math.log(found / expected)) < 4 * math.sqrt(2 / kernel.shape[-1])


def _outliers(rule, signal):
    """Yields a finding for inputs with a sample that nothing is learned beside."""
    limit = rule.limits["sample"]
    for each in signal.inputs:
        if each.outlier > limit:
            yield rule.finding(
                "error",
                layer=None,
                value=each.outlier,
                limit=limit,
                message=f"A sample of input {each.name} is {each.outlier:.2g} times as large as "
                f"they are; the limit is {limit:g}.",
            )


@rule(
    limits={"error": 0},
    limit="two or more samples, and all are the same",
    reason="What is the same for all samples cannot tell them apart: only a constant is learned.",
    reference=LECUN.at("section 4.3"),
    fix="Look at the data where they are read and scaled: `x.std(0)` should not be zero.",
)
def constant_input(rule, signal, found):
    if signal.is_drawn or not signal.inputs or any(each.varies for each in signal.inputs):
        return
    yield rule.finding(
        "error",
        layer=None,
        value=0,
        limit=rule.limits["error"],
        message=f"All {signal.batch_size} samples are the same: they differ by 0, and more than "
        "the limit of 0 is right.",
    )


@rule(
    limits={"warning": 50.0, "share": 0.25},
    limit="of the columns of a table that vary, more than {share:.0%} have a standard deviation "
    "that is more than {warning:g} times smaller than the largest (warning)",
    reason="The gradient by a weight is as large as the feature that it multiplies: those of small "
    "features hardly learn at a rate that those of large ones can bear.",
    reference=LECUN.at("section 4.3"),
    fix="Standardize each column: `x = (x - x.mean(0)) / (x.std(0) + 1e-7)`, or a "
    "`keras.layers.Normalization` that has been adapted, in front.",
)
def unequal_features(rule, signal, found):
    first = [layer for layer in maps(signal) if layer.is_first]
    if signal.is_drawn or not first or any(layer.normalized or layer.is_anew for layer in first):
        return
    if len(signal.inputs) == 1 and not any(_takes(signal.inputs[0], layer) for layer in first):
        return
    for each in signal.inputs:
        if len(each.scales) < 2:
            continue
        scales = np.sort(each.scales)
        small = scales[int(rule.limits["share"] * len(scales))]
        ratio = scales[-1] / small
        if ratio > rule.limits["warning"]:
            yield rule.finding(
                "warning",
                layer=None,
                value=ratio,
                limit=rule.limits["warning"],
                message=f"The columns of the input have standard deviations from {scales[0]:.2g} "
                f"to {scales[-1]:.2g}, the largest {ratio:.2g} times that of a quarter of the "
                f"columns; the limit is {rule.limits['warning']:g}.",
            )


@rule(
    # Of images with a side of fewer pixels an axis of 4 may be one.
    limits={"warning": 4, "side": 8},
    limit="square images of {side} pixels or more, whose 1 to {warning} channels lie before the "
    "pixels where the first convolution takes the last axis for channels, or behind them where it "
    "takes the first (warning)",
    reason="The convolution then moves over colors and rows, and takes each column for a channel "
    "of its own.",
    reference="Keras 3, keras.layers.Conv2D, argument data_format",
    fix="`x = np.moveaxis(x, 1, -1)` for images of shape (channels, rows, columns), as PyTorch has "
    "them; or `data_format` of the layers.",
)
def channels_order(rule, signal, found):
    if signal.is_drawn or len(signal.inputs) != 1 or len(signal.inputs[0].shape) != 4:
        return
    _, first, middle, last = signal.inputs[0].shape
    limits = rule.limits
    for layer in maps(signal):
        kernel = layer.kernels[0]
        if not layer.is_first or kernel.role != "kernel" or len(kernel.shape) != 4:
            continue
        is_taken_last = kernel.shape[2] == last and middle == last
        channels, side = (first, last) if is_taken_last else (last, first)
        is_square = is_taken_last or (kernel.shape[2] == first and first == middle)
        if is_square and channels <= limits["warning"] and side >= limits["side"]:
            yield rule.finding(
                "warning",
                layer=layer.layer,
                value=side,
                limit=limits["warning"],
                message=f"Images of shape {first} x {middle} x {last} are taken for {side} "
                f"channels by {layer.layer}; the limit is {limits['warning']}.",
            )
