"""What initializers of kernels share: the axes of a kernel."""

import functools

import keras

from keras_winit import _axes
from keras_winit.initializers._own_initializer import OwnInitializer, check_seed

MODES = ("fan_in", "fan_out", "fan_avg")  # what `mode` can be, as in Keras: the fan that divides


class KernelInitializer(OwnInitializer, keras.initializers.VarianceScaling):
    """Base class of initializers of kernels.

    A subclass defines `_draw`. If it is elementwise, `_draw` also takes the part to draw: slices,
    or `None`. It is a `VarianceScaling`, of the `scale`, `mode` and
    `distribution` that come nearest, because that is the only class to which EinsumDense, and so
    attention, tells the axes of its kernel.
    """

    _elementwise = False

    def __init__(
        self,
        scale=1.0,
        mode="fan_in",
        distribution="untruncated_normal",
        seed=0,
        input_axes=None,
        output_axes=None,
    ):
        self._config_seed = check_seed(seed)
        super().__init__(scale, mode, distribution, seed=self._config_seed)
        self.input_axes, self.output_axes = _axes.check_axes(input_axes, output_axes)

    def _values(self, shape, dtype, seed):
        axes = _axes.kernel_axes(shape, self.input_axes, self.output_axes)
        return self._draw(shape, axes, dtype, seed)

    def _parts(self, shape, dtype, seed):
        if not self._elementwise:
            return super()._parts(shape, dtype, seed)
        axes = _axes.kernel_axes(shape, self.input_axes, self.output_axes)
        return functools.partial(self._draw, shape, axes, dtype, seed)

    def _draw(self, shape, axes, dtype, seed):
        """Returns the kernel as a NumPy array, float32 or `dtype`."""
        raise NotImplementedError

    def to_keras(self):
        """Returns a Keras initializer, unseeded, of the same variance."""
        return keras.initializers.VarianceScaling(self.scale, self.mode, self.distribution)
