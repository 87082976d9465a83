"""What the weights of a model are and what they should be, as a table that can be edited."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import keras

from keras_winit import _backends, _checks
from keras_winit._network import Weight
from keras_winit._network.network import Network, matches_path
from keras_winit._network.widths import base_network
from keras_winit._plan.choice import REST, Choice
from keras_winit._plan.keeping import KEEP, kept, what_is_kept
from keras_winit._plan.scaling import scaled
from keras_winit._plan.schemes import SCHEMES, scheme_of
from keras_winit._show.result import Part, Result, Table
from keras_winit.initializers._names import as_initializer, brief
from keras_winit.typing import InitializerLike, Keep, Names, Scheme


@dataclass(frozen=True, kw_only=True, repr=False)
class PlannedWeight(Part):
    """What one weight should get, and why.

    Attributes:
        weight: Its path.
        shape: Its shape.
        fan_in: Products that one output sums, `None` for other weights than kernels.
        fan_out: Outputs that one input reaches, or `None`.
        followed_by: Name of the activation that follows, `None` for other weights than kernels.
        held: The initializer that its layer has now, as one writes it.
        initializer: The one that it should get, or `"left alone"`.
        reason: Why.
        reference: Where that comes from, or an empty string.
        from_layer: Whether it is what the layer gives it, as there is nothing else to suggest.
        instead_of: What is suggested where the initializer of the author is kept, or `None`.
    """

    weight: str
    shape: tuple[int, ...]
    fan_in: float | None
    fan_out: float | None
    followed_by: str | None
    held: str
    initializer: str
    reason: str
    reference: str
    from_layer: bool = False
    instead_of: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Difference(Result):
    """What a plan changes: prints as a table, in a notebook as HTML; made by `Plan.diff`.

    Attributes:
        model: Name of the model.
        rows: A `PlannedWeight` for every weight whose initializer becomes another one.
        num_weights: Number of weights in the plan.

    Example:

    >>> layers = [keras.layers.Dense(3, "relu", name="first"), keras.layers.Dense(2)]
    >>> model = keras.Sequential([keras.Input((4,)), *layers])
    >>> difference = keras_winit.suggest(model).diff()
    >>> [(row.held, row.initializer) for row in difference.rows]
    [('GlorotUniform()', 'VarianceScaling(scale=0.08)')]
    """

    model: str
    rows: tuple[PlannedWeight, ...]
    num_weights: int

    columns: ClassVar[dict[str, str]] = {
        "weight": "weight",
        "has": "held",
        "should get": "initializer",
        "why": "reason",
    }

    @property
    def title(self) -> str:
        """Line above the table."""
        number = f"{len(self.rows)} of {self.num_weights} weights"
        return f"Other initializers in model {self.model!r}, for {number}"


class Plan(Result, Mapping[str, keras.Initializer | None]):
    """An initializer for every weight of a model, with the reason.

    Made by `suggest`; prints as a table, in a notebook as HTML. It maps weight paths to
    initializers, and can be edited: an initializer that is assigned to the name of a layer or to
    a pattern goes to all kernels there, to the path of a weight to that weight.

    Args:
        network: The `Network` of the model.
        choices: A `Choice` for every weight, in the order of the model.

    Attributes:
        model: Name of the model.
        rows: A `PlannedWeight` for every weight, in the order of the model.
        problem: Why the graph of the model could not be read in full, or `None`. What could not is
            judged by its layers alone.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first")])
    >>> plan = keras_winit.suggest(model)
    >>> plan["first"] = "orthogonal"
    >>> plan["first/kernel"].__class__.__name__
    'Orthogonal'
    """

    model: str
    problem: str | None

    columns: ClassVar[dict[str, str]] = {
        "weight": "weight",
        "shape": "shape",
        "fan in": "fan_in",
        "fan out": "fan_out",
        "followed by": "followed_by",
        "has": "held",
        "should get": "initializer",
        "why": "reason",
        "reference": "reference",
    }

    def __init__(self, network: Network, choices: Iterable[Choice]) -> None:
        self._network = network
        self.model, self.problem = network.model.name, network.problem
        self._choices = {choice.weight.path: choice for choice in choices}

    @property
    def rows(self) -> tuple[PlannedWeight, ...]:
        """What every weight has and should get."""
        return tuple(map(self._row, self._choices.values()))

    def _row(self, choice):
        weight, (fan_in, fan_out) = choice.weight, choice.weight.fans
        return PlannedWeight(
            weight=weight.path,
            shape=weight.shape,
            fan_in=fan_in,
            fan_out=fan_out,
            followed_by=self._network.after(weight).name if weight.role == "kernel" else None,
            held=brief(weight.held_initializer()),
            initializer=brief(choice.initializer),
            reason=choice.reason,
            reference=choice.reference,
            from_layer=choice.from_layer,
            instead_of=choice.instead_of and brief(choice.instead_of),
        )

    def __getitem__(self, path: str) -> keras.Initializer | None:
        if path not in self._choices:  # without the name of the model
            longer = [each for each in self._choices if each.endswith(f"/{path}")]
            if len(longer) == 1:
                (path,) = longer
        return self._choices[path].initializer

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __setitem__(self, name: str, initializer: InitializerLike) -> None:
        initializer = as_initializer("initializer", initializer)
        weights = self.select(name, argument="name")
        kernels = [weight for weight in weights if weight.is_kernel]
        weights = kernels or [w for w in weights if matches_path(w, name)]
        skipped = {weight.skip for weight in weights}
        if None not in skipped:
            reason = "; ".join(filter(None, skipped)) or "no kernel; give the path of a weight"
            raise ValueError(
                "`name` should be that of a layer with a kernel, or the path of a weight. "
                f"Received: name={name!r}: {reason}."
            )
        for weight in weights:
            choice = Choice(weight, initializer, "asked for")
            self._choices[weight.path] = _unless_skipped(choice)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the weights get that are not in the table."""
        others = len(self) - len(self.shown.rows)
        rest = (f"Others ({others}): {REST}.",) if others else ()
        return (*rest, *what_is_kept(self._choices.values()))

    def select(self, names: Names, argument: str) -> list[Weight]:
        """Returns the weights that have, or whose layer has, one of the names; see `Network`."""
        return self._network.select(names, argument)

    def diff(self) -> Difference:
        """Returns what would change: the weights whose layers have another initializer now.

        Seeds do not count. Those that keep their initializer are drawn anew all the same.
        """
        rows = self.rows
        left = brief(None)
        changed = tuple(r for r in rows if r.initializer not in (r.held, left))
        return Difference(model=self.model, rows=changed, num_weights=len(rows))

    @property
    def title(self) -> str:
        """Line above the table."""
        title = f"Plan for model {self.model!r}"
        if self.problem:
            title += f"; its graph could not be read in full: {self.problem}"
        return title

    @property
    def shown(self) -> Table:
        """The kernels, and other weights of which there is something to say."""
        return self._tabulate(r for r in self.rows if r.fan_in is not None or not r.from_layer)


def choices_of(plan):
    """Returns the `Choice` of every weight, in the order of the model."""
    return list(plan._choices.values())


@_backends.kept_random_state()
def suggest(model: keras.Layer, *, keep: Keep = "special", scale: float = 1.0) -> Plan:
    """Suggests an initializer for every weight of a model, and changes nothing.

    Looks at the graph of the model (for a subclassed model, at the graph of its `call` on
    symbolic tensors): what follows each kernel, through normalization, dropout, pooling and
    reshaping, as part of the layer, as a layer of its own or as an operation; how deep the
    network is; where it is normalized, and where branches are added to shortcuts. The first
    line that fits decides:

    - biases, normalization, embeddings: what their layer gives them, but for tables of positions
      of less than half the size of what they are added to, which get its size
    - recurrent kernels: `Orthogonal`, for each gate; an LSTM or GRU that hands on its last state
      alone, after a known number of steps, 16 or more of an LSTM, 32 of a GRU, gets biases of
      `ChronoBias` for that number, `BlockDiagonal`, and `Graded` for what it takes: half of the
      units remembers, half works as a SimpleRNN; a SimpleRNN of tanh of 16 or more `BlockDiagonal`
      and `Graded`
    - gates, attention, softmax and other functions across units: `glorot_uniform`, but for the
      output of attention in a branch of the next line
    - a residual branch without normalization: `zeros` for its last kernel, the others smaller
      with the number of branches (Fixup), unless it is multiplied by zero already (ReZero)
    - relu, gelu, silu, softplus and the like in a network of more than 5 layers (12 where there are
      convolutions) without shortcuts: `Mirrored`, pairs of units with which it starts as a linear
      map, wherever the graph tells where they go, and `Shift` for depthwise kernels in between;
      exponential from 2 layers on, for a signal of 0.1
    - a value times a gate of sigmoid or relu and the like, in a plain network: `Orthogonal` for the
      value, times what makes up for the gate, which starts open and nearly constant; `PerGate`
      where one kernel gives both, side by side
    - an output, unless relu and the like or selu follows: `glorot_uniform`
    - sigmoid and the like that other signals are multiplied by, as in a highway: `glorot_uniform`
    - sigmoid, softplus and the like in a plain network (no normalization, no shortcuts):
      `lecun_normal` for the first layer, `ActivationScaling` with centered weights for others
    - sin(30 z) and other functions so steep that a gradient would more than double in each layer:
      `Siren` for the first layer, a variance of 1 / (mean squared slope * fan_in) for others and
      for an output that takes them
    - a plain network of more than 4 layers without activations: `DeltaOrthogonal` for convolutions
      of stride 1, `Orthogonal` for others
    - tanh, softsign and other odd activations in a plain network of more than 20 layers:
      `DeltaOrthogonal` for convolutions of stride 1, `Orthogonal` for others, at the critical
      point of the activation: a small signal, for which it is nearly linear
    - relu and the like, where pairs are not kept, in a plain network of more than 30 layers: the
      same two, times the gain; elu and selu in one of more than 20
    - gelu, silu, mish, hard_silu, where pairs are not kept, in a plain network of more than 20
      layers: the critical point of the activation, for kernel and bias
    - the first layer of a plain network of 20 layers or less without convolutions or AlphaDropout:
      0.3 times the size of the next line (0.2 before relu and leaky_relu), and half of that of
      pairs
    - a kernel with a normalization between it and its activation: `lecun_normal`, since its size
      sets only the steps
    - anything else: a variance of gain² / fan_in, which is `he_normal` for relu and
      `lecun_normal` for selu and where nothing follows

    with the fans that each kernel really has. Where convolutions give images (a number, or a class,
    for each place: autoencoders, U-Nets, segmentation) and nothing is added to shortcuts, kernels
    are then smaller: 0.3 times for the first one, 0.7 times for others, or nearer to 1 where more
    than four layers would make the signal too small.

    What an author meant is kept, and the reason then says what would be suggested. By default
    that is what is special: zeros, constants, identities, orthogonal and sparse kernels, a scale or
    standard deviation of the author's own (`TruncatedNormal(0.02)`, ends of branches at a scale of
    1e-10), and initializers of this and other packages. What says nothing of its own is replaced:
    Keras's default of the layer, Glorot's, He's and LeCun's, `RandomNormal()` and the like
    without arguments, and what `suggest_initializer` gives. Where kernels within branches start at
    zero, or near it, by their author, the others are kept too. A model that was loaded has for its
    author's what its file says.

    Args:
        model: Built Keras model or layer.
        keep: Which initializers of the layers to keep: `"special"`, `"all"` that are not Keras's
            defaults, or `"none"`. Kernels of zeros stay in any case. Defaults to `"special"`.
        scale: Positive float, what the kernels are multiplied by; see `initialize`. Defaults to
            `1.0`.

    Returns:
        `Plan`: prints as a table, can be edited, and is what `initialize` takes.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it has not been built, `keep` is none of these, or `scale` is not positive
            and finite.

    Example:

    >>> first = keras.layers.Dense(6, "relu", name="first")
    >>> hidden = keras.layers.Dense(4, "relu", name="hidden")
    >>> model = keras.Sequential([keras.Input((8,)), first, hidden, keras.layers.Dense(2)])
    >>> keras_winit.suggest(model)["hidden/kernel"].__class__.__name__
    'HeNormal'
    >>> small = keras.initializers.TruncatedNormal(stddev=0.02)
    >>> layer = keras.layers.Dense(4, "relu", kernel_initializer=small, name="hidden")
    >>> model = keras.Sequential([keras.Input((8,)), first, layer, keras.layers.Dense(2)])
    >>> plan = keras_winit.suggest(model)
    >>> plan["hidden/kernel"].__class__.__name__, plan.rows[2].reason
    ('TruncatedNormal', "kept: the author's; suggested is HeNormal()")

    Reference:

    - [He et al., 2015](https://arxiv.org/abs/1502.01852), section 2.2
    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321), section 3, for branches
    - [Sitzmann et al., 2020](https://arxiv.org/abs/2006.09661), section 3.2, for steep functions
    - [Balduzzi et al., 2017](https://arxiv.org/abs/1702.08591), section 4, for pairs
    - [Roberts, Yaida and Hanin, 2022](https://arxiv.org/abs/2106.10165), chapter 5, for depth
    """
    return make_plan(model, "suggested", keep, scale=scale)


def make_plan(
    model: keras.Layer,
    scheme: Plan | Scheme,
    keep: Keep | None = None,
    only: Names | None = None,
    base_model: keras.Layer | None = None,
    scale: float = 1.0,
) -> Plan:
    """Returns the `Plan` of a scheme: a plan, a name, or any initializer; all else may stay."""
    if base_model is not None and not (isinstance(scheme, str) and scheme == "mup"):
        given = "a plan" if isinstance(scheme, Plan) else repr(scheme)
        raise ValueError(
            '`base_model` should be left out but for the scheme "mup", which is beside that model. '
            f"Received: base_model={base_model!r} with scheme={given}."
        )
    if keep is not None:
        _checks.option("keep", keep, KEEP)
    scale = _checks.real("scale", scale, positive=True)
    network = Network(model, anew=True, only=only)
    network.check_built()
    if isinstance(scheme, Plan):
        planned = [id(choice.weight.variable) for choice in choices_of(scheme)]
        if planned != [id(weight.variable) for weight in network.weights]:
            raise ValueError(
                f"`scheme` should be a plan for this model. Received: a plan for model "
                f"{scheme.model!r}, whose weights are not those of {model.name!r}."
            )
        for name, value, default in (("keep", keep, None), ("scale", scale, 1)):
            if value != default:
                raise ValueError(
                    f"`{name}` should be left out where `scheme` is a plan. "
                    f"Received: {name}={value!r}. Give it to `suggest`, which makes the plan."
                )
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        choose = SCHEMES[scheme]
    else:
        choose = scheme_of(as_initializer("scheme", scheme, SCHEMES))
    if base_model is not None:
        choose = functools.partial(choose, base=base_network(base_model))
    try:
        choices = choose(network, keep)
        if keep is not None:
            choices = kept(choices, network, keep)
        if scale != 1:
            choices = scaled(choices, scale)
    except ValueError as error:
        raise ValueError(f"Model {model.name!r}, scheme {scheme!r}: {error}") from error
    return Plan(network, [_unless_skipped(choice) for choice in choices])


def _unless_skipped(choice):
    if choice.weight.skip is None:
        return choice
    reason = choice.weight.skip
    return dataclasses.replace(
        choice, initializer=None, reason=reason, reference="", from_layer=False
    )
