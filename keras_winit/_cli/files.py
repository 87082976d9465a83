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

# Of an archive: how much larger than packed it may be, from a size on that is no text.
_MOST_RATIO = 100
_LARGE = 1 << 28


class Mistake(Exception):
    """What a user can fix, in one or two sentences."""


def load_model(path, modules=(), compile=True, unsafe=False):
    """Returns the model in the file, or raises a `Mistake` that says what to do."""
    _check_input(path, (".keras",), 'Save the whole model with `model.save("model.keras")`.')
    if not _is_model(path):
        raise Mistake(f"{path} is not a file that `model.save` of Keras 3 wrote.")
    _check_unpacked(path)
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
    try:
        with zipfile.ZipFile(path) as file:
            return "config.json" in file.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _check_unpacked(path):
    """Refuses an archive that is small and holds what fills the memory.

    Weights and data hardly get smaller by compression. What a directory says is what `zipfile`
    unpacks at most.
    """
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
    packed = sum(member.compress_size for member in members)
    if packed > path.stat().st_size:  # members that lie over each other
        raise Mistake(f"{path} holds less than its directory says: it is damaged. Save it anew.")
    unpacked = sum(member.file_size for member in members)
    parts = [(each.filename, each.file_size, each.compress_size) for each in members]
    for name, large, small in [*parts, ("all of it", unpacked, packed)]:
        if large > _LARGE and large > _MOST_RATIO * small:
            raise Mistake(
                f"{path} should unpack to at most {_MOST_RATIO} times its size, or {_bytes(_LARGE)}"
                f". Received: {name!r} of {_bytes(small)}, which unpacks to {_bytes(large)}. If "
                "you trust it, save what it holds without compression."
            )


def _bytes(number):
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"
        number /= 1000


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
        # Not read before it is used, and refused if it is not there.
        mode = "r" if path.suffix == ".npy" else None
        if path.suffix == ".npz":
            _check_unpacked(path)
        found = np.load(path, mmap_mode=mode, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return np.asarray(found)
        with found:
            arrays = dict(found)
    except Mistake:
        raise
    except Exception as error:  # whatever a file may hold
        reason = _checks.first_line(error)
        raise Mistake(f"{path} holds no arrays of numbers: {reason}") from None
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
