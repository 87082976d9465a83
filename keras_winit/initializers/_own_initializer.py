"""What all initializers of this package share: seeds, dtypes, configs, errors."""

import functools
import inspect
import itertools
import numbers
import warnings
import weakref
from collections.abc import Iterable
from typing import Any, Self

import keras
import numpy as np

from keras_winit import _backends, _checks

# For each seed generator, the seeds it gives one after the other. Kept on the side: its own
# state can be neither read nor changed while a function is being traced.
_seeds_of_generators = weakref.WeakKeyDictionary()


class OwnInitializer:
    """Mixin of `keras.Initializer`: draws in NumPy, the same on every backend, and casts last.

    A subclass keeps its arguments as attributes of the same names, its seed as `seed` and
    `_config_seed`, and defines `_values`.
    """

    seed: Any = None
    _config_seed: Any

    # Keras looks for `layout` by name, and then does not itself shard what comes back.
    def __call__(self, shape: Iterable[int], dtype: Any = None, layout: Any = None) -> Any:
        name = type(self).__name__
        dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        if "float" not in dtype:
            raise ValueError(
                f"{name}: `dtype` should be a floating-point type. Received: dtype={dtype!r}. "
                "Draw floats, then cast or quantize them."
            )
        try:
            shape = _checks.shape(shape)
            drawn = np.float64 if dtype == "float64" else np.float32
            seed = self._next_seed()
            if layout is not None:
                parts = self._parts(shape, drawn, seed)
                return _backends.sharded(parts, shape, dtype, layout)
            values = self._values(shape, drawn, seed)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error
        return keras.ops.cast(_backends.tensor(values), dtype)

    def _values(self, shape, dtype, seed):
        """Returns what to start with as a NumPy array, float32 or `dtype`."""
        raise NotImplementedError

    def _parts(self, shape, dtype, seed):
        """Returns a function that takes a slice for each axis and returns that part."""
        return self._values(shape, dtype, seed).__getitem__

    def to_keras(self) -> keras.Initializer:
        """Returns an initializer of Keras, unseeded, that comes nearest.

        For biases zeros: Keras has none with a value for each unit.
        """
        return keras.initializers.Zeros()

    def _next_seed(self):
        """Returns what to draw with: always the same, unless a generator was given."""
        if isinstance(self.seed, keras.random.SeedGenerator):
            return next(_seeds_of_generators[self.seed])
        return self.seed

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of `__init__` as plain JSON types."""
        config = {name: getattr(self, name) for name in parameters(type(self))}
        if "seed" in config:
            config["seed"] = keras.saving.serialize_keras_object(self._config_seed)
        return config

    def _changed(self, config):
        """Returns the entries of `config` that are not at their default."""
        defaults = parameters(type(self))
        return {name: value for name, value in config.items() if value != defaults[name].default}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns an initializer of these arguments; unknown ones are ignored with a warning."""
        known = {name: value for name, value in config.items() if name in parameters(cls)}
        # EinsumDense gives a seed to every `VarianceScaling`, whether it draws or not.
        unknown = sorted(config.keys() - known.keys() - {"seed"})
        if unknown:
            warnings.warn(
                f"This version of keras_winit ignores {unknown} in the config of a "
                f"{cls.__name__}: it does not know them.",
                stacklevel=2,
            )
        return cls(**known)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the config, since a seed generator cannot be pickled. What was drawn for
        # `seed=None` goes along: a copy draws what the original draws.
        seed = None if isinstance(self.seed, keras.random.SeedGenerator) else self.seed
        return _rebuild, (type(self), self.get_config(), seed)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def _rebuild(cls, config, seed):
    initializer = cls.from_config(config)
    if seed is not None:
        initializer.seed = seed
    return initializer


@functools.cache
def parameters(cls):
    """Returns the parameters of a constructor by name."""
    return inspect.signature(cls).parameters


def check_seed(seed):
    """Returns an int, a seed generator or None, or raises."""
    if isinstance(seed, dict):
        seed = keras.saving.deserialize_keras_object(seed)
    if isinstance(seed, keras.random.SeedGenerator):
        if seed not in _seeds_of_generators:
            start = int(keras.ops.convert_to_numpy(seed.state)[0])
            _seeds_of_generators[seed] = (f"{start}/{draw}" for draw in itertools.count())
    elif isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
        seed = int(seed)
    elif seed is not None:
        raise TypeError(
            "`seed` should be an integer, a `keras.random.SeedGenerator` or None. "
            f"Received: seed={seed!r}."
        )
    return seed
