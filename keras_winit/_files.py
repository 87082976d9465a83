"""The files of the command: models and arrays that it reads, and where it may write."""

import importlib
import os
import re
import sys
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_winit import _checks


class Mistake(Exception):
    """What a user can mend, in one sentence or two."""


def load_model(path, modules=(), compile=True, unsafe=False):
    """Returns the model in the file, or raises a `Mistake` that says what to do."""
    _check_input(path, (".keras",), 'Save the whole model with `model.save("model.keras")`.')
    if not _is_model(path):
        raise Mistake(f"{path} is not a file that `model.save` of Keras 3 wrote.")
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


def _is_model(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return "config.json" in file.namelist()


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
    _check_input(path, (".npy", ".npz"), "Save arrays with `numpy.save` or `numpy.savez`.")
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            arrays = dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Mistake(f"{path} holds no arrays of numbers: {_checks.first_line(error)}") from None
    if all(re.fullmatch(r"arr_\d+", name) for name in arrays):  # without names
        arrays = list(arrays.values())
        return arrays[0] if len(arrays) == 1 else arrays
    return arrays


def _check_input(path, suffixes, advice):
    if not path.exists():
        raise Mistake(f"{path} does not exist.")
    if not path.is_file():
        raise Mistake(f"{path} is not a file.")
    if path.suffix not in suffixes:
        raise Mistake(f"{path} should end in {' or '.join(suffixes)}. {advice}")


def check_output(path, suffix, force):
    if path.suffix != suffix:
        raise Mistake(f"The file to write should end in {suffix}. Received: {path}.")
    if not path.parent.is_dir():
        raise Mistake(f"The folder {path.parent} does not exist. Make it first.")
    if path.is_dir():
        raise Mistake(f"{path} is a folder.")
    if path.exists() and not force:
        raise Mistake(f"{path} exists already. Give `--force` to replace it.")
