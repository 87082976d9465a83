"""Header and rows as text or HTML."""

import html
import re

# Control characters but for the line feed, and what changes the direction of a text: names from
# elsewhere could steer a terminal with them, or look like others.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_SHORT = 24  # letters of a cell that stay in one line of HTML


def text(header, rows, title=""):
    """Returns a table with aligned columns; numbers are aligned to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    numeric = [is_numeric(column) for column in zip(*rows, strict=True)] or [False] * len(header)
    dashes = ["-" * width for width in widths]
    lines = [line(each, widths, numeric) for each in (header, dashes, *cells)]
    return printable("\n".join([title, *lines] if title else lines))


def line(cells, widths, numeric):
    """Returns cells side by side, those of numeric columns aligned to the right."""
    return "  ".join(
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ).rstrip()


def printable(text):
    """Returns a text with `\\x1b` and the like in place of control characters, lines kept."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def to_html(header, rows, title=""):
    """Returns the same table as HTML, with all its text escaped.

    Notebooks align to the right and break lines where they can: words are on the left, and what is
    short is in one line.
    """
    numeric = [is_numeric(column) for column in zip(*rows, strict=True)] or [False] * len(header)

    def row(tag, values):
        inner = "".join(
            f"<{tag}{_style(value, right)}>{html.escape(value)}</{tag}>"
            for value, right in zip(map(cell, values), numeric, strict=True)
        )
        return f"<tr>{inner}</tr>"

    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    body = "".join(row("td", values) for values in rows)
    return f"<table>{caption}<thead>{row('th', header)}</thead><tbody>{body}</tbody></table>"


def _style(value, is_right):
    style = f"text-align: {'right' if is_right else 'left'}"
    return f' style="{style}{"; white-space: nowrap" if len(value) <= _SHORT else ""}"'


def cell(value):
    """Returns a value as a cell shows it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value).replace("\n", "\\n"))


def is_numeric(column):
    """Whether the values of a column are numbers, which are aligned to the right."""
    return all(value is None or isinstance(value, (int, float)) for value in column)
