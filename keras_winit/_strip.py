"""Makes a model independent of this package before it is saved."""

import json
import re

import keras

from keras_winit import _network
from keras_winit._network.transaction import all_or_nothing
from keras_winit.constraints import SparsityMask
from keras_winit.initializers._own_initializer import OwnInitializer


def strip_initializers(model: keras.Layer) -> list[str]:
    """Replaces every initializer of this package in a model by one of Keras.

    A file saved afterwards loads where keras_winit is not installed. The weights stay as they
    are; the replacements (`VarianceScaling` of the same or nearest variance) matter only where
    someone builds the model anew from its config. A `SparsityMask`, which has no like in Keras, is
    taken off: the zeros stay in the file, and change if the loaded model trains on.

    Strip last: `initialize` draws with, and puts back, what was there where the scheme leaves a
    weight to its layer.

    Args:
        model: A Keras model or layer, built or not. Changed in place.

    Returns:
        List of str, one for each replacement: where, what was there, what is there now.

    Raises:
        TypeError: If `model` is no Keras layer.
        ValueError: If something of this package remains in the model's config, in a place that
            is not an attribute of a layer. The model is then as it was.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(3, kernel_initializer="sparse", name="a")])
    >>> keras_winit.strip_initializers(model)
    ['a.kernel_initializer: Sparse -> VarianceScaling']
    """
    if not isinstance(model, keras.Layer):
        raise TypeError(f"`model` should be a Keras model or layer. Received: model={model!r}.")
    found = list(_find(model))
    with all_or_nothing() as changes:
        for owner, attribute, ours in found:
            _network.tell(owner, attribute, ours.to_keras(), changes)
        remaining = _remaining(model)
        if remaining:
            raise ValueError(
                f"`model` holds {', '.join(remaining)} where it cannot be replaced, outside of the "
                "attributes of its layers. Received: "
                f"model={model.name!r}. Make it an attribute of its layer, or build the layer with "
                "an initializer of Keras."
            )
    return [
        f"{owner.name}.{attribute.removeprefix('_')}: {_name(ours)} -> "
        f"{_name(getattr(owner, attribute))}"
        for owner, attribute, ours in found
    ]


def _name(value):
    return "None" if value is None else type(value).__name__


def _find(model):
    """Yields (layer, attribute, value) for every initializer and mask of ours, layer by layer."""
    for layer in _network.walk(model):
        for attribute, value in vars(layer).items():
            if isinstance(value, (OwnInitializer, SparsityMask)):
                yield layer, attribute, value


def _remaining(model):
    """Returns the names of what the config still takes from this package."""
    try:
        config = keras.saving.serialize_keras_object(model)
    except NotImplementedError:  # a subclassed model without `get_config` saves none
        return []
    return sorted(set(re.findall(r"keras_winit>\w+", json.dumps(config, default=str))))
