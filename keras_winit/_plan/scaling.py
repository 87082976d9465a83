"""Schemes with kernels that start smaller, or larger, than they say."""

import dataclasses

from keras_winit._network.upstream import image_share
from keras_winit._network.weights import gives_zeros
from keras_winit._references import KUNIN
from keras_winit.initializers._for_weight import times


def scaled(choices, scale):
    """Returns choices with all kernels times `scale`, but for those that their authors keep.

    Kernels from state to state stay as they are, since a memory hangs on their size.
    """
    return [_scaled(choice, scale) if _is_drawn(choice) else choice for choice in choices]


def smaller(choices, network):
    """Returns choices with the kernels as small as suits a network that gives images."""
    return [_smaller(choice, network) if _is_drawn(choice) else choice for choice in choices]


def _smaller(choice, network):
    share = image_share(network, choice.weight)
    if share == 1 or choice.from_layer:
        return choice
    return dataclasses.replace(
        _scaled(choice, share),
        reason=f"{choice.reason}; {share:.3g} times that, as images come out",
        reference=f"{choice.reference}; {KUNIN}",
    )


def _is_drawn(choice):
    return (
        choice.weight.role == "kernel"
        and choice.weight.skip is None
        and choice.initializer is not None
        and choice.instead_of is None
        and not gives_zeros(choice.initializer)
    )


def _scaled(choice, scale):
    try:
        initializer = times(choice.initializer, scale)
    except ValueError as error:
        raise ValueError(
            "`scale` should be left out where the size of a kernel cannot be told. Received: "
            f"scale={scale!r}, for {choice.weight.path!r}: {error}"
        ) from error
    reason = f"{choice.reason}; times {scale:.4g}"
    return dataclasses.replace(choice, initializer=initializer, reason=reason, from_layer=False)
