"""What the commands do: the package, for models in files."""

import inspect
import json
import re
import shutil
import sys
import textwrap

import keras

import keras_winit
from _keras_winit_command.arguments import here
from _keras_winit_command.files import Mistake
from keras_winit import _checks
from keras_winit._cli import files
from keras_winit._show import table, terminal, whole_file
from keras_winit._show.progress import progress

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


def run(arguments):
    """Runs a command, and returns its exit code."""
    return _COMMANDS[arguments.command](arguments)


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
    keep = arguments.keep or "special"
    _print(keras_winit.suggest(model, keep=keep, scale=arguments.scale), arguments)
    return 0


def _diagnose(arguments):
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
            scale=arguments.scale,
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
    model = _load(arguments)
    replaced = keras_winit.strip_initializers(model)
    whole_file.write(arguments.output, model.save)
    nothing = "Nothing to replace: the model holds no initializer of keras_winit."
    print(*(replaced or [nothing]), f"wrote {arguments.output}", sep="\n")
    return 0


def _print(result, arguments):
    """Prints a result as it prints itself, or in a terminal in colors, so that it fits."""
    if not sys.stdout.isatty():
        notes = [table.printable(here(note)) for note in result.notes]
        print(table.text(*result.shown), *notes, sep="\n")
        return
    signal = getattr(result, "signal", result)
    name = getattr(signal, "model", None)
    columns, rows, title = result.shown
    rows = [[_without_model(name, row[0]), *row[1:]] for row in rows]
    notes = [table.printable(here(_without_model(name, note))) for note in result.notes]
    verdict = table.printable(here(_without_model(name, getattr(result, "verdict", ""))))
    if width := _width(arguments):
        below, drop = _NOTES.get(type(result), ()), _DROP[type(result)]
        shown = terminal.fit(columns, rows, title, width=width, notes=below, drop=drop)
        notes = [terminal.fill(note, width) for note in notes]
        verdict = terminal.fill(verdict, width)
    else:
        shown = table.text(columns, rows, title)
    lines = "\n".join([shown, *notes])
    if verdict:
        # What it comes to is in sight without scrolling, up or down.
        is_long = lines.count("\n") + 3 > shutil.get_terminal_size().lines
        rest = [note for note in notes if note != verdict]
        lines = "\n".join([verdict, "", shown, *rest, *([verdict] if is_long else [])])
    if terminal.has_color(sys.stdout):
        stream = getattr(sys.stdout, "stream", sys.stdout)
        found = getattr(result, "findings", ())[::-1]  # of a layer, errors are told last
        marked = [(_without_model(name, each.layer or ""), each.severity) for each in found]
        terminal.write(lines, stream, verdict, marked)
    else:
        print(lines)


def _without_model(name, text):
    """Returns a text with paths that do not begin with the name of the one model it is about."""
    return re.sub(rf"(?<![\w/]){re.escape(name)}/", "", text) if name else text


def _width(arguments):
    """Returns the columns of the terminal, `None` for a pipe or file and where all is asked for."""
    if getattr(arguments, "wide", False) or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _load(arguments, compile=True):
    with progress(f"reads {arguments.model.name}"):
        return files.load_model(arguments.model, arguments.modules, compile, arguments.unsafe)


def _check_loss(name):
    try:
        keras.losses.get(name)
    except ValueError:
        names = [each for each in dir(keras.losses) if each.islower()]
        raise Mistake(
            f"`--loss` should be the name of a loss. Received: {name!r}."
            f"{_checks.did_you_mean(name, names)}"
        ) from None


_COMMANDS = {
    "list": _list,
    "show": _show,
    "suggest": _suggest,
    "diagnose": _diagnose,
    "initialize": _initialize,
    "calibrate": _calibrate,
    "strip": _strip,
}
