"""How large the last state of a recurrent layer starts whose units remember for 2 to all steps."""

import functools
import math

import numpy as np

# Points and weights of a standard normal.
_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS /= _WEIGHTS.sum()


def remembering_second_moment(steps, variance, gates):
    """Returns the second moment of the last state of units with biases of `ChronoBias(steps)`.

    A unit adds i s of every step to f of what it has, where i = 1 / (1 + u) and f = u / (1 + u),
    and s is the tanh of what its kernel gives. Of steps that are independent its second moment is
    i² / (1 - f²) = 1 / (1 + 2u) of that of s, which is taken in the mean over u uniform between 1
    and `steps` - 1; of steps that are all the same, 1. Sequences lie between: the geometric mean
    of both is returned; of an LSTM times the square of the output gate, which starts half open.

    Args:
        steps: Number of steps, more than 2.
        variance: The variance of what the kernel gives before tanh.
        gates: 4 for an LSTM, 3 for a GRU.
    """
    of_independent = math.log((2 * steps - 1) / 3) / (2 * (steps - 2))
    return _of_tanh(variance) * math.sqrt(of_independent) / (4 if gates == 4 else 1)


@functools.cache
def open_second_moment(steps, variance, bias, gates):
    """Returns the same of units whose gates are open, but for that of the old state.

    Their map of states is orthogonal, times what makes up for the gates.

    Args:
        steps: Number of steps.
        variance: The variance of what the kernel gives before tanh.
        bias: The bias of the gates that are open, the opposite of that of the one that is not.
        gates: 4 for an LSTM, 3 for a GRU.
    """
    opened = 1 / (1 + math.exp(-bias))
    moment = inner = 0.0
    for _ in range(steps):
        # The reset gate of a GRU comes before the map, the output gate of an LSTM is in the state.
        before = moment / opened**4 if gates == 4 else moment / opened**2
        inner = (1 - opened) ** 2 * inner + opened**2 * _of_tanh(before + variance)
        moment = opened**2 * _of_tanh(inner) if gates == 4 else inner
    return moment


@functools.cache
def rnn_second_moment(steps, variance):
    """Returns the second moment of the last state of tanh units whose map of states is orthogonal.

    That map keeps the second moment, and each step adds that of its input: tanh of a normal number
    of their sum, again and again.

    Args:
        steps: Number of steps.
        variance: The variance of what the kernel gives in each step.
    """
    moment = 0.0
    for _ in range(steps):
        before = moment
        moment = _of_tanh(moment + variance)
        if moment - before < 1e-6 * moment:
            break
    return moment


def _of_tanh(variance):
    """Returns the second moment of tanh of a normal number."""
    return float(_WEIGHTS @ np.tanh(math.sqrt(variance) * _POINTS) ** 2)
