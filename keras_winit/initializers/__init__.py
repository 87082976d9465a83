"""All of `keras.initializers`, and what it lacks.

Whatever Keras has is here as the very same object, but for `Identity` and `Orthogonal`, which
are ours. A name in lower case is what the string is: `identity` and `orthogonal` are Keras's.
Every class can be given as `kernel_initializer=` instance, class or string.
"""

from keras.initializers import *  # noqa: F403 (what Keras has, in this version and the next)

from keras_winit.initializers._activation_scaling import ActivationScaling
from keras_winit.initializers._bilinear_upsampling import BilinearUpsampling
from keras_winit.initializers._chrono_bias import ChronoBias
from keras_winit.initializers._class_prior import ClassPrior as ClassPrior
from keras_winit.initializers._convolution_orthogonal import ConvolutionOrthogonal
from keras_winit.initializers._delta_orthogonal import DeltaOrthogonal
from keras_winit.initializers._fourier_features import FourierFeatures
from keras_winit.initializers._fourier_phases import FourierPhases
from keras_winit.initializers._icnr import ICNR
from keras_winit.initializers._identity import Identity
from keras_winit.initializers._looks_linear import LooksLinear
from keras_winit.initializers._normalized_positive_definite import NormalizedPositiveDefinite
from keras_winit.initializers._orthogonal import Orthogonal as Orthogonal
from keras_winit.initializers._per_gate import PerGate
from keras_winit.initializers._rotation import Rotation
from keras_winit.initializers._siren import Siren
from keras_winit.initializers._sparse import Sparse

activation_scaling = ActivationScaling
bilinear_upsampling = BilinearUpsampling
chrono_bias = ChronoBias
convolution_orthogonal = ConvolutionOrthogonal
delta_orthogonal = DeltaOrthogonal
dirac = Identity
fourier_features = FourierFeatures
fourier_phases = FourierPhases
icnr = ICNR
looks_linear = LooksLinear
normalized_positive_definite = NormalizedPositiveDefinite
per_gate = PerGate
rotation = Rotation
siren = Siren
sparse = Sparse

__all__ = [name for name in dir() if not name.startswith("_")]
