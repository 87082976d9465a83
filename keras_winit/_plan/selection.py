"""From an activation to an initializer for one kernel, with the reason."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras

from keras_winit import _network
from keras_winit._plan.by_activation import decide
from keras_winit._show.result import Part
from keras_winit.initializers import ActivationScaling
from keras_winit.initializers._names import brief
from keras_winit.typing import ActivationLike


@dataclass(frozen=True, repr=False)
class Suggestion(Part):
    """An initializer and why it was chosen.

    Attributes:
        initializer: A new instance, for one layer.
        reason: One sentence.
        reference: The paper it comes from.

    Example:

    >>> keras_winit.select_initializer("relu").initializer.__class__.__name__
    'HeNormal'
    """

    initializer: keras.Initializer
    reason: str
    reference: str

    def __repr__(self) -> str:
        name = type(self.initializer).__name__
        return (
            f"Suggestion(initializer={name}, reason={self.reason!r}, reference={self.reference!r})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns it as strings, the initializer as one writes it."""
        texts = {"reason": self.reason, "reference": self.reference}
        return {"initializer": brief(self.initializer), **texts}


def select_initializer(activation: ActivationLike, layer: keras.Layer | None = None) -> Suggestion:
    """Shows which initializer `suggest_initializer` would choose, and why, and does nothing.

    Args:
        activation: Name, function, activation layer, serialized activation, or `None`.
        layer: Layer instance whose kernel is meant; its class decides the axes that the fans
            are counted over. For a separable convolution the pointwise kernel is meant.
            Defaults to `None`, for a kernel of shape `(*spatial, input, output)`.

    Returns:
        `Suggestion` with a new `initializer`, the `reason` and the `reference`.

    Raises:
        ValueError: If the activation is unknown, or `layer` has no kernel that is known here.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> keras_winit.select_initializer("selu").initializer.__class__.__name__
    'LecunNormal'
    >>> print(keras_winit.select_initializer("tanh").reason)
    tanh is none of the rectifiers of the list, nor selu: Keras's default.
    >>> print(keras_winit.select_initializer("gelu").reason)
    gelu follows: 2.352 / fan_in keeps the size of the signal.
    """
    kernel = _network.Kernel("kernel_initializer")
    if layer is not None:
        if not isinstance(layer, keras.Layer):
            raise TypeError(
                "`layer` should be a layer instance or None. "
                f"Received: layer={layer!r}. Create the layer first."
            )
        kernels = [
            kernel
            for inner in _network.walk(layer)
            for kernel in _network.kernels_of(inner) or ()
            if kernel.role == "kernel"
        ]
        if not kernels:
            raise ValueError(
                "`layer` should be a Keras layer with a kernel before its activation. "
                f"Received: layer={layer.name!r} of class {type(layer).__name__}."
            )
        kernel = kernels[-1]
    line, scaling, reason = decide(activation)
    return Suggestion(initializer_of(scaling, kernel), f"{reason}.", line.reference)


def has_wrong_fans(kernel, mode="fan_avg"):
    """Whether Keras miscounts; the average is right where inputs and outputs are swapped."""
    if kernel.input_axes is None or kernel.keras_knows:
        return False
    return not (kernel.transposed and mode == "fan_avg")


def initializer_of(scaling, kernel, seed=None):
    """Returns a new initializer of that variance, over the fans that the kernel really has."""
    if not has_wrong_fans(kernel, scaling.mode):
        return scaling.initializer(seed=seed)
    stride = kernel.stride if kernel.transposed else 1
    scaling = dataclasses.replace(scaling, scale=scaling.scale * stride)
    axes = {"input_axes": kernel.input_axes, "output_axes": kernel.output_axes}
    if _network.KERAS_TAKES_AXES:
        return scaling.initializer(seed=seed, **axes)
    return ActivationScaling("linear", **dataclasses.asdict(scaling), seed=seed, **axes)
