"""What users do with the page of a diagnosis, done in a browser: Chromium, without a window."""

import dataclasses
import html
import json
import os
import re
import shutil

import keras
import numpy as np
import pytest

import keras_winit

# Where it is set, as by `.ci/run`, the tests fail rather than being skipped without a browser.
REQUIRED = "KERAS_WINIT_BROWSER_REQUIRED"

# No window, and no request of its own that could be taken for one of the page.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NUM_LAYERS = 300
DESKTOP, PHONE = (1280, 900), (390, 844)
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(15, 19, 24)"


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """Returns a browser that keeps what pages tell on the console and ask of the network."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
    needed = {"Chromium": browser, "chromedriver": service, "selenium": webdriver}
    missing = [name for name, found in needed.items() if not found]
    if missing:
        give_up = pytest.fail if os.environ.get(REQUIRED) else pytest.skip
        give_up(f"a browser is needed, and not here: {', '.join(missing)}")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for each in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With its path given, nothing is downloaded.
    driver = webdriver.Chrome(options, webdriver.ChromeService(service))
    yield driver
    driver.quit()


def _model(depth):
    layers = [keras.layers.Dense(16, "relu", name=f"hidden_{place}") for place in range(depth)]
    last = keras.layers.Dense(3, name="logits")
    return keras.Sequential([keras.Input((16,)), *layers, last], name="classifier")


@pytest.fixture(scope="session")
def reports(driver):
    """Returns a `Diagnosis` of what is sick and deep, of what is healthy, and of what was fixed."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    sick = keras_winit.diagnose(_model(30), x)
    healthy = _model(2)
    keras_winit.initialize(healthy, seed=0)
    return {
        "deep": _deepened(sick),
        "healthy": keras_winit.diagnose(healthy, x),
        "fixed": sick.fix(seed=1),
    }


def _deepened(report):
    """Returns a report of as many layers as are hard to survey, with the numbers of fewer."""
    *hidden, last = report.layers
    layers = tuple(
        dataclasses.replace(
            hidden[place * len(hidden) // NUM_LAYERS], layer=f"classifier/block_{place}/dense"
        )
        for place in range(NUM_LAYERS - 1)
    )
    wrong = dataclasses.replace(report.findings[0], layer=layers[200].layer)
    signal = dataclasses.replace(report.signal, layers=(*layers, last))
    return dataclasses.replace(report, signal=signal, findings=(wrong,))


@pytest.fixture
def look(driver, reports, tmp_path):
    """Returns what opens a page; after the test, no page has told errors or asked the network."""
    waiting = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait(driver, 10)

    def look(name, size=DESKTOP, scheme="light", around=None):
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1}
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", screen | {"mobile": size == PHONE}
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        path = tmp_path / "page.html"
        if around:
            path.write_text(around(reports[name]._repr_html_()), "utf-8")
        else:
            reports[name].save(path)
        driver.get(path.as_uri())
        return driver

    look.until = lambda holds: waiting.until(lambda _: holds())
    driver.get_log("performance"), driver.get_log("browser")
    yield look
    assert driver.get_log("browser") == []
    assert [each for each in requests(driver) if not re.match("file:|data:|about:", each)] == []


def requests(driver):
    """Returns the addresses that pages have asked for."""
    messages = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    return [
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    ]


def all_of(driver, selector):
    return driver.find_elements("css selector", selector)


def one_of(driver, selector):
    return driver.find_element("css selector", selector)


def texts(driver, selector):
    """Returns the texts that are seen, of many elements in one call."""
    program = """return [...document.querySelectorAll(arguments[0])]
        .filter((each) => each.checkVisibility()).map((each) => each.innerText.trim())"""
    return driver.execute_script(program, selector)


def style(driver, selector, name, part=None):
    """Returns a property of an element, or of a part of it as `"::placeholder"`."""
    program = (
        "return getComputedStyle(document.querySelector(arguments[0]), arguments[1])[arguments[2]]"
    )
    return driver.execute_script(program, selector, part, name)


def press(driver, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(driver, 0).send_keys(*keys).perform()


def point_at(driver, element, x=0, y=0):
    """Moves the pointer over an element, so far from its center."""
    from selenium.webdriver import ActionChains

    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(driver, 0).move_to_element_with_offset(element, x, y).perform()


def test_a_filter_leaves_the_layers_with_all_its_words(look):
    page = look("deep")
    assert texts(page, ".filter [role=status]") == ["300 of 300 layers"]
    one_of(page, ".filter input").send_keys("block_12 DENSE")
    look.until(lambda: texts(page, ".filter [role=status]") == ["11 of 300 layers"])
    rows = texts(page, "tbody th")
    assert len(rows) == 11
    assert all("block_12" in each for each in rows)
    one_of(page, ".filter input").clear()
    one_of(page, ".filter input").send_keys("error")
    look.until(lambda: len(texts(page, "tbody tr")) == 1)
    assert texts(page, "tbody th")[0].startswith("201 classifier/block_200/dense error")


def test_a_link_to_a_layer_that_was_filtered_away_shows_it(look):
    page = look("deep")
    one_of(page, ".filter input").send_keys("block_12")
    look.until(lambda: len(texts(page, "tbody tr")) == 11)
    one_of(page, ".finding a").click()
    look.until(lambda: len(texts(page, "tbody tr")) == 300)
    inside = """const row = document.querySelector("tr:target").getBoundingClientRect();
        return 0 < row.top && row.bottom < innerHeight"""
    look.until(lambda: page.execute_script(inside))


def column(page, number):
    """Returns the numbers of a column of the table, from above."""
    return [float(each) for each in texts(page, f"tbody td:nth-child({number})") if each != "–"]


def test_a_click_on_a_header_sorts_and_another_one_sorts_the_other_way(look):
    page = look("deep")
    before, arrow = column(page, 2), "getComputedStyle(arguments[0], '::after').content"
    (signal,) = [each for each in all_of(page, "thead button") if each.text == "signal"]
    for order, sign in (("ascending", "↑"), ("descending", "↓")):
        signal.click()
        assert [each.text for each in all_of(page, f"th[aria-sort={order}]")] == ["signal"]
        assert sign in page.execute_script(f"return {arrow}", signal)
        assert column(page, 2) == sorted(before, reverse=order == "descending") != before


def test_numbers_are_sorted_as_numbers_and_layers_by_their_place(look):
    page = look("deep")
    layer = all_of(page, "thead button")[0]
    layer.click()
    layer.click()
    places = [int(each.split()[0]) for each in texts(page, "tbody th")]
    assert places == [*range(300, 0, -1)]


def test_filter_and_order_are_reached_with_the_keyboard(look):
    from selenium.webdriver import Keys

    page = look("deep")
    one_of(page, ".filter input").send_keys("block_29", Keys.TAB)
    assert page.switch_to.active_element.get_attribute("role") == "region"  # scrolls with arrows
    press(page, Keys.TAB, Keys.TAB)
    assert page.switch_to.active_element.text == "signal"
    assert page.switch_to.active_element.value_of_css_property("outline-style") != "none"
    before = column(page, 2)
    press(page, Keys.ENTER)
    look.until(lambda: all_of(page, "th[aria-sort=ascending]"))
    assert column(page, 2) == sorted(before)
    press(page, " ")
    look.until(lambda: all_of(page, "th[aria-sort=descending]"))
    assert len(before) == 10  # what was filtered away stays away


def test_the_table_folds_and_unfolds_by_click_and_by_keyboard(look):
    from selenium.webdriver import Keys

    page = look("deep")
    summary = one_of(page, "details:has(table) > summary")
    assert len(texts(page, "table")) == 1
    summary.click()
    look.until(lambda: not texts(page, "table, .filter"))
    summary.send_keys(Keys.ENTER)
    look.until(lambda: len(texts(page, "table")) == 1)


def test_the_header_stays_while_the_table_scrolls(look):
    page = look("deep")
    program = """const scroll = document.querySelector(".scroll");
        scroll.scrollTop = 2000;
        return scroll.querySelector("thead th").getBoundingClientRect().top
            - scroll.getBoundingClientRect().top"""
    assert page.execute_script(program) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("name", ["deep", "healthy"])
def test_the_layer_under_the_pointer_is_told_below_its_chart(look, name):
    page = look(name)
    axis = texts(page, ".axis")[0]
    chart = one_of(page, ".chart svg")
    last = len(all_of(page, "tbody tr"))
    width = chart.size["width"]
    point_at(page, chart, width // 2 - 1)
    told = texts(page, ".axis")[0]
    row = texts(page, f"tbody tr:nth-child({last}) > *")
    assert told.startswith(f"{last} {row[0].split()[1]}: signal {row[1]}")
    assert len(all_of(page, "rect.here")) == 1
    point_at(page, one_of(page, "h1"))
    look.until(lambda: texts(page, ".axis")[0] == axis)
    assert not all_of(page, "rect.here")


def test_arrow_keys_lead_from_layer_to_layer_of_a_chart(look):
    from selenium.webdriver import Keys

    page = look("deep")
    page.execute_script("document.querySelector('.chart svg').focus()")
    for key, place in ((Keys.ARROW_RIGHT, 2), (Keys.END, 300), (Keys.ARROW_LEFT, 299)):
        press(page, key)
        look.until(lambda place=place: texts(page, ".axis")[0].startswith(f"{place} classifier/"))
    press(page, Keys.HOME, Keys.ARROW_LEFT)
    look.until(lambda: texts(page, ".axis")[0].startswith("1 classifier/block_0/dense"))


@pytest.mark.parametrize("name", ["deep", "healthy", "fixed"])
def test_on_a_phone_only_what_scrolls_by_itself_is_wider_than_the_screen(look, name):
    page = look(name, PHONE)
    program = """return [...document.querySelectorAll("body *")].filter((each) =>
        !each.closest(".scroll table") && each.checkVisibility()
        && each.getBoundingClientRect().right > innerWidth).map((each) => each.outerHTML)"""
    assert page.execute_script("return document.documentElement.scrollWidth") == PHONE[0]
    assert page.execute_script(program) == []


def test_on_a_phone_the_table_shows_that_it_scrolls_while_there_is_more(look):
    page = look("deep", PHONE)
    edge = edge_of_table(page)
    page.execute_script("document.querySelector('.scroll').scrollLeft = 10000")
    end = edge_of_table(page)
    # A shadow, darker to the edge, and none at the end.
    assert edge == sorted(edge, reverse=True)
    assert edge[-1] < edge[0] - 20
    assert max(end) - min(end) < 5
    first = one_of(page, "tbody th").rect["x"]
    assert first == pytest.approx(one_of(page, ".scroll").rect["x"], abs=1)  # the names stay


def edge_of_table(page):
    """Returns how bright a row of the table is over its last pixels, where it has no text."""
    import io

    from PIL import Image

    page.execute_script("document.querySelector('.scroll').scrollIntoView()")
    x, y = page.execute_script("""const rows = document.querySelectorAll("tbody tr");
        return [document.querySelector(".scroll").getBoundingClientRect().right,
            rows[4].getBoundingClientRect().top + 3]""")
    picture = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("L")
    return [picture.getpixel((int(x) - 1 - distance, int(y))) for distance in range(12)][::-1]


@pytest.mark.parametrize(("scheme", "paper"), [("light", LIGHT), ("dark", DARK)])
def test_a_page_is_light_or_dark_as_the_system_is(look, scheme, paper):
    page = look("healthy", scheme=scheme)
    for selector in ("html", ".keras-winit", "thead th"):
        assert style(page, selector, "background-color") == paper
    assert style(page, ".filter input", "color", "::placeholder") == style(page, "small", "color")


def cell(output, theme):
    """Returns a notebook of JupyterLab: outputs are in the page itself."""
    is_light = str(theme == "light").lower()
    return f'<body data-jp-theme-light="{is_light}">{output}</body>'


def frame(output, theme):
    """Returns a notebook of Colab: each output is in a page of its own."""
    inner = html.escape(f'<html theme="{theme}"><body>{output}</body></html>')
    return f'<iframe width="900" height="600" srcdoc="{inner}"></iframe>'


@pytest.mark.parametrize(("theme", "paper"), [("light", LIGHT), ("dark", DARK)])
@pytest.mark.parametrize("notebook", [cell, frame])
def test_a_notebook_shows_charts_and_cards_with_the_table_folded(look, notebook, theme, paper):
    other = "dark" if theme == "light" else "light"  # what the system prefers does not count
    page = look("deep", scheme=other, around=lambda output: notebook(output, theme))
    if notebook is frame:
        page.switch_to.frame(0)
    assert len(texts(page, ".card")) == 1
    assert len(texts(page, "figure")) == 2
    assert texts(page, "table") == []
    assert style(page, ".keras-winit", "background-color") == paper
    one_of(page, "details:has(table) > summary").click()
    look.until(lambda: len(texts(page, "tbody tr")) == 300)
    one_of(page, ".filter input").send_keys("error")
    look.until(lambda: len(texts(page, "tbody tr")) == 1)


def test_outputs_of_one_notebook_work_side_by_side(look):
    page = look("healthy", around=lambda output: f"{output}<hr>{output}")
    assert len(all_of(page, ".filter")) == 2
    for each in all_of(page, "details:has(table) > summary"):
        each.click()
    all_of(page, ".filter input")[1].send_keys("logits")
    look.until(lambda: texts(page, ".filter [role=status]") == ["3 of 3 layers", "1 of 3 layers"])


def test_before_and_after_are_on_equal_axes(look):
    page = look("fixed")
    assert [each.split(":")[0] for each in texts(page, "h2")] == ["Before", "After"]
    program = """return [...document.querySelectorAll("section")].map((each) => {
        const chart = each.querySelector(".chart"), top = chart.getBoundingClientRect().top;
        return [...chart.querySelectorAll(".scale span")].map((label) =>
            [label.textContent, Math.round(label.getBoundingClientRect().top - top)])})"""
    before, after = page.execute_script(program)
    assert before == after
    assert len(before) >= 3


def test_contents_lead_to_their_section(look):
    page = look("fixed")
    all_of(page, ".contents a")[1].click()
    top = "return document.querySelector('#s1').getBoundingClientRect().top"
    look.until(lambda: abs(page.execute_script(top)) < 40)


def test_panels_with_nothing_in_them_are_left_out(look):
    page = look("healthy")
    captions = [each.splitlines()[0] for each in texts(page, "figcaption")]
    dead = [each for each in texts(page, "tbody td:nth-child(5)") if each not in ("–", "0%")]
    assert captions == ["Size of signal and gradient", "Dead and saturated units"][: 1 + bool(dead)]
    assert "What is wrong" not in texts(page, "h3")
    assert not all_of(page, ".card, .contents")
    page = look("deep")
    assert "What is wrong" in texts(page, "h3")
    assert len(texts(page, "figcaption")) == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", ["deep", "healthy", "fixed"])
def test_the_last_layer_is_numbered_and_labels_do_not_overlap(look, name, size):
    page = look(name, size)
    assert texts(page, ".depth span:last-child")[0] == str(
        len(texts(page, "section:first-of-type tbody tr"))
    )
    program = """return [...document.querySelectorAll(arguments[0])].map((axis) =>
        [...axis.children].map((each) => each.getBoundingClientRect())
        .map((box) => [box.left, box.right, box.top, box.bottom]))"""
    for axis in page.execute_script(program, ".depth"):
        assert all(one[1] < other[0] for one, other in zip(axis, axis[1:], strict=False))
    for axis in page.execute_script(program, ".scale"):
        assert all(one[2] > other[3] for one, other in zip(axis, axis[1:], strict=False)) or all(
            one[3] < other[2] for one, other in zip(axis, axis[1:], strict=False)
        )


def test_what_is_healthy_is_drawn_for_signal_and_gradient(look):
    page = look("deep")
    assert {"healthy signal", "healthy gradient"} <= set(texts(page, ".legend li"))
    for band in ("signal", "gradient"):
        assert one_of(page, f".chart .band.{band}").rect["width"] > 500
