import dataclasses
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from keras_winit._diagnose.page import DARK, LIGHT, Section, curves, fragment, page, verdict
from keras_winit._diagnose.rules import Finding
from keras_winit._show import plot
from keras_winit.results import (
    Coverage,
    InputSignal,
    KernelSignal,
    LayerSignal,
    LossSignal,
    Signal,
    Summary,
    UnknownLayers,
    UnknownWeight,
)

BAD = "<b>&\"'</b>"
NAN, INF = float("nan"), float("inf")
SUMMARY = Summary(
    largest=2.0, mean=0.1, second_moment=0.25, common=0.01, dead=0.125, zero=0.5, num_samples=8
)
INPUT = InputSignal(name="x", shape=(8, 4), mean=1.0, second_moment=5.0, is_tokens=False)
KERNEL = KernelSignal(
    path="dense/kernel",
    role="kernel",
    shape=(4, 3),
    fan_in=4.0,
    fan_out=3.0,
    initializer="HeNormal()",
    mean=0.0,
    second_moment=0.5,
    asked=0.5,
    asked_by_keras=0.5,
    repeated=0.0,
    gradient=1.0,
    twin=None,
)
LAYER = LayerSignal(
    layer="model/dense",
    name="dense",
    kind="Dense",
    activation="relu",
    normalized=False,
    is_first=False,
    is_output=False,
    branch=None,
    preactivation=dataclasses.replace(SUMMARY, second_moment=9.0),
    output=SUMMARY,
    saturated=None,
    gradient=2.0,
    sample=np.zeros(4),
    kernels=(KERNEL,),
)
FINDING = Finding(
    rule="vanishing_signal",
    severity="error",
    layer="model/dense1",
    value=1.5e-8,
    limit=1e-4,
    message="The signal is 1.5e-08 times too small; the limit is 0.0001.",
    reason="Little of the input is left.",
    reference="He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852; and others.",
    fix="`initialize(model)` gives every layer its variance.",
)


def layers(number, **changed):
    return tuple(
        dataclasses.replace(LAYER, layer=f"model/dense{place}", **changed)
        for place in range(number)
    )


BANDS = {"signal": (0.1, 10.0), "gradient": (0.01, 70.0)}


def section(findings=(), number=3, title="", bands=BANDS, notes=(), **changed):
    fields = {
        "model": "model",
        "batch_size": 8,
        "is_drawn": False,
        "layers": layers(number),
        "inputs": (INPUT,),
        "outputs": (SUMMARY,),
        "loss": None,
        "not_reached": (),
        "problem": None,
        "coverage": Coverage(num_layers=number, num_seen=number),
    }
    return Section(Signal(**(fields | changed)), tuple(findings), bands, title, notes)


class Page(HTMLParser):
    """Reads a page: its tags with their attributes, its text, and whether it is well-formed."""

    VOID = {"meta", "wbr"}
    CODE = {"style", "script"}

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.CODE.isdisjoint(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag, look=""):
        """Returns the attributes of all tags of a kind whose class starts so."""
        return [
            each
            for name, each in self.tags
            if name == tag and each.get("class", "").startswith(look)
        ]


def read(*sections):
    return Page(page(sections))


def test_title_and_facts_name_model_and_batch():
    page = read(section(loss=LossSignal(name="mse", value=2.5, uniform=1.25)))
    assert page.text.startswith("Signal in model model Signal in model model nothing wrong batch")
    assert "batch 8 samples layers looked at 3 of 3 layers with weights" in page.text
    assert "input x shape (8, 4), mean 1, standard deviation 2 loss" in page.text
    assert "loss mse 2.5; an output that knows nothing has 1.25" in page.text


def test_facts_say_what_was_not_seen():
    page = read(section(is_drawn=True, not_reached=("model/a", "model/b"), problem="no graph"))
    assert "8 samples of noise, not of data" in page.text
    assert "not reached model/a, model/b" in page.text
    assert "graph not read in full no graph" in page.text
    tokens = dataclasses.replace(INPUT, name="words", is_tokens=True)
    assert "input words shape (8, 4), tokens" in read(section(inputs=(tokens,))).text


@pytest.mark.parametrize(
    ("severities", "words", "look"),
    [
        ("", "nothing wrong", "ok"),
        ("e", "1 error", "error"),
        ("w", "1 warning", "warning"),
        ("wwee", "2 errors, 2 warnings", "error"),
    ],
)
def test_verdict_counts_errors_and_warnings(severities, words, look):
    names = {"e": "error", "w": "warning"}
    findings = [dataclasses.replace(FINDING, severity=names[each]) for each in severities]
    assert verdict(findings, Coverage()) == words
    page = read(section(findings))
    assert page.all("h2") == [{"class": look}]
    assert ("layer with an error" in page.text) == (look == "error")
    assert words in page.text


def test_a_finding_is_a_card_with_its_number_beside_its_limit():
    page = read(section([FINDING]))
    assert page.all("article") == [{"class": "card error"}]
    assert (
        "error vanishing signal The signal is 1.5e-08 times too small; the limit is 0.0001. "
        "1.5e-08 measured, 0.0001 is the limit, layer model/dense1 "
        "Why: Little of the input is left. Fix: initialize(model) gives every layer its variance. "
        "He et al., 2015, section 2.2, https://arxiv.org/abs/1502.01852 ; and others." in page.text
    )
    assert len(page.all("code")) == 1


def test_a_number_and_a_limit_that_differ_look_different():
    finding = dataclasses.replace(FINDING, value=0.9999999, limit=0.99997)
    assert "0.9999999 measured, 0.99997 is the limit" in read(section([finding])).text


def test_a_finding_leads_to_the_row_of_its_layer():
    page = read(section([FINDING], title="Before"), section(title="After"))
    targets = {each["href"].removeprefix("#") for each in page.all("a") if each["href"][0] == "#"}
    assert targets == {"s0", "s1", "s0-1"}
    assert targets <= {each.get("id") for _, each in page.tags}
    row = next(each for each in page.all("tr") if each.get("id") == "s0-1")
    assert row["class"] == "error"
    assert "2 model/ dense1 error Dense" in page.text


def test_a_row_shows_the_worst_of_its_findings():
    findings = [FINDING, dataclasses.replace(FINDING, severity="warning")]
    for order in (findings, findings[::-1]):
        assert [each["class"] for each in read(section(order)).all("tr")[1:]] == ["", "error", ""]


def test_a_finding_about_no_layer_of_the_table_has_no_link():
    findings = [dataclasses.replace(FINDING, layer=layer) for layer in (None, "elsewhere")]
    page = read(section(findings))
    assert "is the limit, the whole model" in page.text
    assert "is the limit, layer elsewhere" in page.text
    assert not [each for each in page.all("a") if each["href"].startswith("#")]


def test_findings_of_one_rule_share_a_card_and_none_is_left_out():
    many = [dataclasses.replace(FINDING, layer=f"model/dense{i}", value=i) for i in range(20)]
    other = dataclasses.replace(FINDING, rule="dead_units", severity="warning")
    page = read(section([*many, other], number=20))
    assert len(page.all("article")) == 2
    assert len(page.all("div", "finding")) == 21
    assert [int(value) for value in re.findall(r"(\d+) measured", page.text)[:20]] == [*range(20)]
    assert "17 more" in page.text


def test_the_company_of_a_finding_is_on_its_card():
    company = {"rule": "dead_units", "severity": "warning", "message": "Half of them are dead."}
    cause = dataclasses.replace(FINDING, **company, causes=FINDING.rule)
    other = dataclasses.replace(FINDING, **company, comes_with=FINDING.rule)
    page = read(section([FINDING, cause, other]))
    assert page.all("article") == [{"class": "card error"}]
    assert "Cause: dead units. Half of them are dead. With it: dead units. Half" in page.text
    assert "1 error" in page.text
    assert "warning" not in page.text


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("see https://a.org/b.html, c", "https://a.org/b.html", "https://a.org/b.html"),
        ("(https://a.org/b?c=1&d=2).", "https://a.org/b?c=1&d=2", "https://a.org/b?c=1&d=2"),
        ("[He et al.](https://a.org/b), 2", "https://a.org/b", "He et al."),
    ],
)
def test_addresses_of_a_reference_are_links(text, address, shown):
    page = read(section([dataclasses.replace(FINDING, reference=text, layer=None)]))
    (link,) = page.all("a")
    assert link["href"] == address
    assert shown in page.text


@pytest.mark.parametrize("text", ["http://a.org", "javascript:alert(1)", "[a](javascript:b)"])
def test_other_addresses_are_no_links(text):
    page = read(section([dataclasses.replace(FINDING, reference=text, layer=None)]))
    assert page.all("a") == []
    assert text in page.text


def test_all_strings_are_escaped():
    names = ("rule", "severity", "layer", "message", "reason", "reference", "fix")
    code = f"`{BAD}` https://a.org/{BAD} [{BAD}](https://a.org/{BAD})"
    findings = [
        dataclasses.replace(FINDING, **dict.fromkeys(names, BAD)),
        dataclasses.replace(FINDING, message=code, reference=code),
    ]
    kernel = dataclasses.replace(KERNEL, initializer=BAD)
    layer = dataclasses.replace(LAYER, layer=BAD, kind=BAD, activation=BAD, kernels=(kernel,))
    weight = UnknownWeight(name=BAD, shape=(2, 3), argument=BAD)
    unknown = UnknownLayers(kind=BAD, layers=(BAD,), weights=(weight,), is_foreign=False)
    harmless = read(section([FINDING, FINDING], number=1))
    text = page(
        [
            section(
                findings,
                title=BAD,
                model=BAD,
                layers=(layer,),
                inputs=(dataclasses.replace(INPUT, name=BAD),),
                loss=LossSignal(name=BAD, value=1.0),
                not_reached=(BAD,),
                problem=BAD,
                coverage=Coverage(num_layers=2, num_seen=1, unknown=(unknown,)),
            )
        ]
    )
    assert {tag for tag, _ in Page(text).tags} - {tag for tag, _ in harmless.tags} <= {"b"}
    assert "<b>&" not in text
    assert text.count("&lt;b&gt;&amp;") > 15


def test_page_needs_nothing_else():
    page = read(section([FINDING], title="Before"), section(title="After"))
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert page.all("script") == [{}]
    assert not [
        each for _, each in page.tags if "src" in each or "style" in each and "url" in each["style"]
    ]
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert viewport in page.all("meta")


def test_style_and_script_need_nothing_else():
    text = page([section()])
    for address in ("@import", "url(", "fetch(", "import(", "http"):
        assert address not in text


def test_a_notebook_shows_the_last_section_and_folds_the_others_and_its_table():
    before, after = section([FINDING], title="Before"), section(title="After", notes=("To do.",))
    shown = Page(fragment([before, after]))
    assert shown.tags[0] == ("div", {"class": "keras-winit"})
    assert shown.text.index("Before: 1 error") < shown.text.index("After: nothing wrong")
    assert "to know To do." in shown.text
    # Of the first all is inside, with its own table; of the second only the table.
    assert shown.all("details") == [{}, {}, {}]
    assert [name for name, _ in shown.tags if name in ("h2", "details", "table")] == [
        *("details", "h2", "details", "table"),
        *("h2", "details", "table"),
    ]
    # Other outputs of the notebook may have the same anchors, and style of their own.
    assert not [each for _, each in shown.tags if "id" in each or each.get("href", "")[:1] == "#"]
    style = re.search(r"<style>(.*?)</style>", fragment([after]), re.DOTALL).group(1)
    outer = re.sub(r"\{[^{}]*\}", "", re.sub(r"\{[^{}]*\}", "", style))
    selectors = [each for each in re.split(r"[,\n{}]", outer) if each.strip()]
    assert len(selectors) >= 3
    assert all(".keras-winit" in each for each in selectors)
    assert "prefers-color-scheme" not in style


def test_charts_before_and_after_have_one_axis():
    small = dataclasses.replace(SUMMARY, second_moment=1e-12)
    before, after = section(layers=layers(3, output=small), bands={}), section(bands={})
    alone, together = (
        re.findall(r'<div class="scale">.*?</div>', page(each))
        for each in ([after], [before, after])
    )
    assert together[0] == together[2] != alone[0]


def test_the_chart_of_fractions_is_there_where_one_is_above_zero():
    live = dataclasses.replace(SUMMARY, dead=0.0)
    assert len(read(section(layers=layers(3, output=live))).all("figure")) == 1
    assert len(read(section(layers=(*layers(3, output=live), LAYER))).all("figure")) == 2


@pytest.mark.parametrize("number", [1, 2, 7, 10, 31, 301])
def test_the_first_and_the_last_layer_have_their_numbers_in_a_chart(number):
    (depth, *_) = re.findall(r'<div class="depth">(.*?)</div>', page([section(number=number)]))
    shown = [int(each) for each in re.findall(r">(\d+)<", depth)]
    assert shown == sorted(set(shown))
    assert {1, number} <= set(shown)
    assert len(shown) <= 6


def test_what_is_healthy_is_in_the_chart_where_it_is_known():
    vanishing = dataclasses.replace(LAYER, gradient=2e-4)

    def looks(bands):
        shown = read(section(bands=bands, layers=(vanishing, LAYER)))
        return [each["class"] for each in shown.all("path", "band")], shown.text

    # Each once in the chart, and once in the legend.
    assert looks(BANDS)[0] == ["band signal", "band gradient"] * 2
    assert looks({"gradient": (0.0, 1.0)})[0] == []
    marks, text = looks({"signal": (0.1, 10.0)})
    assert marks == ["band signal"] * 2
    assert "healthy signal" in text
    assert "healthy gradient" not in text


def test_a_table_has_every_layer_with_its_numbers():
    shown = dataclasses.replace(LAYER, saturated=0.25, gradient=4.0, activation=None)
    page = read(section(layers=(LAYER, shown, dataclasses.replace(LAYER, gradient=None))))
    assert len(page.all("tr")) == 4
    cosine = f"{SUMMARY.cosine:.3g}"
    assert f"1 model/ dense Dense 0.5 2 0.5 12% – {cosine} relu HeNormal()" in page.text
    assert f"2 model/ dense Dense 0.5 4 1 12% 25% {cosine} – HeNormal()" in page.text
    assert f"3 model/ dense Dense 0.5 – – 12% – {cosine} relu HeNormal()" in page.text


def test_curves_are_what_is_drawn():
    broken = dataclasses.replace(LAYER, output=dataclasses.replace(SUMMARY, second_moment=NAN))
    output = dataclasses.replace(LAYER, is_output=True, saturated=0.5, gradient=None)
    drawn = curves([LAYER, output, dataclasses.replace(broken, saturated=0.0)])
    assert drawn["signal"][:2] == [0.5, 3.0]
    assert np.isnan(drawn["signal"][2])
    assert drawn["gradient"] == [2.0, None, 2.0]
    assert drawn["dead"] == [0.125, 0.125, None]
    assert drawn["saturated"] == [None, 0.5, None]
    axes = plot.overview(None, layers=list("abc"), samples=[np.zeros(2)] * 3, **drawn)
    assert axes[0].lines[0].get_ydata()[1] == 3.0


@pytest.mark.parametrize("size", [0.0, NAN, INF])
def test_numbers_that_are_no_measure_are_shown_as_they_are(size):
    sizes = dict.fromkeys(("largest", "mean", "second_moment", "common"), size)
    summary = dataclasses.replace(SUMMARY, **sizes, dead=0.0, zero=0.0)
    finding = dataclasses.replace(FINDING, value=size, limit=INF)
    page = read(
        section(
            [finding],
            layers=layers(3, output=summary, preactivation=summary, gradient=size),
            loss=LossSignal(name="mse", value=size),
            bands={},
        )
    )
    assert f"{size:.3g} measured, inf is the limit" in page.text
    assert f"Dense {size:.3g} {size:.3g} {size:.3g}" in page.text


def test_sections_follow_each_other_with_their_titles():
    page = read(section([FINDING], title="Before"), section(title="After"))
    assert page.text.index("Before: 1 error") < page.text.index("After: nothing wrong")
    assert [each["id"] for each in page.all("section")] == ["s0", "s1"]
    assert len(page.all("figure")) == 4


def test_a_page_of_800_layers_is_under_a_megabyte():
    findings = [dataclasses.replace(FINDING, layer=f"model/dense{i}") for i in range(800)]
    text = page([section(findings, number=800), section(number=800)])
    assert len(Page(text).all("tr")) == 2 * 801
    assert len(text.encode()) < 1_000_000


def luminance(color):
    """Relative luminance of WCAG 2."""
    channels = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(*colors):
    low, high = sorted(map(luminance, colors))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_is_that_of_wcag_aa(colors):
    texts = ("text", "muted", "link", "error", "warning", "ok")
    for text, paper in itertools.product(texts, ("paper", "card")):
        assert contrast(colors[text], colors[paper]) >= 4.5, (text, paper)
    for line, paper in itertools.product(("signal", "gradient", "error"), ("paper", "band")):
        assert contrast(colors[line], colors[paper]) >= 3, (line, paper)


def test_both_sets_of_colors_are_in_the_style_and_no_other():
    text = page([section()])
    style = text[text.index("<style>") : text.index("</style>")]
    assert LIGHT.keys() == DARK.keys()
    assert set(re.findall(r"var\(--([\w-]+)\)", style)) == LIGHT.keys()
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", style)) == {
        *LIGHT.values(),
        *DARK.values(),
    }
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    assert all(f"--{name}:{color};" in light for name, color in LIGHT.items())
    assert all(f"--{name}:{color};" in dark for name, color in DARK.items())


def test_no_text_is_smaller_than_14_pixels():
    style = re.search(r"<style>(.*)</style>", page([section()]), re.DOTALL).group(1)
    sizes = [int(size) for size in re.findall(r"font(?:-size)?: (\d+)px", style)]
    assert len(sizes) > 8
    assert min(sizes) >= 14
    assert not re.findall(r"font-size: [\d.]+(?:r?em|%|pt)", style)
