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
    fix="Initialize the model anew; if the batch has values of this size, scale it.",
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
    limits={"error": 0},
    limit="softmax or sigmoid output with `from_logits=True`, or a linear output with "
    "`from_logits=False`",
    reason="A crossentropy that expects the other kind of output takes the softmax twice, or the "
    "logarithm of negative numbers.",
    reference="Keras 3, keras.losses, argument from_logits",
    fix="Use `from_logits=True` with a linear output, `from_logits=False` after softmax or "
    "sigmoid.",
)
def loss_mismatch(rule, signal, found):
    loss = signal.loss
    outputs = [layer for layer in signal.layers if layer.is_output]
    if loss is None or loss.from_logits is None or len(outputs) != 1:
        return
    layer = outputs[0]
    is_probability = layer.activation in ("softmax", "sigmoid", "hard_sigmoid")
    if is_probability and loss.from_logits:
        what = "probabilities, and the loss takes logits"
    elif layer.activation is None and not loss.from_logits:
        what = "logits, and the loss takes probabilities"
    else:
        return
    yield rule.finding(
        "error",
        layer=layer.layer,
        value=1,
        limit=rule.limits["error"],
        message=f"The output of {layer.layer} is {what}: 1 mismatch, limit 0.",
    )


@rule(
    # One-hot data are small, and what is small only makes the outputs small.
    limits={"error": (1e-8, 1e3), "warning": (1e-4, 20.0)},
    limit="the second moment of the input is outside of {warning[0]:g} to {warning[1]:g} "
    "(warning), {error[0]:g} to {error[1]:g} (error)",
    reason="Initializers are made for inputs of unit size. Others scale the first layer's output "
    "and its gradient, and no learning rate suits that layer and the rest.",
    reference=LECUN.at("section 4.3"),
    fix="Standardize the data: `x = (x - x.mean(0)) / (x.std(0) + 1e-7)`, or a "
    "`keras.layers.Normalization` or `Rescaling` in front. The weights cannot make up for it.",
)
def input_not_standardized(rule, signal, found):
    if signal.is_drawn:
        return
    for layer in maps(signal):
        kernel = layer.kernels[0]
        if not layer.is_first or not kernel.fan_in * kernel.second_moment > 0:
            continue
        if layer.normalized or kernel.role != "kernel" or len(layer.kernels) > 1:
            continue  # a normalization takes any scale
        size = layer.preactivation.second_moment / (kernel.fan_in * kernel.second_moment)
        for severity, (low, high) in rule.limits.items():
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
