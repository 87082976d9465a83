"""The right starting weights for every Keras network."""

from keras_winit import callbacks, constraints, initializers, results, typing
from keras_winit._activations.gains import gain
from keras_winit._calibrate.calibrate import calibrate
from keras_winit._compare.compare import compare
from keras_winit._diagnose.diagnosis import diagnose
from keras_winit._inherit.inherit import inherit
from keras_winit._learning_rates.coordinates import coordinate_check
from keras_winit._learning_rates.scale import scale_learning_rates
from keras_winit._measure.record import record
from keras_winit._network import Kernel, describe_layer
from keras_winit._plan.builder import suggest_initializer
from keras_winit._plan.initialize import initialize
from keras_winit._plan.plan import suggest
from keras_winit._plan.selection import select_initializer
from keras_winit._revive.revive import revive
from keras_winit._strip import strip_initializers
from keras_winit.callbacks import SignalMonitor
from keras_winit.constraints import SparsityMask
from keras_winit.initializers._aliases import register_aliases, unregister_aliases
from keras_winit.initializers._catalogue import catalogue
from keras_winit.initializers._class_prior import class_prior
from keras_winit.results import (
    Calibration,
    Catalogue,
    Comparison,
    CoordinateCheck,
    Diagnosis,
    Inheritance,
    Initialization,
    Plan,
    Recording,
    Revival,
    Suggestion,
)

__version__ = "0.2.0"

__all__ = [
    "Calibration",
    "Catalogue",
    "Comparison",
    "CoordinateCheck",
    "Diagnosis",
    "Inheritance",
    "Initialization",
    "Kernel",
    "Plan",
    "Recording",
    "Revival",
    "SignalMonitor",
    "SparsityMask",
    "Suggestion",
    "calibrate",
    "callbacks",
    "catalogue",
    "class_prior",
    "compare",
    "constraints",
    "coordinate_check",
    "describe_layer",
    "diagnose",
    "gain",
    "inherit",
    "initialize",
    "initializers",
    "record",
    "register_aliases",
    "results",
    "revive",
    "scale_learning_rates",
    "select_initializer",
    "strip_initializers",
    "suggest",
    "suggest_initializer",
    "typing",
    "unregister_aliases",
]

register_aliases()
