"""The files that the command reads: models and arrays, which were checked before."""

import importlib
import os
import re
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

from _keras_winit_command.files import Mistake
from keras_winit import _checks


def load_model(path, modules=(), compile=True, unsafe=False):
    """Returns the model in the file, or raises a `Mistake` that says what to do."""
    _import(modules)
    try:
        with warnings.catch_warnings():
            # Keras says it of every model that was compiled and not trained.
            empty = "Skipping variable loading for optimizer .* saved optimizer has 2 variables"
            warnings.filterwarnings("ignore", empty)
            return keras.saving.load_model(path, compile=compile, safe_mode=not unsafe)
    except Exception as error:  # whatever a file may hold
        text = str(error)
        unknown = re.search(r"Could not locate (class|function) '([^']*)'", text)
        if unknown:
            kind, name = unknown.groups()
            raise Mistake(
                f"{path} holds the {kind} {name!r}, which Keras does not know. Name the module "
                "that registers it with `--import`."
            ) from None
        if "safe_mode" in text:
            raise Mistake(
                f"{path} holds Python code, which loading it would run. If you trust where it "
                "comes from, give `--unsafe`."
            ) from None
        reason = _checks.first_line(text.rpartition("Exception encountered: ")[2])
        raise Mistake(
            f"{path} could not be loaded by Keras {keras.__version__}: {reason}"
        ) from None


def _import(modules):
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does, also for the installed command
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # of a module that is the user's
            raise Mistake(
                f"`--import` should be a module, as in `import {Path(name).stem}`. Received: "
                f"{name!r}: {type(error).__name__}: {error}"
            ) from None


def load_arrays(path):
    """Returns the array of a .npy file, or the arrays of a .npz file by name, `None` for none."""
    if path is None:
        return None
    try:
        # Not read before it is used, and refused if it is not there.
        mode = "r" if path.suffix == ".npy" else None
        found = np.load(path, mmap_mode=mode, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return np.asarray(found)
        with found:
            arrays = dict(found)
    except Exception as error:  # whatever a file may hold
        reason = _checks.first_line(error)
        raise Mistake(f"{path} holds no arrays of numbers: {reason}") from None
    if all(re.fullmatch(r"arr_\d+", name) for name in arrays):  # without names
        arrays = list(arrays.values())
        return arrays[0] if len(arrays) == 1 else arrays
    return arrays
