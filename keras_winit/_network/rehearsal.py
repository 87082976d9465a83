"""What a layer of a class of the user's draws its own weights with: its code, run on a copy."""

import contextlib
import itertools
import json
import math
import warnings

import keras
import numpy as np

from keras_winit import _backends, _keras_private
from keras_winit._network.kernels import walk

initializers = keras.initializers


def rehearsed(layer, weights, known):
    """Returns the initializers that the code of a layer asks for, by the numbers of its weights.

    A copy of it is built, of noise: of its attributes if there is no layer inside of it, else of
    its config. Where there is none, or the copy gets other weights, nothing is found.

    Args:
        layer: The layer.
        weights: Those of its variables that no layer inside of it has.
        known: Dict of what was found before, by config.
    """
    try:
        shapes = layer.get_build_config()
        if len(list(itertools.islice(walk(layer), 2))) == 1:
            found = _run(lambda: _copy(layer), shapes)
        else:
            config = layer.get_config()
            alike = {name: value for name, value in config.items() if name != "name"}
            key = type(layer), json.dumps([alike, shapes], sort_keys=True, default=str)
            if key not in known:
                known[key] = _run(lambda: type(layer).from_config(config), shapes)
            found = known[key]
    except Exception:  # whatever the code of the layer raises
        return {}
    if [shape for shape, _ in found] != [tuple(each.shape) for each in weights]:
        return {}
    asked = (initializer for _, initializer in found)
    return {id(each): initializer for each, initializer in zip(weights, asked, strict=True)}


def _copy(layer):
    """Returns a layer that has not been built, with the attributes of another."""
    copy = type(layer).__new__(type(layer))
    keras.Layer.__init__(copy, dtype=layer.dtype_policy, name=layer.name)
    own = vars(layer).keys() - vars(copy).keys()
    for name in own:
        if not isinstance(vars(layer)[name], keras.Variable):
            setattr(copy, name, vars(layer)[name])
    return copy


def _run(make, shapes):
    """Returns the shape of each weight that a copy makes for itself, with its initializer."""
    with _recorded() as made, _backends.kept_random_state(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a layer without a `build`
        copy = make()
        if not copy.built and shapes:
            copy.build_from_config(shapes)
    asked = {id(each): (given, values) for owner, each, given, values in made if owner is copy}
    own = (variable for variable in copy.weights if id(variable) in asked)
    return [(tuple(each.shape), _resolved(each, *asked[id(each)])) for each in own]


def _resolved(variable, initializer, values):
    """Returns the initializer of a weight, `None` where the layer has computed it afterwards."""
    if (keras.ops.convert_to_numpy(variable) != values).any():
        return None
    if initializer is None:
        is_float = "float" in keras.backend.standardize_dtype(variable.dtype)
        initializer = "glorot_uniform" if is_float else "zeros"
    resolved = initializers.get(initializer)
    return resolved if isinstance(resolved, keras.Initializer) else None


def _noise(shape, dtype=None):
    values = np.random.default_rng(math.prod(shape)).integers(1, 99, shape)
    return keras.ops.convert_to_tensor(values, dtype)


@contextlib.contextmanager
def _recorded():
    """Has layers make their weights of noise, and gives a list of what they asked for.

    Of zeros, what is computed of other weights could not be told from what is drawn.
    """
    made = []

    def recorded(add_weight, layer, shape=None, initializer=None, *args, **kwargs):
        variable = add_weight(layer, shape, _noise, *args, **kwargs)
        values = keras.ops.convert_to_numpy(variable).copy()
        made.append((layer, variable, initializer, values))
        return variable

    with _keras_private.layers_with("add_weight", recorded):
        yield made
