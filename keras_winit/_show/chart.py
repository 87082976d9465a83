"""Draws over depth what was measured, as SVG with text in HTML beside it.

The SVG is stretched to the width of the screen, its lines and the text are not. The style of the
page has to hold `STYLE` and the colors that it names, and `SCRIPT` for more than tooltips.
"""

import html
import itertools
import math

import numpy as np

from keras_winit._show import plot

# Layers of which each shows its numbers under the pointer, and of which each has a dot: closer dots
# would hide the line, and what lies below it.
_MANY, _MANY_DOTS = 400, 120
# Units of the drawing; at the top there is room for the marks of errors.
_WIDTH, _HEIGHT, _TOP = 1000, 200, 14


def limits(drawn, bands):
    """Returns the ends of an axis of logarithms for several charts of `sizes`.

    Args:
        drawn: A pair (signal, gradient) for each of them.
        bands: The `bands` of each of them.
    """
    curves = [each for pair in drawn for each in _curves(*pair).values()]
    signals = [each["signal"] for each in bands if "signal" in each]
    return plot.log_limits(*curves, *filter(_is_range, signals))


def _curves(signal, gradient):
    return {"signal": plot.as_array(signal), "gradient": plot.relative(gradient)}


def _is_range(band):
    return 0 < band[0] < band[1] < math.inf


def sizes(names, signal, gradient, bands=None, marked=(), ends=None):
    """Returns the chart of signal and gradient, on one axis of logarithms.

    Args:
        names: Names of the layers, in the order of calls.
        signal: Root mean square of what each of them passes on.
        gradient: Norm of the gradient by the preactivation of each, or `None`; drawn relative to
            the last.
        bands: Dict with limits (low, high) of a healthy `"signal"` and of a healthy `"gradient"`,
            over the last, where there are such.
        marked: Names of layers with an error.
        ends: Ends of the axis, as `limits` gives them. Defaults to `None`, for those of this chart.
    """
    curves, bands = _curves(signal, gradient), bands or {}
    low, high = map(math.log10, ends or limits([(signal, gradient)], [bands]))

    def height(value):
        share = (high - math.log10(value)) / (high - low)
        return _HEIGHT * min(max(share, 0.0), 1.0)

    ticks = [(height(value), text) for value, text in _ticks(low, high)]
    keys = [("line signal", "signal, root mean square"), ("line gradient", "gradient / last")]
    behind, lines = "", []
    for name, band in bands.items():
        if not _is_range(band):
            continue
        top, bottom = height(band[1]), height(band[0])
        path = f"M0 {top:.1f}h{_WIDTH}V{bottom:.1f}H0z"
        if name == "gradient":
            within = [each for each in band if low < math.log10(each) < high]
            path = "".join(f"M0 {height(each):.1f}h{_WIDTH}" for each in within)
        if path:
            behind += f'<path class="band {name}" d="{path}"/>'
            keys.append((f"band {name}", f"healthy {name}"))
    for row, (name, values) in enumerate(curves.items()):
        zero, broken = plot.edges(values)
        values = np.ma.masked_where(zero | broken, values).tolist()
        lines.append(_line(name, [None if v is None else height(v) for v in values]))
        distance = 5 + 9 * row
        for at, y, what in (
            (zero, _HEIGHT - distance, "zero, at the lower edge"),
            (broken, distance, "not finite, at the upper edge"),
        ):
            if at.any():
                lines.append(_marks(f"edge {name}", at.nonzero()[0], len(names), f"{y}h0"))
                keys.append((f"edge {name}", f"{name} {what}"))
    wrong = [place for place, name in enumerate(names) if name in marked]
    if wrong:
        lines.append(_marks("wrong", wrong, len(names), f"{-_TOP}v{_TOP - 4}"))
        keys.append(("wrong", "layer with an error"))
    lines.append(_pointed(names, curves, _number))
    return _chart("Size of signal and gradient", len(names), keys, ticks, behind, lines)


def fractions(names, dead, saturated):
    """Returns the chart of the fractions of dead and of saturated units.

    Where no layer has a fraction above zero there is nothing to see, and no chart.
    """
    curves = {"dead": ("signal", dead), "saturated": ("gradient", saturated)}
    curves = {name: each for name, each in curves.items() if any(v is not None for v in each[1])}
    if not any(value for _, values in curves.values() for value in values):
        return ""
    keys = [(f"line {look}", name) for name, (look, _) in curves.items()]
    lines = [
        _line(look, [None if v is None else _HEIGHT * (1 - v) for v in values])
        for look, values in curves.values()
    ]
    values = {name: plot.as_array(values) for name, (_, values) in curves.items()}
    lines.append(_pointed(names, values, "{:.0%}".format))
    ticks = [(_HEIGHT * (1 - each), f"{each:.0%}") for each in (0.0, 0.5, 1.0)]
    return _chart("Dead and saturated units", len(names), keys, ticks, "", lines)


def _chart(title, number, keys, ticks, behind, lines):
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 30 12" aria-hidden="true">{_key(look)}</svg>{name}</li>'
        for look, name in keys
    )
    grid = "".join(f"M0 {y:.1f}h{_WIDTH}" for y, _ in ticks)
    scale = "".join(
        f'<span style="top:{(y + _TOP) / (_HEIGHT + _TOP):.2%}">{text}</span>' for y, text in ticks
    )
    depth = "".join(
        f'<span style="left:{(each - 0.5) / number:.2%}">{each}</span>' for each in _places(number)
    )
    return f"""<figure>
<figcaption>{title}<ul class="legend">{legend}</ul></figcaption>
<div class="chart"><div class="scale">{scale}</div>
<svg viewBox="0 {-_TOP} {_WIDTH} {_HEIGHT + _TOP}" preserveAspectRatio="none" role="img"
aria-label="{title}, layer by layer; the numbers are in the table of layers">
{behind}<path class="grid" d="{grid}"/>
{"".join(lines)}</svg>
<div class="depth">{depth}</div></div>
<p class="axis muted">layer, in the order of calls</p>
</figure>"""


def _key(look):
    """Returns what stands in the legend for what looks so."""
    kind, _, name = look.partition(" ")
    if kind == "line":
        return f'<path class="{look}" d="M1 6h28"/><path class="dots {name}" d="M15 6h0"/>'
    paths = {"edge": "M15 6h0", "wrong": "M15 0v12", "band": "M0 0h30v12h-30z"}
    path = "M0 1h30M0 11h30" if look == "band gradient" else paths[kind]
    return f'<path class="{look}" d="{path}"/>'


def _x(place, number):
    return f"{_WIDTH * (place + 0.5) / number:.1f}"


def _line(look, heights):
    """Returns a line with gaps where the height is `None`, and dots at its points."""
    number = len(heights)
    line, dots, pen = [], [], "M"
    for place, y in enumerate(heights):
        if y is None:
            pen = "M"
            continue
        at = f"{_x(place, number)} {y:.1f}"
        line.append(f"{pen}{at}")
        is_alone = pen == "M" and heights[place + 1 : place + 2] in ([], [None])
        if number <= _MANY_DOTS or is_alone:
            dots.append(f"M{at}h0")
        pen = "L"
    return (
        f'<path class="line {look}" d="{"".join(line)}"/>'
        f'<path class="dots {look}" d="{"".join(dots)}"/>'
    )


def _marks(look, places, number, path):
    """Returns the same small path at several layers."""
    path = "".join(f"M{_x(place, number)} {path}" for place in places)
    return f'<path class="{look}" d="{path}"/>'


def _pointed(names, curves, write):
    """Returns what shows the numbers of the layer under the pointer, unless there are many."""
    number = len(names)
    columns = {key: values.tolist() for key, values in curves.items()}
    parts = []
    for place, name in enumerate(names if number <= _MANY else ()):
        values = [(key, values[place]) for key, values in columns.items()]
        text = ", ".join(f"{key} {write(value)}" for key, value in values if value is not None)
        parts.append(
            f'<rect x="{_WIDTH * place / number:.1f}" y="{-_TOP}" width="{_WIDTH / number:.1f}" '
            f'height="{_HEIGHT + _TOP}" pointer-events="all">'
            f"<title>{place + 1} {html.escape(name)}: {text}</title></rect>"
        )
    return "".join(parts)


def _places(number):
    """Returns the numbers of up to six layers: first, last, between them at round distances."""
    steps = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    step = next(step for step in steps if number / step <= 5)
    between = [each for each in range(step, number, step) if 1 < each <= number - step / 2]
    return sorted({1, *between, number})


def _ticks(low, high):
    """Returns values on an axis of logarithms with their labels, up to five where it is long.

    One is among them where it can be; an axis with one power of ten has values between.
    """
    exponents = range(math.ceil(low), math.floor(high) + 1)
    if len(exponents) < 2:
        steps = (
            (factor, exponent)
            for exponent in range(math.floor(low), math.ceil(high) + 1)
            for factor in (1, 2, 5)
        )
        values = [factor * 10.0**exponent for factor, exponent in steps]
        return [(each, f"{each:.1g}") for each in values if low <= math.log10(each) <= high]
    step = -(-len(exponents) // 5)
    return [(10.0**each, _power(each)) for each in exponents if each % step == 0]


def _power(exponent):
    return f"{10.0**exponent:g}" if -2 <= exponent <= 3 else f"10<sup>{exponent}</sup>"


def _number(value):
    return f"{value:.3g}"


STYLE = """
& figure { margin: 16px 0 0; }
& figcaption { font-weight: 600; }
& .legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0 16px; margin: 4px 0 8px;
  padding: 0; font-size: 14px; font-weight: 400; }
& .key { width: 30px; height: 12px; margin-right: 6px; }
& .chart { display: grid; grid-template-columns: 48px 1fr; margin-right: 16px; }
& .chart svg { display: block; width: 100%; height: 240px; border-bottom: 1px solid var(--muted); }
& .scale, & .depth { position: relative; font-size: 14px; line-height: 1; color: var(--muted); }
& .scale span { position: absolute; right: 6px; transform: translateY(-50%); }
& .scale sup { font-size: 14px; line-height: 0; vertical-align: 5px; }
& .depth { grid-column: 2; height: 24px; }
& .depth span { position: absolute; top: 6px; transform: translateX(-50%);
  white-space: nowrap; }
& .axis { margin: 0; min-height: 48px; text-align: center; }
& path, & rect { vector-effect: non-scaling-stroke; fill: none; }
& rect.here { fill: var(--muted); fill-opacity: 0.15; stroke: var(--muted); stroke-width: 1px; }
& .grid { stroke: var(--rule); stroke-width: 1px; }
& .band.signal { fill: var(--band); stroke: none; }
& .band.gradient { stroke-width: 1px; stroke-dasharray: 2 4; }
& path.wrong { stroke: var(--error); stroke-width: 3px; }
& .line { stroke-width: 2px; stroke-linejoin: round; }
& .dots { stroke-width: 6px; stroke-linecap: round; }
& .edge { stroke-width: 7px; stroke-linecap: square; }
& .signal { stroke: var(--signal); }
& .gradient { stroke: var(--gradient); }
& .line.gradient { stroke-dasharray: 6 4; }
"""

# The layer under the pointer, or the one that arrow keys lead to, is told below the chart.
SCRIPT = """
for (const drawing of document.querySelectorAll(".keras-winit .chart svg:not(.ready)")) {
  drawing.classList.add("ready");
  const places = [...drawing.querySelectorAll("rect")];
  if (!places.length) continue;
  const texts = places.map((place) => place.textContent);
  places.forEach((place) => place.replaceChildren());  // a tooltip would tell it twice
  const told = drawing.closest("figure").querySelector(".axis"), axis = told.textContent;
  told.setAttribute("aria-live", "polite");
  let at = -1;
  const show = (place) => {
    places[at]?.classList.remove("here");
    at = place;
    places[at]?.classList.add("here");
    told.textContent = texts[at] ?? axis;
  };
  drawing.addEventListener("pointerover", (event) => show(places.indexOf(event.target)));
  // What a finger has pointed at stays until it points elsewhere.
  drawing.addEventListener("pointerleave", (event) => event.pointerType === "touch" || show(-1));
  drawing.tabIndex = 0;
  drawing.addEventListener("focus", () => show(Math.max(at, 0)));
  drawing.addEventListener("blur", () => show(-1));
  drawing.addEventListener("keydown", (event) => {
    const last = places.length - 1;
    const keys = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last };
    if (!(event.key in keys)) return;
    event.preventDefault();
    show(Math.min(Math.max(keys[event.key], 0), last));
  });
}
"""
