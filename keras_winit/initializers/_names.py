"""Initializers in words, and by any name."""

import keras

from keras_winit import _checks
from keras_winit.initializers._catalogue import ALIASES, OF_TORCH
from keras_winit.initializers._own_initializer import parameters


def as_initializer(argument, value, options=()):
    """Returns an initializer given by name, class, config or as it is, or raises."""
    expected = f"`{argument}` should be {'a scheme or ' if options else ''}an initializer"
    received = f"Received: {argument}={value!r}."
    initializer = value
    if isinstance(value, (str, dict, type)):
        try:
            initializer = keras.initializers.get(value)
        except (TypeError, ValueError) as error:
            if not isinstance(value, str):
                raise ValueError(f"{expected}. {received}") from error
            of_keras = (name for name in dir(keras.initializers) if name.islower())
            names = [*options, *of_keras, *ALIASES, *OF_TORCH]
            near = _checks.did_you_mean(value, names)
            raise ValueError(f"{expected}. {received}{near}") from None
    if not callable(initializer):
        raise TypeError(f"{expected}, by name, class or instance. {received}")
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
    return f"{name}({', '.join(f'{key}={_brief(value)}' for key, value in changed.items())})"


def _brief(value):
    if isinstance(value, dict) and "registered_name" in value:
        return brief(keras.saving.deserialize_keras_object(value))
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
