import contextlib
import io
import pathlib
import re

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_every_block_runs_and_prints_what_its_comments_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) >= 4
    names = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(README), "exec"), names)
        # `print(...)  # output`, or the output as a comment of its own below.
        expected = re.findall(r"^print\(.*\)(?:\n|  )# (.*)$", block, re.MULTILINE)
        assert printed.getvalue().splitlines() == expected


def test_there_are_two_commands():
    commands = re.findall(
        r"^```bash\n(.*?)\n```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(commands) == 2
    assert "examples/quickstart.py" in commands[0]
    assert "python -m pytest" in commands[1]
