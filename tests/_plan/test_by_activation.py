import math
import re

import keras
import pytest

import keras_winit
from keras_winit._activations.formulas import FORMULAS, NOT_ELEMENTWISE
from keras_winit._plan import by_activation

layers = keras.layers

# A layer alone gets what is customary, a layer of a whole model what is exact.
CUSTOMARY = ("leaky_relu", "elu", "celu")
NAMES = (*sorted({*FORMULAS} - {"threshold"}), "swish", "hard_swish", "threshold at 1")
NAMES += tuple(sorted({*NOT_ELEMENTWISE} - {"glu"}))  # glu halves the units


def activation_named(name):
    if name != "threshold at 1":
        return name

    def threshold(x):
        return keras.activations.threshold(x, 1.0, 0.0)

    return threshold


def config(initializer):
    found = {**keras.saving.serialize_keras_object(initializer)}
    return found["class_name"], {**found["config"], "seed": None}


@pytest.mark.parametrize("name", NAMES)
def test_layers_alone_and_in_shallow_plain_models_are_told_the_same(name):
    activation = activation_named(name)
    alone = keras_winit.select_initializer(activation).initializer
    hidden = layers.Dense(5, activation, name="hidden")
    model = keras.Sequential([keras.Input((7,)), layers.Dense(6), hidden, layers.Dense(3)])
    within = keras_winit.suggest(model)["hidden/kernel"]
    if isinstance(alone, keras.initializers.GlorotUniform):
        assert name not in (*by_activation.RECTIFIERS, "selu", "swish", "hard_swish")
    elif name in CUSTOMARY:
        assert isinstance(alone, keras.initializers.HeNormal)
        assert within.scale == pytest.approx(keras_winit.gain(name) ** 2, rel=1e-9)
        assert 3 / 4 < within.scale / 2 < 1
    else:
        assert config(alone) == config(within)


@pytest.mark.parametrize(
    ("activation", "reason"),
    [
        ("relu", "relu is a rectifier: half of the signal's second moment is lost, and .* 2 / fan"),
        ("elu", r"elu is a variant of relu, whose 2 / fan_in is near .*: 1\.551 / fan_in would"),
        ("leaky_relu", r"leaky_relu is a variant .*: 1\.923 / fan_in would keep"),
        ("silu", r"silu follows: 2\.811 / fan_in keeps the size of the signal"),
        (layers.LeakyReLU(0.9), r"leaky_relu follows: 1\.105 / fan_in keeps"),
        ("selu", "selu normalizes itself, if the weights have a variance of 1 / fan_in"),
        (None, "linear is none of the rectifiers of the list, nor selu"),
    ],
)
def test_reasons_are_true(activation, reason):
    """The numbers: 2 / (1 + 0.9²), and 1 / gain² of the table in test_gains.py."""
    assert re.match(reason, keras_winit.select_initializer(activation).reason)


def test_names_and_choices_tell_the_lines_apart():
    names = [line.name for line in by_activation.LINES]
    assert len(set(names)) == len(names)
    for line in by_activation.LINES:
        cls = type(line.scaling(1.5).initializer())
        assert isinstance(keras.initializers.get(line.choice), cls)
        assert re.search(r", (19|20)\d\d, section [\d.]+, https://", line.reference)


@pytest.mark.parametrize(
    ("scaling", "cls"),
    [
        (by_activation.Scaling(2.0), "HeNormal"),
        (by_activation.Scaling(1.0), "LecunNormal"),
        (by_activation.Scaling(1.0, "fan_avg", "uniform"), "GlorotUniform"),
        (by_activation.Scaling(2.0, "fan_avg"), "VarianceScaling"),
        (by_activation.Scaling(1.55), "VarianceScaling"),
    ],
)
def test_a_scaling_is_an_initializer_of_keras_by_its_own_name(scaling, cls):
    initializer = scaling.initializer(seed=3)
    assert type(initializer) is getattr(keras.initializers, cls)
    kernel = keras.ops.convert_to_numpy(initializer((300, 500)))
    fan = {"fan_in": 300, "fan_avg": 400}[scaling.mode]
    # The kurtosis of a normal, cut at two standard deviations, is 2.3655, of a uniform 1.8.
    spread = math.sqrt(1.3655 / kernel.size)
    assert abs(kernel.var() * fan / scaling.scale - 1) < 4 * spread
