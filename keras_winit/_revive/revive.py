"""Gives units that give nothing new weights, so that they can learn again."""

import functools
import random
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from keras_winit import _backends, _checks, _network
from keras_winit._measure.batch import take
from keras_winit._measure.measure import run
from keras_winit._measure.units import dead_units
from keras_winit._network.network import Network
from keras_winit._network.takers import input_axis, output_axis
from keras_winit._network.transaction import all_or_nothing
from keras_winit._plan.plan import choices_of, make_plan
from keras_winit._revive.slots import forget
from keras_winit._show.progress import progress, tell
from keras_winit._show.result import Part, Result
from keras_winit._turn import turn
from keras_winit.constraints import SparsityMask
from keras_winit.initializers._for_weight import fill
from keras_winit.typing import Data, Seed, Verbose


@dataclass(frozen=True, kw_only=True, repr=False)
class RevivedLayer(Part):
    """What happened to the units of one layer.

    Attributes:
        layer: Its path.
        units: Number of its units.
        dead: Number of those that gave nothing.
        revived: Number of those that got new weights: all that were dead, or none.
        reason: Why they were left alone, `None` where they were not.
    """

    layer: str
    units: int
    dead: int
    revived: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Revival(Result):
    """What `revive` has done: prints as a table, in a notebook as HTML.

    Attributes:
        model: Name of the model.
        rows: A `RevivedLayer` for every layer with dead units.
        revived: Number of units that got new weights, of all layers.
        seed: The seed, also where none was given.

    Example:

    >>> bias = keras.initializers.Constant(-100.0)
    >>> dead = keras.layers.Dense(5, "relu", bias_initializer=bias, name="dead")
    >>> model = keras.Sequential([keras.Input((8,)), dead, keras.layers.Dense(2)])
    >>> result = keras_winit.revive(model, np.random.default_rng(0).normal(size=(64, 8)))
    >>> [(row.dead, row.revived) for row in result.rows]
    [(5, 5)]
    """

    model: str
    rows: tuple[RevivedLayer, ...]
    seed: int

    columns: ClassVar[dict[str, str]] = {
        "layer": "layer",
        "units": "units",
        "dead": "dead",
        "revived": "revived",
        "left alone because": "reason",
    }

    @property
    def revived(self) -> int:
        """Number of units that got new weights, of all layers."""
        return sum(row.revived for row in self.rows)

    @property
    def title(self) -> str:
        """Line above the table."""
        if not self.rows:
            return f"No unit of model {self.model!r} is dead"
        return f"Dead units of model {self.model!r}, revived with seed {self.seed}"


@turn()
@_backends.kept_random_state()
def revive(
    model: keras.Layer,
    x: Data,
    *,
    seed: Seed | None = None,
    verbose: Verbose = "auto",
) -> Revival:
    """Gives units that give nothing for any sample new weights, in place (ReDo).

    A unit that gives zero for every sample gets no gradient: it stays as it is. Here it gets

    - new incoming weights, drawn as `suggest` would have it, and a bias of its initial value;
    - of a batch normalization before its activation, gamma and beta of their initial values, and
      the statistics of this batch;
    - outgoing weights of zero. So the model gives the same for `x`, and the unit comes into use as
      they are trained. Only between two units that are both revived, weights are drawn: else
      behind a layer that is dead as a whole nothing would come in;
    - of the compiled optimizer, momenta of zero and, for sizes of gradients as Adam's second
      moments, the median of those of the other units. (Zeros there, after many steps, would make
      steps of several times the learning rate.)

    Call it in a training loop of your own; in `fit`, `SignalMonitor(x, revive=True)` does. It is
    done for dense and convolutional layers with an activation whose units go, each by itself,
    through dropout, pooling, flattening, concatenation and the like, to other such layers. Where
    they are added to others, go to the output, or it cannot be told, and in frozen and shared
    layers, they are left alone, and the result says why. If anything fails, the model and the
    optimizer stay as they were.

    Args:
        model: Built Keras model.
        x: Batch to tell by which units are dead, as in `diagnose`: of some hundred samples, as one
            that is used by few of them counts as dead where none of those is in it.
        seed: Integer or `None`, as in `initialize`.
        verbose: `1` for a line on standard error that tells how far it is, after two seconds, `0`
            for none. Defaults to `"auto"`, for one in terminals and notebooks.

    Returns:
        `Revival`: prints as a table of the layers with dead units.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, or the batch does not fit.

    Example:

    >>> layers = [keras.layers.Dense(6, "relu", name="hidden"), keras.layers.Dense(2, name="end")]
    >>> model = keras.Sequential([keras.Input((8,)), *layers])
    >>> _ = layers[0].bias.assign([0, 0, 0, 0, -99, -99])  # two units die
    >>> result = keras_winit.revive(model, np.random.default_rng(0).normal(size=(64, 8)))
    >>> result.revived, keras.ops.convert_to_numpy(layers[0].bias).tolist()
    (2, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    >>> keras.ops.convert_to_numpy(layers[1].kernel)[4:].tolist()
    [[0.0, 0.0], [0.0, 0.0]]

    Reference:

    - [Sokar et al., 2023](https://arxiv.org/abs/2302.12902), section 5
    """
    if seed is None:
        seed = random.randint(1, 10**9)
    seed = _checks.integer("seed", seed)
    with progress("revive", verbose):
        tell("reads the model")
        network = Network(model)
        network.check_built()
        if x is None:
            raise ValueError(
                "`x` should be a batch of your data, by which units are dead or not. Received: "
                "x=None. Give some hundred samples."
            )
        return revive_units(network, take(network, x), seed)


def revive_units(network: Network, batch: Any, seed: int) -> Revival:
    """Does what `revive` does, for the `Batch` of a `Network`."""
    tell("runs it")
    dead = {layer: units for layer, units in dead_units(network, batch).items() if units.any()}
    reasons, found, draw = {}, {}, _draws(network.model, seed)
    for layer, units in dead.items():
        takers = network.takers(layer)
        reasons[layer] = takers.problem or _reason_to_leave(network, layer, takers)
        if reasons[layer] is None and not _columns(draw, layer, units)[-1].any():
            reasons[layer] = "its kernel starts at zero"
        if reasons[layer] is None:
            found[layer] = units, takers
    if found:
        tell("draws")
        with all_or_nothing() as changes:
            _give(network, found, draw, batch, changes)
    return Revival(
        model=network.model.name,
        seed=seed,
        rows=tuple(
            RevivedLayer(
                layer=layer.path,
                units=len(units),
                dead=int(units.sum()),
                revived=int(units.sum()) if layer in found else 0,
                reason=reasons[layer],
            )
            for layer, units in dead.items()
        ),
    )


def _draws(model, seed):
    """Returns a function of a variable to what its plan draws for it."""
    choices = choices_of(make_plan(model, "suggested"))
    keys = _network.stable_paths(model, [choice.weight for choice in choices])
    known = {
        id(choice.weight.variable): (choice, f"{seed}/{key}")
        for choice, key in zip(choices, keys, strict=True)
    }

    @functools.cache
    def draw(identity):
        choice, key = known[identity]
        return fill(choice.weight, choice.initializer, key, as_keras=choice.as_keras)

    return lambda variable: draw(id(variable))


def _reason_to_leave(network, layer, takers):
    """Returns why weights that have to change may not, `None` if they may."""
    others = (each for each, _ in (*takers.rows, *takers.normalizations))
    for each in (layer, *others):
        for weight in network.layers[each]:
            reason = weight.skip
            if weight.is_frozen:
                reason = "frozen"
            elif isinstance(weight.variable.constraint, SparsityMask):
                reason = "its SparsityMask belongs to the zeros it has"
            elif weight.role == "lora":
                reason = "LoRA adds to it"
            if reason is not None:
                return f"{weight.path}: {reason}"
    return None


def _columns(draw, layer, units):
    """Returns the kernel of a layer, the place in it of some units, and what is drawn for them."""
    (kernel,) = _network.kernels_of(layer)
    variable = getattr(layer, kernel.weight)
    place = _along(output_axis(layer), units)
    return variable, place, draw(variable)[place]


def _along(axis, places):
    return (slice(None),) * axis + (places,)


class _Values:
    """New values of variables, assigned together.

    Attributes:
        fresh: Dict from the id of a variable to a boolean array, which of its values are new.
    """

    def __init__(self):
        self.fresh, self._values = {}, {}

    def set(self, variable, place, values):
        identity = id(variable)
        if identity not in self._values:
            held = np.array(_backends.view(variable), np.float32)
            self._values[identity] = variable, held
            self.fresh[identity] = np.zeros(held.shape, bool)
        self._values[identity][1][place] = values
        self.fresh[identity][place] = True

    def assign(self, changes):
        for variable, values in self._values.values():
            changes.keep(variable, _backends.view(variable))()
            _backends.assign(variable, values)


def _give(network, found, draw, batch, changes):
    """Gives the dead units of layers new weights: what they give to zero, then what they take."""
    values, normalizations = _Values(), []
    for units, takers in found.values():
        for taker, rows in takers.rows:
            (kernel,) = _network.kernels_of(taker)
            place = _along(input_axis(taker), (rows >= 0) & units[rows])
            values.set(getattr(taker, kernel.weight), place, 0.0)
    for layer, (units, takers) in found.items():
        values.set(*_columns(draw, layer, units))
        vectors = [(network.bias(layer), units)]
        for normalization, rows in takers.normalizations:
            place = (rows >= 0) & units[rows]
            normalizations.append((normalization, place))
            vectors += [(each, place) for each in network.layers[normalization]]
        for weight, place in vectors:
            if weight is not None:
                values.set(weight.variable, place, draw(weight.variable)[place])
    values.assign(changes)
    _take_statistics(network.model, normalizations, batch, changes)
    forget(network.model, values.fresh, changes)


def _take_statistics(model, normalizations, batch, changes):
    """Has batch normalizations start the new units from the statistics of a batch.

    They have just been set to what is known; what they become by one batch tells its own.
    """
    if not normalizations:
        return
    with _backends.without_gradient(), _network.restored(model), keras.StatelessScope() as scope:
        run(model, batch)
    for layer, place in normalizations:
        rate = 1 - layer.momentum
        if not rate > 0:
            continue
        for variable in (layer.moving_mean, layer.moving_variance):
            before, after = (
                np.array(keras.ops.convert_to_numpy(keras.ops.cast(each, "float32")), np.float64)
                for each in (variable.value, scope.get_current_value(variable))
            )
            values = before.copy()
            values[place] += (after - before)[place] / rate
            changes.assign(variable, values.astype(np.float32))
