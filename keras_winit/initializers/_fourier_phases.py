"""Biases that turn half of a layer of sines into cosines."""

import math

import keras
import numpy as np

from keras_winit import _network
from keras_winit._references import TANCIK
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._own_initializer import OwnInitializer


@register(
    alias="fourier_phases",
    formula="0 for half of the units, π / 2 for the others",
    when="biases of a layer of FourierFeatures",
    reference=TANCIK,
)
class FourierPhases(OwnInitializer, keras.initializers.Initializer):
    """Zeros for the first half of the units, pi / 2 for the second, of a bias of any shape.

    The biases of a layer of `FourierFeatures` with the sine as activation: sin(z + pi / 2) is
    cos(z), so that each frequency appears as sine and as cosine.

    Raises:
        ValueError: If the bias has an odd number of units, or is that of gates.

    Example:

    >>> phases = keras_winit.initializers.FourierPhases()((6,))
    >>> keras.ops.convert_to_numpy(phases).round(4).tolist()
    [0.0, 0.0, 0.0, 1.5707999467849731, 1.5707999467849731, 1.5707999467849731]

    Reference:

    - [Tancik et al., 2020](https://arxiv.org/abs/2006.10739), section 4
    """

    def _values(self, shape, dtype, seed):
        layer = _network.calling_layer()
        if layer is not None and _network.gates_of(layer):
            raise ValueError(
                "the bias should be that of a layer without a state. Received: that of a "
                f"{type(layer).__name__}, shape={shape}."
            )
        values = np.zeros(shape, dtype)
        if values.size % 2:
            raise ValueError(
                "the bias should have an even number of units: a sine and a cosine for each "
                f"frequency. Received: shape={shape}."
            )
        values.reshape(-1)[values.size // 2 :] = math.pi / 2
        return values
