"""Judges a `Signal`: one generator for each disease. Numbers only; knows no model.

A rule yields (severity, layer, value, limit, message, action); why it matters is its docstring.
"""

import inspect
import itertools
import math
from dataclasses import dataclass

import numpy as np

# Second moment of the signal over that of the first layer.
SIGNAL_LIMITS = {"error": 1e4, "warning": 10.0}
# Norm of the gradient at the first layer over that at the last.
VANISHING_GRADIENT = {"error": 1e-3, "warning": 1e-2}
EXPLODING_GRADIENT = {"error": 1e3, "warning": 70.0}
# Beyond what chance explains.
DEAD = {"error": 0.5, "warning": 0.25}
SATURATED = {"error": 0.5}
# Networks of sigmoid on digits learn from the start below, and wait for many epochs above.
COSINE = {"error": 0.99997, "warning": 0.9999}
REPEATED = {"error": 0.5, "warning": 0.1}
WRONG_FAN = 1.5
# One-hot data are small, and what is small only makes the outputs small.
INPUT = {"error": (1e-8, 1e3), "warning": (1e-4, 20.0)}
# Logits of standard deviation 2 make about 2 more than the log of the number of classes.
EXCESS_LOSS = 2.0
KNOWN_LOSS = 0.5
# Activations of an output whose bias can start at the prior.
PRIORS = (None, "sigmoid", "softmax")
LEAST_LOGITS = 2.0
# E f⁴ / (E f²)² - 1 of relu, the largest among common activations.
_KURTOSIS = 5.0
# What their output is like says nothing about the size of the signal: they weigh others.
_GATES = ("sigmoid", "hard_sigmoid", "softmax")


@dataclass(frozen=True)
class Action:
    """What mends a finding.

    Attributes:
        verb: `"initialize"`; `"unbias"`, the same with the biases of hidden layers at zero;
            `"calibrate"`; `"prior"`, for the bias of the last layer.
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
UNBIAS = Action("unbias")
CALIBRATE = Action("calibrate")

RULES = []


def judge(signal):
    """Returns the `Finding`s of a `Signal`: errors first, and causes before what comes of them.

    Where the signal is not finite, that is all.
    """
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
    for severity, limit in limits.items():
        if value > limit:
            return severity, limit
    return None, None


def _below(value, limits):
    for severity, limit in limits.items():
        if value < limit:
            return severity, limit
    return None, None


def _worst(layers, value, limits):
    """Yields (severity, limit, layers), once at most: the layers above it, the worst one first."""
    for severity, limit in limits.items():
        many = [layer for layer in layers if value(layer) > limit]
        if many:
            yield severity, limit, sorted(many, key=value, reverse=True)
            return


def _others(many):
    number = len(many) - 1
    return f" ({number} other layer{'s are' if number > 1 else ' is'} above it)" if number else ""


def _maps(signal):
    """Returns the layers that pass a signal on.

    Not those of tables, nor those that start at 0, nor the maps whose product attention takes.
    """
    return [
        layer
        for layer in signal.layers
        if layer.kernels
        and layer.kernels[0].role != "embedding"
        and layer.name not in ("query", "key")
        and any(kernel.second_moment > 0 for kernel in layer.kernels)
    ]


def _noise(layers):
    """Returns three standard deviations of the log of the signal's size that chance explains."""
    return 3 * math.sqrt(sum(map(_variance_by_chance, layers)))


def _variance_by_chance(layer):
    return _KURTOSIS / max(layer.kernels[0].fan_in, 1)


@_rule(
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
            severity, limit = _above(kernel.repeated, REPEATED)
            if not severity or (kernel.second_moment == 0 and _may_be_zero(layer, kernel)):
                continue
            message = (
                f"{kernel.repeated:.0%} of the units of {kernel.path} share all of their weights "
                f"with another unit; the limit is {limit:.0%}."
            )
            action = Action("initialize", (kernel.path,))
            yield severity, layer.layer, kernel.repeated, limit, message, action


def _may_be_zero(layer, kernel):
    """Whether what is next to a kernel of zeros varies, and with it the first step."""
    is_end = layer.is_output or (layer.branch is not None and layer.branch.is_last)
    return is_end or bool(kernel.gradient)


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
                message = (
                    f"Kernel {kernel.path} has the same values as {kernel.twin}: 1 kernel, limit 0."
                )
                action = Action("initialize", (kernel.path,))
                yield "warning", layer.layer, 1, 0, message, action


@_rule(
    "Keras 3 counts the fans of depthwise and transposed kernels by the places of their axes; "
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852",
    "`initialize(model, only=...)` counts the products that an output really sums.",
)
def wrong_fan(signal):
    """The variance was divided by a number of inputs that is not that of the layer. The signal is
    scaled by the quotient, and here it vanishes or explodes.
    """
    for severity, direction in _drifts(signal):
        for layer, kernel, factor in _wrong_fans(signal):
            if direction * math.log(factor) < 0:
                continue
            limit = WRONG_FAN**direction
            message = (
                f"The variance of {kernel.path} is {factor:.2g} times what "
                f"{kernel.initializer} asks for at a fan in of {kernel.fan_in:g} and a fan out "
                f"of {kernel.fan_out:g}; the limit is {limit:.2g}."
            )
            action = Action("initialize", (kernel.path,))
            yield severity, layer.layer, factor, limit, message, action


def _drifts(signal):
    """Yields severity and direction, -1 or 1, if the signal vanishes or explodes."""
    for direction in (-1, 1):
        for severity, *_ in _drift(signal, direction):
            yield severity, direction


def _wrong_fans(signal):
    """Yields layers and kernels of the variance that Keras's fans make, and what it is off by."""
    for layer in signal.layers:
        if layer.normalized or any(kernel.role != "kernel" for kernel in layer.kernels):
            continue  # a normalization takes any scale; the gates of a cell bound it
        for kernel in layer.kernels:
            if not kernel.asked or not kernel.asked_by_keras or not kernel.second_moment:
                continue
            wrong = kernel.asked_by_keras / kernel.asked
            as_keras = kernel.second_moment / kernel.asked_by_keras
            error = max(4 * math.sqrt(2 / math.prod(kernel.shape)), 0.02)
            if abs(math.log(wrong)) > math.log(WRONG_FAN) and abs(as_keras - 1) < error:
                yield layer, kernel, kernel.second_moment / kernel.asked


@_rule(
    "Lu et al., 2019, https://arxiv.org/abs/1903.06733; "
    "limit: Ben Braiek and Khomh, 2022, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "`initialize(model)`, with biases at zero.",
)
def dead_units(signal):
    """A unit that gives zero for every sample gets no gradient and stays so."""
    # Where nothing comes in, the signal has vanished before.
    least = float(np.finfo("float32").tiny)
    hidden = [
        layer
        for layer in _maps(signal)
        if layer.activation and not layer.is_output and layer.preactivation.largest > least
    ]
    for severity, limit, many in _worst(hidden, _dead_beyond_chance, DEAD):
        output = many[0].output
        message = (
            f"{output.dead:.0%} of the units of {many[0].layer} give nothing for any of "
            f"{output.num_samples} samples; the limit is {limit:.0%}{_others(many)}."
        )
        yield severity, many[0].layer, output.dead, limit, message, UNBIAS


def _dead_beyond_chance(layer):
    """Returns the fraction of dead units, 0 where chance explains it.

    A unit with symmetric weights gives zero for half of the samples; the more alike they are, the
    more so for all of them or none. What chance explains is four standard errors of that half.
    """
    kernel, output = layer.kernels[-1], layer.output
    cosine = layer.preactivation.cosine
    same_side = 1.0 if cosine is None else 2 / math.pi * math.asin(min(max(cosine, 0.0), 1.0))
    units = math.prod(kernel.shape) / kernel.fan_in
    chance = 4 * math.sqrt(max(same_side, 1 / output.num_samples) / units)
    beyond = min(output.dead, 2 * max(output.zero, output.dead) - 1)
    return beyond if beyond > chance or output.dead == 1 else 0.0


@_rule(
    "Glorot and Bengio, 2010, section 3, https://proceedings.mlr.press/v9/glorot10a.html; "
    "limit: Ben Braiek and Khomh, 2022, TheDeepChecker, https://arxiv.org/abs/2204.00694",
    "`initialize(model)`, with biases at zero; standardize the input.",
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
        yield severity, layer.layer, layer.saturated, limit, message, UNBIAS


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
        limit = max(math.sqrt(2 * math.log(layer.num_keys)), LEAST_LOGITS)
        if layer.logit_std > limit:
            message = (
                f"The attention logits at {layer.layer} have a standard deviation of "
                f"{layer.logit_std:.3g} over {layer.num_keys} keys; the limit is {limit:.3g}."
            )
            yield "error", layer.layer, layer.logit_std, limit, message, INITIALIZE


@_rule(
    "Dong et al., 2021, https://arxiv.org/abs/2103.03404; Noci et al., 2022, "
    "https://arxiv.org/abs/2206.03126",
    "Put shortcuts around attention, and normalize before it, not behind; `initialize(model)` "
    "scales branches without normalization.",
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
        is_plain_branch = last.branch is not None and not last.branch.normalized
        action = INITIALIZE if is_plain_branch else None
        message = (
            f"Tokens become alike: their mean cosine is {start:.2f} before {layers[0].layer} and "
            f"{last.token_cosine:.7f} before {last.layer}; the limit is {limit:g}."
        )
        yield severity, last.layer, last.token_cosine, limit, message, action


@_rule(
    "Schoenholz et al., 2017, section 3, https://arxiv.org/abs/1611.01232",
    "`initialize(model)` centers the weights where that is the cause, with biases at zero; or use "
    "a normalization layer, or shortcuts.",
)
def samples_alike(signal):
    """All samples give nearly the same output, whatever the input. What tells them apart is lost on
    the way, and a large variance between units hides it.
    """
    layers = _maps(signal)
    hidden = [layer for layer in layers if not layer.is_output]
    start = layers[0].preactivation.cosine if layers else None
    if len(hidden) < 2 or start is None or start > 0.9:
        return
    # The last layer may be a gate on the side: the outputs have to be alike as well.
    last = hidden[-1]
    cosines = [each.preactivation.cosine for each in layers if each.is_output]
    cosine = min(each for each in (last.output.cosine, *cosines, 1.0) if each is not None)
    severity, limit = _above(cosine, COSINE)
    if severity and last.output.cosine is not None:
        message = (
            f"Samples become alike: their mean cosine is {start:.2f} at {layers[0].layer} and "
            f"{cosine:.7f} from {last.layer} on; the limit is {limit:g}."
        )
        yield severity, last.layer, cosine, limit, message, UNBIAS


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


def _drift(signal, direction, verb=""):
    layers = [
        layer for layer in _maps(signal) if not layer.is_output and layer.activation not in _GATES
    ]
    if len(layers) < 2 or not layers[0].output.second_moment > 0:
        return
    first = layers[0].output.second_moment
    noises = itertools.accumulate(map(_variance_by_chance, layers))
    steps = list(enumerate(zip(noises, layers[1:], strict=False), start=2))
    for severity, limit in _limits(layers, SIGNAL_LIMITS).items():
        for number, (noise, layer) in steps:
            if direction < 0 and layer.branch is not None:  # the shortcut passes the signal on
                continue
            ratio = layer.output.second_moment / first
            change = direction * (math.log(ratio) if ratio > 0 else -math.inf)
            if change > math.log(limit) + 3 * math.sqrt(noise):
                bound = limit**direction
                message = (
                    f"The signal {verb}: at {layer.layer}, layer {number} of {len(layers)}, "
                    f"its second moment is {ratio:.2g} times that at {layers[0].layer}; "
                    f"the limit is {bound:g}."
                )
                yield severity, layer.layer, ratio, bound, message, INITIALIZE
                return


def _limits(layers, limits):
    """Returns the limits without that of warnings if there is a normalization: it starts anew."""
    if any(layer.normalized for layer in layers):
        return {"error": limits["error"]}
    return limits


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
    ratio, first, last, noise, limits = _gradient_ratio(signal, VANISHING_GRADIENT)
    if ratio is None:
        return
    severity, limit = _below(ratio * noise, limits)
    if severity:
        message = (
            f"The gradient vanishes: its norm at {first} is {ratio:.2g} times that at "
            f"{last}; the limit is {limit:g}."
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
    ratio, first, last, noise, limits = _gradient_ratio(signal, EXPLODING_GRADIENT)
    if ratio is None:
        return
    severity, limit = _above(ratio / noise, limits)
    if severity:
        message = (
            f"The gradient explodes: its norm at {first} is {ratio:.2g} times that at "
            f"{last}; the limit is {limit:g}."
        )
        yield severity, first, ratio, limit, message, INITIALIZE


def _gradient_ratio(signal, limits):
    """Returns gradient at the first layer over that at the last, both's paths, noise, limits.

    Of several inputs or outputs it is the one with the largest gradient.
    """
    layers = [layer for layer in _maps(signal) if layer.gradient is not None]
    # Where the output or a branch starts at zero, nothing flows back in the first step, by design.
    if len(layers) < 3 or _starts_at_zero(signal):
        return [None] * 5
    hidden = [layer for layer in layers if not layer.is_output] or layers[:1]
    first = max([layer for layer in hidden if layer.is_first] or hidden[:1], key=_gradient)
    last = max([layer for layer in layers if layer.is_output] or layers[-1:], key=_gradient)
    if not _gradient(last) > 0:
        return [None] * 5
    ratio, noise = _gradient(first) / _gradient(last), math.exp(_noise(layers[1:]) / 2)
    return ratio, first.layer, last.layer, noise, _limits(layers, limits)


def _gradient(layer):
    """Returns the norm of the gradient by what comes out of a normalization, if there is one."""
    if layer.normalized:
        return layer.gradient * math.sqrt(layer.preactivation.variance)
    return layer.gradient


def _starts_at_zero(signal):
    return any(
        layer.is_output
        and layer.kernels
        and all(kernel.second_moment == 0 for kernel in layer.kernels)
        for layer in signal.layers
    )


@_rule(
    "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852; "
    "Klambauer et al., 2017, https://arxiv.org/abs/1706.02515, for selu",
    "`initialize(model)`, or `suggest_initializer` where the layers are made.",
)
def mismatched_activation(signal):
    """An activation takes a known part of the signal, which the variance of the weights has to make
    up for. Relu asks for 2 / fan_in and tanh for 2.5 / fan_in; Keras gives about 1 / fan_in.
    """
    for _, direction in _drifts(signal):
        off = [each for each in _misfits(signal) if direction * math.log(each[2]) > 0]
        if abs(sum(math.log(factor) for *_, factor in off)) < math.log(SIGNAL_LIMITS["warning"]):
            continue
        layer, kernel, factor = off[0]
        message = (
            f"{len(off)} layer{'s do' if len(off) > 1 else ' does'} not fit the activation: "
            f"{kernel.path} has a variance of {factor * layer.asked:.2g} / fan_in, "
            f"{layer.activation or 'a linear layer'} asks for {layer.asked:.2g} / fan_in. That is "
            f"{factor:.2g} times it; the limit is {WRONG_FAN**direction:.2g}."
        )
        yield "warning", layer.layer, factor, WRONG_FAN**direction, message, INITIALIZE


def _misfits(signal):
    """Yields layers and kernels of a variance that the activation does not ask for, and factors."""
    wrong = {kernel.path for _, kernel, _ in _wrong_fans(signal)}
    for layer in _maps(signal):
        kernel = layer.kernels[-1]
        is_inside = layer.normalized or layer.branch is not None or layer.is_output
        if layer.asked is None or is_inside or kernel.path in wrong or not kernel.second_moment:
            continue
        factor = kernel.second_moment * kernel.fan_in / layer.asked
        if abs(math.log(factor)) > math.log(WRONG_FAN):
            yield layer, kernel, factor


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


@_rule(
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
    noise = math.exp(_noise(_maps(signal)) / 2)
    limits = {"error": loss.uniform + 10 * excess * noise, "warning": loss.uniform + excess}
    severity, limit = _above(loss.value, limits)
    if severity:
        message = (
            f"The loss is {loss.value:.3g} before training, and {loss.uniform:.3g} for an output "
            f"that knows nothing; the limit is {limit:.3g}."
        )
        yield severity, None, loss.value, limit, message, CALIBRATE
