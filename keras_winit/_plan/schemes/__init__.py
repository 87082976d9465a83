"""Schemes, each in a file of its own: from a `Network` to a `Choice` for each of its weights.

They also take what to keep of the authors' initializers, as `suggest` does; `None` is for what the
scheme does when nothing is said.
"""

from keras_winit._plan.schemes.branches import LISTS, by_branch
from keras_winit._plan.schemes.critical import critical
from keras_winit._plan.schemes.keras_defaults import keras_defaults
from keras_winit._plan.schemes.mimetic import mimetic
from keras_winit._plan.schemes.mup import mup
from keras_winit._plan.schemes.own import own
from keras_winit._plan.schemes.pairs import looks_linear, mirrored
from keras_winit._plan.schemes.pytorch import pytorch
from keras_winit._plan.schemes.suggested import suggested
from keras_winit._plan.schemes.uniform import uniform
from keras_winit.initializers import LooksLinear, Mirrored

SCHEMES = {
    "suggested": suggested,
    "own": own,
    "keras": keras_defaults,
    "pytorch": pytorch,
    "critical": critical,
    **{name: by_branch(name) for name in LISTS},
    "mimetic": mimetic,
    "mup": mup,
}


def scheme_of(initializer):
    """Returns the scheme that gives an initializer to kernels."""
    if isinstance(initializer, Mirrored):
        return mirrored(initializer)
    return (looks_linear if isinstance(initializer, LooksLinear) else uniform)(initializer)
