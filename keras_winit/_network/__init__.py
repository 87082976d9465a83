"""What Keras layers are. Only the modules in here know the layer classes of Keras."""

from keras_winit._network.calling import asked_kernel, calling_layer, gates_of
from keras_winit._network.kernels import (
    FOREIGN,
    KERAS_TAKES_AXES,
    Kernel,
    describe_layer,
    draws_kernels,
    is_known_class,
    kernels_of,
    network_inside,
    seedable_arguments,
    walk,
)
from keras_winit._network.operations import (
    activation_of,
    at_start,
    distributed,
    dropout_rate,
    fused_activation,
    is_addition,
    is_affine,
    is_attention,
    is_closed,
    is_composite,
    is_last_kernel,
    is_multiplication,
    is_normalization,
    is_quantized,
    is_slicing,
    is_transparent,
    is_zero,
    keeps_pairs,
    keeps_units,
    may_have_kernels,
    may_have_tables,
    multipliers,
    only_adds,
    scales_columns,
    snake_case,
    takes_largest,
    unit_axis,
    unit_shape,
    vocabulary,
)
from keras_winit._network.restoring import restored
from keras_winit._network.told import tell
from keras_winit._network.weights import (
    Weight,
    sets_forget_gate,
    stable_paths,
    tell_attention,
    tell_initializers,
    weights_of,
)
