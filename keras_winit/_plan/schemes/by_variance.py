"""Lines that several schemes share, above all the variance that an activation asks for."""

import keras

from keras_winit._plan.by_activation import EXACT_REASON, scaled
from keras_winit._plan.decisions import Line
from keras_winit._references import GLOROT, HE, SAXE, SELU

BETWEEN = "between what forward and backward ask for"

ACROSS_UNITS = Line(
    name="softmax and other functions across units, and those without a gain",
    fits=lambda case: case.moments is None,
    gets="`glorot_uniform`",
    initializer=lambda case: keras.initializers.GlorotUniform(),
    reason=f"{{name}} follows: {BETWEEN}",
    reference=GLOROT,
)

RECURRENT = Line(
    name="recurrent kernels",
    role="recurrent",
    fits=lambda case: True,
    gets="`orthogonal`, for each gate",
    initializer=lambda case: keras.initializers.Orthogonal(),
    reason="an orthogonal map from state to state, per gate, neither fades nor explodes",
    reference=SAXE,
)

BY_VARIANCE = (
    Line(
        name="selu",
        fits=lambda case: case.name == "selu",
        gets="`lecun_normal`",
        initializer=lambda case: scaled(case.scale),
        reason=EXACT_REASON,
        reference=SELU,
    ),
    Line(
        name="anything else",
        fits=lambda case: True,
        gets="a variance of *scale* / fan_in: `he_normal` before relu, `lecun_normal` before "
        "nothing",
        initializer=lambda case: scaled(case.scale),
        reason=f"{EXACT_REASON} {{reach}}",
        reference=HE,
    ),
)
