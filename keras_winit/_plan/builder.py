"""From an activation to an initializer, with the reason; and the layer-builder wrapper."""

import dataclasses
import functools
import importlib
import inspect
import itertools
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, overload

import keras

from keras_winit import _checks, _network
from keras_winit._network import wrapped_class
from keras_winit._network.wrapped_class import WrappedClass
from keras_winit._plan.by_activation import Scaling, decide
from keras_winit._plan.wrapped_module import WrappedModule
from keras_winit._random import distributions
from keras_winit.initializers import ActivationScaling
from keras_winit.initializers._equivalents import is_drawable, replacement
from keras_winit.typing import ActivationLike, Seed

Arguments = ParamSpec("Arguments")
AnyLayer = TypeVar("AnyLayer", bound=keras.Layer)
AnyModule = TypeVar("AnyModule", bound=types.ModuleType)


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

    def __repr__(self) -> str:
        name = type(self.initializer).__name__
        return (
            f"Suggestion(initializer={name}, reason={self.reason!r}, reference={self.reference!r})"
        )


def select_initializer(activation: ActivationLike, layer: keras.Layer | None = None) -> Suggestion:
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
    tanh is none of the rectifiers of the list, nor selu: Keras's default.
    >>> print(keras_winit.select_initializer("gelu").reason)
    gelu follows: 2.352 / fan_in keeps the size of the signal.
    """
    kernel = _network.Kernel("kernel_initializer")
    if layer is not None:
        if not isinstance(layer, keras.Layer):
            raise TypeError(
                "`layer` should be a layer instance or None. "
                f"Received: layer={layer!r}. Create the layer first."
            )
        kernels = [
            kernel
            for inner in _network.walk(layer)
            for kernel in _network.kernels_of(inner) or ()
            if kernel.role == "kernel"
        ]
        if not kernels:
            raise ValueError(
                "`layer` should be a Keras layer with a kernel before its activation. "
                f"Received: layer={layer.name!r} of class {type(layer).__name__}."
            )
        kernel = kernels[-1]
    line, scaling, reason = decide(activation)
    return Suggestion(initializer_of(scaling, kernel), f"{reason}.", line.reference)


@overload
def suggest_initializer(builder: type[AnyLayer], *, seed: Seed | None = None) -> type[AnyLayer]: ...
@overload
def suggest_initializer(builder: AnyModule, *, seed: Seed | None = None) -> AnyModule: ...
@overload
def suggest_initializer(
    builder: Callable[Arguments, AnyLayer], *, seed: Seed | None = None
) -> Callable[Arguments, AnyLayer]: ...
def suggest_initializer(builder, *, seed=None):
    """Wraps a layer class, function or module, so that layers start as their activation needs.

    The layers are those of the builder; only where Keras's default `glorot_uniform` would be
    used, the activation decides. The first line that fits:

    - an initializer was passed: it is kept
    - relu, relu6, prelu: `he_normal`, a variance of 2 / fan_in
    - leaky_relu, elu, celu: `he_normal`, which is near and customary; with a slope or alpha of
      which it is not (more than a third off), the next line
    - gelu, silu, mish, hard_silu, sparse_plus, threshold: the variance that keeps the size of the
      signal, gain² / fan_in, as `variance_scaling`
    - selu: `lecun_normal`
    - anything else: `glorot_uniform`, Keras's default

    It is set where the layer has it (`kernel_initializer`, `depthwise_initializer`,
    `pointwise_initializer`), as a built-in of Keras. Depthwise and transposed kernels, whose
    fans Keras miscounts, get the axes that make them true; the depthwise half of a separable
    convolution, which no activation follows, keeps `glorot_uniform`. Recurrent kernels stay
    `orthogonal`, embeddings and attention as they are. In bfloat16 and float16, where Keras cannot
    draw an `orthogonal`, it is this package's, also where it was passed. Wrappers (`Bidirectional`,
    `TimeDistributed`, `SpectralNormalization`, `Sequential`) are looked into. (Keras before 3.15
    cannot count over given axes; there, `ActivationScaling` does it.)

    A layer class gives a class: `isinstance`, `issubclass`, `from_config` and pickling work as with
    the wrapped one. What it builds are layers of the wrapped class itself, which a saved model
    names as Keras's. A class that derives from it gets the same for its own layers: what its
    `__init__` passes on to `super().__init__` counts as passed, unless it is an argument of its own
    that was left at its default. A class that is wrapped already is returned as it is.

    A module, as `keras.layers` or one of your own, gives a module with the same names: classes of
    layers that have kernels of their own are wrapped, and so are modules inside of it; all else is
    the module's own, functions and layers around layers included. Keras itself is not changed.

    Args:
        builder: A layer class; a module of layers; or any callable that returns a layer, so that
            it can also be used as a decorator.
        seed: Integer or `None`. With an integer the weights of the n-th layer built follow from
            it and n, recurrent and embedding weights included; of a module, the n-th of all its
            classes. Attention layers are left unseeded: Keras would give query, key and value the
            same weights. A pickled copy counts anew. Defaults to `None`:
            `keras.utils.set_random_seed` governs, as for Keras's own.

    Returns:
        A class for a class, a module for a module, and for anything else a function with the
        arguments of `builder` that returns its layer.

    Raises:
        TypeError: If `builder` cannot build a layer, or builds one of a class whose kernel is
            not known here: give it the arguments `activation` and `kernel_initializer`, as
            Keras's layers have them, or pass the initializer yourself.
        ValueError: If the builder returns a layer that has its weights already.
        AttributeError: By the module that is returned, for a name that `builder` does not have.

    Example:

    >>> Dense = keras_winit.suggest_initializer(keras.layers.Dense)
    >>> Dense(64, activation="relu").kernel_initializer.__class__.__name__
    'HeNormal'
    >>> Dense(10).kernel_initializer.__class__.__name__
    'GlorotUniform'
    >>> isinstance(Dense(10), Dense), type(Dense(10)) is keras.layers.Dense
    (True, True)
    >>> layers = keras_winit.suggest_initializer(keras.layers)
    >>> layers.Conv2D(8, 3, activation="gelu").kernel_initializer.scale.__round__(3)
    2.352
    >>> layers.Flatten is keras.layers.Flatten
    True
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
    if isinstance(builder, keras.Layer) or not (
        callable(builder) or isinstance(builder, types.ModuleType)
    ):
        raise TypeError(
            "`builder` should be a layer class, a function that returns a layer, or a module of "
            f"layers. Received: builder={builder!r}. Pass the class, as in "
            "`suggest_initializer(keras.layers.Dense)`, and call what it returns."
        )
    if seed is not None:
        seed = _checks.integer("seed", seed)
    seeds = _Seeds(seed)
    if isinstance(builder, types.ModuleType):
        return _wrap_module(builder, seeds)
    if _is_layer_class(builder):
        return _wrap_class(builder, seeds)

    @functools.wraps(builder, updated=())
    def build(*args, **kwargs):
        return _build(seeds, builder, builder, args, kwargs)

    return build


class _Seeds:
    """A seed for each layer that is built."""

    def __init__(self, seed):
        self.seed = seed
        self._numbers = itertools.count()

    def next(self):
        return None if self.seed is None else f"{self.seed}/{next(self._numbers)}"


def _is_layer_class(value):
    return isinstance(value, type) and issubclass(value, keras.Layer)


# Without a seed, the one wrapped class of each: a pickle of it comes back as the same.
_unseeded_classes = weakref.WeakValueDictionary()


def _wrap_class(cls, seeds):
    if isinstance(cls, WrappedClass):
        if seeds.seed is None:
            return cls
        if wrapped_class.is_wrapped(cls):
            cls = wrapped_class.wrapped_by(cls)
    wrapped = _unseeded_classes.get(cls) if seeds.seed is None else None
    if wrapped is None:
        build = functools.partial(_build, seeds)
        rebuild = functools.partial(suggest_initializer, cls, seed=seeds.seed)
        wrapped = wrapped_class.wrap(cls, build, rebuild)
        if seeds.seed is None:
            _unseeded_classes[cls] = wrapped
    return wrapped


def _wrap_module(module, seeds):
    if isinstance(module, WrappedModule):
        if seeds.seed is None:
            return module
        module = module._keras_winit_module

    def wrap(value):
        if isinstance(value, types.ModuleType):
            is_inner = value.__name__.startswith(f"{module.__name__}.")
            return _wrap_module(value, seeds) if is_inner else value
        return _wrap_class(value, seeds) if _draws_kernels(value) else value

    rebuild = functools.partial(_wrapped_module_named, module.__name__, seeds.seed)
    return WrappedModule(module, wrap, rebuild)


def _wrapped_module_named(name, seed):
    return suggest_initializer(importlib.import_module(name), seed=seed)


def _draws_kernels(cls):
    """Whether a class has kernels of its own whose initializer can be set or told."""
    if not _is_layer_class(cls):
        return False
    if _network.is_known_class(cls):
        return _network.draws_kernels(cls)
    return inspect.signature(cls).parameters.keys() >= {"activation", "kernel_initializer"}


def _build(seeds, builder, make, args, kwargs):
    """Returns what `make` makes, as a builder with these arguments, with what is suggested."""
    seed = seeds.next()
    call = _Call(builder, args, kwargs)
    is_unknown = call.builds_unknown_layer()
    layer = call.with_initializer(make, seed) if is_unknown else make(*args, **kwargs)
    if not isinstance(layer, keras.Layer):
        raise TypeError(
            f"`builder` should return a layer. Received: {call.name}, which returned {layer!r}."
        )
    call.add_passed_on(layer)
    if not is_unknown:
        _set_initializers(layer, call, seed)
    _make_drawable(layer)
    return layer


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

    def add_passed_on(self, layer):
        """Adds what an `__init__` has passed on to that of its parent, as its own decision."""
        for builder, args, kwargs in wrapped_class.take_passed_on(layer):
            for name, value in _Call(builder, args, kwargs).passed.items():
                if name not in self.parameters:
                    self.passed.setdefault(name, value)

    def has_passed(self, argument):
        return self.passed.get(argument) is not None

    def builds_unknown_layer(self):
        return (
            self.is_class
            and issubclass(self.builder, keras.Layer)
            and not _network.is_known_class(self.builder)
        )

    def with_initializer(self, make, seed):
        """Returns the layer of an unknown class, told its initializer as an argument."""
        if "activation" not in self.parameters or "kernel_initializer" not in self.parameters:
            raise TypeError(_unknown_layer(self.builder))
        if self.has_passed("kernel_initializer"):
            return make(*self.args, **self.kwargs)
        default = self.parameters["activation"].default
        activation = self.passed.get("activation", default)
        _, scaling, _ = decide(None if activation is inspect.Parameter.empty else activation)
        initializer = initializer_of(
            scaling,
            _network.Kernel("kernel_initializer"),
            _derived_seed(seed, "kernel_initializer"),
        )
        return make(*self.args, **{**self.kwargs, "kernel_initializer": initializer})


def _set_initializers(layer, call, seed):
    inner_layers = list(_network.walk(layer))
    for inner in inner_layers:
        known = _network.kernels_of(inner)
        if known is None:
            raise TypeError(_unknown_layer(type(inner)))
        if known and inner.built:
            raise ValueError(
                f"`builder` should return a layer without weights. Received: {call.name}, whose "
                f"layer {inner.name!r} ({type(inner).__name__}) has been built. Use "
                "`keras_winit.initialize` on the model."
            )
    for number, inner in enumerate(inner_layers):
        for kernel in _network.kernels_of(inner):
            name = kernel.argument
            if kernel.role != "kernel" or name is None or call.has_passed(name):
                continue
            _, scaling, _ = decide(inner.activation if kernel.activated else None)
            if _is_default(getattr(inner, name)) and (
                scaling != _DEFAULT or _has_wrong_fans(kernel)
            ):
                setattr(inner, name, initializer_of(scaling, kernel))
        if seed is None:
            continue
        for name in _network.seedable_arguments(inner):
            own = getattr(inner, name)
            config = own.get_config()
            if config["seed"] is None and not call.has_passed(name):
                config["seed"] = _derived_seed(f"{seed}/{number}", name)
                setattr(inner, name, type(own).from_config(config))


def _make_drawable(layer):
    """Replaces what Keras cannot draw in 16 bits: its default for recurrent kernels, for one."""
    for inner in _network.walk(layer):
        for name, value in list(vars(inner).items()):
            if not is_drawable(value, inner.variable_dtype):
                setattr(inner, name, replacement(value))


# Keras's default.
_DEFAULT = Scaling(1.0, "fan_avg", "uniform")


def _is_default(initializer):
    """Whether it is `glorot_uniform` as Keras makes it when nothing is said."""
    if initializer is None:
        return True
    default = keras.initializers.GlorotUniform(seed=0)
    return type(initializer) is type(default) and initializer.get_config() == {
        **default.get_config(),
        "seed": None,
    }


def _has_wrong_fans(kernel, mode="fan_avg"):
    """Whether Keras miscounts; the average is right where inputs and outputs are swapped."""
    if kernel.input_axes is None or kernel.keras_knows:
        return False
    return not (kernel.transposed and mode == "fan_avg")


def initializer_of(scaling, kernel, seed=None):
    """Returns a new initializer of that variance, over the fans that the kernel really has."""
    if not _has_wrong_fans(kernel, scaling.mode):
        return scaling.initializer(seed=seed)
    stride = kernel.stride if kernel.transposed else 1
    scaling = dataclasses.replace(scaling, scale=scaling.scale * stride)
    axes = {"input_axes": kernel.input_axes, "output_axes": kernel.output_axes}
    if _network.KERAS_TAKES_AXES:
        return scaling.initializer(seed=seed, **axes)
    return ActivationScaling("linear", **dataclasses.asdict(scaling), seed=seed, **axes)


def _derived_seed(seed, name):
    """Returns a seed that every backend takes, or `None`."""
    return None if seed is None else distributions.integer_seed(f"{seed}/{name}")


def _unknown_layer(cls):
    return (
        f"`builder` builds a layer whose kernels are not known here: {cls.__name__}. Give the "
        "class the arguments `activation` and `kernel_initializer`, as Keras's layers have "
        "them, and wrap it itself; or pass the initializer yourself."
    )
