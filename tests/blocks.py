"""Runs the Python in a page of Markdown."""

import contextlib
import io
import re


def python_blocks(text):
    """Returns the source of every block of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(page, compared=lambda line: line):
    """Runs the blocks of a page, and checks that each prints what its comments say.

    Args:
        page: Path of the page.
        compared: Function of a line that leaves out what may differ.
    """
    names = {}
    for block in python_blocks(page.read_text("utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), names)
        # `print(...)  # output`, or the output as a comment of its own below.
        expected = re.findall(r"^print\(.*\)(?:\n|  )# (.*)$", block, re.MULTILINE)
        lines = printed.getvalue().splitlines()
        assert [*map(compared, lines)] == [*map(compared, expected)], block
