"""Schemes for residual networks, whose branches are scaled or start at zero."""

import keras

from keras_winit._plan import decisions
from keras_winit._plan.by_activation import scaled
from keras_winit._plan.decisions import Line, group
from keras_winit._plan.schemes.by_variance import ACROSS_UNITS, BY_VARIANCE
from keras_winit._references import FIXUP, GOYAL, GPT2, HE


def _zeros(case):
    return keras.initializers.Zeros()


# Fixup, for a kernel in a branch.
IN_BRANCH = (
    Line(
        name="kernels that do not end their layer, as depthwise ones",
        fits=lambda case: not case.weight.ends_layer,
        gets="a variance of *scale* / fan_in",
        initializer=lambda case: scaled(case.scale),
        reason="in a branch without normalization: {scale:.4g} / fan_in",
        reference=HE,
    ),
    Line(
        name="the only one of a branch, as the output of attention",
        fits=lambda case: case.branch.depth == 1,
        gets="a variance of *scale* / fan_in / *branches*",
        initializer=lambda case: scaled(case.scale / case.branches),
        reason="a branch without normalization, one of {branches}: 1 / branches",
        reference=FIXUP,
    ),
    Line(
        name="the last of a branch",
        fits=lambda case: case.branch.is_last,
        gets="`zeros`",
        initializer=_zeros,
        reason="the last of a branch without normalization: the branch starts at zero",
        reference=FIXUP,
    ),
    Line(
        name="others",
        fits=lambda case: True,
        gets="a variance of *scale* / fan_in, times *branch_factor* squared",
        initializer=lambda case: scaled(case.scale * case.branch_factor**2),
        reason="in one of {branches} branches without normalization: {branch_factor:.3g} times "
        "smaller",
        reference=FIXUP,
    ),
)


def is_scaled(case):
    """Whether a kernel lies in a branch of which nothing but its weights bounds the size."""
    return case.in_branch and not case.branch.normalized


UNNORMALIZED = group("a residual branch without normalization", is_scaled, *IN_BRANCH)

LISTS = {
    "fixup": (
        Line(
            name="an output",
            fits=lambda case: case.around.is_output,
            gets="`zeros`",
            initializer=_zeros,
            reason="the output starts at zero",
            reference=FIXUP,
        ),
        ACROSS_UNITS,
        *group("a branch", lambda case: case.in_branch, *IN_BRANCH),
        *BY_VARIANCE,
    ),
    "zero_last": (
        Line(
            name="the last of a branch",
            fits=lambda case: case.ends_branch,
            gets="`zeros`",
            initializer=_zeros,
            reason="the last of a branch: the branch starts at zero",
            reference=GOYAL,
        ),
        ACROSS_UNITS,
        *BY_VARIANCE,
    ),
    "gpt2": (
        ACROSS_UNITS,
        Line(
            name="the last of a branch",
            fits=lambda case: (
                case.around.branch is not None
                and case.around.branch.is_last
                and case.weight.ends_layer
            ),
            gets="a variance of *scale* / fan_in / *branches*",
            initializer=lambda case: scaled(case.scale / case.branches),
            reason="the last of one of {branches} branches: their sum keeps its size",
            reference=GPT2,
        ),
        *BY_VARIANCE,
    ),
}


def by_branch(name):
    """Returns the scheme of one of the lists."""

    def scheme(network, keep):
        if not network.num_branches:
            raise ValueError(
                "no residual branch was found in the model"
                + (f" ({network.problem})" if network.problem else "")
                + '. Use "suggested" instead'
            )
        return decisions.decide(LISTS[name], network)

    return scheme
