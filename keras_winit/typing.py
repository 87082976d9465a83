"""Types of what the functions of this package take, for annotations of your own."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import keras
import numpy as np

__all__ = [
    "ActivationLike",
    "Data",
    "InitializerLike",
    "Keep",
    "Names",
    "Scheme",
    "Seed",
    "SeedLike",
    "Verbose",
]

ActivationLike: TypeAlias = str | Callable[..., Any] | keras.Layer | dict[str, Any] | None
"""An activation: its name, a function, a layer, what a config holds, or `None` for linear."""

InitializerLike: TypeAlias = (
    str | keras.Initializer | type[keras.Initializer] | Callable[..., Any] | dict[str, Any]
)
"""An initializer: its name, an instance, a class, a function of shape and dtype, or a config."""

Scheme: TypeAlias = (
    Literal[
        "suggested",
        "own",
        "keras",
        "pytorch",
        "critical",
        "fixup",
        "zero_last",
        "gpt2",
        "mimetic",
        "mup",
    ]
    | InitializerLike
)
"""What `initialize` takes besides a `Plan`: the name of a scheme, or an initializer for all."""

Keep: TypeAlias = Literal["special", "all", "none"]
"""What to keep of the initializers that the authors of layers gave."""

Seed: TypeAlias = int | np.integer[Any]
"""An integer, Python's or NumPy's."""

SeedLike: TypeAlias = Seed | keras.random.SeedGenerator
"""An integer, or a generator that gives another one for every draw."""

Names: TypeAlias = str | list[str] | tuple[str, ...]
"""Name, path or pattern of layers or weights, or several of them."""

Data: TypeAlias = Iterable[Any] | keras.utils.PyDataset
"""A batch or more: an array, a list, tuple or dict of arrays, a data set, a loader."""

Verbose: TypeAlias = Literal["auto", 0, 1]
"""Whether a line tells how far a verb is: `"auto"` for one in terminals and notebooks."""
