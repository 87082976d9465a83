"""What stands for an initializer: the same with other arguments, or ours for one of Keras."""

import keras

from keras_winit.initializers._activation_scaling import ActivationScaling
from keras_winit.initializers._identity import Identity
from keras_winit.initializers._names import as_initializer
from keras_winit.initializers._orthogonal import Orthogonal

initializers = keras.initializers

SCALINGS = (
    initializers.VarianceScaling,
    initializers.GlorotNormal,
    initializers.GlorotUniform,
    initializers.HeNormal,
    initializers.HeUniform,
    initializers.LecunNormal,
    initializers.LecunUniform,
)


def resolve(initializer):
    """Returns the initializer that is meant by an instance, a class, a name or a config."""
    resolved = as_initializer("initializer", initializer)
    if not isinstance(resolved, keras.Initializer):
        raise TypeError(
            "`initializer` should be an initializer of a class that a config can hold. "
            f"Received: initializer={initializer!r}."
        )
    return resolved


def config_of(initializer):
    """Returns what a JSON config can hold of an initializer given in any form.

    Of a config that Keras has read it is that again: without the marks of the file.
    """
    if isinstance(initializer, str):
        return initializer
    return keras.initializers.serialize(with_gain(resolve(initializer)))


def changed(initializer, /, **arguments):
    """Returns the initializer with other arguments."""
    return type(initializer).from_config({**initializer.get_config(), **arguments})


def ours(initializer):
    """Returns our initializer of the same distribution, for the true axes, where there is one."""
    kind = type(initializer)
    if kind in SCALINGS:
        return ActivationScaling(
            "linear",
            initializer.scale,
            initializer.mode,
            initializer.distribution,
            seed=0,
            input_axes=getattr(initializer, "input_axes", None),
            output_axes=getattr(initializer, "output_axes", None),
        )
    if kind is initializers.Orthogonal:
        return Orthogonal(initializer.gain, seed=0)
    if kind is initializers.Identity:
        return Identity(getattr(initializer, "gain", 1.0))
    return initializer


def of_one_block(initializer):
    """Returns the initializer for one group or gate, where a kernel's structure has them apart."""
    for name in ("groups", "gates"):
        if getattr(initializer, name, 1) > 1:
            return changed(initializer, **{name: 1})
    return initializer


def is_drawable(initializer, dtype):
    """Whether Keras draws the type, on every backend: in 16 bits it has no orthogonal matrices."""
    if type(initializer) is not initializers.Orthogonal:
        return True
    return keras.backend.standardize_dtype(dtype) not in ("bfloat16", "float16")


def loadable(initializer, dtype):
    """Returns an initializer that comes back from a file as it is and draws the type."""
    if is_drawable(initializer, dtype):
        return with_gain(initializer)
    return replacement(initializer)


def with_gain(initializer):
    """Returns an initializer with a gain in its config: that of Keras's `Identity` is lost."""
    if type(initializer) is not initializers.Identity or initializer.gain == 1:
        return initializer
    return initializer if "gain" in initializer.get_config() else replacement(initializer)


def replacement(initializer):
    """Returns our class for an orthogonal matrix or an identity of Keras, with the same seed."""
    if type(initializer) is initializers.Orthogonal:
        return Orthogonal(initializer.gain, initializer.get_config()["seed"])
    return ours(initializer)
