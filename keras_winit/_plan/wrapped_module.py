"""A module of layers whose classes are wrapped when they are asked for."""

import functools
import types

from keras_winit import _checks


class WrappedModule(types.ModuleType):
    """All that a module has, with the classes and modules in it as a function returns them."""

    def __init__(self, module, wrap, rebuild):
        super().__init__(module.__name__, module.__doc__)
        for name in ("__package__", "__loader__", "__spec__"):
            setattr(self, name, getattr(module, name, None))
        self._keras_winit_module = module
        self._keras_winit_wrap = functools.cache(wrap)
        self._keras_winit_rebuild = rebuild

    def __getattr__(self, name):
        module = vars(self)["_keras_winit_module"]
        try:
            value = getattr(module, name)
        except AttributeError:
            names = [each for each in dir(module) if not each.startswith("_")]
            # Without `obj`, or Python would add its own guess.
            raise AttributeError(
                f"Module {module.__name__!r} has no attribute {name!r}."
                f"{_checks.did_you_mean(name, names)}",
                name=name,
            ) from None
        is_wrappable = isinstance(value, (type, types.ModuleType))
        return self._keras_winit_wrap(value) if is_wrappable else value

    def __dir__(self):
        own = [name for name in vars(self) if not name.startswith("_")]
        return sorted({*dir(self._keras_winit_module), *own})

    def __repr__(self):
        return f"suggest_initializer({self._keras_winit_module!r})"

    def __reduce__(self):
        return self._keras_winit_rebuild, ()
