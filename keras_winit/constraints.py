"""Zeros that stay zeros while a layer trains."""

import functools
from typing import Any

import keras

from keras_winit.initializers import Sparse

__all__ = ["SparsityMask"]


@keras.saving.register_keras_serializable("keras_winit")
class SparsityMask(keras.constraints.Constraint):
    """Keeps the zeros of a `Sparse` kernel at zero.

    A constraint: after every step of the optimizer the weights that `Sparse` left out are zero
    again. Which ones follows from the seed and the shape of the kernel: nothing is stored, and a
    saved model keeps its zeros when training goes on after loading.

    Args:
        initializer: The `Sparse` that draws the kernel, with an integer seed, or its config.

    Raises:
        TypeError: If `initializer` is no `Sparse`.
        ValueError: If it has no integer seed: the zeros could not be found again.

    Example:

    >>> sparse = keras_winit.initializers.Sparse(0.9, seed=7)
    >>> mask = keras_winit.SparsityMask(sparse)
    >>> layer = keras.layers.Dense(20, kernel_initializer=sparse, kernel_constraint=mask)
    >>> model = keras.Sequential([keras.Input((50,)), layer])
    >>> model.compile("adam", "mse")
    >>> _ = model.fit(np.ones((8, 50)), np.ones((8, 20)), epochs=3, verbose=0)
    >>> int(np.count_nonzero(keras.ops.convert_to_numpy(layer.kernel)))
    100

    Reference:

    - [Mocanu et al., 2018](https://arxiv.org/abs/1707.04780), for training at fixed sparsity
    """

    def __init__(self, initializer: Sparse | dict[str, Any]) -> None:
        if isinstance(initializer, (dict, str)):
            initializer = keras.initializers.get(initializer)
        if not isinstance(initializer, Sparse):
            raise TypeError(
                "`initializer` should be a `keras_winit.initializers.Sparse`. "
                f"Received: initializer={initializer!r}."
            )
        if not isinstance(initializer.get_config()["seed"], int):
            raise ValueError(
                "`initializer` should have an integer seed, from which the zeros follow. "
                f"Received: initializer={initializer!r}. Use Sparse(..., seed=7), for example."
            )
        self.initializer = initializer
        self._mask = functools.cache(initializer.mask)

    def __call__(self, w: Any) -> Any:
        w = keras.ops.convert_to_tensor(w)
        mask = self._mask(tuple(int(size) for size in w.shape))
        return w * keras.ops.cast(keras.ops.convert_to_tensor(mask), w.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"initializer": keras.initializers.serialize(self.initializer)}

    def to_keras(self) -> None:
        """Returns `None`: no constraint of Keras keeps zeros."""
        return None
