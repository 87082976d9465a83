"""Writes what follows from the package and its folders: the rules, the gallery, the changelog.

A comment such as `<!-- rules -->` in a page is replaced when the site is built: those of `WRITERS`.
"""

import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
PICTURES = tuple(sorted(path.name for path in (ROOT / "examples").glob("*.png")))
NOTEBOOKS = "github{}/keras-winit/keras-winit/blob/main/notebooks"
COLAB = "https://colab.research.google.com/" + NOTEBOOKS.format("")
GITHUB = "https://" + NOTEBOOKS.format(".com")


def on_files(files, config):
    """Adds the pictures of the examples, which the README and the gallery show as well."""
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


def catalogue_of_keras():
    """Returns a list of the initializers of Keras."""
    return "\n\n".join(
        f'**`{entry.name}`** `"{entry.alias}"`\n\n:   Draws: {entry.formula}. When: {entry.when}. '
        f"[{entry.reference}]({entry.url})"
        for entry in _package().catalogue()
        if entry.origin == "keras"
    )


def rules():
    """Returns a section for each rule of `diagnose`, and of a training."""
    _package()
    from keras_winit._diagnose.rules import RULES, RULES_OF_PROGRESS

    return "\n\n".join(
        f"### {rule.name}\n\n{rule.reason}\n\n"
        f"- **Limit:** {rule.limit}.\n"
        f"- **What to do:** {rule.fix}\n"
        f"- **Source:** {_with_links(rule.reference)}."
        for rule in (*RULES, *RULES_OF_PROGRESS)
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


def gallery():
    """Returns the page of the gallery, with its pictures where the site has them."""
    page = (ROOT / "examples/README.md").read_text("utf-8")
    return re.sub(r"\]\((\w+\.png)\)", r"](pictures/\1)", page)


def changelog():
    return (ROOT / "CHANGELOG.md").read_text("utf-8")


def notebooks():
    """Returns a section for each notebook: its title, its first words, and where it is."""
    parts = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = json.loads(path.read_text("utf-8"))["cells"][0]
        title, _, rest = "".join(first["source"]).partition("\n\n")
        about = rest.partition("\n\n")[0]
        links = f"[Read it]({GITHUB}/{path.name}) · [Open in Colab]({COLAB}/{path.name})"
        parts.append(f"#{title}\n\n{about}\n\n{links}")
    return "\n\n".join(parts)


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
    "catalogue of keras": catalogue_of_keras,
    "rules": rules,
    "by activation": by_activation,
    "by model": by_model,
    "initializers": initializers,
    "gallery": gallery,
    "changelog": changelog,
    "notebooks": notebooks,
}
