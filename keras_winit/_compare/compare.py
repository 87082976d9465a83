"""Measures which initializer is the best for a model and its data."""

import hashlib
import inspect
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_winit import _backends, _checks
from keras_winit._compare import comparison
from keras_winit._compare.comparison import Comparison, Run
from keras_winit._plan.initialize import initialize
from keras_winit._plan.plan import Plan
from keras_winit._plan.schemes import SCHEMES
from keras_winit._show.progress import progress, tell, within
from keras_winit.initializers._equivalents import with_gain
from keras_winit.initializers._names import as_initializer, brief
from keras_winit.typing import Data, Scheme, Seed, Verbose

_OWN = "own"
_KERAS = "glorot_uniform"  # Keras's default for kernels


def compare(
    build_model: Callable[[], keras.Model] | Callable[[Any], keras.Model],
    x: Data,
    y: Data | None,
    initializers: Sequence[Scheme] | Mapping[str, Scheme],
    *,
    seeds: Seed | Sequence[Seed] = 3,
    epochs: int = 10,
    batch_size: int | None = None,
    validation_data: Any = None,
    validation_split: float = 0.2,
    metric: Any = None,
    directory: str | os.PathLike[str] | None = None,
    name: str = "comparison",
    verbose: Verbose = "auto",
) -> Comparison | Any:  # `None` on a worker, which few write code for
    """Trains a model from several starting weights and says which are best, if any are.

    Every initializer is trained with every seed. A seed governs the starting weights, dropout and
    the order of the samples. The order is the same for all initializers, and so is dropout where
    `build_model` takes no argument; where it takes the initializer, layers that do not get it
    may start from other values. The baseline is added if it is not among the initializers: the
    model with its own.

    The verdict calls one initializer better than another if its worst run is better than the
    best of the other. With three seeds, the gap between these two has to be wider than the
    range of either one's runs as well, with four wider than a quarter of it; with fewer seeds
    there is no verdict. This is a convention, made to be wrong seldom: of initializers that are
    equal, with values from a normal distribution, the best is called better than some other in 1 %
    of studies of two, in 2 % of three, in 5 % of five of them, with three, four or five seeds. By
    how much it is better is the median of the differences seed by seed, since runs of one seed
    saw the samples in one order. A learning rate that suits one initializer may not suit another:
    that is not found out here.

    The runs follow each other in memory. With a `directory` they are the trials of a study of
    KerasTuner: one that was interrupted goes on where it was, and one that is done is read; only
    runs with equal arguments and data are taken from it (what `build_model` does, and the data in a
    data set, it cannot know: give it another name if you change these). A run that fails ends the
    study, and is repeated when it goes on.

    To spread a study over machines, start the same script on each, with KerasTuner's environment
    variables `KERASTUNER_TUNER_ID` (`"chief"` for one, any other name for each worker),
    `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` (of the chief). The chief assigns
    the runs and collects the curves. A worker that was lost goes on under its old name.

    The random states of Python and NumPy are afterwards as they were; the global seed of Keras,
    and of TensorFlow, is that of the last run.

    Args:
        build_model: Function that returns a compiled model. Without an argument, the model is
            given its weights by `initialize`. With one, it gets each initializer and puts it
            where it should be.
        x: Inputs, as for `fit`.
        y: Targets, or `None` if `x` holds them, as a data set does.
        initializers: List of schemes and initializers, as `initialize` takes them, or a dict of
            these by label. Where `build_model` takes one, initializers only.
        seeds: Positive integer, number of seeds from 0 on; or a list of seeds. Defaults to `3`.
        epochs: Positive integer. Defaults to `10`.
        batch_size: Positive integer. Defaults to `None`, for that of `fit`.
        validation_data: As for `fit`. Defaults to `None`.
        validation_split: Fraction of the samples that is kept for validation, the last ones, if
            there is no `validation_data`. Defaults to `0.2`.
        metric: What is compared, after the last epoch: a name in the history of `fit`, as
            `"val_loss"`, or a pair of one and of `"max"` or `"min"`, what is better, as
            `("val_dice", "max")`; a `keras_tuner.Objective` will do. Defaults to `None`, for the
            accuracy, and the loss if there is none or more than one; on the validation data if
            there are any.
        directory: Folder for studies, which are KerasTuner's. Defaults to `None`, for none.
        name: Of the study, a folder in `directory`. Defaults to `"comparison"`.
        verbose: `1` for a line on standard error that tells the runs that are done, the epoch and
            the batch, `0` for none. Defaults to `"auto"`, for one in terminals and notebooks.

    Returns:
        `Comparison`, which prints as a table with a verdict, and plots the learning curves.
        On a worker of a study over several machines `None`: the chief has it.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, a label is twice, or the metric is unknown.
        RuntimeError: If a run fails; says which.
        ImportError: If there is a `directory`, or a chief, and KerasTuner is not installed.

    Example:

    >>> def build_model():
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> x = np.random.default_rng(0).normal(size=(20, 4))
    >>> comparison = keras_winit.compare(
    ...     build_model, x, x.sum(1), ["zeros"], seeds=1, epochs=2, verbose=0
    ... )
    >>> sorted(comparison.initializers)
    ['own', 'zeros']

    Reference:

    - [Bouthillier et al., 2021](https://arxiv.org/abs/2103.03098), on the spread between seeds
    """
    takes_initializer = _takes_initializer(build_model)
    candidates, baseline = _candidates(initializers, takes_initializer)
    seeds = _seeds(seeds)
    epochs = _checks.integer("epochs", epochs, minimum=1)
    if batch_size is not None:
        batch_size = _checks.integer("batch_size", batch_size, minimum=1)
    split = _split(x, validation_data, validation_split)
    metric, higher_is_better = _metric(metric)
    if not isinstance(name, str) or not name:
        raise TypeError(f"`name` should be a text that is not empty. Received: name={name!r}.")

    fit = {"x": x, "y": y, "epochs": epochs, "batch_size": batch_size}
    fit |= {"validation_data": validation_data, "validation_split": split}
    settings = f"epochs={epochs}, batch_size={batch_size}, validation_split={split}, data="
    settings += _fingerprint(x, y, validation_data)
    wanted = [
        {"initializer": label, "seed": seed, "scheme": _text(scheme), "settings": settings}
        for seed in seeds
        for label, scheme in candidates.items()
    ]

    def train(values):
        if values not in wanted:
            raise ValueError(
                "A worker should be started with the arguments and the data of its chief. "
                f"Received: the run {values!r}, which is none of its own."
            )
        label, seed = values["initializer"], values["seed"]
        check = _CheckEpoch(metric)
        try:
            with within():
                tell(f"{label!r} with seed {seed}")
                with within():
                    scheme = candidates[label]
                    history = _train(build_model, scheme, takes_initializer, seed, fit, check)
        except Exception as error:
            raise RuntimeError(
                f"Initializer {label!r} failed with seed {seed}: "
                f"{type(error).__name__}: {_checks.first_line(error)}"
            ) from error
        if check.error is not None:
            raise check.error
        return _curves(history)

    with progress("compare", verbose), _backends.kept_random_state():
        if directory is None and not _has_chief():
            curves = _run(wanted, train)
        else:
            curves = _study().run(wanted, train, directory, name)
    if curves is None:
        return None
    if metric is None:
        metric = comparison.default_metric(curves[0])
        higher_is_better = comparison.is_higher_better(metric)
    runs = tuple(
        Run(initializer=values["initializer"], seed=values["seed"], curves=found)
        for values, found in zip(wanted, curves, strict=True)
    )
    for each in runs:
        each.curve(metric)
    return Comparison(
        metric=metric,
        higher_is_better=bool(higher_is_better),
        baseline=baseline,
        epochs=epochs,
        runs=runs,
    )


def _has_chief():
    """Whether this process is one of several that KerasTuner connects."""
    return "KERASTUNER_ORACLE_IP" in os.environ


def _study():
    """Returns the module that needs KerasTuner, or raises."""
    try:
        from keras_winit._compare import study
    except ImportError as error:
        raise ImportError(
            "`compare` needs KerasTuner where a `directory` is given, or KERASTUNER_ORACLE_IP is "
            'set: it is not installed. pip install "keras-winit[tune]", or leave these out to have '
            "the runs follow each other in memory."
        ) from error
    return study


def _run(wanted, train):
    """Does one run after the other, and returns their curves."""
    curves = []
    for values in wanted:
        tell(f"{len(curves)} of {len(wanted)} runs done")
        curves.append(train(values))
    return curves


def _curves(history):
    """Returns what a run is known by, wherever it ran: a worker sends single precision.

    What is not finite is no number.
    """
    return {
        name: [float(np.float32(value)) if np.isfinite(value) else math.nan for value in values]
        for name, values in sorted(history.items())
    }


def _train(build_model, scheme, takes_initializer, seed, fit, check):
    """Returns the history of one training."""
    keras.utils.set_random_seed(seed)
    model = _build(build_model, scheme, takes_initializer, seed)
    # Whatever was drawn so far, the samples come in the order of the seed.
    keras.utils.set_random_seed(seed)
    return model.fit(**fit, callbacks=[check], verbose=0).history


class _CheckEpoch(keras.callbacks.Callback):
    """Tells how far a run is, and ends one that has diverged or has no such metric."""

    def __init__(self, metric):
        super().__init__()
        self.metric = metric
        self.error = None
        self._told = ""

    def on_epoch_begin(self, epoch, logs=None):
        self._told = f"epoch {epoch + 1} of {self.params['epochs']}"
        tell(self._told)

    def on_train_batch_begin(self, batch, logs=None):
        number = self.params["steps"]
        tell(f"{self._told}, batch {batch + 1}" + (f" of {number}" if number else ""))

    def on_epoch_end(self, epoch, logs=None):
        if self.metric is not None:
            try:
                comparison.find_metric(self.metric, logs)
            except ValueError as error:
                self.error = error
        if self.error is not None or not np.isfinite(logs["loss"]):
            self.model.stop_training = True


def _takes_initializer(build_model):
    """Returns whether a function takes one argument, or raises if it takes more."""
    if not callable(build_model) or isinstance(build_model, keras.Layer):
        raise TypeError(
            "`build_model` should be a function that returns a compiled model, so that every run "
            f"gets its own. Received: build_model={build_model!r}."
        )
    needed = [
        parameter
        for parameter in inspect.signature(build_model).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1 or any(each.kind is each.KEYWORD_ONLY for each in needed):
        raise TypeError(
            "`build_model` should take no argument, or the initializer alone. "
            f"Received: build_model={build_model!r}, which needs "
            f"{', '.join(repr(parameter.name) for parameter in needed)}."
        )
    return bool(needed)


def _candidates(initializers, takes_initializer):
    """Returns what is to be compared by label, and the label of the baseline among it."""
    if isinstance(initializers, Mapping):
        pairs = list(initializers.items())
    elif isinstance(initializers, Sequence) and not isinstance(initializers, str):
        pairs = [(None, scheme) for scheme in initializers]
    else:
        raise TypeError(
            "`initializers` should be a list of schemes and initializers, or a dict of these by "
            f"label. Received: initializers={initializers!r}."
        )
    if not pairs:
        raise ValueError(
            "`initializers` should hold an initializer at least. "
            f"Received: initializers={initializers!r}."
        )
    candidates = {}
    for label, scheme in pairs:
        scheme = _scheme(scheme, takes_initializer)
        if label is None:
            label = scheme if isinstance(scheme, str) else brief(scheme)
        if not isinstance(label, str) or not label:
            raise TypeError(
                "The labels of `initializers` should be texts that are not empty. "
                f"Received: {label!r}."
            )
        if label in candidates:
            raise ValueError(
                f"`initializers` should differ. Received: {label!r} twice. Give a dict with a "
                "label for each."
            )
        candidates[label] = scheme
    default = _KERAS if takes_initializer else _OWN
    for label, scheme in candidates.items():
        if isinstance(scheme, str) and scheme == default:
            return candidates, label
    if default in candidates:
        raise ValueError(
            f"{default!r} is the label of the baseline. Received: initializers={initializers!r}. "
            "Choose another label."
        )
    return {default: default, **candidates}, default


def _scheme(scheme, takes_initializer):
    """Returns a scheme or initializer that is checked."""
    if isinstance(scheme, Plan):
        raise TypeError(
            "`initializers` should hold no plan, since it is for a single model. "
            f"Received: a plan for model {scheme.model!r}."
        )
    if isinstance(scheme, str) and scheme in SCHEMES:
        if takes_initializer:
            raise ValueError(
                "`initializers` should hold initializers only, where `build_model` takes one. "
                f"Received: {scheme!r}, which is for whole models: it takes a `build_model` "
                "without an argument."
            )
        return scheme
    options = () if takes_initializer else SCHEMES
    initializer = as_initializer("initializers", scheme, options)
    return scheme if isinstance(scheme, str) else initializer


def _seeds(seeds: Seed | Sequence[Seed]) -> Sequence[int]:
    if isinstance(seeds, (list, tuple, range)):
        seeds = [_checks.integer("seeds", seed, minimum=0) for seed in seeds]
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"`seeds` should be different ones. Received: seeds={seeds!r}.")
        return seeds
    return range(_checks.integer("seeds", seeds, minimum=1))


def _split(x, validation_data, validation_split):
    """Returns the fraction of the samples that is kept for validation."""
    if isinstance(x, Iterator):
        raise TypeError(
            "`x` should be data that can be read once for each run. "
            f"Received: x={x!r}, which can be read once only."
        )
    split = _checks.real("validation_split", validation_split)
    if not 0 <= split < 1:
        raise ValueError(
            "`validation_split` should be at least 0 and less than 1. "
            f"Received: validation_split={validation_split!r}."
        )
    if validation_data is not None:
        return 0.0
    if split and not all(map(_is_array, keras.tree.flatten(x))):
        raise ValueError(
            "`validation_data` should be given where `x` holds no arrays, or validation_split=0 to "
            f"compare on the data of the training. Received: x of type {type(x).__name__}."
        )
    return split


def _metric(metric):
    """Returns the name of a metric and whether more of it is better."""
    if metric is None:
        return None, None
    # An objective of KerasTuner has the two as attributes.
    pair = getattr(metric, "name", None), getattr(metric, "direction", None)
    if isinstance(metric, (tuple, list)) and len(metric) == 2:
        pair = tuple(metric)
    if isinstance(pair[0], str) and pair[1] in ("min", "max"):
        return pair[0], pair[1] == "max"
    if not isinstance(metric, str):
        raise TypeError(
            '`metric` should be the name of a metric, or a pair of it and of "max" or "min". '
            f"Received: metric={metric!r}."
        )
    higher_is_better = comparison.is_higher_better(metric)
    if higher_is_better is None:
        raise ValueError(
            f"`metric` should say whether more of it is better. Received: metric={metric!r}. Give "
            f'metric=("{metric}", "max"), or "min".'
        )
    return metric, higher_is_better


def _build(build_model, scheme, takes_initializer, seed):
    """Returns a compiled model with the starting weights of a seed."""
    if takes_initializer and isinstance(scheme, keras.Initializer):
        scheme = with_gain(scheme).clone()  # with a seed of its own, unless it was given one
    model = build_model(scheme) if takes_initializer else build_model()
    if not isinstance(model, keras.Model):
        raise TypeError(f"`build_model` should return a Keras model. Received: {model!r}.")
    if not model.compiled:
        raise ValueError("`build_model` should return a model that is compiled.")
    if not takes_initializer:
        initialize(model, scheme, seed=seed, verbose=0)
    return model


def _text(scheme):
    """Returns a text that is the same for equal schemes."""
    if isinstance(scheme, keras.Initializer):
        return f"{type(scheme).__name__}({with_gain(scheme).get_config()!r})"
    return scheme if isinstance(scheme, str) else brief(scheme)


def _is_array(value):
    return hasattr(value, "__array__") or keras.ops.is_tensor(value)


def _fingerprint(*data):
    """Returns a text that is the same for equal data alone; of a data set its type is all."""
    found = hashlib.blake2b(digest_size=8)
    for leaf in keras.tree.flatten(data):
        if _is_array(leaf) or isinstance(leaf, (bool, int, float, str)):
            array = np.asarray(keras.ops.convert_to_numpy(leaf) if _is_array(leaf) else leaf)
            found.update(f"{array.shape} {array.dtype}".encode())
            array = array.astype("U") if array.dtype.hasobject else array
            found.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        else:
            found.update(type(leaf).__name__.encode())
    return found.hexdigest()
