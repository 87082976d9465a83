import re
from xml.etree import ElementTree

import pytest

from keras_winit._show.chart import fractions, limits, sizes

NAN, INF = float("nan"), float("inf")
NAMES = ["a", "b", "c", "d"]
SIGNAL = [1.0, 0.1, 0.01, 0.001]
GRADIENT = [2.0, 4.0, 8.0, 16.0]


def parsed(chart):
    """Returns the elements of a chart, which is well-formed XML."""
    return ElementTree.fromstring(chart)


def paths(chart, look):
    """Returns the points of the paths of a look, in the drawing and not in the legend."""
    (drawing,) = (each for each in parsed(chart).iter("svg") if "role" in each.attrib)
    found = [each.get("d") for each in drawing.iter("path") if each.get("class") == look]
    number = r"(-?[\d.]+)"
    return [
        [(float(x), float(y)) for x, y in re.findall(f"[ML]{number} {number}", path)]
        for path in found
    ]


def legend(chart):
    return ["".join(each.itertext()) for each in parsed(chart).iter("li")]


def scale(chart, name):
    """Returns the position in percent of each label of an axis."""
    (axis,) = (each for each in parsed(chart).iter("div") if each.get("class") == name)
    return {
        "".join(each.itertext()): float(re.search(r"([\d.]+)%", each.get("style")).group(1))
        for each in axis
    }


def test_sizes_are_at_even_distances_on_a_scale_of_logarithms():
    chart = sizes(NAMES, SIGNAL, GRADIENT)
    (signal,) = paths(chart, "line signal")
    (gradient,) = paths(chart, "line gradient")
    assert [x for x, _ in signal] == [x for x, _ in gradient] == [125, 375, 625, 875]
    decade = signal[1][1] - signal[0][1]
    assert decade > 0
    assert [y for _, y in signal] == pytest.approx(
        [signal[0][1] + k * decade for k in range(4)], abs=0.2
    )
    # Relative to the last one, which is where a signal of one is.
    assert gradient[3][1] == signal[0][1]
    assert gradient[0][1] == pytest.approx(signal[0][1] + 0.90309 * decade, abs=0.2)
    assert paths(chart, "dots signal") == [signal]


def test_labels_of_the_scale_are_where_the_values_are():
    chart = sizes(NAMES, SIGNAL, GRADIENT)
    labels = scale(chart, "scale")
    (signal,) = paths(chart, "line signal")
    for value, text in ((1.0, "1"), (0.1, "0.1"), (0.01, "0.01"), (0.001, "10-3")):
        y = signal[SIGNAL.index(value)][1]
        assert labels[text] == pytest.approx(100 * (y + 14) / 214, abs=0.1)
    assert scale(chart, "depth") == {"1": 12.5, "2": 37.5, "3": 62.5, "4": 87.5}


@pytest.mark.parametrize("number", [1, 2, 7, 40, 53, 800, 12345])
def test_numbers_of_layers_are_few_and_apart(number):
    ones = [1.0] * number
    places = scale(fractions(list(map(str, range(number))), ones, ones), "depth")
    assert 1 <= len(places) <= 6
    assert {"1", str(number)} <= places.keys()
    assert all(0 <= left <= 100 for left in places.values())
    in_order = sorted(places.values())
    assert all(b - a > 8 for a, b in zip(in_order, in_order[1:], strict=False))


def test_the_band_is_behind_between_its_limits():
    chart = sizes(NAMES, SIGNAL, GRADIENT, bands={"signal": (0.01, 0.1)})
    (signal,) = paths(chart, "line signal")
    top, bottom = re.search(r'class="band signal" d="M0 ([\d.]+)h1000V([\d.]+)H0z"', chart).groups()
    assert (float(top), float(bottom)) == (signal[1][1], signal[2][1])
    assert chart.index('class="band signal" d="M0 ') < chart.index('class="grid"')
    assert "healthy signal" in legend(chart)


@pytest.mark.parametrize("band", [(0.0, 0.0), (NAN, NAN), (1.0, INF)])
@pytest.mark.parametrize("name", ["signal", "gradient"])
def test_a_band_without_limits_is_left_out(name, band):
    chart = sizes(NAMES, SIGNAL, GRADIENT, bands={name: band})
    assert chart == sizes(NAMES, SIGNAL, GRADIENT)


def test_the_limits_of_a_healthy_gradient_are_lines_where_they_are_in_sight():
    chart = sizes(NAMES, SIGNAL, GRADIENT, bands={"gradient": (0.01, 1e3)})
    (signal,) = paths(chart, "line signal")
    assert paths(chart, "band gradient") == [[(0, signal[2][1])]]
    assert "healthy gradient" in legend(chart)
    hidden = sizes(NAMES, SIGNAL, GRADIENT, bands={"gradient": (1e-9, 1e3)})
    assert hidden == sizes(NAMES, SIGNAL, GRADIENT)


def test_several_charts_can_have_one_axis():
    other = [each * 1e-6 for each in SIGNAL]
    ends = limits([(SIGNAL, GRADIENT), (other, GRADIENT)], [{}, {"signal": (0.1, 1e2)}])
    assert ends[0] < min(other)
    assert ends[1] > 1e2
    scales = [scale(sizes(NAMES, each, GRADIENT, ends=ends), "scale") for each in (SIGNAL, other)]
    assert scales[0] == scales[1]


def test_errors_are_marked_above_the_drawing():
    chart = sizes(NAMES, SIGNAL, GRADIENT, marked={"b", "d", "elsewhere", None})
    assert paths(chart, "wrong") == [[(375, -14), (875, -14)]]
    assert "layer with an error" in legend(chart)


def test_what_has_no_logarithm_is_at_the_edges():
    chart = sizes(list("abcde"), [1.0, 0.0, INF, NAN, 2.0], [None, NAN, 0.0, 3.0, 0.0])
    assert [x for x, _ in paths(chart, "line signal")[0]] == [100, 900]
    assert [x for x, _ in paths(chart, "line gradient")[0]] == [700]
    assert paths(chart, "edge signal") == [[(300, 195)], [(500, 5), (700, 5)]]
    assert paths(chart, "edge gradient") == [[(500, 186), (900, 186)], [(300, 14)]]
    assert legend(chart)[2:] == [
        "signal zero, at the lower edge",
        "signal not finite, at the upper edge",
        "gradient zero, at the lower edge",
        "gradient not finite, at the upper edge",
    ]


@pytest.mark.parametrize("values", [[0.0] * 4, [NAN] * 4, [None] * 4, [1e-320, 1e300, 1.0, INF]])
def test_any_numbers_give_a_chart_within_its_borders(values):
    signal = [0.0 if value is None else value for value in values]
    chart = sizes(NAMES, signal, values, bands={"signal": (1e-3, 1e3)})
    for look in ("line signal", "line gradient", "edge signal", "edge gradient"):
        assert all(0 <= y <= 200 for path in paths(chart, look) for _, y in path)
    assert "nan" not in "".join(re.findall(r' d="([^"]*)"', chart))


def test_fractions_run_from_bottom_to_top_with_gaps():
    chart = fractions(list("abcd"), [0.0, 0.5, None, 1.0], [None, None, 0.25, None])
    assert paths(chart, "line signal") == [[(125, 200), (375, 100), (875, 0)]]
    assert re.search(r'class="line signal" d="(M[^M]*)(M[^M]*)"', chart), "a gap"
    assert paths(chart, "dots gradient") == [[(625, 150)]]
    assert legend(chart) == ["dead", "saturated"]


def test_fractions_leave_out_what_no_layer_has():
    assert legend(fractions(NAMES, [0.0, 0.5, 0.0, 0.0], [None] * 4)) == ["dead"]


@pytest.mark.parametrize("dead", [[0.0] * 4, [None] * 4])
def test_where_no_fraction_is_above_zero_there_is_no_chart(dead):
    assert fractions(NAMES, dead, [None, 0.0, None, None]) == ""


def test_the_numbers_of_a_layer_are_under_the_pointer_and_escaped():
    chart = sizes(['<b>&"', "b"], [1.0, 0.5], [None, 4.0])
    titles = [each.find("title").text for each in parsed(chart).iter("rect")]
    assert titles == ['1 <b>&": signal 1', "2 b: signal 0.5, gradient 1"]
    assert "<b>" not in chart


def test_many_layers_have_no_dots_but_where_a_value_stands_alone():
    number = 800
    dead = [0.5] * number
    dead[3] = dead[5] = None
    chart = fractions(list(map(str, range(number))), dead, [None] * number)
    assert len(paths(chart, "line signal")[0]) == number - 2
    assert paths(chart, "dots signal") == [[(5.6, 100)]]
    assert len(chart) < 30_000


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1e-41, 1.0], ["10-36", "10-27", "10-18", "10-9", "1"]),
        ([0.8, 1.5], ["1"]),
    ],
)
def test_one_is_on_the_scale(values, labels):
    chart = sizes(["a", "b"], values, [None, None], ends=(min(values) / 1.5, max(values) * 2.5))
    shown = [*scale(chart, "scale")]
    assert set(labels) <= set(shown)
    assert 2 <= len(shown) <= 5
