"""What comes out of a model, beside the targets that it is to reach."""

import math

import numpy as np

from keras_winit._diagnose.rules.rule import above, rule

# The least and the most that activations give; others are not guessed at.
_REACH = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}


# A smaller share of targets may lie anywhere.
_OUTLIERS = 0.05


def _last(signal):
    """Returns the layer whose output is that of the model, `None` without a single one."""
    outputs = [layer for layer in signal.layers if layer.is_output]
    if len(outputs) != 1 or len(signal.outputs) != 1:
        return None
    ours, models = outputs[0].output, signal.outputs[0]
    is_same = np.allclose(  # a rescaling may follow
        (ours.mean, ours.second_moment), (models.mean, models.second_moment), rtol=1e-4
    )
    return outputs[0] if is_same else None


@rule(
    limits={"error": 1},
    limit="a softmax over {error} unit",
    reason="The softmax of a single unit is 1 whatever the weights, and its gradient is 0.",
    reference="Keras 3, keras.activations.softmax",
    fix='`Dense(1, "sigmoid")` with `loss="binary_crossentropy"` for two classes; for more, a '
    "unit for each.",
)
def softmax_over_one(rule, signal, found):
    layer = _last(signal)
    # A softmax sums to one, so that its mean is one over the number of units.
    if layer is not None and layer.activation == "softmax" and layer.output.mean > 0.999:
        yield rule.finding(
            "error",
            layer=layer.layer,
            value=1,
            limit=rule.limits["error"],
            message=f"The softmax of {layer.layer} is over 1 unit; the limit is 1, and more are "
            "right.",
        )


@rule(
    # Trained from standardized targets, relu and sigmoid (0.5 and 0.6) explain half as much as a
    # linear output, and tanh (0.15) as much.
    limits={"error": 0.75, "warning": 0.2},
    limit="the least squared error that the output's activation can reach, over the variance of "
    "the targets, is above {warning:g} (warning), {error:g} (error), and one of 20 or more is out "
    "of its range; for built-in losses of a regression",
    reason="No weights make an activation give what lies outside of its range, and close to its "
    "ends the gradient vanishes.",
    reference="Keras 3, keras.activations",
    fix="`Dense(units)` without an activation, or targets scaled into its range.",
)
def unreachable_targets(rule, signal, found):
    layer, loss = _last(signal), signal.loss
    if layer is None or loss is None or not loss.targets or layer.activation not in _REACH:
        return
    targets = np.asarray(loss.targets)
    low, high = _REACH[layer.activation]
    missed = targets - np.clip(targets, low, high)
    if not targets.var() > 0 or (missed != 0).mean() < _OUTLIERS:
        return
    value = (missed**2).mean() / targets.var()
    severity, limit = above(value, rule.limits)
    if severity:
        yield rule.finding(
            severity,
            layer=layer.layer,
            value=value,
            limit=limit,
            message=f"The {layer.activation} of {layer.layer} cannot reach targets from "
            f"{targets.min():.3g} to {targets.max():.3g}: at best an error of {value:.2g} of "
            f"their variance is left; the limit is {limit:g}.",
        )


@rule(
    limits={"error": 1},
    limit="labels that are numbers of more than two classes, each compared with more than {error} "
    "output",
    reason="A label of one column is repeated for every output, so that all outputs learn the "
    "same number.",
    reference="Keras 3, keras.losses, shapes of y_true and y_pred",
    fix='`loss="sparse_categorical_crossentropy"` with a softmax, or '
    "`y = keras.utils.to_categorical(y)`.",
)
def broadcast_labels(rule, signal, found):
    loss = signal.loss
    if loss is not None and loss.repeated > rule.limits["error"]:
        yield rule.finding(
            "error",
            layer=None,
            value=loss.repeated,
            limit=rule.limits["error"],
            message=f"Each label is compared with {loss.repeated} outputs by {loss.name}; the "
            "limit is 1.",
        )
