"""Writes what follows from the package: the catalogue, the rules, lists of initializers.

A comment `<!-- catalogue -->`, `<!-- catalogue of keras -->`, `<!-- rules -->`,
`<!-- by activation -->`, `<!-- by model -->` or `<!-- initializers -->` in a page is replaced when
the site is built.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
PICTURES = ("quickstart.png", "diagnosis.png")


def on_files(files, config):
    """Adds the pictures of the examples, which the README shows as well."""
    from mkdocs.structure.files import File

    for name in PICTURES:
        path = str(ROOT / "examples" / name)
        files.append(File.generated(config, f"pictures/{name}", abs_src_path=path))
    return files


def on_page_markdown(markdown, **kwargs):
    return written(markdown)


def written(markdown):
    """Returns a page with its comments replaced."""
    for comment, write in WRITERS.items():
        if f"<!-- {comment} -->" in markdown:
            markdown = markdown.replace(f"<!-- {comment} -->", write())
    return markdown


def catalogue(origin="keras_winit"):
    """Returns a list of the initializers, the names of ours as links to what they take."""
    parts = []
    for entry in _package().catalogue():
        if entry.origin != origin:
            continue
        name = f"`{entry.name}`"
        if origin == "keras_winit":
            name = f"[{name}](api.md#keras_winit.initializers.{entry.name})"
        string = f' `"{entry.alias}"`' if entry.alias else ""
        parts.append(
            f"**{name}**{string}\n\n:   Draws: {entry.formula}. When: {entry.when}. "
            f"[{entry.reference}]({entry.url})"
        )
    return "\n\n".join(parts)


def rules():
    """Returns a section for each rule of `diagnose`."""
    _package()
    from keras_winit._diagnose.rules import RULES

    return "\n\n".join(
        f"### {rule.name}\n\n{rule.reason}\n\n"
        f"- **Limit:** {rule.limit}.\n"
        f"- **What to do:** {rule.fix}\n"
        f"- **Source:** {_with_links(rule.reference)}."
        for rule in RULES
    )


def _with_links(reference):
    return re.sub(r"(https?://[^\s;,]+)", r"<\1>", reference)


def initializers():
    """Returns the directives that make mkdocstrings document each initializer."""
    names = sorted(entry.name for entry in _package().catalogue() if entry.origin == "keras_winit")
    return "\n\n".join(f"::: keras_winit.initializers.{name}" for name in names)


def by_activation():
    """Returns a table of what a layer alone gets, by its activation."""
    package = _package()
    from keras_winit._plan.by_activation import LINES, RECTIFIERS
    from keras_winit.initializers._names import brief

    names = [name for name in RECTIFIERS if name != "threshold"]  # takes arguments
    last = LINES[-1]
    selections = {f"`{name}`": package.select_initializer(name) for name in (*names, "selu")}
    rows = [
        (name, brief(found.initializer), found.reason, found.reference)
        for name, found in selections.items()
    ]
    default = brief(last.scaling(None).initializer())
    rows.append((last.name, default, last.reason.format(name="it") + ".", last.reference))
    rows = [(name, f"`{made}`", why, source) for name, made, why, source in rows]
    return _table("activation", rows)


def by_model():
    """Returns a table of the decision list of `suggest`; names in italics are those of a case."""
    _package()
    from keras_winit._plan.schemes.suggested import LINES

    return _table(
        "kernel",
        [
            (line.name, line.gets, re.sub(r"\{(\w+)[^}]*\}", r"*\1*", line.reason), line.reference)
            for line in LINES
        ],
    )


def _table(first, rows):
    lines = (
        f"| {name} | {gets} | {why} | {_with_links(str(at))} |" for name, gets, why, at in rows
    )
    return "\n".join((f"| {first} | initializer | why | source |", "|---|---|---|---|", *lines))


def _package():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on missing GPUs
    sys.path.insert(0, str(ROOT))
    try:
        import keras_winit
    finally:
        sys.path.pop(0)
    return keras_winit


WRITERS = {
    "catalogue": catalogue,
    "catalogue of keras": lambda: catalogue("keras"),
    "rules": rules,
    "by activation": by_activation,
    "by model": by_model,
    "initializers": initializers,
}
