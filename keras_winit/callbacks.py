"""A callback that watches the signal while a model trains."""

import contextlib
import csv
import math
import os
import random
import warnings
from pathlib import Path
from typing import Any, Literal

import keras

from keras_winit import _backends, _checks
from keras_winit._diagnose.rules import (
    WHILE_TRAINING,
    Finding,
    Progress,
    judge,
    judge_progress,
)
from keras_winit._diagnose.rules.units import dead_units
from keras_winit._measure.batch import take
from keras_winit._measure.measure import measure
from keras_winit._network.network import Network
from keras_winit._revive.revive import revive_units
from keras_winit._show.plot import Axes, history, panels
from keras_winit.typing import Data

__all__ = ["SignalMonitor"]

_FRACTIONS = ("cosine", "between_samples", "dead", "saturated")
_SIZES = ("signal", "preactivation", "gradient", "gradient_of_weights", "weights")
STATISTICS = (*_SIZES[:2], *_FRACTIONS, *_SIZES[2:])


class SignalMonitor(keras.callbacks.Callback):
    """Records the signal at every layer while a model trains, every so many batches.

    What `diagnose` measures, on one and the same batch: before training (where the model is built
    by then), after every `every` batches, and at the end. The training itself is not changed by
    it, unless you ask for that. A record costs about as much as `diagnose`.

    Each record is judged by those rules of `diagnose` that also hold later on: `non_finite`,
    `dead_units`, `saturated_units`, `attention_logits`, `tokens_alike` and `samples_alike`.
    Dead and saturated units are an error from 99 % of a layer on: networks learn with fewer that
    live. And with labels `exploding_loss` tells that the loss is larger than it was before
    training, `no_learning` that it is still that of a constant output, and both what errors
    `diagnose` then finds, which may be the cause.

    `findings` holds what they found, each finding of a rule at a layer once: (step, `Finding`).

    With `revive=True`, units that give nothing for any sample of `x` get new weights at each record
    but the last, as `revive` does it, with outputs that stay what they are. `revived` holds what
    was done: (step, path of the layer, number of units). What is left alone is told once, as a
    `UserWarning`.

    `history` holds a dict for every record and call of a layer with a kernel, with `step` (number
    of batches so far), `layer` and

    - `signal`, `preactivation`: root mean square of what is passed on, of what the kernel gives;
    - `cosine`, `between_samples`: mean cosine of two samples; their share of the variance;
    - `dead`, `saturated`: fraction of the units, of the outputs;
    - `gradient`: norm of the gradient by the preactivation;
    - `gradient_of_weights`, `weights`: norms of the gradient by the kernels, and of these.

    `None` stands for what does not apply.

    Args:
        x: Batch to measure on, as in `diagnose`. Of a data set the first batch is taken when
            training starts: give it one of its own. Defaults to `None`, for noise.
        y: Its labels. Defaults to `None`, for gradients of a random projection of the outputs.
        every: Positive integer, number of batches between two records. Defaults to `100`.
        on_finding: `"record"` to keep findings, `"warn"` to tell each as a `UserWarning` as well,
            `"stop"` to end the training too where it is an error that is not repaired. Defaults to
            `"record"`.
        revive: Whether dead units get new weights. Takes an `x`, of some hundred samples. Defaults
            to `False`.
        csv_path: File, in a folder that exists, to write the records to as well, as they come. A
            monitor writes it anew; a second `fit` with the same monitor appends, with steps from 0
            again, while `history` holds the last. Defaults to `None`.
        log_dir: Folder for TensorBoard to read them from; takes the package `tensorboard`.
            Defaults to `None`.

    If a file cannot be written any more, as on a full disk, a warning says so and the training
    goes on, with the records in `history`.

    Raises:
        TypeError: If `every` is no integer, or a path is none.
        ValueError: If `every` is below 1, `revive` comes without an `x`, `on_finding` is none of
            the three, or a file cannot be written; when training starts, if the batch does not
            fit.
        ImportError: If `log_dir` is given and `tensorboard` is not installed.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> monitor = keras_winit.SignalMonitor(every=2)
    >>> _ = model.fit(np.ones((16, 4)), np.ones(16), batch_size=4, verbose=0, callbacks=[monitor])
    >>> [record["step"] for record in monitor.history[::2]]
    [0, 2, 4]
    """

    x: Data | None
    y: Data | None
    every: int
    on_finding: Literal["record", "warn", "stop"]
    csv_path: str | os.PathLike[str] | None
    log_dir: str | os.PathLike[str] | None
    history: list[dict[str, Any]]
    findings: list[tuple[int, Finding]]
    revive: bool
    revived: list[tuple[int, str, int]]

    def __init__(
        self,
        x: Data | None = None,
        y: Data | None = None,
        *,
        every: int = 100,
        on_finding: Literal["record", "warn", "stop"] = "record",
        revive: bool = False,
        csv_path: str | os.PathLike[str] | None = None,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.every = _checks.integer("every", every, minimum=1)
        _checks.option("on_finding", on_finding, ("record", "warn", "stop"))
        self.on_finding = on_finding
        self.revive = _checks.flag("revive", revive)
        if revive and x is None:
            raise ValueError(
                "`x` should be given where `revive=True`: a batch of your data, by which units are "
                "dead or not. Received: x=None. Give some hundred samples."
            )
        if csv_path is not None:
            _check_file(csv_path)
        if log_dir is not None and _path("log_dir", log_dir).is_file():
            raise ValueError(
                f"`log_dir` should be a folder. Received: log_dir={log_dir!r}, a file."
            )
        self.csv_path, self.log_dir = csv_path, log_dir
        self.history, self.findings, self.revived = [], [], []
        self._writer_class: Any = None if log_dir is None else _writer_class(log_dir)
        self._writer: Any = None
        self._is_begun = False
        self._written = set()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.history, self.findings, self.revived = [], [], []
        self._left = set()
        if self.revive:
            self._seed = random.randint(1, 10**9)
        self._step, self._before_epoch, self._batch = 0, 0, None
        self._training_loss, self._values = _TrainingLoss(), {}
        self._close()  # a training that failed did not
        self._written = {
            each for each in ("csv_path", "log_dir") if getattr(self, each) is not None
        }
        if "log_dir" in self._written:
            with self._writing("log_dir"):
                self._writer = self._writer_class(str(self.log_dir))
        if "csv_path" in self._written and not (
            self._is_begun and _path("csv_path", self.csv_path).exists()
        ):
            self._write("w", [("step", "layer", *STATISTICS)])
            self._is_begun = True
        if self.model.built:  # else its first batch builds it
            self._record()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._before_epoch = self._step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Keras may run several batches before it calls this.
        before, self._step = self._step, self._before_epoch + batch + 1
        if self._step // self.every > before // self.every:
            self._training_loss.take(batch + 1, logs)  # which waits for the device
            self._record()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._training_loss.end_epoch(self._step - self._before_epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self.history or self.history[-1]["step"] != self._step:
            self._record(is_last=True)
        self._close()

    def _close(self):
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._writing("log_dir"):
                writer.close()

    @contextlib.contextmanager
    def _writing(self, name):
        """Has an error end what is written, and not the training."""
        try:
            yield
        except Exception as error:  # TensorBoard has those of its file system
            self._written.discard(name)
            warnings.warn(
                f"SignalMonitor cannot write to `{name}` any more. Received: "
                f"{name}={getattr(self, name)!r}, {type(error).__name__}: {error}. The training "
                "goes on, and `history` holds the records.",
                stacklevel=2,
            )

    def plot(self, statistic: str = "signal", ax: Axes | None = None) -> Axes:
        """Draws a statistic of every layer over the batches.

        Args:
            statistic: A key of the records in `history`. Defaults to `"signal"`.
            ax: Axes of matplotlib. Defaults to `None`, for a new figure of pyplot.

        Returns:
            The axes.

        Raises:
            ValueError: If there is no such statistic, or nothing has been recorded.
            ImportError: If matplotlib is not installed.
        """
        _checks.option("statistic", statistic, STATISTICS)
        if not self.history:
            raise ValueError(
                "`plot` should come after training. Received: no records; "
                "give the monitor to `fit(callbacks=[monitor])` first."
            )
        layers = list(dict.fromkeys(record["layer"] for record in self.history))
        steps = list(dict.fromkeys(record["step"] for record in self.history))
        values = {(each["step"], each["layer"]): each[statistic] for each in self.history}
        rows = [[values.get((step, layer)) for layer in layers] for step in steps]
        if ax is None:
            (ax,) = panels(1)
        history(ax, steps, layers, rows, statistic, is_fraction=statistic in _FRACTIONS)
        return ax

    def _record(self, is_last=False):
        model = self.model  # with it, Keras brings back the weights that JAX trains on copies of
        with _backends.kept_random_state():
            network = Network(model)
            if self._batch is None:
                self._batch = take(network, self.x, self.y)
            signal = measure(network, self._batch)
            has_dead = any(layer.output.dead and layer.activation for layer in signal.layers)
            revival = None
            if self.revive and has_dead and not is_last:
                revival = revive_units(network, self._batch, self._seed + self._step)
        records = [_record(self._step, layer) for layer in signal.layers]
        self.history.extend(records)
        if "csv_path" in self._written:
            self._write("a", [record.values() for record in records])
        if "log_dir" in self._written:
            with self._writing("log_dir"):
                self._log(records)
        rows = () if revival is None else revival.rows
        self.revived += [(self._step, row.layer, row.revived) for row in rows if row.revived]
        self._judge(signal, {row.layer for row in rows if row.revived})
        for row in rows:
            if row.reason is not None and row.layer not in self._left:
                self._left.add(row.layer)
                warnings.warn(
                    f"After {self._step} batches: {row.dead} of {row.units} units of {row.layer} "
                    f"give nothing, and are left alone: {row.reason}.",
                    stacklevel=2,
                )

    def _judge(self, signal, revived):
        for finding in (*judge(signal, WHILE_TRAINING), *self._judge_progress(signal.loss)):
            # What was a warning may become an error.
            kind = (finding.rule, finding.layer, finding.severity)
            if kind in {(each.rule, each.layer, each.severity) for _, each in self.findings}:
                continue
            self.findings.append((self._step, finding))
            is_repaired = finding.rule == dead_units.name and finding.layer in revived
            is_cause = finding.causes is not None  # of a finding that decides itself
            is_last = self.on_finding == "stop" and finding.severity == "error"
            is_last &= not is_repaired and not is_cause
            if self.on_finding != "record":
                cause = f"{finding.relation}: {finding.rule}. " if is_cause else ""
                end = " The training stops." if is_last else ""
                warnings.warn(
                    f"After {self._step} batches: {cause}{finding.message} {finding.fix}{end}",
                    stacklevel=2,
                )
            if is_last:
                self.model.stop_training = True

    def _judge_progress(self, loss):
        past = max((step for step in self._values if step <= self._step / 2), default=None)
        means = self._training_loss.means
        if loss is not None:
            self._values[self._step] = loss.value
        if not means:
            return []
        progress = Progress(
            batches=self._step,
            loss=loss,
            past=past,
            past_loss=self._values.get(past),
            start=self._values.get(0),
            first=means[0] if len(means) > 1 else None,
            last=means[-1],
        )
        return judge_progress(progress, self._look)

    def _look(self):
        """Returns the `Signal` of now, with the next step of the optimizer."""
        with _backends.kept_random_state():
            return measure(Network(self.model), self._batch, with_update=True)

    def _write(self, mode, rows):
        with self._writing("csv_path"), Path(self.csv_path).open(mode, newline="") as file:
            csv.writer(file).writerows(rows)

    def _log(self, records):
        for record in records:
            for name in STATISTICS:
                if record[name] is not None:
                    tag = f"{name}/{record['layer']}"
                    self._writer.add_scalar(tag, record[name], step=self._step)
        self._writer.flush()


class _TrainingLoss:
    """Means of the training loss between records.

    Keras logs the mean since the epoch began, here times the number of its batches: a sum.

    Attributes:
        means: The mean over the batches before each record, since that before it.
    """

    def __init__(self):
        self.means = []
        self._sum, self._number, self._of_epochs, self._before = 0.0, 0, 0.0, 0

    def take(self, batches, logs):
        """Takes the loss at a record, after so many batches of an epoch."""
        if not logs or "loss" not in logs:
            return
        total = self._of_epochs + batches * float(logs["loss"])
        number = self._before + batches
        self.means.append((total - self._sum) / (number - self._number))
        self._sum, self._number = total, number

    def end_epoch(self, batches, logs):
        """Takes the loss at the end of an epoch of so many batches."""
        if logs and "loss" in logs:
            self._of_epochs += batches * float(logs["loss"])
            self._before += batches


def _record(step, layer):
    gradients = [kernel.gradient for kernel in layer.kernels if kernel.gradient is not None]
    output = layer.output
    return {
        "step": step,
        "layer": layer.layer,
        "signal": output.rms,
        "preactivation": layer.preactivation.rms,
        "cosine": output.cosine,
        "between_samples": output.between_samples,
        "dead": output.dead,
        "saturated": layer.saturated,
        "gradient": layer.gradient,
        "gradient_of_weights": math.hypot(*gradients) if gradients else None,
        "weights": math.hypot(*(kernel.norm for kernel in layer.kernels)),
    }


def _path(name, value):
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`{name}` should be a path. Received: {name}={value!r}.")
    return Path(value)


def _check_file(csv_path):
    path = _path("csv_path", csv_path)
    problem = None
    if not path.parent.is_dir():
        problem = f"but the folder {str(path.parent)!r} does not exist. Make it first."
    elif path.is_dir():
        problem = "a folder. Add the name of a file."
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = "which you may not write. Use another folder."
    if problem:
        raise ValueError(
            "`csv_path` should be a file that can be written, in a folder that exists. "
            f"Received: csv_path={csv_path!r}, {problem}"
        )


def _writer_class(log_dir):
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise ImportError(
            f"`log_dir` takes the package tensorboard. Received: log_dir={log_dir!r}. "
            'Install it with `pip install "keras-winit[tensorboard]"`, or use `csv_path`.'
        ) from error
    return Writer
