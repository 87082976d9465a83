"""Weights and biases at the edge of chaos."""

import math

import keras

from keras_winit._activations.criticality import critical_point
from keras_winit._plan.by_activation import scaled
from keras_winit._plan.decisions import Line, decide, group
from keras_winit._plan.schemes.branches import UNNORMALIZED
from keras_winit._plan.schemes.by_variance import BY_VARIANCE
from keras_winit._references import ROBERTS

initializers = keras.initializers


def _weights(case):
    # The first layer sees inputs of size 1, and brings them to the signal that stays.
    point = case.critical
    is_first = case.around.is_first
    return scaled(point.signal - point.bias_variance if is_first else point.weight_variance)


def _biases(case):
    variance = case.critical.bias_variance
    return initializers.RandomNormal(stddev=math.sqrt(variance)) if variance > 0 else None


def _has_point(case):
    critical_point(case.activation)  # raises where there is none
    return case.critical is not None


AT_CRITICAL_POINT = Line(
    name="activations with a critical point, if the layer has the bias that goes with it",
    fits=_has_point,
    gets="the variances of the critical point, for kernel and bias",
    initializer=_weights,
    bias=_biases,
    reason="{name}, deep and plain: at the edge of chaos, with a signal of {critical.signal:.3g}",
    reference=ROBERTS,
)

LINES = (
    Line(
        name="outputs, gates, functions across units",
        fits=lambda case: (
            case.moments is None
            or ((case.weight.is_in_cell or case.around.is_output) and not case.is_rectifier)
        ),
        gets="`lecun_normal`",
        initializer=lambda case: initializers.LecunNormal(),
        reason="linear: 1 / fan_in",
        reference=ROBERTS,
    ),
    *UNNORMALIZED,
    # Where signals are added up, none is handed on for a point of the signal to hold.
    *group("outside of residual branches", lambda case: case.branch is None, AT_CRITICAL_POINT),
    *BY_VARIANCE,
)


def critical(network, keep):
    """Weights and biases at the edge of chaos, by activation."""
    return decide(LINES, network)
