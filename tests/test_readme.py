"""What the README says: its code, its tables, its links."""

import inspect
import pathlib
import re
import tomllib
import typing

import blocks
import keras
import nbformat
import pytest

import keras_winit

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]


def table(page, header):
    """Returns the rows of the table whose header begins so, as lists of cells."""
    rest = page.partition(f"| {header} |")[2]
    assert rest, header
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def without_chance(line):
    """Returns a line without what chance decides: where a signal vanishes, and numbers in names."""
    return re.sub(r"(sequential|dense)(_\d+)?|layer \d+|\d(\.\d+)?e-\d+", "#", line)


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md"])
def test_every_block_runs_and_prints_what_its_comments_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert blocks.python_blocks((ROOT / page).read_text("utf-8"))
    blocks.run(ROOT / page, without_chance)


def test_it_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= 125
    assert README.index("```python") < README.index("| I have |") < README.index("| question |")


def test_there_are_two_commands():
    commands = re.findall(r"^```bash\n(.*?)\n```", README, re.MULTILINE | re.DOTALL)
    assert len(commands) == 2
    assert "examples/quickstart.py" in commands[0]
    assert "python -m pytest" in commands[1]


def test_what_is_installed_exists():
    extras = PROJECT["optional-dependencies"]
    named = re.findall(r"\[(\w+(?:,\w+)*)\](?=[`\"])", README)
    assert len(named) >= 4
    assert {extra for names in named for extra in names.split(",")} <= set(extras)
    assert f'pip install "{PROJECT["name"]}[tensorflow]"' in README
    assert re.findall(r"git clone (\S+)", README) == [PROJECT["urls"]["Homepage"]]


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    for link in (link for link in links if not link.startswith("https://")):
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        text = (ROOT / path).read_text("utf-8") if anchor else ""
        assert not anchor or f"{{ #{anchor} }}" in text, link


def test_each_notebook_has_a_badge_and_opens_in_colab():
    found = re.findall(r"colab\.research\.google\.com/github/(\S+)/blob/main/(\S+)\)", README)
    paths = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb"))
    owner = PROJECT["urls"]["Homepage"].removeprefix("https://github.com/")
    assert found == [(owner, path) for path in paths]
    for path in paths:  # where the package may be missing
        cells = [c for c in nbformat.read(ROOT / path, as_version=4).cells if c.cell_type == "code"]
        assert f'"{PROJECT["urls"]["Homepage"]}/archive/main.zip"' in cells[0].source


def test_on_pypi_links_and_pictures_lead_to_github():
    text = README
    hook = SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    before = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", README)
    after = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", text)
    home = PROJECT["urls"]["Homepage"]
    raw = home.replace("https://github.com", "https://raw.githubusercontent.com")
    assert any(mark and not link.startswith("https://") for mark, link in before)
    for (mark, link), (_, absolute) in zip(before, after, strict=True):
        at = f"{raw}/main/" if mark else f"{home}/blob/main/"
        assert absolute == (link if link.startswith("https://") else at + link)


def test_initializers_that_are_named_by_need_exist():
    rows = table(README, "I have")
    assert len(rows) == 6
    for _, cell in rows:
        for code in re.findall(r"`([^`]+)`", cell):
            for string in re.findall(r'kernel_initializer="(\w+)"', code):
                assert (
                    type(keras.initializers.get(string)) in vars(keras_winit.initializers).values()
                )
            for name in re.findall(r"keras_winit\.([\w.]+)", code):
                value = keras_winit
                for part in name.split("."):
                    value = getattr(value, part)
                assert callable(value)


def test_verbs_return_what_the_table_says():
    rows = table(README, "question")
    assert len(rows) == 6
    for _, call, returned in rows:
        verb, arguments = re.fullmatch(r"`keras_winit\.(\w+)\((.*)\)`", call).groups()
        function = getattr(keras_winit, verb)
        hint = typing.get_type_hints(function)["return"]
        cls, *_ = typing.get_args(hint) or [hint]
        assert returned.startswith(f"`{cls.__name__}`")
        parameters = inspect.signature(function).parameters
        given = arguments.split(", ")
        assert [*parameters][: len(given)] == given
        assert {n for n, each in parameters.items() if each.default is each.empty} <= {*given}
        for method in re.findall(r"`\.(\w+)\(", returned):
            assert callable(getattr(cls, method))


def test_figures_are_those_of_the_documentation():
    header = "network | Keras's default | `he_normal` | LSUV | AnyInit"
    page = (ROOT / "docs/architectures.md").read_text("utf-8")
    measured = table(page, header)
    shown = table(README, header)
    assert len(shown) >= 6
    assert all(row in measured for row in shown)
    # Not only those that it wins.
    means = [[float(cell.partition(" ")[0]) for cell in row[1:]] for row in shown]
    assert any(max(row) > row[-1] for row in means)


def test_figures_of_the_quickstart_are_those_of_the_documentation():
    block = README.partition("<!-- quickstart -->")[2].split("```")[1]
    shown = re.findall(r"([\d.]+)%$", block, re.MULTILINE)
    rows = table((ROOT / "docs/measured.md").read_text("utf-8"), "starting weights")
    assert [f"{figure} %" for figure in shown] == [row[1] for row in rows]
