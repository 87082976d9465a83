import re

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._revive import revive as module

layers = keras.layers
ops = keras.ops

SAMPLES = 48
SPARSE = keras_winit.initializers.Sparse(0.5, seed=7)
MASK = keras_winit.SparsityMask(SPARSE)
DEAD = {"conv": [1, 4], "twin": [0], "hidden": [2, 3, 6]}


def images():
    return np.random.default_rng(0).normal(size=(SAMPLES, 5, 4, 3)).astype("float32")


def targets():
    return np.random.default_rng(1).normal(size=(SAMPLES, 2)).astype("float32")


def array(variable):
    return np.array(ops.convert_to_numpy(variable))


def put(variable, place, value):
    values = array(variable)
    values[place] = value
    variable.assign(values)


def network():
    """Returns two convolutions side by side, one with batch normalization, and a dense layer."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5, 4, 3))
    one = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(inputs)
    one = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="norm")(one))
    twin = layers.Conv2D(4, 3, padding="same", activation="relu", name="twin")(inputs)
    x = layers.MaxPooling2D(2)(layers.Concatenate()([twin, one]))
    x = layers.Dense(7, "gelu", name="hidden")(layers.Dropout(0.2)(layers.Flatten()(x)))
    return keras.Model(inputs, layers.Dense(2, name="end")(x))


def kill(model):
    put(model.get_layer("norm").beta, DEAD["conv"], -60.0)
    put(model.get_layer("norm").gamma, DEAD["conv"], 0.3)
    put(model.get_layer("twin").bias, DEAD["twin"], -60.0)
    put(model.get_layer("hidden").bias, DEAD["hidden"], -60.0)


@pytest.fixture(scope="module")
def trained():
    """Returns a network that was trained, with units that died, and what it then gave."""
    model = network()
    model.compile(keras.optimizers.Adam(0.01, use_ema=True), "mse")
    model.fit(images(), targets(), epochs=3, batch_size=12, verbose=0)
    kill(model)
    return model


@pytest.fixture
def model(trained):
    state = [array(each) for each in (*trained.variables, *trained.optimizer.variables)]
    yield trained
    for variable, value in zip(
        (*trained.variables, *trained.optimizer.variables), state, strict=True
    ):
        variable.assign(value)


def outputs(model, training=False):
    with keras.StatelessScope():
        keras.utils.set_random_seed(0)
        return array(ops.stop_gradient(model(images(), training=training)))


def test_outputs_stay_and_all_units_live(model):
    before = outputs(model)
    result = keras_winit.revive(model, images(), seed=5)
    found = {
        row.layer.rpartition("/")[2]: (row.units, row.dead, row.revived) for row in result.rows
    }
    assert found == {"conv": (6, 2, 2), "twin": (4, 1, 1), "hidden": (7, 3, 3)}
    assert result.revived == 6
    np.testing.assert_allclose(outputs(model), before, rtol=1e-5, atol=1e-5 * abs(before).max())
    assert not keras_winit.revive(model, images()).rows


def test_new_weights_are_those_that_initialize_would_draw_and_others_stay(model):
    old = {each.path: array(each) for each in model.trainable_variables}
    keras_winit.revive(model, images(), seed=5)
    fresh = network()
    keras_winit.initialize(fresh, seed=5)
    for name, dead in DEAD.items():
        kernel, expected = (array(each.get_layer(name).kernel) for each in (model, fresh))
        np.testing.assert_array_equal(kernel[..., dead], expected[..., dead])
        assert abs(kernel[..., dead]).max() > 0.01
    alive = np.setdiff1d(np.arange(6), DEAD["conv"])
    kernel = model.get_layer("conv").kernel
    np.testing.assert_array_equal(array(kernel)[..., alive], old[kernel.path][..., alive])
    norm = model.get_layer("norm")
    for vector, value in ((norm.gamma, 1.0), (norm.beta, 0.0)):
        np.testing.assert_array_equal(array(vector)[DEAD["conv"]], value)
        np.testing.assert_array_equal(array(vector)[alive], old[vector.path][alive])
    end = model.get_layer("end").kernel
    assert not array(end)[DEAD["hidden"]].any()
    alive = np.setdiff1d(np.arange(7), DEAD["hidden"])
    np.testing.assert_array_equal(array(end)[alive], old[end.path][alive])
    # Of what is put together, the rows of each place: zero but for what is new in both.
    rows = array(model.get_layer("hidden").kernel).reshape(-1, 10, 7)
    assert not rows[:, [0, 5, 8]][..., alive].any()
    assert rows[:, [0, 5, 8]][..., DEAD["hidden"]].all()


def test_batch_normalization_has_the_statistics_of_the_batch(model):
    norm, dead = model.get_layer("norm"), DEAD["conv"]
    old = array(norm.moving_mean), array(norm.moving_variance)
    keras_winit.revive(model, images(), seed=5)
    given = array(ops.stop_gradient(model.get_layer("conv")(images())))
    of_batch = given.mean((0, 1, 2)), given.var((0, 1, 2))
    for variable, before, expected in zip(
        (norm.moving_mean, norm.moving_variance), old, of_batch, strict=True
    ):
        np.testing.assert_allclose(array(variable)[dead], expected[dead], rtol=0.01, atol=1e-4)
        alive = np.setdiff1d(np.arange(6), dead)
        np.testing.assert_array_equal(array(variable)[alive], before[alive])


def slots(model, weight):
    """Returns what the optimizer keeps of a weight, by name."""
    start = weight.path.replace("/", "_") + "_"
    return {
        each.name.removeprefix(start): each
        for each in model.optimizer.variables
        if each.name.startswith(start)
    }


def test_optimizer_forgets_what_is_new_and_knows_sizes_of_gradients(model):
    kernel, dead = model.get_layer("hidden").kernel, DEAD["hidden"]
    old = {name: array(each) for name, each in slots(model, kernel).items()}
    assert sorted(old) == ["average", "momentum", "velocity"]
    keras_winit.revive(model, images(), seed=5)
    new = {name: array(each) for name, each in slots(model, kernel).items()}
    assert not new["momentum"][:, dead].any()
    np.testing.assert_array_equal(new["average"][:, dead], array(kernel)[:, dead])
    is_new = np.zeros((4, 10, 7), bool)
    is_new[:, [0, 5, 8]] = is_new[..., dead] = True
    is_new = is_new.reshape(kernel.shape)
    others = old["velocity"][~is_new]
    np.testing.assert_allclose(new["velocity"][is_new], np.median(others[others > 0]), rtol=1e-5)
    for name, values in new.items():
        np.testing.assert_array_equal(values[~is_new], old[name][~is_new])


def deep(optimizer=None):
    """Returns a network all of whose units are dead."""
    keras.utils.set_random_seed(1)
    hidden = [layers.Dense(width, "relu", name=f"hidden_{width}") for width in (12, 9, 10)]
    model = keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(2, name="end")])
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse")
    for layer in hidden:
        layer.bias.assign(np.full(layer.units, -50.0))
    return model


def vectors():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype("float32")
    return x, x[:, :2] * x[:, 2:4]


def test_a_network_that_is_dead_as_a_whole_learns_again():
    model, (x, y) = deep(), vectors()
    before = model.predict(x, verbose=0)
    assert keras_winit.revive(model, x, seed=2).revived > 20
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)
    assert array(model.get_layer("hidden_9").kernel).all()
    before = model.evaluate(x, y, verbose=0)
    model.fit(np.tile(x, (60, 1)), np.tile(y, (60, 1)), verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.5 * before  # of a constant output


def test_steps_after_many_are_not_larger_than_the_rate_allows():
    rate = 0.01
    model, (x, y) = deep(keras.optimizers.Adam(rate)), vectors()
    model.get_layer("hidden_12").bias.assign(np.r_[np.zeros(6), np.full(6, -50.0)])
    model.get_layer("hidden_9").bias.assign(np.zeros(9))
    model.get_layer("hidden_10").bias.assign(np.zeros(10))
    model.fit(np.tile(x, (60, 1)), np.tile(y, (60, 1)), batch_size=16, verbose=0)
    assert keras_winit.revive(model, x, seed=2).revived >= 6
    kernel = model.get_layer("hidden_9").kernel
    model.train_on_batch(x, y)
    # By second moments of zero it would be 3.2 times the rate for every weight.
    assert 0 < np.median(abs(array(kernel)[6:])) < rate


def test_steps_of_gradient_descent_have_no_state_to_forget():
    model, (x, y) = deep(keras.optimizers.SGD(0.1)), vectors()
    model.fit(x, y, epochs=1, verbose=0)
    assert keras_winit.revive(model, x).revived > 20


class Composed(keras.Model):
    def __init__(self):
        super().__init__(name="composed")
        self.hidden = layers.Dense(5, "relu", name="hidden")
        self.end = layers.Dense(2, name="end")

    def call(self, x):
        return self.end(self.hidden(x))


def test_models_of_a_class_of_the_users_are_read():
    model, (x, _) = Composed(), vectors()
    before = array(ops.stop_gradient(model(x)))
    model.hidden.bias.assign([0, -50, 0, 0, -50])
    cut = array(ops.stop_gradient(model(x)))
    assert not np.array_equal(before, cut)
    assert keras_winit.revive(model, x).revived == 2
    np.testing.assert_array_equal(array(ops.stop_gradient(model(x))), cut)


def one_hidden(hidden, **of_end):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(2, name="end", **of_end)(hidden(inputs)))
    model.get_layer("hidden").bias.assign([0, -50, 0, -50, 0])
    return model


def hidden(**arguments):
    return layers.Dense(5, "relu", name="hidden", **arguments)


LEFT = {
    "frozen": (lambda: one_hidden(hidden(trainable=False)), "hidden/kernel: frozen"),
    "frozen behind": (lambda: one_hidden(hidden(), trainable=False), "end/kernel: frozen"),
    "masked": (
        lambda: one_hidden(hidden(kernel_initializer=SPARSE, kernel_constraint=MASK)),
        "hidden/kernel: its SparsityMask",
    ),
    "added": (
        lambda: one_hidden(lambda x: layers.Add()([hidden()(x), layers.Dense(5)(x)])),
        "it is put together with others (Add)",
    ),
    "recurrent": (
        lambda: one_hidden(lambda x: layers.SimpleRNN(4)(hidden()(layers.Reshape((2, 4))(x)))),
        "(SimpleRNN), which takes it, has no rows",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_revived_is_left_alone_with_its_reason(name):
    build, reason = LEFT[name]
    model, (x, _) = build(), vectors()
    old = [array(each) for each in model.variables]
    result = keras_winit.revive(model, x)
    (row,) = result.rows
    assert (row.dead, row.revived, result.revived) == (2, 0, 0)
    assert reason in row.reason
    assert re.sub(r"\s+", " ", reason)[:8] in repr(result)
    for before, after in zip(old, model.variables, strict=True):
        np.testing.assert_array_equal(before, array(after))


def test_nothing_is_half_revived(model, monkeypatch):
    variables = (*model.variables, *model.optimizer.variables)
    old = [array(each) for each in variables]

    def fail(*arguments):
        raise RuntimeError("full")

    forget = module.forget
    monkeypatch.setattr(module, "forget", lambda *each: (forget(*each), fail()))
    with pytest.raises(RuntimeError, match="full"):
        keras_winit.revive(model, images())
    for before, after in zip(old, variables, strict=True):
        np.testing.assert_array_equal(before, array(after))


def test_healthy_networks_stay_as_they_are():
    model = one_hidden(hidden())
    model.get_layer("hidden").bias.assign(np.zeros(5))
    old = model.get_weights()
    result = keras_winit.revive(model, vectors()[0])
    assert (result.rows, result.revived) == ((), 0)
    assert "No unit of model" in repr(result)
    for before, after in zip(old, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_is_no_batch_is_refused():
    model = one_hidden(hidden())
    with pytest.raises(ValueError, match="`x` should be a batch of your data.*x=None"):
        keras_winit.revive(model, None)
    with pytest.raises(ValueError, match="`x` should be of shape"):
        keras_winit.revive(model, np.ones((4, 3)))
    with pytest.raises(TypeError, match="`seed`"):
        keras_winit.revive(model, np.ones((4, 8)), seed=1.5)
