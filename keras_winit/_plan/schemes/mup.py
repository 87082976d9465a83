"""Maximal-update parametrization: the start with which a learning rate holds for any width."""

import dataclasses

import keras

from keras_winit._network.widths import widths
from keras_winit._plan.decisions import Line, decide, group
from keras_winit._plan.schemes.branches import IN_BRANCH
from keras_winit._plan.schemes.by_variance import BY_VARIANCE, RECURRENT
from keras_winit._references import HE, YANG
from keras_winit.initializers._equivalents import SCALINGS
from keras_winit.initializers._for_weight import standard_deviation, with_variance

initializers = keras.initializers


def _is_scaled(case):
    return case.in_branch and not case.branch.normalized


LINES = (
    Line(
        name="outputs",
        fits=lambda case: case.around.is_output and not case.weight.is_in_cell,
        gets="`zeros`",
        initializer=lambda case: initializers.Zeros(),
        reason="an output: at zero it is the same at any width",
        reference=YANG,
    ),
    RECURRENT,
    Line(
        name="gates, attention, softmax and other functions across units",
        fits=lambda case: (
            case.moments is None
            or (case.weight.in_attention and not (_is_scaled(case) and case.weight.ends_layer))
            or (case.weight.is_in_cell and not case.is_rectifier)
        ),
        gets="`lecun_normal`",
        initializer=lambda case: initializers.LecunNormal(),
        reason="{name} follows: 1 / fan_in",
        reference=HE,
    ),
    *group(
        "a residual branch without normalization",
        _is_scaled,
        *IN_BRANCH,
    ),
    *BY_VARIANCE,
)


def mup(network, keep, base=None):
    """Variances that let all layers learn at any width, beside those of a base model."""
    if base is None:
        raise ValueError(
            "`base_model` should be given: the model of the width that the learning rate was tuned "
            "at, built by the same code; for that model itself, itself"
        )
    if network.depth < 2 and not network.problem:
        raise ValueError(
            "it has no width: no kernel comes after another. Its learning rate is the one it has"
        )
    found = widths(network, base)
    return [_widened(choice, found[choice.weight]) for choice in decide(LINES, network)]


def _widened(choice, wider):
    """Returns the choice of the base model, at another width."""
    weight, initializer, base = choice.weight, choice.initializer, wider.base
    reasons = [] if choice.from_layer else [choice.reason]
    if initializer is None:
        return choice
    if weight.role == "embedding":
        std = standard_deviation(base, base.own_initializer())
        if std in (None, standard_deviation(weight, initializer)):
            return choice
        return _instead(choice, initializers.RandomNormal(stddev=std), "of the size of the base's")
    if wider.role == "output":
        reasons.append(f"an output of {wider.inputs:.4g} times the base's width: as much less")
    if wider.share != 1 and weight.in_attention:
        reasons.append(
            f"heads {wider.share**-2:.4g} times as large as the base's: as much less, for logits "
            "by 1 / head size"
        )
    elif wider.share != 1:
        reasons.append(f"an output by a table {1 / wider.share:.4g} times as wide: as much less")
    factor = wider.share**2 / (wider.inputs if wider.role == "output" else 1)
    if factor != 1 and type(initializer) in SCALINGS:
        initializer = with_variance(initializer, factor)
    elif wider.share != 1 and isinstance(initializer, initializers.Ones):
        initializer = initializers.Constant(wider.share)
    else:
        return choice
    return _instead(choice, initializer, "; ".join(reasons))


def _instead(choice, initializer, reason):
    return dataclasses.replace(
        choice,
        initializer=initializer,
        reason=reason,
        reference=str(YANG),
        from_layer=False,
        as_keras=False,
    )
