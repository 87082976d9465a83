import pathlib
import re

import blocks

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_every_block_runs_and_prints_what_its_comments_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(blocks.python_blocks(README.read_text("utf-8"))) >= 4
    blocks.run(README)


def test_there_are_two_commands():
    commands = re.findall(
        r"^```bash\n(.*?)\n```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(commands) == 2
    assert "examples/quickstart.py" in commands[0]
    assert "python -m pytest" in commands[1]
