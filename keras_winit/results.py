"""What the functions of this package return, and what it consists of."""

from keras_winit._calibrate.calibrate import Calibration
from keras_winit._calibrate.sweep import CalibratedLayer
from keras_winit._compare.comparison import ComparedInitializer, Comparison, Run
from keras_winit._diagnose.diagnosis import Diagnosis
from keras_winit._diagnose.rules.finding import Action, Finding, Verb
from keras_winit._inherit.inherit import Inheritance, InheritedWeight
from keras_winit._learning_rates.coordinates import CoordinateCheck, LayerByWidth
from keras_winit._measure.coverage import Coverage, UnknownLayers, UnknownWeight
from keras_winit._measure.output_loss import LossSignal
from keras_winit._measure.record import RecordedLayer, Recording
from keras_winit._measure.signal import (
    EndingSignal,
    InputSignal,
    KernelSignal,
    LayerSignal,
    Signal,
    Summary,
)
from keras_winit._network.graph import Branch
from keras_winit._plan.initialize import Initialization, InitializedWeight
from keras_winit._plan.plan import Difference, Plan, PlannedWeight
from keras_winit._plan.selection import Suggestion
from keras_winit._revive.revive import Revival, RevivedLayer
from keras_winit._show.result import Part, Result, Table
from keras_winit.initializers._catalogue import Catalogue, Entry

__all__ = [
    "Action",
    "Branch",
    "CalibratedLayer",
    "Calibration",
    "Catalogue",
    "ComparedInitializer",
    "Comparison",
    "CoordinateCheck",
    "Coverage",
    "Diagnosis",
    "Difference",
    "EndingSignal",
    "Entry",
    "Finding",
    "Inheritance",
    "InheritedWeight",
    "InitializedWeight",
    "Initialization",
    "InputSignal",
    "KernelSignal",
    "LayerByWidth",
    "LayerSignal",
    "LossSignal",
    "Part",
    "Plan",
    "PlannedWeight",
    "RecordedLayer",
    "Recording",
    "Result",
    "Revival",
    "RevivedLayer",
    "Run",
    "Signal",
    "Suggestion",
    "Summary",
    "Table",
    "UnknownLayers",
    "UnknownWeight",
    "Verb",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # what pickles, too, know them by
