"""What the weights of a model are and what they should be, as a table that can be edited."""

import dataclasses
import fnmatch
import functools
import inspect
from collections.abc import Mapping

import keras

from keras_winit import _backends, _checks, _network
from keras_winit._network.graph import Graph
from keras_winit._plan.schemes import suggested
from keras_winit._show.result import Result, Table
from keras_winit.initializers import LooksLinear
from keras_winit.initializers._aliases import ALIASES


class Plan(Result, Mapping):
    """An initializer for every weight of a model, with the reason.

    Made by `suggest`; prints as a table, in a notebook as HTML. It maps weight paths to
    initializers, and can be edited: an initializer that is assigned to the name of a layer or to
    a pattern goes to all kernels there, to the path of a weight to that weight.

    Args:
        model: The model.
        choices: A `Choice` for every weight, in the order of the model.
        graph: The `Graph` that was read.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first")])
    >>> plan = keras_winit.suggest(model)
    >>> plan["first"] = "orthogonal"
    >>> plan["first/kernel"].__class__.__name__
    'Orthogonal'
    """

    def __init__(self, model, choices, graph):
        self.model = model
        self.problem = graph.problem
        self._followed_by = {
            choice.weight.path: suggested.activation_name(choice.weight, graph)
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
        weights = [choice.weight for choice in matching(self.choices, name, argument="name")]
        kernels = [weight for weight in weights if suggested.is_kernel(weight)]
        weights = kernels or [w for w in weights if _matches_path(w, name)]
        skipped = {weight.skip for weight in weights}
        if None not in skipped:
            reason = "; ".join(skipped) or "no kernel; give the path of a weight"
            raise ValueError(
                "`name` should be that of a layer with a kernel, or the path of a weight. "
                f"Received: name={name!r}: {reason}."
            )
        for weight in weights:
            choice = suggested.Choice(weight, initializer, "asked for")
            self._choices[weight.path] = _unless_skipped(choice)

    @property
    def notes(self):
        """What the weights get that are not in the table."""
        others = len(self) - len(self.table.rows)
        return (f"Others ({others}): {suggested.REST}.",) if others else ()

    @property
    def table(self):
        """What the weights should get, but for those of which there is nothing to say."""
        header = ["weight", "shape", "fan in", "fan out", "followed by", "has", "should get"]
        rows = [
            [
                path,
                tuple(choice.weight.variable.shape),
                *fans(choice.weight),
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
    weights = built_weights(model)
    if isinstance(scheme, Plan):
        planned = [id(choice.weight.variable) for choice in scheme.choices]
        if planned != [id(weight.variable) for weight in weights]:
            raise ValueError(
                f"`scheme` should be a plan for this model. Received: a plan for model "
                f"{scheme.model.name!r}, whose weights are not those of {model.name!r}."
            )
        return scheme
    if isinstance(scheme, str) and scheme in suggested.SCHEMES:
        choose = suggested.SCHEMES[scheme]
    else:
        initializer = as_initializer("scheme", scheme, suggested.SCHEMES)
        is_mirrored = isinstance(initializer, LooksLinear)
        choose = (suggested.looks_linear if is_mirrored else suggested.uniform)(initializer)
    graph = Graph(model, anew=weights)
    try:
        choices = choose(weights, graph)
    except ValueError as error:
        raise ValueError(f"Model {model.name!r}, scheme {scheme!r}: {error}") from error
    return Plan(model, [_unless_skipped(choice) for choice in choices], graph)


def _unless_skipped(choice):
    if choice.weight.skip is None:
        return choice
    reason = choice.weight.skip
    return dataclasses.replace(
        choice, initializer=None, reason=reason, reference="", from_layer=False
    )


def built_weights(model):
    """Returns the `Weight`s of a model, or raises if it is not built."""
    if not isinstance(model, keras.Layer):
        raise TypeError(f"`model` should be a Keras model. Received: model={model!r}.")
    weights = _network.weights_of(model)
    unbuilt = [
        layer.name
        for layer in _network.walk(model)
        if not layer.built and _network.kernels_of(layer) != ()  # others may never be, as a lookup
    ]
    if unbuilt or not weights:
        raise ValueError(
            f"`model` should be built. Received: model={model.name!r}, "
            + (f"whose layer {unbuilt[-1]!r} is not" if unbuilt else "which has no weights")
            + ". Give it a `keras.Input`, or call it once on a batch."
        )
    return weights


def matching(choices, names, argument):
    """Returns the choices whose weight or layer has one of the names, paths or patterns."""
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, (list, tuple)) or not all(isinstance(each, str) for each in names):
        raise TypeError(
            f"`{argument}` should be the name, path or pattern of a layer or weight, or a list "
            f"of them. Received: {argument}={names!r}."
        )
    found = []
    for name in names:
        matches = [choice for choice in choices if _matches(choice.weight, name)]
        if not matches:
            known = {n for c in choices for n in (*c.weight.within, c.weight.path)}
            raise ValueError(
                f"`{argument}` should be the name, path or pattern of a layer or weight. "
                f"Received: {argument}={name!r}.{_checks.did_you_mean(name, sorted(known))}"
            )
        found.extend(matches)
    return found


def _matches(weight, name):
    path = weight.path
    return (
        name in (*weight.within, weight.layer.path)
        or path.startswith(f"{name}/")
        or f"/{name}/" in path
        or _matches_path(weight, name)
    )


def _matches_path(weight, name):
    path = weight.path
    return path == name or path.endswith(f"/{name}") or fnmatch.fnmatchcase(path, name)


def as_initializer(argument, value, options=()):
    """Returns an initializer given by name, class, config or as it is, or raises."""
    if isinstance(value, str):
        try:
            return keras.initializers.get(value)
        except ValueError:
            names = [*options, *(n for n in dir(keras.initializers) if n.islower()), *ALIASES]
            raise ValueError(
                f"`{argument}` should be {'a scheme or ' if options else ''}an initializer. "
                f"Received: {argument}={value!r}.{_checks.did_you_mean(value, names)}"
            ) from None
    initializer = keras.initializers.get(value) if isinstance(value, (dict, type)) else value
    if not callable(initializer):
        raise TypeError(
            f"`{argument}` should be {'a scheme or ' if options else ''}an initializer, by name, "
            f"class or instance. Received: {argument}={value!r}."
        )
    return initializer


def fans(weight):
    """Returns the true (fan_in, fan_out) of a kernel, and (None, None) of other weights."""
    if weight.kernel is None:
        return None, None
    shape, axes = weight.kernel.structure(weight.variable.shape)
    return tuple(int(fan) if fan == int(fan) else fan for fan in axes.fans(shape))


def brief(initializer):
    """Returns an initializer as one writes it, with the arguments that are not at their default."""
    if initializer is None:
        return "left alone"
    name = getattr(initializer, "__name__", type(initializer).__name__)
    if not isinstance(initializer, keras.Initializer):
        return name
    config = initializer.get_config()
    if type(initializer) is keras.initializers.Identity:
        config = {"gain": initializer.gain}  # which Keras leaves out
    parameters = _parameters(type(initializer))
    changed = {
        key: value
        for key, value in config.items()
        if key in parameters
        and value != parameters[key].default
        and not key.endswith(("seed", "_axes"))
    }
    arguments = ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value!r}"
        for key, value in changed.items()
    )
    return f"{name}({arguments})"


@functools.cache
def _parameters(cls):
    return inspect.signature(cls).parameters
