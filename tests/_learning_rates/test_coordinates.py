import json
import math
import random

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._learning_rates.coordinates import CoordinateCheck, LayerByWidth

layers = keras.layers
optimizers = keras.optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 16)).astype("float32")
Y = RNG.integers(0, 4, 32)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def plain(width):
    hidden = [layers.Dense(width, "relu", name=f"hidden_{n}") for n in range(2)]
    return keras.Sequential([keras.Input((16,)), *hidden, layers.Dense(4, name="last")], name="net")


def builder(optimizer, build=plain, width=64, scheme="mup"):
    """Returns what builds a model that is started and trained by muP, or by another scheme."""
    base = build(width)

    def build_model(width):
        model = build(width)
        if scheme == "mup":
            keras_winit.initialize(model, "mup", base_model=base)
            scaled = keras_winit.scale_learning_rates(model, optimizer(), base)
        else:
            keras_winit.initialize(model, scheme)
            scaled = optimizer()
        model.compile(scaled, LOSS)
        return model

    return build_model


OPTIMIZERS = {"sgd": lambda: optimizers.SGD(0.3), "adam": lambda: optimizers.Adam(0.01)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_mup_is_flat_from_width_64_to_1024(optimizer):
    build_model = builder(OPTIMIZERS[optimizer])
    check = keras_winit.coordinate_check(build_model, [64, 256, 1024], X, Y, seeds=2)
    assert check.ok, check
    assert "Flat: what 3 steps change" in check.verdict
    assert min(row.changes[0] for row in check.rows) > 1e-4  # all layers learn


def test_an_epsilon_as_large_as_gradients_slows_all_widths_alike():
    build_model = builder(lambda: optimizers.Adam(0.1, epsilon=1e-3))
    check = keras_winit.coordinate_check(build_model, [64, 512], X, Y, seeds=2)
    assert check.ok, check


def test_the_default_is_not():
    build_model = builder(OPTIMIZERS["adam"], scheme="suggested")
    check = keras_winit.coordinate_check(build_model, [64, 1024], X, Y, seeds=1)
    assert not check.ok
    assert "'net/last' is changed" in check.verdict
    assert "as much at width 1024 as at 64" in check.verdict


def attending(width):
    x = keras.Input((4, 16))
    h = layers.Dense(width, name="first")(x)
    h = h + layers.MultiHeadAttention(1, width, name="attention")(h, h)
    return keras.Model(x, layers.Dense(4, name="last")(layers.GlobalAveragePooling1D()(h)))


def test_maps_of_queries_count_as_logits_take_them():
    x = RNG.normal(size=(8, 4, 16))
    build_model = builder(OPTIMIZERS["adam"], attending, width=32)
    check = keras_winit.coordinate_check(build_model, [32, 512], x, Y[:8], seeds=2)
    (query,) = [row for row in check.rows if row.layer.endswith("query")]
    assert query.spread < 1.5
    # Of unit inputs: the same variance at any width, by logits by 1 / head size.
    assert query.sizes[1] == pytest.approx(query.sizes[0], rel=0.3)
    assert check.ok, check


def test_size_and_change_are_those_of_the_output_before_the_activation():
    def build_model(width):
        inner = layers.Dense(width, "relu", kernel_initializer="ones", bias_initializer="zeros")
        last = layers.Dense(1, kernel_initializer="ones", name="last")
        model = keras.Sequential([keras.Input((2,)), inner, last], name="net")
        model.compile(optimizers.SGD(0.5), "mse")
        return model

    x, y = np.array([[1.0, 2.0]]), np.array([[0.0]])
    check = keras_winit.coordinate_check(build_model, [2, 1], x, y, steps=1, seeds=1)
    assert check.widths == (1, 2)
    hidden, last = check.rows
    assert hidden.sizes == (3, 3)
    assert last.sizes == (3, 6)
    # The gradient of y² is 2 y: by the kernel of the hidden layer 2 y x, and 2 y by its bias.
    assert hidden.changes == pytest.approx([0.5 * 2 * 3 * (1 + 4 + 1), 0.5 * 2 * 6 * (1 + 4 + 1)])
    assert last.growth == 2


def check(sizes, changes):
    row = LayerByWidth(layer="net/a", sizes=sizes, changes=changes, growth=1.0, spread=1.2)
    return CoordinateCheck(widths=(8, 16), steps=3, seeds=1, factor=1.5, rows=(row,))


def test_it_prints_as_a_table_and_as_html_and_json():
    shown = check((1.0, 1.0), (0.5, 0.6))
    lines = repr(shown).splitlines()
    assert lines[0] == "Root mean square by width, and its change in 3 steps; 1 seed"
    assert lines[1].split("  ")[0] == "layer"
    assert "change at 16" in lines[1]
    assert lines[-1].startswith("Flat: what 3 steps change is at most 1.2 times apart")
    assert "<table" in shown._repr_html_()
    assert json.loads(json.dumps(shown.to_dict()))["rows"][0]["change at 16"] == 0.6


def test_what_grows_or_fails_is_not_flat():
    def build_model(width):
        model = plain(width)
        model.compile(optimizers.SGD(math.inf if width == 8 else 1.0), LOSS)
        return model

    found = keras_winit.coordinate_check(build_model, [4, 8], X, Y, seeds=1)
    assert not found.ok
    assert found.rows[0].spread == math.inf


def test_it_plots_changes_over_widths():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, ax = pyplot.subplots()
    assert check((1.0, 1.0), (0.5, 0.6)).plot(ax) is ax
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_data(), [[8, 16], [0.5, 0.6]])
    assert ax.get_yscale() == "log"
    pyplot.close()


def test_random_states_are_as_before():
    build_model = builder(OPTIMIZERS["sgd"])
    random.seed(5)
    drawn = random.random()
    random.seed(5)
    keras_winit.coordinate_check(build_model, [4, 8], X, Y, seeds=1, steps=1)
    assert random.random() == drawn


def uncompiled(width):
    return plain(width)


def deeper(width):
    model = keras.Sequential([keras.Input((16,)), *[layers.Dense(4) for _ in range(width)]])
    model.compile("sgd", LOSS)
    return model


WRONG = {
    "a model": (lambda: (plain(4), [4, 8]), TypeError, "`build_model` should be a function"),
    "no model": (lambda: (lambda width: 3, [4, 8]), TypeError, "should return a Keras model.*: 3"),
    "not compiled": (lambda: (uncompiled, [4, 8]), ValueError, "'net' of width 4, which is not"),
    "one width": (lambda: (uncompiled, [4]), ValueError, r"at least two.*widths=\[4\]"),
    "twice": (lambda: (uncompiled, [4, 4]), ValueError, "each of them once"),
    "a number": (lambda: (uncompiled, 4), TypeError, "`widths` should be a list of integers"),
    "zero": (lambda: (uncompiled, [0, 4]), ValueError, "at least 1. Received: widths=0"),
    "deeper": (
        lambda: (deeper, [1, 2]),
        ValueError,
        "same layers at every width.*1 calls of layers with kernels at width 1, and 2 at width 2",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_arguments_are_refused(case):
    make, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        keras_winit.coordinate_check(*make(), X, Y)


def test_a_factor_of_one_is_refused():
    with pytest.raises(ValueError, match=r"`factor` should be above 1. Received: factor=1.0"):
        keras_winit.coordinate_check(uncompiled, [4, 8], X, Y, factor=1.0)
