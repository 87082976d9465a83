"""The loss of one output beside its labels, and what it would be at constant outputs."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_winit import _backends
from keras_winit._network import snake_case
from keras_winit._show.result import Part

ops = keras.ops

_CLASSIFICATION = ("sparse_categorical_crossentropy", "categorical_crossentropy")
_REGRESSION = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
_MOST_TARGETS = 1024
_MEAN = "sum_over_batch_size"
# Samples for each class from which the frequencies of the classes can be read.
_SAMPLES_PER_CLASS = 5
# Labels whose order is no chance.
_FEWEST_PAIRS = 8
# Of targets, over their root mean square.
_SMALL = 0.05
# Labels of which it is neither chance nor a choice that all are the same.
_FEWEST_LABELS = 32


@dataclass(frozen=True, kw_only=True, repr=False)
class LossSignal(Part):
    """The loss before training, and what it would be at two constant outputs.

    Of several outputs together only the name, the value and what follows training are known.

    Attributes:
        name: Of the loss.
        value: On the batch, without regularization.
        uniform: Where all classes are equally likely, or the output is zero; or `None`.
        best: At the best constant output: the entropy of the labels, or their variance.
        prior: That constant, a probability per class or a mean per output.
        from_logits: Whether the loss takes logits, `None` where it takes no probabilities.
        targets: Up to 1024 of the targets of a regression, or `None`.
        repeated: Outputs that each label is compared with, where it is a number of a class, or
            where a loss of the user's broadcasts.
        num_labels: Number of samples whose labels were given: more than are run, it may be.
        is_constant: Whether 32 or more labels were given and all are the same.
        not_one_hot: Fraction of the labels, from 0 to 1, that are of no class or of several, where
            the loss expects one.
        near_zero: Of a loss of percentages, whose targets lie on both sides of zero or on it: the
            share, from 0 to 1, of those that are smaller than a twentieth of their root mean
            square, in what it multiplies errors by, one over the target.
        label_smoothing: Share, from 0 to 1, of each label that is given to all classes alike.
        at_labels: Where the outputs are the labels; of a loss of the user's, whose labels have the
            shape of the outputs, else `None`.
        off_labels: Where they are not: the most of its value before training, and of those where
            the labels are others.
        is_weightless: Whether all weights of samples, or of outputs, are zero.
        regularization: What the layers add to the loss.
        after_step: The loss after the first step of the compiled optimizer, on the same batch;
            `None` where it is not known.
        output: Name of the output that it is of, `None` where that is the only one, or for all.
    """

    name: str
    value: float
    uniform: float | None = None
    best: float | None = None
    prior: tuple[float, ...] | None = field(default=None, repr=False)
    from_logits: bool | None = None
    targets: tuple[float, ...] | None = field(default=None, repr=False)
    repeated: int = 1
    num_labels: int = 0
    is_constant: bool = False
    not_one_hot: float = 0.0
    near_zero: float = 0.0
    label_smoothing: float = 0.0
    at_labels: float | None = None
    off_labels: float | None = None
    is_weightless: bool = False
    regularization: float = 0.0
    after_step: float | None = None
    output: str | None = None


@dataclass(frozen=True)
class OutputLoss:
    """A loss and the labels of one output.

    Attributes:
        loss: A loss of Keras, or a function.
        labels: All labels that were given, an array.
        is_weighted: Whether samples have weights, or some are left out by a mask.
        output: Name of the output, `None` where it is the only one.
    """

    loss: Any
    labels: np.ndarray
    is_weighted: bool = False
    output: str | None = None

    @property
    def name(self):
        return name_of(self.loss)

    @property
    def from_logits(self):
        """Whether the loss takes logits; `None` where it takes no probabilities."""
        return bool(self._given("from_logits")) if self._is_crossentropy else None

    @property
    def label_smoothing(self):
        """Share of each label that is given to all classes alike."""
        return float(self._given("label_smoothing") or 0.0) if self._is_crossentropy else 0.0

    @property
    def _is_crossentropy(self):
        return self.name.endswith("crossentropy")

    def _given(self, argument):
        """Returns what a loss of a class was made with, `None` where it has no such argument."""
        has_config = isinstance(self.loss, keras.losses.Loss)
        return self.loss.get_config().get(argument) if has_config else None

    def check(self, shape):
        """Raises if there are labels that an output of this shape has no place for."""
        y, are_classes = self.labels, self.name == _CLASSIFICATION[0]
        if are_classes:
            most, y = shape[-1] - 1, self._classes()
            expected = f"integers from 0 to {most}, as the model has {most + 1} outputs"
        elif self.name == "binary_crossentropy":
            most, expected = 1, "numbers from 0 to 1"
        else:
            return
        wrong = y
        if y.dtype.kind in "biuf":
            is_whole = y == np.round(y) if are_classes else True  # Keras takes what is below
            wrong = y[(y < 0) | (y > most) | np.logical_not(is_whole)]
        if wrong.size:
            place = "" if self.output is None else f" for output {self.output!r}"
            raise ValueError(
                f"`y` should hold {expected}{place}. "
                f"Received: the value {wrong.ravel()[0].item()!r} among {y.size} labels."
            )

    def _classes(self):
        """Returns the labels without those that the loss ignores."""
        ignored = getattr(self.loss, "ignore_class", None)
        return self.labels if ignored is None else self.labels[self.labels != ignored]

    def value(self, y, output):
        """Returns the loss of a batch, a number, without weights of samples."""
        is_function = not isinstance(self.loss, keras.losses.Loss)
        if is_function and (*y.shape, 1) == tuple(output.shape):  # to which Keras gives a column
            y = y.reshape(output.shape)
        with _backends.without_gradient():
            value = ops.mean(self.loss(ops.convert_to_tensor(y), output))
        return float(ops.convert_to_numpy(ops.cast(value, "float32")))

    def signal(self, value, y, output, **others):
        """Returns the `LossSignal` of an output, with its value for a batch of labels `y`."""
        uniform, best, prior = self._expected(output.shape)
        of_labels = self._of_labels(output.shape)
        if self._pairs(y, output):
            of_labels["repeated"] = len(y)
        of_labels["at_labels"], of_labels["off_labels"] = self._beside_labels(y, output)
        return LossSignal(
            name=self.name,
            value=value,
            uniform=uniform,
            best=best,
            prior=prior,
            from_logits=self.from_logits,
            output=self.output,
            **of_labels,
            **others,
        )

    def _beside_labels(self, y, output):
        """Returns the loss of outputs that are the labels, and of such as are not; or `None` twice.

        Others are one minus labels from 0 to 1, where the outputs are as well, and both what is far
        above and far below numbers. With them it is the labels that change and not the outputs, so
        that a loss that does not look at labels is the same.
        """
        if is_of_keras(self.loss) or y.shape != tuple(output.shape) or y.dtype.kind not in "fiub":
            return None, None
        numbers, labels = ops.convert_to_numpy(ops.cast(output, "float32")), y.astype("float32")
        if _are_shares(labels) and _are_shares(numbers):
            classes = labels.shape[-1]
            are_classes = classes > 1 and np.allclose(labels.sum(-1), 1)
            labels = 0.01 + 0.98 * labels  # a logarithm is taken of them
            others = [(1 - labels) / (classes - 1 if are_classes else 1)]
        else:
            distance = 100 * (labels.std() + 1)
            others = [labels - distance, labels + distance]
        found = [self._at(each, ops.convert_to_tensor(labels)) for each in (labels, *others)]
        return found[0], max(*found[1:], self.value(y, output))

    def _at(self, y, output):
        """Returns the `value`, NaN where the loss of a user's does not take such labels."""
        try:
            return self.value(y, output)
        except Exception:  # whatever its code raises
            return math.nan

    def _pairs(self, y, output):
        """Whether a loss of the user's compares each label of a batch with each of its outputs.

        That is what broadcasting makes of labels of shape (batch,) beside outputs of (batch, 1). It
        is then all the same which label belongs to which output.
        """
        is_column = tuple(output.shape) == (len(y), 1) and y.size == len(y)
        if is_of_keras(self.loss) or not is_column or len(y) < _FEWEST_PAIRS:
            return False
        found, more = self.value(y, output), y + math.ceil(y.std() + 1)
        orders = (y[::-1].copy(), np.roll(y, 1, axis=0))
        is_same = all(math.isclose(self._at(y, output), found, rel_tol=1e-5) for y in orders)
        return is_same and not math.isclose(self._at(more, output), found, rel_tol=1e-2)

    def _of_labels(self, shape):
        """Returns what a `LossSignal` holds of labels alone."""
        y = self.labels
        is_same = len(y) >= _FEWEST_LABELS and not (y[1:] != y[:1]).any()
        # A loss of the user's may ask for nothing of them.
        found = {"num_labels": len(y), "is_constant": is_same and is_of_keras(self.loss)}
        found["label_smoothing"] = self.label_smoothing
        if self.name in (_CLASSIFICATION[1], "binary_crossentropy", _REGRESSION[0]) and y.ndim > 1:
            found["not_one_hot"] = float((abs(y.sum(-1, dtype=float) - 1) > 0.01).mean())
        if self.name == "mean_absolute_percentage_error":
            found["near_zero"] = _near_zero(y)
        if self.name in _REGRESSION:
            flat = y.ravel()
            places = np.linspace(0, flat.size - 1, min(flat.size, _MOST_TARGETS)).astype(int)
            found["targets"] = tuple(flat[places].astype(float).tolist())
            found["repeated"] = _repeated(y, shape)
        return found

    def _expected(self, shape):
        """Returns the loss at even and at the best constant outputs, and the latter."""
        y = self.labels
        is_mean = getattr(self.loss, "reduction", _MEAN) == _MEAN
        if self.is_weighted or not is_mean:
            return None, None, None
        if self.name in _CLASSIFICATION:
            classes = shape[-1]
            if self.name == _CLASSIFICATION[0]:
                counts = np.bincount(self._classes().astype(int).ravel(), minlength=classes)
            else:
                counts = y.reshape(-1, classes).sum(0, dtype=float)
            even = math.log(classes)
            if counts.sum() < _SAMPLES_PER_CLASS * classes:
                return even, None, None
            prior = self._smoothed(counts / counts.sum(), classes)
            return even, -float(_x_log_x(prior).sum()), tuple(prior.tolist())
        if self.name == "binary_crossentropy":
            prior = self._smoothed(y.reshape(len(y), -1).mean(0, dtype=float), 2)
            if len(y) < 2 * _SAMPLES_PER_CLASS:
                return math.log(2), None, None
            entropy = -(_x_log_x(prior) + _x_log_x(1 - prior)).mean()
            return math.log(2), float(entropy), tuple(prior.tolist())
        if self.name == "mean_squared_error" and y.ndim <= 2 and len(y) > 1:
            flat = y.reshape(len(y), -1).astype(float)
            best = float(flat.var(0).mean())
            return float((flat**2).mean()), best, tuple(flat.mean(0).tolist())
        return None, None, None

    def _smoothed(self, prior, classes):
        """Returns frequencies of classes as the loss takes them."""
        return (1 - self.label_smoothing) * prior + self.label_smoothing / classes


def _near_zero(y):
    """Returns the share of small targets in a loss of percentages, 0 where all are of one sign."""
    size = abs(y.astype(float))
    if (y > 0).all() or (y < 0).all() or not size.any():
        return 0.0
    factors = 1 / np.maximum(size, keras.config.epsilon())
    small = size < _SMALL * math.sqrt((size**2).mean())
    return float(factors[small].sum() / factors.sum())


def _are_shares(values):
    return bool(((values >= 0) & (values <= 1)).all())


def _repeated(y, shape):
    """Returns how many outputs each label of one column is compared with, if it is a class.

    One of 0 and 1 may be meant for all, as in an ensemble.
    """
    outputs = shape[-1]
    if outputs < 2 or y.shape[1:] != (*shape[1:-1], 1):
        return 1
    are_classes = y.min() >= 0 and 1 < y.max() < outputs and (y == np.round(y)).all()
    return outputs if are_classes else 1


def is_of_keras(loss):
    """Whether Keras has brought a loss, which then compares outputs with labels."""
    is_class = isinstance(loss, keras.losses.Loss)
    module = type(loss).__module__ if is_class else getattr(loss, "__module__", None)
    return (module or "").partition(".")[0] == "keras"


def name_of(loss):
    """Returns the name of a loss, or of a function."""
    if isinstance(loss, keras.losses.Loss):
        return snake_case(type(loss).__name__)
    return getattr(loss, "__name__", None) or str(loss)


def _x_log_x(p):
    return p * np.log(np.where(p > 0, p, 1.0))
