"""The entry of the command `keras-winit`: what needs no backend is done without one.

Importing `keras_winit` imports Keras and a backend, which takes seconds. So the help, the version
and mistakes in a command are told here, and `keras_winit._cli` is imported where it is needed.

The command exits with 0 where all is fine, with 1 where `diagnose` finds errors, with 2 after a
mistake of its user or any other failure, which it tells in one line, and with 3 where `diagnose`
finds nothing wrong, but has not looked at all layers.
"""

import contextlib
import os
import re
import signal
import sys
import tempfile
import threading

from _keras_winit_command import arguments as _arguments
from _keras_winit_command import files

_NAME = _arguments.NAME
_CLOSED = (
    "the standard output should be open. Received: closed. Send it to a file, or to /dev/null."
)
# A line of the log of TensorFlow that is no error.
_REMARK = re.compile(
    r"^([IW]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::).*\n", re.MULTILINE
)
# Errors whose texts speak for themselves.
_EXPECTED = (files.Mistake, ValueError, TypeError, OSError, RuntimeError, ImportError)


class Printable:
    """A stream to which characters that no terminal prints, but for line feeds, go as escapes.

    Names and texts of a file must not steer a terminal, or look like others.

    Args:
        stream: The stream behind it, which does all else.
    """

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        return self.stream.write("".join(map(_printable, text)))

    def __getattr__(self, name):
        return getattr(self.stream, name)


def _printable(character):
    is_kept = character.isprintable() or character == "\n"
    return character if is_kept else character.encode("unicode_escape").decode()


def main(argv=None):
    """Runs the command.

    Args:
        argv: List of strings. Defaults to `None`, for the arguments of the process.

    Returns:
        The exit code: 0, 1 if `diagnose` found errors, 2 if the command failed, 3 if layers were
        not looked at.
    """
    output, errors = sys.stdout, sys.stderr or open(os.devnull, "w")
    if output is None:
        print(f"{_NAME}: error: {_CLOSED}", file=errors)
        return 2
    if hasattr(output, "reconfigure"):
        output.reconfigure(errors="backslashreplace")  # terminals that are not UTF-8
    output, errors = Printable(output), Printable(errors)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            return _run(argv)
        except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
            _discard(output)
            return 141
        except KeyboardInterrupt:
            return 130


def _run(argv):
    """Does what `main` does, and tells any error in one line."""
    name = _NAME
    try:
        try:
            arguments = _arguments.parser().parse_args(argv)
            name = f"{_NAME} {arguments.command}"
            files.check(arguments)
            with _without_remarks():
                from keras_winit._cli import commands

            with _signals_raise():
                return commands.run(arguments)
        finally:
            sys.stdout.flush()  # here, where it can be told that it fails
    except BrokenPipeError:
        raise
    except Exception as error:  # a traceback, and the exit code 1 of Python, would mislead
        print(f"{name}: error: {_told(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # a full disk
            _discard(sys.stdout)
        return 2


def _told(error):
    """Returns what an error says in one line, with its class where that says more."""
    name = type(error).__name__
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
    lines = [each.strip() for each in lines if not each.startswith("Exception encountered")]
    text = _arguments.here(next(filter(None, lines), name))
    is_expected = isinstance(error, _EXPECTED)
    is_expected &= not isinstance(error, (RecursionError, NotImplementedError))
    return text if is_expected or text == name else f"{name}: {text}"


@contextlib.contextmanager
def _without_remarks():
    """Leaves out what TensorFlow says of processors and GPUs while it is imported.

    It is written by C++ to the file of standard error, past Python, whatever level is asked for.
    """
    with contextlib.ExitStack() as stack:
        try:
            held, file = os.dup(2), stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # closed, or no room
            yield
            return
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(held, 2)
            os.close(held)
            file.seek(0)
            said = file.read().decode(errors="backslashreplace")
            sys.stderr.write(_REMARK.sub("", said))


def _discard(stream):
    """Has what a stream still holds, and gets, go nowhere: Python flushes it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _signals_raise():
    """Has the process leave as after an error where it is told to end: nothing half done stays."""

    def leave(number, frame):
        sys.exit(128 + number)

    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]  # one on Windows
    # What someone has set already is theirs, as that of `nohup`.
    numbers = [each for each in numbers if each and signal.getsignal(each) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only there may it be set
    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
