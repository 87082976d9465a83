"""What initializers of kernels share: the axes of a kernel."""

import functools
from collections.abc import Sequence
from typing import Any, Self

import keras

from keras_winit import _axes, _network
from keras_winit.initializers._own_initializer import OwnInitializer, check_seed
from keras_winit.typing import SeedLike

MODES = ("fan_in", "fan_out", "fan_avg")  # what `mode` can be, as in Keras: the fan that divides


class KernelInitializer(OwnInitializer, keras.initializers.VarianceScaling):
    """Base class of initializers of kernels.

    A subclass defines `_draw`. If it is elementwise, `_draw` also takes the part to draw: slices,
    or `None`. It is a `VarianceScaling`, of the `scale`, `mode` and
    `distribution` that come nearest, because that is the only class to which EinsumDense, and so
    attention, tells the axes of its kernel.
    """

    _elementwise = False
    # Whether gates or groups side by side, or inputs in place of outputs, are no matter to it.
    _takes_blocks = _takes_transposed = False
    _is_of_states = False  # whether it maps from a state to the next
    _is_string = False
    input_axes: list[int] | None
    output_axes: list[int] | None

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "untruncated_normal",
        seed: SeedLike | None = 0,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._config_seed = check_seed(seed)
        # A checker knows nothing of Keras.
        super().__init__(scale, mode, distribution, seed=self._config_seed)  # pyright: ignore
        self.input_axes, self.output_axes = _axes.check_axes(input_axes, output_axes)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        initializer = super().from_config(config)
        # A string gives nothing; a file does, but of a class that leaves out its defaults.
        initializer._is_string = not config and bool(initializer.get_config())
        return initializer

    def _axes_of(self, shape):
        kernel = _network.asked_kernel() if self._is_string and self.input_axes is None else None
        if kernel is not None:
            self._check_kernel(kernel, shape)
        return _axes.kernel_axes(shape, self.input_axes, self.output_axes)

    def _check_kernel(self, kernel, shape):
        """Raises if a string, which gives no arguments, would draw a layer's kernel wrongly."""
        name = type(self).__name__
        if kernel.role == "embedding":
            raise ValueError(
                "a string should be for a kernel. Received: an embedding of "
                f'shape={shape}, whose rows are vectors. Use `"random_normal"`, for example.'
            )
        is_plain = kernel.input_axes is None or (kernel.transposed and self._takes_transposed)
        if not is_plain:
            raise ValueError(
                "`input_axes` and `output_axes` should be given for a kernel that is not "
                f"(*spatial, input, output). Received: a string, for shape={shape}. Use "
                f"`{name}(input_axes={kernel.input_axes}, output_axes={kernel.output_axes})`, or "
                "`keras_winit.initialize` on the model."
            )
        if kernel.blocks > 1 and not self._takes_blocks:
            raise ValueError(
                f"a string should be for one kernel. Received: shape={shape}, which holds "
                f"{kernel.blocks} gates or groups side by side. Use `groups={kernel.blocks}` where "
                f"{name} takes it, `PerGate({name}(), gates={kernel.blocks})`, or "
                "`keras_winit.initialize` on the model."
            )
        if self._is_of_states and shape[-2] != shape[-1]:
            raise ValueError(
                "a string should be for a kernel of as many inputs as outputs, from state to "
                f"state. Received: shape={shape}. For other kernels use `Orthogonal`, for example."
            )

    def _values(self, shape, dtype, seed):
        return self._draw(shape, self._axes_of(shape), dtype, seed)

    def _parts(self, shape, dtype, seed):
        if not self._elementwise:
            return super()._parts(shape, dtype, seed)
        return functools.partial(self._draw, shape, self._axes_of(shape), dtype, seed)

    def _draw(self, shape, axes, dtype, seed):
        """Returns the kernel as a NumPy array, float32 or `dtype`."""
        raise NotImplementedError

    def to_keras(self) -> keras.Initializer:
        """Returns a Keras initializer, unseeded, of the same variance."""
        return keras.initializers.VarianceScaling(self.scale, self.mode, self.distribution)
