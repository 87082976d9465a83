"""The first step of the optimizer that a model is compiled with, taken on copies of its weights."""

import keras
import numpy as np

ops = keras.ops

# The gradients are those of a whole step already, and of the loss as it is; what makes weights
# smaller whatever they are is judged by itself. (AdamW refuses `None`.)
_STEP_ALONE = {"gradient_accumulation_steps": None, "loss_scale_factor": None, "weight_decay": 0.0}
_ADAPTIVE = tuple(
    getattr(keras.optimizers, name)
    for name in ("Adam", "Adamax", "Nadam", "RMSprop", "Adafactor", "Lamb", "Lion", "Muon")
    if hasattr(keras.optimizers, name)  # some came later
)
# Batches after which a schedule is looked at: as dense as it may fall.
_TIMES = (0, *(2**number for number in range(18)))
# Fewer say nothing: a warmup has to end, and what ends before is all that there is.
_FEWEST_BATCHES = 512


def first_update(model, variables, gradients, scale):
    """Returns what the first step would add to each variable, `None` where that is not known.

    What weight decay takes from it does not count.

    It is known of a compiled model that trains as Keras does, with an optimizer that can be made
    anew from its config, at the rate that `name_and_rate` tells. Where several batches make a step,
    they are taken to have the same gradients. The model and its optimizer stay as they are.

    Args:
        model: The model.
        variables: Its trainable variables.
        gradients: The gradient by each, or `None`.
        scale: What the gradients were multiplied by.
    """
    pairs = [
        (gradient / scale, variable)
        for gradient, variable in zip(gradients, variables, strict=True)
        if gradient is not None
    ]
    if not pairs or not trains_as_keras_does(model):
        return None
    optimizer = _inner(model)
    gradients, taken = zip(*pairs, strict=True)
    try:
        config = optimizer.get_config()
        changes = {name: value for name, value in _STEP_ALONE.items() if config.get(name)}
        fresh = type(optimizer).from_config(config | changes | {"learning_rate": _rate(optimizer)})
        copies = [
            keras.Variable(ops.multiply(each.value, 1), name=each.name, dtype=each.dtype)
            for each in taken
        ]
        fresh.build(copies)
        fresh.apply(gradients, copies)
    except Exception:  # whatever an optimizer of the user's needs beside its config
        return None
    steps = {
        id(variable): copy.value - variable.value
        for variable, copy in zip(taken, copies, strict=True)
    }
    return [steps.get(id(variable)) for variable in variables]


def name_and_rate(model):
    """Returns the class of the optimizer of a compiled model, and its learning rate.

    That of a schedule is its largest mean over the first 512 batches or more, so that what has
    a warmup is judged by what follows, and what falls at once by all that it comes to.
    """
    optimizer = _inner(model)
    return type(optimizer).__name__, _rate(optimizer)


def is_adaptive(model):
    """Whether the optimizer of a compiled model divides gradients by their size."""
    return isinstance(_inner(model), _ADAPTIVE)


def has_schedule(model):
    """Whether the learning rate of a compiled model depends on the number of the batch."""
    return not isinstance(_inner(model).get_config().get("learning_rate"), float)


def decay(model):
    """Returns the share of the weights that the optimizer of a compiled model takes in a step."""
    optimizer = _inner(model)
    return _rate(optimizer) * (getattr(optimizer, "weight_decay", None) or 0.0)


def lasting(model):
    """Returns what a step amounts to in each of the next batches.

    With momentum m it is 1 / (1 - m) times what it adds at first, shared by the batches of a step.
    """
    optimizer = _inner(model)
    batches = getattr(optimizer, "gradient_accumulation_steps", None) or 1
    return 1 / (1 - (getattr(optimizer, "momentum", None) or 0.0)) / batches


def _rate(optimizer):
    """Returns the rate, or the largest mean of a schedule over its first batches."""
    given = optimizer.get_config()["learning_rate"]
    if isinstance(given, float):
        return given
    schedule = keras.optimizers.schedules.deserialize(given)
    rates = np.array([float(ops.convert_to_numpy(schedule(time))) for time in _TIMES])
    sums = np.cumsum(np.diff(_TIMES) * (rates[1:] + rates[:-1]) / 2)
    return float(
        max(
            total / time
            for time, total in zip(_TIMES[1:], sums, strict=True)
            if time >= _FEWEST_BATCHES
        )
    )


def _inner(model):
    """Returns the optimizer itself where another one scales its loss."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def trains_as_keras_does(model):
    """Whether a compiled model takes the steps of its optimizer, and no others."""
    is_compiled = getattr(model, "compiled", False) and model.optimizer is not None
    return is_compiled and type(model).train_step is keras.Model.train_step
