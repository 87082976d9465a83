"""Plain names for `kernel_initializer=` strings."""

import keras

from keras_winit.initializers._catalogue import ALIASES, OF_TORCH


def register_aliases() -> list[str]:
    """Makes `kernel_initializer="sparse"` and the like work; done on import.

    So do the names of torch for what Keras has: `"kaiming_normal"` and `"kaiming_uniform"` are
    `HeNormal` and `HeUniform`, `"xavier_normal"` and `"xavier_uniform"` are `GlorotNormal` and
    `GlorotUniform`, and saved as these.

    A name that Keras has, or that someone else has registered, is left to them. Models are saved
    with the full names (`"keras_winit>Sparse"`), which work without aliases.

    Returns:
        List of str, the names that now belong to keras_winit.

    Example:

    >>> keras_winit.register_aliases()[:3]
    ['activation_scaling', 'bilinear_upsampling', 'block_diagonal']
    """
    names, ours = keras.saving.get_custom_objects(), {**ALIASES, **OF_TORCH}
    for alias, cls in ours.items():
        if alias not in names and not _is_keras_name(alias):
            names[alias] = cls
    return sorted(alias for alias, cls in ours.items() if names.get(alias) is cls)


def unregister_aliases() -> None:
    """Takes the plain names back, `"keras_winit>Sparse"` and the like remain.

    For models in which a string call argument equals an alias, as in `layer(x, how="sparse")`:
    when such a model is loaded, Keras replaces the string by the class of that name.

    Example:

    >>> keras_winit.unregister_aliases()
    >>> keras.layers.Dense(2, kernel_initializer="keras_winit>Sparse").kernel_initializer.sparsity
    0.9
    >>> _ = keras_winit.register_aliases()
    """
    names = keras.saving.get_custom_objects()
    for alias, cls in {**ALIASES, **OF_TORCH}.items():
        if names.get(alias) is cls:
            del names[alias]


def _is_keras_name(name):
    try:
        return keras.initializers.get(name) is not None
    except ValueError:
        return False
