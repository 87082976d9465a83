import ast
import importlib.util
import json
import pathlib
import re

import keras
import matplotlib
import nbclient
import nbformat
import notebook_claims
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# All of them on TensorFlow. On the other backends those on suggesting and on saving, which show
# most of the package and train little: the others say the same there, and take minutes.
EVERYWHERE = ("2_suggest", "6_saving")
EXECUTED = [
    path for path in NOTEBOOKS if keras.backend.backend() == "tensorflow" or path.stem in EVERYWHERE
]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


store_outputs = load(FOLDER / "store_outputs.py")
with matplotlib.rc_context():
    PICTURES = load(FOLDER.parent / "examples/pictures.py")


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def texts(output):
    """Returns what an output says."""
    return [
        output.get("text", ""),
        *(output.get("data", {}).get(f"text/{kind}", "") for kind in ("plain", "html")),
    ]


def appearance(cell):
    """Returns what a cell shows, without numbers, which depend on the processor."""
    shown = []
    for output in store_outputs.joined(cell.outputs):
        if output.output_type == "execute_result":
            words = re.findall("[a-z]{3,}", output.data["text/plain"])
            shown.append((sorted(output.data), words))
        elif output.output_type == "display_data":
            shown.append((sorted(output.data), []))
        elif output.name == "stdout":
            shown.append((["stdout"], []))
    return shown


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom_and_shows_and_claims_what_holds(
    path, tmp_path, monkeypatch
):
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
    fresh = [cell for cell in notebook.cells[:-1] if cell.cell_type == "code"]
    for stored, cell in zip(code_cells(path), fresh, strict=True):
        assert appearance(stored) == appearance(cell), "python notebooks/store_outputs.py --all"


@each_notebook
def test_outputs_are_stored_and_belong_to_the_code(path):
    assert store_outputs.is_current(nbformat.read(path, as_version=4)), (
        "python notebooks/store_outputs.py"
    )
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert sum(bool(cell.outputs) for cell in cells) >= 3


def test_other_code_is_noticed():
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    notebook.cells[0].source += "More words."
    assert store_outputs.is_current(notebook)
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\n"
    assert not store_outputs.is_current(notebook)


@each_notebook
def test_stored_outputs_hold_nothing_of_the_machine(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    for output in outputs:
        for text in texts(output):
            assert not re.search(r"(?<![\w:/.])/\w+/|\w:\\|ipykernel|site-packages| at 0x", text)
            assert not re.search(r"Warning|WARNING|^[IWEF]\d{4} ", text, re.MULTILINE)
    assert path.stat().st_size < 250_000


@each_notebook
def test_a_notebook_is_written_as_the_script_writes_it(path):
    # Without times, versions and what else differs from run to run.
    notebook = nbformat.read(path, as_version=4)
    assert nbformat.writes(notebook) + "\n" == path.read_text("utf-8")
    assert set(notebook.metadata) == {"kernelspec", "language_info", "outputs_of"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert not [cell for cell in notebook.cells if cell.metadata]


def test_what_is_stored_is_tidied():
    parts = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    parts += [
        nbformat.v4.new_output("stream", name="stderr", text=text)
        for text in ("\rdiagnose: judges, 3 s", "Warning")
    ]
    cell = nbformat.v4.new_code_cell("print()", outputs=parts)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.9"}
    store_outputs.tidy(notebook)
    assert [output.text for output in notebook.cells[0].outputs] == ["a\nb\n", "Warning"]
    assert "version" not in json.dumps(notebook)


@each_notebook
def test_an_initializer_has_the_color_that_it_has_in_all_pictures(path):
    own = colors_of(path)
    assert own == {name: PICTURES.COLORS[name] for name in own}
    assert own or path.stem == "6_saving"


def colors_of(path):
    for cell in code_cells(path):
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COLORS":
                return ast.literal_eval(node.value)
    return {}


def test_the_first_cell_is_the_same_everywhere():
    assert len({code_cells(path)[0].source for path in NOTEBOOKS}) == 1


@each_notebook
def test_notebook_teaches_and_does_not_assert(path):
    for cell in code_cells(path):
        assert not [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assert)]


def test_every_notebook_has_claims():
    assert set(notebook_claims.CLAIMS) == {path.stem for path in NOTEBOOKS}


def test_notebooks_that_run_on_every_backend_exist():
    assert set(EVERYWHERE) <= {path.stem for path in NOTEBOOKS}
