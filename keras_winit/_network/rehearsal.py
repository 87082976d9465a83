"""What a layer of a class of the user's draws its own weights with: its code, run on a copy."""

import contextlib
import functools
import inspect
import itertools
import json
import math
import warnings

import keras
import numpy as np

from keras_winit import _backends, _keras_private
from keras_winit._network.kernels import config_of, package, walk

initializers = keras.initializers


def rehearsed(layer, weights, known):
    """Returns the initializers that the code of a layer asks for, by the numbers of its weights.

    A copy of it is built, of noise: of its config, its attributes, or of the arguments that these
    were made of, whichever is the first to give the same weights. Where none does, nothing is
    found.

    Args:
        layer: The layer.
        weights: Those of its variables that no layer inside of it has.
        known: Dict of what was found before, by config.
    """
    ways = [_by_config, _by_attributes, _by_arguments]
    if len(list(itertools.islice(walk(layer), 2))) == 1:  # then it costs little, and tells more
        ways[:2] = _by_attributes, _by_config
    for way in ways:
        try:
            found = way(layer, known)
        except Exception:  # whatever the code of the layer raises
            continue
        if [shape for shape, _ in found] == [tuple(each.shape) for each in weights]:
            asked = (initializer for _, initializer in found)
            return {id(each): initializer for each, initializer in zip(weights, asked, strict=True)}
    return {}


def _by_config(layer, known):
    config, shapes = layer.get_config(), layer.get_build_config()
    alike = {name: value for name, value in config.items() if name != "name"}
    key = type(layer), json.dumps([alike, shapes], sort_keys=True, default=str)
    if key not in known:
        known[key] = _run(lambda: type(layer).from_config(config), shapes)
    return known[key]


def _by_attributes(layer, known):
    return _run(lambda: _copy(layer, {}), layer.get_build_config())


def _by_arguments(layer, known):
    """Takes what the config or an attribute holds; anything else has to be of no matter."""
    made = (functools.partial(_made_anew, layer, other) for other in (0, 1))
    found = [_run(each, layer.get_build_config()) for each in made]
    one, other = ([(*at, type(each), config_of(each)) for *at, each in way] for way in found)
    return found[0] if one == other else []


def _copy(layer, copies):
    """Returns a layer that has not been built, with copies of the layers of another inside."""

    def copied(value):
        return _copy(value, copies) if isinstance(value, keras.Layer) else value

    if layer in copies:
        return copies[layer]
    if package(type(layer)) == "keras":
        copies[layer] = copy = type(layer).from_config(layer.get_config())
        return copy
    copies[layer] = copy = type(layer).__new__(type(layer))
    keras.Layer.__init__(copy, dtype=layer.dtype_policy, name=layer.name)
    for name in vars(layer).keys() - vars(copy).keys():
        if not isinstance(vars(layer)[name], keras.Variable):
            setattr(copy, name, keras.tree.map_structure(copied, vars(layer)[name]))
    return copy


def _made_anew(layer, other):
    """Returns a layer of the arguments that its config or attributes tell, others a number."""
    told, arguments = dict(vars(layer)), {}
    with contextlib.suppress(NotImplementedError):
        told = layer.get_config() | told
    for name, each in list(inspect.signature(type(layer).__init__).parameters.items())[1:]:
        if each.kind is each.VAR_KEYWORD:
            arguments["dtype"] = layer.dtype_policy
        elif each.kind is not each.VAR_POSITIONAL:
            held = told.get(name, other)
            arguments[name] = other if isinstance(held, (keras.Layer, keras.Variable)) else held
    return type(layer)(**arguments)


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
    dtype = keras.backend.standardize_dtype(variable.dtype)
    if initializer is None:
        initializer = "glorot_uniform" if "float" in dtype else "zeros"
    resolved = initializers.get(initializer)
    if isinstance(getattr(resolved, "value", None), keras.Variable):
        return None  # kept where the number was: what it started with is not known
    return resolved if isinstance(resolved, keras.Initializer) else _constant(resolved, variable)


def _constant(function, variable):
    """Returns the initializer of what a function gives each time, `None` if that changes."""
    given = (function(variable.shape, dtype=variable.dtype) for _ in range(2))
    one, other = (keras.ops.convert_to_numpy(each) for each in given)
    return initializers.Constant(one.tolist()) if np.array_equal(one, other) else None


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
