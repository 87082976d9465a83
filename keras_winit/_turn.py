"""Lets one thread at a time look into models.

To look into a model changes it, and the backend, for a while: another thread would see that, or
keep it for good.
"""

import contextlib
import threading
from collections.abc import Iterator

_lock = threading.RLock()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """A context, or a decorator, that one thread of the process at a time is inside of.

    The others wait. Verbs use each other, so a thread may enter again what it is inside of.
    """
    with _lock:
        yield
