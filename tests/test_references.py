import re

import pytest
from test_house import PACKAGE

from keras_winit import _references
from keras_winit._references import Reference

WORKS = {name: each for name, each in vars(_references).items() if isinstance(each, Reference)}
SOURCES = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
LINK = re.compile(r"\[([^\]]+, \d{4})\]\((\S+)\)")


def test_a_reference_is_written_with_its_place_before_its_address():
    work = Reference("Doe, 1999", "https://example.org/work")
    assert str(work) == "Doe, 1999, https://example.org/work"
    assert work.at("section 2") == "Doe, 1999, section 2, https://example.org/work"
    assert str(Reference("Doe, 1999, A book")) == "Doe, 1999, A book"


@pytest.mark.parametrize("field", ["authors", "address"])
def test_no_work_is_named_twice(field):
    found = [getattr(work, field) for work in WORKS.values() if getattr(work, field)]
    assert len(set(found)) == len(found)


def test_works_are_in_order():
    assert list(WORKS) == sorted(WORKS)


def test_docstrings_name_works_as_the_bibliography_does():
    authors = {work.address: work.authors for work in WORKS.values()}
    links = {link for text in SOURCES.values() for link in LINK.findall(text)}
    assert len(links) > 20
    for named, address in links:
        assert f"{authors.get(address, named)}, ".startswith(f"{named}, ")


def test_addresses_are_written_in_the_bibliography_alone():
    """But for docstrings, whose links readers follow, and works that one initializer alone has."""
    address = re.compile(r"https?://(?:arxiv|doi|proceedings|karpathy)[^\s\")]+")
    written = {}
    for path, text in SOURCES.items():
        if path.name != "_references.py":
            for found in address.findall(LINK.sub("", text)):
                assert path.parent.name == "initializers", path
                assert written.setdefault(found, path) == path
    assert not written.keys() & {work.address for work in WORKS.values()}
    assert "https://arxiv.org/abs/1707.02937" in written
