"""Plain names for `kernel_initializer=` strings."""

import keras

from keras_winit.initializers._activation_scaling import ActivationScaling
from keras_winit.initializers._bilinear_upsampling import BilinearUpsampling
from keras_winit.initializers._chrono_bias import ChronoBias
from keras_winit.initializers._convolution_orthogonal import ConvolutionOrthogonal
from keras_winit.initializers._delta_orthogonal import DeltaOrthogonal
from keras_winit.initializers._fourier_features import FourierFeatures
from keras_winit.initializers._fourier_phases import FourierPhases
from keras_winit.initializers._icnr import ICNR
from keras_winit.initializers._identity import Identity
from keras_winit.initializers._looks_linear import LooksLinear
from keras_winit.initializers._normalized_positive_definite import NormalizedPositiveDefinite
from keras_winit.initializers._per_gate import PerGate
from keras_winit.initializers._rotation import Rotation
from keras_winit.initializers._siren import Siren
from keras_winit.initializers._sparse import Sparse

# Keras's own "identity" and "orthogonal" stay Keras's: they are defaults of its RNNs. What a string
# cannot know, as the frequencies of classes, has none.
ALIASES = {
    "activation_scaling": ActivationScaling,
    "bilinear_upsampling": BilinearUpsampling,
    "chrono_bias": ChronoBias,
    "convolution_orthogonal": ConvolutionOrthogonal,
    "delta_orthogonal": DeltaOrthogonal,
    "dirac": Identity,
    "fourier_features": FourierFeatures,
    "fourier_phases": FourierPhases,
    "icnr": ICNR,
    "looks_linear": LooksLinear,
    "normalized_positive_definite": NormalizedPositiveDefinite,
    "per_gate": PerGate,
    "rotation": Rotation,
    "siren": Siren,
    "sparse": Sparse,
}


def register_aliases():
    """Makes `kernel_initializer="sparse"` and the like work; done on import.

    A name that Keras has, or that someone else has registered, is left to them. Models are saved
    with the full names (`"keras_winit>Sparse"`), which work without aliases.

    Returns:
        List of str, the names that now belong to keras_winit.

    Example:

    >>> keras_winit.register_aliases()[:3]
    ['activation_scaling', 'bilinear_upsampling', 'chrono_bias']
    """
    names = keras.saving.get_custom_objects()
    for alias, cls in ALIASES.items():
        if alias not in names and not _is_keras_name(alias):
            names[alias] = cls
    return [alias for alias, cls in ALIASES.items() if names.get(alias) is cls]


def unregister_aliases():
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
    for alias, cls in ALIASES.items():
        if names.get(alias) is cls:
            del names[alias]


def _is_keras_name(name):
    try:
        return keras.initializers.get(name) is not None
    except ValueError:
        return False
