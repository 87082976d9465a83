import keras

from keras_winit._inherit.pairing import paired
from keras_winit._network.network import Network

layers = keras.layers


def pairs(model, source):
    """Returns the places, among the layers with weights, of those that are paired."""
    found = paired(Network(model), Network(source))
    own, others = ([each for each in one.layers if each.weights] for one in (model, source))
    return [others.index(found[each]) if each in found else None for each in own]


def stack(*names):
    return keras.Sequential([keras.Input((3,)), *(layers.Dense(3, name=name) for name in names)])


def convolutions(*numbers):
    """Returns a model with that many convolutions between poolings."""
    model = keras.Sequential([keras.Input((16, 2))])
    for number in numbers:
        for _ in range(number):
            model.add(layers.Conv1D(2, 3, padding="same"))
        model.add(layers.MaxPooling1D())
    model.add(layers.Dense(3))
    return model


def transformer(depth):
    x = inputs = keras.Input((3, 4))
    for _ in range(depth):
        x = x + layers.Dense(4)(layers.Dense(6, "relu")(layers.LayerNormalization()(x)))
    return keras.Model(inputs, layers.Dense(2)(layers.LayerNormalization()(x)))


def test_outputs_are_paired_with_outputs():
    assert pairs(stack(*[None] * 4), stack(*[None] * 2)) == [0, None, None, 1]
    assert pairs(stack(*[None] * 2), stack(*[None] * 4)) == [0, 3]


def test_names_of_authors_count_more_than_order():
    assert pairs(stack("a", "c", "e"), stack("a", "b", "c", "d", "e")) == [0, 2, 4]


def test_layers_between_the_same_poolings_are_paired():
    assert pairs(convolutions(1, 2, 1), convolutions(2, 2, 3)) == [0, 2, 3, 4, 7]


def test_what_comes_behind_all_branches_is_paired_with_such():
    deep, flat = transformer(2), transformer(1)
    found = paired(Network(deep), Network(flat))
    with_weights = [each for each in deep.layers if each.weights]
    assert [each in found for each in with_weights] == [True] * 3 + [False] * 3 + [True] * 2
    assert [found[each] for each in deep.layers[-2:]] == flat.layers[-2:]


def test_layers_of_other_kinds_are_no_pairs():
    recurrent = keras.Sequential([keras.Input((4, 3)), layers.GRU(3), layers.Dense(2)])
    assert pairs(recurrent, stack("a", "b")) == [None, 1]
