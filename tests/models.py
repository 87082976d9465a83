"""The initializers of the package, and models that hold them, for all tests."""

import inspect

import keras
import numpy as np

import keras_winit
from keras_winit.initializers._kernel_initializer import KernelInitializer

layers = keras.layers

CATALOGUE = sorted(
    {
        value
        for value in vars(keras_winit.initializers).values()
        if isinstance(value, type) and issubclass(value, KernelInitializer)
    },
    key=lambda cls: cls.__name__,
)


def arguments(cls):
    """Returns the parameters of the constructor by name."""
    return inspect.signature(cls).parameters


RANDOM = [cls for cls in CATALOGUE if "seed" in arguments(cls)]

# These refuse a kernel without taps.
CONVOLUTIONAL = (
    keras_winit.initializers.BilinearUpsampling,
    keras_winit.initializers.ConvolutionOrthogonal,
    keras_winit.initializers.DeltaOrthogonal,
    keras_winit.initializers.ICNR,
    keras_winit.initializers.Shift,
)

# Values for the arguments that are no number by default; all suit kernels of
# `(*spatial, input, output)` with an even number of outputs.
AWAY_FROM_DEFAULT = {
    "activation": "tanh",
    "connections": 2,
    "distribution": "uniform",
    "gains": [0.5, 2.0],
    "initializer": "lecun_uniform",
    "input_axes": [0, 1, 3],
    "mode": "fan_out",
    "output_axes": [0, 1, 2],
    "seed": 7,
}


def away_from_default(cls, axes=True):
    """Returns a value for every argument of a class, each other than its default."""
    defaults = {name: parameter.default for name, parameter in arguments(cls).items()}
    return {
        name: _other(default) if isinstance(default, (int, float)) else AWAY_FROM_DEFAULT[name]
        for name, default in defaults.items()
        if axes or "_axes" not in name
    }


def _other(number):
    if isinstance(number, bool):
        return not number
    return number / 2 if isinstance(number, float) else number // 2 or 2


def every_layer(initializer):
    """Returns a model with each kind of kernel, all drawn by `initializer` where it suits."""
    kernel = initializer
    matrix = initializer
    if isinstance(initializer, CONVOLUTIONAL):
        matrix = keras_winit.initializers.ActivationScaling(seed=1)
    # Unrolled, since it is faster for so few steps.
    recurrent = {"kernel_initializer": matrix, "recurrent_initializer": matrix, "unroll": True}
    same = {"padding": "same"}
    images = keras.Input((2, 3, 4), name="images")
    words = keras.Input((2,), dtype="int32", name="words")
    x = layers.Conv2D(6, 3, kernel_initializer=kernel, **same)(images)
    x = layers.DepthwiseConv2D((2, 3), depth_multiplier=2, depthwise_initializer=kernel, **same)(x)
    x = layers.SeparableConv2D(
        4,
        3,
        depth_multiplier=2,
        depthwise_initializer=kernel,
        pointwise_initializer=kernel,
        **same,
    )(x)
    x = layers.Conv2DTranspose(6, 3, kernel_initializer=kernel, **same)(x)
    x = layers.Reshape((6, 6))(x)
    x = layers.EinsumDense("abc,cde->abde", (None, 2, 4), kernel_initializer=matrix)(x)
    x = layers.Reshape((6, 8))(x)
    x = layers.MultiHeadAttention(2, 4, kernel_initializer=matrix)(x, x)
    embedded = layers.Embedding(11, 8, embeddings_initializer=matrix)(words)
    x = layers.Concatenate(axis=1)([x, embedded])
    x = layers.LSTM(6, return_sequences=True, **recurrent)(x)
    x = layers.GRU(4, return_sequences=True, **recurrent)(x)
    x = layers.Bidirectional(layers.LSTM(2, **recurrent))(x)
    x = layers.Dense(6, kernel_initializer=matrix, name="last")(x)
    return keras.Model([images, words], x)


def every_layer_inputs():
    """Returns a batch for `every_layer`."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(2, 2, 3, 4)).astype("float32"), np.arange(4).reshape(2, 2)]


def one_of_each():
    """Returns a model with every class, seeded; each is in the layer of its name."""
    initializers = keras_winit.initializers
    depthwise = {"input_axes": [0, 1], "output_axes": [0, 1, 3]}
    moments = {"second_moment": 0.4, "variance": 0.3, "slope_second_moment": 0.6}
    kernels = [
        initializers.DeltaOrthogonal(gain=1.25, seed=1),
        initializers.Identity(gain=0.5, groups=2),
        initializers.Sparse(connections=3, gain=1.5, seed=2, **depthwise),
        initializers.ActivationScaling("gelu", 0.5, "fan_avg", "uniform", seed=3),
        initializers.Orthogonal(gain=0.75, seed=4),
    ]
    delta, identity, sparse, scaling, orthogonal = kernels
    return keras.Sequential(
        [
            keras.Input((6, 7, 3)),
            layers.Conv2D(4, 3, kernel_initializer=delta, name="DeltaOrthogonal"),
            layers.Conv2D(4, (2, 3), groups=2, kernel_initializer=identity, name="Identity"),
            layers.DepthwiseConv2D(2, padding="same", depthwise_initializer=sparse, name="Sparse"),
            layers.Reshape((9, 4)),
            layers.Dense(6, "gelu", kernel_initializer=scaling, name="ActivationScaling"),
            layers.LSTM(5, recurrent_initializer=orthogonal),
            layers.Dense(3, kernel_initializer=orthogonal, name="Orthogonal"),
            layers.Dense(2, kernel_initializer=initializers.ActivationScaling(moments, seed=5)),
        ]
    )


def one_of_each_inputs():
    """Returns a batch for `one_of_each`."""
    return np.linspace(-2, 2, 2 * 6 * 7 * 3, dtype="float32").reshape(2, 6, 7, 3)
