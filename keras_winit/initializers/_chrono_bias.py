"""Biases that give recurrent units a memory of the length of the sequence."""

import random

import keras
import numpy as np

from keras_winit import _checks, _draws
from keras_winit.initializers._own_initializer import OwnInitializer, check_seed


@keras.saving.register_keras_serializable("keras_winit")
class ChronoBias(OwnInitializer, keras.initializers.Initializer):
    """Biases of gates with which the units forget over 1 to `max_timescale` steps.

    A unit whose gate keeps a share of 1 - 1 / T of its state per step remembers for about T
    steps. The times T are uniform up to the longest dependency that is to be learned: the gate
    that keeps the state gets log u, u uniform between 1 and `max_timescale` - 1, the input gate
    of an LSTM the opposite, the others zero.

    For an LSTM set `unit_forget_bias=False`: with its default Keras asks for the biases of
    the gates one by one and puts ones in place of those of the forget gate. Of a GRU it is the
    update gate, which in Keras multiplies the old state.

    Args:
        max_timescale: Number of at least 2, the longest dependency in steps; the length of the
            sequence where nothing else is known. Defaults to `100`.
        gates: `4` for LSTM and ConvLSTM, `3` for GRU. Defaults to `4`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.

    Raises:
        ValueError: If an argument is out of its range, or the bias has no such number of gates.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> chrono = keras_winit.initializers.ChronoBias(max_timescale=500, seed=0)
    >>> layer = keras.layers.LSTM(8, bias_initializer=chrono, unit_forget_bias=False)
    >>> layer.build((None, 500, 3))
    >>> input_gate, forget_gate = np.split(keras.ops.convert_to_numpy(layer.cell.bias), 4)[:2]
    >>> bool((input_gate == -forget_gate).all())
    True

    Reference:

    - [Tallec and Ollivier, 2018](https://arxiv.org/abs/1804.11188), section 3
    """

    def __init__(self, max_timescale=100, gates=4, seed=None):
        self.max_timescale = _checks.real("max_timescale", max_timescale)
        if self.max_timescale < 2:
            raise ValueError(
                "`max_timescale` should be at least 2 steps. "
                f"Received: max_timescale={max_timescale!r}."
            )
        self.gates = _checks.integer("gates", gates)
        if self.gates not in (3, 4):
            raise ValueError(
                f"`gates` should be 4 for an LSTM or 3 for a GRU. Received: gates={gates!r}."
            )
        self._config_seed = check_seed(seed)
        self.seed = random.randint(1, 10**9) if seed is None else self._config_seed

    def _values(self, shape, dtype, seed):
        if shape[-1] % self.gates:
            raise ValueError(
                f"the bias should be that of {self.gates} gates. Received: shape={shape}. "
                "For an LSTM use `unit_forget_bias=False`, for a GRU `gates=3`."
            )
        units = shape[-1] // self.gates
        uniform = (_draws.uniform((units,), seed=seed, purpose="chrono").astype(dtype) + 1) / 2
        kept = np.log(1 + uniform * (self.max_timescale - 2)).astype(dtype)
        values = np.zeros(shape, dtype)
        # A GRU has a row for the input and one for the state, which are added.
        first = values.reshape(-1, shape[-1])[0]
        if self.gates == 4:
            first[:units] = -kept
            first[units : 2 * units] = kept
        else:
            first[:units] = kept
        return values

    def to_keras(self):
        """Returns zeros: Keras has no initializer with a value for each gate."""
        return keras.initializers.Zeros()
