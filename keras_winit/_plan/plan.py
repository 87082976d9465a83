"""What the weights of a model are and what they should be, as a table that can be edited."""

import dataclasses
from collections.abc import Mapping

from keras_winit import _backends
from keras_winit._network.network import Network, matches_path
from keras_winit._plan.choice import REST, Choice
from keras_winit._plan.schemes import SCHEMES, scheme_of
from keras_winit._show.result import Result, Table
from keras_winit.initializers._describe import as_initializer, brief


class Plan(Result, Mapping):
    """An initializer for every weight of a model, with the reason.

    Made by `suggest`; prints as a table, in a notebook as HTML. It maps weight paths to
    initializers, and can be edited: an initializer that is assigned to the name of a layer or to
    a pattern goes to all kernels there, to the path of a weight to that weight.

    Args:
        network: The `Network` of the model.
        choices: A `Choice` for every weight, in the order of the model.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first")])
    >>> plan = keras_winit.suggest(model)
    >>> plan["first"] = "orthogonal"
    >>> plan["first/kernel"].__class__.__name__
    'Orthogonal'
    """

    def __init__(self, network, choices):
        self._network = network
        self.model, self.problem = network.model, network.problem
        self._followed_by = {
            choice.weight.path: network.after(choice.weight).name
            if choice.weight.role == "kernel"
            else None
            for choice in choices
        }
        self._choices = {choice.weight.path: choice for choice in choices}

    @property
    def choices(self):
        """The `Choice` of every weight, in the order of the model."""
        return list(self._choices.values())

    def __getitem__(self, path):
        if path not in self._choices:  # without the name of the model
            longer = [each for each in self._choices if each.endswith(f"/{path}")]
            if len(longer) == 1:
                (path,) = longer
        return self._choices[path].initializer

    def __iter__(self):
        return iter(self._choices)

    def __len__(self):
        return len(self._choices)

    def __setitem__(self, name, initializer):
        initializer = as_initializer("initializer", initializer)
        weights = self.select(name, argument="name")
        kernels = [weight for weight in weights if weight.is_kernel]
        weights = kernels or [w for w in weights if matches_path(w, name)]
        skipped = {weight.skip for weight in weights}
        if None not in skipped:
            reason = "; ".join(skipped) or "no kernel; give the path of a weight"
            raise ValueError(
                "`name` should be that of a layer with a kernel, or the path of a weight. "
                f"Received: name={name!r}: {reason}."
            )
        for weight in weights:
            choice = Choice(weight, initializer, "asked for")
            self._choices[weight.path] = _unless_skipped(choice)

    @property
    def notes(self):
        """What the weights get that are not in the table."""
        others = len(self) - len(self.table.rows)
        return (f"Others ({others}): {REST}.",) if others else ()

    def select(self, names, argument):
        """Returns the weights that have, or whose layer has, one of the names; see `Network`."""
        return self._network.select(names, argument)

    @property
    def table(self):
        """What the weights should get, but for those of which there is nothing to say."""
        header = ["weight", "shape", "fan in", "fan out", "followed by", "has", "should get"]
        rows = [
            [
                path,
                choice.weight.shape,
                *choice.weight.fans,
                self._followed_by[path],
                brief(choice.weight.held_initializer()),
                brief(choice.initializer),
                choice.reason,
                choice.reference,
            ]
            for path, choice in self._choices.items()
            if choice.weight.kernel is not None or not choice.from_layer
        ]
        title = f"Plan for model {self.model.name!r}"
        if self.problem:
            title += f", from its layers alone, as its graph could not be read: {self.problem}"
        return Table([*header, "why", "reference"], rows, title)


@_backends.kept_random_state()
def suggest(model):
    """Suggests an initializer for every weight of a model, and changes nothing.

    Looks at the graph of the model (for a subclassed model, at the graph of its `call` on
    symbolic tensors): what follows each kernel, through normalization, dropout, pooling and
    reshaping, as part of the layer, as a layer of its own or as an operation; how deep the
    network is; where it is normalized, and where branches are added to shortcuts. The first
    line that fits decides:

    - biases, normalization, embeddings: what their layer gives them
    - recurrent kernels: `Orthogonal`, for each gate
    - gates, attention, softmax and other functions across units: `glorot_uniform`, but for the
      output of attention in a branch of the next line
    - a residual branch without normalization: `zeros` for its last kernel, the others smaller
      with the number of branches (Fixup), unless it is multiplied by zero already (ReZero)
    - an output, unless relu and the like or selu follows: `glorot_uniform`
    - sigmoid, softplus and the like in a plain network (no normalization, no shortcuts):
      `lecun_normal` for the first layer, `ActivationScaling` with centered weights for others
    - sin(30 z) and other functions so steep that a gradient would more than double in each layer:
      `Siren` for the first layer, a variance of 1 / (mean squared slope * fan_in) for others
    - tanh, softsign and other odd activations in a plain network of more than 20 layers:
      `DeltaOrthogonal` for convolutions of stride 1, `Orthogonal` for others, at the critical
      point of the activation: a small signal, for which it is nearly linear
    - relu and the like in a plain network of more than 30 layers: the same two, times the gain
    - gelu, silu, mish, hard_silu in a plain network of more than 20 layers: the critical point
      of the activation, for kernel and bias
    - anything else: a variance of gain² / fan_in, which is `he_normal` for relu and
      `lecun_normal` for selu and where nothing follows

    with the fans that each kernel really has.

    Args:
        model: Built Keras model or layer.

    Returns:
        `Plan`: prints as a table, can be edited, and is what `initialize` takes.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it has not been built.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(4, "relu", name="hidden"), keras.layers.Dense(2)]
    ... )
    >>> keras_winit.suggest(model)["hidden/kernel"].__class__.__name__
    'HeNormal'

    Reference:

    - [He et al., 2015](https://arxiv.org/abs/1502.01852), section 2.2
    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321), section 3, for branches
    - [Sitzmann et al., 2020](https://arxiv.org/abs/2006.09661), section 3.2, for steep functions
    - [Roberts, Yaida and Hanin, 2022](https://arxiv.org/abs/2106.10165), chapter 5, for depth
    """
    return make_plan(model, "suggested")


def make_plan(model, scheme):
    """Returns the `Plan` of a scheme: a plan, a name, or any initializer."""
    network = Network(model, anew=True)
    network.check_built()
    if isinstance(scheme, Plan):
        planned = [id(choice.weight.variable) for choice in scheme.choices]
        if planned != [id(weight.variable) for weight in network.weights]:
            raise ValueError(
                f"`scheme` should be a plan for this model. Received: a plan for model "
                f"{scheme.model.name!r}, whose weights are not those of {model.name!r}."
            )
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        choose = SCHEMES[scheme]
    else:
        choose = scheme_of(as_initializer("scheme", scheme, SCHEMES))
    try:
        choices = choose(network)
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
