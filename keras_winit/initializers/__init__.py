"""All of `keras.initializers`, and what it lacks.

Whatever Keras has is here as the very same object, but for `Identity` and `Orthogonal`, which
are ours. A name in lower case is what the string is: `identity` and `orthogonal` are Keras's.
Every class can be given as `kernel_initializer=` instance, class or string.
"""

import typing as _typing

from keras.initializers import *  # noqa: F403 (what Keras has, in this version and the next)

# In the order of the catalogue, each group from the common to the special.
# isort: off
from keras_winit.initializers._activation_scaling import ActivationScaling as ActivationScaling
from keras_winit.initializers._orthogonal import Orthogonal as Orthogonal
from keras_winit.initializers._looks_linear import LooksLinear as LooksLinear
from keras_winit.initializers._delta_orthogonal import DeltaOrthogonal as DeltaOrthogonal
from keras_winit.initializers._convolution_orthogonal import (
    ConvolutionOrthogonal as ConvolutionOrthogonal,
)
from keras_winit.initializers._identity import Identity as Identity
from keras_winit.initializers._mirrored import Mirrored as Mirrored
from keras_winit.initializers._shift import Shift as Shift
from keras_winit.initializers._sparse import Sparse as Sparse
from keras_winit.initializers._siren import Siren as Siren
from keras_winit.initializers._fourier_features import FourierFeatures as FourierFeatures
from keras_winit.initializers._icnr import ICNR as ICNR
from keras_winit.initializers._bilinear_upsampling import BilinearUpsampling as BilinearUpsampling
from keras_winit.initializers._per_gate import PerGate as PerGate
from keras_winit.initializers._normalized_positive_definite import (
    NormalizedPositiveDefinite as NormalizedPositiveDefinite,
)
from keras_winit.initializers._block_diagonal import BlockDiagonal as BlockDiagonal
from keras_winit.initializers._graded import Graded as Graded
from keras_winit.initializers._rotation import Rotation as Rotation
from keras_winit.initializers._chrono_bias import ChronoBias as ChronoBias
from keras_winit.initializers._class_prior import ClassPrior as ClassPrior
from keras_winit.initializers._fourier_phases import FourierPhases as FourierPhases
# isort: on

if _typing.TYPE_CHECKING:  # Keras has no types: some checkers do not look what is in its star
    # isort: off
    from keras.initializers import (
        Constant as Constant,
        GlorotNormal as GlorotNormal,
        GlorotUniform as GlorotUniform,
        HeNormal as HeNormal,
        HeUniform as HeUniform,
        IdentityInitializer as IdentityInitializer,
        Initializer as Initializer,
        LecunNormal as LecunNormal,
        LecunUniform as LecunUniform,
        Ones as Ones,
        OrthogonalInitializer as OrthogonalInitializer,
        RandomNormal as RandomNormal,
        RandomUniform as RandomUniform,
        STFT as STFT,
        STFTInitializer as STFTInitializer,
        TruncatedNormal as TruncatedNormal,
        VarianceScaling as VarianceScaling,
        Zeros as Zeros,
        constant as constant,
        deserialize as deserialize,
        get as get,
        glorot_normal as glorot_normal,
        glorot_uniform as glorot_uniform,
        he_normal as he_normal,
        he_uniform as he_uniform,
        identity as identity,
        lecun_normal as lecun_normal,
        lecun_uniform as lecun_uniform,
        ones as ones,
        orthogonal as orthogonal,
        random_normal as random_normal,
        random_uniform as random_uniform,
        serialize as serialize,
        stft as stft,
        truncated_normal as truncated_normal,
        variance_scaling as variance_scaling,
        zeros as zeros,
    )
    # isort: on

activation_scaling = ActivationScaling
bilinear_upsampling = BilinearUpsampling
block_diagonal = BlockDiagonal
chrono_bias = ChronoBias
convolution_orthogonal = ConvolutionOrthogonal
delta_orthogonal = DeltaOrthogonal
dirac = Identity
fourier_features = FourierFeatures
fourier_phases = FourierPhases
graded = Graded
icnr = ICNR
looks_linear = LooksLinear
mirrored = Mirrored
normalized_positive_definite = NormalizedPositiveDefinite
per_gate = PerGate
rotation = Rotation
shift = Shift
siren = Siren
sparse = Sparse

__all__ = [name for name in dir() if not name.startswith("_")]
