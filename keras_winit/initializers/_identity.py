"""The identity map, for kernels of any rank."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_winit import _axes, _checks, _network
from keras_winit._axes import outputs_of_group
from keras_winit._references import Reference
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._kernel_initializer import KernelInitializer


@register(
    alias="dirac",
    formula="ones on the diagonal, at the central tap of a convolution, times gain",
    when="residual branches, layers added to a trained network, relu RNNs",
    reference=Reference("Zagoruyko and Komodakis, 2017", "https://arxiv.org/abs/1706.00388"),
)
class Identity(KernelInitializer):
    """Weights with which a layer passes its input on, times `gain`.

    A matrix gets ones on its diagonal, rectangular or not. A convolution kernel gets them at its
    central tap (Dirac): with stride 1 and `padding="same"` the layer returns its input on the
    channels that both sides have, and zero on the others. Each group and each index of a batch
    axis gets its own identity. The central tap of an even kernel is the one before its middle,
    where Keras's `"same"` padding aligns input and output.

    Meant for residual branches, recurrent kernels of `SimpleRNN` with relu, and for layers
    that are inserted into a trained network. Units that have no input of their own (more
    outputs than inputs) start at zero. Inside of a layer of Keras each gate (GRU, LSTM), group and
    channel (DepthwiseConv2D) gets its own. Of an embedding, tokens beyond its size start at zero.

    As `keras.initializers.Identity`, which takes matrices alone and loses its gain when saved.
    `kernel_initializer="dirac"` is this class; `"identity"` remains Keras's own.

    Args:
        gain: Finite number other than zero, the value on the diagonal. Defaults to `1.0`.
        groups: Integer, the layer's `groups`, for calls by hand. Defaults to `1`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch: `input_axes=[0, 1], output_axes=[0, 1, 3]` is the
            kernel of a DepthwiseConv2D. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If `gain` is zero or not finite, the kernel has fewer than two axes, or its
            outputs cannot be divided into `groups`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> layer = keras.layers.Conv1D(4, 3, padding="same", kernel_initializer="dirac")
    >>> signal = keras.random.normal((2, 10, 4))
    >>> bool(keras.ops.all(keras.ops.isclose(layer(signal), signal, atol=1e-6)))
    True

    Reference:

    - [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388), section 3, for Dirac
    - [Le et al., 2015](https://arxiv.org/abs/1504.00941), section 3, for recurrent kernels
    """

    def __init__(
        self,
        gain: float = 1.0,
        groups: int = 1,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gain: float = _checks.real("gain", gain)
        if self.gain == 0:
            raise ValueError(
                '`gain` should not be zero. Received: gain=0. For zero weights use `"zeros"`.'
            )
        self.groups: int = _checks.integer("groups", groups, minimum=1)
        super().__init__(scale=self.gain**2, input_axes=input_axes, output_axes=output_axes)

    def _values(self, shape, dtype, seed):
        kernel = _network.asked_kernel()
        told = self.input_axes is not None or self.groups > 1
        if told or kernel is None or kernel.role == "embedding":
            axes = _axes.kernel_axes(shape, self.input_axes, self.output_axes)
            return self._draw(shape, axes, dtype, seed)
        # The layer that asks knows its gates, groups and axes.
        return self._draw(*kernel.structure(shape), dtype, seed).reshape(shape)

    def _draw(self, shape, axes, dtype, seed):
        _, inputs, outputs, batch = axes.sizes(shape)
        per_group = outputs_of_group(shape, outputs, self.groups)
        matrix = dtype(self.gain) * np.eye(inputs, per_group, dtype=dtype)
        matrices = np.broadcast_to(matrix, (batch, self.groups, inputs, per_group))
        return axes.kernel_at_centre(matrices, shape)

    def get_config(self) -> dict[str, Any]:
        # Without what is at its default, a saved file also loads as Keras's own `Identity`.
        return self._changed(super().get_config())
