"""Makes the first of a few dense layers small, once all are calibrated, as `initialize` does."""

import dataclasses

from keras_winit import _backends
from keras_winit._network.upstream import UPSTREAM_PAIRS, is_upstream, upstream_share
from keras_winit.initializers import Mirrored


def shrink(network, rows, changes):
    """Multiplies the kernels of first layers; returns the rows with what was done to them.

    Args:
        network: The `Network`.
        rows: List of `CalibratedLayer`, as the run has left them.
        changes: The `Changes` that it is part of.
    """
    shares = {}
    done = {row.layer for row in rows if row.mode == "tensor"}
    for weight in network.kernels:
        bias = network.bias(weight.layer)
        # A bias that was drawn belongs to the size that the signal has.
        is_drawn = bias is not None and _backends.view(bias.variable).any()
        if weight.layer.path in done and is_upstream(network, weight) and not is_drawn:
            is_paired = isinstance(weight.held_initializer(), Mirrored)
            share = UPSTREAM_PAIRS if is_paired else upstream_share(network.after(weight))
            shares[weight.layer.path] = share
            changes.assign(weight.variable, share * _backends.view(weight.variable))
    return [_row(row, shares) for row in rows]


def _row(row, shares):
    share = shares.get(row.layer)
    if share is None:
        is_behind = shares and row.target is not None
        return dataclasses.replace(row, target=None) if is_behind else row
    return dataclasses.replace(
        row,
        target=row.target * share**2,
        factor=row.factor * share,
        reason=f"{row.reason}; first and plain: {share:g} times that, so that features are "
        "learned first",
    )
