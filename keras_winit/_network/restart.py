"""What training moves on beside the weights: optimizer, metrics, and the seeds of dropout."""

import keras
import numpy as np

from keras_winit import _network

_ANEW = "use `initialize(..., optimizer=True)`, or compile the model again"


def kept(model, remedy=_ANEW):
    """Returns a sentence on the state of an optimizer that has begun to train, in a tuple."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built:
        return ()
    steps = int(keras.ops.convert_to_numpy(optimizer.iterations))
    if not steps:
        return ()
    return (
        f"The optimizer keeps its state of {steps} steps with the weights that were: {remedy}.",
    )


def restart(model, changes):
    """Takes all that training moves on, but for the weights, back to where it started.

    A learning rate stays: what it was at first is not on record.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer.built:
        for variable, value in zip(optimizer.variables, _fresh(optimizer, model), strict=True):
            changes.assign(variable, value)
    for generator in _seed_generators(model):
        drawn_from, _ = keras.ops.convert_to_numpy(generator.state)
        seed = generator.get_config()["seed"]
        state = np.array([drawn_from if seed is None else seed, 0])
        changes.assign(generator.state, state.astype(generator.state.dtype))
    if getattr(model, "compiled", False):
        model.reset_metrics()


def _fresh(optimizer, model):
    """Returns the values that the variables of an optimizer have before its first step."""
    name = type(optimizer).__name__
    try:
        fresh = type(optimizer).from_config(optimizer.get_config())
        fresh.build(model.trainable_variables)
    except Exception as error:  # whatever an optimizer of the user's says of its config
        raise ValueError(f"{name} cannot be made from its config: {error}. {_REMEDY}") from error
    shapes = [[tuple(v.shape) for v in each.variables] for each in (optimizer, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{name} has been built for other variables than the model trains now. {_REMEDY}"
        )
    return [keras.ops.convert_to_numpy(variable) for variable in fresh.variables]


_REMEDY = "Compile the model again in place of `optimizer=True`."


def _seed_generators(model):
    """Yields the seed generators that layers of a model have as attributes, each once."""
    seen = set()
    for layer in _network.walk(model):
        for value in vars(layer).values():
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, keras.random.SeedGenerator) and id(each) not in seen:
                    seen.add(id(each))
                    yield each
