"""Samples and tokens that can no longer be distinguished."""

import math

from keras_winit._diagnose.rules.finding import INITIALIZE, UNBIAS, reported
from keras_winit._diagnose.rules.rule import above, maps, rule
from keras_winit._references import DONG, GIORLANDINO, NOCI, SCHOENHOLZ, VASWANI

# Of a second moment, where samples are not alike.
_DIFFERENT = 0.1
# A signal of this size has vanished by and by.
_NOTHING = 1e-12


@rule(
    limits={"error": 2.0},
    limit="the standard deviation of the logits over n keys is above √(2 log n) and above "
    "{error:g} (error)",
    reason="Logits that vary this much put all of the attention on one token, and the softmax is "
    "flat there.",
    reference=f"{GIORLANDINO}; {VASWANI.at('section 3.2.1')}",
    fix="Smaller maps of queries and keys: `initialize(model)`; or normalize both.",
)
def attention_logits(rule, signal, found):
    for layer in signal.layers:
        if layer.logit_std is None or layer.num_keys < 2:
            continue
        limit = max(math.sqrt(2 * math.log(layer.num_keys)), rule.limits["error"])
        if layer.logit_std > limit:
            yield rule.finding(
                "error",
                layer=layer.layer,
                value=layer.logit_std,
                limit=limit,
                message=f"The attention logits at {layer.layer} have a standard deviation of "
                f"{layer.logit_std:.3g} over {layer.num_keys} keys; the limit is {limit:.3g}.",
                action=INITIALIZE,
            )


@rule(
    limits={"error": 0.99997, "warning": 0.9999},
    limit="the mean cosine of two tokens rises from at most 0.9 to above {warning:g} (warning) or "
    "{error:g} (error)",
    reason="Attention averages over tokens. Without shortcuts that count, all tokens of a sample "
    "become the same vector: the rank collapses.",
    reference=f"{DONG}; {NOCI}",
    fix="Put shortcuts around attention, and normalize before it, not behind; "
    "`initialize(model)` scales branches without normalization.",
)
def tokens_alike(rule, signal, found):
    layers = [layer for layer in signal.layers if layer.token_cosine is not None]
    if len(layers) < 2 or layers[0].token_cosine > 0.9:
        return
    start, last = layers[0].token_cosine, layers[-1]
    severity, limit = above(last.token_cosine, rule.limits)
    if severity:
        is_plain_branch = last.branch is not None and not last.branch.normalized
        yield rule.finding(
            severity,
            layer=last.layer,
            value=last.token_cosine,
            limit=limit,
            message=f"Tokens become alike: their mean cosine is {start:z.2f} before "
            f"{layers[0].layer} and {last.token_cosine:.7f} before {last.layer}; the limit is "
            f"{limit:g}.",
            action=INITIALIZE if is_plain_branch else None,
        )


@rule(
    limits={"error": 1e-6},
    limit="of the second moment at a layer, at all behind it and at the outputs less than "
    "{error:g} differs between samples, and at the layer before more than a tenth",
    reason="A constant takes the place of the signal: a normalization over one value, which is all "
    "that it makes of it, a mask that hides everything, or what does not depend on its input.",
    reference="Keras 3, keras.layers.LayerNormalization, argument axis",
    fix="Look at what lies in front of that layer by `record(model, x)`. Normalize over an axis of "
    "more than one value, as `axis=(1, 2)` of a series of one feature; give an embedding integers, "
    "as it takes those below; leave the padding of sequences out by `mask_zero=True` or a "
    "`Masking`, but not all steps.",
)
def constant_signal(rule, signal, found):
    layers = maps(signal)
    if signal.is_drawn or any(each.severity == "error" for each in found):
        return
    shares = [_share_between(layer.preactivation) for layer in layers]
    outputs = max(map(_share_between, signal.outputs), default=1.0)
    number = next((n for n in range(len(layers)) if max(shares[n:]) < rule.limits["error"]), None)
    if number is None or outputs >= rule.limits["error"]:
        return
    before = shares[number - 1] if number else any(each.varies for each in signal.inputs)
    is_there = not number or layers[number - 1].preactivation.second_moment > _NOTHING
    if before > _DIFFERENT and is_there:
        yield rule.finding(
            "error",
            layer=layers[number].layer,
            value=shares[number],
            limit=rule.limits["error"],
            message=f"From {layers[number].layer} on the signal is the same for all samples, which "
            f"are not: {shares[number]:.2g} of its second moment differs; the limit is "
            f"{rule.limits['error']:g}.",
        )


def _share_between(summary):
    """Returns the share of a second moment, from 0 to 1, that differs between samples."""
    if summary.num_samples < 2 or not summary.second_moment > 0:
        return 0.0 if summary.num_samples > 1 else 1.0
    return 1 - summary.common / summary.second_moment


@rule(
    # Three layers of sigmoid learn late; from four on nothing is learned by gradient descent, and
    # less and less by Adam.
    limits={"error": 0.99997, "warning": 0.999},
    limit="the mean cosine of two samples rises from at most 0.9 to above {warning:g} (warning) or "
    "{error:g} (error)",
    reason="All samples give nearly the same output, whatever the input. What tells them apart is "
    "lost on the way, and a large variance between units hides it.",
    reference=SCHOENHOLZ.at("section 3"),
    fix="`initialize(model)` centers the weights where that is the cause, with biases at zero; or "
    "use a normalization layer, or shortcuts.",
)
def samples_alike(rule, signal, found):
    layers = maps(signal)
    inner = [each for each in layers if not each.is_output]
    # Probabilities are alike before training, as those of a router beside the other layers.
    hidden = [each for each in inner if each.activation != "softmax"] or inner
    start = layers[0].preactivation.cosine if layers else None
    if len(hidden) < 2 or start is None or start > 0.9:
        return
    # The last layer may be a gate on the side: the outputs have to be alike as well.
    last = hidden[-1]
    if reported(found, "constant_signal"):
        return
    cosines = [each.preactivation.cosine for each in layers if each.is_output]
    if not cosines:  # but additions to a shortcut
        cosines = [each.cosine for each in signal.outputs]
    cosine = min(each for each in (last.output.cosine, *cosines, 1.0) if each is not None)
    severity, limit = above(cosine, rule.limits)
    if severity and last.output.cosine is not None:
        yield rule.finding(
            severity,
            layer=last.layer,
            value=cosine,
            limit=limit,
            message=f"Samples become alike: their mean cosine is {start:z.2f} at "
            f"{layers[0].layer} and {cosine:.7f} from {last.layer} on; the limit is {limit:g}.",
            action=UNBIAS,
        )
