"""The tutorial in the format of keras.io, of which its site makes a page and a notebook."""

import functools
import re
import subprocess
import sys

import keras
import matplotlib.pyplot as plt
import pytest
from test_examples import ROOT

TUTORIAL = ROOT / "docs/keras_io/starting_weights.py"
TEXT = TUTORIAL.read_text("utf-8")
# What is between lines of three quotes, in turn code and text with its tag.
PARTS = re.split(r'^"""(.*)\n', TEXT, flags=re.MULTILINE)


def test_header_has_the_fields_of_keras_io():
    fields = re.findall(r"^([A-Z][A-Za-z ]+): (.+)$", PARTS[2], re.MULTILINE)
    names = ["Title", "Author", "Date created", "Last modified", "Description", "Accelerator"]
    assert [name for name, _ in fields] == names == [*dict(fields)]
    values = dict(fields)
    for name in ("Date created", "Last modified"):
        assert re.fullmatch(r"\d{4}/\d\d/\d\d", values[name])
    assert values["Description"][0].isupper()
    assert values["Description"][-1] == "."
    assert len(values["Description"]) <= 100
    assert values["Accelerator"] in ("None", "GPU", "TPU")


def test_text_and_code_take_turns():
    assert PARTS[0] == ""
    tags, blocks = PARTS[1::4], PARTS[2::4]
    assert PARTS[3::4] == [""] * len(tags)  # every block ends with a line of its own
    assert set(tags) == {"", "shell"}
    assert all(block.strip() for block in blocks)
    assert blocks[1].startswith("## Introduction")


def test_lines_are_as_keras_io_has_them():
    lines = TEXT.splitlines()
    assert max(map(len, lines)) <= 90
    assert not [line for line in lines if line != line.rstrip()]
    assert not [line for line in lines if line.startswith('"""') and line.endswith('"""', 3)]
    options = ["format", "--isolated", "--line-length", "88", "--check", str(TUTORIAL)]
    assert subprocess.run([sys.executable, "-m", "ruff", *options]).returncode == 0


def test_it_runs_and_finds_what_it_says(capsys, monkeypatch):
    # XLA takes longer to compile a small model than to train it.
    compile_model = functools.partialmethod(keras.Model.compile, jit_compile=False)
    monkeypatch.setattr(keras.Model, "compile", compile_model)
    found = {}
    exec(compile(TEXT.replace("epochs = 15", "epochs = 4"), str(TUTORIAL), "exec"), found)
    printed = capsys.readouterr().out
    as_it_is, mended = map(float, re.findall(r"accuracy in training: ([\d.]+)%", printed))
    assert as_it_is < 15 < 50 < mended
    assert "findings after the fix: 0" in printed
    rules = re.findall(r"^error: (\w+)", printed, re.MULTILINE)
    assert rules == ["samples_alike", "vanishing_gradient", "loss_mismatch"]
    cosines = found["report"].to_frame()["cosine"]
    assert list(cosines[1:4]) == pytest.approx([0.996, 1, 1], abs=0.003)
    assert len(plt.get_fignums()) == 2
