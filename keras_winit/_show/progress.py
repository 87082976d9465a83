"""A line on standard error that tells how far a verb is, where it takes long."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

from keras_winit._show import table
from keras_winit.typing import Verbose

_PATIENCE = 2.0  # seconds without a line
_INTERVAL = 0.5


class _Line:
    """A line that a thread of its own writes, since a model may run for minutes at a time."""

    def __init__(self, what, stream):
        self.text = ""
        self._what, self._stream, self._width = what, stream, 0
        self._start = time.monotonic()
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()

    def end(self):
        self._is_done.set()
        self._thread.join()
        self._write("")

    def _show(self):
        wait = _PATIENCE
        while not self._is_done.wait(wait):
            wait = _INTERVAL
            seconds = f"{time.monotonic() - self._start:.0f} s"
            parts = ", ".join(filter(None, (self.text, seconds)))
            self._write(table.printable(f"{self._what}: {parts}"))

    def _write(self, text):
        text = text[: shutil.get_terminal_size().columns - 1]
        if not (text or self._width):
            return
        # Nobody has to see it: a stream that was closed is no error.
        with contextlib.suppress(OSError, ValueError):
            end = "" if text else "\r"
            self._stream.write(f"\r{text.ljust(self._width)}{end}")
            self._stream.flush()
        self._width = len(text)


class _Added:
    """What is told within a part of the work, behind what was told of the whole."""

    def __init__(self, line):
        self._line = line._line if isinstance(line, _Added) else line
        self._before = line.text

    @property
    def text(self):
        return self._line.text

    @text.setter
    def text(self, text):
        self._line.text = ", ".join(filter(None, (self._before, text)))

    def end(self):
        self._line.text = self._before


_line: ContextVar[_Line | _Added | None] = ContextVar("line", default=None)


@contextlib.contextmanager
def progress(what: str, verbose: Verbose = "auto") -> Iterator[None]:
    """A context in which `tell` says how far something is, on a line that comes after two seconds.

    The line goes to standard error, is written over, and is gone at the end.

    Args:
        what: What is done, in a word or two.
        verbose: `1` for a line, `0` for none, `"auto"` for one in terminals and notebooks.

    Raises:
        ValueError: If `verbose` is none of these.
    """
    if verbose not in ("auto", 0, 1):
        raise ValueError(f"`verbose` should be 'auto', 0 or 1. Received: verbose={verbose!r}.")
    if _line.get() is not None:  # a verb within a verb
        with within():
            yield
        return
    stream = sys.stderr
    is_shown = stream is not None and (_is_seen(stream) if verbose == "auto" else verbose)
    if not is_shown:
        yield
        return
    # A stream that escapes what steers a terminal has the one behind it as `stream`.
    with _telling(_Line(what, getattr(stream, "stream", stream))):
        yield


@contextlib.contextmanager
def within() -> Iterator[None]:
    """A context in which `tell` adds to what was told before it."""
    line = _line.get()
    if line is None:
        yield
        return
    with _telling(_Added(line)):
        yield


@contextlib.contextmanager
def _telling(line):
    token = _line.set(line)
    try:
        yield
    finally:
        _line.reset(token)
        line.end()


def _is_seen(stream):
    return stream.isatty() or type(stream).__module__.startswith("ipykernel.")


def tell(text: str) -> None:
    """Says how far it is, where someone may see it."""
    line = _line.get()
    if line is not None:
        line.text = text
