"""The first step of the optimizer that a model is compiled with, taken on copies of its weights."""

import keras

ops = keras.ops


def first_update(model, variables, gradients, scale):
    """Returns what the first step would add to each variable, `None` where that is not known.

    It is known of a compiled model that trains as Keras does, with an optimizer that can be made
    anew from its config, at one rate: a schedule may begin with a rate of zero. The model and its
    optimizer stay as they are.

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
        if not isinstance(config.get("learning_rate"), float):
            return None
        fresh = type(optimizer).from_config(config)
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
    """Returns the class of the optimizer of a compiled model, and its learning rate now."""
    optimizer = _inner(model)
    return type(optimizer).__name__, float(ops.convert_to_numpy(optimizer.learning_rate))


def lasting(model):
    """Returns what a step amounts to over the next ones: 1 / (1 - m) times, with momentum m."""
    return 1 / (1 - (getattr(_inner(model), "momentum", None) or 0.0))


def _inner(model):
    """Returns the optimizer itself where another one scales its loss."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def trains_as_keras_does(model):
    """Whether a compiled model takes the steps of its optimizer, and no others."""
    is_compiled = getattr(model, "compiled", False) and model.optimizer is not None
    return is_compiled and type(model).train_step is keras.Model.train_step
