"""Which layers of a model are looked at, and which may hold kernels that are not known."""

from dataclasses import dataclass

from keras_winit import _network
from keras_winit._diagnose import page


@dataclass(frozen=True)
class UnknownWeight:
    """A weight of a layer of which is not known what it does.

    Attributes:
        name: Its name.
        shape: Its shape.
        argument: Name of the layer's attribute that may hold its initializer, or `None`.
    """

    name: str
    shape: tuple
    argument: str | None


@dataclass(frozen=True)
class UnknownLayers:
    """The layers of one class whose kernels are not known.

    Attributes:
        kind: Name of the class.
        layers: Their paths.
        weights: An `UnknownWeight` for each weight of the first of them.
        is_foreign: Whether the weights belong to another library, so that they cannot be described.
    """

    kind: str
    layers: tuple
    weights: tuple
    is_foreign: bool


@dataclass(frozen=True)
class Coverage:
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
    unknown: tuple = ()

    @property
    def is_complete(self):
        """Whether every layer that has, or may have, a kernel was looked at."""
        return self.num_seen + self.num_without_kernels == self.num_layers


def coverage(weights, seen=()):
    """Returns the `Coverage` of a model.

    Args:
        weights: Its `Weight`s.
        seen: The ids of the layers that were looked at.
    """
    owned = {}
    for weight in weights:
        owned.setdefault(id(weight.layer), []).append(weight)
    num_seen, num_without_kernels, unknown = 0, 0, {}
    for key, of_layer in owned.items():
        layer = of_layer[0].layer
        if any(each.kernel is not None and each.role != "lora" for each in of_layer):
            num_seen += key in seen
        elif _network.may_have_kernels(layer, [each.variable for each in of_layer]):
            unknown.setdefault(type(layer), []).append(of_layer)
        else:
            num_without_kernels += 1
    unknown = tuple(_unknown_layers(cls, many) for cls, many in unknown.items())
    return Coverage(len(owned), num_seen, num_without_kernels, unknown)


def without_kernels(model, weights):
    """Returns the error that a model has no kernels that are known."""
    gap = page.not_known(coverage(weights))
    return ValueError(
        f"`model` should have a layer with a kernel. Received: model={model.name!r}, with "
        f"{len(weights)} weights and no kernel among them{gap and f'; {gap}'}."
    )


def _unknown_layers(cls, many):
    return UnknownLayers(
        cls.__name__,
        tuple(of_layer[0].layer.path for of_layer in many),
        tuple(map(_unknown_weight, many[0])),
        issubclass(cls, _network.FOREIGN),
    )


def _unknown_weight(weight):
    argument = weight.argument
    if argument is None and hasattr(weight.layer, "kernel_initializer"):
        argument = "kernel_initializer"
    shape = tuple(int(size) for size in weight.variable.shape)
    return UnknownWeight(weight.name, shape, argument)
