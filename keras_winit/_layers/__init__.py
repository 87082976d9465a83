"""What Keras layers are. Only the modules in here know the layer classes of Keras."""

from keras_winit._layers._calls import (
    activation_formula,
    activation_of,
    applied_activation,
    distributed,
    fused_activation,
    is_addition,
    is_composite,
    is_last_kernel,
    is_normalization,
    is_transparent,
    is_zero,
)
from keras_winit._layers._kernels import (
    KERAS_TAKES_AXES,
    Kernel,
    describe_layer,
    is_known_class,
    kernels,
    seedable_arguments,
    walk,
)
from keras_winit._layers._weights import (
    Weight,
    stable_paths,
    tell_attention,
    tell_initializer,
    weights,
)

__all__ = [
    "KERAS_TAKES_AXES",
    "Kernel",
    "Weight",
    "activation_formula",
    "activation_of",
    "applied_activation",
    "describe_layer",
    "distributed",
    "fused_activation",
    "is_addition",
    "is_composite",
    "is_known_class",
    "is_last_kernel",
    "is_normalization",
    "is_transparent",
    "is_zero",
    "kernels",
    "seedable_arguments",
    "stable_paths",
    "tell_attention",
    "tell_initializer",
    "walk",
    "weights",
]
