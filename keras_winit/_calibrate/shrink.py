"""Makes those layers small that `initialize` makes small, once all are calibrated."""

import dataclasses

from keras_winit import _backends
from keras_winit._network.upstream import (
    UPSTREAM_PAIRS,
    gives_images,
    image_share,
    is_upstream,
    upstream_share,
)
from keras_winit.initializers import Mirrored


def shrink(network, rows, changes):
    """Multiplies the kernels of first layers, of networks that give images those of all.

    Args:
        network: The `Network`.
        rows: List of `CalibratedLayer`, as the run has left them.
        changes: The `Changes` that it is part of.

    Returns:
        The rows with what was done to them; targets of what comes behind are no longer known.
    """
    shares, are_images = {}, gives_images(network)
    done = {row.layer for row in rows if row.mode == "tensor"}
    for weight in network.kernels:
        bias = network.bias(weight.layer)
        # A bias that was drawn belongs to the size that the signal has.
        is_drawn = bias is not None and _backends.view(bias.variable).any()
        if weight.layer.path not in done or is_drawn:
            continue
        share = image_share(network, weight) if are_images else _upstream(network, weight)
        if share != 1:
            shares[weight.layer.path] = share
            changes.assign(weight.variable, share * _backends.view(weight.variable))
    found, is_behind = [], False
    why = "images come out" if are_images else "first and plain"
    for row in rows:
        found.append(_row(row, shares.get(row.layer), is_behind, why))
        is_behind |= row.layer in shares
    return found


def _upstream(network, weight):
    if not is_upstream(network, weight):
        return 1
    is_paired = isinstance(weight.held_initializer(), Mirrored)
    return UPSTREAM_PAIRS if is_paired else upstream_share(network.after(weight))


def _row(row, share, is_behind, why):
    target = None if is_behind else row.target
    if share is None:
        return dataclasses.replace(row, target=target)
    return dataclasses.replace(
        row,
        target=target and target * share**2,
        factor=row.factor * share,
        reason=f"{row.reason}; {why}: {share:.3g} times that, so that features are learned first",
    )
