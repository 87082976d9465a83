"""Tables and texts that fit a terminal: nothing is lost but what is said to be."""

import io
import re

import pytest

from keras_winit._show import table, terminal

HEADER = ["weight", "fans", "has", "why", "reference"]
ROWS = [
    ["encoder/dense/kernel", 12, "GlorotUniform()", "relu follows, which halves it", "He, 2015"],
    ["encoder/dense_1/kernel", 345, "Zeros()", "relu follows, which halves it", "He, 2015"],
    ["classes/kernel", None, "LecunNormal()", "nothing follows", ""],
]
NOTES, DROP = ("why", "reference"), ("fans", "has")


def fitted(width, rows=ROWS):
    return terminal.fit(HEADER, rows, "Plan", width=width, notes=NOTES, drop=DROP)


def test_a_table_that_fits_is_as_it_always_is():
    whole = table.text(HEADER, ROWS, "Plan")
    width = max(map(len, whole.splitlines()))
    assert fitted(width) == whole
    assert fitted(width - 1) != whole


@pytest.mark.parametrize("width", range(40, 110, 3))
def test_no_line_is_wider_than_the_terminal(width):
    assert max(map(len, fitted(width).splitlines())) <= width


def test_reasons_become_notes_that_are_said_once():
    assert fitted(80).splitlines() == [
        "Plan",
        "weight                  fans  has              why",
        "----------------------  ----  ---------------  ---",
        "encoder/dense/kernel      12  GlorotUniform()  [1]",
        "encoder/dense_1/kernel   345  Zeros()          [1]",
        "classes/kernel             -  LecunNormal()    [2]",
        "[1] relu follows, which halves it; He, 2015",
        "[2] nothing follows",
    ]


def test_columns_are_left_out_in_order_and_only_as_far_as_needed():
    header = [re.split(" +", fitted(width).splitlines()[1]) for width in (50, 49, 40)]
    assert header == [["weight", "fans", "has", "why"], ["weight", "has", "why"], ["weight", "why"]]
    assert "Not shown in 49 columns: fans." in fitted(49)
    assert "Not shown in 40 columns: fans, has." in fitted(40)


def test_cells_that_are_still_too_wide_go_over_lines():
    rows = [["a short one", "word " * 20], ["another", "brief"]]
    lines = terminal.fit(["name", "text"], rows, width=40).splitlines()
    assert all(line.startswith(("name", "-", "a short", " " * 13 + "word")) for line in lines[:-1])
    assert sum(line.count("word") for line in lines) == 20
    assert lines[-1] == "another      brief"


def test_paths_and_classes_break_between_their_parts():
    rows = [["block/attention_output/kernel", "Orthogonal(gain=1.41421)"]]
    lines = terminal.fit(["weight", "has"], rows, width=48).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["block/attention_output/", "Orthogonal("],
        ["kernel", "gain=1.41421)"],
    ]


def test_a_table_without_rows_fits():
    lines = fitted(20, rows=[]).splitlines()
    assert lines[:2] == ["Plan", "weight  has  why"]


def test_lines_that_were_wrapped_are_joined_and_wrapped_anew():
    text = "ERROR: one two three\n       four five.\n  Why: six"
    assert terminal.fill(text, 100) == "ERROR: one two three four five.\n  Why: six"
    narrow = terminal.fill(text, 20)
    assert narrow.splitlines() == ["ERROR: one two three", "       four five.", "  Why: six"]


def colored(text, **arguments):
    stream = io.StringIO()
    terminal.write(text, stream, **arguments)
    return stream.getvalue()


def test_errors_are_red_warnings_yellow_and_all_text_stays(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = "1 error, 1 warning\nlayer  dead\n-----  ----\nfirst     1\nlast      0\n"
    text += "ERROR: dead_units. All are.\n  Why: [bold]x[/bold] :smile:\nWARNING: wrong_fan. Fan."
    marked = [("last", "warning"), ("first", "error")]
    shown = colored(text, verdict="1 error, 1 warning", marked=marked)
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == text + "\n"
    for style, words in {
        "1;31": ["1 error, 1 warning", "ERROR: dead_units."],
        "1;33": ["WARNING: wrong_fan."],
        "31": ["first"],
        "33": ["last"],
        "1": ["layer  dead"],
        "2": ["-----  ----", "Why:"],
    }.items():
        for each in words:
            assert f"\x1b[{style}m{each}\x1b[0m" in shown


@pytest.mark.parametrize(
    ("isatty", "environment", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colors_are_for_terminals_whose_users_want_them(monkeypatch, isatty, environment, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    stream.isatty = lambda: isatty
    assert terminal.has_color(stream) == expected
