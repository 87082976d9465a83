import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Runs the quickstart with two epochs: its output, and the folder of its files."""
    return run("quickstart.py", "--epochs", "2", folder=tmp_path_factory.mktemp("quickstart"))


def run(example, *arguments, folder):
    command = [sys.executable, str(ROOT / "examples" / example)]
    result = subprocess.run(
        [*command, *arguments, "--output-dir", str(folder)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        # torch's threads wait for each other actively: beside other tests they crawl.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, folder


def test_quickstart_shows_that_only_the_default_loses_the_signal(quickstart):
    rows = re.findall(r"^(\S.*?)\s{2,}(\S+e[+-]\d+)\s+(\S+)%$", quickstart[0], re.MULTILINE)
    signals = {name: float(signal) for name, signal, _ in rows}
    suggested = ['"activation_scaling"', "suggest_initializer", "initialize(model)"]
    assert list(signals) == ["Keras default", *suggested]
    # Half of the second moment for each of 50 layers, give or take what finite width adds.
    assert 1e-10 < signals["Keras default"] < 1e-6
    assert min(signals[name] for name in suggested) > 0.01


def test_quickstart_draws_its_picture(quickstart):
    picture = (quickstart[1] / "quickstart.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_quickstart_loads_what_it_saved(quickstart):
    assert "loaded again, its predictions are equal" in quickstart[0]


def test_readme_shows_what_quickstart_prints(quickstart):
    def shape(text):
        """The table with every number taken out."""
        table = text[text.index("starting weights") :]
        return re.sub(r"[\d.]+(e[+-]\d+|%)", "#", table.split("\n\n")[0])

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme[readme.index("<!-- quickstart -->") :].split("```")[1]
    assert [re.sub(r"\s+", " ", line) for line in shape(block).strip().splitlines()] == [
        re.sub(r"\s+", " ", line) for line in shape(quickstart[0]).strip().splitlines()
    ]


@pytest.fixture(scope="module")
def diagnosis(tmp_path_factory):
    """Runs the example of `diagnose` with three epochs: its output, and the folder of its files."""
    return run("diagnose.py", "--epochs", "3", folder=tmp_path_factory.mktemp("diagnosis"))


def test_diagnosis_names_the_cause_and_fixes_it(diagnosis):
    before, after = diagnosis[0].split("After:")
    assert re.findall(r"^ERROR: (\w+)", before, re.MULTILINE)[0] == "samples_alike"
    assert "ERROR" not in after
    as_it_is, fixed = (float(x) for x in re.findall(r"Trained .*: ([\d.]+)%", diagnosis[0]))
    assert as_it_is < 15 < 50 < fixed


def test_diagnosis_draws_and_writes_its_page(diagnosis):
    assert (diagnosis[1] / "diagnosis.png").read_bytes().startswith(b"\x89PNG")
    page = (diagnosis[1] / "diagnosis.html").read_text(encoding="utf-8")
    assert "samples alike" in page.replace("_", " ")
