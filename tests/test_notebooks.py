import ast
import pathlib

import keras
import nbclient
import nbformat
import notebook_claims
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

# All of them on TensorFlow. On the other backends those on suggesting and on saving, which show
# most of the package and train little: the others say the same there, and take minutes.
EVERYWHERE = ("2_suggest", "6_saving")
EXECUTED = [
    path for path in NOTEBOOKS if keras.backend.backend() == "tensorflow" or path.stem in EVERYWHERE
]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom_and_its_claims_hold(path, tmp_path, monkeypatch):
    # torch's threads wait for each other actively: beside other tests they crawl.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    check = f"""\
import sys
sys.path.append({str(pathlib.Path(__file__).parent)!r})
import notebook_claims
notebook_claims.check({path.stem!r}, globals())
print("All of it was as claimed")"""
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    # What is printed at once may come in several parts.
    parts = [output["text"] for output in notebook.cells[-1].outputs if output.name == "stdout"]
    assert "".join(parts).endswith("as claimed\n")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_teaches_and_does_not_assert(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_every_notebook_has_claims():
    assert set(notebook_claims.CLAIMS) == {path.stem for path in NOTEBOOKS}


def test_notebooks_that_run_on_every_backend_exist():
    assert set(EVERYWHERE) <= {path.stem for path in NOTEBOOKS}
