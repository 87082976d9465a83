"""The command `keras-winit`: what the package does, for models in files.

It exits with 0 where all is fine, with 1 where `diagnose` finds errors, with 2 after a mistake of
its user or any other failure, which it tells in one line, and with 3 where `diagnose` finds
nothing wrong, but has not looked at all layers.
"""

import argparse
import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import sys
import textwrap
import threading
from pathlib import Path

import keras

import keras_winit
from keras_winit import _checks
from keras_winit._cli import files
from keras_winit._show import table, terminal, whole_file

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
    "`keep`": "`--keep`",
    "`mode`": "`--mode`",
}
_NAME = "keras-winit"
_CLOSED = (
    "the standard output should be open. Received: closed. Send it to a file, or to /dev/null."
)
# Errors whose texts speak for themselves.
_EXPECTED = (ValueError, TypeError, OSError, RuntimeError, ImportError)


def main(argv=None):
    """Runs the command.

    Args:
        argv: List of strings. Defaults to `None`, for the arguments of the process.

    Returns:
        The exit code: 0, 1 if `diagnose` found errors, 2 if the command failed, 3 if layers were
        not looked at.
    """
    output, errors = sys.stdout, sys.stderr or open(os.devnull, "w")
    if output is None:
        print(f"{_NAME}: error: {_CLOSED}", file=errors)
        return 2
    if hasattr(output, "reconfigure"):
        output.reconfigure(errors="backslashreplace")  # terminals that are not UTF-8
    # Names and texts of a file must not steer a terminal.
    output, errors = terminal.Printable(output), terminal.Printable(errors)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            return _run(argv)
        except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
            _discard(output)
            return 141
        except KeyboardInterrupt:
            return 130


def _run(argv):
    """Does what `main` does, and tells any error in one line."""
    name = _NAME
    try:
        try:
            arguments = _parser().parse_args(argv)
            name = f"{_NAME} {arguments.command}"
            with _signals_raise():
                return arguments.run(arguments)
        finally:
            sys.stdout.flush()  # here, where it can be told that it fails
    except BrokenPipeError:
        raise
    except Exception as error:  # a traceback, and the exit code 1 of Python, would mislead
        print(f"{name}: error: {_here(_told(error))}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # a full disk
            _discard(sys.stdout)
        return 2


def _told(error):
    """Returns what an error says in one line, with its class where that says more."""
    text = _checks.first_line(error)
    is_expected = isinstance(error, (*_EXPECTED, files.Mistake))
    is_expected &= not isinstance(error, (RecursionError, NotImplementedError))
    name = type(error).__name__
    return text if is_expected or text == name else f"{name}: {text}"


def _discard(stream):
    """Has what a stream still holds, and gets, go nowhere: Python flushes it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _signals_raise():
    """Has the process leave as after an error where it is told to end: nothing half done stays."""

    def leave(number, frame):
        sys.exit(128 + number)

    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]  # one on Windows
    # What someone has set already is theirs, as that of `nohup`.
    numbers = [each for each in numbers if each and signal.getsignal(each) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only there may it be set
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


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
        prog=_NAME,
        description="The right starting weights for Keras models in files.",
        epilog="Exit codes: 0 fine, 1 diagnose found errors, 2 a mistake in the command or another "
        "failure, 3 diagnose found nothing wrong in what was seen, but layers were not looked at. "
        "KERAS_BACKEND sets the backend.",
        allow_abbrev=False,
    )
    versions = f"Keras {keras.__version__}, {keras.backend.backend()}"
    version = f"{_NAME} {keras_winit.__version__} ({versions})"
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for run, (summary, *arguments) in _COMMANDS.items():
        command = commands.add_parser(
            run.__name__.removeprefix("_"),
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        for name in arguments:
            command.add_argument(*name.split("/"), **_ARGUMENTS[name])
    return parser


def _list(arguments):
    _print(keras_winit.catalogue(), arguments)
    return 0


def _show(arguments):
    try:
        entry = keras_winit.catalogue()[arguments.name]
    except KeyError as error:
        raise files.Mistake(f"{error.args[0]} `keras-winit list` shows all.") from None
    facts = {
        "class": f"keras_winit.initializers.{entry.name}",
        "string": f'"{entry.alias}"' if entry.alias else "none: it needs to know more",
        "draws": entry.formula,
        "when": entry.when,
        "reference": f"{entry.reference}, {entry.url}",
        "from": entry.origin,
    }
    width = _width(arguments) or 100
    for name, fact in facts.items():
        print(terminal.fill(f"{name:11}{fact}", width, indent=11))
    documentation = inspect.getdoc(entry.initializer)
    summary = " ".join(documentation.partition("\n\n")[0].split())
    print("", terminal.fill(summary, width, indent=0), sep="\n")
    section = re.search(r"^Args:\n((?: .*\n|\n)*)", f"{documentation}\n", re.MULTILINE)
    if section:
        print("", "Arguments:", sep="\n")
        for text in re.split(r"\n(?=\w)", textwrap.dedent(section[1]).strip()):
            is_prose = not re.search(r"\n\n|\n +-", text)
            joined = terminal.fill(" ".join(text.split()), width, indent=4)
            print(joined if is_prose else text)
    return 0


def _suggest(arguments):
    model = _load(arguments, compile=False)
    _print(keras_winit.suggest(model, keep=arguments.keep or "special"), arguments)
    return 0


def _diagnose(arguments):
    if arguments.html:
        files.check_output(arguments.html, ".html", arguments.force)
    x, y = files.load_arrays(arguments.data), files.load_arrays(arguments.labels)
    _check_loss(arguments.loss)
    # Without labels the loss is not used: custom ones then need not be found.
    model = _load(arguments, compile=y is not None and arguments.loss is None)
    report = keras_winit.diagnose(model, x, y, loss=arguments.loss)
    if arguments.html:
        whole_file.write(arguments.html, report.save)
    if arguments.json:
        print(json.dumps(report.to_dict(), allow_nan=False))
    else:
        _print(report, arguments)
    if arguments.html:
        print(f"wrote {arguments.html}", file=sys.stderr if arguments.json else sys.stdout)
    return {True: 0, False: 1, None: 3}[report.ok]


def _initialize(arguments):
    def initialize(model):
        return keras_winit.initialize(
            model,
            arguments.scheme,
            keep=arguments.keep,
            seed=arguments.seed,
            only=arguments.only,
            frozen=arguments.frozen,
        )

    return _change(arguments, initialize)


def _calibrate(arguments):
    x = files.load_arrays(arguments.data)

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
    files.check_output(arguments.output, ".keras", arguments.force)
    model = _load(arguments)
    # What an optimizer has gathered, as momentum, belongs to the weights that were.
    config = model.get_compile_config() if model.compiled else None
    model.optimizer = None
    result = verb(model)
    if config:
        model.compile_from_config(config)
    whole_file.write(arguments.output, model.save)
    _print(result, arguments)
    if config:
        print("The model stays compiled; its optimizer starts anew.")
    print(f"wrote {arguments.output}")
    return 0


def _strip(arguments):
    files.check_output(arguments.output, ".keras", arguments.force)
    model = _load(arguments)
    replaced = keras_winit.strip_initializers(model)
    whole_file.write(arguments.output, model.save)
    nothing = "Nothing to replace: the model holds no initializer of keras_winit."
    print(*(replaced or [nothing]), f"wrote {arguments.output}", sep="\n")
    return 0


def _print(result, arguments):
    """Prints a result as it prints itself, or in a narrow terminal so that it fits."""
    width, kind = _width(arguments), type(result)
    notes = [table.printable(_here(note)) for note in result.notes]
    if width is None:
        shown = table.text(*result.shown)
    else:
        below, drop = _NOTES.get(kind, ()), _DROP[kind]
        shown = terminal.fit(*result.shown, width=width, notes=below, drop=drop)
        notes = [terminal.fill(note, width) for note in notes]
    print(shown, *notes, sep="\n")


def _width(arguments):
    """Returns the columns of the terminal, `None` for a pipe or file and where all is asked for."""
    if getattr(arguments, "wide", False) or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _load(arguments, compile=True):
    return files.load_model(arguments.model, arguments.modules, compile, arguments.unsafe)


def _check_loss(name):
    try:
        keras.losses.get(name)
    except ValueError:
        names = [each for each in dir(keras.losses) if each.islower()]
        raise files.Mistake(
            f"`--loss` should be the name of a loss. Received: {name!r}."
            f"{_checks.did_you_mean(name, names)}"
        ) from None


def _switch(text):
    return {"action": "store_true", "help": text}


def _text(metavar, text, **options):
    return {"metavar": metavar, "help": text, **options}


def _file(metavar, text, **options):
    return _text(metavar, text, type=Path, **options)


_MODEL = ("model", "--import", "--unsafe")
_OUTPUT = ("-o/--output", "--force")
_SOME = ("--only", "--frozen", "--wide")
_DRAW = ("--scheme", "--keep", "--seed", *_SOME)
_BATCH = ("--data", "--labels", "--loss")
_REPORT = ("--html", "--force", "--json", "--wide")
_COMMANDS = {
    _list: ("list all initializers, ours and those of Keras", "--wide"),
    _show: ("tell what an initializer draws, when to use it, and its arguments", "name"),
    _suggest: (
        "tell what every weight should be, and why; change nothing",
        *_MODEL,
        "--keep",
        "--wide",
    ),
    _diagnose: ("tell why a model will not learn", *_MODEL, *_BATCH, *_REPORT),
    _initialize: ("write the model with new weights, all or some", *_MODEL, *_OUTPUT, *_DRAW),
    _calibrate: ("write the model scaled on data", *_MODEL, "--data", *_OUTPUT, "--mode", *_SOME),
    _strip: ("write the model so that it loads without keras_winit", *_MODEL, *_OUTPUT),
}
_ARGUMENTS = {
    "name": _text("NAME", 'string or class, as "sparse" or Sparse'),
    "model": _file("MODEL.keras", "file with a model"),
    "--import": _text(
        "MODULE",
        "import a module first, which registers custom layers; may be repeated",
        dest="modules",
        action="append",
        default=[],
    ),
    "--unsafe": _switch("run Python code that the file holds (lambdas); for files that you trust"),
    "--data": _file(
        "X.npy", "batch, .npy, or .npz with an array for each input; the default is noise"
    ),
    "--labels": _file("Y.npy", "labels of the data, .npy or .npz"),
    "--loss": _text("NAME", "name of a loss; the default is that of the compiled model"),
    "--html": _file("OUT.html", "write a page of HTML"),
    "--json": _switch("print all numbers as JSON"),
    "-o/--output": _file("OUT.keras", "file to write", required=True),
    "--force": _switch("replace a file that exists"),
    "--scheme": _text(
        "NAME",
        "suggested (the default), own, keras, pytorch, critical, fixup, zero_last, gpt2, mimetic, "
        "or any initializer of `keras-winit list`, for all kernels",
        default="suggested",
    ),
    "--keep": _text(
        "WHAT",
        "which initializers of the layers stay: special (where nothing else is asked for by a "
        "scheme), all, or none",
    ),
    "--seed": {"type": int, "help": "integer; the same seed draws the same"},
    "--mode": _text(
        "NAME", "auto (the default), tensor, unit, centered or equalized", default="auto"
    ),
    "--only": _text(
        "PATTERN",
        "only layers or weights of this name, path or pattern; may be repeated",
        action="append",
    ),
    "--frozen": _switch("also weights that are not trainable"),
    "--wide": _switch("print tables whole, however narrow the terminal"),
}
