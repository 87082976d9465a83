"""Any initializer, on each gate of a recurrent kernel."""

from collections.abc import Sequence

import numpy as np

from keras_winit import _checks
from keras_winit._axes import outputs_of_group
from keras_winit._references import SAXE
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._drawing import draw
from keras_winit.initializers._of_another import OfAnother
from keras_winit.typing import InitializerLike, SeedLike


@register(
    alias="per_gate",
    formula="any initializer, on each gate by itself",
    when="recurrent kernels of LSTM, GRU and ConvLSTM",
    reference=SAXE,
)
class PerGate(OfAnother):
    """Draws each gate of a recurrent kernel by itself.

    Keras keeps the kernels of all gates side by side, (inputs, gates * units), and draws them as
    one. An orthogonal kernel then has gates that shrink a state, by a half in an LSTM; the
    identity gives all but the first gate nothing; the Glorot rule counts the outputs of all
    gates. Here each gate gets a draw of its own, of its own shape.

    With `"dirac"`, `gates=1` and relu in a `SimpleRNN` it is the IRNN; `keras_winit.initialize`
    does the same for a whole model with any initializer.

    Args:
        initializer: What draws each gate: initializer, or its name. Its own seed is not used.
            Defaults to `"orthogonal"`.
        gates: Integer, the number of gates: 4 for LSTM and ConvLSTM, 3 for GRU. Defaults to `4`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the initializer is unknown, the kernel has fewer than two axes, or its
            outputs cannot be divided into `gates`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.PerGate("orthogonal", gates=3, seed=0)((8, 3 * 8))
    >>> gate = keras.ops.convert_to_numpy(kernel)[:, 8:16]
    >>> bool(abs(gate.T @ gate - np.eye(8)).max() < 1e-5)
    True

    Reference:

    - [Saxe et al., 2014](https://arxiv.org/abs/1312.6120), section 3.2, for orthogonal maps
    - [Le et al., 2015](https://arxiv.org/abs/1504.00941), section 3, for the IRNN
    """

    def __init__(
        self,
        initializer: InitializerLike = "orthogonal",
        gates: int = 4,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gates: int = _checks.integer("gates", gates, minimum=1)
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _check_kernel(self, kernel, shape):
        if kernel.blocks != self.gates:
            raise ValueError(
                "`gates` should be the number of gates of the layer, 4 by a string. Received: "
                f"shape={shape}, of {kernel.blocks} gates or groups. "
                f"Use `PerGate(gates={kernel.blocks})`."
            )

    def _draw(self, shape, axes, dtype, seed):
        taps, inputs, outputs, batch = axes.sizes(shape)
        units = outputs_of_group(shape, outputs, self.gates, name="gates")
        # (batch, taps, inputs, units) for each gate, whatever the order of the kernel's axes.
        gate = (batch, *(shape[axis] for axis in axes.spatial), inputs, units)
        gates = [
            draw(self._inner, gate, axes.in_order(), dtype, f"{seed}/gate {number}").reshape(gate)
            for number in range(self.gates)
        ]
        matrices = np.concatenate(gates, axis=-1).reshape(batch, taps * inputs, outputs)
        return axes.kernel(matrices, shape)
