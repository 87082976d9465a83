"""What a call of a layer or operation does to a signal."""

import functools
import inspect
import itertools
import re

import keras

from keras_winit._activations.activation import Activation
from keras_winit._activations.formulas import FORMULAS, NOT_ELEMENTWISE
from keras_winit._activations.identify import applied, formula_of_layer
from keras_winit._keras_private import ACTIVATIONS, ADDITIONS, SLICINGS, TRANSPARENT
from keras_winit._network.kernels import ATTENTION, FOREIGN, is_described, kernels_of, package, walk
from keras_winit._network.probing import brings_to_unit_size
from keras_winit._network.told import authored

layers = keras.layers
initializers = keras.initializers


def at_start(activation):
    """Returns an `Activation` as its layer starts it: a PReLU with the slopes its author gave."""
    layer = None if activation is None else activation.function
    if not isinstance(layer, layers.PReLU):
        return activation
    own = authored(layer, "alpha_initializer")
    return Activation(layers.PReLU(own, shared_axes=layer.shared_axes, name=layer.name))


def fused_activation(layer):
    """Returns the `Activation` that a layer with a kernel applies itself, `None` if linear."""
    function = applied(getattr(layer, "activation", None))
    # A name is what a layer of the user's keeps for others: those of Keras keep functions.
    return None if _is_linear(function) or isinstance(function, str) else Activation(function)


def activation_of(operation):
    """Returns the `Activation` that a call of a layer or operation is, `None` if it is none."""
    if isinstance(operation, layers.Activation):
        function = applied(operation)
        return None if _is_linear(function) else Activation(function)
    if isinstance(operation, keras.Layer):
        formula = formula_of_layer(operation)
        return None if formula is None or formula[0] == "linear" else Activation(operation)
    name = snake_case(type(operation).__name__)
    name = ACTIVATIONS.get(name, name)
    if name not in (*FORMULAS, *NOT_ELEMENTWISE):
        return None
    function = getattr(keras.activations, name)
    arguments = inspect.signature(function).parameters.keys() & vars(operation).keys()
    given = {each: getattr(operation, each) for each in arguments}
    return Activation(functools.partial(function, **given))


def _is_linear(function):
    return (
        function is None
        or function is keras.activations.linear
        or isinstance(function, layers.Identity)
    )


def snake_case(name):
    """Returns a class name as Keras makes layer names of it."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


_NORMALIZATIONS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.RMSNormalization,
    layers.UnitNormalization,
)
# Classes of Keras with weights of several axes that are no kernels: scales, slopes, statistics,
# states.
_WITHOUT_KERNELS = (
    *_NORMALIZATIONS,
    *(layers.Normalization, layers.SpectralNormalization, layers.PReLU, layers.RNN),
    layers.STFTSpectrogram,
)

_DROPOUT = (
    *(layers.Dropout, layers.AlphaDropout, layers.GaussianDropout),
    *(layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
)
_CONVOLUTIONS = tuple(
    cls
    for name, cls in vars(layers).items()
    if re.fullmatch(r"(Separable|Depthwise)?Conv\dD(Transpose)?", name)
)

# What works on each unit by itself. (Flattened, the units of one place are still those.)
_UNIT_BY_UNIT = (
    *(layers.Activation, layers.Identity, layers.Masking, layers.ActivityRegularization),
    *(layers.Dropout, layers.AlphaDropout, layers.GaussianDropout, layers.GaussianNoise),
    *(layers.BatchNormalization, layers.Flatten),
)


def _resizes(name):
    """Whether a class of that name changes the places of a signal, and not its units."""
    return "Pool" in name or name.startswith(("Cropping", "ZeroPadding", "UpSampling"))


# What an activation may be looked for behind: it leaves the layer's output as it is, part by
# part, or brings it to unit size.
_TRANSPARENT = (
    *_NORMALIZATIONS,
    *_UNIT_BY_UNIT,
    *(layers.Reshape, layers.Permute, layers.RepeatVector),
    *(layers.Concatenate, layers.Add, layers.Average, layers.Maximum),
    *(cls for name, cls in vars(layers).items() if _resizes(name)),
)


def is_normalization(operation):
    """Whether a layer brings its input to unit size."""
    is_layer = isinstance(operation, keras.Layer)
    return isinstance(operation, _NORMALIZATIONS) or (is_layer and brings_to_unit_size(operation))


def scales_columns(operation):
    """Whether a layer brings each column to unit size, by what it has seen of the data."""
    return isinstance(operation, layers.Normalization)


def is_batch_normalization(operation):
    """Whether a layer keeps a mean and a variance of each unit, over batches."""
    return isinstance(operation, layers.BatchNormalization)


def is_concatenation(operation):
    """Whether a layer or operation puts signals side by side, along its `axis`."""
    return isinstance(operation, layers.Concatenate) or type(operation).__name__ == "Concatenate"


def is_flattening(operation):
    """Whether a layer makes a vector of all places, as its `data_format` says."""
    return isinstance(operation, layers.Flatten)


def may_have_kernels(layer, variables):
    """Whether some of a layer's own variables may be kernels, although none is known.

    In a class of the user's that derives from one of Keras's without kernels, as `Model`, those of
    several axes may.
    """
    known = kernels_of(layer)
    if known is None:
        return any("float" in variable.dtype for variable in variables)
    if known or is_described(type(layer)) or isinstance(layer, _WITHOUT_KERNELS):
        return False
    is_free = package(type(layer)) != "keras" or isinstance(layer, FOREIGN)
    return is_free and any(len(variable.shape) > 1 for variable in variables)


def is_transparent(operation):
    """Whether the activation of a layer may come behind this layer or operation."""
    is_transparent = isinstance(operation, _TRANSPARENT) or is_normalization(operation)
    return is_transparent or type(operation).__name__ in TRANSPARENT


def keeps_units(operation):
    """Whether the units of what a layer or operation gives are those it is given, in order."""
    if is_flattening(operation) and operation.data_format == "channels_first":
        return False
    return (
        isinstance(operation, _UNIT_BY_UNIT)
        or _resizes(type(operation).__name__)
        or activation_of(operation) is not None
    )


def keeps_pairs(operation):
    """Whether f(z) - f(-z) stays linear in z: of units by themselves, but for their maximum."""
    return keeps_units(operation) and not takes_largest(operation)


def dropout_rate(operation):
    """Returns the fraction of its input that a layer sets to zero by chance in training, or 0."""
    return float(operation.rate or 0.0) if isinstance(operation, _DROPOUT) else 0.0


def is_alpha_dropout(layer):
    """Whether a layer sets units to what selu gives of large negative numbers, and not to zero."""
    return isinstance(layer, layers.AlphaDropout) and layer.rate > 0


def is_affine(layer):
    """Whether a layer with kernels is a linear map and a bias, but for its activation."""
    return isinstance(layer, (layers.Dense, layers.EinsumDense, *_CONVOLUTIONS))


def takes_largest(operation):
    """Whether a layer or operation gives the largest of several numbers."""
    return "Max" in type(operation).__name__


def is_addition(operation):
    """Whether a layer or operation adds two tensors."""
    return isinstance(operation, layers.Add) or type(operation).__name__ in ADDITIONS


def is_multiplication(operation):
    """Whether a layer or operation multiplies tensors."""
    return isinstance(operation, layers.Multiply) or type(operation).__name__ == "Multiply"


def is_slicing(operation):
    """Whether an operation gives parts of a tensor."""
    return type(operation).__name__ in SLICINGS


def distributed(operation):
    """Returns the layer that a `TimeDistributed` applies, and anything else as it is."""
    while isinstance(operation, layers.TimeDistributed):
        operation = operation.layer
    return operation


def multipliers(operation, variables):
    """Returns the weights that a call may multiply by: a gamma, or one of the user's."""
    for layer in walk(operation) if isinstance(operation, keras.Layer) else ():
        if kernels_of(layer) is None:
            variables = [*variables, *layer.weights]
        elif getattr(layer, "gamma", None) is not None:
            variables = [*variables, layer.gamma]
    return [variable for variable in variables if variable.name not in ("bias", "beta")]


def is_table(variable):
    """Whether a variable is one of vectors, and no vector itself."""
    return sum(int(size) != 1 for size in variable.shape) > 1


def only_adds(operation):
    """Whether a layer may do no more than add its weights, or give them: its code tells."""
    return (
        isinstance(operation, keras.Layer)
        and kernels_of(operation) is None
        and any(map(is_table, operation.weights))
        and len(list(itertools.islice(walk(operation), 2))) == 1
    )


def is_zero(variable):
    """Whether all values of a variable are zero."""
    return not keras.ops.convert_to_numpy(variable).any()


def is_composite(operation):
    """Whether it is a layer of the user's that calls other layers and has no kernel itself."""
    return (
        isinstance(operation, keras.Layer)
        and package(type(operation)) != "keras"
        and len(list(itertools.islice(walk(operation), 2))) == 2
        and not kernels_of(operation)
        and not is_attention(operation)
    )


def is_last_kernel(operation, layer):
    """Whether the output of `layer` is that of the call of `operation` that contains it."""
    if isinstance(operation, ATTENTION):  # attention
        return layer.name == "attention_output"
    return package(type(operation)) == "keras" or operation is layer


def is_closed(layer):
    """Whether a layer runs those inside of it in a loop or a map, out of sight."""
    return isinstance(layer, (layers.RNN, layers.TimeDistributed))


def steps_to_last_state(layer):
    """Returns after how many steps a recurrent layer hands on its state, if that alone; else 0.

    Of layers that take sequences of one length, and start each anew.
    """
    is_one = isinstance(layer, (layers.SimpleRNN, layers.LSTM, layers.GRU))
    if not is_one or layer.return_sequences or layer.stateful:
        return 0
    _, steps, *_ = (layer.get_build_config() or {}).get("input_shape") or (None, None)
    return steps or 0


def is_quantized(operation):
    """Whether Keras runs its `quantized_call` in place of its `call`."""
    return getattr(operation, "quantization_mode", None) is not None


def is_attention(layer):
    """Whether a layer has maps of queries, keys and values inside of it."""
    return isinstance(layer, ATTENTION)


def vocabulary(operation):
    """Returns the number of tokens that an embedding knows, `None` for anything else."""
    return operation.input_dim if isinstance(operation, layers.Embedding) else None


def may_have_tables(layer):
    """Whether some of a layer's weights may have a row for each token, or step."""
    return isinstance(layer, layers.Embedding) or kernels_of(layer) is None


def unit_axis(layer):
    """Returns the axis of a layer's output that its units are along."""
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1


def unit_shape(layer):
    """Returns the shape in which a number per unit multiplies the layer's last kernel.

    `None` where the units are not those of the last axis of the output, in order.
    """
    known = kernels_of(layer)
    if not known or isinstance(layer, (layers.EinsumDense, layers.Embedding)):
        return None
    shape = getattr(layer, known[-1].weight).shape
    structured, axes = known[-1].structure(shape)
    units = axes.batch + axes.output
    sizes = [size if axis in units else 1 for axis, size in enumerate(structured)]
    if known[-1].blocks > 1:  # the groups are side by side on the last axis of the kernel
        sizes[-2:] = [sizes[-2] * sizes[-1]]
    return tuple(sizes)
