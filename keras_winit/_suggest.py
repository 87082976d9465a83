"""From an activation to an initializer, with the reason; and the layer-builder wrapper."""

import functools
import inspect
import itertools
from dataclasses import dataclass

import keras

from keras_winit import _checks, _draws, _gains, _layers
from keras_winit.initializers import ActivationScaling

RECTIFIERS = (
    "relu",
    "relu6",
    "leaky_relu",
    "prelu",
    "elu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "hard_silu",
    "sparse_plus",
    "threshold",
)


@dataclass(frozen=True)
class _Rule:
    """One line of the decision list."""

    initializer: type
    activation: str  # the activation that gives the same scale through ActivationScaling
    mode: str
    distribution: str
    reason: str
    reference: str


_HE = _Rule(
    keras.initializers.HeNormal,
    "relu",
    "fan_in",
    "truncated_normal",
    "{name} is a rectifier: about half of the signal's second moment is lost, and a variance "
    "of 2 / fan_in makes up for it.",
    "He et al., 2015, https://arxiv.org/abs/1502.01852, section 2.2",
)
_LECUN = _Rule(
    keras.initializers.LecunNormal,
    "linear",
    "fan_in",
    "truncated_normal",
    "{name} normalizes itself, if the weights have a variance of 1 / fan_in.",
    "Klambauer et al., 2017, https://arxiv.org/abs/1706.02515, section 2",
)
_GLOROT = _Rule(
    keras.initializers.GlorotUniform,
    "linear",
    "fan_avg",
    "uniform",
    "{name} is neither a rectifier nor selu: Keras's default.",
    "Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html, section 4.2.1",
)


@dataclass(frozen=True)
class Suggestion:
    """An initializer and why it was chosen.

    Attributes:
        initializer: A new instance, for one layer.
        reason: One sentence.
        reference: The paper it comes from.

    Example:

    >>> keras_winit.select_initializer("relu").initializer.__class__.__name__
    'HeNormal'
    """

    initializer: keras.Initializer
    reason: str
    reference: str

    def __repr__(self):
        name = type(self.initializer).__name__
        return (
            f"Suggestion(initializer={name}, reason={self.reason!r}, reference={self.reference!r})"
        )


def select_initializer(activation, layer=None):
    """Shows which initializer `suggest_initializer` would choose, and why, and does nothing.

    Args:
        activation: Name, function, activation layer, serialized activation, or `None`.
        layer: Layer instance whose kernel is meant; its class decides the axes that the fans
            are counted over. For a separable convolution the pointwise kernel is meant.
            Defaults to `None`, for a kernel of shape `(*spatial, input, output)`.

    Returns:
        `Suggestion` with a new `initializer`, the `reason` and the `reference`.

    Raises:
        ValueError: If the activation is unknown, or `layer` has no kernel that is known here.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> keras_winit.select_initializer("selu").initializer.__class__.__name__
    'LecunNormal'
    >>> print(keras_winit.select_initializer("tanh").reason)
    tanh is neither a rectifier nor selu: Keras's default.
    """
    kernel = _layers.Kernel("kernel_initializer")
    if layer is not None:
        if not isinstance(layer, keras.Layer):
            raise TypeError(
                "`layer` should be a layer instance or None. "
                f"Received: layer={layer!r}. Create the layer first."
            )
        kernels = [
            kernel
            for inner in _layers.walk(layer)
            for kernel in _layers.kernels(inner) or ()
            if kernel.role == "kernel"
        ]
        if not kernels:
            raise ValueError(
                "`layer` should be a Keras layer with a kernel before its activation. "
                f"Received: layer={layer.name!r} of class {type(layer).__name__}."
            )
        kernel = kernels[-1]
    rule, reason = _decide(activation)
    return Suggestion(initializer_of(rule, kernel), reason, rule.reference)


def suggest_initializer(builder, *, seed=None):
    """Wraps a layer builder so that its layers start with the weights their activation needs.

    The layers are those of the builder; only where Keras's default `glorot_uniform` would be
    used, the activation decides. The first line that fits:

    - an initializer was passed: it is kept
    - relu, relu6, leaky_relu, prelu, elu, celu, gelu, silu, mish, hard_silu, sparse_plus,
      threshold: `he_normal`
    - selu: `lecun_normal`
    - anything else: `glorot_uniform`, Keras's default

    It is set where the layer has it (`kernel_initializer`, `depthwise_initializer`,
    `pointwise_initializer`), as a built-in of Keras. Depthwise and transposed kernels, whose
    fans Keras miscounts, get the axes that make them true; the depthwise half of a separable
    convolution, which no activation follows, keeps `glorot_uniform`. Recurrent kernels stay
    `orthogonal`, embeddings and attention as they are. Wrappers (`Bidirectional`,
    `TimeDistributed`, `SpectralNormalization`, `Sequential`) are looked into. (Keras before 3.15
    cannot count over given axes; there, `ActivationScaling` does it.)

    Args:
        builder: A layer class, or any callable that returns a layer; so it can also be used as
            a decorator.
        seed: Integer or `None`. With an integer the weights of the n-th layer built follow from
            it and n, recurrent and embedding weights included. Attention layers are left
            unseeded: Keras would give query, key and value the same weights. Defaults to
            `None`: `keras.utils.set_random_seed` governs, as for Keras's own.

    Returns:
        A function with the arguments of `builder` that returns its layer.

    Raises:
        TypeError: If `builder` cannot build a layer, or builds one of a class whose kernel is
            not known here: give it the arguments `activation` and `kernel_initializer`, as
            Keras's layers have them, or pass the initializer yourself.
        ValueError: If the builder returns a layer that has its weights already.

    Example:

    >>> Dense = keras_winit.suggest_initializer(keras.layers.Dense)
    >>> Dense(64, activation="relu").kernel_initializer.__class__.__name__
    'HeNormal'
    >>> Dense(10).kernel_initializer.__class__.__name__
    'GlorotUniform'
    >>> @keras_winit.suggest_initializer
    ... def convolution(filters):
    ...     return keras.layers.Conv2D(filters, 3, activation="selu", padding="same")
    >>> convolution(8).kernel_initializer.__class__.__name__
    'LecunNormal'

    Reference:

    - [He et al., 2015](https://arxiv.org/abs/1502.01852), section 2.2
    - [Klambauer et al., 2017](https://arxiv.org/abs/1706.02515), section 2
    - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html), section 4.2.1
    """
    if isinstance(builder, keras.Layer) or not callable(builder):
        raise TypeError(
            "`builder` should be a layer class or a function that returns a layer. "
            f"Received: builder={builder!r}. Pass the class, as in "
            "`suggest_initializer(keras.layers.Dense)`, and call what it returns."
        )
    if seed is not None:
        seed = _checks.integer("seed", seed)
    layer_numbers = itertools.count()

    @functools.wraps(builder, updated=())
    def build(*args, **kwargs):
        layer_seed = None if seed is None else f"{seed}/{next(layer_numbers)}"
        call = _Call(builder, args, kwargs)
        if call.builds_unknown_layer():
            layer = call.with_initializer(layer_seed)
        else:
            layer = builder(*args, **kwargs)
            _set_initializers(layer, call, layer_seed)
        return layer

    return build


class _Call:
    """One call of a builder: what it calls in the end, and what was passed to it."""

    def __init__(self, builder, args, kwargs):
        while isinstance(builder, functools.partial):
            args = (*builder.args, *args)
            kwargs = {**builder.keywords, **kwargs}
            builder = builder.func
        self.builder, self.args, self.kwargs = builder, args, kwargs
        self.name = getattr(builder, "__name__", type(builder).__name__)
        self.is_class = isinstance(builder, type)
        self.parameters, self.passed = {}, dict(kwargs)
        try:
            signature = inspect.signature(builder)
            self.parameters = signature.parameters
            self.passed.update(signature.bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):
            pass  # no signature, or a wrong call: the builder will say so itself

    def has_passed(self, argument):
        return self.passed.get(argument) is not None

    def builds_unknown_layer(self):
        return (
            self.is_class
            and issubclass(self.builder, keras.Layer)
            and not _layers.is_known_class(self.builder)
        )

    def with_initializer(self, seed):
        """Returns the layer of an unknown class, told its initializer as an argument."""
        if "activation" not in self.parameters or "kernel_initializer" not in self.parameters:
            raise TypeError(_unknown_layer(self.builder))
        if self.has_passed("kernel_initializer"):
            return self.builder(*self.args, **self.kwargs)
        default = self.parameters["activation"].default
        activation = self.passed.get("activation", default)
        rule, _ = _decide(None if activation is inspect.Parameter.empty else activation)
        initializer = initializer_of(
            rule, _layers.Kernel("kernel_initializer"), _derived_seed(seed, "kernel_initializer")
        )
        return self.builder(*self.args, **{**self.kwargs, "kernel_initializer": initializer})


def _set_initializers(layer, call, seed):
    if not isinstance(layer, keras.Layer):
        raise TypeError(
            f"`builder` should return a layer. Received: {call.name}, which returned {layer!r}."
        )
    inner_layers = list(_layers.walk(layer))
    for inner in inner_layers:
        known = _layers.kernels(inner)
        if known is None:
            raise TypeError(_unknown_layer(type(inner)))
        if known and inner.built:
            raise ValueError(
                f"`builder` should return a layer without weights. Received: {call.name}, whose "
                f"layer {inner.name!r} ({type(inner).__name__}) has been built. Use "
                "`keras_winit.initialize` on the model."
            )
    for number, inner in enumerate(inner_layers):
        for kernel in _layers.kernels(inner):
            name = kernel.argument
            if kernel.role != "kernel" or name is None or call.has_passed(name):
                continue
            rule, _ = _decide(inner.activation if kernel.activated else None)
            if _is_default(getattr(inner, name)) and (
                rule is not _GLOROT or _has_wrong_fans(kernel)
            ):
                setattr(inner, name, initializer_of(rule, kernel))
        if seed is None:
            continue
        for name in _layers.seedable_arguments(inner):
            own = getattr(inner, name)
            config = own.get_config()
            if config["seed"] is None and not call.has_passed(name):
                config["seed"] = _derived_seed(f"{seed}/{number}", name)
                setattr(inner, name, type(own).from_config(config))


def _is_default(initializer):
    """Whether it is `glorot_uniform` as Keras makes it when nothing is said."""
    if initializer is None:
        return True
    default = keras.initializers.GlorotUniform(seed=0)
    return type(initializer) is type(default) and initializer.get_config() == {
        **default.get_config(),
        "seed": None,
    }


def _decide(activation):
    """Returns the rule for an activation, and its reason in words."""
    function = _gains.resolve(activation)
    name, _ = _gains.identify(function)
    if name in RECTIFIERS:
        rule = _HE
    elif name == "selu":
        rule = _LECUN
    else:
        rule = _GLOROT
    label = name or getattr(function, "__name__", type(function).__name__)
    return rule, rule.reason.format(name=label)


def _has_wrong_fans(kernel, mode="fan_avg"):
    """Whether Keras miscounts; the average is right where inputs and outputs are swapped."""
    if kernel.input_axes is None or kernel.keras_knows:
        return False
    return not (kernel.transposed and mode == "fan_avg")


def initializer_of(rule, kernel, seed=None):
    """Returns a new initializer of the rule, counting the fans that the kernel really has."""
    if not _has_wrong_fans(kernel, rule.mode):
        return rule.initializer(seed=seed)
    axes = {"input_axes": kernel.input_axes, "output_axes": kernel.output_axes}
    arguments = {"mode": rule.mode, "distribution": rule.distribution, "seed": seed, **axes}
    stride = kernel.stride if kernel.transposed else 1
    if not _layers.KERAS_TAKES_AXES:
        return ActivationScaling(rule.activation, scale=stride, **arguments)
    if stride == 1:
        return rule.initializer(seed=seed, **axes)
    scale = rule.initializer(seed=0).scale * stride
    return keras.initializers.VarianceScaling(scale, **arguments)


def _derived_seed(seed, name):
    """Returns a seed that every backend takes, or `None`."""
    return None if seed is None else _draws.integer_seed(f"{seed}/{name}")


def _unknown_layer(cls):
    return (
        f"`builder` builds a layer whose kernels are not known here: {cls.__name__}. Give the "
        "class the arguments `activation` and `kernel_initializer`, as Keras's layers have "
        "them, and wrap it itself; or pass the initializer yourself."
    )
