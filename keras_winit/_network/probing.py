"""What a layer of an unknown class does to the size of its input: it is tried."""

import itertools
import weakref

import keras
import numpy as np

from keras_winit import _backends
from keras_winit._network.kernels import kernels_of, walk
from keras_winit._network.restoring import restored

ops = keras.ops

_SAMPLES, _OPEN_SIZE, _FACTOR = 3, 4, 16.0
_found = weakref.WeakKeyDictionary()


def brings_to_unit_size(layer):
    """Whether a layer with vectors for weights gives the same for an input 16 times as large.

    Tried once, with weights of one, and only if it takes one tensor and has no layers inside.
    """
    if layer not in _found:
        is_candidate = (
            kernels_of(layer) is None
            and layer.built
            and layer.weights
            and all(len(each.shape) == 1 for each in layer.weights)
            and len(list(itertools.islice(walk(layer), 2))) == 1
        )
        _found[layer] = bool(is_candidate) and _try(layer)
    return _found[layer]


def _try(layer):
    ones = [(each, ops.ones(each.shape, each.dtype)) for each in layer.weights]
    with (
        _backends.kept_random_state(),
        restored(layer),
        _backends.without_gradient(),
        keras.StatelessScope(state_mapping=ones),
    ):
        try:
            shape = layer.get_build_config()["input_shape"]
            sizes = [_OPEN_SIZE if size is None else size for size in shape[1:]]
            x = np.random.default_rng(0).standard_normal((_SAMPLES, *sizes))
            given = (ops.convert_to_tensor(x * by, "float32") for by in (1.0, _FACTOR))
            outputs = (ops.cast(layer(each), "float32") for each in given)
            small, large = map(ops.convert_to_numpy, outputs)
        except Exception:  # whatever the code of the layer raises
            return False
    return small.shape == x.shape and bool(small.std() > 0) and np.allclose(small, large, rtol=0.05)
