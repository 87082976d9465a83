"""Builds one layer with the initializers that suit it."""

import functools
import inspect

import keras

from keras_winit import _network
from keras_winit._network import wrapped_class
from keras_winit._plan.by_activation import Scaling, decide
from keras_winit._plan.selection import has_wrong_fans, initializer_of
from keras_winit._random import distributions
from keras_winit.initializers._equivalents import is_drawable, replacement


def build_layer(seed, builder, make, args, kwargs):
    """Returns what `make` makes, as a builder with these arguments, with what is suggested."""
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
            _, scaling, _ = decide(getattr(inner, "activation", None) if kernel.activated else None)
            if _is_default(getattr(inner, name)) and (
                scaling != _DEFAULT or has_wrong_fans(kernel)
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


def _derived_seed(seed, name):
    """Returns a seed that every backend takes, or `None`."""
    return None if seed is None else distributions.integer_seed(f"{seed}/{name}")


def _unknown_layer(cls):
    return (
        f"`builder` builds a layer whose kernels are not known here: {cls.__name__}. Give the "
        "class the arguments `activation` and `kernel_initializer`, as Keras's layers have "
        "them, and wrap it itself; or pass the initializer yourself."
    )
