"""Starts a model from the weights of another one, of other sizes."""

import math
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np

from keras_winit import _backends, _checks
from keras_winit._inherit.transfer import transfers
from keras_winit._inherit.values import taken
from keras_winit._measure import batch
from keras_winit._network import restart, restored
from keras_winit._network.network import Network
from keras_winit._network.transaction import all_or_nothing
from keras_winit._network.units import spread
from keras_winit._show.progress import progress, tell
from keras_winit._show.result import Part, Result
from keras_winit._turn import turn
from keras_winit.typing import Names, Verbose

# Outputs that differ by less, as a share of their size, differ by rounding alone.
_ROUNDING, _ROUNDING_16_BITS = 1e-5, 2e-2
_NUM_SAMPLES = 8
_MOST_SHOWN = 5  # of the layers that a note lists


@dataclass(frozen=True, kw_only=True, repr=False)
class InheritedWeight(Part):
    """What one weight inherits.

    Attributes:
        weight: Its path.
        shape: Its shape.
        source: Path of the weight that it comes from, `None` where it comes from none.
        source_shape: The shape of that, or `None`.
        what: What it gets of it, or why it is left alone.
        left: Whether it keeps the values it has.
    """

    weight: str
    shape: tuple[int, ...]
    source: str | None
    source_shape: tuple[int, ...] | None
    what: str
    left: bool = False


@dataclass(frozen=True, kw_only=True, repr=False)
class Inheritance(Result):
    """What a model inherits from another one: prints as a table, in a notebook as HTML.

    Attributes:
        model: Name of the model.
        source: Name of the model that it inherits from.
        rows: An `InheritedWeight` for every weight of the model.
        unused: Paths of the weights of the source that have no place in the model.
        dry_run: Whether nothing was changed.
        difference: Largest difference between the outputs of both models on random inputs, as a
            share of the largest output; `None` where something of the source is left out, in a dry
            run, and where the models do not take the same inputs.
        notes: Sentences on what is left, and on what the outputs are.

    Example:

    >>> def build_model(width):
    ...     hidden = keras.layers.Dense(width, "relu", name="hidden")
    ...     return keras.Sequential([keras.Input((8,)), hidden, keras.layers.Dense(3)])
    >>> result = keras_winit.inherit(build_model(6), build_model(4))
    >>> result.difference < 1e-5, [row.what for row in result.rows][:2]
    (True, ['6 outputs for 4', '6 units for 4'])
    """

    model: str
    source: str
    rows: tuple[InheritedWeight, ...]
    unused: tuple[str, ...] = ()
    dry_run: bool = False
    difference: float | None = None
    notes: tuple[str, ...] = ()

    columns: ClassVar[dict[str, str]] = {
        "weight": "weight",
        "shape": "shape",
        "from": "source",
        "of shape": "source_shape",
        "what": "what",
    }

    @property
    def left(self) -> tuple[InheritedWeight, ...]:
        """The rows of the weights that keep the values they have."""
        return tuple(row for row in self.rows if row.left)

    @property
    def title(self) -> str:
        """Line above the table."""
        verb = "would inherit" if self.dry_run else "has inherited"
        return f"What model {self.model!r} {verb} from {self.source!r}"


@turn()
@_backends.kept_random_state()
def inherit(
    model: keras.Layer,
    source: keras.Layer,
    *,
    leave: Names | None = None,
    dry_run: bool = False,
    verbose: Verbose = "auto",
) -> Inheritance:
    """Starts a model from the weights of a narrower, wider, shallower or deeper one, in place.

    Layers are paired by kind, order and name: of a deeper source the first ones of a kind are
    taken, with its outputs. Where a pair has another number of units, n here and N in the source,
    unit i is unit i * N // n of the source:

    - in a narrower model that is every (N / n)-th unit, wherever it is given and wherever it is
      taken (weight selection). Kernels that take fewer inputs are multiplied by sqrt(N / n), as
      sums of fewer are smaller;
    - in a wider one each unit has n / N copies, and what is made of them is divided among them, so
      that the outputs stay those of the source (Net2Net). Each output divides it in other shares:
      with equal ones, copies would stay copies however long they are trained.

    Units are followed through the graph of the model, also flattened, put together and added; heads
    of attention, gates, groups and experts are units of their own. Tables keep their first rows:
    tokens and positions. What reads inputs, or gives outputs, of which the models have another
    number keeps its values; so does what the source has no layer for, but for new layers of a
    deeper model: the last kernel of a new residual branch becomes zero, and a layer with as many
    outputs as inputs becomes the identity where nothing or relu follows. What is left alone is
    said; `initialize` the model before, so that it has good values there.

    Outputs stay those of the source where every width is a multiple of the source's, or the
    layers that normalize across units are as wide as there, and new layers can be started so.
    Whether they do is measured. Attention that rotates queries and keys has to keep its head size.

    Types may differ: values are computed in float32 and cast last. Shared weights are set once.
    Optimizers keep their state. If anything fails, the model keeps all of its weights.

    Args:
        model: Built Keras model or layer.
        source: Built Keras model or layer, most often a trained one, of the same kind of layers.
            It is not changed.
        leave: Name, path or pattern (`"head/*"`) of layers or weights of the model, or a list of
            them, that keep the values they have. Defaults to `None`, for none.
        dry_run: Whether to change nothing, and return what would be done. Defaults to `False`.
        verbose: `1` for a line on standard error that tells how far it is, after two seconds, `0`
            for none. Defaults to `"auto"`, for one in terminals and notebooks.

    Returns:
        `Inheritance`: prints as a table what each weight gets, from which one and how.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a model is not built, a name is unknown, no kernel of the source has a place
            in the model, a pair of layers does not fit, or values are not finite.

    Example:

    >>> def build_model(width):
    ...     hidden = [keras.layers.Dense(width, "relu", name=f"hidden_{n}") for n in range(2)]
    ...     return keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(3, name="end")])
    >>> small, large = build_model(4), build_model(16)
    >>> plan = keras_winit.inherit(small, large, dry_run=True)  # prints as a table
    >>> plan.rows[2].what
    '4 of 16 inputs, 4 of 16 outputs'
    >>> result = keras_winit.inherit(small, large)
    >>> kernels = (model.layers[1].kernel for model in (small, large))
    >>> kernel, wide = map(keras.ops.convert_to_numpy, kernels)
    >>> np.array_equal(kernel, 2 * wide[::4, ::4])  # 2 = sqrt(16 / 4)
    True

    Reference:

    - [Xu et al., 2024](https://arxiv.org/abs/2311.18823), section 3
    - [Chen et al., 2016](https://arxiv.org/abs/1511.05641), section 2
    - [Wang et al., 2024](https://arxiv.org/abs/2310.07999), for shares that differ
    """
    _checks.flag("dry_run", dry_run)
    with progress("inherit", verbose):
        tell("reads the models")
        network, given = Network(model), _source(source)
        network.check_built()
        _check_apart(model, source)
        left = set(network.select(leave, "leave")) if leave is not None else set()
        found, unused = transfers(network, given, left)
        difference, notes = None, ()
        if not dry_run:
            with all_or_nothing() as changes:
                for number, each in enumerate(found, 1):
                    tell(f"weight {number} of {len(found)}")
                    if each.values is not None:
                        _give(each, changes)
            difference, notes = _outputs(network, given, found)
            notes = (*notes, *restart.kept(model, "compile the model again"))
        return Inheritance(
            model=model.name,
            source=source.name,
            rows=tuple(map(_row, found)),
            unused=tuple(weight.path for weight in unused),
            dry_run=dry_run,
            difference=difference,
            notes=(*_on_unused(unused), *notes),
        )


def _source(source):
    """Returns the `Network` of a source, or raises what says that it is none."""
    if not isinstance(source, keras.Layer):
        raise TypeError(
            "`source` should be a Keras model: the one whose weights are inherited. "
            f"Received: source={source!r}."
        )
    network = Network(source)
    try:
        network.check_built()
    except ValueError as error:
        raise ValueError(f"`source` has nothing to give: {error}") from error
    return network


def _check_apart(model, source):
    known = {id(variable) for variable in model.weights}
    shared = [variable.path for variable in source.weights if id(variable) in known]
    if shared:
        raise ValueError(
            "`source` should be another model, with weights of its own. Received: "
            f"source={source.name!r}, whose weight {shared[0]!r} is one of the model. Make a copy "
            "with `keras.models.clone_model` and `set_weights`."
        )


def _give(transfer, changes):
    """Assigns its new values to one weight."""
    weight, variable = transfer.weight, transfer.weight.variable
    values = transfer.values()
    dtype = keras.backend.standardize_dtype(variable.dtype)
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(values.astype("float16") if dtype == "float16" else values).all()
    if not is_finite:
        layer, path = weight.layer, transfer.other and transfer.other.path
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}), {weight.name} of shape "
            f"{weight.shape}: the values of {path!r} are not all finite in {dtype}. Give "
            f"`leave={layer.name!r}` to keep what it has, or another source."
        )
    changes.keep(variable, _backends.view(variable))()
    _backends.assign(variable, values)


def _outputs(network, source, found):
    """Returns how much the outputs of both models differ, and sentences on it.

    Where something of the source is left out, nothing can be said.
    """
    given = {id(each.other) for each in found if each.other and each.keeps_all}
    floats = (weight for weight in source.weights if "float" in str(weight.variable.dtype))
    if not all(id(weight) in given for weight in floats):
        return None, ()
    tell("runs both models")
    try:
        difference = _difference(network.model, source)
    except Exception as error:  # whatever the code of layers raises
        reason = _checks.first_line(error)
        return None, (f"Whether its outputs are those of the source was not measured: {reason}",)
    if not math.isfinite(difference):
        reason = "on random inputs, they are no numbers"
        return None, (f"Whether its outputs are those of the source was not measured: {reason}.",)
    is_16_bits = "16" in str(network.model.compute_dtype)
    if difference < (_ROUNDING_16_BITS if is_16_bits else _ROUNDING):
        words = f"are those of the source, within {difference:.1g} of their size"
        return difference, (f"Its outputs {words}, on random inputs.",)
    return difference, (
        f"Its outputs are not those of the source: they differ by {difference:.2g} of their size, "
        "on random inputs. They stay where widths are multiples of the source's, and new layers "
        "can be the identity, or end a branch at zero.",
    )


def _difference(model, source):
    """Returns the largest difference between outputs on noise, as a share of the largest output."""
    inputs = batch.take(source).at(slice(_NUM_SAMPLES))
    one, other = (_run(each, inputs) for each in (model, source.model))
    other = [taken(b, map(spread, a.shape, b.shape)) for a, b in zip(one, other, strict=True)]
    largest = max(float(abs(each).max()) for each in other)
    pairs = zip(one, other, strict=True)
    return max(float(abs(a - b).max()) for a, b in pairs) / (largest or 1.0)


def _run(model, inputs):
    with _backends.without_gradient(), restored(model), keras.StatelessScope():
        outputs = keras.tree.flatten(inputs.apply(model, training=False))
        return [keras.ops.convert_to_numpy(each).astype(np.float32) for each in outputs]


def _row(transfer):
    weight, other = transfer.weight, transfer.other
    return InheritedWeight(
        weight=weight.path,
        shape=weight.shape,
        source=other and other.path,
        source_shape=other and other.shape,
        what=transfer.what,
        left=transfer.values is None,
    )


def _on_unused(unused):
    """Returns a sentence on the weights of the source that have no place, in a tuple."""
    if not unused:
        return ()
    layers = list(dict.fromkeys(weight.path.rpartition("/")[0] for weight in unused))
    shown = layers[:_MOST_SHOWN]
    if len(layers) > _MOST_SHOWN:
        shown.append(f"and {len(layers) - _MOST_SHOWN} more")
    return (f"Layers of the source without a place here: {', '.join(shown)}.",)
