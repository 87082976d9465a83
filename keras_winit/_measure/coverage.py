"""Which layers of a model are looked at, and which may hold kernels that are not known."""

from dataclasses import dataclass, field

from keras_winit import _network
from keras_winit._show.result import Part


@dataclass(frozen=True, kw_only=True, repr=False)
class UnknownWeight(Part):
    """A weight of a layer of which is not known what it does.

    Attributes:
        name: Its name.
        shape: Its shape.
        argument: Name of the layer's attribute that may hold its initializer, or `None`.
    """

    name: str
    shape: tuple[int, ...]
    argument: str | None


@dataclass(frozen=True, kw_only=True, repr=False)
class UnknownLayers(Part):
    """The layers of one class whose kernels are not known.

    Attributes:
        kind: Name of the class.
        layers: Their paths.
        weights: An `UnknownWeight` for each weight of the first of them.
        is_foreign: Whether the weights belong to another library, so that they cannot be described.
    """

    kind: str
    layers: tuple[str, ...] = field(repr=False)
    weights: tuple[UnknownWeight, ...] = field(repr=False)
    is_foreign: bool

    def __str__(self) -> str:
        weights = ", ".join(f"{each.name} {each.shape}" for each in self.weights)
        told = f"{self.kind} ({len(self.layers)}), {weights}"
        return f"{told}: `{self.call}`" if self.call else f"{told}: belongs to another library"

    @property
    def call(self) -> str | None:
        """The call that tells their kernels, as far as it can be guessed.

        A weight of one axis is taken for none. `None` where it cannot be told.
        """
        if self.is_foreign:
            return None
        kernels = ", ".join(
            f"keras_winit.Kernel({each.argument!r}, {each.name!r})"
            for each in self.weights
            if len(each.shape) > 1
        )
        return f"keras_winit.describe_layer({self.kind}, [{kernels}])"


@dataclass(frozen=True, kw_only=True, repr=False)
class Coverage(Part):
    """What was looked at of the layers that own weights.

    Attributes:
        num_layers: Number of layers that own weights.
        num_seen: Of them, layers with a kernel that were looked at.
        num_without_kernels: Of them, layers that are known to have none, as normalization.
        unknown: An `UnknownLayers` for every class whose kernels are not known.
    """

    num_layers: int = 0
    num_seen: int = 0
    num_without_kernels: int = 0
    unknown: tuple[UnknownLayers, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every layer that has, or may have, a kernel was looked at."""
        return self.num_seen + self.num_without_kernels == self.num_layers

    @property
    def looked_at(self) -> str:
        """How many of the layers with weights were looked at, in words."""
        layers = f"{self.num_layers} layer{'s' * (self.num_layers != 1)}"
        words = f"looked at {self.num_seen} of {layers} with weights"
        if self.num_without_kernels:
            words += f", {self.num_without_kernels} without kernels"
        return words

    @property
    def not_known(self) -> str:
        """The layers whose kernels are not known, with what would tell them, in words, or ""."""
        told = "; ".join(map(str, self.unknown))
        return told and f"not known: {told}"

    @property
    def left_alone(self) -> tuple[str, ...]:
        """The same as notes of a verb that leaves such layers as they are."""
        told = self.not_known
        return (f"Left alone, since their kernels are {told}.",) if told else ()


def coverage(weights, seen=()):
    """Returns the `Coverage` of a model.

    Args:
        weights: Its `Weight`s.
        seen: The layers that were looked at.
    """
    owned = {}
    for weight in weights:
        owned.setdefault(weight.layer, []).append(weight)
    num_seen, num_without_kernels, unknown = 0, 0, {}
    for layer, of_layer in owned.items():
        if any(each.is_kernel for each in of_layer):
            num_seen += layer in seen
        elif _network.may_have_kernels(layer, [each.variable for each in of_layer]):
            unknown.setdefault(type(layer), []).append(of_layer)
        else:
            num_without_kernels += 1
    return Coverage(
        num_layers=len(owned),
        num_seen=num_seen,
        num_without_kernels=num_without_kernels,
        unknown=tuple(_unknown_layers(cls, many) for cls, many in unknown.items()),
    )


def check_kernels(network):
    """Raises if a model has no kernels that are known."""
    if network.kernels:
        return
    gap = coverage(network.weights).not_known
    raise ValueError(
        f"`model` should have a layer with a kernel. Received: model={network.model.name!r}, with "
        f"{len(network.weights)} weights and no kernel among them{gap and f'; {gap}'}."
    )


def _unknown_layers(cls, many):
    return UnknownLayers(
        kind=cls.__name__,
        layers=tuple(of_layer[0].layer.path for of_layer in many),
        weights=tuple(map(_unknown_weight, many[0])),
        is_foreign=issubclass(cls, _network.FOREIGN),
    )


def _unknown_weight(weight):
    argument = weight.argument
    if argument is None and hasattr(weight.layer, "kernel_initializer"):
        argument = "kernel_initializer"
    return UnknownWeight(name=weight.name, shape=weight.shape, argument=argument)
