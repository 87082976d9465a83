"""The commands, their arguments, and their help."""

import argparse
import difflib
import json
import os
import re
from importlib import metadata
from pathlib import Path

NAME = "keras-winit"
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
    "`scale`": "`--scale`",
}


def here(text):
    """Returns a text of the package with commands and options for functions and arguments."""
    for name, here in _HERE.items():
        text = text.replace(name, here)
    return text


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage."""

    def error(self, message):
        received = re.search(r"invalid choice: '([^']*)'", message)
        near = difflib.get_close_matches(received[1], _COMMANDS, n=1) if received else ()
        hint = f" Did you mean {near[0]!r}?" if near else ""
        self.exit(2, f"{self.prog}: error: {message}.{hint} `{self.prog} --help` tells more.\n")


class _Version(argparse.Action):
    """Prints the versions of the package and of Keras, and the backend, without importing them."""

    def __call__(self, parser, namespace, values, option_string=None):
        source = (Path(__file__).parents[1] / "keras_winit/__init__.py").read_text("utf-8")
        (version,) = re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE)
        keras = metadata.version("keras")
        print(f"{NAME} {version} (Keras {keras}, {_backend()})")
        parser.exit()


class _Completion(argparse.Action):
    """Prints the script by which a shell completes commands, options and names of files."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            import shtab
        except ImportError:
            parser.exit(2, f"{NAME}: error: {option_string} needs shtab: `pip install shtab`.\n")
        for action in (each for inner in _parsers(parser) for each in inner._actions):
            if action.type is Path:
                action.complete = shtab.FILE
        print(shtab.complete(parser, values))
        parser.exit()


def _parsers(parser):
    """Returns the parsers of the commands."""
    (commands,) = (each for each in parser._actions if each.dest == "command")
    return commands.choices.values()


def _backend():
    """Returns the backend that Keras will take: by the environment, its file, or its default."""
    folder = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    try:
        told = json.loads(Path(folder, "keras.json").expanduser().read_text("utf-8"))
    except (OSError, ValueError):
        told = {}
    return os.environ.get("KERAS_BACKEND") or told.get("backend", "tensorflow")


def parser():
    """Returns the parser, whose result has the name of a command and its arguments."""
    result = _Parser(
        prog=NAME,
        description="The right starting weights for Keras models in files.",
        epilog="Exit codes: 0 fine, 1 diagnose found errors, 2 a mistake in the command or another "
        "failure, 3 diagnose found nothing wrong in what was seen, but layers were not looked at. "
        "KERAS_BACKEND sets the backend.",
        allow_abbrev=False,
    )
    text = "show the versions of keras_winit and Keras, and the backend, and exit"
    result.add_argument("-V", "--version", action=_Version, nargs=0, help=text)
    text = "print the script by which a shell completes this command, and exit"
    shells = ("bash", "zsh", "tcsh")
    result.add_argument("--print-completion", action=_Completion, choices=shells, help=text)
    commands = result.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (summary, *arguments) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
        )
        for argument in arguments:
            command.add_argument(*argument.split("/"), **_ARGUMENTS[argument])
    return result


def _switch(text):
    return {"action": "store_true", "help": text}


def _text(metavar, text, **options):
    return {"metavar": metavar, "help": text, **options}


def _file(metavar, text, **options):
    return _text(metavar, text, type=Path, **options)


_MODEL = ("model", "--import", "--unsafe")
_OUTPUT = ("-o/--output", "--force")
_SOME = ("--only", "--frozen", "--wide")
_DRAW = ("--scheme", "--keep", "--scale", "--seed", *_SOME)
_BATCH = ("--data", "--labels", "--loss")
_REPORT = ("--html", "--force", "--json", "--wide")
_COMMANDS = {
    "list": ("list all initializers, ours and those of Keras", "--wide"),
    "show": ("tell what an initializer draws, when to use it, and its arguments", "name"),
    "suggest": (
        "tell what every weight should be, and why; change nothing",
        *_MODEL,
        "--keep",
        "--scale",
        "--wide",
    ),
    "diagnose": ("tell what is wrong in a model before it is trained", *_MODEL, *_BATCH, *_REPORT),
    "initialize": ("write the model with new weights, all or some", *_MODEL, *_OUTPUT, *_DRAW),
    "calibrate": ("write the model scaled on data", *_MODEL, "--data", *_OUTPUT, "--mode", *_SOME),
    "strip": ("write the model so that it loads without keras_winit", *_MODEL, *_OUTPUT),
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
    "--scale": _text(
        "NUMBER", "what kernels are multiplied by; the default is 1", type=float, default=1.0
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
