"""What every initializer of the package keeps, run over all of them.

`golden/initializers.json` holds draws of each: the SHA-256 of the float32 bytes, or some of the
values where matrix products are involved. They must hold on every backend and processor.
`PYTHONPATH=tests python tests/initializers/test_contract.py` adds those of a new class.
"""

import copy
import functools
import hashlib
import json
import pickle
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from models import CATALOGUE, RANDOM, arguments, away_from_default
from sampling import draw

from keras_winit import initializers

SHAPE = (3, 3, 6, 4)
LARGE = (3, 50, 700)

GOLDEN = Path(__file__).parents[1] / "golden" / "initializers.json"

scaled = functools.partial(initializers.ActivationScaling, "gelu", 0.5, "fan_avg", seed=3)
DRAWS = {
    "ActivationScaling, truncated normal": (scaled("truncated_normal"), LARGE),
    "ActivationScaling, normal": (scaled("untruncated_normal"), LARGE),
    "ActivationScaling, uniform": (scaled("uniform"), LARGE),
    "BilinearUpsampling": (initializers.BilinearUpsampling(), (4, 5, 3, 2)),
    "ConvolutionOrthogonal": (
        initializers.ConvolutionOrthogonal(gain=0.5, groups=2, seed=3),
        SHAPE,
    ),
    "DeltaOrthogonal": (initializers.DeltaOrthogonal(gain=0.5, groups=2, seed=3), SHAPE),
    "FourierFeatures": (initializers.FourierFeatures(seed=3), LARGE),
    "ICNR": (initializers.ICNR(2, "glorot_uniform", seed=3), SHAPE),
    "Identity": (initializers.Identity(gain=0.5, groups=2), SHAPE),
    "LooksLinear": (initializers.LooksLinear(gain=0.5, seed=3), SHAPE),
    "Mirrored": (initializers.Mirrored("he_normal", input_blocks=2, seed=3), (3, 3, 6, 5)),
    "NormalizedPositiveDefinite": (initializers.NormalizedPositiveDefinite(seed=3), (50, 70)),
    "Orthogonal": (initializers.Orthogonal(gain=0.5, seed=3), SHAPE),
    "Orthogonal, batch": (
        initializers.Orthogonal(seed=3, input_axes=[0], output_axes=[2]),
        (90, 2, 70),
    ),
    "Orthogonal, fan_in": (initializers.Orthogonal(seed=3, mode="fan_in"), (40, 90)),
    "PerGate": (initializers.PerGate("he_normal", 2, seed=3), SHAPE),
    "PerGate, orthogonal": (initializers.PerGate(gates=3, seed=3), (50, 90)),
    "Rotation": (initializers.Rotation(seed=3), (3, 50, 50)),
    "Siren": (initializers.Siren(seed=3), LARGE),
    "Siren, first": (initializers.Siren(first=True, seed=3), LARGE),
    "Sparse, few": (initializers.Sparse(connections=15, seed=3), LARGE),
    "Sparse, many": (initializers.Sparse(0.25, gain=0.5, seed=-(2**80)), SHAPE),
}
_DRAWN = {type(initializer) for initializer, _ in DRAWS.values()}
DRAWS |= {
    cls.__name__: (cls(**away_from_default(cls, axes=False)), SHAPE)
    for cls in CATALOGUE
    if cls not in _DRAWN
}
MATRIX_PRODUCTS = (  # or sines
    "ConvolutionOrthogonal",
    "DeltaOrthogonal",
    "LooksLinear",
    "NormalizedPositiveDefinite",
    "Orthogonal",
    "Orthogonal, batch",
    "Orthogonal, fan_in",
    "PerGate, orthogonal",
    "Rotation",
)

# JAX has no float64 unless it is told so before it starts.
DTYPES = ("float32", "bfloat16", "float16") + ("float64",) * (keras.backend.backend() != "jax")

# What a number may not be; for the others, zero and less.
OUT_OF_RANGE = {
    ("Identity", "gain"): [0.0],
    ("Rotation", "max_angle"): [0.0, -0.5, 3.15],
    ("Sparse", "sparsity"): [-0.5, 1.0],
}


def seeded(cls, **kwargs):
    """Returns an initializer that draws the same each time this is called."""
    seed = {"seed": 3} if cls in RANDOM else {}
    return cls(**{**seed, **kwargs})


def cases(kind):
    """Returns every (class, argument) that takes a number of this kind, but for seeds."""
    return [
        (cls, name)
        for cls in CATALOGUE
        for name, value in away_from_default(cls).items()
        if type(value) is kind and name != "seed"
    ]


each_class = pytest.mark.parametrize("cls", CATALOGUE)
each_random_class = pytest.mark.parametrize("cls", RANDOM)
each_float = pytest.mark.parametrize(("cls", "name"), cases(float))
each_integer = pytest.mark.parametrize(("cls", "name"), cases(int))
each_axes = pytest.mark.parametrize("name", ["input_axes", "output_axes"])


def test_catalogue_holds_the_classes_of_the_package():
    names = {cls.__name__ for cls in CATALOGUE}
    assert names >= {"ActivationScaling", "DeltaOrthogonal", "Identity", "Orthogonal", "Sparse"}


# Drawing


@each_class
@pytest.mark.parametrize("dtype", DTYPES)
def test_draw_has_the_shape_and_dtype_and_is_finite(cls, dtype):
    values = cls()(SHAPE, dtype=dtype)
    assert tuple(values.shape) == SHAPE
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    assert np.isfinite(draw(cls(), SHAPE, dtype)).all()


@each_class
@pytest.mark.parametrize("shape", [list(SHAPE), np.array(SHAPE)])
def test_a_shape_may_be_any_sequence_of_integers(cls, shape):
    np.testing.assert_array_equal(draw(seeded(cls), shape), draw(seeded(cls), SHAPE))


@each_class
def test_dtype_is_floatx_when_none_is_given(cls):
    keras.config.set_floatx("float16")
    try:
        assert keras.backend.standardize_dtype(cls()(SHAPE).dtype) == "float16"
    finally:
        keras.config.set_floatx("float32")


@each_class
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_holds_the_float32_draw_rounded(cls, dtype):
    expected = keras.ops.cast(keras.ops.cast(seeded(cls)(SHAPE), dtype), "float32")
    values = draw(seeded(cls), SHAPE, dtype)
    # In float64 a matrix product has other last bits.
    tolerance = 1e-6 if dtype == "float64" else 0
    np.testing.assert_allclose(values, keras.ops.convert_to_numpy(expected), 0, tolerance)


@pytest.mark.parametrize("name", DRAWS)
def test_values_are_those_checked_in(name):
    expected = json.loads(GOLDEN.read_text())[name]
    if name in MATRIX_PRODUCTS:
        np.testing.assert_allclose(fingerprint(name), expected, rtol=0, atol=1e-6)
    else:
        assert fingerprint(name) == expected


def fingerprint(name):
    """Returns the digest of all values, or up to 50 of them that are not zero."""
    values = draw(*DRAWS[name])
    if name not in MATRIX_PRODUCTS:
        return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
    values = values[values != 0].astype("float64")
    some = np.linspace(0, values.size - 1, min(values.size, 50), dtype=int)
    return values[some].round(8).tolist()


@each_class
def test_every_argument_matters(cls):
    default = draw(seeded(cls), SHAPE)
    changes = [{name: value} for name, value in away_from_default(cls, axes=False).items()]
    changes.append({"input_axes": [0, 2], "output_axes": [0, 1, 3]})
    for change in changes:
        if "gains" in change:
            change["gates"] = len(change["gains"])
        values = draw(seeded(cls, **change), SHAPE)
        assert not np.array_equal(values, default), change


# Seeds


@each_random_class
def test_a_seed_decides_the_values(cls):
    values = draw(cls(seed=3), SHAPE)
    np.testing.assert_array_equal(draw(cls(seed=3), SHAPE), values)
    assert not np.array_equal(draw(cls(seed=4), SHAPE), values)


@each_random_class
def test_unseeded_instances_differ_and_each_repeats_itself(cls):
    initializer = cls()
    values = draw(initializer, SHAPE)
    np.testing.assert_array_equal(draw(initializer, SHAPE), values)
    assert not np.array_equal(draw(cls(), SHAPE), values)
    assert initializer.get_config().get("seed") is None


@each_random_class
def test_set_random_seed_governs_unseeded_instances(cls):
    keras.utils.set_random_seed(5)
    values = draw(cls(), SHAPE)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(draw(cls(), SHAPE), values)


@each_random_class
@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7)])
def test_a_numpy_integer_is_the_same_seed(cls, seed):
    np.testing.assert_array_equal(draw(cls(seed=seed), SHAPE), draw(cls(seed=7), SHAPE))
    assert json.loads(json.dumps(cls(seed=seed).get_config()))["seed"] == 7


@each_random_class
def test_negative_and_huge_integers_are_seeds_of_their_own(cls):
    seeds = (0, 1, -1, 2**32 + 1, 2**64 + 1, -(2**80))
    draws = {draw(cls(seed=seed), SHAPE).tobytes() for seed in seeds}
    assert len(draws) == len(seeds)
    np.testing.assert_array_equal(draw(cls(seed=2**80), SHAPE), draw(cls(seed=2**80), SHAPE))


@each_random_class
def test_a_seed_generator_gives_fresh_values_that_can_be_repeated(cls):
    initializer = cls(seed=keras.random.SeedGenerator(5))
    first, second = draw(initializer, SHAPE), draw(initializer, SHAPE)
    assert not np.array_equal(first, second)
    config = json.loads(json.dumps(initializer.get_config()))
    again = cls(seed=keras.random.SeedGenerator(5))
    for repeated in (again, cls.from_config(config), copy.deepcopy(initializer)):
        np.testing.assert_array_equal(draw(repeated, SHAPE), first)
        np.testing.assert_array_equal(draw(repeated, SHAPE), second)
    assert not np.array_equal(draw(cls(seed=keras.random.SeedGenerator(6)), SHAPE), first)


@each_random_class
def test_initializers_that_share_a_seed_generator_differ(cls):
    generator = keras.random.SeedGenerator(5)
    first = draw(cls(seed=generator), SHAPE)
    assert not np.array_equal(draw(cls(seed=generator), SHAPE), first)


# Configs, names and copies


@each_class
def test_every_argument_is_an_attribute_and_returns_from_the_config(cls):
    expected = away_from_default(cls)
    initializer = cls(**expected)
    assert {name: getattr(initializer, name) for name in expected} == expected
    config = initializer.get_config()
    assert config == expected
    loaded = cls.from_config(json.loads(json.dumps(config)))
    assert loaded.get_config() == config
    np.testing.assert_array_equal(draw(loaded, SHAPE), draw(initializer, SHAPE))


@each_class
def test_config_of_the_defaults_gives_the_defaults(cls):
    config = json.loads(json.dumps(cls().get_config()))
    loaded = cls.from_config(config)
    assert loaded.get_config() == config
    for name, parameter in arguments(cls).items():
        if name != "seed":
            assert getattr(loaded, name) == parameter.default


@each_class
def test_unknown_entries_of_a_config_are_ignored_with_a_warning(cls):
    config = seeded(cls).get_config()
    with pytest.warns(UserWarning, match=rf"ignores \['from_later'\].* {cls.__name__}"):
        loaded = cls.from_config({**config, "from_later": 1})
    assert loaded.get_config() == config


@each_class
def test_registered_name_and_class_are_found_by_keras(cls):
    name = f"keras_winit>{cls.__name__}"
    assert keras.saving.get_registered_name(cls) == name
    assert type(keras.initializers.get(name)) is cls
    assert type(keras.initializers.get(cls)) is cls
    serialized = keras.initializers.serialize(cls(**away_from_default(cls)))
    loaded = keras.initializers.deserialize(json.loads(json.dumps(serialized)))
    assert type(loaded) is cls
    assert loaded.get_config() == away_from_default(cls)


@each_class
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_draw_what_the_original_draws(cls, copied):
    for initializer in (cls(), cls(**away_from_default(cls))):
        duplicate = copied(initializer)
        assert type(duplicate) is cls
        assert duplicate.get_config() == initializer.get_config()
        np.testing.assert_array_equal(draw(duplicate, SHAPE), draw(initializer, SHAPE))


@each_random_class
def test_a_clone_is_new_unless_seeded(cls):
    unseeded, fixed = cls(), cls(seed=3)
    assert not np.array_equal(draw(unseeded.clone(), SHAPE), draw(unseeded, SHAPE))
    np.testing.assert_array_equal(draw(fixed.clone(), SHAPE), draw(fixed, SHAPE))


@each_class
def test_repr_is_the_call_that_makes_it(cls):
    initializer = cls(**away_from_default(cls))
    again = eval(repr(initializer), {cls.__name__: cls})
    assert again.get_config() == initializer.get_config()


# Arguments


@each_float
def test_numpy_numbers_become_plain_floats(cls, name):
    initializer = seeded(cls, **{name: np.float32(0.5)})
    assert type(getattr(initializer, name)) is float
    assert json.loads(json.dumps(initializer.get_config()))[name] == 0.5


@each_integer
def test_numpy_integers_become_plain_integers(cls, name):
    initializer = seeded(cls, **{name: np.int32(2)})
    assert type(getattr(initializer, name)) is int
    assert json.loads(json.dumps(initializer.get_config()))[name] == 2


@each_random_class
@pytest.mark.parametrize("seed", [True, 1.0, "1", np.float64(1), [1]])
def test_a_seed_of_another_type_is_refused(cls, seed):
    message = f"`seed` should be an integer.* Received: seed={re.escape(repr(seed))}"
    with pytest.raises(TypeError, match=message):
        cls(seed=seed)


@each_float
@pytest.mark.parametrize("value", ["0.5", True, None, [0.5], 1j])
def test_a_number_of_another_type_is_refused(cls, name, value):
    message = rf"`{name}` should be a .*number\. Received: {name}={re.escape(repr(value))}"
    with pytest.raises(TypeError, match=message):
        cls(**{name: value})


@each_float
@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_a_number_that_is_not_finite_is_refused(cls, name, value):
    message = rf"`{name}` should be a .*finite number\. Received: {name}={re.escape(repr(value))}"
    with pytest.raises(ValueError, match=message):
        cls(**{name: value})


@each_float
def test_a_number_out_of_range_is_refused(cls, name):
    for value in OUT_OF_RANGE.get((cls.__name__, name), [0.0, -0.5]):
        with pytest.raises(ValueError, match=rf"`{name}` should .* Received: {name}={value:g}"):
            cls(**{name: value})


@each_integer
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_a_count_should_be_a_positive_integer(cls, name, value, error):
    message = f"`{name}` should be an integer of at least 1. Received: {name}={value}"
    with pytest.raises(error, match=message):
        cls(**{name: value})


# Shapes, types and axes


@each_class
@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_a_type_without_fractions_is_refused(cls, dtype):
    message = f"^{cls.__name__}: `dtype` should be a floating-point type. Received: .*{dtype}"
    with pytest.raises(ValueError, match=message):
        cls()(SHAPE, dtype=dtype)


@each_class
@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((), ValueError),
        ((4,), ValueError),
        ((3, 3, 0, 4), ValueError),
        ((3, 3, -6, 4), ValueError),
        ((3, 3, None, 4), ValueError),
        ((3, 3, 6.0, 4), ValueError),
        (5, TypeError),
        (None, TypeError),
    ],
)
def test_a_shape_that_is_no_kernel_is_refused(cls, shape, error):
    with pytest.raises(
        error, match=rf"^{cls.__name__}: .* Received: shape={re.escape(str(shape))}"
    ):
        cls()(shape)


@each_class
@each_axes
def test_one_list_of_axes_alone_is_refused(cls, name):
    with pytest.raises(ValueError, match=rf"given together or not at all.* {name}=\[0\]"):
        cls(**{name: [0]})


@each_class
@each_axes
@pytest.mark.parametrize(
    ("axes", "error"),
    [([0, 0], ValueError), (2, TypeError), ([0.0], TypeError), ([True], TypeError)],
)
def test_axes_that_are_no_list_of_distinct_integers_are_refused(cls, name, axes, error):
    message = f"`{name}` should be a list of integers.* Received: {name}={re.escape(str(axes))}"
    with pytest.raises(error, match=message):
        cls(**{"input_axes": [1], "output_axes": [2], name: axes})


@each_class
@each_axes
@pytest.mark.parametrize("axis", [4, -5])
def test_an_axis_that_the_kernel_lacks_is_refused(cls, name, axis):
    initializer = cls(**{"input_axes": [2], "output_axes": [3], name: [0, axis]})
    message = (
        rf"^{cls.__name__}: `{name}` should be .* axes between -4 and 3 .*{name}=\[0, {axis}\]"
    )
    with pytest.raises(ValueError, match=message):
        initializer(SHAPE)


@each_class
def test_axes_may_be_counted_from_the_end(cls):
    from_the_end = seeded(cls, input_axes=[0, 1, -2], output_axes=(0, 1, -1))
    np.testing.assert_array_equal(draw(from_the_end, SHAPE), draw(seeded(cls), SHAPE))


if __name__ == "__main__":
    kept = json.loads(GOLDEN.read_text())
    added = {name: fingerprint(name) for name in DRAWS if name not in kept}
    GOLDEN.write_text(json.dumps({**kept, **added}, indent=0) + "\n")
