"""What all results share: a table with what is said of it, as text, HTML, dict and data frame."""

import dataclasses
import functools
import html
import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from keras_winit._show import table

if TYPE_CHECKING:
    from pandas import DataFrame
else:  # it is optional, and takes long to import
    DataFrame = Any


class Table(NamedTuple):
    """A table of a result.

    Attributes:
        columns: List of strings, the names of the columns.
        rows: A list of values for each row.
        title: Line above.
    """

    columns: list[str]
    rows: list[list[Any]]
    title: str = ""


class Result:
    """Base of what the functions of this package return.

    Printed it is a table of text, in a notebook one of HTML.

    Attributes:
        rows: What it consists of: an object for each row of the table.
        columns: Dict from the header of each column to the attribute of a row that it shows.
        title: Line above the table.
        lead: Texts above all of it.
        notes: Texts below the table.
    """

    rows: Sequence[Any]
    columns: ClassVar[dict[str, str]] = {}
    title: str = ""
    lead: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """All rows, as a `Table` of values."""
        return self._tabulate(self.rows)

    def _tabulate(self, rows: Iterable[Any]) -> Table:
        values = [[attrgetter(name)(row) for name in self.columns.values()] for row in rows]
        return Table([*self.columns], values, self.title)

    @property
    def shown(self) -> Table:
        """The part of the table that is printed."""
        return self.table

    def __repr__(self) -> str:
        parts = [*self.lead, table.text(*self.shown), *self.notes]
        return table.printable("\n".join(parts))

    def _repr_html_(self):
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return table.to_html(*self.shown) + notes

    def to_dict(self) -> dict[str, Any]:
        """Returns title, rows and notes as strings, numbers, lists and dicts that JSON can hold.

        What is not finite is `None`.
        """
        columns, rows, title = self.table
        rows = [dict(zip(columns, row, strict=True)) for row in rows]
        return plain({"title": title, "rows": rows, "notes": self.notes})

    def to_frame(self) -> DataFrame:
        """Returns the table as a data frame of pandas.

        Raises:
            ImportError: If pandas is not installed.
        """
        return _frame(self.table.rows, self.table.columns)


@dataclasses.dataclass(frozen=True)
class Part:
    """Base of what results consist of, which prints as one line.

    The line is for people: it leaves out what is at its default, and cuts what is long.
    """

    def __repr__(self) -> str:
        shown = []
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            # Arrays are compared with nothing.
            is_default = type(value) in _SIMPLE and value == each.default
            if each.repr and not is_default:
                shown.append(f"{each.name}={_brief(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as strings, numbers, lists and dicts that JSON can hold."""
        names = (each.name for each in dataclasses.fields(self))
        return plain({name: getattr(self, name) for name in names if not name.startswith("_")})

    def to_frame(self) -> DataFrame:
        """Returns it as a data frame of pandas with one row.

        Raises:
            ImportError: If pandas is not installed.
        """
        values = self.to_dict()
        return _frame([[*values.values()]], [*values])


_SIMPLE = (type(None), bool, int, float, str, tuple)
_MOST = 60  # letters of a value in the line of a part


def _brief(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Part):
        return f"{type(value).__name__}(...)"
    if isinstance(value, tuple) and any(isinstance(each, Part) for each in value):
        return f"<{len(value)} {type(value[0]).__name__}>"
    text = repr(value)
    return text if len(text) <= _MOST else f"{text[: _MOST - 4]}...{text[-1]}"


def _frame(rows, columns):
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "`to_frame` needs pandas. Install it with `pip install pandas`."
        ) from error
    return pandas.DataFrame(rows, columns=columns)


@functools.singledispatch
def plain(value: Any) -> Any:
    """Returns a value as strings, numbers, lists and dicts that JSON can hold."""
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value


@plain.register
def _(value: dict):
    return {key: plain(each) for key, each in value.items()}


@plain.register(list)
@plain.register(tuple)
def _(value):
    return [plain(each) for each in value]


@plain.register
def _(value: np.ndarray):
    return plain(value.tolist())


@plain.register
def _(value: Part):
    return value.to_dict()


@plain.register
def _(value: type):
    return value.__name__


@plain.register
def _(value: float):
    return value if math.isfinite(value) else None
