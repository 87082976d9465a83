"""What the authors of layers meant, and what is kept of it."""

import dataclasses
from typing import get_args

import keras

from keras_winit._network.weights import gives_zeros
from keras_winit._plan.by_activation import is_close
from keras_winit._plan.choice import from_layer
from keras_winit._plan.decisions import Case
from keras_winit.initializers._equivalents import SCALINGS
from keras_winit.initializers._for_weight import variances
from keras_winit.initializers._names import brief
from keras_winit.typing import Keep

initializers = keras.initializers

KEEP = get_args(Keep)

# Scale and mode of Glorot's, He's (for signal and gradient) and LeCun's, of any distribution.
_FAMILIES = ((1.0, "fan_avg"), (2.0, "fan_in"), (2.0, "fan_out"), (1.0, "fan_in"))
# What says nothing where all arguments are at their default.
_UNSAID = (initializers.RandomNormal, initializers.RandomUniform, initializers.TruncatedNormal)


def kept(choices, network, keep, *, zeros=False):
    """Returns choices with what the author gave in place of some.

    Args:
        choices: What a scheme gives.
        network: The `Network`.
        keep: `"special"`, `"all"` or `"none"`, as in `suggest`.
        zeros: Whether kernels of zeros are kept in any case.
    """
    is_kept = keeping(network, keep, zeros=zeros)
    return [_kept(choice) if is_kept(choice.weight) else choice for choice in choices]


def keeping(network, keep, *, zeros=False):
    """Returns the function that says of a weight whether it keeps what its author gave."""
    is_designed = keep != "none" and _starts_within_at_zero(network)

    def is_kept(weight):
        own = weight.own_initializer()
        if zeros and weight.kernel is not None and gives_zeros(own):
            return True
        if keep == "none" or _is_default(weight):
            return is_designed
        return is_designed or keep == "all" or not _is_generic(weight, network)

    return is_kept


def what_is_kept(choices):
    """Returns a sentence, in a tuple, on what `keep="none"` suggests for."""
    given = [
        brief(choice.initializer)
        for choice in choices
        if choice.instead_of is not None and not gives_zeros(choice.initializer)
    ]
    if not given:
        return ()
    names = ", ".join(dict.fromkeys(given))
    number = f"{len(given)} weight" + "s" * (len(given) > 1)
    return (f'Kept as the author gave it: {number}, {names}. `keep="none"` suggests for it too.',)


def _kept(choice):
    weight, new = choice.weight, choice.initializer
    if new is None or _alike(weight.own_initializer(), new):
        return choice
    is_default = _is_default(weight)
    reason = "beside kernels that the author starts at zero" if is_default else "the author's"
    own = from_layer(weight, as_keras=True)
    reason = f"kept: {reason}; suggested is {brief(new)}"
    return dataclasses.replace(own, reason=reason, from_layer=False, instead_of=new)


def _is_default(weight):
    # What the code of a layer draws its own weight with is its author's.
    is_told = weight.kernel is None and weight.argument is None
    return not is_told and _alike(weight.own_initializer(), weight.default_initializer())


def _starts_within_at_zero(network):
    """Whether the author starts a kernel within a model of branches or normalization at zero.

    How fast such branches grow hangs on the size of all that is around them: it is one design.
    """
    return not network.is_plain and any(
        weight.role == "kernel"
        and (gives_zeros(own := weight.own_initializer()) or weight.is_near_zero_by(own))
        and not network.around(weight.layer).is_output
        for weight in network.kernels
    )


def _is_generic(weight, network):
    own = weight.own_initializer()
    if type(own) in _UNSAID:
        return _alike(own, type(own)())
    if getattr(own, "centered", False):
        return False
    if type(own) in SCALINGS and (own.scale, own.mode) in _FAMILIES:
        return True
    # Where Keras counts other fans, `suggest_initializer` and saved files make up for it by scale.
    _, variance = variances(weight, own) if weight.is_kernel else (None, None)
    if variance is None:
        return False
    case, (fan_in, fan_out) = Case(weight, network), weight.fans
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    asked = [scale / fans[mode] for scale, mode in _FAMILIES]
    asked += [case.scale / fan_in] if case.moments else []
    return any(is_close(variance, each) for each in asked)


def _alike(one, other):
    """Whether two initializers are the same but for their seeds."""
    if type(one) is not type(other) or not isinstance(one, keras.Initializer):
        return one is other
    return _said(one) == _said(other)


def _said(initializer):
    config = {k: v for k, v in initializer.get_config().items() if not k.endswith(("seed", "axes"))}
    return {**config, "gain": getattr(initializer, "gain", None)}  # which Keras's identity hides
