"""The size of the signal on its way forward, and of the gradient on its way back."""

import itertools
import math
from dataclasses import dataclass

from keras_winit._diagnose.rules.finding import INITIALIZE, reported
from keras_winit._diagnose.rules.rule import above, below, log_noise, maps, rule, variance_by_chance
from keras_winit._references import AUTOTRAINER, GLOROT, HANIN, HE, PASCANU, SELU

# Second moment of the signal over that of the first layer.
_SIGNAL = {"error": 1e4, "warning": 10.0}
# The same where steps are as large however small the gradients: from Keras's default all 12
# programs with 10 or 15 layers of relu learn by Adam, half of those with 20 or 30, one with 50.
_ADAPTIVE = {"error": 1e9, "warning": 1e4}
# What their output is like says nothing about the size of the signal: they weigh others.
_GATES = ("sigmoid", "hard_sigmoid", "softmax")


@rule(
    limits={**_SIGNAL, "adaptive": _ADAPTIVE},
    limit="the second moment falls by more than {warning:g} (warning) or {error:g} times (error) "
    "from the first layer on, beyond what chance explains, or by {adaptive[warning]:g} and "
    "{adaptive[error]:g} times if the model is compiled with Adam or its kin, whose steps do not "
    "shrink with the gradient; with normalization, and where convolutions give images, only the "
    "error",
    reason="Each layer multiplies the signal by a constant. Where that is below one, little of the "
    "input is left at the output, and the gradient shrinks alike.",
    reference=HE.at("section 2.2"),
    fix="`initialize(model)` gives every layer the variance that its activation asks for.",
)
def vanishing_signal(rule, signal, found):
    drifted = drift(signal, -1, found)
    if drifted and not reported(found, "dead_units", severity=drifted.severity):
        yield _of_drift(rule, drifted, "vanishes")


@rule(
    limits=_SIGNAL,
    limit="the second moment grows by more than {warning:g} (warning) or {error:g} times (error) "
    "from the first layer on, beyond what chance explains; with normalization only the error",
    reason="Each layer or residual branch multiplies the signal by a constant. Where that is above "
    "one, the outputs and the first steps are huge.",
    reference=HANIN.at("section 2"),
    fix="`initialize(model)` scales the weights by activation, and residual branches by their "
    "number.",
)
def exploding_signal(rule, signal, found):
    drifted = drift(signal, 1, found)
    if drifted:
        yield _of_drift(rule, drifted, "explodes")


def _of_drift(rule, drift, verb):
    return rule.finding(
        drift.severity,
        layer=drift.layer,
        value=drift.ratio,
        limit=drift.limit,
        message=f"The signal {verb}: at {drift.layer}, layer {drift.number} of {drift.depth}, its "
        f"second moment is {drift.ratio:.2g} times that at {drift.first}; the limit is "
        f"{drift.limit:g}.",
        action=INITIALIZE,
    )


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Where the signal has become too small or too large: the layer `number` of `depth`."""

    severity: str
    first: str
    layer: str
    number: int
    depth: int
    ratio: float
    limit: float


def drift(signal, direction, found=(), is_adaptive=None):
    """Returns the `Drift` of a signal that vanishes, -1, or explodes, 1, or else `None`.

    What findings on the kernels explain does not count. `is_adaptive` takes the place of what the
    signal says of its optimizer.
    """
    layers = [
        layer for layer in maps(signal) if not layer.is_output and layer.activation not in _GATES
    ]
    if len(layers) < 2 or not layers[0].output.second_moment > 0:
        return None
    steps = list(_steps(layers, direction, found))
    is_adaptive = signal.is_adaptive if is_adaptive is None else is_adaptive
    limits = _limits(layers, _ADAPTIVE if is_adaptive and direction < 0 else _SIGNAL)
    if direction < 0 and signal.gives_images:  # which learn better from small kernels
        limits = {"error": limits["error"]}
    for severity, limit in limits.items():
        for step in steps:
            layer = layers[step.number - 1]
            if direction < 0 and step.passes_by:
                continue
            if severity == "warning" and layer.is_normalized_later:
                continue
            change = direction * (step.log_ratio - step.known)
            if change > math.log(limit) + 3 * math.sqrt(step.noise):
                return Drift(
                    severity=severity,
                    first=step.first,
                    layer=layer.layer,
                    number=step.number,
                    depth=len(layers),
                    ratio=math.exp(step.log_ratio),
                    limit=limit**direction,
                )
    return None


@dataclass(kw_only=True)
class _Step:
    """What has become of the signal at a layer: the log of its size over that of the `first`.

    `known` is what findings explain of it, `noise` its variance by chance. `passes_by` says that a
    shortcut passes on what may vanish here.
    """

    number: int
    first: str
    log_ratio: float
    known: float
    noise: float
    passes_by: bool


def _steps(layers, direction, found):
    """Yields a `_Step` for each layer but the first one.

    Not for those that take another input, or embeddings, as the first one does. A normalization
    starts the signal anew: what it gives is of unit size, and what comes behind it is compared with
    the layer that takes that, or with unit size where that is nearer.
    """
    first, known, noise = layers[0], 0.0, 0.0
    for number, (before, layer) in enumerate(itertools.pairwise(layers), start=2):
        noise += variance_by_chance(before)
        known += _explained(before, layer, found)
        if layer.is_first_map:
            continue
        name, size = first.layer, first.output.second_moment
        if first.is_anew:
            size = max(size, 1.0) if direction > 0 else min(size, 1.0)
        passes_by = layer.branch is not None
        if layer.is_anew:
            # Too little is made up for where it is normalized again, or added to something.
            name, size, passes_by = "what a normalization gives", 1.0, True
            known, noise = 0.0, variance_by_chance(layer)
        moment = layer.output.second_moment
        log_ratio = math.log(moment / size) if moment > 0 and size > 0 else -math.inf
        yield _Step(
            number=number,
            first=name,
            log_ratio=log_ratio,
            known=known,
            noise=noise,
            passes_by=passes_by,
        )
        if layer.is_anew:
            first, noise = layer, 0.0


def _explained(before, layer, found):
    """Returns the log of what is known to have changed the signal from one layer to the next."""
    here = [each for each in found if each.layer == layer.layer]
    old, new = before.output.second_moment, layer.output.second_moment
    if reported(here, "identical_units", severity="error") and min(old, new) > 0:
        return math.log(new / old)  # all that the layer does comes of it
    return sum(math.log(each.value) for each in here if each.rule == "wrong_fan")


def _limits(layers, limits):
    """Returns the limits without that of warnings if there is a normalization: it starts anew."""
    if any(layer.normalized for layer in layers):
        return {"error": limits["error"]}
    return limits


@rule(
    limits={"error": 1e-3, "warning": 1e-2},
    limit="the gradient at the first layer has less than {warning:g} (warning) or {error:g} "
    "(error) of the norm at the last, beyond what chance explains; with normalization only the "
    "error",
    reason="The first layers get steps that are so much smaller than the last ones' that they do "
    "not learn.",
    reference=f"{GLOROT.at('section 4.2')}; limit: {AUTOTRAINER}",
    fix="`initialize(model)`; in deep networks of bounded activations also a normalization layer "
    "or shortcuts.",
    comes_with=("samples_alike", "constant_signal"),
)
def vanishing_gradient(rule, signal, found):
    yield from _of_gradient(rule, signal, found, -1, "vanishes")


@rule(
    limits={"error": 1e3, "warning": 70.0},
    limit="the gradient at the first layer has more than {warning:g} (warning) or {error:g} times "
    "(error) the norm at the last, beyond what chance explains; with normalization only the error",
    reason="The first layers get steps that are so much larger than the last ones' that any "
    "learning rate is too large for them or too small for the rest.",
    reference=f"{PASCANU.at('section 2')}; limit: {AUTOTRAINER}",
    fix="`initialize(model)`; clip the gradient if it stays large.",
    comes_with=("saturated_units",),
)
def exploding_gradient(rule, signal, found):
    yield from _of_gradient(rule, signal, found, 1, "explodes")


def _of_gradient(rule, signal, found, direction, verb):
    """Yields what is wrong with the gradient at the first layer over that at the last.

    Of several inputs or outputs it is the one with the largest gradient.
    """
    layers = [
        layer
        for layer in maps(signal)
        if layer.gradient is not None and (layer.is_output or layer.activation != "softmax")
    ]
    # Where the output starts at zero, or near it, nothing flows back in the first step, by design.
    if len(layers) < 3 or _starts_at_zero(signal):
        return
    hidden = [layer for layer in layers if not layer.is_output]
    if any(map(is_near_zero, signal.layers)):  # nor into the branches that end at zero
        least = math.sqrt(_NEAR_ZERO) * max(map(_gradient, layers))
        hidden = [layer for layer in hidden if _gradient(layer) > least]
    hidden = hidden or layers[:1]
    first = max([layer for layer in hidden if layer.is_first_map] or hidden[:1], key=_gradient)
    ends = [layer for layer in layers if layer.is_output]
    ends = ends or [layer for layer in layers if layer.is_last]  # in branches, or gates
    last = max(ends or layers[-1:], key=_gradient)
    if not _gradient(last) > 0:
        return
    ratio, noise = _gradient(first) / _gradient(last), math.exp(log_noise(layers[1:]) / 2)
    beyond, limits = ratio / noise**direction, _limits(layers, rule.limits)
    severity, limit = above(beyond, limits) if direction > 0 else below(beyond, limits)
    fades = drift(signal, -1, found, is_adaptive=False) if signal.is_adaptive else None
    is_known = direction < 0 and fades is not None and severity in (fades.severity, "warning")
    if severity and not is_known and not is_explained(found, direction, severity):
        yield rule.finding(
            severity,
            layer=first.layer,
            value=ratio,
            limit=limit,
            message=f"The gradient {verb}: its norm at {first.layer} is {ratio:.2g} times that at "
            f"{last.layer}; the limit is {limit:g}.",
            action=INITIALIZE,
        )


def is_explained(found, direction, severity="warning"):
    """Whether it was reported, as severe as this, why sizes vanish, -1, or explode, 1."""
    causes = ("dead_units", "vanishing_signal") if direction < 0 else ("exploding_signal",)
    fans = [each for each in found if each.rule == "wrong_fan"]
    fans = [each for each in fans if direction * math.log(each.value) > 0]
    return (
        reported(found, *causes, severity=severity)
        or reported(fans, "wrong_fan", severity=severity)
        or reported(found, "identical_units", severity="error")
    )


def _gradient(layer):
    """Returns the norm of the gradient by what comes out of a normalization, if there is one."""
    if layer.normalized:
        return layer.gradient * math.sqrt(layer.preactivation.variance)
    return layer.gradient


# Of the second moment of an output, beside that of what comes in: as from a scale of 1e-10.
_NEAR_ZERO = 1e-6


def _starts_at_zero(signal):
    return any(layer.is_output and is_near_zero(layer) for layer in signal.layers)


def is_near_zero(layer):
    """Whether the kernels of a layer start at zero, or so near that it gives next to nothing."""
    sizes = [kernel.second_moment * kernel.fan_in for kernel in layer.kernels]
    return bool(sizes) and max(sizes) < _NEAR_ZERO


@rule(
    limits={"factor": 1.5, "signal": _SIGNAL["warning"]},
    limit="the signal vanishes or explodes, and kernels whose variance is more than {factor:g} "
    "times off what their activation asks for explain {signal:g} times of it (warning)",
    reason="An activation takes a known part of the signal, which the variance of the weights has "
    "to make up for. Relu asks for 2 / fan_in and tanh for 2.5 / fan_in; Keras gives about "
    "1 / fan_in.",
    reference=f"{HE.at('section 2.2')}; {SELU}, for selu",
    fix="`initialize(model)`, or `suggest_initializer` where the layers are made.",
    causes=("vanishing_signal", "exploding_signal"),
)
def mismatched_activation(rule, signal, found):
    for direction, name in ((-1, "vanishing_signal"), (1, "exploding_signal")):
        if not reported(found, name):
            continue
        limit = rule.limits["factor"]
        misfits = _misfits(signal, found)
        off = [each for each in misfits if direction * math.log(each[2]) > math.log(limit)]
        total = abs(sum(math.log(factor) for *_, factor in off))
        if total < math.log(rule.limits["signal"]):
            continue
        layer, kernel, factor = off[0]
        yield rule.finding(
            "warning",
            layer=layer.layer,
            value=factor,
            limit=limit**direction,
            message=f"{len(off)} layer{'s do' if len(off) > 1 else ' does'} not fit the "
            f"activation: {kernel.path} has a variance of {factor * layer.asked:.2g} / fan_in, "
            f"{layer.activation or 'a linear layer'} asks for {layer.asked:.2g} / fan_in. That is "
            f"{factor:.2g} times it; the limit is {limit**direction:.2g}.",
            action=INITIALIZE,
        )


def _misfits(signal, found):
    """Yields layers and kernels, and how many times the variance is that the activation asks for.

    Not those with which something else was found to be wrong.
    """
    known = {
        path
        for each in found
        if each.rule in ("identical_units", "wrong_fan")
        for path in each.action.only
    }
    for layer in maps(signal):
        kernel = layer.kernels[-1]
        is_inside = layer.normalized or layer.branch is not None or layer.is_output
        if layer.asked is None or is_inside or kernel.path in known or not kernel.second_moment:
            continue
        yield layer, kernel, kernel.second_moment * kernel.fan_in / layer.asked
