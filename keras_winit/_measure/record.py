"""What every layer of a model gives for a batch, and the gradient there, as arrays."""

import collections
import contextlib
import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np

from keras_winit import _backends, _checks, _network
from keras_winit._keras_private import replace
from keras_winit._measure.batch import take
from keras_winit._measure.loss import Objective
from keras_winit._measure.taps import replace_first
from keras_winit._network.network import Network
from keras_winit._show.result import Part, Result
from keras_winit.typing import Data, Names

ops = keras.ops


@dataclass(frozen=True, kw_only=True, repr=False)
class RecordedLayer(Part):
    """What one call of a layer gave.

    Attributes:
        layer: Path of the layer, with a number from its second call on: `"block/dense#2"`.
        kind: Name of its class.
        output: Array, its first output of floats, after its activation; in float32 where the layer
            computes in 16 bits.
        gradient: Array of the same shape, the gradient of the loss by that output; `None` without
            labels, or where the loss does not depend on it.
    """

    layer: str
    kind: str
    output: np.ndarray = field(repr=False)
    gradient: np.ndarray | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.output.shape

    @property
    def mean(self) -> float:
        """Mean of the output."""
        return float(self.output.mean(dtype="float64"))

    @property
    def std(self) -> float:
        """Standard deviation of the output."""
        return float(self.output.std(dtype="float64"))

    @property
    def gradient_norm(self) -> float | None:
        """Euclidean norm of the gradient, over the whole batch."""
        if self.gradient is None:
            return None
        return float(np.linalg.norm(self.gradient.astype("float64")))


@dataclass(frozen=True, kw_only=True, repr=False)
class Recording(Result):
    """What `record` returns: outputs and gradients of layers, in the order in which they are done.

    Attributes:
        model: Name of the model.
        rows: A `RecordedLayer` for each call.
        loss: Value of the loss, what layers add to it included; `None` without labels.
        hidden: Paths of layers that ran where no values can be seen, as in a loop that the
            backend compiles.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(5, name="only")])
    >>> found = keras_winit.record(model, np.ones((4, 8)))
    >>> found.outputs["only"].shape, found.gradients
    ((4, 5), {})
    """

    model: str
    rows: tuple[RecordedLayer, ...]
    loss: float | None = None
    hidden: tuple[str, ...] = ()

    columns: ClassVar[dict[str, str]] = {
        "layer": "layer",
        "kind": "kind",
        "shape": "shape",
        "mean": "mean",
        "std": "std",
        "gradient norm": "gradient_norm",
    }

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """The output of each call, by the path of its layer."""
        return {row.layer: row.output for row in self.rows}

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """The gradient of the loss by the outputs, by the path; without those that have none."""
        return {row.layer: row.gradient for row in self.rows if row.gradient is not None}

    @property
    def title(self) -> str:
        """Line above the table."""
        loss = "" if self.loss is None else f", with a loss of {self.loss:.4g}"
        return f"Layers of model {self.model!r}{loss}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Which layers could not be seen."""
        if not self.hidden:
            return ()
        return (
            f"Not recorded, as they run where no values can be seen: {', '.join(self.hidden)}.",
        )


def record(
    model: keras.Layer,
    x: Data | None = None,
    y: Data | None = None,
    *,
    loss: str | Callable[..., Any] | dict[str, Any] | None = None,
    layers: Names | None = None,
    training: bool | None = None,
) -> Recording:
    """Returns what every layer of a model gives for a batch, and the gradient there, as arrays.

    On every backend, for functional, subclassed and nested models, and for layers that are called
    several times. Nothing of the model is changed: weights, moving statistics and seeds are those
    from before.

    Args:
        model: Built Keras model, or layer that is a network by itself.
        x: Batch, as for `diagnose`. Defaults to `None`, for noise.
        y: Labels, where `x` does not bring them. Defaults to `None`, for outputs alone.
        loss: Loss, its name or a function, or a list or dict of them for several outputs. Defaults
            to `None`, for that of the compiled model.
        layers: Name, path or pattern (`"encoder/*"`) of layers, or a list of them. Defaults to
            `None`, for all. Arrays of all of them are in memory at once.
        training: Whether layers run as in training, with dropout and the statistics of the batch.
            Defaults to `None`: as in `fit` where there are labels, else as in `predict`.

    Returns:
        `Recording`, which prints as a table. Its `outputs` and `gradients` are dicts of arrays.

    Raises:
        ValueError: If the model is not built, the batch does not fit, or there is no such layer.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(5, "relu", name="hidden"), keras.layers.Dense(3)]
    ... )
    >>> x, y = np.ones((4, 8)), np.array([0, 1, 2, 0])
    >>> crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> found = keras_winit.record(model, x, y, loss=crossentropy, layers="hidden")
    >>> [array.shape for array in (*found.outputs.values(), *found.gradients.values())]
    [(4, 5), (4, 5)]
    """
    network = Network(model)
    batch = take(network, x, y)
    is_training = batch.y is not None if training is None else _checks.flag("training", training)
    selected = _selected(model, layers)
    rows, hidden = [], {}
    objective = Objective(model, loss, batch) if batch.y is not None or loss is not None else None

    def forward(tap):
        with _recording(model, selected, rows, hidden, tap if objective else lambda x: x):
            outputs = batch.apply(model, training=is_training)
            if objective is None:
                return None, ()
            total = objective(outputs)
            return total, total

    if objective is None:
        with _backends.without_gradient(), keras.StatelessScope():
            forward(None)
        gradients, value = [None] * len(rows), None
    else:
        variables = model.trainable_variables
        value, _, gradients = _backends.backpropagate(forward, variables, _to_numpy)
        value = float(_to_numpy(value))
    return Recording(
        model=model.name,
        rows=tuple(
            RecordedLayer(layer=path, kind=kind, output=output, gradient=gradient)
            for (path, kind, output), gradient in zip(rows, gradients, strict=True)
        ),
        loss=value,
        hidden=tuple(hidden),
    )


def _selected(model, names):
    """Returns the layers of a model that have one of the names, paths or patterns."""
    every = _layers(model)
    if names is None:
        return every
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise TypeError(
            "`layers` should be the name, path or pattern of a layer, or a list of them. "
            f"Received: layers={names!r}."
        )
    found = {}
    for name in names:
        matches = [
            layer
            for layer in every
            if any(fnmatch.fnmatchcase(each, name) for each in _names(model, layer))
        ]
        if not matches:
            known = sorted({each for layer in every for each in _names(model, layer)})
            raise ValueError(
                "`layers` should be the name, path or pattern of a layer. "
                f"Received: layers={name!r}.{_checks.did_you_mean(name, known)}"
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _layers(model):
    """Returns the layers of a model whose calls are its own, outer before inner."""
    walked = [layer for layer in _network.walk(model) if layer is not model]
    hidden = set()
    for layer in (model, *walked):
        if _network.is_closed(layer):  # as cells, which run once for every step
            hidden.update(each for each in _network.walk(layer) if each is not layer)
        if isinstance(layer, keras.Sequential):  # which has Keras run a functional model of its own
            hidden.update(each for each in walked if _runs_the_same(each, layer))
    return [layer for layer in walked if layer not in hidden]


def _runs_the_same(model, sequential):
    if not isinstance(model, keras.Model) or isinstance(model, keras.Sequential):
        return False
    own = sequential.layers  # which is without the input
    return bool(own) and [each for each in model.layers if each in own] == own


def _names(model, layer):
    return layer.name, _path(model, layer)


def _path(model, layer):
    return (layer.path or layer.name).removeprefix(f"{model.name}/")


@contextlib.contextmanager
def _recording(model, layers, rows, hidden, tap):
    """Has layers write what they give into rows, and give on what `tap` returns of it."""

    counts = collections.Counter()

    def watched(layer, call):
        path = _path(model, layer)

        def take_in(x):
            counts[path] += 1
            numbered = path if counts[path] == 1 else f"{path}#{counts[path]}"
            rows.append((numbered, type(layer).__name__, _to_numpy(ops.stop_gradient(x))))
            return tap(x)

        def run(*args, **kwargs):
            output = call(*args, **kwargs)
            if all(map(_backends.has_values, keras.tree.flatten(output))):
                return replace_first(output, take_in)
            hidden[path] = None
            return output

        return run

    with _network.restored(model):
        for layer in _network.walk(model):
            # What runs again in the backward pass would be recorded twice.
            replace(layer, "rematerialized_call", lambda call, *args, **kwargs: call)
        for layer in layers:
            name = "quantized_call" if _network.is_quantized(layer) else "call"
            replace(layer, name, watched(layer, getattr(layer, name)))
        yield


def _to_numpy(x):
    """Returns an array of a type that NumPy knows by itself."""
    is_half = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
    return ops.convert_to_numpy(ops.cast(x, "float32") if is_half else x)
