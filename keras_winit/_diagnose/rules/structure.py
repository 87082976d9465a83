"""What the layers of a model leave training to do: which weights it changes, and through what."""

from keras_winit._diagnose.rules.finding import reported
from keras_winit._diagnose.rules.rule import above, is_drawn, maps, rule
from keras_winit._references import DEEP_LEARNING, SRIVASTAVA

# Of a gradient, over the loss.
_ROUNDING = 1e-6


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
    # Random features, one or two layers of them, are a network of their own right.
    limits={"warning": 2},
    limit="more than {warning} kernels of 200 weights or more do not train, and all of them have "
    "the variance that their initializers ask for (warning)",
    reason="A base that was frozen before it has learned gives features by chance, of which the "
    "last layers make little.",
    reference="Keras 3, guide on transfer learning",
    fix='Load what it has learned, as `weights="imagenet"` or `load_weights`, or let it learn: '
    "`base.trainable = True`, and compile again.",
)
def frozen_random(rule, signal, found):
    frozen = [
        kernel
        for layer in signal.layers
        for kernel in layer.kernels
        if not kernel.is_trainable and is_drawn(kernel) is not None
    ]
    is_found = reported(found, "nothing_trainable")
    if not is_found and len(frozen) > rule.limits["warning"] and all(map(is_drawn, frozen)):
        yield rule.finding(
            "warning",
            layer=None,
            value=len(frozen),
            limit=rule.limits["warning"],
            message=f"{len(frozen)} kernels are frozen as they were drawn, as {frozen[0].path}; "
            f"the limit is {rule.limits['warning']}.",
        )


@rule(
    limits={"error": 0.5, "warning": 0.0},
    limit="the share of the trainable kernels that no gradient reaches is above {warning:.0%} "
    "(warning) or {error:.0%} (error); it is all of them where the loss does not change with the "
    "output, or its weights are zero",
    reason="What the loss does not depend on, or only by what has no derivative, stays as it is.",
    reference="Keras 3, keras.ops.stop_gradient",
    fix="Look for `stop_gradient`, `argmax`, rounding, comparisons, or a conversion to NumPy, on "
    "the way to the loss and in it, and for zeros in `loss_weights` and `sample_weight`.",
)
def unreached_weights(rule, signal, found):
    if signal.loss is None:
        return
    kernels = [kernel for layer in signal.layers for kernel in layer.kernels if kernel.is_trainable]
    is_flat = _is_flat(signal) and not any(each.severity == "error" for each in found)
    cut = kernels if is_flat else [kernel for kernel in kernels if kernel.gradient is None]
    if not cut:
        return
    share = len(cut) / len(kernels)
    severity, limit = above(share, rule.limits)
    yield rule.finding(
        severity,
        layer=None,
        value=share,
        limit=limit,
        message=f"No gradient reaches {share:.0%} of the kernels, as {cut[0].path}; the limit is "
        f"{limit:.0%}.",
    )


def _is_flat(signal):
    """Whether a loss has no derivative by any output, but for rounding, and nothing else learns."""
    loss = abs(signal.loss.value)
    return signal.loss.is_weightless or (
        loss > 0
        and bool(signal.endings)
        and all(each.is_known and each.layer is not None for each in signal.endings)
        and all(
            layer.gradient is not None
            and layer.gradient * max(layer.preactivation.rms, 1) <= _ROUNDING * loss
            for layer in signal.layers
            if layer.is_output
        )
    )


@rule(
    limits={"warning": 1},
    limit="plain layers with kernels, two or more, and no activation between any of them",
    reason="A product of matrices is one matrix: however many layers, they compute what a single "
    "one can.",
    reference=DEEP_LEARNING.at("section 6.1"),
    fix='`Dense(units, "relu")` for all but the last layer.',
)
def no_nonlinearity(rule, signal, found):
    if signal.is_linear:
        number, limit = len(maps(signal)), rule.limits["warning"]
        yield rule.finding(
            "warning",
            layer=None,
            value=number,
            limit=limit,
            message=f"{number} layers follow each other without an activation; the limit is "
            f"{limit}.",
        )


@rule(
    # Of 2, 4 and 8 layers at rates of 0.5 to 0.95.
    limits={"error": 80.0, "warning": 10.0},
    limit="the product of 1 / (1 - rate) over the dropout layers that follow each other is above "
    "{warning:g} (warning) or {error:g} (error); with residual branches, that of each by itself",
    reason="Dropout adds noise to the signal, and that of one layer is passed on to the next: that "
    "product is the size of both over that of the signal.",
    reference=SRIVASTAVA.at("section 7.3"),
    fix="Fewer dropout layers, or smaller rates: at most 0.5 once or twice, 0.1 to 0.2 in deep "
    "networks.",
)
def large_dropout(rule, signal, found):
    severity, limit = above(signal.dropout_noise, rule.limits)
    if severity:
        yield rule.finding(
            severity,
            layer=None,
            value=signal.dropout_noise,
            limit=limit,
            message=f"Dropout makes the second moment of the signal {signal.dropout_noise:.3g} "
            f"times as large, by noise; the limit is {limit:g}.",
        )


@rule(
    # Of exp from pairs of units: 6 layers diverge from some seeds with Adam at its rate of 1e-3,
    # 8 from all, 10 from some at 3e-4 too.
    limits={"error": 9, "warning": 5},
    limit="more than {warning} (warning) or {error} (error) hidden layers of exp, or what grows as "
    "fast, without a normalization before it",
    reason="Each layer makes an exponential of what the one before has made. However small they "
    "start, the first steps that let one grow let all behind it explode.",
    reference=DEEP_LEARNING.at("section 8.2.4"),
    fix='`Dense(units, "relu")` or `"softplus"` in all but a few layers; with up to 8 of exp a '
    "learning rate of 3e-4 for Adam, after `initialize(model)`.",
)
def runaway_activation(rule, signal, found):
    many = [
        layer
        for layer in maps(signal)
        if layer.runs_away and not layer.normalized and not layer.is_output
    ]
    severity, limit = above(len(many), rule.limits)
    if severity:
        yield rule.finding(
            severity,
            layer=many[0].layer,
            value=len(many),
            limit=limit,
            message=f"{len(many)} layers, from {many[0].layer} on, are followed by "
            f"{many[0].activation}, which runs away; the limit is {limit}.",
        )
