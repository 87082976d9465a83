"""What an optimizer keeps of weights that are new: momenta, and sizes of gradients."""

import keras
import numpy as np

from keras_winit import _backends, _keras_private


def forget(model, fresh, changes):
    """Has the optimizer of a model know nothing of the weights that are new.

    Their momenta become zero. Sizes of gradients, as the second moments of Adam, become the median
    of the others of the weight: an optimizer that has made many steps would divide by zeros as if
    they had been measured, with steps of up to 6.5 times the rate for Adam; and the mean is that of
    the largest, which the first steps may have made so. Averages of the weights become the weights.

    Args:
        model: The model, compiled or not.
        fresh: Dict from the id of a variable to a boolean array, which of its values are new.
        changes: `Changes` that this is a part of.
    """
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # where it scales the loss
    if not isinstance(optimizer, keras.optimizers.Optimizer) or not optimizer.built:
        return
    variables = model.trainable_variables
    for slots, are_averages in _keras_private.slots_of(optimizer, len(variables)):
        kept = [
            (variable, slot, _values(slot))
            for variable, slot in zip(variables, slots, strict=True)
            if slot is not None and tuple(slot.shape) == tuple(variable.shape)
        ]
        are_sizes = not are_averages and not any((values < 0).any() for *_, values in kept)
        known = {}
        for variable, _, values in kept if are_sizes else ():
            known[id(variable)] = _sizes(values, fresh.get(id(variable)))
        for variable, slot, values in kept:
            is_new = fresh.get(id(variable))
            if is_new is None:
                continue
            values[is_new] = 0.0
            if are_averages:
                values[is_new] = _values(variable)[is_new]
            elif are_sizes:
                others = known[id(variable)]
                others = others if others.size else np.concatenate([*known.values()])
                values[is_new] = np.median(others) if others.size else 0.0
            changes.keep(slot, _backends.view(slot))()
            _backends.assign(slot, values)


def _sizes(values, is_new):
    """Returns the values that are not new and not zero, as those of what has had no gradient."""
    values = values if is_new is None else values[~is_new]
    return values[values > 0]


def _values(variable):
    return np.array(_backends.view(variable), np.float32)
