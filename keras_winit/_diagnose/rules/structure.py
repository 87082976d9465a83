"""What the layers of a model leave training to do: which weights it changes, and through what."""

from keras_winit._diagnose.rules.rule import above, maps, rule
from keras_winit._references import DEEP_LEARNING, SRIVASTAVA


@rule(
    limits={"error": 0},
    limit="no weight that training changes",
    reason="`trainable = False` on a model or on all of its layers leaves nothing to learn.",
    reference="Keras 3, guide on transfer learning",
    fix="`layer.trainable = True` for those that should learn, and compile again.",
)
def nothing_trainable(rule, signal, found):
    if not signal.num_trainable:
        yield rule.finding(
            "error",
            layer=None,
            value=0,
            limit=rule.limits["error"],
            message="The model has 0 trainable weights; more than the limit of 0 are right.",
        )


@rule(
    limits={"error": 0.5, "warning": 0.0},
    limit="the share of the trainable kernels that no gradient reaches is above {warning:.0%} "
    "(warning) or {error:.0%} (error)",
    reason="What the loss does not depend on, or only by what has no derivative, stays as it is.",
    reference="Keras 3, keras.ops.stop_gradient",
    fix="Look for `stop_gradient`, `argmax`, rounding, or a conversion to NumPy on the way to the "
    "loss.",
)
def unreached_weights(rule, signal, found):
    if signal.loss is None:
        return
    kernels = [kernel for layer in signal.layers for kernel in layer.kernels if kernel.is_trainable]
    cut = [kernel for kernel in kernels if kernel.gradient is None]
    if not cut:
        return
    severity, limit = above(len(cut) / len(kernels), rule.limits)
    yield rule.finding(
        severity,
        layer=None,
        value=len(cut) / len(kernels),
        limit=limit,
        message=f"No gradient reaches {len(cut) / len(kernels):.0%} of the kernels, as "
        f"{cut[0].path}; the limit is {limit:.0%}.",
    )


@rule(
    limits={"warning": 0.1},
    limit="plain layers with kernels, two or more, and no activation between any of them",
    reason="A product of matrices is one matrix: however many layers, they compute what a single "
    "one can.",
    reference=DEEP_LEARNING.at("section 6.1"),
    fix='`Dense(units, "relu")` for all but the last layer.',
)
def no_nonlinearity(rule, signal, found):
    if signal.is_linear:
        number = len(maps(signal))
        yield rule.finding(
            "warning",
            layer=None,
            value=number,
            limit=1,
            message=f"{number} layers follow each other without an activation; the limit is 1.",
        )


@rule(
    limits={"error": 0.95, "warning": 0.75},
    limit="the rate of a dropout layer is above",
    reason="So much noise is put into the signal that little of it is left.",
    reference=SRIVASTAVA.at("section 7.3"),
    fix="A rate of at most 0.5.",
)
def large_dropout(rule, signal, found):
    for path, rate in signal.dropout.items():
        severity, limit = above(rate, rule.limits)
        if severity:
            yield rule.finding(
                severity,
                layer=path,
                value=rate,
                limit=limit,
                message=f"Of the signal, {path} leaves out {rate:.0%}; the limit is {limit:.0%}.",
            )
