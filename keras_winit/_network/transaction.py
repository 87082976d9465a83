"""Changes to a model that are made together: all of them or none, whatever comes between.

Every change is written down before it is made, with what undoes it. So a model is whole at any
time but for the undoing, during which an interrupt (Ctrl-C) has to wait.
"""

import contextlib
import math
import signal
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_winit import _backends
from keras_winit._turn import turn

_LARGE = 1 << 20  # bytes, from which on they are written beside what comes next


class Changes:
    """What has been changed in a transaction, and how each change is undone."""

    def __init__(self, file, writer):
        self._file, self._writer = file, writer
        self._lock = threading.Lock()  # of the file
        self._undo = contextlib.ExitStack()  # which goes backward, and on after an error

    def keep(self, variable, values):
        """Keeps the values of a variable, to which an error takes it back.

        They wait in a temporary file, so that memory holds no second model.

        Returns:
            Function that waits until they are kept, to be called before the variable changes.
        """
        if values.nbytes < _LARGE:
            self._write(variable, values)
            return lambda: None
        return self._writer.submit(self._write, variable, values).result

    def assign(self, variable, values):
        """Assigns values to a variable."""
        self.keep(variable, _backends.view(variable))()
        variable.assign(values)

    def set(self, owner, name, value):
        """Sets an attribute that is there."""
        self.on_error(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)

    def on_error(self, function, *arguments):
        """Has a function called on an error; to be called before what it undoes."""
        self._undo.callback(function, *arguments)

    def _write(self, variable, values):
        with self._lock:
            start = self._file.seek(0, 2)
            values.tofile(self._file)
        self.on_error(self._restore, variable, start, values.shape, values.dtype)

    def _restore(self, variable, start, shape, dtype):
        with self._lock:
            self._file.seek(start)
            values = np.fromfile(self._file, dtype, count=math.prod(shape))
        variable.assign(values.reshape(shape))


@contextlib.contextmanager
def all_or_nothing():
    """Yields `Changes`, of which an error or an interrupt undoes all. Other threads wait."""
    with (
        turn(),
        _interrupts() as interrupts,
        tempfile.TemporaryFile() as file,
        ThreadPoolExecutor(1) as writer,
    ):
        changes = Changes(file, writer)
        try:
            yield changes
        except BaseException:
            interrupts.wait = True
            changes._undo.close()
            raise


class _Interrupts:
    """Handler of SIGINT: the first goes on to the handler before, others wait for the end."""

    def __init__(self):
        self.before = signal.getsignal(signal.SIGINT)
        self.is_open = self.wait = self.is_waiting = False

    def __call__(self, number, frame):
        if self.is_open and self.wait:
            self.is_waiting = True
            return
        self.wait = True  # the first is on its way to where changes are undone
        self.before(number, frame)


@contextlib.contextmanager
def _interrupts():
    """Yields an `_Interrupts` that is in place; elsewhere than in the main thread none arrive."""
    interrupts = _Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not callable(interrupts.before):
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts)
    try:
        interrupts.is_open = True
        yield interrupts
    finally:
        interrupts.is_open = False  # if it should stay in place, it is as if it were not there
        signal.signal(signal.SIGINT, interrupts.before)
        if interrupts.is_waiting:
            signal.raise_signal(signal.SIGINT)
