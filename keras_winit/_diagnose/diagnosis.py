"""Looks at the signal in a model before training: measures, judges, shows, and fixes."""

import dataclasses
import math
import os
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras

from keras_winit._diagnose import fix, page, rules
from keras_winit._diagnose.rules.finding import Finding, by_cause
from keras_winit._measure.batch import take
from keras_winit._measure.measure import measure
from keras_winit._measure.signal import LayerSignal, Signal
from keras_winit._network import restart
from keras_winit._network.network import Network
from keras_winit._network.transaction import all_or_nothing
from keras_winit._show import whole_file
from keras_winit._show.plot import Axes, overview
from keras_winit._show.progress import progress, tell
from keras_winit._show.result import Result, Table, plain
from keras_winit.typing import Data, Seed, Verbose

# Layers that a printed table shows: more are in `layers`.
_MOST_ROWS = 60
# Findings of one rule that are listed one by one.
_MOST_SHOWN = 3
_WRAPPER = textwrap.TextWrapper(
    100, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Diagnosis(Result):
    """What `diagnose` has seen: prints as a table with findings, in a notebook as HTML.

    Attributes:
        signal: The numbers: a `Signal`.
        findings: A `Finding` for everything that is wrong, errors first.
        before: The `Diagnosis` before `fix`, or `None`.
        warnings: Sentences on what `fix` has left and should be reset; `UserWarning`s as well.

    Example:

    >>> layer = keras.layers.Dense(4, kernel_initializer="ones")
    >>> model = keras.Sequential([keras.Input((8,)), layer])
    >>> [finding.rule for finding in keras_winit.diagnose(model).findings]
    ['identical_units']
    """

    signal: Signal
    findings: tuple[Finding, ...]
    before: "Diagnosis | None" = None
    warnings: tuple[str, ...] = ()
    # Model, batch and loss, to fix and look again; a pickle is without them.
    _again: tuple[Any, ...] = field(default=(), compare=False)

    columns: ClassVar[dict[str, str]] = {
        "layer": "layer",
        "kind": "kind",
        "activation": "activation",
        "preactivation": "preactivation.rms",
        "signal": "output.rms",
        "cosine": "output.cosine",
        "dead": "output.dead",
        "saturated": "saturated",
        "gradient": "gradient",
        "gradient / weight": "relative_gradient",
    }

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_again": ()}

    @property
    def ok(self) -> bool | None:
        """Whether nothing is wrong that keeps the model from learning.

        `False` with errors; `None` where there is none in what was seen, but some layers that
        have, or may have, kernels were not looked at: `signal.coverage` tells which.
        """
        if any(finding.severity == "error" for finding in self.findings):
            return False
        return True if self.signal.coverage.is_complete else None

    def raise_if_errors(self) -> "Diagnosis":
        """Raises what is wrong as an exception, for tests and scripts.

        Returns:
            The diagnosis itself, if there are no errors in it; there may be warnings.

        Raises:
            ValueError: If there are errors: it tells them with their causes and fixes.

        Example:

        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        >>> keras_winit.diagnose(model).raise_if_errors().findings
        ()
        """
        if self.ok is False:
            told = "\n".join(_texts(self.findings, "error"))
            raise ValueError(f"Model {self.signal.model!r} should learn. Received:\n{told}")
        return self

    @property
    def layers(self) -> tuple[LayerSignal, ...]:
        """The numbers of every call of a layer with a kernel, in the order of the calls."""
        return self.signal.layers

    @property
    def rows(self) -> tuple[LayerSignal, ...]:
        """The same as `layers`."""
        return self.layers

    @property
    def lead(self) -> tuple[str, ...]:
        """Texts above the table: the findings before `fix`."""
        if self.before is None:
            return ()
        was = [f"  {each.severity}: {each.message}" for each in self.before.findings]
        return (f"Before: {self.before.verdict}", *was, "After:")

    @property
    def notes(self) -> tuple[str, ...]:
        """Texts below the table: the findings, the verdict, and what `fix` has left."""
        return (*_texts(self.findings), self.verdict, *self.warnings)

    def _repr_html_(self):
        return page.fragment(self._sections())

    def _sections(self):
        """Returns what a page shows: this diagnosis, and before it that before `fix`."""
        titles = [""] if self.before is None else ["Before", "After"]
        many = [self] if self.before is None else [self.before, self]
        return [
            page.Section(each.signal, each.findings, each._bands(), title, each.warnings)
            for each, title in zip(many, titles, strict=True)
        ]

    @property
    def verdict(self) -> str:
        """What it comes to, in a line: how much is wrong, and what was looked at."""
        coverage = self.signal.coverage
        notes = [page.verdict(self.findings, coverage).capitalize()]
        notes.append(coverage.looked_at)
        if self.signal.is_drawn:
            notes.append("seen on noise: give `x` for your data")
        if self.signal.not_reached:
            notes.append(f"not reached: {', '.join(self.signal.not_reached)}")
        notes.append(coverage.not_known)
        return "; ".join(filter(None, notes)) + "."

    @property
    def title(self) -> str:
        """Line above the table."""
        signal = self.signal
        batch = f"{signal.batch_size} samples" + (" of noise" if signal.is_drawn else "")
        title = f"Signal in model {signal.model!r}, {batch}"
        if signal.loss is not None:
            title += f", loss {signal.loss.value:.4g}"
        return title

    @property
    def table(self) -> Table:
        """The numbers of every call of a layer with a kernel, with both sides of a `fix`."""
        table = super().table
        if self.before is not None:
            before = self.before.table
            for name in ("signal", "gradient"):
                place, old = table.columns.index(name), before.columns.index(name)
                table.columns.insert(place, f"{name} before")
                for row, values in zip(table.rows, before.rows, strict=True):
                    row.insert(place, values[old])
        return table

    @property
    def shown(self) -> Table:
        """The table that is printed, without the middle of a long one."""
        table, half = self.table, _MOST_ROWS // 2
        left_out = len(table.rows) - _MOST_ROWS
        if left_out > 0:
            middle = [f"... {left_out} more layers ...", *[None] * (len(table.columns) - 1)]
            table.rows[half:-half] = [middle]
        return table

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> Any:
        """Draws signal and gradient over depth, dead and saturated units, and histograms.

        Args:
            ax: Three axes of matplotlib, or one for the first picture alone. Defaults to
                `None`, for a new figure of pyplot.

        Returns:
            The axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return overview(
            ax,
            layers=[layer.layer for layer in self.layers],
            samples=[layer.sample for layer in self.layers],
            band=self._bands().get("signal"),
            marked={finding.layer for finding in self.findings if finding.severity == "error"},
            title=f"Signal in model {self.signal.model!r}",
            **page.curves(self.layers),
        )

    def _bands(self):
        """Returns the limits (low, high) of signal and gradient between which no finding is."""
        bands, first = {}, self.layers[0].output.rms
        if 0 < first < math.inf:
            factor = math.sqrt(rules.SIGNAL_LIMITS["warning"])
            bands["signal"] = first / factor, first * factor
        bands["gradient"] = rules.GRADIENT_LIMITS
        return bands

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a page of HTML that holds all of it and needs nothing else.

        If anything fails, what was at the path stays.

        Args:
            path: Where to, `"report.html"` for example.

        Raises:
            FileNotFoundError: If the folder does not exist.
        """
        text = page.page(self._sections())

        def write(path):  # a name may hold what UTF-8 cannot
            path.write_text(text, encoding="utf-8", errors="backslashreplace")

        whole_file.write(path, write)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dicts that JSON can hold."""
        signal = plain(dataclasses.asdict(self.signal))
        looked_at = signal.pop("coverage")
        for each, unknown in zip(looked_at["unknown"], self.signal.coverage.unknown, strict=True):
            each["call"] = unknown.call
        result = {
            "ok": self.ok,
            "looked_at": looked_at,
            "signal": signal,
            "findings": [plain(dataclasses.asdict(finding)) for finding in self.findings],
        }
        if self.before is not None:
            result["before"] = self.before.to_dict()
            result["warnings"] = list(self.warnings)
        return result

    def fix(self, *, seed: Seed | None = None) -> "Diagnosis":
        """Applies what the findings suggest to the model, in place, and looks again.

        Kernels are drawn anew where they are the cause, whatever their author gave, with biases of
        hidden layers at zero where these are, the last bias starts at the frequencies of the
        classes, and layers are calibrated on the batch. What lies in the data, the loss or the
        architecture is left to you. Use it before training: what was learned is lost. If anything
        fails, or is interrupted, the model keeps all of its weights and initializers. What is left
        and belongs to the weights that were, as the state of an optimizer, is a `UserWarning`.

        Args:
            seed: Integer or `None`, as in `initialize`.

        Returns:
            The new `Diagnosis`, which shows this one as well.

        Raises:
            ValueError: If there is nothing to apply, or no model to apply it to, as in a pickle.
        """
        if not self._again:
            raise ValueError(
                "`fix` should be called on what `diagnose` returned. Received: a copy without the "
                "model. Call `diagnose` again."
            )
        model, batch, loss = self._again
        actions = fix.applicable(model, self.signal, self.findings)
        if not actions:
            fixes = dict.fromkeys(f" {finding.rule}: {finding.fix}" for finding in self.findings)
            found = page.verdict(self.findings, self.signal.coverage)
            gap = self.signal.coverage.not_known
            raise ValueError(
                f"`fix` should have something to apply. Received: {found}, nothing of it in the "
                f"weights.{''.join(fixes)}{gap and f' ({gap})'}"
            )
        with progress("fix"), all_or_nothing() as changes:
            fix.apply(changes, model, batch, self.signal, self.findings, actions, seed)
            after = _diagnose(Network(model), batch, loss)
            left = (*after.signal.coverage.left_alone, *restart.kept(model))
            for warning in left:
                warnings.warn(warning, stacklevel=2)
            return dataclasses.replace(after, before=self, warnings=left)


def diagnose(
    model: keras.Layer,
    x: Data | None = None,
    y: Data | None = None,
    *,
    loss: str | Callable[..., Any] | dict[str, Any] | None = None,
    verbose: Verbose = "auto",
) -> Diagnosis:
    """Looks at the signal in a model before training and says what is wrong and how to fix it.

    One forward and one backward pass in training mode, on one batch. At every layer with a
    kernel it measures what the kernel gives, what is passed on after normalization and
    activation, and the gradient; then it judges:

    - `non_finite`, `vanishing_signal`, `exploding_signal`, `vanishing_gradient`,
      `exploding_gradient`;
    - `dead_units`, `saturated_units`, `samples_alike`, `tokens_alike`, `attention_logits`,
      `lost_directions`;
    - `identical_units`, `twin_kernels`, `wrong_fan`, `mismatched_activation`,
      `tight_constraint`;
    - `input_not_standardized`, `initial_loss`, `class_prior`, `loss_mismatch`;
    - `softmax_over_one`, `activation_twice`, `dropout_at_output`, `unreachable_targets`,
      `broadcast_labels`, `constant_labels`, `labels_not_one_hot`, `smoothed_labels`,
      `targets_not_scaled`, `targets_near_zero`, `reversed_loss`;
    - `constant_input`, `unequal_features`, `channels_order`, `no_nonlinearity`,
      `runaway_activation`, `large_dropout`, `nothing_trainable`, `frozen_random`,
      `unreached_weights`;
    - of a compiled model with labels, `large_regularization` and `learning_rate`.

    The verdict says what was looked at: layers of a class of your own are not, until
    `describe_layer` tells their kernels. The model is left as it was: weights, moving statistics,
    seeds, optimizer.

    Args:
        model: Built Keras model, or layer that is a network by itself.
        x: Batch: array, list, tuple or dict of arrays. Of a data set, loader or iterator the
            first batch is taken, of many samples in arrays up to 256. Defaults to `None`, for
            noise of the model's input shape, or tokens where an embedding reads.
        y: Labels, where `x` does not bring them. Defaults to `None`: the gradient is then that
            of a random projection of the outputs.
        loss: Loss, its name or a function. Defaults to `None`, for that of the compiled model.
        verbose: `1` for a line on standard error that tells how far it is, after two seconds, `0`
            for none. Defaults to `"auto"`, for one in terminals and notebooks.

    Returns:
        `Diagnosis`, which prints as a table.

    Raises:
        ValueError: If the model is not built or has no kernel, or the batch is empty, not finite,
            or does not fit the model or the loss.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> layers = [keras.layers.Dense(32, "relu") for _ in range(30)]
    >>> model = keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(3)])
    >>> report = keras_winit.diagnose(model)
    >>> report.ok, report.findings[0].rule
    (False, 'vanishing_signal')
    >>> report.fix(seed=1).ok
    True

    Reference:

    - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html), section 4
    - [Schoenholz et al., 2017](https://arxiv.org/abs/1611.01232), section 3
    """
    with progress("diagnose", verbose):
        tell("reads the model")
        network = Network(model)
        return _diagnose(network, take(network, x, y), loss)


def _diagnose(network, batch, loss):
    tell("runs it forward and backward")
    signal = measure(network, batch, loss, with_update=True)
    tell("judges")
    findings = tuple(rules.judge(signal))
    return Diagnosis(signal=signal, findings=findings, _again=(network.model, batch, loss))


def _texts(findings, *severities):
    """Yields a text for each cause, if severities are given of those."""
    for (first, *others), company in by_cause(findings):
        if severities and first.severity not in severities:
            continue
        parts = [f"{first.severity.upper()}: {first.rule}. {first.message}"]
        parts.extend(f"  And: {other.message}" for other in others[: _MOST_SHOWN - 1])
        if len(others) >= _MOST_SHOWN:
            parts.append(f"  And {len(others) + 1 - _MOST_SHOWN} more.")
        parts.extend(f"  {each.relation}: {each.rule}. {each.message}" for each in company)
        parts.append(f"  Why: {first.reason}")
        parts.append(f"  Fix: {first.fix}")
        parts.append(f"  See: {first.reference}")
        yield "\n".join(map(_WRAPPER.fill, parts))
