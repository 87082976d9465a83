"""Judges a `Signal`: one generator for each disease. Numbers only; knows no model.

A rule yields (severity, layer, value, limit, message, action); why it matters is its docstring.
"""

import inspect
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

# Second moment of the signal over that of the first layer.
SIGNAL_LIMITS = {"error": 1e4, "warning": 10.0}
# Norm of the gradient at the first layer over that at the last.
VANISHING_GRADIENT = {"error": 1e-3, "warning": 1e-2}
EXPLODING_GRADIENT = {"error": 1e3, "warning": 70.0}
# Beyond what chance explains.
DEAD = {"error": 0.5, "warning": 0.25}
SATURATED = {"error": 0.5, "warning": 0.2}
COSINE = {"error": 0.999, "warning": 0.99}
BETWEEN_SAMPLES = 1e-3
REPEATED = {"error": 0.5, "warning": 0.1}
WRONG_FAN = 1.5
INPUT = {"error": (1e-3, 1e3), "warning": (0.05, 20.0)}
EXCESS_LOSS = 0.5
# E f⁴ / (E f²)² - 1 of relu, the largest among common activations.
_KURTOSIS = 5.0


@dataclass(frozen=True)
class Action:
    """What mends a finding.

    Attributes:
        verb: `"initialize"`, `"calibrate"` or `"prior"`.
        only: Paths of weights that it is for, or `None` for the whole model.
    """

    verb: str
    only: tuple | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        rule: Name of the disease, as `"vanishing_signal"`.
        severity: `"error"` or `"warning"`.
        layer: Path of the layer, or `None` for the whole model.
        value: The number that was measured.
        limit: The number that it should keep to.
        message: One sentence with both.
        reason: Why that is bad.
        reference: Paper and section.
        fix: What to do.
        action: What `Diagnosis.fix` does, or `None` where it cannot be mended in the weights.
    """

    rule: str
    severity: str
    layer: str | None
    value: float
    limit: float
    message: str
    reason: str
    reference: str
    fix: str
    action: Action | None = None


INITIALIZE = Action("initialize")
CALIBRATE = Action("calibrate")

RULES = []


def judge(signal):
    """Returns the `Finding`s of a `Signal`, errors first; nothing else where it is not finite."""
    found = []
    for rule in RULES:
        found.extend(rule(signal))
        if found and rule is RULES[0]:
            break
    return sorted(found, key=lambda finding: finding.severity != "error")


def _rule(reference, fix):
    """Makes a rule of a generator: fills in what is the same for all of its findings."""

    def decorate(generator):
        reason = " ".join(inspect.getdoc(generator).split())

        def rule(signal):
            for severity, layer, value, limit, message, action in generator(signal):
                yield Finding(
                    generator.__name__,
                    severity,
                    layer,
                    float(value),
                    float(limit),
                    message,
                    reason,
                    reference,
                    fix,
                    action,
                )

        rule.__name__ = generator.__name__
        RULES.append(rule)
        return rule

    return decorate


def _above(value, limits):
    """Returns the severity of a value and the limit that it is above, or `None` twice."""
    for severity in ("error", "warning"):
        if value > limits[severity]:
            return severity, limits[severity]
    return None, None


def _below(value, limits):
    for severity in ("error", "warning"):
        if value < limits[severity]:
            return severity, limits[severity]
    return None, None


def _worst(layers, value, limits):
    """Yields (severity, limit, layers), once at most: the layers above it, the worst one first."""
    for severity in ("error", "warning"):
        many = [layer for layer in layers if value(layer) > limits[severity]]
        if many:
            yield severity, limits[severity], sorted(many, key=value, reverse=True)
            return


def _others(many):
    return f" ({len(many) - 1} other layers are above it)" if len(many) > 1 else ""


def _maps(signal):
    """Returns the layers that pass a signal on: not those of tables, nor those that start at 0."""
    return [
        layer
        for layer in signal.layers
        if layer.kernels
        and layer.kernels[0].role != "embedding"
        and any(kernel.second_moment > 0 for kernel in layer.kernels)
    ]


def _noise(layers):
    """Returns three standard deviations of the log of the signal's size that chance explains."""
    return 3 * math.sqrt(sum(_KURTOSIS / max(layer.kernels[0].fan_in, 1) for layer in layers))


@_rule(
    "Micikevicius et al., 2018, section 3, https://arxiv.org/abs/1710.03740",
    "Initialize the model anew; if the batch has values of this size, scale it.",
)
def non_finite(signal):
    """A number that is infinite or not a number spreads to all weights in the first step."""
    for layer in signal.layers:
        values = (layer.preactivation.second_moment, layer.output.second_moment)
        gradient = 0.0 if layer.gradient is None else layer.gradient
        if not all(map(math.isfinite, (*values, gradient))):
            what = "gradient" if all(map(math.isfinite, values)) else "signal"
            limit = float(np.finfo("float32").max)
            message = f"The {what} at {layer.layer} is not finite; the limit is {limit:.2g}."
            yield (
                "error",
                layer.layer,
                math.inf,
                limit,
                message,
                INITIALIZE,
            )
            return


@_rule(
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852",
    "`initialize(model)` gives every layer the variance that its activation asks for.",
)
def vanishing_signal(signal):
    """Each layer multiplies the signal by a constant. Where that is below one, little of the input
    is left at the output, and the gradient shrinks alike.
    """
    yield from _drift(signal, -1, "vanishes")


@_rule(
    "Hanin and Rolnick, 2018, section 2, https://arxiv.org/abs/1803.01719",
    "`initialize(model)` scales the weights by activation, and residual branches by their number.",
)
def exploding_signal(signal):
    """Each layer or residual branch multiplies the signal by a constant. Where that is above one,
    the outputs and the first steps are huge.
    """
    yield from _drift(signal, 1, "explodes")


def _drift(signal, direction, verb):
    layers = [layer for layer in _maps(signal) if not layer.is_output]
    if len(layers) < 2 or not layers[0].output.second_moment > 0:
        return
    first = layers[0].output.second_moment
    is_normalized = any(layer.normalized for layer in layers)
    for severity, limit in SIGNAL_LIMITS.items():
        if severity == "warning" and is_normalized:  # every normalization starts anew
            continue
        for number, layer in enumerate(layers[1:], start=1):
            ratio = layer.output.second_moment / first
            change = direction * (math.log(ratio) if ratio > 0 else -math.inf)
            if change > math.log(limit) + _noise(layers[:number]):
                bound = limit**direction
                message = (
                    f"The signal {verb}: at {layer.layer}, layer {number + 1} of {len(layers)}, "
                    f"its second moment is {ratio:.2g} times that at {layers[0].layer}; "
                    f"the limit is {bound:g}."
                )
                yield severity, layer.layer, ratio, bound, message, INITIALIZE
                return


@_rule(
    "Glorot and Bengio, 2010, section 4.2, https://proceedings.mlr.press/v9/glorot10a.html; "
    "limit: Zhang et al., 2021, AUTOTRAINER, https://doi.org/10.1109/ICSE43902.2021.00043",
    "`initialize(model)`; in deep networks of bounded activations also a normalization layer or "
    "shortcuts.",
)
def vanishing_gradient(signal):
    """The first layers get steps that are so much smaller than the last ones' that they do not
    learn.
    """
    ratio, first, noise = _gradient_ratio(signal)
    if ratio is None:
        return
    severity, limit = _below(ratio * noise, VANISHING_GRADIENT)
    if severity:
        message = (
            f"The gradient vanishes: its norm at {first} is {ratio:.2g} times that at the last "
            f"layer; the limit is {limit:g}."
        )
        yield severity, first, ratio, limit, message, INITIALIZE


@_rule(
    "Pascanu et al., 2013, section 2, https://arxiv.org/abs/1211.5063; "
    "limit: Zhang et al., 2021, AUTOTRAINER, https://doi.org/10.1109/ICSE43902.2021.00043",
    "`initialize(model)`; clip the gradient if it stays large.",
)
def exploding_gradient(signal):
    """The first layers get steps that are so much larger than the last ones' that any learning rate
    is too large for them or too small for the rest.
    """
    ratio, first, noise = _gradient_ratio(signal)
    if ratio is None:
        return
    severity, limit = _above(ratio / noise, EXPLODING_GRADIENT)
    if severity:
        message = (
            f"The gradient explodes: its norm at {first} is {ratio:.2g} times that at the last "
            f"layer; the limit is {limit:g}."
        )
        yield severity, first, ratio, limit, message, INITIALIZE


def _gradient_ratio(signal):
    """Returns the gradient at the first layer over that at the last, the former's path, noise."""
    layers = [layer for layer in _maps(signal) if layer.gradient is not None]
    # Where the output or a branch starts at zero, nothing flows back in the first step, by design.
    if len(layers) < 3 or _starts_at_zero(signal):
        return None, None, None
    first, last = layers[0], layers[-1]
    if not _gradient(last) > 0:
        return None, None, None
    return _gradient(first) / _gradient(last), first.layer, math.exp(_noise(layers[1:]) / 2)


def _gradient(layer):
    """Returns the norm of the gradient by what comes out of a normalization, if there is one."""
    if layer.normalized:
        return layer.gradient * math.sqrt(layer.preactivation.variance)
    return layer.gradient


def _starts_at_zero(signal):
    return any(
        layer.is_output and all(kernel.second_moment == 0 for kernel in layer.kernels)
        for layer in signal.layers
    )


@_rule(
    "Lu et al., 2019, https://arxiv.org/abs/1903.06733; "
    "limit: Ben Braiek and Khomh, 2023, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "`initialize(model)`, with biases at zero; `calibrate(model, x)` if the data are not centered.",
)
def dead_units(signal):
    """A unit that gives zero for every sample gets no gradient and stays so."""
    hidden = [each for each in _maps(signal) if each.activation and not each.is_output]
    chance = {each.layer: _dead_by_chance(each) for each in hidden}
    for severity, limit, many in _worst(
        hidden, lambda layer: layer.output.dead - chance[layer.layer], DEAD
    ):
        layer = many[0]
        limit = min(limit + chance[layer.layer], 1.0)
        message = (
            f"{layer.output.dead:.0%} of the units of {layer.layer} give nothing for any of "
            f"{layer.output.num_samples} samples; the limit is {limit:.0%}{_others(many)}."
        )
        yield severity, layer.layer, layer.output.dead, limit, message, INITIALIZE


def _dead_by_chance(layer):
    """Returns the fraction of rectifiers that chance may turn off for all samples.

    Deep networks make samples alike; a unit is then on for all of them or for none. The
    preactivations of a unit are taken for normal, equally correlated. Three standard deviations
    for the number of units are added.
    """
    cosine = min(max(layer.preactivation.cosine or 0.0, 0.0), 1 - 1e-9)
    common, weights = np.polynomial.hermite_e.hermegauss(63)
    below = np.array([NormalDist().cdf(-u * math.sqrt(cosine / (1 - cosine))) for u in common])
    expected = float(weights @ below**layer.output.num_samples / weights.sum())
    return expected + 3 * math.sqrt(expected * (1 - expected) / layer.kernels[-1].shape[-1])


@_rule(
    "Glorot and Bengio, 2010, section 3, https://proceedings.mlr.press/v9/glorot10a.html; "
    "limit: Ben Braiek and Khomh, 2023, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "`initialize(model)`, or smaller weights; standardize the input.",
)
def saturated_units(signal):
    """At its bounds an activation is flat: no gradient passes."""
    hidden = [each for each in _maps(signal) if each.saturated is not None and not each.is_output]
    for severity, limit, many in _worst(hidden, lambda layer: layer.saturated, SATURATED):
        layer = many[0]
        message = (
            f"{layer.saturated:.0%} of the outputs of {layer.layer} are at the bounds of "
            f"{layer.activation}; the limit is {limit:.0%}{_others(many)}."
        )
        yield severity, layer.layer, layer.saturated, limit, message, INITIALIZE


@_rule(
    "Goodfellow et al., 2016, Deep Learning, section 8.4, https://www.deeplearningbook.org",
    "Draw the kernel at random: `initialize(model, only=...)`.",
)
def identical_units(signal):
    """Units with the same weights get the same gradients and stay the same: the layer learns as if
    it had one of them. Zeros and constants do that to a whole layer.
    """
    for layer in signal.layers:
        for kernel in layer.kernels:
            # A zero is meant at the end of a branch and at the output: what is next to it varies.
            is_end = layer.is_output or (layer.branch is not None and layer.branch.is_last)
            severity, limit = _above(kernel.repeated, REPEATED)
            if not severity or (kernel.second_moment == 0 and is_end):
                continue
            message = (
                f"{kernel.repeated:.0%} of the units of {kernel.path} share all of their weights "
                f"with another unit; the limit is {limit:.0%}."
            )
            action = Action("initialize", (kernel.path,))
            yield severity, layer.layer, kernel.repeated, limit, message, action


@_rule(
    "Keras 3, keras.initializers.Initializer: an instance draws the same values each time",
    "Give each layer an initializer of its own, or none a seed: `initialize(model)`.",
)
def twin_kernels(signal):
    """Two layers with the same random weights are not independent. One initializer with a seed, or
    one instance, was given to both.
    """
    for layer in signal.layers:
        for kernel in layer.kernels:
            if kernel.twin is not None:
                message = f"{kernel.path} has the same values as {kernel.twin}: 1 kernel, limit 0."
                action = Action("initialize", (kernel.path,))
                yield "warning", layer.layer, 1, 0, message, action


@_rule(
    "Schoenholz et al., 2017, section 3, https://arxiv.org/abs/1611.01232",
    "`initialize(model)` centers the weights where that is the cause; or use a normalization "
    "layer, or shortcuts.",
)
def samples_alike(signal):
    """All samples give nearly the same output, whatever the input: what tells them apart is lost on
    the way, and a large variance between units hides it.
    """
    layers = [layer for layer in _maps(signal) if not layer.is_output]
    if len(layers) < 2 or layers[0].preactivation.cosine is None:
        return
    start, last = layers[0].preactivation.cosine, layers[-1]
    cosine, share = last.output.cosine, last.output.between_samples
    if start > 0.9 or cosine is None:
        return
    severity, limit = _above(cosine, COSINE)
    if not severity and 0 <= share < BETWEEN_SAMPLES and last.output.variance > 0:
        severity, limit = "error", COSINE["error"]
    if severity:
        message = (
            f"Samples become alike: their mean cosine is {start:.2f} at {layers[0].layer} and "
            f"{cosine:.5f} at {last.layer}; the limit is {limit:g}. Of the variance there, "
            f"{share:.1g} is between samples."
        )
        yield severity, last.layer, cosine, limit, message, INITIALIZE


@_rule(
    "Dong et al., 2021, https://arxiv.org/abs/2103.03404; Noci et al., 2022, "
    "https://arxiv.org/abs/2206.03126",
    "Keep the shortcuts around attention and scale its branches with depth: `initialize(model)`.",
)
def tokens_alike(signal):
    """Attention averages over tokens. Without shortcuts that count, all tokens of a sample become
    the same vector: the rank collapses.
    """
    layers = [layer for layer in signal.layers if layer.token_cosine is not None]
    if len(layers) < 2 or layers[0].token_cosine > 0.9:
        return
    start, last = layers[0].token_cosine, layers[-1]
    severity, limit = _above(last.token_cosine, COSINE)
    if severity:
        message = (
            f"Tokens become alike: their mean cosine is {start:.2f} before {layers[0].layer} and "
            f"{last.token_cosine:.5f} before {last.layer}; the limit is {limit:g}."
        )
        yield severity, last.layer, last.token_cosine, limit, message, INITIALIZE


@_rule(
    "Giorlandino and Goldt, 2025, https://arxiv.org/abs/2505.24333; "
    "Vaswani et al., 2017, section 3.2.1, https://arxiv.org/abs/1706.03762",
    "Smaller maps of queries and keys: `initialize(model)`; or normalize both.",
)
def attention_logits(signal):
    """Logits that vary this much put all of the attention on one token, and the softmax is flat
    there.
    """
    for layer in signal.layers:
        if layer.logit_std is None or layer.num_keys < 2:
            continue
        limit = math.sqrt(2 * math.log(layer.num_keys))
        if layer.logit_std > limit:
            message = (
                f"The attention logits at {layer.layer} have a standard deviation of "
                f"{layer.logit_std:.3g} over {layer.num_keys} keys; the limit is {limit:.3g}."
            )
            yield "error", layer.layer, layer.logit_std, limit, message, INITIALIZE


@_rule(
    "Keras 3 counts the fans of depthwise and transposed kernels by the places of their axes; "
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852",
    "`initialize(model, only=...)` counts the products that an output really sums.",
)
def wrong_fan(signal):
    """The variance was divided by a number of inputs that is not that of the layer, so the signal
    is scaled by the quotient.
    """
    for layer in signal.layers:
        if layer.normalized or any(kernel.role != "kernel" for kernel in layer.kernels):
            continue  # a normalization takes any scale; the gates of a cell bound it
        for kernel in layer.kernels:
            if not kernel.asked or not kernel.asked_by_keras or not kernel.second_moment:
                continue
            factor = kernel.second_moment / kernel.asked
            as_keras = kernel.second_moment / kernel.asked_by_keras
            wrong = kernel.asked_by_keras / kernel.asked
            limit = WRONG_FAN if wrong > 1 else 1 / WRONG_FAN
            error = 4 * math.sqrt(2 / math.prod(kernel.shape))
            if abs(math.log(wrong)) > math.log(WRONG_FAN) and abs(as_keras - 1) < max(error, 0.02):
                message = (
                    f"The variance of {kernel.path} is {factor:.2g} times what "
                    f"{kernel.initializer} asks for at a fan in of {kernel.fan_in:g} and a fan out "
                    f"of {kernel.fan_out:g}; the limit is {limit:.2g}."
                )
                action = Action("initialize", (kernel.path,))
                yield "warning", layer.layer, factor, limit, message, action


@_rule(
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852; "
    "Klambauer et al., 2017, https://arxiv.org/abs/1706.02515, for selu",
    "`initialize(model)`, or `suggest_initializer` where the layers are made.",
)
def mismatched_activation(signal):
    """An activation takes a known part of the signal, which the variance of the weights has to make
    up for: relu asks for 2 / fan_in, tanh for 2.5 / fan_in, Keras gives about 1 / fan_in.
    """
    drifts = [*vanishing_signal(signal), *exploding_signal(signal)]
    if not drifts:
        return
    total, off, first = 0.0, [], None
    for layer in _maps(signal):
        if layer.asked is None or layer.normalized or layer.branch is not None or layer.is_output:
            continue
        kernel = layer.kernels[-1]
        factor = kernel.second_moment * kernel.fan_in / layer.asked
        total += math.log(factor)
        if abs(math.log(factor)) > math.log(WRONG_FAN):
            off.append(factor)
            first = first or (layer, kernel)
    if not off or abs(total) < math.log(SIGNAL_LIMITS["warning"]):
        return
    layer, kernel = first
    has, asks = kernel.second_moment * kernel.fan_in, layer.asked
    message = (
        f"{len(off)} layers do not fit their activation: {kernel.path} has a variance of "
        f"{has:.2g} / fan_in, {layer.activation or 'a linear layer'} asks for {asks:.2g} / fan_in; "
        f"the limit is a factor of {WRONG_FAN:g}. Over all of them that makes "
        f"{math.exp(total):.1g}."
    )
    yield "warning", layer.layer, has / asks, WRONG_FAN, message, INITIALIZE


@_rule(
    "LeCun et al., 1998, Efficient BackProp, section 4.3, http://yann.lecun.com/exdb/publis/pdf/"
    "lecun-98b.pdf",
    "Standardize the data: `x = (x - x.mean(0)) / x.std(0)`, or a `keras.layers.Normalization` or "
    "`Rescaling` in front. It cannot be mended in the weights.",
)
def input_not_standardized(signal):
    """Initializers are made for inputs of unit size. Others scale the first layer's output and its
    gradient, and no learning rate suits that layer and the rest.
    """
    if signal.is_drawn:
        return
    for layer in _maps(signal):
        kernel = layer.kernels[0]
        if not layer.is_first or not kernel.fan_in * kernel.second_moment > 0:
            continue
        if kernel.role != "kernel" or len(layer.kernels) > 1:
            continue
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


@_rule(
    "Karpathy, 2019, A recipe for training neural networks, "
    "https://karpathy.github.io/2019/04/25/recipe/",
    "Smaller weights in the last layer: `calibrate(model, x)`.",
)
def initial_loss(signal):
    """Before training a classifier should be unsure. Large logits make a large loss that the first
    steps are spent on.
    """
    loss = signal.loss
    if loss is None or loss.uniform is None or loss.from_logits is None:
        return
    limits = {"error": 2 * loss.uniform + EXCESS_LOSS, "warning": loss.uniform + EXCESS_LOSS}
    severity, limit = _above(loss.value, limits)
    if severity:
        message = (
            f"The loss is {loss.value:.3g} before training, and {loss.uniform:.3g} for an output "
            f"that knows nothing; the limit is {limit:.3g}."
        )
        yield severity, None, loss.value, limit, message, CALIBRATE


@_rule(
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
    if loss is None or loss.best is None or loss.uniform is None:
        return
    known = loss.uniform - loss.best
    is_regression = loss.from_logits is None
    least = EXCESS_LOSS * (loss.uniform if is_regression else 1.0)
    limit = loss.best + least
    if known > least and loss.value > limit:
        message = (
            f"The loss is {loss.value:.3g} before training, and {loss.best:.3g} for the best "
            f"constant output; the limit is {limit:.3g}."
        )
        outputs = [layer for layer in signal.layers if layer.is_output]
        action = Action("prior") if len(outputs) == 1 else None
        yield "warning", None, loss.value, limit, message, action


@_rule(
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
