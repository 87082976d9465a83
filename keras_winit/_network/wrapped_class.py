"""A layer class whose layers a function builds, and which stays usable as a class."""

import copyreg
import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class _Wrapping:
    """What a wrapped class knows.

    Attributes:
        cls: The class that is wrapped.
        build: Function of a class, of what makes a layer of it, of the arguments by place and of
            those by name, to the layer.
        rebuild: What makes the wrapped class anew, without arguments.
    """

    cls: type
    build: Callable
    rebuild: Callable


# What was passed to the wrapped class by the `__init__` of a class that derives from it.
_PASSED_ON = "_keras_winit_passed_on"


class WrappedClass(type):
    """The type of a wrapped class, and of what derives from it."""

    def __call__(cls, *args, **kwargs):
        wrapping = cls._keras_winit_wrapping
        make = wrapping.cls if _stands_for_another(cls) else super().__call__
        return wrapping.build(wrapping.cls if is_wrapped(cls) else cls, make, args, kwargs)

    def __instancecheck__(cls, instance):
        if is_wrapped(cls):
            return type.__instancecheck__(wrapped_by(cls), instance)
        return super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass):
        if is_wrapped(cls):
            # An abstract class asks all that derive from it, and so this one again.
            return type.__subclasscheck__(wrapped_by(cls), subclass)
        return super().__subclasscheck__(subclass)

    @property
    def __signature__(cls):
        if is_wrapped(cls):
            return inspect.signature(wrapped_by(cls))
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __repr__(cls):
        return (
            f"suggest_initializer({wrapped_by(cls)!r})" if is_wrapped(cls) else super().__repr__()
        )


def wrap(cls, build, rebuild):
    """Returns a class that derives from `cls`, is called and looks like it, and builds as told."""

    def __init__(self, *args, **kwargs):
        vars(self).setdefault(_PASSED_ON, []).append((cls, args, kwargs))
        super(wrapped, self).__init__(*args, **kwargs)

    # As Keras reads it, to know what a layer was made with.
    __init__.__signature__ = inspect.signature(cls.__init__)

    def from_config(self, config):
        # As it was saved, whatever is suggested.
        if _stands_for_another(self):
            return cls.from_config(config)
        return super(wrapped, self).from_config(config)

    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__init__": __init__,
        "from_config": classmethod(from_config),
        "_keras_winit_wrapping": _Wrapping(cls, build, rebuild),
    }
    wrapped = _metaclass(type(cls))(cls.__name__, (cls,), namespace)
    return wrapped


def is_wrapped(cls):
    """Whether it is what `wrap` returns, and not a class that derives from it."""
    return "_keras_winit_wrapping" in vars(cls)


def wrapped_by(cls):
    """Returns the class that a wrapped class wraps."""
    return cls._keras_winit_wrapping.cls


def take_passed_on(layer):
    """Returns, and forgets, with what a layer of a derived class has called the wrapped class."""
    return vars(layer).pop(_PASSED_ON, [])


def _stands_for_another(cls):
    """Whether the layers of a class are not its own, but those of the class that it wraps.

    As a decorator it takes the place of a class, and its name leads to it: layers then are its own,
    unless Keras knows the class below by a name that files hold.
    """
    if not is_wrapped(cls):
        return False
    below = wrapped_by(cls)
    is_registered = keras.saving.get_registered_name(below) != below.__name__
    return is_registered or not _is_at_its_name(cls)


def _is_at_its_name(cls):
    found = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is cls


@functools.cache
def _metaclass(base):
    if issubclass(base, WrappedClass):
        return base
    derived = WrappedClass if base is type else type("WrappedClass", (WrappedClass, base), {})
    copyreg.pickle(derived, _reduce)
    return derived


def _reduce(cls):
    """Returns how to pickle a wrapped class; a name where it can be found by it."""
    if is_wrapped(cls) and not _is_at_its_name(cls):
        return cls._keras_winit_wrapping.rebuild, ()
    return cls.__qualname__
