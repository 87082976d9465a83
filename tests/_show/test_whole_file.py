"""A file is written whole or not at all, and stays what it was to the file system."""

import os
import stat

import pytest

from keras_winit._show.whole_file import write


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def new(path):
    path.write_text("new")


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_new_file_has_the_permissions_of_any_other(tmp_path, umask):
    write(tmp_path / "file", new)
    assert mode(tmp_path / "file") == 0o666 & ~umask


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_lends_its_permissions(tmp_path, umask, permissions):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(permissions)
    write(tmp_path / "file", new)
    assert (tmp_path / "file").read_text() == "new"
    assert mode(tmp_path / "file") == permissions


def test_a_link_keeps_pointing_to_what_is_replaced(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to("inner/file")
    for _ in range(2):  # to nothing, and to a file
        write(str(tmp_path / "link"), new)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "inner" / "file").read_text() == "new"


def test_until_it_is_whole_the_old_one_stays(tmp_path):
    (tmp_path / "file").write_text("old")

    def save(path):
        path.write_text("half")
        assert (tmp_path / "file").read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "file", save)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_what_is_no_file_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe", new)
    assert os.read(reader, 9) == b"new"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The folder .*missing does not exist. Make it"):
        write(tmp_path / "missing" / "file", new)
