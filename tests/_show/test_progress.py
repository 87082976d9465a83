"""A line that comes where something takes long, and goes."""

import io
import time
import types

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._show import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def be_terminal(monkeypatch):
    # Between a fixture and its test pytest gives `sys` another stream.
    stream = Terminal()
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=stream))
    return stream


@pytest.fixture
def terminal(monkeypatch):
    """A terminal for errors, on which the line comes at once."""
    monkeypatch.setattr(progress, "_PATIENCE", 0.01)
    monkeypatch.setattr(progress, "_INTERVAL", 0.01)
    return be_terminal(monkeypatch)


def wait(terminal, text):
    """Waits until the terminal shows a text."""
    end = time.monotonic() + 20
    while text not in terminal.getvalue():
        assert time.monotonic() < end, terminal.getvalue()
        time.sleep(0.01)


def test_a_line_tells_how_far_it_is_and_is_gone_at_the_end(terminal):
    with progress.progress("draw"):
        progress.tell("weight 3 of 7")
        wait(terminal, "\rdraw: weight 3 of 7, 0 s")
        progress.tell("weight 4 \x1b of 7")
        wait(terminal, "\rdraw: weight 4 \\x1b of 7, 0 s")
    *_, cleared, end = terminal.getvalue().split("\r")
    assert cleared
    assert (cleared.strip(), end) == ("", "")


def test_a_part_tells_behind_the_whole_and_is_forgotten(terminal):
    with progress.progress("draw"):
        progress.tell("run 1 of 2")
        with progress.within():
            progress.tell("epoch 3 of 4")
            with progress.progress("a verb within"):
                progress.tell("weight 5 of 6")
                wait(terminal, "\rdraw: run 1 of 2, epoch 3 of 4, weight 5 of 6, 0 s")
            progress.tell("epoch 4 of 4")
            wait(terminal, "\rdraw: run 1 of 2, epoch 4 of 4, 0 s")
        wait(terminal, "\rdraw: run 1 of 2, 0 s")
    with progress.within():
        progress.tell("that nobody sees")


def test_a_notebook_is_seen():
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    assert progress._is_seen(stream)
    assert not progress._is_seen(io.StringIO())


def test_what_is_quick_says_nothing(monkeypatch):
    stream = be_terminal(monkeypatch)
    with progress.progress("draw"):
        progress.tell("weight 1 of 1")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("is_terminal", "verbose", "is_shown"),
    [
        (True, "auto", True),
        (True, 1, True),
        (True, 0, False),
        (False, "auto", False),
        (False, 1, True),
        (False, 0, False),
    ],
)
def test_a_line_comes_where_it_is_seen_or_asked_for(
    terminal, monkeypatch, is_terminal, verbose, is_shown
):
    monkeypatch.setattr(terminal, "isatty", lambda: is_terminal)
    with progress.progress("draw", verbose):
        if is_shown:
            wait(terminal, "draw")
        else:
            time.sleep(0.1)
    assert bool(terminal.getvalue()) == is_shown


def test_an_error_ends_the_line_and_a_closed_stream_is_none(terminal):
    def fail():
        with progress.progress("draw"):
            wait(terminal, "draw")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert terminal.getvalue().endswith(" \r")
    with progress.progress("draw"):
        terminal.close()
        time.sleep(0.1)


def network():
    layers = [keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *layers])


X = np.ones((4, 6))
VERBS = {
    "diagnose": (lambda verbose: keras_winit.diagnose(network(), X, verbose=verbose), "judges"),
    "initialize": (
        lambda verbose: keras_winit.initialize(network(), verbose=verbose),
        "weight 4 of 4",
    ),
    "calibrate": (
        lambda verbose: keras_winit.calibrate(network(), X, verbose=verbose),
        "layer 2 of 2",
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_tell_how_far_they_are(monkeypatch, verb):
    lines = []

    class Line:
        def __init__(self, what, stream):
            lines.append(what)

        def __setattr__(self, name, text):
            lines.append(text)

        def end(self):
            lines.append("end")

    monkeypatch.setattr(progress, "_Line", Line)
    call, last = VERBS[verb]
    call(1)
    assert (lines[0], *lines[-2:]) == (verb, last, "end")
    with pytest.raises(ValueError, match="`verbose` should be 'auto', 0 or 1. Received: verbose=2"):
        call(2)
