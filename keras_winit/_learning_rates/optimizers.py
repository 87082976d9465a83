"""Keras's optimizers with a factor on the learning rate of each variable.

Each is a subclass that changes the rate which `update_step` is given, and nothing else: clipping,
accumulation, averages, weight decay, schedules and callbacks are those of Keras, by the one rate
that the optimizer has.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_winit import _keras_private
from keras_winit._network.weights import numbered

optimizers = keras.optimizers

# Of those whose step grows with the gradient, and of those whose step has the size of the rate.
BY_GRADIENT = (optimizers.SGD,)
BY_SIGN = (
    *(optimizers.Adam, optimizers.AdamW, optimizers.Adamax, optimizers.Nadam),
    *(optimizers.RMSprop, optimizers.Lion),
)


class Scaled(optimizers.Optimizer):
    """What is added to a class of optimizers: comes before it among the bases.

    Args:
        learning_rate_factors: Dictionary, from the path of each variable to the factor.
    """

    def __init__(
        self, *args: Any, learning_rate_factors: Mapping[str, float], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._given = tuple((path, float(each)) for path, each in learning_rate_factors.items())

    @property
    def learning_rate_factors(self) -> dict[str, float]:
        """Dictionary, from the path of each variable to what its learning rate is times."""
        return dict(self._given)

    def build(self, variables: Iterable[keras.Variable]) -> None:
        variables = list(variables)
        factors = self._factors_of([each.path for each in variables])
        super().build(variables)
        self._factors = factors

    def _factors_of(self, paths):
        """Returns the factors of variables in a tuple, by path, or by place as Keras reads files.

        A model that was loaded may give them other paths: without its own name in front, or with
        other numbers of layers that its code does not name.
        """
        paths, factors = numbered(paths), self.learning_rate_factors
        if all(path in factors for path in paths):
            return tuple(factors[path] for path in paths)
        names = [[_name(path) for path in each] for each in (paths, factors)]
        if names[0] == names[1]:
            return tuple(factors.values())
        unknown = [path for path in paths if path not in factors]
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(
            "The optimizer should be built for the variables that it has factors of the learning "
            f"rate for. Received: {unknown[0]!r}{more}, for which it has none. Scale the learning "
            "rates for this model, as it is trained now, by `keras_winit.scale_learning_rates`."
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self._factors[_keras_private.place_in(self, variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for files."""
        return {**super().get_config(), "learning_rate_factors": self.learning_rate_factors}


def _name(path):
    """Returns the name of a variable, without its layers."""
    return path.rpartition("/")[2].partition("#")[0]


def _scaled(cls):
    made = type(f"Scaled{cls.__name__}", (Scaled, cls), {"__module__": __name__})
    return keras.saving.register_keras_serializable("keras_winit")(made)


# Made when imported, so that files find them.
SCALED = {cls: _scaled(cls) for cls in (*BY_GRADIENT, *BY_SIGN)}


def kind_of(optimizer):
    """Returns the class of Keras that an optimizer is of, `None` where that is not known here.

    With torch, Keras makes one of a hidden subclass.
    """
    cls = next((each for each in type(optimizer).__mro__ if each in SCALED), None)
    is_of_keras = type(optimizer).__module__.partition(".")[0] == "keras"
    return cls if is_of_keras and type(optimizer).__name__ == getattr(cls, "__name__", "") else None
