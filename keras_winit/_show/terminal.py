"""Fits tables and texts to the width of a terminal, and colors them."""

import itertools
import os
import re
import textwrap

from keras_winit._show import table

# A column of text can be this narrow before another one is left out.
_NARROW = 40
_NARROWEST = 8
_FILL = {"break_long_words": False, "break_on_hyphens": False}
# What is written in which style: of a group, or else of the whole match.
_STYLES = (
    (r"^.+(?=\n-+(?:  -+)*$)", "bold"),  # the names of columns
    (r"^-+(?:  -+)*$", "dim"),
    (r"^ERROR: \w+\.", "bold red"),
    (r"^WARNING: \w+\.", "bold yellow"),
    (r"^  ((?:Why|Fix|See|And|Cause|With it):)", "dim"),
)
_VERDICTS = (("error", "bold red"), ("warning", "bold yellow"), ("Nothing wrong", "bold green"))


def has_color(stream):
    """Whether a stream is a terminal that shows colors, and its user has not asked for none."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not is_plain


def write(text, stream, verdict="", marked=()):
    """Writes a text in colors: errors red, warnings yellow, what is not needed first dim.

    Args:
        text: What was made printable before: nothing is escaped here.
        stream: A terminal.
        verdict: A line of it that is colored as a whole, by what it says.
        marked: (name, severity) for lines of tables that begin with a name.
    """
    from rich.console import Console
    from rich.text import Text

    shown = Text(text)
    for pattern, style in _STYLES:
        for match in re.finditer(pattern, text, re.MULTILINE):
            shown.stylize(style, *match.span(match.lastindex or 0))
    colors = {"error": "red", "warning": "yellow"}
    for name, severity in marked:
        for match in re.finditer(rf"^{re.escape(name)}(?=  |$)", text, re.MULTILINE):
            shown.stylize(colors[severity], *match.span())
    if verdict:
        style = next((style for word, style in _VERDICTS if word in verdict), "bold")
        for match in re.finditer(rf"^{re.escape(verdict)}$", text, re.MULTILINE):
            shown.stylize(style, *match.span())
    console = Console(file=stream, force_terminal=True, highlight=False, emoji=False)
    console.print(shown, soft_wrap=True)


class _Wrapper(textwrap.TextWrapper):
    """Also breaks lines within the path of a weight, and before the arguments of a class."""

    wordsep_simple_re = re.compile(r"(\s+)|(?<=[/(])(?=\w)")


def fit(header, rows, title="", *, width, notes=(), drop=()):
    """Returns a table as text that is no wider than a terminal.

    If it is too wide as it is, then first some columns become numbered notes below it, next some
    columns are left out, which is said, and at last cells of text go over several lines.

    Args:
        header: Names of the columns.
        rows: Lists of values.
        title: Line above.
        width: Columns of the terminal.
        notes: Names of columns that become one note for each row, said once where rows agree.
        drop: Names of columns that may be left out, the first one first.
    """
    lines = [fill(title, width, indent=2)] if title else []
    whole = table.text(header, rows)
    if max(map(len, whole.splitlines())) <= width:
        return "\n".join([*lines, whole])
    values = list(zip(*rows, strict=True)) or [()] * len(header)
    columns = dict(zip(header, values, strict=True))
    below = _move_to_notes(columns, notes)
    left_out = []
    for name in drop:
        if _total([min(each, _NARROW) for each in _widths(columns).values()]) <= width:
            break
        if columns.pop(name, None) is not None:
            left_out.append(name)
    if left_out:
        names = ", ".join(name for name in header if name in left_out)
        below.append(f"Not shown in {width} columns: {names}. `--wide` shows them.")
    below = [fill(each, width, indent=4) for each in below]
    return "\n".join([*lines, *_lines(columns, width), *below])


def fill(text, width, indent=7):
    """Returns text with every line of it wrapped; lines that were wrapped before are joined."""
    lines = re.sub(r"\n {7}(?=\S)", " ", text).splitlines()
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=" " * indent, **_FILL) for line in lines
    )


def _move_to_notes(columns, names):
    """Replaces the columns of these names by one of numbers; returns what the numbers mean."""
    moved = [columns.pop(name) for name in names if name in columns]
    if not moved:
        return []
    texts = ["; ".join(filter(None, parts)) for parts in zip(*moved, strict=True)]
    numbers = {text: f"[{i}]" for i, text in enumerate(dict.fromkeys(filter(None, texts)), 1)}
    columns[names[0]] = [numbers.get(text) for text in texts]
    return [f"{number} {text}" for text, number in numbers.items()]


def _widths(columns):
    return {
        name: max([len(name), *(len(table.cell(value)) for value in values)])
        for name, values in columns.items()
    }


def _total(widths):
    return sum(widths) + 2 * (len(widths) - 1)


def _lines(columns, width):
    widths = _widths(columns)
    texts = [name for name, values in columns.items() if not table.is_numeric(values)]
    while texts and _total(widths.values()) > width:
        widest = max(texts, key=widths.get)
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    numeric = [name not in texts for name in columns]
    rows = zip(*columns.values(), strict=True)
    cells = [list(columns), ["-" * each for each in widths.values()]]
    cells.extend([table.cell(value) for value in row] for row in rows)
    lines = []
    for row in cells:
        wrapped = [
            _Wrapper(size, break_on_hyphens=False).wrap(cell) or [""]
            for cell, size in zip(row, widths.values(), strict=True)
        ]
        for parts in itertools.zip_longest(*wrapped, fillvalue=""):
            lines.append(table.line(parts, widths.values(), numeric))
    return lines
