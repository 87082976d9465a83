"""The weights of a model: which layer owns each, and what that layer draws it with."""

import dataclasses
import functools
import inspect
import math
import re
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _keras_private
from keras_winit._network.kernels import (
    ATTENTION,
    FOREIGN,
    Kernel,
    config_of,
    is_of_keras,
    kernels_of,
    walk,
)
from keras_winit._network.operations import is_quantized, is_zero, snake_case
from keras_winit._network.rehearsal import rehearsed
from keras_winit._network.told import authored, tell

layers = keras.layers
initializers = keras.initializers


def gives_zeros(initializer):
    """Whether an initializer gives nothing but zeros."""
    is_constant = isinstance(initializer, initializers.Constant)
    return isinstance(initializer, initializers.Zeros) or (is_constant and initializer.value == 0)


# Of the second moment of what a kernel gives, beside that of what it gets.
_NEAR_ZERO = 1e-6


@dataclass(frozen=True, eq=False)
class Weight:
    """One variable of a layer.

    Attributes:
        variable: The `keras.Variable`.
        path: Its path, with a number where layers of the same name share it.
        layer: The layer that owns it.
        kernel: Its `Kernel`, or `None` for a bias, a scale and the like.
        argument: Name of the layer's attribute that holds its initializer, or `None`.
        initial: What Keras draws it with where no attribute says.
        in_attention: Whether its layer is a map of an attention layer.
        ones: Slice of it that Keras sets to one afterwards (the forget gate), or `None`.
        skip: Why it should be left alone, or `None`.
        within: Names of the layers that hold it, its own and those around that.
    """

    variable: keras.Variable
    path: str
    layer: keras.Layer
    kernel: Kernel | None = None
    argument: str | None = None
    initial: keras.Initializer | None = None
    in_attention: bool = False
    ones: slice | None = None
    skip: str | None = None
    within: tuple = ()

    @property
    def name(self):
        return self.variable.name

    @property
    def role(self):
        """The role of its kernel, else "bias" or "other"."""
        if self.kernel is not None:
            return self.kernel.role
        return "bias" if self.name == "bias" else "other"

    @property
    def is_kernel(self):
        """Whether it is a kernel that the layer uses as it is, and no addition of LoRA's."""
        return self.kernel is not None and self.role != "lora"

    @property
    def shape(self):
        return tuple(int(size) for size in self.variable.shape)

    @functools.cached_property
    def structure(self):
        """The shape of a kernel with its blocks as an axis of their own, and its `KernelAxes`."""
        return self.kernel.structure(self.shape)

    @property
    def sizes(self):
        """How many taps, inputs, outputs and separate matrices a kernel has."""
        shape, axes = self.structure
        return axes.sizes(shape)

    @property
    def fans(self):
        """The true (fan_in, fan_out) of a kernel, (None, None) of other weights."""
        if self.kernel is None:
            return None, None
        shape, axes = self.structure
        return tuple(int(fan) if fan == int(fan) else fan for fan in axes.fans(shape))

    @property
    def is_in_cell(self):
        return hasattr(self.layer, "recurrent_kernel")

    @property
    def ends_layer(self):
        """Whether the kernel gives the output of its layer, of an attention layer as a whole."""
        if self.in_attention:
            return self.layer.name == "attention_output"
        return self.is_in_cell or self.kernel == kernels_of(self.layer)[-1]

    @property
    def starts_at_zero(self):
        """Whether its layer starts it at zero; where no layer draws it, whether it is zero now."""
        if self.skip is not None:
            return is_zero(self.variable)
        own = self.own_initializer()
        is_constant = isinstance(own, initializers.Constant) and not np.any(own.value)
        return isinstance(own, initializers.Zeros) or is_constant

    def is_near_zero_by(self, initializer):
        """Whether an initializer leaves next to nothing of a kernel, as a scale of 1e-10 does.

        It does if a unit gives less than a thousandth of what it gets.
        """
        if isinstance(initializer, initializers.VarianceScaling):
            return initializer.scale < _NEAR_ZERO
        if isinstance(initializer, (initializers.RandomNormal, initializers.TruncatedNormal)):
            fan_in, _ = self.fans
            return (initializer.mean**2 + initializer.stddev**2) * fan_in < _NEAR_ZERO
        return False

    @property
    def is_frozen(self):
        return not self.layer.trainable or (self.kernel is not None and not self.variable.trainable)

    @property
    def may_change(self):
        """Whether training, or `adapt`, changes it in the course of time."""
        is_fixed = isinstance(self.layer, layers.STFTSpectrogram) or is_quantized(self.layer)
        return self.variable.trainable or not is_fixed

    def own_initializer(self):
        """Returns the initializer that the author of its layer gave, whatever it was told since."""
        return self._resolved(authored(self.layer, self.argument) if self.argument else None)

    def held_initializer(self):
        """Returns the initializer that its layer has now: what it was last drawn with."""
        return self._resolved(getattr(self.layer, self.argument) if self.argument else None)

    def _resolved(self, initializer):
        is_given = initializer is not None
        return initializers.get(initializer) if is_given else self.default_initializer()

    def default_initializer(self):
        """Returns the initializer that Keras gives it when nothing is said."""
        for cls in type(self.layer).__mro__:
            parameter = inspect.signature(cls.__init__).parameters.get(str(self.argument))
            if parameter is not None and isinstance(parameter.default, str):
                return initializers.get(parameter.default)
        return self.initial or initializers.GlorotUniform()


def weights_of(model):
    """Returns a `Weight` for every variable of a model, each once, in the order of the model."""
    owners, within, attention = {}, {}, set()
    num_layers = functools.cache(lambda layer: sum(1 for _ in walk(layer)))
    for layer in walk(model):
        if isinstance(layer, ATTENTION):
            attention.update(walk(layer))
        # The innermost layer that holds a variable owns it.
        held = layer.weights
        for variable in held:
            within.setdefault(id(variable), []).append(layer.name)
            owner, size = owners.get(id(variable), (None, math.inf))
            if len(held) < size or (len(held) == size and num_layers(layer) < num_layers(owner)):
                owners[id(variable)] = (layer, len(held))
    weights, asked = [], _asked(model.weights, owners)
    for variable, path in zip(model.weights, numbered(v.path for v in model.weights), strict=True):
        owner, _ = owners[id(variable)]
        weight = _weight(owner, variable, path, owner in attention, asked.get(id(variable)))
        weights.append(dataclasses.replace(weight, within=tuple(within[id(variable)])))
    return weights


def numbered(paths):
    """Returns the paths, each with a number if it is not the first of its kind."""
    counts, found = {}, []
    for path in paths:
        counts[path] = counts.get(path, 0) + 1
        found.append(path if counts[path] == 1 else f"{path}#{counts[path]}")
    return found


def _asked(variables, owners):
    """Returns what layers of unknown classes draw their own weights with, as far as they tell."""
    own, known, asked = {}, {}, {}
    for variable in variables:
        owner, _ = owners[id(variable)]
        if kernels_of(owner) is None:
            own.setdefault(owner, []).append(variable)
    for owner, held in own.items():
        order = [each for each in owner.weights if any(each is other for other in held)]
        asked.update(rehearsed(owner, order, known))
    return asked


def _weight(layer, variable, path, in_attention, asked):
    name = variable.name
    known = kernels_of(layer)
    kernel = next((kernel for kernel in known or () if kernel.weight == name), None)
    if known is None and asked is not None:
        kernel = _expert_kernel(layer, variable, asked)
        known = () if kernel or not _may_be_kernel(layer, variable, asked) else None
    if 0 in variable.shape:  # it has neither fans nor signal
        kernel = None
    argument = kernel.argument if kernel else f"{name}_initializer"
    argument = argument if argument and hasattr(layer, argument) else None
    initial = _initial(layer, name) or asked
    return Weight(
        variable,
        path,
        layer,
        kernel or _lora_kernel(layer, name),
        argument,
        initial,
        in_attention,
        _forget_gate(layer, name),
        _reason_to_skip(layer, variable, known, kernel or argument or initial),
    )


def _expert_kernel(layer, variable, initializer):
    """Returns the `Kernel` of experts, a matrix for each, as their layer counts them."""
    numbers = [value for name, value in vars(layer).items() if "expert" in name]
    if len(variable.shape) != 3 or not _is_generic(initializer) or variable.shape[0] not in numbers:
        return None
    return Kernel(None, variable.name, activated=False, input_axes=[1], output_axes=[2])


def _may_be_kernel(layer, variable, initializer):
    """Whether a weight of an unknown layer may be a matrix, and no table of vectors it adds."""
    sizes = [int(size) for size in variable.shape if size != 1]
    inputs = (layer.get_build_config() or {}).get("input_shape") or (None,)
    is_table = inputs[-1] == sizes[-1] != sizes[0] if len(sizes) > 1 else True
    return _is_generic(initializer) and not is_table


def _is_generic(initializer):
    """Whether an initializer looks at the fans of a kernel, or at its axes."""
    return isinstance(initializer, (initializers.VarianceScaling, initializers.Orthogonal))


def _reason_to_skip(layer, variable, known, source):
    if layer.quantization_mode is not None:
        return f"quantized to {layer.quantization_mode}"
    if "float" not in keras.backend.standardize_dtype(variable.dtype):
        return "not a float"
    if 0 in variable.shape:
        return "it has no values"
    if isinstance(layer, layers.Normalization):
        return "learned from data by `adapt`"
    if isinstance(layer, layers.STFTSpectrogram):
        return "fixed by the layer"
    if known is None:
        return f"{type(layer).__name__} is not known; use `describe_layer`"
    if isinstance(layer, FOREIGN):
        return "belongs to another library"
    if source is None:
        return f"{type(layer).__name__} has no `{variable.name}_initializer`"
    return None


def _initial(layer, name):
    """Returns what Keras draws a weight with that has no initializer argument."""
    if not is_of_keras(type(layer)):
        return None
    if type(layer).__name__ == _keras_private.LAYER_SCALE:
        return initializers.Constant(layer.init_values)
    if name == "scale":
        is_score = isinstance(layer, layers.AdditiveAttention)
        return initializers.GlorotUniform() if is_score else initializers.Ones()
    if name == "vector_u":
        return initializers.TruncatedNormal(stddev=0.02)
    if name.startswith("lora_"):
        return initializers.HeUniform() if name.endswith("_a") else initializers.Zeros()
    if name in ("moving_stddev", "renorm_stddev"):
        return initializers.Ones()
    if name in ("bias", "beta", "rnn_state", "renorm_mean"):
        return initializers.Zeros()
    return None


def _lora_kernel(layer, name):
    """Returns the first LoRA kernel's axes: those of the kernel, with the rank as last axis."""
    if name not in ("lora_kernel_a", "lora_embeddings_a"):
        return None
    kernel, *_ = kernels_of(layer)  # untied embeddings have one for the way back besides
    if kernel.input_axes is None:
        return Kernel(None, name, "lora", False)
    last = layer.lora_kernel_a.ndim - 1 if name == "lora_kernel_a" else 1
    inputs = [axis for axis in kernel.input_axes if axis != last]
    outputs = [axis for axis in range(last + 1) if axis not in inputs]
    return Kernel(None, name, "lora", False, inputs, outputs)


def _forget_gate(layer, name):
    has_ones = hasattr(layer, "unit_forget_bias") and authored(layer, "unit_forget_bias")
    if name == "bias" and has_ones:
        units = layer.bias.shape[0] // 4
        return slice(units, 2 * units)
    return None


def tell_initializers(weights, drawn, changes):
    """Sets attributes of layers to what weights were drawn with, so that their configs are true.

    Where one is for several weights, and these were drawn unlike, it is again what its author gave.
    It is done within `Changes`, with which it can be undone.

    Args:
        weights: All `Weight`s of the model.
        drawn: Dict of those that were drawn, each with its initializer.
        changes: The `Changes`.
    """
    by_attribute = {}
    for weight in weights:
        by_attribute.setdefault((weight.layer, weight.argument), []).append(weight)
        if weight.ones is not None and weight in drawn:
            tell(weight.layer, "unit_forget_bias", not sets_forget_gate(drawn[weight]), changes)
    for (layer, argument), several in by_attribute.items():
        if argument is not None and not drawn.keys().isdisjoint(several):
            held = getattr(layer, argument)
            _tell_if_alike(layer, argument, [drawn.get(each, held) for each in several], changes)


def _tell_if_alike(layer, attribute, given, changes):
    """Sets an attribute to what several weights were given, if alike, else to its author's."""
    said = [(type(each), config_of(each)) for each in given]
    is_alike = all(each == said[0] for each in said)
    tell(layer, attribute, given[0] if is_alike else authored(layer, attribute), changes)


def sets_forget_gate(initializer):
    """Whether an initializer of biases is for all gates: then Keras's ones take no place of it."""
    return getattr(initializer, "sets_forget_gate", False)


def tell_attention(model, changes):
    """Does the same for attention layers, where their four kernels, or biases, were drawn alike.

    Where they were not, the attribute is again what its author gave.
    """
    for layer in walk(model):
        if not isinstance(layer, ATTENTION):
            continue
        for name in ("kernel_initializer", "bias_initializer"):
            inner = [getattr(each, name, None) for each in walk(layer) if each is not layer]
            given = [each for each in inner if each is not None]
            _tell_if_alike(layer, _keras_private.attribute_of(layer, name), given, changes)


def stable_paths(model, weights):
    """Returns a path for each weight, the same whenever the same code builds the same model.

    Keras numbers unnamed layers through the whole process: `dense_7` in the second model is
    `dense` in a fresh one. Here the numbers start anew in each model.
    """
    automatic, first = {}, {}
    for layer in walk(model):
        base = snake_case(type(layer).__name__)
        match = re.fullmatch(rf"((?:forward_|backward_)?{re.escape(base)})(?:_(\d+))?", layer.name)
        if match:
            base, number = match[1], int(match[2] or 0)
            automatic[layer.name] = base, number
            first[base] = min(number, first.get(base, number))
    names = {name: f"{base}_{number - first[base]}" for name, (base, number) in automatic.items()}
    paths = []
    for weight in weights:
        parts = weight.variable.path.split("/")
        paths.append("/".join(names.get(part, part) for part in parts))
    return numbered(paths)
