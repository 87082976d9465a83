"""The decision list: which initializer the activation behind a kernel asks for, and why.

A layer alone (`suggest_initializer`) follows all of it. A whole model (`suggest`) knows what is
around the layer, and gives the exact variance where the list stays with what is customary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras

from keras_winit._activations.activation import RECTIFIERS, RELU_VARIANTS, Activation
from keras_winit._references import GLOROT, HE, SELU

initializers = keras.initializers

# He's 2 / fan_in is near where the exact variance is within a third of it, as for elu (1.29 times).
NEAR = 4 / 3


@dataclass(frozen=True)
class Scaling:
    """A variance of scale / fan, and how it is drawn."""

    scale: float
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def initializer(self, **arguments):
        """Returns a new initializer of Keras, by its own name where it has one."""
        for cls, (scale, *drawn) in _NAMED.items():
            if drawn == [self.mode, self.distribution] and is_close(self.scale, scale):
                return cls(**arguments)
        return initializers.VarianceScaling(self.scale, self.mode, self.distribution, **arguments)


_NAMED = {
    initializers.HeNormal: (2.0, "fan_in", "truncated_normal"),
    initializers.LecunNormal: (1.0, "fan_in", "truncated_normal"),
    initializers.GlorotUniform: (1.0, "fan_avg", "uniform"),
}


@dataclass(frozen=True)
class Line:
    """One line of the list.

    Attributes:
        name: What the activations are.
        fits: Whether an activation is one of them, by Keras's name for it (`None` if it has none)
            and its exact scale: 1 / E f(z)², for z ~ N(0, 1) (`None` if it has no gain).
        choice: Keras's name for the initializer.
        scaling: The variance, by the exact scale.
        reason: Why, with places for a name and the exact scale.
        reference: Where it comes from.
    """

    name: str
    fits: Callable
    choice: str
    scaling: Callable
    reason: str
    reference: str


# How whole models are told the exact variance, whatever follows.
EXACT_REASON = "{name} follows: {scale:.4g} / fan_in keeps the size of the signal"

# The first line that fits decides.
LINES = (
    Line(
        "rectifiers that lose half of the signal",
        lambda name, scale: name in RELU_VARIANTS and scale is not None and is_close(scale, 2),
        "he_normal",
        lambda scale: Scaling(2.0),
        "{name} is a rectifier: half of the signal's second moment is lost, and a variance of "
        "2 / fan_in makes up for it",
        HE.at("section 2.2"),
    ),
    Line(
        "variants of relu",
        lambda name, scale: (
            name in RELU_VARIANTS and scale is not None and 2 / NEAR < scale < 2 * NEAR
        ),
        "he_normal",
        lambda scale: Scaling(2.0),
        "{name} is a variant of relu, whose 2 / fan_in is near and customary: {scale:.4g} / fan_in "
        "would keep the size of the signal",
        HE.at("section 2.2"),
    ),
    Line(
        "other rectifiers",
        lambda name, scale: name in RECTIFIERS and scale is not None,
        "variance_scaling",
        lambda scale: Scaling(scale),
        EXACT_REASON,
        HE.at("section 2.2"),
    ),
    Line(
        "selu",
        lambda name, scale: name == "selu",
        "lecun_normal",
        lambda scale: Scaling(1.0),
        "{name} normalizes itself, if the weights have a variance of 1 / fan_in",
        SELU.at("section 2"),
    ),
    Line(
        "anything else",
        lambda name, scale: True,
        "glorot_uniform",
        lambda scale: Scaling(1.0, "fan_avg", "uniform"),
        "{name} is none of the rectifiers of the list, nor selu: Keras's default",
        GLOROT.at("section 4.2.1"),
    ),
)


def decide(activation):
    """Returns the line for an activation, its `Scaling`, and the reason in words."""
    activation = Activation.of(activation)
    scale = _exact_scale(activation) if activation.is_rectifier else None
    line = next(line for line in LINES if line.fits(activation.keras_name, scale))
    reason = line.reason.format(name=activation.name, scale=scale)
    return line, line.scaling(scale), reason


def scaled(scale):
    """Returns the initializer of Keras for a variance of scale / fan_in."""
    return Scaling(scale).initializer()


def _exact_scale(activation):
    moments = activation.moments
    return 1 / moments.second_moment if moments is not None and moments.second_moment else None


def is_close(scale, other):
    return math.isclose(scale, other, rel_tol=1e-6)
