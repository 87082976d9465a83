"""What a comparison found, from the learning curves of its runs."""

import dataclasses
import math
import re
import statistics
from dataclasses import dataclass, field
from typing import Any

from keras_winit import _checks
from keras_winit._show.plot import Axes, learning_curves, panels
from keras_winit._show.result import Part, Result, plain

# By number of seeds, how wide a gap has to be, in ranges of the runs: of equal initializers it is
# equally seldom. Fewer seeds are too often apart by chance, the runs of more hardly ever.
_GAPS = {3: 1.0, 4: 0.25}
_FEWEST_SEEDS = min(_GAPS)

_HIGHER = (
    "acc accuracy auc precision recall sensitivity specificity f1_score fbeta_score r2_score io_u "
    "iou true_positives true_negatives"
).split()
_LOWER = (
    "loss error crossentropy hinge poisson divergence log_cosh huber mse mae mape msle "
    "false_positives false_negatives"
).split()


@dataclass(frozen=True, kw_only=True, repr=False)
class Run(Part):
    """One training.

    Attributes:
        initializer: Label of the initializer.
        seed: Its seed.
        curves: Dict with a list of one number for each epoch, for the loss and every metric, as
            in the history of `fit`. A run that diverged ends early or with no number.
    """

    initializer: str
    seed: int
    curves: dict[str, list[float]] = field(repr=False)

    def curve(self, metric: str) -> list[float]:
        """Returns the values of a metric, or raises if there is none of that name."""
        return self.curves[find_metric(metric, self.curves)]


@dataclass(frozen=True, kw_only=True, repr=False)
class ComparedInitializer(Part):
    """What the runs of one initializer reached; a run that diverged has no value.

    Attributes:
        initializer: Its label.
        median: Of the values of its runs, `None` where the median run has diverged.
        lowest: The lowest value, `None` where all have diverged.
        highest: The highest one.
        diverged: Number of runs that have diverged.
        difference: What its value is more than that of the baseline: the median of the differences
            seed by seed, `None` where it is not finite.
        better: Number of seeds with which it is better than the baseline.
        epochs_to_baseline: After how many epochs its median run is as good as that of the baseline
            at the end; `None` if it never is.
    """

    initializer: str
    median: float | None
    lowest: float | None
    highest: float | None
    diverged: int
    difference: float | None
    better: int
    epochs_to_baseline: float | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Result):
    """What `compare` has measured: prints as a table with a verdict, in a notebook as HTML.

    The best initializer is first; the value of a run is that of the metric after the last epoch.
    A run whose loss is no finite number any more has diverged, and counts as worse than any other:
    where the median run has, there is no median.

    Attributes:
        metric: What was compared.
        higher_is_better: Whether more of it is better.
        baseline: Label of what all are to be measured by, the model's own initializers.
        epochs: Number of epochs of a run.
        runs: A `Run` for every initializer and seed.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> def build_model():
    ...     copy = keras.models.clone_model(model)
    ...     copy.compile("sgd", "mse")
    ...     return copy
    >>> comparison = keras_winit.compare(
    ...     build_model, np.ones((8, 4)), np.ones(8), ["zeros"], seeds=1, epochs=1, verbose=0
    ... )
    >>> comparison.metric, comparison.baseline, len(comparison.runs)
    ('val_loss', 'own', 2)
    """

    metric: str
    higher_is_better: bool
    baseline: str
    epochs: int
    runs: tuple[Run, ...]

    @property
    def initializers(self) -> list[str]:
        """The labels of the initializers, the best first."""
        labels = dict.fromkeys(run.initializer for run in self.runs)
        return sorted(
            labels, key=lambda label: (statistics.median(costs := self._costs(label)), max(costs))
        )

    @property
    def best(self) -> str:
        """The label of the initializer with the best median."""
        return self.initializers[0]

    @property
    def verdict(self) -> str:
        """Whether the best is better than the others, in a sentence; see `compare` for the rule."""
        best, *others = self.initializers
        costs = {label: self._costs(label) for label in (best, *others)}
        num_seeds = len(costs[best])
        if not others:
            return f"Only {best!r} was run: there is nothing to compare it with."
        if math.isinf(statistics.median(costs[best])):
            return "No initializer is good: of each, at least half of the runs diverged."
        if num_seeds < _FEWEST_SEEDS:
            return (
                f"No verdict: with fewer than {_FEWEST_SEEDS} seeds, a difference cannot be told "
                "from the spread between seeds."
            )
        worse = [label for label in others if is_better(costs[best], costs[label])]
        if not worse:
            return f"No difference beyond the spread between seeds ({num_seeds} seeds)."
        same = [label for label in others if label not in worse]
        told = f"{best!r} is better than {_listed(worse)} beyond the spread between seeds"
        gains = [abs(statistics.median(self._differences(best, label))) for label in worse]
        if all(map(math.isfinite, gains)):
            numbers = _joined([f"{gain:.3g}" for gain in gains])
            told += f", by {numbers} (median of the differences seed by seed)"
        return f"{told}; it cannot be distinguished from {_listed(same)}." if same else f"{told}."

    @property
    def notes(self) -> tuple[str, ...]:
        """The verdict, which is printed below the table."""
        return (self.verdict,)

    @property
    def rows(self) -> tuple[ComparedInitializer, ...]:
        """A `ComparedInitializer` for every initializer, the best first."""
        return tuple(map(self._row, self.initializers))

    @property
    def columns(self) -> dict[str, str]:
        """Dict from the header of each column to the attribute of a row that it shows."""
        return {
            "initializer": "initializer",
            f"{self.metric} (median)": "median",
            "lowest": "lowest",
            "highest": "highest",
            "diverged": "diverged",
            f"minus {self.baseline!r}": "difference",
            "seeds better": "better",
            f"epochs to {self.baseline!r}": "epochs_to_baseline",
        }

    @property
    def title(self) -> str:
        """Line above the table."""
        seeds = len(self._costs(self.baseline))
        better = "higher" if self.higher_is_better else "lower"
        return (
            f"{seeds} seed{'s' * (seeds > 1)}, {self.metric} after epoch {self.epochs}, "
            f"{better} is better"
        )

    def plot(self, metric: str | None = None, ax: Axes | None = None) -> Axes:
        """Draws the learning curves: the median of the seeds, and a band from lowest to highest.

        Args:
            metric: What to draw, as `"loss"`. Defaults to `None`, for what was compared.
            ax: Axes of matplotlib. Defaults to `None`, for a new figure of pyplot.

        Returns:
            The axes.

        Raises:
            ValueError: If there is no such metric.
            ImportError: If matplotlib is not installed.
        """
        metric = self.metric if metric is None else metric
        curves = {}
        for run in self.runs:
            values = list(run.curve(metric))
            values += [math.nan] * (self.epochs - len(values))
            curves.setdefault(run.initializer, []).append(values)
        if ax is None:
            (ax,) = panels(1)
        learning_curves(ax, metric, {label: curves[label] for label in self.initializers})
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as dicts, lists, strings and numbers, as for JSON.

        What is not finite is `None`.
        """
        return {
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "baseline": self.baseline,
            "epochs": self.epochs,
            "best": self.best,
            "verdict": self.verdict,
            "initializers": [dataclasses.asdict(row) for row in self.rows],
            "runs": [
                plain({**dataclasses.asdict(run), "value": self._sign * self._cost(run)})
                for run in self.runs
            ],
        }

    def _cost(self, run):
        """Returns the value of a run, turned so that less is better; infinite if it diverged."""
        losses, values = run.curves["loss"], run.curve(self.metric)
        if len(losses) < self.epochs or not all(map(math.isfinite, (*losses, values[-1]))):
            return math.inf
        return self._sign * values[-1]

    @property
    def _sign(self):
        return -1 if self.higher_is_better else 1

    def _costs(self, label):
        return [self._cost(run) for run in self.runs if run.initializer == label]

    def _differences(self, label, other):
        """Returns by how much the runs of one cost more than those of another, seed by seed."""
        costs = {(run.initializer, run.seed): self._cost(run) for run in self.runs}
        pairs = [
            (costs[label, run.seed], costs[other, run.seed])
            for run in self.runs
            if run.initializer == label
        ]
        # Two runs that diverged are equally bad.
        return [0.0 if mine == theirs else mine - theirs for mine, theirs in pairs]

    def _row(self, label):
        costs = self._costs(label)
        values = sorted(self._sign * cost for cost in costs if math.isfinite(cost))
        differences = self._differences(label, self.baseline)
        return ComparedInitializer(
            initializer=label,
            median=plain(self._sign * statistics.median(costs)),
            lowest=values[0] if values else None,
            highest=values[-1] if values else None,
            diverged=len(costs) - len(values),
            difference=plain(self._sign * statistics.median(differences) + 0.0),  # no -0.0
            better=sum(difference < 0 for difference in differences),
            epochs_to_baseline=self._epochs_to_baseline(label),
        )

    def _epochs_to_baseline(self, label):
        """Returns after how many epochs the median run is as good as the baseline at the end."""
        goal = statistics.median(self._costs(self.baseline))
        reached = []
        for run in self.runs:
            if run.initializer == label:
                costs = (self._sign * value for value in run.curve(self.metric))
                good = (at for at, cost in enumerate(costs, 1) if cost <= goal < math.inf)
                reached.append(next(good, math.inf))
        return plain(statistics.median(reached))


def is_better(costs, others):
    """Returns whether runs are better than others, beyond the spread between seeds.

    Args:
        costs: A number for each seed, the less the better; infinite for a run that diverged.
        others: The same for the others.
    """
    gap = min(others) - max(costs) if math.isfinite(max(costs)) else -math.inf
    fewest = min(len(costs), len(others))
    needed = _GAPS.get(fewest, 0.0) * max(_spread(others), _spread(costs))
    return fewest >= _FEWEST_SEEDS and gap > needed


def _spread(costs):
    """Returns the range of the runs that did not diverge: the others are worse than any."""
    finite = [cost for cost in costs if math.isfinite(cost)]
    return max(finite) - min(finite) if finite else 0.0


def is_higher_better(metric):
    """Returns whether more of a metric is better, by the name Keras gives it; else `None`."""
    name = re.sub(r"_\d+$", "", metric)
    for endings, higher in ((_HIGHER, True), (_LOWER, False)):
        if any(name == ending or name.endswith(f"_{ending}") for ending in endings):
            return higher
    return None


def find_metric(metric, names):
    """Returns which of the names in a history is that of a metric, or raises.

    Keras counts the metrics without a name in a process: "auc" of one model is "auc_1" of the next.
    """
    if metric in names:
        return metric
    counted = [name for name in names if re.fullmatch(rf"{re.escape(metric)}_\d+", name)]
    if len(counted) == 1:
        return counted[0]
    names = sorted(names)
    raise ValueError(
        f"`metric` should be one of {', '.join(map(repr, names))}. "
        f"Received: metric={metric!r}.{_checks.did_you_mean(metric, names)}"
    )


def default_metric(names):
    """Returns the one accuracy in a history, or the loss; of the validation if there is one."""
    if any(name.startswith("val_") for name in names):
        names = [name for name in names if name.startswith("val_")]
    accuracies = [name for name in names if re.search(r"(^|_)acc(uracy)?$", name)]
    if len(accuracies) == 1:
        return accuracies[0]
    return "val_loss" if "val_loss" in names else "loss"


def _listed(labels):
    return _joined([repr(label) for label in labels])


def _joined(texts):
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
