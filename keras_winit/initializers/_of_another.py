"""What initializers share that draw by another one."""

from typing import Any

import keras

from keras_winit.initializers._equivalents import config_of, resolve
from keras_winit.initializers._kernel_initializer import KernelInitializer
from keras_winit.typing import InitializerLike


class OfAnother(KernelInitializer):
    """Base class of initializers of kernels that draw by `_inner`, which users give in any form.

    Where a class has a `default`, they may give `None`.
    """

    def __init__(
        self,
        initializer: InitializerLike | None,
        default: keras.Initializer | None = None,
        **arguments: Any,
    ) -> None:
        self.initializer: InitializerLike | None = initializer
        self._inner = resolve(initializer) if initializer is not None or not default else default
        super().__init__(**arguments)

    def get_config(self) -> dict[str, Any]:
        given = self.initializer and config_of(self.initializer)
        return {**super().get_config(), "initializer": given}
