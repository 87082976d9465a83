"""Output biases that start at what is known of the labels."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import keras
import numpy as np

from keras_winit import _checks
from keras_winit._references import LIN
from keras_winit.initializers._catalogue import register
from keras_winit.initializers._own_initializer import OwnInitializer

_SMALLEST = 1e-6


@register(
    alias=None,
    formula="log p for softmax, log(p / (1 - p)) for sigmoid, the mean for a linear output",
    when="output biases: imbalanced classes, targets far from zero; from_labels(y) computes it",
    reference=LIN,
)
class ClassPrior(OwnInitializer, keras.initializers.Initializer):
    """Biases with which the last layer starts at the frequencies of the classes.

    log p for a softmax, log(p / (1 - p)) for a sigmoid, the mean of the targets for a linear
    output. With small logits otherwise, the loss before training is then the entropy of the
    labels (the variance of the targets), instead of log(number of classes): the first epochs
    need not learn that a class is rare. `ClassPrior.from_labels(y)` computes it from labels.

    It has no string: that would be the same prior whatever the classes.

    Only the frequencies are kept and saved, never data.

    Args:
        probabilities: Number, or sequence of a number for each output: probabilities between 0
            and 1, which sum to 1 for a softmax; for a linear output means. Those below 1e-6
            count as 1e-6. Defaults to `0.01`, the prior of a rare class in focal loss.
        activation: One of `"softmax"`, `"sigmoid"`, `"linear"`: what is applied to the output,
            in the layer or in the loss. Defaults to `"sigmoid"`.

    Raises:
        ValueError: If a probability is not in its range, the activation is unknown, or a bias
            has another number of outputs.
        TypeError: If `probabilities` holds something else than numbers.

    Example:

    >>> prior = keras_winit.initializers.ClassPrior([0.9, 0.1], "softmax")
    >>> layer = keras.layers.Dense(2, "softmax", bias_initializer=prior)
    >>> output = layer(np.zeros((1, 5)))
    >>> [round(float(probability), 2) for probability in keras.ops.convert_to_numpy(output)[0]]
    [0.9, 0.1]

    Reference:

    - [Lin et al., 2017](https://arxiv.org/abs/1708.02002), section 4.1
    """

    def __init__(
        self,
        probabilities: float | Sequence[float] | np.ndarray = 0.01,
        activation: Literal["softmax", "sigmoid", "linear"] = "sigmoid",
    ) -> None:
        self.activation: str = _checks.option("activation", activation, ACTIVATIONS)
        if isinstance(probabilities, np.ndarray):
            probabilities = probabilities.tolist()
        is_one = not isinstance(probabilities, (list, tuple))
        values = (
            list(probabilities) if isinstance(probabilities, (list, tuple)) else [probabilities]
        )
        if not values:
            raise ValueError(
                "`probabilities` should hold a number for each output, at least one. "
                f"Received: probabilities={probabilities!r}."
            )
        values = [_checks.real("probabilities", value) for value in values]
        self.probabilities: float | list[float] = values[0] if is_one else values
        if activation != "linear" and not all(0 <= value <= 1 for value in values):
            raise ValueError(
                "`probabilities` should be between 0 and 1. "
                f"Received: probabilities={probabilities!r}."
            )
        if activation == "softmax" and not is_one and abs(sum(values) - 1) > 1e-3:
            raise ValueError(
                "`probabilities` should sum to 1 for a softmax. "
                f"Received: probabilities={probabilities!r}, which sum to {sum(values):.4g}. "
                'For labels that do not exclude each other use activation="sigmoid".'
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if "probabilities" not in config:
            raise ValueError(
                "`probabilities` should be those of the classes, which a string cannot tell. "
                "Received: none. Give `bias_initializer=ClassPrior.from_labels(y)`."
            )
        return super().from_config(config)

    @classmethod
    def from_labels(
        cls,
        y: Iterable[Any],
        activation: Literal["softmax", "sigmoid", "linear"] | None = None,
    ) -> Self:
        """Returns the prior of labels, for `bias_initializer=` of the last layer.

        A class without labels counts as if it had half of one.

        Args:
            y: Labels: integers of shape (samples,) or (samples, 1), one-hot rows, zeros and ones
                of shape (samples,) or (samples, labels), or real targets.
            activation: `"softmax"`, `"sigmoid"` or `"linear"`, what the last layer has. Defaults
                to `None`: integers above 1 and rows that sum to one are for a softmax, other
                zeros and ones for a sigmoid, other numbers for a linear output.

        Returns:
            `ClassPrior`.

        Raises:
            ValueError: If there are no labels, one is not finite, or they do not suit the
                activation.

        Example:

        >>> y = np.array([0, 0, 0, 2])
        >>> keras_winit.initializers.ClassPrior.from_labels(y).probabilities
        [0.6666666666666666, 0.1111111111111111, 0.2222222222222222]
        """
        try:
            y = np.asarray(y)
        except ValueError:  # NumPy's, for rows of different lengths
            y = np.empty(0, object)
        if not y.ndim or not y.size or y.dtype.kind not in "biuf" or not np.isfinite(y).all():
            raise ValueError(
                "`y` should be an array of finite numbers, at least one. "
                f"Received: y of shape {y.shape} and dtype {y.dtype}."
            )
        if y.shape[1:] == (1,):
            y = y[:, 0]
        y = y.astype(np.float64)
        if activation is None:
            activation = _activation_for(y)
        _checks.option("activation", activation, ACTIVATIONS)
        return cls(_FREQUENCIES[activation](y).tolist(), activation)

    def _values(self, shape, dtype, seed):
        if np.ndim(self.probabilities) and shape[-1:] != (len(self.probabilities),):
            raise ValueError(
                f"the bias should have {len(self.probabilities)} outputs, one for each of the "
                f"probabilities. Received: shape={shape}."
            )
        values = output_bias(self.probabilities, self.activation, _SMALLEST)
        return np.broadcast_to(values, shape).astype(dtype)


def output_bias(probabilities, activation, smallest):
    """Returns the biases with which an output starts at probabilities, or at means.

    Probabilities are kept `smallest` away from 0 and 1.
    """
    values = np.asarray(probabilities, np.float64)
    if activation == "linear":
        return values
    values = np.clip(values, smallest, 1 - smallest)
    return np.log(values if activation == "softmax" else values / (1 - values))


def class_prior(
    y: Iterable[Any], activation: Literal["softmax", "sigmoid", "linear"] | None = None
) -> ClassPrior:
    """Returns `ClassPrior.from_labels(y, activation)`.

    Args:
        y: Labels, as there.
        activation: As there. Defaults to `None`.

    Returns:
        `ClassPrior`.

    Example:

    >>> keras_winit.class_prior(np.array([0, 0, 0, 1])).probabilities
    0.25
    """
    return ClassPrior.from_labels(y, activation)


def _activation_for(y):
    if y.ndim == 1:
        if set(np.unique(y)) <= {0.0, 1.0}:
            return "sigmoid"
        return "linear" if (y % 1).any() or y.min() < 0 else "softmax"
    if not set(np.unique(y)) <= {0.0, 1.0}:
        return "linear"
    return "softmax" if (y.sum(-1) == 1).all() else "sigmoid"


def _frequencies_of_labels(y):
    if y.min() < 0 or y.max() > 1:
        raise ValueError(
            "`y` should be between 0 and 1 for a sigmoid. "
            f"Received: labels from {y.min():g} to {y.max():g}."
        )
    number = len(y)
    return np.clip(y.sum(0), 0.5, number - 0.5) / number


def _frequencies_of_classes(y):
    if y.ndim > 1:
        counts = y.reshape(-1, y.shape[-1]).sum(0)
    elif y.min() < 0 or (y % 1).any():
        raise ValueError(
            "`y` should hold integers from 0 on, or one-hot rows, for a softmax. "
            f"Received: labels from {y.min():g} to {y.max():g}."
        )
    else:
        counts = np.bincount(y.astype(np.int64))
    counts = np.maximum(counts, 0.5)
    return counts / counts.sum()


# What each activation of the last layer starts at.
_FREQUENCIES = {
    "softmax": _frequencies_of_classes,
    "sigmoid": _frequencies_of_labels,
    "linear": lambda y: y.mean(0),
}
ACTIVATIONS = tuple(_FREQUENCIES)
