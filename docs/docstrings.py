"""Reads the sections of docstrings as this package writes them, for mkdocstrings."""

import re
import textwrap

import griffe

_EXAMPLE = re.compile(r"^Example:\n\n((?:.+\n?)+)", re.MULTILINE)
_RETURNS = re.compile(r"^Returns:\n((?:(?: {4}.*)?\n?)+?)(?=^\S|\Z)", re.MULTILINE)


def as_markdown(docstring):
    """Returns a docstring with its example as a block of code, and headings in bold."""
    docstring = _EXAMPLE.sub(
        lambda match: f"**Example:**\n\n```pycon\n{match[1].rstrip()}\n```\n", docstring
    )
    # Here it is a sentence; elsewhere a type and what it is for.
    docstring = _RETURNS.sub(
        lambda match: f"**Returns:**\n\n{textwrap.dedent(match[1]).strip()}\n\n", docstring
    )
    return docstring.replace("\nReference:\n", "\n**Reference:**\n")


class Sections(griffe.Extension):
    """Changes the docstrings when the sources are read."""

    def on_instance(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
