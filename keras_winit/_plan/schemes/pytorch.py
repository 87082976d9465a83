"""The scheme that starts a model as torch does."""

import dataclasses
import math

import keras

from keras_winit import _references
from keras_winit._activations.identify import formula_of_layer
from keras_winit._plan.choice import Choice
from keras_winit._random import distributions
from keras_winit.initializers._kernel_initializer import KernelInitializer

initializers = keras.initializers

TORCH = str(_references.TORCH)


def pytorch(network, keep):
    """The defaults of torch 2, kernels and biases."""
    return [_as_torch(weight, network.layers[weight.layer]) for weight in network.weights]


def _as_torch(weight, of_layer):
    weight = dataclasses.replace(weight, ones=None)  # torch's forget gates start like the others
    kernels = [each for each in of_layer if each.role == "kernel"]
    if weight.role == "embedding":
        return Choice(weight, initializers.RandomNormal(stddev=1.0), "torch.nn.Embedding", TORCH)
    if weight.name == "alpha" and formula_of_layer(weight.layer) is not None:
        return Choice(weight, initializers.Constant(0.25), "torch.nn.PReLU", TORCH)
    if weight.role not in ("kernel", "recurrent", "bias") or not kernels:
        return Choice(weight, weight.default_initializer(), "Keras's default is torch's", TORCH)
    if weight.in_attention:
        return _as_torch_attention(weight)
    if weight.is_in_cell and hasattr(weight.layer, "units"):  # torch has no ConvLSTM
        bound = 1 / math.sqrt(weight.layer.units)
        # Each gate of torch has two biases, which only their sum is left of here.
        twice = weight.role == "bias" and len(weight.shape) == 1
        initializer = SumOfUniforms(bound) if twice else _uniform(bound)
        return Choice(weight, initializer, "uniform up to 1 / sqrt(units)", TORCH)
    kernel = weight if weight.role != "bias" else kernels[-1]
    shape, axes = kernel.structure
    taps, inputs, outputs, _ = axes.sizes(shape)
    # torch counts the inputs of a transposed convolution by its outputs.
    fan_in = taps * (outputs if kernel.kernel.transposed else inputs)
    return Choice(weight, _uniform(1 / math.sqrt(fan_in)), "uniform up to 1 / sqrt(fan_in)", TORCH)


def _as_torch_attention(weight):
    if weight.role == "bias":
        return Choice(weight, initializers.Zeros(), "torch.nn.MultiheadAttention", TORCH)
    shape, axes = weight.structure
    _, inputs, outputs, _ = axes.sizes(shape)
    if weight.layer.name == "attention_output":
        bound = 1 / math.sqrt(inputs)
    else:  # torch keeps the maps of query, key and value in one matrix
        bound = math.sqrt(6 / (inputs + 3 * outputs))
    return Choice(weight, _uniform(bound), "torch.nn.MultiheadAttention", TORCH)


def _uniform(bound):
    return initializers.RandomUniform(-bound, bound)


@keras.saving.register_keras_serializable("keras_winit")
class SumOfUniforms(KernelInitializer):
    """The sum of two independent draws from (-bound, bound), for weights of any shape."""

    def __init__(self, bound, seed=None):
        self.bound = bound
        super().__init__(seed=seed)

    def _values(self, shape, dtype, seed):
        return self._draw(shape, None, dtype, seed)

    def to_keras(self):
        return _uniform(math.sqrt(2) * self.bound)

    def _draw(self, shape, axes, dtype, seed):
        first, second = (
            distributions.uniform(
                shape, limit=self.bound, seed=seed, purpose=f"sum_of_uniforms/{part}"
            )
            for part in range(2)
        )
        return first + second
