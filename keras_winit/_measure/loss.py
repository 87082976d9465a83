"""What a backward pass starts from: the loss, that of each output, or what takes its place."""

import math
from dataclasses import replace

import keras
import numpy as np

from keras_winit import _backends, _checks
from keras_winit._measure.output_loss import LossSignal, OutputLoss, is_of_keras, name_of
from keras_winit._random import distributions

ops = keras.ops


class Objective:
    """A scalar function of a model's outputs.

    Args:
        model: The model.
        loss: Loss, name or function, or a list or dict of them for several outputs; `None` for
            that of the compiled model, and where there are no labels for a random projection of
            the outputs.
        batch: The `Batch`.
    """

    def __init__(self, model, loss, batch):
        self.model, self.batch, self.value, self.added = model, batch, None, 0.0
        self.loss, self._of_outputs = None, ()
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
        is_given = callable(self.loss) or isinstance(self.loss, (list, tuple, dict))
        if not self.is_compiled and not is_given:
            raise TypeError(
                "`loss` should be a loss, its name or a function, or a list or dict of them for "
                f"several outputs. Received: loss={loss!r}."
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
        self._of_outputs = list(self._parts(outputs))
        for part, output in zip(self._of_outputs, keras.tree.flatten(outputs), strict=True):
            if part is not None:
                part.check(output.shape)
        try:
            if self.is_compiled:
                total = self.model.compute_loss(
                    x=self.batch.x, y=y, y_pred=outputs, sample_weight=weight, training=True
                )
                self.added = sum(ops.sum(each) for each in self.model.losses)
                self.value = total - self.added
                return total
            self.value = self._total(y, outputs, weight)
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
        losses = [each for each in keras.tree.flatten(self.loss) if each is not None]
        return ", ".join(map(name_of, losses)) or "losses of the layers"

    def _projection(self, outputs):
        total = 0.0
        for number, output in enumerate(keras.tree.flatten(outputs)):
            direction = distributions.normal(tuple(output.shape), seed=number, purpose="projection")
            direction = ops.cast(ops.convert_to_tensor(direction), "float32")
            total += ops.sum(ops.cast(output, "float32") * direction)
        return total / math.sqrt(self.batch.size)

    def _total(self, y, outputs, weight):
        """Returns the loss that was given: of each output, or a function of all of them."""
        flat = keras.tree.flatten(outputs)
        if callable(self.loss) and (ops.is_tensor(outputs) or not is_of_keras(self.loss)):
            return ops.mean(self.loss(y, outputs, **_weights(weight)))
        names = output_names(self.model, outputs)
        losses = self._losses(names)
        labels = _labels(y, names, losses)
        weights = [weight] * len(names) if ops.is_tensor(weight) else _labels(weight, names, losses)
        parts = [
            ops.mean(loss(labels[number], flat[number], **_weights(weights[number])))
            for number, loss in enumerate(losses)
            if loss is not None and labels[number] is not None
        ]
        if not parts:
            raise ValueError(
                f"`y` should have labels for outputs that `loss` has a loss for: {names}. "
                f"Received: loss={self.loss!r}."
            )
        return sum(parts)

    def _parts(self, outputs):
        """Yields an `OutputLoss` for each output, `None` where it has no loss or no labels."""
        names = output_names(self.model, outputs)
        losses = self._losses(names)
        labels = _labels(self.batch.labels, names, losses)
        is_weighted = self.batch.sample_weight is not None
        for name, loss, y in zip(names, losses, labels, strict=True):
            is_known = loss is not None and isinstance(y, np.ndarray)
            name = name if len(names) > 1 else None
            yield OutputLoss(loss, y, is_weighted, name) if is_known else None

    def _losses(self, names):
        """Returns the loss of each output, `None` where there is none, or one of all of them."""
        if not callable(self.loss):
            losses = [_single(each) for each in _by_output(self.loss, names)]
        elif len(names) == 1 or self.is_compiled or is_of_keras(self.loss):
            losses = [self.loss] * len(names)
        else:
            losses = [None] * len(names)
        weights = _weights_of_losses(self.model) if self.is_compiled and len(names) > 1 else None
        counts = [each != 0 for each in _by_output(weights, names)] if weights else losses
        return [
            loss if callable(loss) and count else None
            for loss, count in zip(losses, counts, strict=True)
        ]

    def signal(self, outputs, after_step=None):
        """Returns the `LossSignal`, `None` without labels; after a call, with concrete values."""
        if self.value is None:
            return None
        value, added = (
            float(ops.convert_to_numpy(ops.cast(each, "float32")))
            for each in (self.value, self.added)
        )
        others = {"regularization": added, "after_step": after_step}
        others["is_weightless"] = self._is_weightless()
        if len(self._of_outputs) == 1 and self._of_outputs[0] is not None:
            (output,), (y,) = map(keras.tree.flatten, (outputs, self.batch.y))
            (part,) = self._of_outputs
            if not part.is_weighted:  # a mask leaves samples out, as weights do
                is_whole = math.isclose(value, part.value(y, output), rel_tol=1e-4, abs_tol=1e-6)
                part = replace(part, is_weighted=not is_whole)
            return part.signal(value, y, output, **others)
        return LossSignal(name=self.name, value=value, **others)

    def _is_weightless(self):
        """Whether all samples have weights of zero, or all outputs."""
        of_losses = _weights_of_losses(self.model) if self.is_compiled else None
        return any(
            each is not None and not any(map(np.any, keras.tree.flatten(each)))
            for each in (of_losses, self.batch.sample_weight)
        )

    def signals(self, outputs):
        """Yields a `LossSignal` for each of several outputs, `None` where it has no loss."""
        if len(self._of_outputs) < 2:
            return
        flat = keras.tree.flatten(outputs)
        names = output_names(self.model, outputs)
        losses = [part and part.loss for part in self._of_outputs]
        labels = _labels(self.batch.y, names, losses)
        for part, y, output in zip(self._of_outputs, labels, flat, strict=True):
            yield part and part.signal(part.value(y, output), y, output)


def output_names(model, outputs):
    """Returns a name for each output: its key, the name of its layer, or its place."""
    flat = keras.tree.flatten(outputs)
    names = getattr(model, "output_names", None) or ()
    if isinstance(outputs, dict) or len(names) != len(flat):
        paths = [path for path, _ in keras.tree.flatten_with_path(outputs)]
        names = ["/".join(map(str, path)) for path in paths]
    return list(names)


def _by_output(structure, names):
    """Returns what a list or dict holds for each output; `None` where it cannot be told."""
    if isinstance(structure, dict):
        return [structure.get(name) for name in names]
    if isinstance(structure, (list, tuple)) and len(structure) == len(names):
        return list(structure)
    return [None] * len(names)


def _labels(structure, names, losses):
    """Returns the labels of each output; those of a list may be only for outputs with a loss."""
    if isinstance(structure, dict):
        return _by_output(structure, names)
    flat = list(structure) if isinstance(structure, (list, tuple)) else [structure]
    if len(flat) == len(names):
        return flat
    places = [number for number, loss in enumerate(losses) if loss is not None]
    found = dict(zip(places, flat, strict=True)) if len(places) == len(flat) else {}
    return [found.get(number) for number in range(len(names))]


def _weights(weight):
    return {} if weight is None else {"sample_weight": weight}


def _weights_of_losses(model):
    """Returns `loss_weights` as the model was compiled with, `None` where they are not told."""
    try:
        return (model.get_compile_config() or {}).get("loss_weights")
    except Exception:  # of a loss, say, that cannot be serialized
        return None


def _single(loss):
    """Returns a loss by itself where it is the only one of a list or dict, by its name."""
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        (loss,) = loss
    elif isinstance(loss, dict) and len(loss) == 1:
        (loss,) = loss.values()
    is_config = isinstance(loss, str) or (isinstance(loss, dict) and "class_name" in loss)
    return keras.losses.get(loss) if is_config else loss
