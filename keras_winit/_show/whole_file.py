"""Writes a file that is whole or not there."""

import shutil
import tempfile
from pathlib import Path


def write(path, save):
    """Has a file written beside its place, and moves it there.

    What was there stays until then, and lends its permissions. A link goes on pointing to what is
    replaced.

    Args:
        path: Where to.
        save: Function of a path that writes the file.

    Raises:
        FileNotFoundError: If its folder does not exist.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"The folder {target.parent} does not exist. Make it first.")
    if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
        save(target)
        return
    with tempfile.TemporaryDirectory(prefix=".keras-winit-", dir=target.parent) as folder:
        part = Path(folder) / target.name
        save(part)
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
