"""The lines of kernels that make pairs of units or take them, and where that pays."""

import math

from keras_winit._network.pairings import pairings
from keras_winit._plan.decisions import Line, group
from keras_winit._plan.keeping import keeping
from keras_winit._references import BALDUZZI, WU
from keras_winit.initializers import Mirrored, Shift

# Networks of so few layers train as well without; convolutions lose by having half the features.
SHALLOW, SHALLOW_CONVOLUTIONS = 5, 12


def is_worth_pairs(network):
    """Whether a network is deep and without shortcuts, so that pairs are what it starts best with.

    Normalization does not do without them: from independent weights the gradient grows by
    pi / (pi - 1) in each layer of relu that it follows.
    """
    shallow = SHALLOW_CONVOLUTIONS if network.has_taps else SHALLOW
    if any((network.after(weight).pair_size or 1.0) < 1 for weight in network.kernels):
        shallow = 1  # of exp(z) two layers gain, and none trains with four without
    return not network.num_branches and network.depth > shallow


def suggested_pairings(network, keep):
    """Returns the `Pairing`s of a network of which authors keep what `keep` says."""
    is_kept = keeping(network, keep, zeros=True)
    return pairings(network, set(filter(is_kept, network.kernels)))


def in_pairs(initializer, upstream=lambda case: 1.0):
    """Returns the lines of kernels with a `Pairing`.

    Args:
        initializer: A `Mirrored`: what draws the half of each kernel, and times what gain.
        upstream: Function of a `Case` that returns what its kernel is multiplied by besides.
    """

    def mirrored(case):
        pairing = case.pairing
        is_inner_end = not pairing.makes and not case.around.is_output and case.moments
        gain = math.sqrt(case.scale) if is_inner_end else 1.0
        gain *= upstream(case) * initializer.gain / pairing.gain
        gain *= (case.activation.pair_size if pairing.makes else 1.0) / pairing.size
        return Mirrored(
            initializer.initializer,
            float(f"{gain:.6g}"),  # that of relu6 is beyond 1 by what lies beyond 6
            first=not pairing.takes,
            last=not pairing.makes,
            input_blocks=pairing.blocks,
        )

    def line(name, takes, makes, gets, reason):
        return Line(
            name=name,
            fits=lambda case: (case.pairing.takes, case.pairing.makes) == (takes, makes),
            gets=gets,
            initializer=mirrored,
            reason=reason,
            reference=BALDUZZI,
        )

    return group(
        "units in pairs, which start as linear maps",
        lambda case: case.pairing is not None,
        Line(
            name="depthwise kernels between them",
            fits=lambda case: case.pairing.carries,
            gets="`Shift(paired=True)`",
            initializer=lambda case: Shift(paired=True),
            reason="moves each channel by one place at most, and both units of a pair alike",
            reference=WU,
        ),
        line(
            "where pairs begin",
            False,
            True,
            "`Mirrored(first=True)`",
            "pairs of units see z and -z: of {name} that follows, f(z) - f(-z) is linear",
        ),
        line(
            "where they go on",
            True,
            True,
            "`Mirrored`",
            "takes f(-z) from f(z), which is linear in z, and makes new pairs for {name}",
        ),
        line(
            "where they end",
            True,
            False,
            "`Mirrored(last=True)`",
            "takes f(-z) from f(z), which is linear in z",
        ),
    )
