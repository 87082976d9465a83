"""Measures by width what the first steps of training change in the output of every layer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_winit import _backends, _checks
from keras_winit._measure.batch import take
from keras_winit._measure.taps import Taps
from keras_winit._network.network import Network
from keras_winit._network.widths import head_size
from keras_winit._show.plot import Axes, over_widths, panels
from keras_winit._show.result import Part, Result, Table
from keras_winit._turn import turn
from keras_winit.typing import Data, Seed


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerByWidth(Part):
    """What one layer gives at every width, the mean of all seeds.

    Attributes:
        layer: Its path in the model of the first width, with a number from its second call on.
        sizes: Root mean square of its output at the start, before the activation, for each width.
        changes: That of what the steps have changed in it.
        growth: How many times as large `sizes` are at one width as at a narrower one, at most.
        spread: How many times as large `changes` are at one width as at another, at most.
    """

    layer: str
    sizes: tuple[float, ...] = field(repr=False)
    changes: tuple[float, ...] = field(repr=False)
    growth: float
    spread: float


@dataclass(frozen=True, kw_only=True, repr=False)
class CoordinateCheck(Result):
    """What `coordinate_check` has measured: prints as a table with a verdict, and as HTML.

    Attributes:
        widths: The widths, the smallest first.
        steps: Number of steps of training.
        seeds: Number of seeds.
        factor: How many times apart what is flat may be.
        rows: A `LayerByWidth` for every call of a layer with a kernel, in their order.

    Example:

    >>> def build_model(width):
    ...     hidden = keras.layers.Dense(width, "relu", name="hidden")
    ...     output = keras.layers.Dense(1, name="output")
    ...     model = keras.Sequential([keras.Input((4,)), hidden, output], name="net")
    ...     model.compile("adam", "mse")
    ...     return model
    >>> x = np.random.default_rng(0).normal(size=(16, 4))
    >>> check = keras_winit.coordinate_check(build_model, [16, 256], x, x[:, 0], seeds=1)
    >>> check.ok, check.rows[-1].spread > 1.5
    (False, True)
    """

    widths: tuple[int, ...]
    steps: int
    seeds: int
    factor: float
    rows: tuple[LayerByWidth, ...]

    @property
    def ok(self) -> bool:
        """Whether no output grows, and none is changed more or less, with width by the factor."""
        return not self._too_large and not self._not_flat

    @property
    def verdict(self) -> str:
        """What was found, in sentences."""
        if self.ok:
            furthest = max(self.rows, key=lambda row: row.spread)
            return (
                f"Flat: what {self.steps} steps change is at most {furthest.spread:.3g} times "
                f"apart between widths ({furthest.layer!r}), where {self.factor:.3g} is allowed. "
                "A learning rate of one width should suit the others."
            )
        told = []
        for row in self._not_flat:
            low, high = np.argmin(row.changes), np.argmax(row.changes)
            first, last = self.widths[low], self.widths[high]
            told.append(
                f"{row.layer!r} is changed {row.spread:.3g} times as much at width {last} as at "
                f"{first}"
            )
        for row in self._too_large:
            told.append(f"{row.layer!r} starts {row.growth:.3g} times as large where it is wider")
        shown = "; ".join(told[:_MOST_SHOWN])
        rest = f"; and {len(told) - _MOST_SHOWN} more" if len(told) > _MOST_SHOWN else ""
        return (
            f"Not flat within {self.factor:.3g}: {shown}{rest}. A learning rate of one width does "
            "not suit the others."
        )

    @property
    def _not_flat(self):
        rows = [row for row in self.rows if not row.spread <= self.factor]
        return sorted(rows, key=lambda row: -row.spread)

    @property
    def _too_large(self):
        rows = [row for row in self.rows if not row.growth <= self.factor]
        return sorted(rows, key=lambda row: -row.growth)

    @property
    def notes(self) -> tuple[str, ...]:
        """The verdict, which is printed below the table."""
        return (self.verdict,)

    @property
    def title(self) -> str:
        """Line above the table."""
        seeds = f"{self.seeds} seed{'s' * (self.seeds > 1)}"
        return f"Root mean square by width, and its change in {self.steps} steps; {seeds}"

    @property
    def table(self) -> Table:
        """Size and change of every layer's output, a column for each width."""
        columns = ["layer", *(f"size at {each}" for each in self.widths)]
        columns += [*(f"change at {each}" for each in self.widths), "times apart"]
        rows = [[row.layer, *row.sizes, *row.changes, row.spread] for row in self.rows]
        return Table(columns, rows, self.title)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the change of every layer's output over the width, with logarithms.

        Args:
            ax: Axes of matplotlib. Defaults to `None`, for a new figure of pyplot.

        Returns:
            The axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        if ax is None:
            (ax,) = panels(1)
        label = f"change of the output in {self.steps} steps"
        over_widths(ax, self.widths, label, {row.layer: row.changes for row in self.rows})
        return ax


_MOST_SHOWN = 3  # of the layers that a verdict lists


@turn()
def coordinate_check(
    build_model: Callable[[int], keras.Model],
    widths: Sequence[int],
    x: Data,
    y: Data | None = None,
    *,
    steps: int = 3,
    seeds: Seed = 3,
    factor: float = 1.5,
) -> CoordinateCheck:
    """Says whether a learning rate of one width suits others, by what the first steps change.

    Models of several widths are trained for some steps on one batch. Where the parametrization is
    right, the output of no layer is changed more, or less, with width: then the best learning rate
    is that of any width. The size at the start may shrink with width (that of the model's output
    does), but not grow.

    The maps of queries in attention layers of Keras count times the root of how many times larger
    the heads are than in the first model, as the logits take them.

    Models run eagerly, in training mode for the steps and in inference mode for what is measured.
    The random states of Python and NumPy are afterwards as they were; the global seed of Keras,
    and of TensorFlow, is that of the last model.

    Args:
        build_model: Function that takes a width and returns a compiled model, with the weights it
            is to start with.
        widths: List of at least two positive integers.
        x: Inputs of a batch, of which up to 256 samples are taken, or a data set with both.
        y: Targets. Defaults to `None`, where `x` holds them.
        steps: Positive integer. Defaults to `3`.
        seeds: Positive integer, the number of seeds from 0 on that models of each width are built
            with, of which the mean is taken. Defaults to `3`.
        factor: Number above 1, how many times apart what counts as flat may be. Defaults to `1.5`.

    Returns:
        `CoordinateCheck`, which prints as a table with a verdict, and plots.

    Raises:
        TypeError: If an argument is of the wrong type, or `build_model` returns no Keras model.
        ValueError: If an argument is out of range, a model is not compiled, or the models do not
            have the same layers.

    Example:

    >>> def build_model(width, base=None):
    ...     hidden = [keras.layers.Dense(width, "relu", name=f"hidden_{n}") for n in range(2)]
    ...     output = keras.layers.Dense(1, name="output")
    ...     model = keras.Sequential([keras.Input((4,)), *hidden, output], name="net")
    ...     base = base or build_model(64, model)
    ...     initialized = keras_winit.initialize(model, "mup", base_model=base)
    ...     adam = keras.optimizers.Adam(0.01)
    ...     model.compile(keras_winit.scale_learning_rates(model, adam, base), "mse")
    ...     return model
    >>> x = np.random.default_rng(0).normal(size=(16, 4))
    >>> keras_winit.coordinate_check(build_model, [64, 256], x, x[:, 0]).ok
    True

    Reference:

    - [Yang et al., 2022](https://arxiv.org/abs/2203.03466), appendix D.1
    """
    if not callable(build_model) or isinstance(build_model, keras.Layer):
        raise TypeError(
            "`build_model` should be a function that takes a width and returns a compiled model. "
            f"Received: build_model={build_model!r}."
        )
    widths = _widths(widths)
    steps = _checks.integer("steps", steps, minimum=1)
    seeds = _checks.integer("seeds", seeds, minimum=1)
    factor = _checks.real("factor", factor, positive=True)
    if factor <= 1:
        raise ValueError(f"`factor` should be above 1. Received: factor={factor!r}.")
    found = []
    with _backends.kept_random_state():
        for width in widths:
            of_width = [_of_model(build_model, width, seed, x, y, steps) for seed in range(seeds)]
            names = of_width[0][0]
            if found and len(names) != len(found[0][0]):
                raise ValueError(
                    "`build_model` should build the same layers at every width. Received: "
                    f"{len(found[0][0])} calls of layers with kernels at width {widths[0]}, and "
                    f"{len(names)} at width {width}."
                )
            found.append((names, np.mean([numbers for _, numbers in of_width], axis=0)))
    names = found[0][0]
    heads = np.array([[head for _, head in names] for names, _ in found])
    scale = np.sqrt(heads / heads[0])  # of queries; 1 for others
    numbers = np.stack([numbers for _, numbers in found], axis=1) * scale  # (2, widths, layers)
    rows = [
        _row(name, sizes, changes)
        for (name, _), sizes, changes in zip(names, *numbers.transpose(0, 2, 1), strict=True)
    ]
    return CoordinateCheck(
        widths=tuple(widths), steps=steps, seeds=seeds, factor=factor, rows=tuple(rows)
    )


def _widths(widths):
    if isinstance(widths, str) or not isinstance(widths, (Sequence, np.ndarray)):
        raise TypeError(f"`widths` should be a list of integers. Received: widths={widths!r}.")
    found = sorted({_checks.integer("widths", each, minimum=1) for each in widths})
    if len(found) < 2 or len(found) < len(widths):
        raise ValueError(
            f"`widths` should be at least two, each of them once. Received: widths={widths!r}."
        )
    return found


def _of_model(build_model, width, seed, x, y, steps):
    """Returns names and head sizes of the calls in a model, and arrays of sizes and changes."""
    keras.utils.set_random_seed(seed)
    model = build_model(width)
    if not isinstance(model, keras.Model):
        raise TypeError(f"`build_model` should return a Keras model. Received: {model!r}.")
    if not model.compiled:
        raise ValueError(
            "`build_model` should return a model that is compiled. Received: model "
            f"{model.name!r} of width {width}, which is not."
        )
    network = Network(model)
    network.check_built()
    batch = take(network, x, y)
    names, before = _outputs(network, batch)
    model.run_eagerly = True  # a few steps are faster than to compile them
    for _ in range(steps):
        model.train_on_batch(batch.x, batch.y, batch.sample_weight)
    _, after = _outputs(network, batch)
    changes = [_size(b - a) for a, b in zip(before, after, strict=True)]
    return names, np.array([[_size(each) for each in before], changes])


def _outputs(network, batch):
    """Returns (path, head size of a map of queries) and the output of each call with a kernel."""
    outputs, taps = {}, Taps(network)

    def keep(tapped, output):
        outputs[tapped.tap] = keras.ops.convert_to_numpy(keras.ops.cast(output, "float32"))
        return output

    with taps.on(keep), _backends.without_gradient():
        batch.apply(network.model, training=False)
    tapped = [each for each in taps.tapped if each.tap is not None]
    return [(each.path, head_size(each.layer)) for each in tapped], [
        outputs[each.tap] for each in tapped
    ]


def _size(values):
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(np.square(values, dtype="float64").mean())


def _row(name, sizes, changes):
    smallest = np.minimum.accumulate(sizes)
    growth = max(map(_ratio, sizes, smallest))
    return LayerByWidth(
        layer=name,
        sizes=tuple(map(float, sizes)),
        changes=tuple(map(float, changes)),
        growth=growth,
        spread=_ratio(changes.max(), changes.min()),
    )


def _ratio(large: Any, small: Any) -> float:
    """Returns how many times as large one is, infinite for none and what is not finite."""
    if large == small == 0:
        return 1.0
    return float(large / small) if small > 0 and math.isfinite(large) else math.inf
