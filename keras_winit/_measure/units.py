"""What each unit of the layers of a model gives."""

import keras

from keras_winit import _backends, _network
from keras_winit._measure.measure import run
from keras_winit._measure.statistics import DEAD, Reductions
from keras_winit._measure.taps import Taps


def dead_units(network, batch):
    """Returns for each layer whose kernel an activation follows which units give nothing.

    For no sample of the batch, in training mode. A dict from the layer to a boolean array, of the
    first call of each.

    Args:
        network: The `Network` of a model.
        batch: The `Batch`.
    """
    reductions = Reductions()
    taps = Taps(network, reductions, by_unit=True)
    with _backends.without_gradient(), _network.restored(network.model), keras.StatelessScope():
        with taps.on(lambda _, x: x):
            run(network.model, batch)
        numbers = reductions.fetch()
    found = {}
    for each in taps.tapped:
        if each.by_unit is not None and each.activation is not None and each.number == 0:
            magnitudes = numbers[each.by_unit]
            found[_network.distributed(each.layer)] = magnitudes <= DEAD * magnitudes.max()
    return found
