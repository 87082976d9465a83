"""The command `keras-winit`: what the package does, for models in files.

It exits with 0 where all is fine, with 1 where `diagnose` finds errors, and with 2 after a
mistake of its user, which it tells in one line.
"""

import argparse
import importlib
import inspect
import json
import os
import re
import shutil
import sys
import tempfile
import textwrap
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

import keras_winit
from keras_winit import _checks, _table, _terminal

# Of a table that is too wide for the terminal: what becomes notes below it, and what is left out
# first.
_NOTES = {
    keras_winit.Calibration: ("why",),
    keras_winit.Initialization: ("why",),
    keras_winit.Plan: ("why", "reference"),
}
_DROP = {
    keras_winit.Calibration: ("times",),
    keras_winit.Catalogue: ("reference", "what it draws", "class"),
    keras_winit.Diagnosis: ("gradient / weight", "kind", "preactivation", "activation"),
    keras_winit.Initialization: ("fan out", "fan in", "shape", "std before"),
    keras_winit.Plan: ("fan out", "fan in", "shape", "followed by"),
}
# What texts of the package call by their names in Python.
_HERE = {
    "`initialize(model)`": "`keras-winit initialize`",
    "`initialize(model, only=...)`": "`keras-winit initialize --only`",
    "`calibrate(model, x)`": "`keras-winit calibrate --data`",
    "`x`": "`--data`",
    "`y`": "`--labels`",
    "`loss`": "`--loss`",
    "`scheme`": "`--scheme`",
    "`only`": "`--only`",
    "`mode`": "`--mode`",
}


class Mistake(Exception):
    """What a user can mend, in one sentence or two."""


def main(argv=None):
    """Runs the command.

    Args:
        argv: List of strings. Defaults to `None`, for the arguments of the process.

    Returns:
        The exit code: 0, 1 if `diagnose` found errors, 2 after a user's mistake.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # terminals that are not UTF-8
    arguments = _parser().parse_args(argv)
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except (Mistake, ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"keras-winit {arguments.command}: error: {_here(str(error))}", file=sys.stderr)
        return 2


def _here(text):
    """Returns a text of the package with commands and options for functions and arguments."""
    for name, here in _HERE.items():
        text = text.replace(name, here)
    return text


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}. `{self.prog} --help` tells more.\n")


def _parser():
    parser = _Parser(
        prog="keras-winit",
        description="The right starting weights for Keras models in files.",
        epilog="Exit codes: 0 fine, 1 diagnose found errors, 2 a mistake in the command. "
        "KERAS_BACKEND sets the backend.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"keras-winit {keras_winit.__version__} "
        f"(Keras {keras.__version__}, {keras.backend.backend()})",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(run, summary, *parents):
        name = run.__name__.removeprefix("_")
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            parents=parents,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        return command

    wide, model, data, output, drawn = map(_shared, ("wide", "model", "data", "output", "drawn"))
    add(_list, "list all initializers, ours and those of Keras", wide)
    show = add(_show, "tell what an initializer draws, when to use it, and its arguments")
    show.add_argument("name", metavar="NAME", help='string or class, as "sparse" or Sparse')
    add(_suggest, "tell what every weight should be, and why; change nothing", model, wide)
    diagnose = add(_diagnose, "tell why a model will not learn", model, data, wide)
    diagnose.add_argument(
        "--labels", metavar="Y.npy", type=Path, help="labels of the data, .npy or .npz"
    )
    diagnose.add_argument(
        "--loss", metavar="NAME", help="name of a loss; the default is that of the compiled model"
    )
    diagnose.add_argument("--html", metavar="OUT.html", type=Path, help="write a page of HTML")
    diagnose.add_argument("--json", action="store_true", help="print all numbers as JSON")
    diagnose.add_argument("--force", action="store_true", help="replace a page that exists")
    initialize = add(
        _initialize, "write the model with new weights, all or some", model, output, drawn, wide
    )
    initialize.add_argument(
        "--scheme",
        default="suggested",
        metavar="NAME",
        help="suggested (the default), own, keras, pytorch, critical, fixup, zero_last, gpt2, "
        "mimetic, or any initializer of `keras-winit list`, for all kernels",
    )
    initialize.add_argument("--seed", type=int, help="integer; the same seed draws the same")
    calibrate = add(_calibrate, "write the model scaled on data", model, data, output, drawn, wide)
    calibrate.add_argument(
        "--mode",
        default="auto",
        metavar="NAME",
        help="auto (the default), tensor, unit, centered or equalized",
    )
    add(_strip, "write the model so that it loads without keras_winit", model, output)
    return parser


def _shared(name):
    """Returns a parser of options that several commands have."""
    parser = argparse.ArgumentParser(add_help=False)
    if name == "wide":
        parser.add_argument(
            "--wide", action="store_true", help="print tables whole, however narrow the terminal"
        )
    if name == "model":
        parser.add_argument("model", metavar="MODEL.keras", type=Path, help="file with a model")
        parser.add_argument(
            "--import",
            dest="modules",
            action="append",
            default=[],
            metavar="MODULE",
            help="import a module first, which registers custom layers; may be repeated",
        )
        parser.add_argument(
            "--unsafe",
            action="store_true",
            help="run Python code that the file holds (lambdas); for files that you trust",
        )
    if name == "data":
        parser.add_argument(
            "--data",
            metavar="X.npy",
            type=Path,
            help="batch, .npy, or .npz with an array for each input; the default is noise",
        )
    if name == "output":
        parser.add_argument(
            "-o", "--output", metavar="OUT.keras", type=Path, required=True, help="file to write"
        )
        parser.add_argument("--force", action="store_true", help="replace a file that exists")
    if name == "drawn":
        parser.add_argument(
            "--only",
            action="append",
            metavar="PATTERN",
            help="only layers or weights of this name, path or pattern; may be repeated",
        )
        parser.add_argument(
            "--frozen", action="store_true", help="also weights that are not trainable"
        )
    return parser


def _list(arguments):
    _print(keras_winit.catalogue(), arguments)
    return 0


def _show(arguments):
    try:
        entry = keras_winit.catalogue()[arguments.name]
    except KeyError as error:
        raise Mistake(f"{error.args[0]} `keras-winit list` shows all.") from None
    facts = {
        "class": f"keras_winit.initializers.{entry.name}",
        "string": f'"{entry.alias}"',
        "draws": entry.formula,
        "when": entry.when,
        "reference": f"{entry.reference}, {entry.url}",
        "from": entry.origin,
    }
    width = _width(arguments) or 100
    for name, fact in facts.items():
        print(_terminal.fill(f"{name:11}{fact}", width, indent=11))
    documentation = inspect.getdoc(entry.initializer)
    summary = " ".join(documentation.partition("\n\n")[0].split())
    print("", _terminal.fill(summary, width, indent=0), sep="\n")
    section = re.search(r"^Args:\n((?: .*\n|\n)*)", f"{documentation}\n", re.MULTILINE)
    if section:
        print("", "Arguments:", sep="\n")
        for text in re.split(r"\n(?=\w)", textwrap.dedent(section[1]).strip()):
            is_prose = not re.search(r"\n\n|\n +-", text)
            joined = _terminal.fill(" ".join(text.split()), width, indent=4)
            print(joined if is_prose else text)
    return 0


def _suggest(arguments):
    _print(keras_winit.suggest(_load(arguments, compile=False)), arguments)
    return 0


def _diagnose(arguments):
    if arguments.html:
        _check_output(arguments.html, ".html", arguments.force)
    x, y = _data(arguments.data), _data(arguments.labels)
    _check_loss(arguments.loss)
    # Without labels the loss is not used: custom ones then need not be found.
    model = _load(arguments, compile=y is not None and arguments.loss is None)
    report = keras_winit.diagnose(model, x, y, loss=arguments.loss)
    if arguments.html:
        _write(arguments.html, report.save)
    if arguments.json:
        print(json.dumps(report.to_dict(), allow_nan=False))
    else:
        _print(report, arguments)
    if arguments.html:
        print(f"wrote {arguments.html}", file=sys.stderr if arguments.json else sys.stdout)
    return 0 if report.ok else 1


def _initialize(arguments):
    def initialize(model):
        return keras_winit.initialize(
            model,
            arguments.scheme,
            seed=arguments.seed,
            only=arguments.only,
            frozen=arguments.frozen,
        )

    return _change(arguments, initialize)


def _calibrate(arguments):
    x = _data(arguments.data)

    def calibrate(model):
        return keras_winit.calibrate(
            model, x, mode=arguments.mode, only=arguments.only, frozen=arguments.frozen
        )

    code = _change(arguments, calibrate)
    if x is None:
        print("The samples were noise: give `--data` for your data.")
    return code


def _change(arguments, verb):
    """Loads a model, gives it other weights, and writes it with an optimizer that is as new."""
    _check_output(arguments.output, ".keras", arguments.force)
    model = _load(arguments)
    # What an optimizer has gathered, as momentum, belongs to the weights that were.
    config = model.get_compile_config() if model.compiled else None
    model.optimizer = None
    result = verb(model)
    if config:
        model.compile_from_config(config)
    _write(arguments.output, model.save)
    _print(result, arguments)
    if config:
        print("The model stays compiled; its optimizer starts anew.")
    print(f"wrote {arguments.output}")
    return 0


def _strip(arguments):
    _check_output(arguments.output, ".keras", arguments.force)
    model = _load(arguments)
    replaced = keras_winit.strip_initializers(model)
    _write(arguments.output, model.save)
    nothing = "Nothing to replace: the model holds no initializer of keras_winit."
    print(*(replaced or [nothing]), f"wrote {arguments.output}", sep="\n")
    return 0


def _print(result, arguments):
    """Prints a result as it prints itself, or in a narrow terminal so that it fits."""
    width, cells, kind = _width(arguments), result._table(), type(result)
    table = _table.text(*cells)
    rest = _here(repr(result).removeprefix(table))
    if width is not None:
        notes, drop = _NOTES.get(kind, ()), _DROP[kind]
        table = _terminal.table(*cells, width=width, notes=notes, drop=drop)
        rest = _terminal.fill(rest, width)
    print(table + rest)


def _width(arguments):
    """Returns the columns of the terminal, `None` for a pipe or file and where all is asked for."""
    if getattr(arguments, "wide", False) or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _load(arguments, compile=True):
    """Returns the model in the file, or raises a `Mistake` that says what to do."""
    path = arguments.model
    _check_input(path, (".keras",), 'Save the whole model with `model.save("model.keras")`.')
    if not _is_model(path):
        raise Mistake(f"{path} is not a file that `model.save` of Keras 3 wrote.")
    _import(arguments.modules)
    try:
        with warnings.catch_warnings():
            # Keras says it of every model that was compiled and not trained.
            empty = "Skipping variable loading for optimizer .* saved optimizer has 2 variables"
            warnings.filterwarnings("ignore", empty)
            return keras.saving.load_model(path, compile=compile, safe_mode=not arguments.unsafe)
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


def _data(path):
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


def _check_loss(name):
    try:
        keras.losses.get(name)
    except ValueError:
        names = [each for each in dir(keras.losses) if each.islower()]
        raise Mistake(
            f"`--loss` should be the name of a loss. Received: {name!r}."
            f"{_checks.did_you_mean(name, names)}"
        ) from None


def _check_input(path, suffixes, advice):
    if not path.exists():
        raise Mistake(f"{path} does not exist.")
    if not path.is_file():
        raise Mistake(f"{path} is not a file.")
    if path.suffix not in suffixes:
        raise Mistake(f"{path} should end in {' or '.join(suffixes)}. {advice}")


def _check_output(path, suffix, force):
    if path.suffix != suffix:
        raise Mistake(f"The file to write should end in {suffix}. Received: {path}.")
    if not path.parent.is_dir():
        raise Mistake(f"The folder {path.parent} does not exist. Make it first.")
    if path.is_dir():
        raise Mistake(f"{path} is a folder.")
    if path.exists() and not force:
        raise Mistake(f"{path} exists already. Give `--force` to replace it.")


def _write(path, save):
    """Writes a file beside its place and moves it there, so that it is whole or not there."""
    target = path.resolve()
    with tempfile.TemporaryDirectory(prefix=".keras-winit-", dir=target.parent) as folder:
        part = Path(folder) / target.name
        save(part)
        part.replace(target)
