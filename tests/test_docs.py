import importlib.util
import inspect
import pathlib
import re
import unicodedata

import blocks
import keras
import pytest

import keras_winit
from keras_winit._diagnose import rules
from keras_winit._plan.plan import brief
from keras_winit._plan.schemes.suggested import LINES

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text("utf-8") for path in sorted(DOCS.glob("*.md"))}

layers = keras.layers


def load_hooks():
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOKS = load_hooks()
WRITTEN = {name: HOOKS.written(text) for name, text in PAGES.items()}


# `test_readme.py` runs the tour, on every backend.
RUN = [name for name in PAGES if blocks.python_blocks(PAGES[name]) and name != "tour.md"]


@pytest.mark.parametrize("name", RUN)
def test_every_block_runs_and_prints_what_its_comments_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks.run(DOCS / name)


def test_the_navigation_names_every_page():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(named) == sorted(PAGES)
    assert re.search(r"^ +- Source: https://", navigation, re.MULTILINE)


def test_the_search_runs_in_pages_opened_as_files_and_fetches_nothing():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert re.search(r"^  - offline\b", settings, re.MULTILINE)
    name = re.search(r"^  polyfills: \[(\S+)\]", settings, re.MULTILINE)[1]
    assert 'location.protocol==="file:"' in (DOCS / name).read_text("utf-8")


def without_code(text):
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "`code`", text, flags=re.MULTILINE | re.DOTALL)


def anchors(name):
    """Returns what a link to a page can point at: its headings, and what is documented there."""
    found = set(re.findall(r"^::: (\S+)$", WRITTEN[name], re.MULTILINE))
    for heading in re.findall(r"^#+ (.*)$", re.sub("`", "", without_fences(name)), re.MULTILINE):
        title, explicit = re.fullmatch(r"(.*?)(?: \{ #(\S+) \})?", heading).groups()
        found.add(explicit or slug(title))
    return found


def without_fences(name):
    return re.sub(r"^```.*?^```$", "", WRITTEN[name], flags=re.MULTILINE | re.DOTALL)


def slug(title):
    """Returns the anchor that Python-Markdown gives to a heading."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


@pytest.mark.parametrize("name", PAGES)
def test_links_within_the_site_lead_somewhere(name):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(WRITTEN[name]))
    for link in links:
        if re.match(r"https?://", link):
            continue
        page, _, anchor = link.partition("#")
        if page.startswith("pictures/"):
            assert page.removeprefix("pictures/") in HOOKS.PICTURES
            continue
        if page.endswith(".png"):
            assert (DOCS / page).is_file(), link
            continue
        page = page or name
        assert page in PAGES, link
        assert not anchor or anchor in anchors(page), link


def test_the_start_does_not_repeat_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8")
    repeated = set(PAGES["index.md"].splitlines()) & set(readme.splitlines())
    assert not [line for line in repeated if len(line) > 30 and not line.startswith("model = ")]


def test_the_notebooks_are_listed_with_where_they_open():
    titles = re.findall(r"^## (.*)$", WRITTEN["notebooks.md"], re.MULTILINE)
    links = re.findall(
        r"^\[Read it\]\(https://github\.com/\S+/(\S+)\) · "
        r"\[Open in Colab\]\(https://colab\S+/(\S+)\)$",
        WRITTEN["notebooks.md"],
        re.MULTILINE,
    )
    opened = [path for path, again in links if path == again]
    assert len(titles) == len(opened)
    assert opened == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_the_gallery_shows_its_pictures():
    assert WRITTEN["gallery.md"].count("](pictures/") == len(HOOKS.PICTURES) - 2


def test_no_comment_is_left_to_be_written():
    assert not [name for name, text in WRITTEN.items() if "<!--" in text]


def test_everything_public_is_documented():
    pages = WRITTEN["api.md"] + WRITTEN["results.md"]
    documented = re.findall(r"^::: keras_winit\.(\S+)$", pages, re.MULTILINE)
    ours = {f"initializers.{e.name}" for e in keras_winit.catalogue() if e.origin == "keras_winit"}
    ours |= {f"typing.{name}" for name in keras_winit.typing.__all__}
    assert len(set(documented)) == len(documented)
    returned = set(keras_winit.results.__all__)
    names = {n for n in keras_winit.__all__ if not inspect.ismodule(getattr(keras_winit, n))}
    assert set(documented) == names - returned | ours | {f"results.{name}" for name in returned}


def test_every_rule_is_on_the_page_with_its_limit_and_reason():
    page = WRITTEN["rules.md"]
    written = (*rules.RULES, *rules.RULES_OF_PROGRESS)
    names = [rule.name for rule in written]
    assert re.findall(r"^### (\S+)$", page, re.MULTILINE) == names
    for rule in written:
        assert f"- **Limit:** {rule.limit}." in page
        assert rule.reason in page
        assert rule.fix in page
    assert "less than 0.01 (warning) or 0.001 (error)" in page


def test_every_line_of_the_decision_list_is_on_the_page():
    page = WRITTEN["architectures.md"].partition("{ #the-list }")[2]
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [row[:2] for row in cells[1:]] == [[line.name, line.gets] for line in LINES]
    assert "*scale* / fan_in keeps the size of the signal" in page
    assert "{" not in page


def rows(page, header):
    """Returns the cells of the table below a heading, without the quotes of code."""
    table = PAGES[page].partition(f"## {header}")[2].partition("|\n|---")[2].partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]
    ]


def activation(name):
    if name != "`sin`":
        return name.strip("`")

    def sin(z):
        return keras.ops.sin(z)

    return sin


def test_the_table_of_gains_holds_the_gains():
    table = rows("activations.md", "Gains")
    assert len(table) == 20
    for name, *cells in table:
        kinds = ("forward", "backward", "centered")
        gains = [keras_winit.gain(activation(name), kind) for kind in kinds]
        assert [f"{gain:.4f}" for gain in gains] == cells, name


def test_the_table_of_torch_holds_the_gains():
    table = [row for row in rows("torch.md", "Gains") if "," not in row[0]]
    assert len(table) == 7
    for name, _, cell in table:
        assert f"{keras_winit.gain(name):.4f}" == cell


def stack(function, depth, is_normalized=False):
    hidden = []
    for number in range(depth):
        hidden.append(layers.Dense(16, name=f"hidden_{number}"))
        hidden += [layers.BatchNormalization()] * is_normalized
        hidden.append(layers.Activation(function))
    return keras.Sequential([keras.Input((16,)), *hidden, layers.Dense(3)])


def suggested(model):
    """Returns what is suggested for the second layer, in the words of the table."""
    plan = keras_winit.suggest(model)
    kernel, bias = (brief(plan[f"hidden_1/{weight}"]) for weight in ("kernel", "bias"))
    cell = f"`{kernel}`".replace("activation=", "").replace("'", '"')
    return cell if bias == "Zeros()" else f"{cell}, biases `{bias}`"


@pytest.mark.parametrize(
    "row", rows("activations.md", "What to use"), ids=lambda row: row[0].strip("`")
)
def test_the_table_of_activations_holds_what_is_suggested(row):
    function = activation(row[0])
    models = [stack(function, depth) for depth in (3, 9, 39)]
    models.append(stack(function, 3, is_normalized=True))
    assert [suggested(model) for model in models] == row[1:]
