"""Decision lists: which line of a scheme a kernel falls under, and what it then gets."""

import dataclasses
import functools
import math
import statistics
import types
from collections.abc import Callable
from dataclasses import dataclass

from keras_winit._activations.criticality import (
    critical_point,
    point_of_small_signal,
    signal_slope,
)
from keras_winit._activations.gating import gate
from keras_winit._activations.last_state import (
    open_second_moment,
    remembering_second_moment,
    rnn_second_moment,
)
from keras_winit._network.upstream import is_upstream, upstream_share
from keras_winit._plan.choice import Choice, from_layer
from keras_winit._references import Reference
from keras_winit.initializers._chrono_bias import OPEN
from keras_winit.initializers._for_weight import standard_deviation
from keras_winit.initializers._graded import shares

# Sequences from here on are long: over 8 steps a memory of their length is no better, and of a GRU,
# over 16 steps, worse for what came last.
LONG, LONG_GRU = 16, 32
# The share of the units of an LSTM or GRU, read after its last step, that need not remember.
OPEN_SHARE = 0.5

# How many times too large or small a second moment may be for a plain network to train: tanh and
# gelu, of which it drifts by 1.18 and 1.14 in a layer, train up to some 20 layers.
_TOLERABLE = 20


class Case:
    """A kernel in its network: all that the lines of a list ask about.

    Args:
        weight: The `Weight`.
        network: The `Network` it belongs to.
        pairing: Its `Pairing`, where units are to come in pairs.
    """

    def __init__(self, weight, network, pairing=None):
        self.weight, self.network, self.pairing = weight, network, pairing
        self.around, self.activation = network.around(weight.layer), network.after(weight)
        self.branch, self.branches = self.around.branch, network.num_branches
        self.name, self.moments = self.activation.name, self.activation.moments
        self.is_rectifier = self.activation.is_rectifier

    def __getitem__(self, name):  # for the places in reasons
        return getattr(self, name)

    @property
    def in_branch(self):
        """Whether it lies in a residual branch that does not start at zero anyway."""
        return self.branch is not None and not self.branch.is_zero

    @property
    def ends_branch(self):
        return self.in_branch and self.branch.is_last and self.weight.ends_layer

    @property
    def branch_factor(self):
        """How much smaller the kernels of a branch are that end at zero: Fixup's."""
        return self.branches ** (-1 / (2 * self.branch.depth - 2))

    @property
    def scale(self):
        """The variance times fan_in that keeps the size of the signal."""
        return 1 / self.moments.second_moment

    @property
    def gradient_scale(self):
        """The variance times fan_in that keeps the size of the gradient."""
        return 1 / self.moments.slope_second_moment

    @property
    def is_upstream(self):
        """Whether it is the first of a few dense layers, and relu, tanh and the like follow."""
        return is_upstream(self.network, self.weight)

    @property
    def upstream(self):
        """How large such a first kernel is, as a share of what keeps the size of the signal."""
        return upstream_share(self.activation)

    @property
    def reach(self):
        """How many layers a variance alone is fine for, in words; empty where it drifts in none.

        With depth grows what the signal's size is off by (gelu), or the gradient's (tanh).
        """
        growth = self.scale * self.moments.slope_second_moment
        growth = max(growth, abs(signal_slope(self.activation)))
        if growth < 1.02 or not self.network.is_plain:
            return ""
        depth = math.log(_TOLERABLE) / math.log(growth)
        return f"(drifts by {growth:.3g} a layer: fine to about {max(depth, 1):.0f} layers)"

    @functools.cached_property
    def before(self):
        """The `Activation` of what the kernel takes, unit by unit; `NOTHING` where none is."""
        return self.network.before(self.weight)

    @property
    def steep_scale(self):
        """The variance times fan_in before the activation of what the kernel takes."""
        return 1 / self.before.moments.slope_second_moment

    @functools.cached_property
    def size_of_sum(self):
        """The standard deviation of what a table is added to; 0 for what is none, or not known.

        What kernels give has size 1; embeddings that of their values.
        """
        layers = self.network.positions.get(self.weight, ())
        weights = [self.network.layers[layer][0] for layer in layers]
        sizes = [_size(each) if each.role == "embedding" else 1.0 for each in weights]
        return 0.0 if None in sizes else max(sizes, default=0.0)

    @property
    def is_small_table(self):
        """Whether it is a table of positions that is lost in what it is added to."""
        size = _size(self.weight) if self.size_of_sum and self.weight.skip is None else None
        return size is not None and size < self.size_of_sum / 2

    @property
    def parts(self):
        """What its outputs are in a gated product: "value", "gate" or both; else nothing."""
        gated = self.network.gates.get(self.weight.layer)
        return gated.parts if gated and self.weight.ends_layer else ()

    @functools.cached_property
    def gate(self):
        """The `Gate` of a gated product that the kernel gives a part of, or `None`.

        Where it needs a bias, and has none, none is known either.
        """
        gated = self.network.gates[self.weight.layer] if self.parts else None
        if gated is None or not (gated.activation.is_rectifier or gated.activation.is_mostly_mean):
            return None
        found = gate(gated.activation, self.network.depth)
        return None if found.bias and self.network.bias(gated.layer) is None else found

    @property
    def is_gate(self):
        """Whether it gives the gate of a product."""
        return self.parts == ("gate",)

    @property
    def is_both(self):
        """Whether it gives values and gates side by side."""
        return len(self.parts) == 2

    @property
    def gated_by(self):
        """The name of the activation of the gate."""
        return self.network.gates[self.weight.layer].activation.name

    @property
    def gains(self):
        """What orthogonal maps to both parts are multiplied by, in order."""
        sizes = {"value": self.value_gain, "gate": math.sqrt(self.gate.variance)}
        return [float(f"{sizes[part]:.4g}") for part in self.parts]

    @property
    def value_gain(self):
        """What an orthogonal map is multiplied by to make up for the gate."""
        return math.sqrt(self.gate.scale)

    @functools.cached_property
    def small_signal(self):
        """The `CriticalPoint` of a small signal, which odd activations have, or `None`."""
        return point_of_small_signal(self.activation)

    @functools.cached_property
    def critical(self):
        """The `CriticalPoint`, `None` if there is none, or no bias where it asks for one."""
        try:
            point = critical_point(self.activation)
        except ValueError:
            return None
        return None if self.bias is None and point.bias_variance > 1e-3 else point

    @property
    def bias(self):
        """The `Weight` of the layer's bias, or `None`."""
        return self.network.bias(self.weight.layer)

    @property
    def is_plain_convolution(self):
        """Whether it is a convolution that moves on pixel by pixel."""
        return bool(self.weight.structure[1].spatial) and self.weight.kernel.stride == 1

    @property
    def lstm_steps(self):
        """Of an LSTM that hands on its last state alone, after how many steps; else `None`.

        Where they are many, and its author gave no biases and no forget gate of their own.
        """
        return _lstm_steps(self.network, self.weight.layer)

    @property
    def gru_steps(self):
        """The same of a GRU."""
        return _gru_steps(self.network, self.weight.layer)

    @property
    def rnn_steps(self):
        """The same of a SimpleRNN of tanh; where its author gave no map of states of their own."""
        return _rnn_steps(self.network, self.weight.layer)

    @functools.cached_property
    def read_cell(self):
        """The cell of such a layer of tanh, whose last state it takes, or `None`."""
        sources = self.network.fed_by(self.weight.layer)
        cell = sources[0] if len(sources) == 1 else None
        has_gates = _lstm_steps(self.network, cell) or _gru_steps(self.network, cell)
        is_gated = has_gates and self.before.keras_name == "tanh"
        starts_anew = not is_gated or self.network.bias(cell) in self.network.starting
        return cell if (is_gated and starts_anew) or _rnn_steps(self.network, cell) else None

    @property
    def steps_read(self):
        """How many steps it takes; 0 for none."""
        return self.network.steps_to_last_state.get(self.read_cell, 0)

    @property
    def last_state_scale(self):
        """The variance times fan_in that makes up for the size of its last state."""
        cell, steps = self.read_cell, self.steps_read
        inputs = cell.kernel.shape[0]
        variance = 2 * inputs / (inputs + cell.units)  # by Glorot, per gate
        taken = [share**2 * variance for share in shares(cell.units, 1 / steps)]
        if _rnn_steps(self.network, cell):
            size = _log_mean(rnn_second_moment(steps, each) for each in taken)
        else:
            gates = 4 if _lstm_steps(self.network, cell) else 3
            closed = math.log(remembering_second_moment(steps, variance, gates))
            opened = _log_mean(open_second_moment(steps, each, OPEN, gates) for each in taken)
            size = closed + OPEN_SHARE * (opened - closed)
        # What those give that remember is smaller by far, and no less to the point.
        second_moment = math.exp(size)
        return float(f"{1 / second_moment:.6g}")  # the last bits differ between processors

    @property
    def gain(self):
        """What an orthogonal map is multiplied by to keep the signal."""
        return math.sqrt(self.small_signal.weight_variance if self.small_signal else self.scale)

    @property
    def convolution_gain(self):
        """The same for a convolution: as it widens, units keep their size and not the whole."""
        _, inputs, outputs, _ = self.weight.sizes
        return self.gain * math.sqrt(max(1, outputs / inputs))


def _log_mean(numbers):
    return statistics.fmean(map(math.log, numbers))


def _lstm_steps(network, layer):
    bias = network.bias(layer)
    is_lstm = bias is not None and bias.ones is not None
    return _many_steps(network, layer) if is_lstm and _is_default(bias) else None


def _gru_steps(network, layer):
    bias = network.bias(layer)
    is_gru = any(each.kernel and each.kernel.blocks == 3 for each in network.layers.get(layer, ()))
    is_default = bias is not None and _is_default(bias)
    return _many_steps(network, layer, LONG_GRU) if is_gru and is_default else None


def _rnn_steps(network, layer):
    weights = network.layers.get(layer, ())
    states = [each for each in weights if each.role == "recurrent" and each.kernel.blocks == 1]
    is_default = all(
        _is_default(each) and each in network.starting and network.after(each).keras_name == "tanh"
        for each in states
    )
    return _many_steps(network, layer) if states and is_default else None


def _is_default(weight):
    """Whether its author gave no initializer of their own."""
    return type(weight.own_initializer()) is type(weight.default_initializer())


def _many_steps(network, layer, least=LONG):
    steps = network.steps_to_last_state.get(layer)
    return steps if steps is not None and steps >= least else None


def _size(weight):
    return standard_deviation(weight, weight.own_initializer())


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a decision list.

    Attributes:
        name: Which kernels it is about, for the table of the documentation.
        fits: Whether a `Case` is one of them.
        gets: What they get, for the table.
        initializer: The initializer of a `Case`.
        reason: Why, with places for attributes of the `Case`.
        reference: Where it comes from.
        role: Role of the kernels it is about.
        bias: The initializer for the bias of a `Case`, or `None` for the layer's own.
    """

    name: str
    fits: Callable
    gets: str
    initializer: Callable
    reason: str
    reference: Reference | str
    role: str = "kernel"
    bias: Callable = lambda case: None

    def choices(self, case):
        """Yields the `Choice` for the kernel, and for its bias where that gets something."""
        reason, reference = self.reason.format_map(case).strip(), str(self.reference)
        yield Choice(case.weight, self.initializer(case), reason, reference)
        bias = self.bias(case)
        if bias is not None:
            yield Choice(case.bias, bias, reason, reference)


def group(name, fits, *lines):
    """Returns the lines for those of their cases alone that are of a group."""
    return tuple(
        dataclasses.replace(
            line,
            name=f"{name}: {line.name}",
            fits=lambda case, line=line: fits(case) and line.fits(case),
        )
        for line in lines
    )


def line_for(lines, case):
    """Returns the first line that fits a case, `None` where a list has nothing to say."""
    return next((x for x in lines if x.role == case.weight.role and x.fits(case)), None)


def decide(lines, network, pairings=types.MappingProxyType({})):
    """Returns a `Choice` for every weight: by the first line that fits, else what its layer gives.

    Args:
        lines: Tuple of `Line`.
        network: The `Network`.
        pairings: Dictionary, the `Pairing` of each kernel that makes pairs of units or takes them.
    """
    chosen = {}
    for weight in network.weights:
        if weight.kernel is not None or weight in network.positions:
            case = Case(weight, network, pairings.get(weight))
            line = line_for(lines, case)
            choices = line.choices(case) if line else ()
            chosen.update({choice.weight: choice for choice in choices})
    return [chosen.get(weight) or from_layer(weight) for weight in network.weights]
