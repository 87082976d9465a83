"""What goes into a model and what comes out: numbers, inputs, outputs and the loss."""

import math

import numpy as np

from keras_winit._rules._finding import CALIBRATE, INITIALIZE, Action, above, log_noise, maps, rule
from keras_winit._rules._size import exploding_signal

# One-hot data are small, and what is small only makes the outputs small.
INPUT = {"error": (1e-8, 1e3), "warning": (1e-4, 20.0)}
# Logits of standard deviation 2 make about 2 more than the log of the number of classes.
EXCESS_LOSS = 2.0
KNOWN_LOSS = 0.5
# Activations of an output whose bias can start at the prior.
PRIORS = (None, "sigmoid", "softmax")


@rule(
    "Micikevicius et al., 2018, section 3, https://arxiv.org/abs/1710.03740",
    "Initialize the model anew; if the batch has values of this size, scale it.",
)
def non_finite(signal):
    """A number that is infinite or not a number spreads to all weights in the first step."""
    what, layer = _not_finite(signal)
    if what:
        limit = float(np.finfo("float32").max)
        message = f"{what} is not finite; the limit is {limit:.2g}."
        yield "error", layer, math.inf, limit, message, INITIALIZE


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
    "Keras 3, keras.losses, argument from_logits",
    "Use `from_logits=True` with a linear output, `from_logits=False` after softmax or sigmoid.",
)
def loss_mismatch(signal):
    """A crossentropy that is told the wrong kind of output takes the softmax twice, or the
    logarithm of negative numbers.
    """
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
    message = f"The output of {layer.layer} is {what}: 1 mismatch, limit 0."
    yield "error", layer.layer, 1, 0, message, None


@rule(
    "LeCun et al., 1998, Efficient BackProp, section 4.3, http://yann.lecun.com/exdb/publis/pdf/"
    "lecun-98b.pdf",
    # What is constant, as pixels at the edge, has no standard deviation to divide by.
    "Standardize the data: `x = (x - x.mean(0)) / (x.std(0) + 1e-7)`, or a "
    "`keras.layers.Normalization` or `Rescaling` in front. It cannot be mended in the weights.",
)
def input_not_standardized(signal):
    """Initializers are made for inputs of unit size. Others scale the first layer's output and its
    gradient, and no learning rate suits that layer and the rest.
    """
    if signal.is_drawn:
        return
    for layer in maps(signal):
        kernel = layer.kernels[0]
        if not layer.is_first or not kernel.fan_in * kernel.second_moment > 0:
            continue
        if layer.normalized or kernel.role != "kernel" or len(layer.kernels) > 1:
            continue  # a normalization takes any scale
        size = layer.preactivation.second_moment / (kernel.fan_in * kernel.second_moment)
        for severity, (low, high) in INPUT.items():
            if not low <= size <= high:
                limit = low if size < low else high
                message = (
                    f"The input that reaches {layer.layer} has a second moment of about "
                    f"{size:.2g}; the limit is {limit:g}, and 1 is right."
                )
                yield severity, layer.layer, size, limit, message, None
                break


@rule(
    "Lin et al., 2017, section 4.1, https://arxiv.org/abs/1708.02002; Karpathy, 2019, "
    "https://karpathy.github.io/2019/04/25/recipe/",
    "Start the bias of the last layer at the log of the classes' frequencies, or at the mean of "
    "the targets.",
)
def class_prior(signal):
    """The frequencies of the classes, or the mean of the targets, are known. What the bias of the
    last layer does not start with, the first steps have to learn.
    """
    loss = signal.loss
    if loss is None or loss.best is None or loss.uniform is None or any(loss_mismatch(signal)):
        return
    is_regression = loss.from_logits is None
    if not is_regression and loss.best <= 0:  # of one class alone no frequencies are known
        return
    least = KNOWN_LOSS * (loss.uniform if is_regression else 1.0)
    limit = loss.best + least
    if loss.uniform - loss.best > least and loss.value > limit:
        message = (
            f"The loss is {loss.value:.3g} before training, and {loss.best:.3g} for the best "
            f"constant output; the limit is {limit:.3g}."
        )
        outputs = [layer for layer in signal.layers if layer.is_output]
        is_known = len(outputs) == 1 and outputs[0].activation in PRIORS
        yield "warning", None, loss.value, limit, message, Action("prior") if is_known else None


@rule(
    "Karpathy, 2019, A recipe for training neural networks, "
    "https://karpathy.github.io/2019/04/25/recipe/; "
    "limit: Ben Braiek and Khomh, 2022, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "Smaller weights in the last layer: `calibrate(model, x)`.",
)
def initial_loss(signal):
    """Before training a classifier should be unsure. Large logits make a large loss that the first
    steps are spent on.
    """
    loss = signal.loss
    if loss is None or loss.uniform is None or loss.from_logits is None:
        return
    causes = (loss_mismatch, input_not_standardized, exploding_signal)
    if any(finding for cause in causes for finding in cause(signal)):
        return
    excess = max(loss.uniform, EXCESS_LOSS)
    # The logits of a deep network are as large as chance makes its signal.
    noise = math.exp(log_noise(maps(signal)) / 2)
    limits = {"error": loss.uniform + 10 * excess * noise, "warning": loss.uniform + excess}
    severity, limit = above(loss.value, limits)
    if severity:
        message = (
            f"The loss is {loss.value:.3g} before training, and {loss.uniform:.3g} for an output "
            f"that knows nothing; the limit is {limit:.3g}."
        )
        yield severity, None, loss.value, limit, message, CALIBRATE
