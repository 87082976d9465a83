"""What a deep network keeps of the directions in which its inputs differ."""

import statistics

from keras_winit._diagnose.rules.finding import INITIALIZE, reported
from keras_winit._diagnose.rules.rule import below, maps, rule
from keras_winit._diagnose.rules.size import drift
from keras_winit._references import DANESHMAND, KORNBLITH, PENNINGTON

# Few are left where inputs have few, or where few units hold them, as in an autoencoder: what is
# left over what there is, and over the number of units.
_OF_INPUT, _OF_UNITS = 0.2, 1 / 8
_LEARNED = 0.8
# What makes the signal small, large or the same for all samples has done the rest.
_CAUSES = (
    *("constant_input", "identical_units", "wrong_fan", "dead_units", "saturated_units"),
    *("constant_signal", "samples_alike", "vanishing_signal", "exploding_signal"),
    "exploding_gradient",
)


@rule(
    # Of one layer it is three times as much or as little by chance, of many less so.
    limits={"error": 0.4, "warning": 1.2},
    limit="the effective rank of the signal, times its alignment with that at the first layer "
    "(linear CKA), is below {warning:g} (warning) or {error:g} (error) in the mean over the second "
    "half of the hidden layers, and below a fifth of the rank at the first and an eighth of the "
    "narrowest; in dense layers without shortcuts",
    reason="A product of random matrices stretches few directions and squeezes the others, the "
    "more the deeper and narrower it is, and large weights mix them up. What tells samples apart "
    "is lost on the way.",
    reference=f"{PENNINGTON}; {DANESHMAND.at('section 3')}; {KORNBLITH.at('section 3')}",
    fix="`initialize(model)` gives deep plain networks maps that keep all lengths; or use "
    "shortcuts, a BatchNormalization, or wider layers.",
    comes_with=("vanishing_gradient",),
)
def lost_directions(rule, signal, found):
    layers = maps(signal)
    hidden = [each for each in layers if each.rank is not None and not each.is_output]
    is_one_path = sum(each.is_first_map for each in layers) == 1
    if len(hidden) < 2 or not is_one_path or any(each.branch for each in layers):
        return
    fades = drift(signal, -1, found, is_adaptive=False)  # which Adam makes up for
    if reported(found, *_CAUSES) or _has_learned(signal) or fades is not None:
        return
    first, later = hidden[0], hidden[len(hidden) // 2 :]
    narrowest = min(layer.kernels[-1].shape[-1] for layer in hidden)
    most = min(_OF_INPUT * first.rank, _OF_UNITS * narrowest)
    limits = {severity: min(limit, most) for severity, limit in rule.limits.items()}
    left = statistics.fmean(each.rank * each.alignment for each in later)
    severity, limit = below(left, limits)
    if severity:
        yield rule.finding(
            severity,
            layer=later[0].layer,
            value=left,
            limit=limit,
            message=f"Directions are lost: of an effective rank of {first.rank:.3g} at "
            f"{first.layer}, {left:.2g} are left from {later[0].layer} on, in the mean over "
            f"{len(later)} layers; the limit is {limit:.2g}.",
            action=INITIALIZE,
        )


def _has_learned(signal):
    """Whether the loss is well below that of the best constant: few directions may then do."""
    losses = [each for each in (signal.loss, *signal.losses) if each is not None]
    return any(each.best is not None and each.value < _LEARNED * each.best for each in losses)
