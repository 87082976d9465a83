"""The default: the right weights by activation, depth, normalization and shortcuts."""

import dataclasses
import math

import keras

from keras_winit._activations.criticality import signal_slope
from keras_winit._network.network import DEEP
from keras_winit._network.upstream import UPSTREAM_PAIRS, gives_images
from keras_winit._plan.by_activation import scaled
from keras_winit._plan.decisions import (
    LONG,
    LONG_GRU,
    OPEN_SHARE,
    Line,
    decide,
    group,
)
from keras_winit._plan.keeping import kept
from keras_winit._plan.scaling import smaller
from keras_winit._plan.schemes.branches import UNNORMALIZED, is_scaled
from keras_winit._plan.schemes.by_variance import ACROSS_UNITS, BETWEEN, BY_VARIANCE, RECURRENT
from keras_winit._plan.schemes.critical import AT_CRITICAL_POINT
from keras_winit._plan.schemes.in_pairs import in_pairs, is_worth_pairs, suggested_pairings
from keras_winit._references import (
    BROCK,
    DAUPHIN,
    GLOROT,
    INUBUSHI,
    KOUTNIK,
    KUNIN,
    PENNINGTON,
    SAXE,
    SIREN,
    TALLEC,
    VAN_LAARHOVEN,
    VASWANI,
    XIAO,
)
from keras_winit.initializers import (
    ActivationScaling,
    BlockDiagonal,
    ChronoBias,
    DeltaOrthogonal,
    Graded,
    Mirrored,
    Orthogonal,
    PerGate,
    Siren,
)
from keras_winit.initializers._chrono_bias import OPEN

initializers = keras.initializers

# A product of random matrices spreads from here on, by measurement.
DEEP_LINEAR = 4
# Plain networks of rectifiers need more than the right variance from here on.
VERY_DEEP = 30
# What makes up for the two gates that the state of an open unit goes through.
OPEN_GAIN = float(f"{(1 + math.exp(-OPEN)) ** 2:.4g}")


def _glorot(name, fits, reason):
    return Line(
        name=name,
        fits=fits,
        gets="`glorot_uniform`",
        initializer=lambda case: initializers.GlorotUniform(),
        reason=f"{reason}: {BETWEEN}",
        reference=GLOROT,
    )


def _isometry(reference):
    """Returns the lines of maps that keep all lengths, times the gain of the activation."""
    return (
        Line(
            name="convolutions of stride 1",
            fits=lambda case: case.is_plain_convolution,
            gets="`DeltaOrthogonal`, times *convolution_gain*",
            initializer=lambda case: DeltaOrthogonal(case.convolution_gain),
            reason="{name} follows, deep and plain: a convolution that keeps all lengths, times "
            "{convolution_gain:.3g}",
            reference=XIAO,
        ),
        Line(
            name="layers that widen",
            fits=lambda case: case.weight.sizes[2] > case.weight.sizes[0] * case.weight.sizes[1],
            gets='`Orthogonal(mode="fan_in")`, times *gain*',
            initializer=lambda case: Orthogonal(case.gain, mode="fan_in"),
            reason="{name} follows, deep and plain: orthogonal, and keeps the size of units as it "
            "widens",
            reference=reference,
        ),
        Line(
            name="others",
            fits=lambda case: True,
            gets="`Orthogonal`, times *gain*",
            initializer=lambda case: Orthogonal(case.gain),
            reason="{name} follows, deep and plain: a map that keeps all lengths, times {gain:.3g}",
            reference=reference,
        ),
    )


def _remembering(kind, steps, least, gates):
    """Returns the lines of both kernels of such a layer, of many steps."""
    return (
        dataclasses.replace(
            RECURRENT,
            name=f"recurrent kernels of {kind} that hands on its last state alone, after "
            f"{least} known steps or more",
            fits=lambda case: case[steps] is not None,
            gets=f"`PerGate(BlockDiagonal(Orthogonal({OPEN_GAIN}), blocks=8))`, and a bias of "
            f"`ChronoBias({steps}, open_share={OPEN_SHARE})`",
            initializer=lambda case: PerGate(  # four blocks for each half
                BlockDiagonal(initializers.Orthogonal(OPEN_GAIN), blocks=8), gates
            ),
            reason="groups of units, in each an orthogonal map from state to state: some work as "
            f"those of a SimpleRNN, the others remember for 2 to {{{steps}}} steps",
            bias=lambda case: ChronoBias(case[steps], open_share=OPEN_SHARE),
            reference=f"{KOUTNIK}; {TALLEC}",
        ),
        Line(
            name=f"what such {kind} takes",
            fits=lambda case: case[steps] is not None,
            gets=f"`PerGate(Graded(smallest=1 / {steps}, share={OPEN_SHARE}))`",
            initializer=lambda case: PerGate(
                Graded(smallest=1 / case[steps], share=OPEN_SHARE), gates
            ),
            reason=f"units that work as those of a SimpleRNN take 1 to 1 / {{{steps}}} of each "
            "step: what takes less remembers longer",
            reference=INUBUSHI,
        ),
    )


def _positions(name, role):
    return Line(
        name=f"{name}, of less than half the size of what they are added to",
        role=role,
        fits=lambda case: case.is_small_table,
        gets="`RandomNormal` of its standard deviation, *size_of_sum*",
        initializer=lambda case: initializers.RandomNormal(stddev=case.size_of_sum),
        reason="positions, lost in what they are added to unless of its size, {size_of_sum:.3g}",
        reference=VASWANI,
    )


LINES = (
    _positions("embeddings of positions", "embedding"),
    _positions("weights that are added as tables", "other"),
    *_remembering("an LSTM", "lstm_steps", LONG, 4),
    *_remembering("a GRU", "gru_steps", LONG_GRU, 3),
    dataclasses.replace(
        RECURRENT,
        name=f"recurrent kernels of such a SimpleRNN of tanh, after {LONG} steps or more",
        fits=lambda case: case.rnn_steps is not None,
        gets="`BlockDiagonal`",
        initializer=lambda case: BlockDiagonal(),
        reason="four groups of units, in each an orthogonal map from state to state, so that some "
        "remember while others forget",
        reference=KOUTNIK,
    ),
    RECURRENT,
    _glorot(
        "attention, but for its output in a branch that is scaled (below)",
        lambda case: case.weight.in_attention and not (is_scaled(case) and case.weight.ends_layer),
        "attention",
    ),
    Line(
        name="what such a SimpleRNN takes",
        fits=lambda case: case.rnn_steps is not None,
        gets="`Graded(smallest=1 / rnn_steps)`",
        initializer=lambda case: Graded(smallest=1 / case.rnn_steps),
        reason="units that take less of each of {rnn_steps} steps remember longer, those that take "
        "more are less linear",
        reference=INUBUSHI,
    ),
    _glorot(
        "gates, and functions in recurrent cells but for relu and the like",
        lambda case: case.weight.is_in_cell and not case.is_rectifier,
        "{name} follows",
    ),
    dataclasses.replace(ACROSS_UNITS, fits=lambda case: case.moments is None and not case.is_both),
    *UNNORMALIZED,
    *group(
        "a value and its gate, sigmoid or relu and the like, multiplied",
        lambda case: not case.in_branch or case.branch.normalized,
        Line(
            name="both from one kernel, in a plain network",
            fits=lambda case: case.network.is_plain and case.is_both and case.gate is not None,
            gets='`PerGate(Orthogonal(mode="fan_in"), 2, gains)`, and a bias of 1 for a gate that '
            "would be closed",
            initializer=lambda case: PerGate(Orthogonal(mode="fan_in"), 2, case.gains),
            reason="values, and a {gated_by} gate that is open and nearly constant: {gains} "
            "for both make up for its second moment",
            reference=DAUPHIN,
            bias=lambda case: (
                PerGate("ones", 2, [float(part == "gate") for part in case.parts])
                if case.gate.bias
                else None
            ),
        ),
        Line(
            name="both from one kernel, elsewhere",
            fits=lambda case: case.is_both,
            gets="`lecun_normal`",
            initializer=lambda case: initializers.LecunNormal(),
            reason="values and a {gated_by} gate, multiplied and not passed on: 1 / fan_in",
            reference=DAUPHIN,
        ),
        Line(
            name="the value, in a plain network",
            fits=lambda case: case.network.is_plain and not case.is_gate and case.gate is not None,
            gets='`Orthogonal(mode="fan_in")`, times *value_gain*',
            initializer=lambda case: Orthogonal(case.value_gain, mode="fan_in"),
            reason="multiplied by a gate: {value_gain:.3g} makes up for its second moment",
            reference=DAUPHIN,
        ),
        Line(
            name="the gate, in a plain network",
            fits=lambda case: case.network.is_plain and case.is_gate and case.gate is not None,
            gets="a variance of *gate.variance* / fan_in, and a bias of 1 where it would be closed",
            initializer=lambda case: scaled(case.gate.variance),
            reason="a gate, which is open and nearly constant: {gate.variance:.3g} / fan_in",
            reference=DAUPHIN,
            bias=lambda case: initializers.Ones() if case.gate.bias else None,
        ),
        Line(
            name="other gates of relu and the like",
            fits=lambda case: case.is_gate and case.is_rectifier,
            gets="`lecun_normal`",
            initializer=lambda case: initializers.LecunNormal(),
            reason="a gate, which is multiplied and not passed on: 1 / fan_in",
            reference=DAUPHIN,
        ),
    ),
    Line(
        name="an output that takes sin(30 z) and the like",
        fits=lambda case: (
            case.around.is_output and case.before.moments is not None and case.before.is_steep
        ),
        gets="a variance of *steep_scale* / fan_in",
        initializer=lambda case: scaled(case.steep_scale),
        reason="an output that takes {before.name}, which is steep: {steep_scale:.3g} / fan_in too",
        reference=SIREN,
    ),
    Line(
        name="an output that takes the last state of such an LSTM or GRU of tanh, or SimpleRNN",
        fits=lambda case: (
            case.around.is_output and not case.is_rectifier and case.read_cell is not None
        ),
        gets="a variance of *last_state_scale* / fan_in",
        initializer=lambda case: scaled(case.last_state_scale),
        reason="an output that takes the last of {steps_read} states, which is small: "
        "{last_state_scale:.3g} / fan_in makes up for it",
        reference=TALLEC,
    ),
    *in_pairs(Mirrored(), lambda case: UPSTREAM_PAIRS if case.is_upstream else 1.0),
    _glorot(
        "an output, unless relu and the like or selu follows",
        lambda case: (
            case.around.is_output and not case.is_rectifier and case.activation.keras_name != "selu"
        ),
        "an output",
    ),
    *group(
        "sigmoid, softplus and the like",
        lambda case: case.activation.is_mostly_mean,
        _glorot(
            "a gate, which other signals are multiplied by, as of a highway",
            lambda case: case.weight.ends_layer and case.network.is_multiplied(case.weight.layer),
            "{name} follows, a gate",
        ),
        _glorot(
            "beside normalization or shortcuts",
            lambda case: not case.network.is_plain,
            "{name} follows",
        ),
        Line(
            name="in the first layer",
            fits=lambda case: case.around.is_first,
            gets="`lecun_normal`",
            initializer=lambda case: initializers.LecunNormal(),
            reason="{name} follows, and the input comes as it is: 1 / fan_in",
            reference=BROCK,
        ),
        Line(
            name="elsewhere",
            fits=lambda case: True,
            gets="`ActivationScaling(centered=True)`",
            initializer=lambda case: ActivationScaling(case.activation.function, centered=True),
            reason="{name} makes samples alike unless the weights of each unit sum to zero",
            reference=BROCK,
        ),
    ),
    *group(
        "sin(30 z) and other steep functions",
        lambda case: case.activation.is_steep,
        Line(
            name="in the first layer",
            fits=lambda case: case.around.is_first,
            gets="`Siren(first=True)`",
            initializer=lambda case: Siren(first=True),
            reason="{name} follows, and the input comes as it is: uniform up to 1 / fan_in",
            reference=SIREN,
        ),
        Line(
            name="elsewhere",
            fits=lambda case: True,
            gets="a variance of *gradient_scale* / fan_in",
            initializer=lambda case: scaled(case.gradient_scale),
            reason="{name} is steep: {gradient_scale:.3g} / fan_in keeps the size of the gradient",
            reference=SIREN,
        ),
    ),
    *group(
        f"nothing, in a plain network of more than {DEEP_LINEAR} layers that is linear",
        lambda case: case.network.is_linear and case.network.depth > DEEP_LINEAR,
        *_isometry(SAXE),
    ),
    *group(
        f"plain, more than {DEEP} layers",
        lambda case: case.network.is_deep,
        *group(
            "tanh and other odd functions",
            lambda case: case.small_signal is not None,
            Line(
                name="in the first layer",
                fits=lambda case: case.around.is_first,
                gets="the variance that brings inputs to the small signal that stays",
                initializer=lambda case: scaled(
                    case.small_signal.signal - case.small_signal.bias_variance
                ),
                reason="{name}, deep and plain: brings the input to the signal that stays",
                reference=PENNINGTON,
            ),
            *_isometry(PENNINGTON),
        ),
        *group(
            f"relu and the like, more than {VERY_DEEP} layers; elu, selu and others whose signal "
            "returns to its size",
            lambda case: (
                signal_slope(case.activation) < 1 - 1e-3
                or case.network.depth > VERY_DEEP
                and case.is_rectifier
                and signal_slope(case.activation) < 1 + 1e-3
            ),
            *_isometry(SAXE),
        ),
        *group(
            "gelu, silu and the like, whose signal does not return to its size",
            lambda case: signal_slope(case.activation) > 1.03 and case.critical is not None,
            AT_CRITICAL_POINT,
        ),
    ),
    Line(
        name=f"the first layer, in a plain network of {DEEP} layers or less without convolutions",
        fits=lambda case: case.is_upstream,
        gets="a variance of *upstream*² *scale* / fan_in",
        initializer=lambda case: scaled(case.upstream**2 * case.scale),
        reason="{name} follows, first and plain: {upstream:.3g} times what keeps the size, so that "
        "features are learned first",
        reference=KUNIN,
    ),
    Line(
        name="a kernel with a normalization between it and the activation, and no sum",
        fits=lambda case: (
            case.around.normalized and not case.around.added and case.around.activation is not None
        ),
        gets="`lecun_normal`",
        initializer=lambda case: initializers.LecunNormal(),
        reason="normalized before {name}, so that its size sets only the steps: 1 / fan_in",
        reference=VAN_LAARHOVEN,
    ),
    *BY_VARIANCE,
)


def suggested(network, keep=None):
    """The right weights by activation, depth, normalization and shortcuts, but for what is kept."""
    choices = listed(network, keep)
    return smaller(choices, network) if gives_images(network) else choices


def listed(network, keep=None):
    """The same without regard to what comes out of the network."""
    keep = keep or "special"
    found = suggested_pairings(network, keep) if is_worth_pairs(network) else {}
    return kept(decide(LINES, network, found), network, keep, zeros=True)
