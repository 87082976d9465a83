"""The files of the command before they are read, and where it may write."""

import zipfile

# Of an archive: how much larger than packed it may be, from a size on that is no text.
_MOST_RATIO = 100
_LARGE = 1 << 28


class Mistake(Exception):
    """What a user can fix, in one or two sentences."""


def check(arguments):
    """Raises a `Mistake` for a file that an argument of the command names and that does not fit."""
    given = vars(arguments)
    for name, suffix in (("output", ".keras"), ("html", ".html")):
        if given.get(name) is not None:
            _check_output(given[name], suffix, arguments.force)
    for name in ("data", "labels"):
        if given.get(name) is not None:
            _check_arrays(given[name])
    if "model" in given:
        _check_model(arguments.model)


def _check_model(path):
    _check_input(path, (".keras",), 'Save the whole model with `model.save("model.keras")`.')
    if not _is_model(path):
        raise Mistake(f"{path} is not a file that `model.save` of Keras 3 wrote.")
    _check_unpacked(path)


def _check_arrays(path):
    _check_input(path, (".npy", ".npz"), "Save arrays with `numpy.save` or `numpy.savez`.")
    if path.suffix == ".npz" and zipfile.is_zipfile(path):
        _check_unpacked(path)


def _is_model(path):
    try:
        with zipfile.ZipFile(path) as file:
            return "config.json" in file.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _check_unpacked(path):
    """Refuses an archive that is small and holds what fills the memory.

    Weights and data hardly get smaller by compression. What a directory says is what `zipfile`
    unpacks at most.
    """
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
    packed = sum(member.compress_size for member in members)
    if packed > path.stat().st_size:  # members that lie over each other
        raise Mistake(f"{path} holds less than its directory says: it is damaged. Save it anew.")
    unpacked = sum(member.file_size for member in members)
    parts = [(each.filename, each.file_size, each.compress_size) for each in members]
    for name, large, small in [*parts, ("all of it", unpacked, packed)]:
        if large > _LARGE and large > _MOST_RATIO * small:
            raise Mistake(
                f"{path} should unpack to at most {_MOST_RATIO} times its size, or {_bytes(_LARGE)}"
                f". Received: {name!r} of {_bytes(small)}, which unpacks to {_bytes(large)}. If "
                "you trust it, save what it holds without compression."
            )


def _bytes(number):
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"
        number /= 1000


def _check_input(path, suffixes, advice):
    if not path.exists():
        raise Mistake(f"{path} does not exist.")
    if not path.is_file():
        raise Mistake(f"{path} is not a file.")
    if path.suffix not in suffixes:
        raise Mistake(f"{path} should end in {' or '.join(suffixes)}. {advice}")


def _check_output(path, suffix, force):
    if path.suffix != suffix:
        raise Mistake(f"The file to write should end in {suffix}. Received: {path}.")
    if not path.parent.is_dir():
        raise Mistake(f"The folder {path.parent} does not exist. Make it first.")
    if path.is_dir():
        raise Mistake(f"{path} is a folder.")
    if path.exists() and not force:
        raise Mistake(f"{path} exists already. Give `--force` to replace it.")
