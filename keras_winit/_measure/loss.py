"""What a backward pass starts from, and what a loss should be before training."""

import math
from dataclasses import dataclass, field

import keras
import numpy as np

from keras_winit import _backends, _checks
from keras_winit._network import snake_case
from keras_winit._random import distributions
from keras_winit._show.result import Part

ops = keras.ops

_CLASSIFICATION = ("sparse_categorical_crossentropy", "categorical_crossentropy")
_REGRESSION = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
_MOST_TARGETS = 1024
_MEAN = "sum_over_batch_size"
# Samples for each class from which the frequencies of the classes can be read.
_SAMPLES_PER_CLASS = 5
# Labels of which it is neither chance nor a choice that all are the same.
_FEWEST_LABELS = 32


@dataclass(frozen=True, kw_only=True, repr=False)
class LossSignal(Part):
    """The loss before training, and what it would be at two constant outputs.

    Attributes:
        name: Of the loss.
        value: On the batch, without regularization.
        uniform: Where all classes are equally likely, or the output is zero; or `None`.
        best: At the best constant output: the entropy of the labels, or their variance.
        prior: That constant, a probability per class or a mean per output.
        from_logits: Whether the loss takes logits, `None` where it takes no probabilities.
        targets: Up to 1024 of the targets of a regression, or `None`.
        repeated: Outputs that each label, a number of a class, is compared with.
        num_labels: Number of samples whose labels were given: more than are run, it may be.
        is_constant: Whether 32 or more labels were given and all are the same.
        not_one_hot: Fraction of the labels, from 0 to 1, that are of no class or of several, where
            the loss expects one.
        regularization: What the layers add to the loss.
        after_step: The loss after the first step of the compiled optimizer, on the same batch;
            `None` where it is not known.
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
    regularization: float = 0.0
    after_step: float | None = None


class Objective:
    """A scalar function of a model's outputs.

    Args:
        model: The model.
        loss: Loss, name or function; `None` for that of the compiled model, and where there are
            no labels for a random projection of the outputs.
        batch: The `Batch`.
    """

    def __init__(self, model, loss, batch):
        self.model, self.batch, self.value, self.added = model, batch, None, 0.0
        self.loss = None
        if batch.y is None:
            if loss is not None:
                raise ValueError(
                    f"`loss` should come with labels. Received: loss={loss!r} and y=None. "
                    "Give `y`, or leave the loss out."
                )
            return
        self.is_compiled = loss is None
        self.loss = _single(loss if loss is not None else getattr(model, "loss", None))
        if self.is_compiled and not getattr(model, "compiled", False):
            raise ValueError(
                f"`y` should come with a loss, and model {model.name!r} is not compiled. "
                "Give `loss`, or compile the model."
            )
        if not self.is_compiled and not callable(self.loss):
            raise TypeError(
                f"`loss` should be a loss, its name or a function. Received: loss={loss!r}."
            )

    def __call__(self, outputs):
        """Returns the scalar that gradients are taken of.

        Remembers the `value` of the loss and what layers have `added`: traced, with JAX.
        """
        if self.batch.y is None:
            return self._projection(outputs)
        y = keras.tree.map_structure(ops.convert_to_tensor, self.batch.y)
        weight = self.batch.sample_weight
        if weight is not None:
            weight = keras.tree.map_structure(ops.convert_to_tensor, weight)
        self._check_labels(outputs)
        try:
            if self.is_compiled:
                total = self.model.compute_loss(
                    x=self.batch.x, y=y, y_pred=outputs, sample_weight=weight, training=True
                )
                self.added = sum(ops.sum(each) for each in self.model.losses)
                self.value = total - self.added
                return total
            weights = {} if weight is None else {"sample_weight": weight}
            self.value = ops.mean(self.loss(y, outputs, **weights))
            return self.value
        except _backends.errors_of_shapes() as error:
            shapes = keras.tree.map_structure(lambda each: tuple(each.shape), outputs)
            labels = keras.tree.map_structure(np.shape, self.batch.y)
            raise ValueError(
                f"`y` should fit the loss {self.name!r} of outputs of shape {shapes}. "
                f"Received: y of shape {labels}: {_checks.first_line(error)}"
            ) from error

    @property
    def name(self):
        """Names of all losses; where there is none, what takes its place."""
        if self.batch.y is None:
            return "random projection of the outputs"
        return ", ".join(map(_name, keras.tree.flatten(self.loss))) or "losses of the layers"

    @property
    def from_logits(self):
        """Whether the loss takes logits; `None` where it takes no probabilities."""
        if not self.name.endswith("crossentropy"):
            return None
        has_config = isinstance(self.loss, keras.losses.Loss)
        return bool(has_config and self.loss.get_config().get("from_logits", False))

    def _projection(self, outputs):
        total = 0.0
        for number, output in enumerate(keras.tree.flatten(outputs)):
            direction = distributions.normal(tuple(output.shape), seed=number, purpose="projection")
            direction = ops.cast(ops.convert_to_tensor(direction), "float32")
            total += ops.sum(ops.cast(output, "float32") * direction)
        return total / math.sqrt(self.batch.size)

    def _check_labels(self, outputs):
        y = self.batch.labels
        if not isinstance(y, np.ndarray) or not ops.is_tensor(outputs):
            return
        if self.name == _CLASSIFICATION[0]:
            most, y = outputs.shape[-1] - 1, self._classes(y)
            expected = f"integers from 0 to {most}, as the model has {most + 1} outputs"
        elif self.name == "binary_crossentropy":
            most, expected = 1, "numbers from 0 to 1"
        else:
            return
        wrong = y[(y < 0) | (y > most)] if y.dtype.kind in "biuf" else y
        if wrong.size:
            raise ValueError(
                f"`y` should hold {expected}. "
                f"Received: {wrong.ravel()[0].item()!r} among {y.size} labels."
            )

    def _classes(self, y):
        """Returns the labels without those that the loss ignores."""
        ignored = getattr(self.loss, "ignore_class", None)
        return y if ignored is None else y[y != ignored]

    def signal(self, outputs, after_step=None):
        """Returns the `LossSignal`, `None` without labels; after a call, with concrete values."""
        if self.value is None:
            return None
        value = float(ops.convert_to_numpy(ops.cast(self.value, "float32")))
        expected, of_labels, labels = (None, None, None), {}, self.batch.labels
        if isinstance(labels, np.ndarray) and ops.is_tensor(outputs):
            expected = self._expected(labels, outputs.shape)
            of_labels = self._of_labels(labels, outputs.shape)
        uniform, best, prior = expected
        added = float(ops.convert_to_numpy(ops.cast(self.added, "float32")))
        return LossSignal(
            name=self.name,
            value=value,
            uniform=uniform,
            best=best,
            prior=prior,
            from_logits=self.from_logits,
            regularization=added,
            after_step=after_step,
            **of_labels,
        )

    def _of_labels(self, y, shape):
        """Returns what a `LossSignal` holds of labels alone."""
        found = {
            "num_labels": len(y),
            "is_constant": len(y) >= _FEWEST_LABELS and not (y[1:] != y[:1]).any(),
        }
        if self.name == _CLASSIFICATION[1]:
            found["not_one_hot"] = float((abs(y.sum(-1, dtype=float) - 1) > 0.01).mean())
        if self.name in _REGRESSION:
            flat = y.ravel()
            places = np.linspace(0, flat.size - 1, min(flat.size, _MOST_TARGETS)).astype(int)
            found["targets"] = tuple(flat[places].astype(float).tolist())
            found["repeated"] = _repeated(y, shape)
        return found

    def _expected(self, y, shape):
        """Returns the loss at even and at the best constant outputs, and the latter."""
        is_mean = getattr(self.loss, "reduction", _MEAN) == _MEAN
        if self.batch.sample_weight is not None or not is_mean:
            return None, None, None
        if self.name in _CLASSIFICATION:
            classes = shape[-1]
            if self.name == _CLASSIFICATION[0]:
                counts = np.bincount(self._classes(y).astype(int).ravel(), minlength=classes)
            else:
                counts = y.reshape(-1, classes).sum(0, dtype=float)
            even = math.log(classes)
            if counts.sum() < _SAMPLES_PER_CLASS * classes:
                return even, None, None
            prior = counts / counts.sum()
            return even, -float(_x_log_x(prior).sum()), tuple(prior.tolist())
        if self.name == "binary_crossentropy":
            prior = y.reshape(len(y), -1).mean(0, dtype=float)
            if len(y) < 2 * _SAMPLES_PER_CLASS:
                return math.log(2), None, None
            entropy = -(_x_log_x(prior) + _x_log_x(1 - prior)).mean()
            return math.log(2), float(entropy), tuple(prior.tolist())
        if self.name == "mean_squared_error" and y.ndim <= 2 and len(y) > 1:
            flat = y.reshape(len(y), -1).astype(float)
            best = float(flat.var(0).mean())
            return float((flat**2).mean()), best, tuple(flat.mean(0).tolist())
        return None, None, None


def _repeated(y, shape):
    """Returns how many outputs each label of one column is compared with, if it is a class.

    One of 0 and 1 may be meant for all, as in an ensemble.
    """
    outputs = shape[-1]
    if outputs < 2 or y.shape[1:] != (*shape[1:-1], 1):
        return 1
    are_classes = y.min() >= 0 and 1 < y.max() < outputs and (y == np.round(y)).all()
    return outputs if are_classes else 1


def _name(loss):
    if isinstance(loss, keras.losses.Loss):
        return snake_case(type(loss).__name__)
    return getattr(loss, "__name__", None) or str(loss)


def _x_log_x(p):
    return p * np.log(np.where(p > 0, p, 1.0))


def _single(loss):
    """Returns a loss by itself where it is the only one of a list or dict, by its name."""
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        (loss,) = loss
    elif isinstance(loss, dict) and len(loss) == 1:
        (loss,) = loss.values()
    is_config = isinstance(loss, str) or (isinstance(loss, dict) and "class_name" in loss)
    return keras.losses.get(loss) if is_config else loss
