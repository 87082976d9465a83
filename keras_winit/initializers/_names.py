"""Initializers in words, and by any name."""

import keras

from keras_winit import _checks
from keras_winit.initializers._aliases import ALIASES
from keras_winit.initializers._own_initializer import parameters


def as_initializer(argument, value, options=()):
    """Returns an initializer given by name, class, config or as it is, or raises."""
    if isinstance(value, str):
        try:
            return keras.initializers.get(value)
        except ValueError:
            names = [*options, *(n for n in dir(keras.initializers) if n.islower()), *ALIASES]
            raise ValueError(
                f"`{argument}` should be {'a scheme or ' if options else ''}an initializer. "
                f"Received: {argument}={value!r}.{_checks.did_you_mean(value, names)}"
            ) from None
    initializer = keras.initializers.get(value) if isinstance(value, (dict, type)) else value
    if not callable(initializer):
        raise TypeError(
            f"`{argument}` should be {'a scheme or ' if options else ''}an initializer, by name, "
            f"class or instance. Received: {argument}={value!r}."
        )
    return initializer


def brief(initializer):
    """Returns an initializer as one writes it, with the arguments that are not at their default."""
    if initializer is None:
        return "left alone"
    name = getattr(initializer, "__name__", type(initializer).__name__)
    if not isinstance(initializer, keras.Initializer):
        return name
    config = initializer.get_config()
    if type(initializer) is keras.initializers.Identity:
        config = {"gain": initializer.gain}  # which Keras leaves out
    known = parameters(type(initializer))
    changed = {
        key: value
        for key, value in config.items()
        if key in known and value != known[key].default and not key.endswith(("seed", "_axes"))
    }
    arguments = ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value!r}"
        for key, value in changed.items()
    )
    return f"{name}({arguments})"
