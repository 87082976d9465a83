"""Wraps layer classes, functions and modules so that layers start as their activation needs."""

import functools
import importlib
import inspect
import itertools
import types
import weakref
from collections.abc import Callable
from typing import ParamSpec, TypeVar, overload

import keras

from keras_winit import _checks, _network
from keras_winit._network import wrapped_class
from keras_winit._network.wrapped_class import WrappedClass
from keras_winit._plan.build import build_layer
from keras_winit._plan.wrapped_module import WrappedModule
from keras_winit.typing import Seed

Arguments = ParamSpec("Arguments")
AnyLayer = TypeVar("AnyLayer", bound=keras.Layer)
AnyModule = TypeVar("AnyModule", bound=types.ModuleType)


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
        return seeds.build(builder, builder, args, kwargs)

    return build


class _Seeds:
    """A seed for each layer that is built."""

    def __init__(self, seed):
        self.seed = seed
        self._numbers = itertools.count()

    def build(self, *call):
        """Returns a layer with the next seed; see `build_layer`."""
        seed = None if self.seed is None else f"{self.seed}/{next(self._numbers)}"
        return build_layer(seed, *call)


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
        rebuild = functools.partial(suggest_initializer, cls, seed=seeds.seed)
        wrapped = wrapped_class.wrap(cls, seeds.build, rebuild)
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
