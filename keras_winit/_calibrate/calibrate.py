"""Scales every layer on the signal of a batch, one after the other in a single run."""

import dataclasses
import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import keras
import numpy as np

from keras_winit import _backends, _checks
from keras_winit._calibrate import equalize
from keras_winit._calibrate.shrink import shrink
from keras_winit._calibrate.sweep import CalibratedLayer, Sweep, left_alone
from keras_winit._measure.batch import take
from keras_winit._measure.coverage import check_kernels, coverage
from keras_winit._network import restart
from keras_winit._network.network import Network
from keras_winit._network.transaction import all_or_nothing
from keras_winit._show.progress import progress, tell
from keras_winit._show.result import Result
from keras_winit.typing import Data, Names, Verbose

_HIDDEN = "runs in a loop, or a function, that JAX compiles, out of sight"
MODES = ("auto", "tensor", "unit", "centered", "equalized")


@dataclass(frozen=True, kw_only=True, repr=False)
class Calibration(Result):
    """What `calibrate` has done: prints as a table, in a notebook as HTML.

    Attributes:
        model: Name of the model.
        layers: A `CalibratedLayer` for every layer with a kernel, in the order of calls.
        num_samples: Numbers of samples that it was calibrated on, and that were held out.
        problem: Why the graph of the model could not be read in full, or `None`. What follows a
            layer is then known only where the layer applies it.
        is_drawn: Whether the samples were noise, drawn for want of data.
        notes: Sentences on what could not be calibrated, and on an optimizer that keeps its state.

    Example:

    >>> model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    >>> result = keras_winit.calibrate(model, 7 * np.random.default_rng(0).normal(size=(256, 9)))
    >>> result.layers[0].before > 10, 0.5 < result.layers[0].after < 2
    (True, True)
    """

    model: str
    layers: tuple[CalibratedLayer, ...]
    num_samples: tuple[int, int]
    problem: str | None = None
    is_drawn: bool = False
    notes: tuple[str, ...] = ()

    columns: ClassVar[dict[str, str]] = {
        "layer": "layer",
        "mode": "mode",
        "target": "target",
        "times": "factor",
        "before": "before",
        "after": "after",
        "why": "reason",
    }

    @property
    def rows(self) -> tuple[CalibratedLayer, ...]:
        """The same as `layers`."""
        return self.layers

    @property
    def skipped(self) -> tuple[CalibratedLayer, ...]:
        """The layers that were left alone."""
        return tuple(layer for layer in self.layers if layer.skipped)

    @property
    def title(self) -> str:
        """Line above the table."""
        calibrated, held_out = self.num_samples
        title = (
            f"Model {self.model!r}, calibrated on {calibrated} samples"
            f"{' of noise' if self.is_drawn else ''}; second moments of the "
            f"preactivations on {held_out or calibrated} "
            + ("held-out samples" if held_out else "of the same")
        )
        if self.problem:
            title += f"; its graph could not be read in full: {self.problem}"
        return title


def calibrate(
    model: keras.Layer,
    x: Data | None = None,
    *,
    mode: Literal["auto", "tensor", "unit", "centered", "equalized"] = "auto",
    only: Names | None = None,
    frozen: bool = False,
    verbose: Verbose = "auto",
) -> Calibration:
    """Scales the kernels of a model so that a batch has the right size at every layer.

    One run in the order of execution: each layer is scaled on the signal that the layers before
    it, already calibrated, pass on to it. Kernels keep their directions; it works on top of any
    initializer, and where no formula holds: unusual layers, data that are not normal. The cost
    is that of about three runs of the model on the batch.

    Args:
        model: Built Keras model, or layer that is a network by itself.
        x: Batch, as in `diagnose`; every second sample is held out to show the result on.
            Defaults to `None`, for unit normal noise.
        mode: How the preactivations z of a layer are brought to their target:

            - `"tensor"`: the kernel times one number, so that E z² is 1 (LSUV, with the second
              moment in place of the standard deviation);
            - `"unit"`: each unit times its own number and shifted by its bias, to mean 0 and
              variance 1;
            - `"centered"`: each unit shifted to mean 0, then one number for all;
            - `"equalized"`: `"unit"`, then kernels are traded against each other so that the
              gradient by each, over its norm, is the same; for plain networks of relu and other
              activations with f(2z) = 2 f(z);
            - `"auto"`: `"centered"` before an activation whose output is mostly its mean, as that
              of sigmoid and softplus, `"tensor"` elsewhere; with the target of the critical
              point where the biases are drawn for it and in plain networks of more than 20
              layers of tanh and other odd activations, and 1 / branches for the last layer of a
              residual branch without normalization. At the end the first of a few dense layers,
              and all of convolutions that give images, are made smaller, as `initialize` has it,
              so that features are learned first.

            Defaults to `"auto"`.
        only: Name, path or pattern of layers or weights, or a list of them, as in `initialize`.
            Defaults to `None`, for all.
        frozen: Whether layers that are not trainable are calibrated as well. Defaults to `False`.
        verbose: `1` for a line on standard error that tells how far it is, after two seconds, `0`
            for none. Defaults to `"auto"`, for one in terminals and notebooks.

    Returns:
        `Calibration`, with every layer before and after on the held-out samples, and what was
        left alone for what reason: recurrent layers, embeddings, layers before a normalization,
        layers that give nothing, or next to nothing by their initializer. The output layer is
        only made smaller.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built or has no kernel, the batch is empty, not finite or
            does not fit, a name is unknown, or `"equalized"` does not suit the model.

    Example:

    >>> layers = [keras.layers.Dense(32, "sigmoid") for _ in range(10)]
    >>> model = keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(3)])
    >>> result = keras_winit.calibrate(model)
    >>> result.layers[4].mode
    'centered'

    Reference:

    - [Mishkin and Matas, 2016](https://arxiv.org/abs/1511.06422), section 3, for `"tensor"`
    - [Kunin et al., 2024](https://arxiv.org/abs/2406.06158), for the first of a few layers
    - [Krähenbühl et al., 2016](https://arxiv.org/abs/1511.06856), sections 3.1 and 3.2, for
      `"unit"` and `"equalized"`
    """
    _checks.option("mode", mode, MODES)
    _checks.flag("frozen", frozen)
    with progress("calibrate", verbose), all_or_nothing() as changes:
        tell("reads the model")
        network = Network(model)
        batch = take(network, x)
        result = calibrate_within(changes, network, batch, mode=mode, only=only, frozen=frozen)
        kept = restart.kept(model)
        for warning in kept:
            warnings.warn(warning, stacklevel=2)
        return dataclasses.replace(result, notes=(*result.notes, *kept))


@_backends.kept_random_state()
def calibrate_within(changes, network, batch, *, mode="auto", only=None, frozen=False):
    """Does what `calibrate` does, on a `Batch`, as a part of `Changes` made together."""
    network.check_built()
    check_kernels(network)
    model, fixed = network.model, _fixed(network, only, frozen)
    if mode == "equalized":
        equalize.check(network, fixed)
    num_samples, both = _halves(batch)
    sweep = Sweep(network, fixed, mode, num_samples)
    with _backends.without_gradient():
        before = sweep.look(both)
        with keras.StatelessScope():
            rows = sweep.calibrate(both)
    rows = [dataclasses.replace(each, before=before.get(each.layer)) for each in rows]
    for variable, value in sweep.changed:
        changes.assign(variable, value)
    if mode == "equalized":
        rows = equalize.equalize(network, batch, rows, changes)
    if mode == "auto" and rows != (smaller := shrink(network, rows, changes)):
        with _backends.without_gradient():
            after = sweep.look(both)
        rows = [dataclasses.replace(each, after=after.get(each.layer)) for each in smaller]
    rows.extend(_not_called(network, sweep.called, sweep.hidden))
    return Calibration(
        model=model.name,
        layers=tuple(rows),
        num_samples=(num_samples, batch.size - num_samples),
        problem=network.problem,
        is_drawn=batch.is_drawn,
        notes=coverage(network.weights).left_alone,
    )


def _fixed(network, only, frozen):
    """Returns the weights that are to be left alone, each with the reason."""
    fixed = {}
    if only is not None:
        asked = set(network.select(only, argument="only"))
        fixed = {each: "not asked for" for each in network.weights if each not in asked}
    for weight in network.weights:
        reason = weight.skip or ("frozen" if weight.is_frozen and not frozen else None)
        if reason:
            fixed[weight] = reason
    return fixed


def _halves(batch):
    """Returns how many samples to calibrate on, and the batch with those first."""
    if batch.size < 4:
        return batch.size, batch
    order = np.concatenate([np.arange(0, batch.size, 2), np.arange(1, batch.size, 2)])
    return -(-batch.size // 2), batch.at(order)


def _not_called(network, called, hidden):
    """Yields a row for each layer with a kernel, or what may be one, whose call was not seen."""
    for weight in network.weights:
        may_be_kernel = weight.is_kernel or (weight.skip and len(weight.shape) > 1)
        if may_be_kernel and weight.layer not in called:
            called = {*called, weight.layer}
            reason = _HIDDEN if weight.layer in hidden else "not called"
            yield left_alone(weight.layer.path, weight.skip or reason)
