import json

import keras
import pytest

import keras_winit
from keras_winit import initializers
from keras_winit.initializers import _aliases

# What code and files out there hold: none of these names is ever taken away.
RELEASED = {
    "activation_scaling": initializers.ActivationScaling,
    "bilinear_upsampling": initializers.BilinearUpsampling,
    "chrono_bias": initializers.ChronoBias,
    "convolution_orthogonal": initializers.ConvolutionOrthogonal,
    "delta_orthogonal": initializers.DeltaOrthogonal,
    "dirac": initializers.Identity,
    "fourier_features": initializers.FourierFeatures,
    "fourier_phases": initializers.FourierPhases,
    "icnr": initializers.ICNR,
    "looks_linear": initializers.LooksLinear,
    "normalized_positive_definite": initializers.NormalizedPositiveDefinite,
    "per_gate": initializers.PerGate,
    "rotation": initializers.Rotation,
    "siren": initializers.Siren,
    "sparse": initializers.Sparse,
}
ALIASES = dict(_aliases.ALIASES)
ALL = {**ALIASES, **_aliases.OF_TORCH}
BIAS_ALIASES = ("chrono_bias", "fourier_phases")

each_alias = pytest.mark.parametrize(("alias", "cls"), ALIASES.items(), ids=ALIASES)


@pytest.fixture
def without_aliases():
    keras_winit.unregister_aliases()
    yield keras.saving.get_custom_objects()
    keras_winit.unregister_aliases()
    keras_winit.register_aliases()


def test_released_names_are_kept():
    assert RELEASED.items() <= ALIASES.items()


@each_alias
def test_an_alias_is_an_initializer_string(alias, cls):
    argument, layer, shape = "kernel_initializer", keras.layers.Conv2D(4, 3), (None, 8, 8, 6)
    if alias in BIAS_ALIASES:
        argument = "bias_initializer"
    elif alias == "bilinear_upsampling":
        layer = keras.layers.Conv2DTranspose(4, 3)
    elif alias == "shift":
        argument, layer = "depthwise_initializer", keras.layers.DepthwiseConv2D(3)
    if alias in ("chrono_bias", "per_gate", "rotation", "normalized_positive_definite"):
        layer, shape = keras.layers.SimpleRNN(4), (None, 8, 6)
        layer = keras.layers.GRU(4) if alias == "chrono_bias" else layer
        layer = keras.layers.LSTM(4) if alias == "per_gate" else layer
        argument = "bias_initializer" if alias == "chrono_bias" else "recurrent_initializer"
    layer = type(layer).from_config({**layer.get_config(), argument: alias})
    layer.build(shape)
    assert type(getattr(layer, argument)) is cls
    assert type(keras.initializers.get(alias)) is cls


@each_alias
def test_every_string_makes_an_initializer_of_its_own(alias, cls):
    assert keras.initializers.get(alias) is not keras.initializers.get(alias)


@each_alias
def test_an_alias_is_also_a_name_in_the_catalogue(alias, cls):
    assert getattr(initializers, alias) is cls


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(initializers).items()
        # Keras's "constant" is no initializer without its value.
        if isinstance(value, type) and name.islower() and name != "constant"
    ],
)
def test_a_name_in_lower_case_is_what_the_string_is(name):
    assert type(keras.initializers.get(name)) is getattr(initializers, name)


@pytest.mark.parametrize("name", ["class_prior", "keras_winit>ClassPrior"])
def test_what_a_string_cannot_know_has_none(name):
    with pytest.raises(ValueError, match="Could not interpret|which a string cannot tell"):
        keras.layers.Dense(3, bias_initializer=name)
    assert not hasattr(initializers, "class_prior")


@pytest.mark.parametrize("name", ["identity", "orthogonal", "Identity", "Orthogonal"])
def test_the_names_of_keras_remain_those_of_keras(name):
    initializer = keras.initializers.get(name)
    assert type(initializer) is getattr(keras.initializers, name.capitalize())
    assert type(keras.layers.LSTM(3).cell.recurrent_initializer) is keras.initializers.Orthogonal


@each_alias
def test_no_alias_is_a_name_of_keras(without_aliases, alias, cls):
    with pytest.raises(ValueError, match=f"Could not interpret initializer .*{alias}"):
        keras.initializers.get(alias)


def test_an_alias_that_keras_has_itself_is_left_to_keras(without_aliases, monkeypatch):
    monkeypatch.setitem(_aliases.ALIASES, "he_normal", initializers.Sparse)
    assert "he_normal" not in keras_winit.register_aliases()
    assert type(keras.initializers.get("he_normal")) is keras.initializers.HeNormal


@pytest.mark.parametrize("theirs", [keras.initializers.Zeros, keras.layers.Dense])
def test_a_name_that_someone_else_registered_is_left_to_them(without_aliases, theirs):
    without_aliases["sparse"] = theirs
    try:
        assert keras_winit.register_aliases() == sorted(ALL.keys() - {"sparse"})
        assert without_aliases["sparse"] is theirs
        keras_winit.unregister_aliases()
        assert without_aliases["sparse"] is theirs
    finally:
        del without_aliases["sparse"]


@each_alias
def test_registered_names_work_without_aliases(without_aliases, alias, cls):
    assert not ALL.keys() & without_aliases.keys()
    assert type(keras.initializers.get(f"keras_winit>{cls.__name__}")) is cls


def test_registering_again_brings_the_aliases_back(without_aliases):
    assert keras_winit.register_aliases() == sorted(ALL)
    assert keras_winit.register_aliases() == sorted(ALL)
    assert {alias: without_aliases[alias] for alias in ALL} == ALL


@each_alias
def test_a_saved_config_holds_the_registered_name_and_no_alias(alias, cls):
    layer = keras.layers.Conv2D(4, 3, kernel_initializer=alias, name="layer")
    config = layer.get_config()
    assert config["kernel_initializer"]["registered_name"] == f"keras_winit>{cls.__name__}"
    assert f'"{alias}"' not in json.dumps(config)


# Variances of torch's documentation, for fan_in and fan_out.
TORCH = {
    "kaiming_normal": lambda fan_in, fan_out: 2 / fan_in,
    "kaiming_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "xavier_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "xavier_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
}


@pytest.mark.parametrize("name", TORCH)
def test_names_of_torch_draw_its_variance_and_are_saved_as_those_of_keras(name, tmp_path):
    layer = keras.layers.Dense(900, kernel_initializer=name, name="wide")
    model = keras.Sequential([keras.Input((300,)), layer])
    variance = keras.ops.convert_to_numpy(layer.kernel).var()
    # The error of a variance of n uniform or normal values is at most sqrt(2 / n) of it.
    assert abs(variance / TORCH[name](300, 900) - 1) < 4 * (2 / (300 * 900)) ** 0.5
    config = layer.get_config()["kernel_initializer"]
    assert (config["module"], config["registered_name"]) == ("keras.initializers", None)
    assert name not in model.to_json()
    entry = keras_winit.catalogue()[name]
    assert entry.initializer is type(layer.kernel_initializer)
    assert name in keras_winit.catalogue()
    assert name not in keras_winit.catalogue()[:2]


def test_names_of_torch_go_wherever_names_go():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, name="last")])
    assert keras_winit.initialize(model, "kaiming_uniform").rows[0].initializer == "HeUniform()"
    plan = keras_winit.suggest(model)
    plan["last"] = "xavier_normal"
    assert type(plan["last/kernel"]) is keras.initializers.GlorotNormal
    for wrong in ("kaiming_normal_", "kaimingnormal"):
        with pytest.raises(ValueError, match="Did you mean 'kaiming_normal'"):
            keras_winit.initialize(model, wrong)


@keras.saving.register_keras_serializable("keras_winit_tests")
class Masked(keras.layers.Layer):
    """A layer that is called with a string."""

    def call(self, x, how="dense"):
        assert isinstance(how, str), how
        return x * (2.0 if how == "sparse" else 1.0)


def test_without_aliases_a_string_call_argument_survives_loading(without_aliases):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Masked()(inputs, how="sparse"))
    loaded = keras.models.model_from_json(model.to_json())
    assert keras.ops.convert_to_numpy(loaded(keras.ops.ones((1, 3)))).tolist() == [[2.0] * 3]
    # With them Keras replaces the string by the class, which is why they can be removed.
    keras_winit.register_aliases()
    with pytest.raises(Exception, match="Sparse"):
        keras.models.model_from_json(model.to_json())
