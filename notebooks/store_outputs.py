"""Runs notebooks and stores what their cells print and draw, to be read where nothing runs.

`python notebooks/store_outputs.py` runs the notebooks whose code is not that of their outputs.
Names of files run these, `--all` runs all. What is stored is the same in every run on one machine:
no times, no versions of Python, pictures of few colors.
"""

import argparse
import base64
import hashlib
import io
import os
import pathlib
import tempfile

import nbclient
import nbformat
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
NUM_COLORS = 256


def digest(notebook):
    """Returns what is stored beside the outputs, to tell whether they belong to the code."""
    code = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def is_current(notebook):
    return notebook.metadata.get("outputs_of") == digest(notebook)


def execute(notebook):
    """Runs all cells in an empty folder, with the package of this checkout, on TensorFlow."""
    path = os.pathsep.join(filter(None, (str(FOLDER.parent), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the notebooks quiet TensorFlow themselves
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(
            notebook, timeout=600, resources=resources, record_timing=False
        )
        client.execute(env=environment)


def tidy(notebook):
    """Leaves out what differs from run to run, and makes pictures small."""
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["outputs_of"] = digest(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = with_few_colors(output.data["image/png"])
                    output.metadata = {}


def joined(outputs):
    """Returns outputs in which a stream that came in several parts is one.

    The line that tells how far a verb is, on standard error, differs from run to run.
    """
    together = []
    for output in outputs:
        if output.get("name") == "stderr" and output.text.startswith("\r"):
            continue
        last = together[-1] if together else {}
        if output.output_type == "stream" and output.name == last.get("name"):
            last.text += output.text
        else:
            together.append(output)
    return together


def with_few_colors(picture):
    small = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.convert("RGB").quantize(NUM_COLORS).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=pathlib.Path)
    parser.add_argument("--all", action="store_true", help="run all, not only what has changed")
    options = parser.parse_args()
    for path in options.notebooks or sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if options.notebooks or options.all or not is_current(notebook):
            execute(notebook)
            tidy(notebook)
            nbformat.write(notebook, path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
