"""Biases that give recurrent units a memory of the length of the sequence."""

import random
import warnings
from typing import Any, Literal, Self

import keras
import numpy as np

from keras_winit import _checks, _network
from keras_winit._random import distributions
from keras_winit._references import TALLEC
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._own_initializer import OwnInitializer, check_seed
from keras_winit.typing import SeedLike

# The bias of a gate that is open, to 0.98.
OPEN = 4.0


@register(
    alias="chrono_bias",
    formula=(
        "log u for the gate that keeps the state, u uniform in [1, max_timescale - 1]; -log u "
        "for the input gate"
    ),
    when="biases of LSTM and GRU on long sequences",
    reference=TALLEC,
)
class ChronoBias(OwnInitializer, keras.initializers.Initializer):
    """Biases of gates with which the units forget over 1 to `max_timescale` steps.

    A unit whose gate keeps a share of 1 - 1 / T of its state per step remembers for about T
    steps. The times T are uniform up to the longest dependency that is to be learned: the gate
    that keeps the state gets log u, u uniform between 1 and `max_timescale` - 1, the input gate
    of an LSTM the opposite, the others zero.

    The layer that asks for its bias tells which gates it has: LSTM, ConvLSTM or GRU, by themselves
    or in wrappers. An LSTM and a ConvLSTM need `unit_forget_bias=False`: with their default Keras
    puts ones in place of the biases of the forget gate, which is refused. Of a GRU it is the
    update gate, which in Keras multiplies the old state. `keras_winit.initialize` sets
    `unit_forget_bias` itself where it draws these biases.

    Units that remember are nearly linear in what they take. `open_share` of the units can do
    something else, and work as those of a SimpleRNN do: what takes the input and gives the state
    starts open (4), what keeps the old state closed (-4). In an LSTM these are the input
    and output gates, and the forget gate; in a GRU the reset gate, and the update gate. These units
    come first, so that `BlockDiagonal` can keep the others' states from theirs.

    Args:
        max_timescale: Number of at least 2, the longest dependency in steps; the length of the
            sequence where nothing else is known. Defaults to `100`.
        gates: `4` as in an LSTM or `3` as in a GRU, for layers that are not Keras's and calls by
            hand. Defaults to `None`: the layer, or else the shape, says it.
        open_share: Float from 0, below 1: the share of the units, from the first on, that are to
            remember nothing by their biases. Defaults to `0.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. Defaults to `None`.

    Raises:
        ValueError: If an argument is out of its range, the bias has no such number of gates or
            may be of either, or the layer has no such gates or sets the forget gate itself.
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

    sets_forget_gate = True

    def __init__(
        self,
        max_timescale: float = 100,
        gates: Literal[3, 4] | None = None,
        open_share: float = 0.0,
        seed: SeedLike | None = None,
    ) -> None:
        self.max_timescale: float = _checks.real("max_timescale", max_timescale)
        if self.max_timescale < 2:
            raise ValueError(
                "`max_timescale` should be at least 2 steps. "
                f"Received: max_timescale={max_timescale!r}."
            )
        self.gates: int | None = None if gates is None else _checks.integer("gates", gates)
        if self.gates not in (None, 3, 4):
            raise ValueError(
                f"`gates` should be 4 for an LSTM or 3 for a GRU. Received: gates={gates!r}."
            )
        self.open_share: float = _checks.real("open_share", open_share)
        if not 0 <= self.open_share < 1:
            raise ValueError(
                f"`open_share` should be from 0, below 1. Received: open_share={open_share!r}."
            )
        self._gates_of_layer, self._is_of_config = None, False
        self._config_seed = check_seed(seed)
        self.seed = random.randint(1, 10**9) if seed is None else self._config_seed

    def _values(self, shape, dtype, seed):
        layer = _network.calling_layer()
        if layer is None:
            return self.biases(shape, None, dtype, seed)
        gates = self._gates_of_layer = _network.gates_of(layer)
        if gates == 4 and layer.unit_forget_bias:
            return self._zeros_of_config(layer, shape, dtype)
        return self.biases(shape, gates, dtype, seed)

    def biases(
        self, shape: tuple[int, ...], gates: int | None, dtype: Any, seed: Any
    ) -> np.ndarray:
        """Returns the biases of a layer of so many gates, `None` where nothing is known of it."""
        if gates is None:
            gates = self.gates or (_gates_of_shape(shape) if shape else None)
        if not shape or gates not in (3, 4) or shape[-1] % gates:
            raise ValueError(
                "the bias should be that of the 4 gates of an LSTM or ConvLSTM, or the 3 of a GRU. "
                f"Received: shape={shape}, of a layer with {gates or 'no'} gates."
            )
        units = shape[-1] // gates
        uniform = (
            distributions.uniform((units,), seed=seed, purpose="chrono").astype(dtype) + 1
        ) / 2
        kept = np.log(1 + uniform * (self.max_timescale - 2)).astype(dtype)
        is_open = np.arange(units) < self.open_share * units
        opened = np.where(is_open, OPEN, 0).astype(dtype)
        kept = np.where(is_open, -opened, kept)
        values = np.zeros(shape, dtype)
        # A GRU has a row for the input and one for the state, which are added.
        by_gate = values.reshape(-1, gates, units)[0]
        if gates == 4:
            by_gate[0], by_gate[1], by_gate[3] = -kept, kept, opened
        else:
            by_gate[0], by_gate[1] = kept, opened
        return values

    def _zeros_of_config(self, layer, shape, dtype):
        """Raises, since Keras sets the forget gate itself.

        A layer of a file, as version 0.1.0 wrote them, gets its weights from there: it warns.
        """
        told = (
            f"`unit_forget_bias` should be False. Received: a {type(layer).__name__} named "
            f"{layer.name!r} with unit_forget_bias=True, which puts ones in place of the biases of "
            "the forget gate. Give the layer `unit_forget_bias=False`, or a built model to "
            "`keras_winit.initialize`."
        )
        if not self._is_of_config:
            raise ValueError(told)
        warnings.warn(f"ChronoBias draws zeros: {told}", stacklevel=2)
        return np.zeros(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        # With the number of gates that is known: version 0.1.0 takes no other for 4.
        config = super().get_config()
        gates = self.gates or self._gates_of_layer
        del config["gates"]
        if not self.open_share:  # nor does it know of these
            del config["open_share"]
        return {**config, "gates": gates} if gates else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        initializer = super().from_config(config)
        initializer._is_of_config = "gates" in config  # which a string does not give
        return initializer


def _gates_of_shape(shape):
    """Returns the number of gates that a bias can have, or raises if it can have either or none."""
    if len(shape) == 2:  # of a GRU, for input and state
        return 3
    possible = [gates for gates in (3, 4) if shape[-1] % gates == 0]
    if len(possible) == 1:
        return possible[0]
    raise ValueError(
        "`gates` should be given, 4 for an LSTM or 3 for a GRU: the bias can be that of "
        f"{'either' if possible else 'neither'}. Received: gates=None, shape={shape}."
    )
