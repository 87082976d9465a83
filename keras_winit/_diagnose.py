"""Looks at the signal in a model before training: measures, judges, shows, and mends."""

import dataclasses
import functools
import html
import math
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_winit import _batch, _calibrate, _initialize, _layers, _plot, _report, _rules, _table
from keras_winit._signal import Signal, measure

# Layers that a printed table shows: more are in `layers`.
_MOST_ROWS = 60
_HEADER = (
    *("layer", "kind", "activation", "preactivation", "signal", "cosine", "dead", "saturated"),
    *("gradient", "gradient / weight"),
)


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` has seen: prints as a table with findings, in a notebook as HTML.

    Attributes:
        signal: The numbers: a `Signal`.
        findings: A `Finding` for everything that is wrong, errors first.
        before: The `Diagnosis` before `fix`, or `None`.
        again: Model, batch and loss, to mend and look again.

    Example:

    >>> layer = keras.layers.Dense(4, kernel_initializer="ones")
    >>> model = keras.Sequential([keras.Input((8,)), layer])
    >>> [finding.rule for finding in keras_winit.diagnose(model).findings]
    ['identical_units']
    """

    signal: Signal
    findings: tuple
    before: "Diagnosis | None" = None
    again: tuple = field(default=(), repr=False, compare=False)

    @property
    def ok(self):
        """Whether nothing is wrong that keeps the model from learning: no errors."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def layers(self):
        """The numbers of every call of a layer with a kernel, in the order of the calls."""
        return self.signal.layers

    def __repr__(self):
        parts = [_table.text(*self._table()), *map(_text, self.findings), self._verdict()]
        if self.before is not None:
            was = [f"  {each.severity}: {each.message}" for each in self.before.findings]
            parts = [f"Before: {self.before._verdict()}", *was, "After:", *parts]
        return "\n".join(parts)

    def _repr_html_(self):
        before = ""
        if self.before is not None:
            was = _items(f"{each.severity}: {each.message}" for each in self.before.findings)
            before = f"<p><b>Before:</b> {html.escape(self.before._verdict())}</p>{was}"
        verdict = f"<p><b>{html.escape(self._verdict())}</b></p>"
        items = _items(map(_text, self.findings))
        return f"{before}{verdict}{items}{_table.to_html(*self._table())}"

    def _verdict(self):
        notes = [_report.verdict(self.findings).capitalize()]
        if self.signal.is_drawn:
            notes.append("seen on noise: give `x` for your data")
        if self.signal.not_reached:
            notes.append(f"not reached: {', '.join(self.signal.not_reached)}")
        return "; ".join(notes) + "."

    def _table(self):
        signal = self.signal
        batch = f"{signal.batch_size} samples" + (" of noise" if signal.is_drawn else "")
        title = f"Signal in model {signal.model!r}, {batch}"
        if signal.loss is not None:
            title += f", loss {signal.loss.value:.4g}"
        header, rows = [*_HEADER], [_row(layer) for layer in signal.layers]
        if self.before is not None:
            for name in ("signal", "gradient"):
                place = header.index(name)
                for row, old in zip(rows, map(_row, self.before.layers), strict=True):
                    row.insert(place, old[_HEADER.index(name)])
                header.insert(place, f"{name} before")
        if len(rows) > _MOST_ROWS:
            left_out = len(rows) - _MOST_ROWS
            middle = [f"... {left_out} layers more ...", *[None] * (len(header) - 1)]
            half = _MOST_ROWS // 2
            rows = [*rows[:half], middle, *rows[-half:]]
        return header, rows, title

    def plot(self, ax=None):
        """Draws signal and gradient over depth, dead and saturated units, and histograms.

        Args:
            ax: Three axes of matplotlib, or one for the first picture alone. Defaults to
                `None`, for a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return _plot.overview(
            ax,
            layers=[layer.layer for layer in self.layers],
            samples=[layer.sample for layer in self.layers],
            band=self._band(),
            marked={finding.layer for finding in self.findings if finding.severity == "error"},
            title=f"Signal in model {self.signal.model!r}",
            **_report.curves(self.layers),
        )

    def _band(self):
        """Returns the sizes of the signal (low, high) that give no finding, `None` without one."""
        first = math.sqrt(self.layers[0].output.second_moment)
        if not 0 < first < math.inf:
            return None
        factor = math.sqrt(_rules.SIGNAL_LIMITS["warning"])
        return first / factor, first * factor

    def save(self, path):
        """Writes a page of HTML that holds all of it and needs nothing else.

        Args:
            path: Where to, `"report.html"` for example.
        """
        parts = [("", self)] if self.before is None else [("Before", self.before), ("After", self)]
        sections = [
            _report.Section(each.signal, each.findings, each._band(), title)
            for title, each in parts
        ]
        Path(path).write_text(_report.page(sections), encoding="utf-8")

    def to_dict(self):
        """Returns all of it as numbers, strings, lists and dicts that JSON can hold."""
        result = {
            "ok": self.ok,
            "signal": _plain(dataclasses.asdict(self.signal)),
            "findings": [_plain(dataclasses.asdict(finding)) for finding in self.findings],
        }
        if self.before is not None:
            result["before"] = self.before.to_dict()
        return result

    def fix(self, *, seed=None):
        """Applies what the findings suggest to the model, in place, and looks again.

        Kernels are drawn anew where they are the cause, the last bias starts at the frequencies
        of the classes, and layers are calibrated on the batch. What lies in the data or the loss
        is left to you. Use it before training: what was learned is lost.

        Args:
            seed: Integer or `None`, as in `initialize`.

        Returns:
            The new `Diagnosis`, which shows this one as well.

        Raises:
            ValueError: If there is nothing to apply.
        """
        actions = [finding.action for finding in self.findings if finding.action is not None]
        if not actions:
            raise ValueError(
                "`fix` should have something to apply. Received: "
                f"{len(self.findings)} findings, none of which lies in the weights. "
                + " ".join(finding.fix for finding in self.findings)
            )
        model, batch, loss = self.again
        _apply(model, batch, self.signal, actions, seed)
        return dataclasses.replace(_diagnose(model, batch, loss), before=self)


def diagnose(model, x=None, y=None, *, loss=None):
    """Looks at the signal in a model before training and says what is wrong and how to mend it.

    One forward and one backward pass in training mode, on one batch. At every layer with a
    kernel it measures what the kernel gives, what is handed on after normalization and
    activation, and the gradient; then it judges:

    - `non_finite`, `vanishing_signal`, `exploding_signal`, `vanishing_gradient`,
      `exploding_gradient`;
    - `dead_units`, `saturated_units`, `samples_alike`, `tokens_alike`, `attention_logits`;
    - `identical_units`, `twin_kernels`, `wrong_fan`, `mismatched_activation`;
    - `input_not_standardized`, `initial_loss`, `class_prior`, `loss_mismatch`.

    The model is left as it was: weights, moving statistics, seeds, optimizer.

    Args:
        model: Built Keras model.
        x: Batch: array, list, tuple or dict of arrays. Of a data set, loader or iterator the
            first batch is taken, of many samples in arrays up to 256. Defaults to `None`, for
            noise of the model's input shape, or tokens where an embedding reads.
        y: Labels, where `x` does not bring them. Defaults to `None`: the gradient is then that
            of a random projection of the outputs.
        loss: Loss, its name or a function. Defaults to `None`, for that of the compiled model.

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
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` should be a Keras model. Received: model={model!r}.")
    return _diagnose(model, _batch.take(model, x, y), loss)


def _diagnose(model, batch, loss):
    signal = measure(model, batch, loss)
    return Diagnosis(signal, tuple(_rules.judge(signal)), None, (model, batch, loss))


def _apply(model, batch, signal, actions, seed):
    """Applies actions: first kernels are drawn, then the bias is set, then the sizes."""
    draws = [action.only for action in actions if action.verb == "initialize"]
    if None in draws:
        _initialize.initialize(model, seed=seed)
    elif draws:
        paths = list(dict.fromkeys(path for only in draws for path in only))
        _initialize.initialize(model, seed=seed, only=paths)
    if any(action.verb == "calibrate" for action in actions):
        _calibrate.calibrate_batch(model, batch)
    if any(action.verb == "prior" for action in actions):
        _start_at_prior(model, signal)


def _start_at_prior(model, signal):
    """Sets the bias of the last layer to the frequencies of the classes, or the mean."""
    (output,) = (layer for layer in signal.layers if layer.is_output)
    paths = {kernel.path for kernel in output.kernels}
    weights = _layers.weights(model)
    layer = next(weight.layer for weight in weights if weight.path in paths)
    bias = getattr(layer, "bias", None)
    if bias is None:
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) should have a bias to start at the "
            "prior of the labels. Received: use_bias=False."
        )
    prior = np.asarray(signal.loss.prior)
    if signal.loss.from_logits is not None:
        prior = np.clip(prior, 1e-6, 1 - 1e-6)
        is_binary = signal.loss.name == "binary_crossentropy"
        prior = np.log(prior / (1 - prior)) if is_binary else np.log(prior)
    bias.assign(np.broadcast_to(prior, bias.shape).astype("float32"))


def _row(layer):
    weight = next((kernel for kernel in layer.kernels if kernel.gradient is not None), None)
    relative = None
    if weight is not None and weight.norm > 0:
        relative = weight.gradient / weight.norm
    return [
        layer.layer,
        layer.kind,
        layer.activation,
        math.sqrt(layer.preactivation.second_moment),
        math.sqrt(layer.output.second_moment),
        layer.output.cosine,
        layer.output.dead,
        layer.saturated,
        layer.gradient,
        relative,
    ]


def _text(finding):
    parts = {
        finding.severity.upper(): f"{finding.rule}. {finding.message}",
        "  Why": finding.reason,
        "  Fix": finding.fix,
        "  See": finding.reference,
    }
    wrapper = textwrap.TextWrapper(
        100, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(wrapper.fill(f"{name}: {text}") for name, text in parts.items())


def _items(texts):
    items = "".join(f"<li>{html.escape(text)}</li>".replace("\n", "<br>") for text in texts)
    return f"<ul>{items}</ul>" if items else ""


@functools.singledispatch
def _plain(value):
    return value


@_plain.register
def _(value: dict):
    return {key: _plain(each) for key, each in value.items()}


@_plain.register(list)
@_plain.register(tuple)
def _(value):
    return [_plain(each) for each in value]


@_plain.register
def _(value: np.ndarray):
    return value.tolist()


@_plain.register
def _(value: float):
    return value if math.isfinite(value) else None
