"""Changes the weights of a model as findings suggest."""

import numpy as np

from keras_winit import _network
from keras_winit._calibrate.calibrate import calibrate_within
from keras_winit._diagnose.rules import Verb
from keras_winit._diagnose.rules.loss import biased_layer
from keras_winit._network.network import Network
from keras_winit._plan.initialize import initialize_within
from keras_winit._plan.plan import choices_of, make_plan
from keras_winit.initializers._class_prior import output_bias


def applicable(model, signal, findings):
    """Returns the `Action`s of findings that the model has weights for."""
    actions = [finding.action for finding in findings if finding.action is not None]
    has_bias = bool(_priors(model, signal, findings))
    return [action for action in actions if has_bias or action.verb is not Verb.PRIOR]


def apply(changes, model, batch, signal, findings, actions, seed):
    """Applies actions: first kernels are drawn, then their sizes are set, then the last biases."""
    verbs = {action.verb for action in actions}
    drawn = [action for action in actions if action.verb in (Verb.INITIALIZE, Verb.UNBIAS)]
    if drawn:
        only = None
        if Verb.UNBIAS not in verbs and all(action.only for action in drawn):
            only = list(dict.fromkeys(path for action in drawn for path in action.only))
        # What was found wrong is the author's, where the author gave something special.
        plan = make_plan(model, "suggested", keep="none", only=only)
        if Verb.UNBIAS in verbs:
            _unbias(plan, signal)
        elif only:
            for choice in choices_of(plan):
                if choice.weight.path in only and choice.instead_of is not None:
                    plan[choice.weight.path] = choice.instead_of
        initialize_within(changes, model, plan, seed=seed, only=only)
    if Verb.CALIBRATE in verbs:
        calibrate_within(changes, Network(model), batch)
    for bias, activation, loss in _priors(model, signal, findings):
        changes.assign(bias, _prior(activation, loss, bias.shape))


def _unbias(plan, signal):
    """Puts zeros into a plan for the biases of hidden layers that it leaves."""
    outputs = {k.path for layer in signal.layers if layer.is_output for k in layer.kernels}
    choices = choices_of(plan)
    keep = {choice.weight.layer for choice in choices if choice.weight.path in outputs}
    for choice in choices:
        weight = choice.weight
        if choice.from_layer and weight.role == "bias" and weight.layer not in keep:
            plan[weight.path] = "zeros"


def _priors(model, signal, findings):
    """Returns the bias, activation and loss of each output that is to start at its prior."""
    found = []
    for finding in findings:
        if finding.action is None or finding.action.verb is not Verb.PRIOR:
            continue
        layer = biased_layer(signal, finding.output)
        losses = (signal.loss,) if finding.output is None else signal.losses
        (loss,) = (each for each in losses if each and each.output == finding.output)
        paths = {kernel.path for kernel in layer.kernels}
        owners = {each.layer for each in _network.weights_of(model) if each.path in paths}
        bias = getattr(*owners, "bias", None) if len(owners) == 1 else None
        if bias is not None:
            found.append((bias, layer.activation, loss))
    return found


def _prior(activation, loss, shape):
    """Returns the bias at which the output is the frequencies of the classes, or the mean."""
    kind = "linear" if loss.from_logits is None else "softmax"
    if activation == "sigmoid" or loss.name == "binary_crossentropy":
        kind = "sigmoid"
    least = 0.5 / loss.num_labels  # a class that is not in the batch may be in the next
    return np.broadcast_to(output_bias(loss.prior, kind, least), shape).astype("float32")
