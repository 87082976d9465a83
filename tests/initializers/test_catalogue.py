"""The catalogue of initializers, and the table that the documentation makes of it.

`python tests/initializers/test_catalogue.py` writes that table anew.
"""

import inspect
import pathlib
import re

import keras
import pytest

import keras_winit
from keras_winit import initializers

PAGE = pathlib.Path(__file__).parents[2] / "docs/catalogue.md"

ENTRIES = list(keras_winit.catalogue())

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def classes():
    """Returns every class that `keras_winit.initializers` holds, but for the base class."""
    values = map(vars(initializers).get, initializers.__all__)
    return {value for value in values if inspect.isclass(value)} - {keras.initializers.Initializer}


def test_every_initializer_is_in_the_table_once():
    listed = [entry.initializer for entry in ENTRIES]
    assert len(set(listed)) == len(listed)
    assert set(listed) == classes()


@each_entry
def test_the_string_makes_the_class(entry):
    if entry.alias is None:
        assert entry.name == "ClassPrior"
        return
    config = {"value": 0.5} if entry.name == "Constant" else {}
    found = keras.initializers.get({"class_name": entry.alias, "config": config})
    assert type(found) is entry.initializer
    origin = entry.initializer.__module__.partition(".")[0]
    assert entry.origin == origin


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e.origin == "keras_winit"], ids=lambda entry: entry.name
)
def test_the_reference_is_one_of_the_docstring(entry):
    references = dict(re.findall(r"\[([^\]]+)\]\((\S+)\)", inspect.getdoc(entry.initializer)))
    assert references[entry.reference] == entry.url


@each_entry
def test_an_entry_is_found_by_its_name_and_its_string(entry):
    assert keras_winit.catalogue()[entry.name] == entry
    if entry.alias is not None:
        assert keras_winit.catalogue()[entry.alias] == entry
        assert entry.alias in keras_winit.catalogue()
    assert "relu" not in keras_winit.catalogue()


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(KeyError, match="no initializer 'orthogonl'. Did you mean 'orthogonal'"):
        keras_winit.catalogue()["orthogonl"]


def test_it_prints_a_line_for_each():
    catalogue = keras_winit.catalogue()
    assert len(repr(catalogue).splitlines()) == 2 + len(catalogue)
    assert catalogue._repr_html_().count("<tr>") == 1 + len(catalogue)
    assert [entry.name for entry in catalogue[:2]] == [entry.name for entry in ENTRIES[:2]]
    assert len(repr(catalogue[:2]).splitlines()) == 4


def with_table(page):
    """Returns a page with the initializers of this package in its table, as links."""
    ours = [entry for entry in ENTRIES if entry.origin == "keras_winit"]
    table = keras_winit.Catalogue(ours).to_markdown()
    table = re.sub(
        r"^\| `(\w+)`", r"| [`\1`](api.md#keras_winit.initializers.\1)", table, flags=re.M
    )
    before, header, rest = page.partition("| class | string |")
    assert header
    return before + table + rest[rest.index("\n\n") :]


def test_the_documentation_holds_the_table():
    page = PAGE.read_text("utf-8")
    assert with_table(page) == page, "run `python tests/initializers/test_catalogue.py`"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
