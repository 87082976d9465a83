"""Which initializer each weight of a model gets, by scheme."""

import math

import keras

from keras_winit._activations.criticality import critical_point, point_of_small_signal, signal_slope
from keras_winit._plan.by_activation import EXACT_REASON, GLOROT, HE, SELU, scaled
from keras_winit._plan.choice import Choice
from keras_winit._plan.schemes.mimetic import MIMETIC, mimetic_parts
from keras_winit._plan.schemes.mirrored import mirrored
from keras_winit._plan.schemes.pytorch import pytorch
from keras_winit.initializers import ActivationScaling, DeltaOrthogonal, Orthogonal, Siren

initializers = keras.initializers

SAXE = "Saxe et al., 2014, https://arxiv.org/abs/1312.6120"
ISOMETRY = "Pennington et al., 2017, https://arxiv.org/abs/1711.04735"
XIAO = "Xiao et al., 2018, https://arxiv.org/abs/1806.05393"
CRITICAL = "Roberts, Yaida and Hanin, 2022, https://arxiv.org/abs/2106.10165"
CENTERED = "Brock et al., 2021, https://arxiv.org/abs/2101.08692"
FIXUP = "Zhang et al., 2019, https://arxiv.org/abs/1901.09321"
SIREN = "Sitzmann et al., 2020, https://arxiv.org/abs/2006.09661"
GPT2 = "Radford et al., 2019, Language models are unsupervised multitask learners, section 2.3"
ZERO_LAST = "Goyal et al., 2017, https://arxiv.org/abs/1706.02677"

REST = "what their layer gives them"

# Networks without normalization or shortcuts need more than the right variance from here on.
VERY_DEEP = 30


def own(network):
    """The reset: each weight from the initializer that its layer has."""
    return [_from_layer(weight, as_keras=True) for weight in network.weights]


def keras_defaults(network):
    """What Keras gives to a layer of which nothing is said."""
    return [
        Choice(weight, weight.default_initializer(), "Keras's default", as_keras=True)
        for weight in network.weights
    ]


def uniform(initializer):
    """Returns the scheme that gives one initializer to every kernel."""

    def scheme(network):
        return [
            Choice(weight, _fresh(initializer), "asked for") if weight.is_kernel else _rest(weight)
            for weight in network.weights
        ]

    return scheme


def _fresh(initializer):
    if type(initializer) is initializers.Identity:  # it has no seed, and a copy has no gain
        return initializer
    return initializer.clone() if isinstance(initializer, keras.Initializer) else initializer


def _rest(weight):
    # An embedding's own initializer was meant for the whole table, not for each row.
    is_table = weight.role == "embedding"
    return _from_layer(weight, as_keras=is_table)


def _from_layer(weight, as_keras):
    return Choice(weight, weight.own_initializer(), REST, as_keras=as_keras, from_layer=True)


def suggested(network):
    """The right weights by activation, depth, normalization and shortcuts."""
    chosen = {}
    for weight in network.weights:
        if weight.role == "recurrent":
            reason = "an orthogonal map from state to state, per gate, neither fades nor explodes"
            chosen[weight] = Choice(weight, initializers.Orthogonal(), reason, SAXE)
        elif weight.role == "kernel":
            for choice in _for_kernel(weight, network):
                chosen[choice.weight] = choice
    return [chosen.get(weight) or _rest(weight) for weight in network.weights]


def _for_kernel(weight, network):
    """Returns the choice for a kernel, and for its bias if it needs one. The first line decides."""
    around, activation = network.around(weight.layer), network.after(weight)
    name, moments = activation.name, activation.moments
    is_rectifier = activation.is_rectifier
    branch = around.branch
    is_scaled = branch is not None and not branch.normalized and not branch.is_zero
    if weight.in_attention and not (is_scaled and weight.ends_layer):
        return [_glorot(weight, "attention: between what forward and backward ask for")]
    if (weight.is_in_cell and not is_rectifier) or moments is None:
        return [_glorot(weight, f"{name} follows: between what forward and backward ask for")]
    if is_scaled:
        return [_in_branch(weight, moments, branch, network.num_branches)]
    if around.is_output and not is_rectifier and activation.keras_name != "selu":
        return [_glorot(weight, "an output: between what forward and backward ask for")]
    if activation.is_mostly_mean:
        if not network.is_plain:
            return [_glorot(weight, f"{name} follows: between what forward and backward ask for")]
        if around.is_first:
            reason = f"{name} follows, and the input comes as it is: 1 / fan_in"
            return [Choice(weight, initializers.LecunNormal(), reason, CENTERED)]
        reason = f"{name} makes samples alike unless the weights of each unit sum to zero"
        return [
            Choice(weight, ActivationScaling(activation.function, centered=True), reason, CENTERED)
        ]
    if activation.is_steep:
        return [_for_steep(weight, name, moments, around.is_first)]
    if not network.is_deep:
        return [_forward(weight, name, moments)]
    point = point_of_small_signal(activation)
    if point is not None:
        if around.is_first:
            reason = f"{name}, deep and plain: brings the input to the signal that stays"
            return [Choice(weight, scaled(point.signal - point.bias_variance), reason, ISOMETRY)]
        return [_orthogonal(weight, name, math.sqrt(point.weight_variance), ISOMETRY)]
    slope = signal_slope(activation)
    if network.depth > VERY_DEEP and is_rectifier and abs(slope - 1) < 1e-3:
        return [_orthogonal(weight, name, 1 / math.sqrt(moments.second_moment), SAXE)]
    if slope > 1.03:
        return _critical(weight, network, activation, around.is_first)
    return [_forward(weight, name, moments)]


def _glorot(weight, reason):
    return Choice(weight, initializers.GlorotUniform(), reason, GLOROT)


def _forward(weight, name, moments):
    scale = 1 / moments.second_moment
    reason = EXACT_REASON.format(name=name, scale=scale)
    return Choice(weight, scaled(scale), reason, SELU if name == "selu" else HE)


def _for_steep(weight, name, moments, is_first):
    """Returns the choice for sin(30 z) and the like, whose slopes are larger than their values."""
    if is_first:
        reason = f"{name} follows, and the input comes as it is: uniform up to 1 / fan_in"
        return Choice(weight, Siren(first=True), reason, SIREN)
    scale = 1 / moments.slope_second_moment
    reason = f"{name} is steep: {scale:.3g} / fan_in keeps the size of the gradient"
    return Choice(weight, scaled(scale), reason, SIREN)


def _in_branch(weight, moments, branch, num_branches):
    scale = 1 / moments.second_moment
    if not weight.ends_layer:  # as depthwise and query kernels: the layer is scaled at its end
        reason = f"in a branch without normalization: {scale:.4g} / fan_in"
        return Choice(weight, scaled(scale), reason, HE)
    if branch.depth == 1:
        reason = f"a branch without normalization, one of {num_branches}: 1 / branches"
        return Choice(weight, scaled(scale / num_branches), reason, FIXUP)
    if branch.is_last:
        reason = "the last of a branch without normalization: the branch starts at zero"
        return Choice(weight, initializers.Zeros(), reason, FIXUP)
    factor = num_branches ** (-1 / (2 * branch.depth - 2))
    reason = f"in one of {num_branches} branches without normalization: {factor:.3g} times smaller"
    return Choice(weight, scaled(scale * factor**2), reason, FIXUP)


def _orthogonal(weight, name, gain, reference):
    shape, axes = weight.structure
    taps, inputs, outputs, _ = axes.sizes(shape)
    if axes.spatial and weight.kernel.stride == 1:
        # Where a layer widens, the length is spread over more units: they keep their size.
        gain *= math.sqrt(max(1, outputs / inputs))
        reason = f"{name}, deep and plain: a convolution that keeps all lengths, times {gain:.3g}"
        return Choice(weight, DeltaOrthogonal(gain), reason, XIAO)
    reason = f"{name}, deep and plain: a map that keeps all lengths, times {gain:.3g}"
    if outputs > taps * inputs:
        reason = f"{name}, deep and plain: orthogonal, and keeps the size of units as it widens"
        return Choice(weight, Orthogonal(gain, mode="fan_in"), reason, reference)
    return Choice(weight, Orthogonal(gain), reason, reference)


def _critical(weight, network, activation, is_first):
    """Returns the choices for a kernel and its bias at the critical point of an activation."""
    name, moments = activation.name, activation.moments
    try:
        point = critical_point(activation)
    except ValueError:
        return [_forward(weight, name, moments)]
    bias = network.bias(weight.layer)
    if bias is None and point.bias_variance > 1e-3:
        return [_forward(weight, name, moments)]
    # The first layer sees inputs of size 1, and brings them to the signal that stays.
    scale = point.signal - point.bias_variance if is_first else point.weight_variance
    reason = f"{name}, deep and plain: at the edge of chaos, with a signal of {point.signal:.3g}"
    choices = [Choice(weight, scaled(scale), reason, CRITICAL)]
    if bias is not None and point.bias_variance > 0:
        normal = initializers.RandomNormal(stddev=math.sqrt(point.bias_variance))
        choices.append(Choice(bias, normal, reason, CRITICAL))
    return choices


def looks_linear(initializer):
    """Returns the scheme of mirrored pairs, the rest as suggested."""

    def scheme(network):
        chosen = [
            choice if choice.weight.is_kernel else _rest(choice.weight)
            for choice in suggested(network)
        ]
        return mirrored(chosen, network, initializer)

    return scheme


def critical(network):
    """Weights and biases at the edge of chaos, by activation."""
    chosen = {}
    for weight in network.weights:
        if weight.role != "kernel":
            continue
        around, activation = network.around(weight.layer), network.after(weight)
        is_linear = (weight.is_in_cell or around.is_output) and not activation.is_rectifier
        if activation.moments is None or is_linear:
            choices = [Choice(weight, initializers.LecunNormal(), "linear: 1 / fan_in", CRITICAL)]
        else:
            critical_point(activation)  # raises where there is none
            choices = _critical(weight, network, activation, around.is_first)
        chosen.update({choice.weight: choice for choice in choices})
    return [chosen.get(weight) or _rest(weight) for weight in network.weights]


def _by_branch(change):
    """Returns the scheme that suggests by activation and then changes the kernels of branches."""

    def scheme(network):
        if not network.num_branches:
            raise ValueError(
                "no residual branch was found in the model"
                + (f" ({network.problem})" if network.problem else "")
                + '. Use "suggested" instead'
            )
        choices = []
        for weight in network.weights:
            if weight.role != "kernel":
                choices.append(_rest(weight))
                continue
            around, activation = network.around(weight.layer), network.after(weight)
            name, moments = activation.name, activation.moments
            plain = _forward(weight, name, moments) if moments else _glorot(weight, name)
            choices.append(change(plain, moments, around, network.num_branches))
        return choices

    return scheme


def _fixup(choice, moments, around, num_branches):
    if around.is_output:
        return Choice(choice.weight, initializers.Zeros(), "the output starts at zero", FIXUP)
    if around.branch is None or around.branch.is_zero or moments is None:
        return choice
    return _in_branch(choice.weight, moments, around.branch, num_branches)


def _zero_last(choice, moments, around, num_branches):
    branch = around.branch
    if branch is None or branch.is_zero or not (branch.is_last and choice.weight.ends_layer):
        return choice
    reason = "the last of a branch: the branch starts at zero"
    return Choice(choice.weight, initializers.Zeros(), reason, ZERO_LAST)


def _gpt2(choice, moments, around, num_branches):
    last = around.branch is not None and around.branch.is_last and choice.weight.ends_layer
    if not last or moments is None:
        return choice
    reason = f"the last of one of {num_branches} branches: their sum keeps its size"
    scale = 1 / moments.second_moment / num_branches
    return Choice(choice.weight, scaled(scale), reason, GPT2)


def mimetic(network):
    """Attention as in trained vision transformers, the rest as suggested."""
    parts = mimetic_parts(network.weights)
    if not parts:
        raise ValueError(
            "no attention layer was found whose queries, keys, values and outputs are of one "
            'size. Use "suggested" instead'
        )
    reason = "query times key starts near the identity, value times output near its negative"
    return [
        Choice(choice.weight, parts[choice.weight], reason, MIMETIC)
        if choice.weight in parts
        else choice
        for choice in suggested(network)
    ]


SCHEMES = {
    "suggested": suggested,
    "own": own,
    "keras": keras_defaults,
    "pytorch": pytorch,
    "critical": critical,
    "fixup": _by_branch(_fixup),
    "zero_last": _by_branch(_zero_last),
    "gpt2": _by_branch(_gpt2),
    "mimetic": mimetic,
}
