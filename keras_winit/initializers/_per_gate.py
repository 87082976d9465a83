"""Any initializer, on each gate of a kernel that holds several side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_winit import _checks
from keras_winit._axes import KernelAxes, outputs_of_group
from keras_winit._references import SAXE
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._drawing import draw
from keras_winit.initializers._of_another import OfAnother
from keras_winit.typing import InitializerLike, SeedLike

# All of a bias are outputs.
_OF_VECTOR = KernelAxes((), (), (0,), ())


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

    A gated layer whose one kernel gives value and gate, side by side, as `keras.activations.glu`
    takes them, has two, of sizes that `gains` tells. With gains its bias can be drawn as well, by
    an initializer that looks at no axes.

    Args:
        initializer: What draws each gate: initializer, or its name. Its own seed is not used.
            Defaults to `"orthogonal"`.
        gates: Integer, the number of gates: 4 for LSTM and ConvLSTM, 3 for GRU. Defaults to `4`.
        gains: List of numbers, what each gate is multiplied by. Defaults to `None`: nothing.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.
        input_axes: List of ints, the axes summed over, taps included. An axis in both lists is
            a tap, one in neither is batch. By default the kernel is `(*spatial, input, output)`.
        output_axes: List of ints, the axes of the outputs, taps included.

    Raises:
        ValueError: If the initializer is unknown, there are more or fewer `gains` than gates, the
            kernel has fewer than two axes, or its outputs cannot be divided into `gates`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> kernel = keras_winit.initializers.PerGate("orthogonal", gates=3, seed=0)((8, 3 * 8))
    >>> gate = keras.ops.convert_to_numpy(kernel)[:, 8:16]
    >>> bool(abs(gate.T @ gate - np.eye(8)).max() < 1e-5)
    True
    >>> bias = keras_winit.initializers.PerGate("ones", gates=2, gains=[0.0, 1.0])((4,))
    >>> keras.ops.convert_to_numpy(bias).tolist()
    [0.0, 0.0, 1.0, 1.0]

    Reference:

    - [Saxe et al., 2014](https://arxiv.org/abs/1312.6120), section 3.2, for orthogonal maps
    - [Le et al., 2015](https://arxiv.org/abs/1504.00941), section 3, for the IRNN
    - [Dauphin et al., 2017](https://arxiv.org/abs/1612.08083), section 2, for values and gates
    """

    def __init__(
        self,
        initializer: InitializerLike = "orthogonal",
        gates: int = 4,
        gains: Sequence[float] | None = None,
        seed: SeedLike | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.gates: int = _checks.integer("gates", gates, minimum=1)
        self.gains: list[float] | None = _gains(gains, self.gates)
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _check_kernel(self, kernel, shape):
        if kernel.blocks != self.gates:
            raise ValueError(
                "`gates` should be the number of gates of the layer, 4 by a string. Received: "
                f"shape={shape}, of {kernel.blocks} gates or groups. "
                f"Use `PerGate(gates={kernel.blocks})`."
            )

    def _axes_of(self, shape):
        return _OF_VECTOR if self._is_of_vector(shape) else super()._axes_of(shape)

    def _is_of_vector(self, shape):
        return len(shape) == 1 and self.gains is not None

    def _draw(self, shape, axes, dtype, seed):
        axes = _OF_VECTOR if self._is_of_vector(shape) else axes
        taps, inputs, outputs, batch = axes.sizes(shape)
        units = outputs_of_group(shape, outputs, self.gates, name="gates")
        # (batch, taps, inputs, units) for each gate, whatever the order of the kernel's axes.
        gate = (batch, *(shape[axis] for axis in axes.spatial), inputs, units)
        gates = [
            draw(self._inner, gate, axes.in_order(), dtype, f"{seed}/gate {number}").reshape(gate)
            for number in range(self.gates)
        ]
        for values, gain in zip(gates, self.gains or (), strict=False):
            values *= gain
        matrices = np.concatenate(gates, axis=-1).reshape(batch, taps * inputs, outputs)
        return axes.kernel(matrices, shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.gains is None:  # version 0.1.0 knows of none
            del config["gains"]
        return config


def _gains(gains, gates):
    """Returns the gains as floats, or `None`; raises if there is not one for each gate."""
    if gains is None:
        return None
    if not isinstance(gains, Sequence) or isinstance(gains, str):
        raise TypeError(f"`gains` should be a list of numbers. Received: gains={gains!r}.")
    if len(gains) != gates:
        raise ValueError(
            f"`gains` should be one number for each of the {gates} gates. "
            f"Received: gains={gains!r}."
        )
    return [_checks.real("gains", gain) for gain in gains]
