"""Gives every weight of a model new values, all of them or none."""

import math
import random
import warnings
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np

from keras_winit import _backends, _checks, _network
from keras_winit._large_arrays import BLOCK, share
from keras_winit._measure.coverage import coverage
from keras_winit._network import restart
from keras_winit._network.transaction import Changes, all_or_nothing
from keras_winit._plan.keeping import what_is_kept
from keras_winit._plan.plan import Plan, choices_of, make_plan
from keras_winit._show.progress import progress, tell
from keras_winit._show.result import Part, Result
from keras_winit._turn import turn
from keras_winit.constraints import SparsityMask
from keras_winit.initializers._for_weight import fill, in_config
from keras_winit.initializers._names import brief
from keras_winit.typing import Keep, Names, Scheme, Seed, Verbose

_MOST_SHOWN = 5  # of the weights that a warning lists


@dataclass(frozen=True, kw_only=True, repr=False)
class InitializedWeight(Part):
    """What happened to one weight.

    Attributes:
        weight: Its path.
        shape: Its shape.
        fan_in: Products that one output sums, `None` for other weights than kernels.
        fan_out: Outputs that one input reaches, or `None`.
        initializer: What it was drawn with, as one writes it, or `"left alone"`.
        before: Its standard deviation before, `None` for a weight without values.
        after: Its standard deviation now.
        reason: Why.
        skipped: Whether it was left alone.
    """

    weight: str
    shape: tuple[int, ...]
    fan_in: float | None
    fan_out: float | None
    initializer: str
    before: float | None
    after: float | None
    reason: str
    skipped: bool = False


@dataclass(frozen=True, kw_only=True, repr=False)
class Initialization(Result):
    """What `initialize` has done: prints as a table, in a notebook as HTML.

    Attributes:
        model: Name of the model.
        seed: The seed, also where none was given: with it the same weights are drawn again.
        rows: An `InitializedWeight` for every weight.
        notes: Sentences on what is left to do.
        warnings: Those of them on what was not reset and should be: `UserWarning`s as well.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, trainable=False)])
    >>> [row.reason for row in keras_winit.initialize(model).skipped]
    ['frozen', 'frozen']
    """

    model: str
    seed: int
    rows: tuple[InitializedWeight, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    columns: ClassVar[dict[str, str]] = {
        "weight": "weight",
        "shape": "shape",
        "fan in": "fan_in",
        "fan out": "fan_out",
        "drawn with": "initializer",
        "std before": "before",
        "std": "after",
        "why": "reason",
    }

    @property
    def skipped(self) -> tuple[InitializedWeight, ...]:
        """The rows of the weights that were left alone."""
        return tuple(row for row in self.rows if row.skipped)

    @property
    def title(self) -> str:
        """Line above the table."""
        return f"Model {self.model!r}, initialized with seed {self.seed}"


@turn()
def initialize(
    model: keras.Layer,
    scheme: Plan | Scheme = "suggested",
    *,
    keep: Keep | None = None,
    scale: float = 1.0,
    seed: Seed | None = None,
    only: Names | None = None,
    frozen: bool = False,
    optimizer: bool = False,
    base_model: keras.Layer | None = None,
    verbose: Verbose = "auto",
) -> Initialization:
    """Gives the weights of a model new starting values, in place.

    Kernels are drawn by the axes and fans they really have: per gate, per group, per map of an
    attention layer, transposed kernels the right way round. Biases, normalization (its statistics
    included) and embeddings return to what their layer gives them, unless the scheme says
    otherwise. So do kernels whose author gave something special: see `suggest`. Every weight has a
    stream of its own, keyed by the seed and its path: no two are alike, adding a layer leaves the
    others as they were, and TensorFlow, JAX and torch get the same values. (Numbers in automatic
    layer names count from the first of the model.)

    Afterwards the layers' initializer attributes are those that were used, and so are the configs
    that are saved. (Where a config has room for one and several were drawn differently, it keeps
    the author's: of the maps of attention, as by `"mimetic"`, and of the two tables of an untied
    `ReversibleEmbedding`.) What their authors gave is remembered as long as the layers live: a
    scheme gives the same whatever came before it, and `"own"` what the authors wrote. A saved file,
    and a copy made of a config, hold what was used last. Shared weights are drawn once. If anything
    fails, or is interrupted, the model keeps all of its weights and initializers.

    Before another training, as in cross-validation, give `optimizer=True`: then all is as in a
    fresh model but for the learning rate. What was to be reset and is not is a `UserWarning`: the
    state of the optimizer, and weights that `"own"` leaves, since no layer says how to draw them.

    Args:
        model: Built Keras model or layer.
        scheme: One of

            - `"suggested"`: the right weights by activation, depth and shortcuts; see `suggest`;
            - a `Plan` that `suggest` made, edited or not;
            - `"own"`: a reset; what each layer's own initializers would draw;
            - `"keras"`: the defaults of Keras;
            - `"pytorch"`: the defaults of torch, biases included;
            - `"critical"`: weights and biases at the edge of chaos, for deep plain networks;
            - `"fixup"`, `"zero_last"`, `"gpt2"`: residual branches that start at zero and are
              scaled with depth, that start at zero, that are scaled with depth;
            - `"mimetic"`: attention as that of trained vision transformers, for small data sets;
              the rest as suggested;
            - `"mup"`: variances with which all layers learn at any width, for learning rates by
              `scale_learning_rates`, beside a `base_model`;
            - `"mirrored"`, or a `keras_winit.initializers.Mirrored`: pairs of units that see z
              and -z wherever f(z) - f(-z) is linear and the graph tells where they go, at any
              depth; the rest as suggested;
            - any initializer, by name, class or instance, for all kernels; `"looks_linear"` for
              those that a rectifier follows, as first, last or between by what their inputs are,
              and for the others as suggested.

            Defaults to `"suggested"`.
        keep: Which initializers that the authors of the layers gave to keep: `"special"`, `"all"`
            or `"none"`, as in `suggest`. Defaults to `None`: `"special"` where weights get what is
            suggested, and `"none"` where they get what the name of the scheme says.
        scale: Positive float, what the kernels that are drawn are multiplied by, and the arguments
            of their initializers with them: `0.5` for a small start. Recurrent kernels,
            embeddings, biases, normalization, and what is kept of the authors', start as without.
            Defaults to `1.0`.
        seed: Integer or `None`, for one that `keras.utils.set_random_seed` governs.
        only: Name, path or pattern (`"encoder/*"`) of layers or weights, or a list of them;
            all others are left alone. Defaults to `None`, for all.
        frozen: Whether weights that are not trainable because their layer is not, or because
            LoRA froze them, are drawn as well. Defaults to `False`.
        optimizer: Whether the optimizer starts anew as well, and with it the metrics and the seed
            generators of dropout and the like. (On torch a dropout without a seed asks torch.)
            The learning rate stays what it is now. Defaults to `False`.
        base_model: For `"mup"` alone, and needed there: the model of the width that the learning
            rate was tuned at, built by the same code; for that model, itself. Defaults to `None`.
        verbose: `1` for a line on standard error that tells how far it is, after two seconds, `0`
            for none. Defaults to `"auto"`, for one in terminals and notebooks.

    Returns:
        `Initialization`, which lists every weight and what was left alone for what reason.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, the scheme or a name is unknown, an initializer
            does not fit a weight, or the optimizer cannot start anew.
        RuntimeError: If a weight does not have the values that were assigned to it.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(4, "relu", name="hidden"), keras.layers.Dense(2)]
    ... )
    >>> result = keras_winit.initialize(model, "orthogonal", seed=7)
    >>> result.rows[0].initializer, result.rows[0].fan_in
    ('Orthogonal()', 8)
    """
    optimizer = _checks.flag("optimizer", optimizer)
    with progress("initialize", verbose), all_or_nothing() as changes:
        result = initialize_within(
            changes,
            model,
            scheme,
            keep=keep,
            scale=scale,
            seed=seed,
            only=only,
            frozen=frozen,
            optimizer=optimizer,
            base_model=base_model,
        )
        for warning in result.warnings:
            warnings.warn(warning, stacklevel=3)  # beyond `turn`
        return result


def initialize_within(
    changes: Changes,
    model: keras.Layer,
    scheme: Plan | Scheme = "suggested",
    *,
    keep: Keep | None = None,
    scale: float = 1.0,
    seed: Seed | None = None,
    only: Names | None = None,
    frozen: bool = False,
    optimizer: bool = False,
    base_model: keras.Layer | None = None,
) -> Initialization:
    """Does what `initialize` does, as a part of `Changes` that are made together."""
    if seed is None:
        seed = random.randint(1, 10**9)
    seed = _checks.integer("seed", seed)
    _checks.flag("frozen", frozen)
    tell("reads the model")
    plan = make_plan(model, scheme, keep, only, base_model, scale)
    choices = choices_of(plan)
    chosen = {choice.weight.path for choice in choices}
    if only is not None:
        chosen = {weight.path for weight in plan.select(only, argument="only")}
    keys = _network.stable_paths(model, [choice.weight for choice in choices])
    rows, done, left = [], {}, []
    for number, (choice, key) in enumerate(zip(choices, keys, strict=True), 1):
        tell(f"weight {number} of {len(choices)}")
        if choice.weight.path not in chosen:
            continue
        reason = _reason_to_skip(choice, frozen)
        if reason is None:
            before, after = _draw(choice, f"{seed}/{key}", changes)
            told = in_config(choice.weight, choice.initializer, as_keras=choice.as_keras)
            done[choice.weight] = told
        else:
            before = after = _std(_backends.view(choice.weight.variable))
            if not choice.weight.is_frozen and choice.weight.may_change:
                left.append(f"{choice.weight.path} ({reason})")
        rows.append(_row(choice, before, after, reason))
    _network.tell_initializers([choice.weight for choice in choices], done, changes)
    _network.tell_attention(model, changes)
    asked = coverage(
        [each.weight for each in choices if each.weight.path in chosen and each.weight not in done]
    )
    if optimizer:
        restart.restart(model, changes)
    is_reset = isinstance(scheme, str) and scheme == "own"
    warned = (*(_not_reset(left) if is_reset else ()), *restart.kept(model))
    drawn = [choice for choice in choices if choice.weight in done]
    notes = (*asked.left_alone, *what_is_kept(drawn), *warned)
    return Initialization(
        model=model.name, seed=seed, rows=tuple(rows), notes=notes, warnings=warned
    )


def _reason_to_skip(choice, frozen):
    if choice.initializer is None:
        return choice.reason
    if not frozen and choice.weight.is_frozen:
        return "frozen"
    if isinstance(choice.weight.variable.constraint, SparsityMask):
        return "its SparsityMask belongs to the zeros it has"
    return None


def _row(choice, before, after, reason):
    weight = choice.weight
    fan_in, fan_out = weight.fans
    return InitializedWeight(
        weight=weight.path,
        shape=weight.shape,
        fan_in=fan_in,
        fan_out=fan_out,
        initializer=brief(None if reason else choice.initializer),
        before=before,
        after=after,
        reason=reason or choice.reason,
        skipped=reason is not None,
    )


def _draw(choice, seed, changes):
    """Draws and assigns one weight; returns its standard deviation before and after."""
    variable = choice.weight.variable
    held = _backends.view(variable)
    are_kept = changes.keep(variable, held)
    before = _std(held)
    try:
        values = fill(choice.weight, choice.initializer, seed, as_keras=choice.as_keras)
        after = _std(values)
        if not math.isfinite(after):
            raise ValueError("the values drawn are not all finite.")
    except (TypeError, ValueError) as error:
        weight = choice.weight
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"Layer {weight.layer.name!r} ({type(weight.layer).__name__}), {weight.name} of shape "
            f"{weight.shape}, with {brief(choice.initializer)}: {error} "
            "Leave it out with `only`, or give it an initializer of its own in a plan."
        ) from error
    sample = _sample(values)
    are_kept()
    _backends.assign(variable, values)
    taken = _sample(_backends.view(variable))
    if abs(taken - sample).max() > 2**-7 * abs(sample).max():  # 16-bit types round
        raise RuntimeError(f"Weight {choice.weight.path!r} did not take the values assigned to it.")
    return before, after


def _sample(values):
    """Returns up to some thousand of the values."""
    values = np.ravel(values)
    return values[:: 1 + values.size // 1024].astype(np.float32)


def _std(values):
    """Returns the standard deviation, without a copy of the values; `None` if there are none."""
    values = np.ravel(values)
    if not values.size:
        return None
    dtype = np.result_type(values.dtype, np.float32)
    shift = values[0].astype(dtype)  # constants then have exactly none
    sums = np.empty((-(-values.size // BLOCK), 2))

    def work(firsts):
        room = np.empty(min(BLOCK, values.size), dtype)
        with _not_finite():
            for first in firsts:
                block = values[first : first + BLOCK]
                part = np.subtract(block, shift, out=room[: block.size], dtype=dtype)
                total = part.sum()
                sums[first // BLOCK] = total, np.square(part, out=part).sum()

    share(work, values.size)
    with _not_finite():
        mean, mean_square = sums.sum(axis=0) / values.size
        return math.sqrt(max(mean_square - mean**2, 0.0))


def _not_finite():
    """A context for weights that are not finite, whose standard deviation is not a number."""
    return np.errstate(invalid="ignore", over="ignore")


def _not_reset(left):
    """Returns a sentence on the weights that a reset has left, in a tuple."""
    if not left:
        return ()
    shown = left[:_MOST_SHOWN]
    if len(left) > _MOST_SHOWN:
        shown.append(f"and {len(left) - _MOST_SHOWN} more")
    return (
        f"Not reset, and so with the values they had: {', '.join(shown)}. For a complete reset "
        "build the model anew.",
    )
