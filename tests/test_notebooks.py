import pathlib

import keras
import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

# All of them on TensorFlow. On the other backends those on suggesting and on saving, which show
# most of the package and train little: the others say the same there, and take minutes.
EVERYWHERE = ("2_suggest", "6_saving")
EXECUTED = [
    path for path in NOTEBOOKS if keras.backend.backend() == "tensorflow" or path.stem in EVERYWHERE
]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    # torch's threads wait for each other actively: beside other tests they crawl.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    # The last cell of each notebook checks what the notebook has claimed.
    outputs = notebook.cells[-1].outputs
    assert "".join(output.get("text", "") for output in outputs).strip().endswith("as claimed")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_last_cell_of_notebook_checks_before_it_says_so(path):
    last = nbformat.read(path, as_version=4).cells[-1].source.splitlines()
    assert last[-1] == 'print("All of it was as claimed")'
    assert any(line.strip().startswith("assert ") for line in last)


def test_notebooks_that_run_on_every_backend_exist():
    assert set(EVERYWHERE) <= {path.stem for path in NOTEBOOKS}
