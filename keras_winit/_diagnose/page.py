"""Writes HTML about a diagnosis, a page or what a notebook shows: strings in, one string out.

It needs nothing but itself: no script, no font, no picture from elsewhere. It suits a phone and a
wide screen, light and dark. Tables are whole without their script, which sorts and filters them.
"""

import html
import math
import re
from dataclasses import dataclass, field

from keras_winit._diagnose.rules.finding import by_cause
from keras_winit._show import chart, plot

# Findings of a card that are seen at once.
_MOST_SHOWN = 3
_SEVERITIES = ("error", "warning")
# Columns of the table of layers.
_NUMBERS = ("signal", "gradient", "gradient / last", "dead", "saturated", "cosine")
_WORDS = ("activation", "initializer")


@dataclass(frozen=True)
class Section:
    """One diagnosis on a page.

    Attributes:
        signal: A `Signal`.
        findings: The `Finding`s about it.
        bands: Limits (low, high) of what is healthy, as `chart.sizes` takes them.
        title: What tells it from the others of the page, as `"Before"`.
        notes: What else is to be said of it.
    """

    signal: object
    findings: tuple
    bands: dict = field(default_factory=dict)
    title: str = ""
    notes: tuple = ()


def page(sections):
    """Returns a page of HTML that shows `Section`s one after the other."""
    name = html.escape(sections[0].signal.model)
    links = "".join(
        f'<li><a href="#s{number}">{_heading(section)}</a></li>'
        for number, section in enumerate(sections)
    )
    contents = f"<ul class='contents'>{links}</ul>" if len(sections) > 1 else ""
    limits = _limits(sections)
    body = "\n".join(
        f'<section id="s{number}">{_section(section, limits, f"s{number}")}</section>'
        for number, section in enumerate(sections)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Signal in model {name}</title>
<style>
html {{ background: {LIGHT["paper"]}; }}
{_STYLE}
@media (prefers-color-scheme: dark) {{
html {{ background: {DARK["paper"]}; }}
{_dark(".keras-winit")}
}}
</style>
</head>
<body>
<main class="keras-winit">
<h1>Signal in model <q>{name}</q></h1>
{contents}
{body}
</main>
{_SCRIPT}
</body>
</html>
"""


def fragment(sections):
    """Returns HTML for a notebook: the last of `Section`s, the others and its table folded."""
    limits = _limits(sections)
    *others, last = sections
    folded = "\n".join(
        f"<details><summary>{_heading(section)}</summary>{_section(section, limits)}</details>"
        for section in others
    )
    return f"""<div class="keras-winit">
<style>
{_STYLE}
{_dark(*_DARK_NOTEBOOKS)}
</style>
{folded}
{_section(last, limits)}
{_SCRIPT}
</div>"""


def _limits(sections):
    """Returns the ends of one axis for the sizes of all sections."""
    drawn = [curves(section.signal.layers) for section in sections]
    bands = [section.bands for section in sections]
    return chart.limits([(each["signal"], each["gradient"]) for each in drawn], bands)


def verdict(findings, coverage):
    """Returns how many errors and warnings there are, of one cause only one, in words."""
    counts = [
        (sum(each.severity == severity and not each.told_with for each in findings), severity)
        for severity in _SEVERITIES
    ]
    words = [f"{count} {severity}{'s' * (count > 1)}" for count, severity in counts if count]
    if not words:
        return "nothing wrong" if coverage.is_complete else "nothing wrong in what was seen"
    return ", ".join(words)


def curves(layers):
    """Returns what is drawn of `LayerSignal`s over depth, as arguments of `plot.overview`.

    An output layer's signal is what it has before its activation, as softmax makes it small. Of
    a signal that is not finite no fraction is known.
    """
    passed_on = [layer.preactivation if layer.is_output else layer.output for layer in layers]
    known = [layer if math.isfinite(layer.output.second_moment) else None for layer in layers]
    return {
        "signal": [summary.rms for summary in passed_on],
        "gradient": [layer.gradient for layer in layers],
        "dead": [layer and layer.output.dead for layer in known],
        "saturated": [layer and layer.saturated for layer in known],
    }


def _heading(section):
    title = f"{html.escape(section.title)}: " if section.title else ""
    return title + verdict(section.findings, section.signal.coverage)


def _section(section, limits, anchor=""):
    """Returns what is said of a diagnosis; with an anchor, findings lead to rows of the table."""
    layers, findings = section.signal.layers, section.findings
    drawn = curves(layers)
    names = [layer.layer for layer in layers]
    # Errors come last, so that a layer with both is one with an error.
    worst = {each.layer: each.severity for each in sorted(findings, key=_is_error)}
    marked = {name for name, severity in worst.items() if severity == "error"}
    well = "ok" if section.signal.coverage.is_complete else "warning"
    look = next((each for each in _SEVERITIES if each in worst.values()), well)
    cards = "".join(_cards(findings, names, anchor))
    fold = "<details open>" if anchor else "<details>"
    return f"""<h2 class="{look}">{_heading(section)}</h2>
{_facts(section)}
{f"<h3>What is wrong</h3>{cards}" if cards else ""}
<h3>Over depth</h3>
{chart.sizes(names, drawn["signal"], drawn["gradient"], section.bands, marked, limits)}
{chart.fractions(names, drawn["dead"], drawn["saturated"])}
{fold}<summary><h3>Layers</h3></summary>
{_table(layers, drawn, worst, anchor)}
</details>"""


def _is_error(finding):
    return finding.severity == "error"


def _facts(section):
    signal = section.signal
    batch = _count(signal.batch_size, "sample")
    facts = [("batch", f"{batch} of noise, not of data" if signal.is_drawn else batch)]
    facts.append(("layers", signal.coverage.looked_at))
    facts.extend(("not known", each) for each in map(str, signal.coverage.unknown))
    for each in signal.inputs:
        numbers = "tokens"
        if not each.is_tokens:
            std = math.sqrt(max(each.second_moment - each.mean**2, 0.0))
            numbers = f"mean {_number(each.mean)}, standard deviation {_number(std)}"
        facts.append((f"input {each.name}", f"shape {each.shape}, {numbers}"))
    if signal.loss is not None:
        value = f"{signal.loss.name} {_number(signal.loss.value)}"
        if signal.loss.uniform is not None:
            value += f"; an output that knows nothing has {_number(signal.loss.uniform)}"
        facts.append(("loss", value))
    if signal.not_reached:
        facts.append(("not reached", ", ".join(signal.not_reached)))
    if signal.problem:
        facts.append(("graph not read in full", signal.problem))
    facts.extend(("to know", note) for note in section.notes)
    items = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{_prose(value)}</dd>" for name, value in facts
    )
    return f"<dl>{items}</dl>"


def _cards(findings, names, anchor):
    """Yields a card for each cause."""
    places = {name: place for place, name in enumerate(names)}
    for found, company in by_cause(findings):
        first = found[0]
        items = [_item(finding, places, anchor) for finding in found]
        with_it = "".join(
            f"<p><b>{each.relation}:</b> {_title(each)}. {_prose(each.message)}</p>"
            for each in company
        )
        shown, rest = "".join(items[:_MOST_SHOWN]), "".join(items[_MOST_SHOWN:])
        if rest:
            more = f"{len(items) - _MOST_SHOWN} more"
            rest = f"<details><summary>{more}</summary>{rest}</details>"
        severity = html.escape(first.severity)
        yield f"""<article class="card {severity}">
<h4><span class="badge">{severity}</span> {_title(first)}</h4>
{shown}{rest}{with_it}
<p><b>Why:</b> {_prose(first.reason)}</p>
<p><b>Fix:</b> {_prose(first.fix)}</p>
<p class="muted">{_prose(first.reference)}</p>
</article>
"""


def _title(finding):
    return html.escape(finding.rule.replace("_", " "))


def _item(finding, places, anchor):
    where = "the whole model"
    if finding.layer is not None:
        where = f"layer {html.escape(finding.layer)}"
    if anchor and finding.layer in places:
        where = f'<a href="#{anchor}-{places[finding.layer]}">{where}</a>'
    value, limit = _number(finding.value), _number(finding.limit)
    if value == limit:  # cosines close to 1
        value, limit = _number(finding.value, 7), _number(finding.limit, 7)
    return (
        f"<div class='finding'><p>{_prose(finding.message)}</p>"
        f"<p class='muted'><b>{value}</b> measured, <b>{limit}</b> is the limit, {where}</p></div>"
    )


def _table(layers, drawn, worst, anchor):
    """Returns the table of layers, which scrolls by itself."""
    header = "".join(f'<th scope="col">{each}</th>' for each in ("layer", *_NUMBERS))
    header += "".join(f'<th scope="col" class="text">{each}</th>' for each in _WORDS)
    relative = plot.relative(drawn["gradient"]).tolist()
    identity = f' id="{anchor}-{{}}"' if anchor else ""
    rows = []
    for place, layer in enumerate(layers):
        severity = html.escape(worst.get(layer.layer, ""))
        badge = f' <span class="badge">{severity}</span>' if severity else ""
        name = re.sub("(/|_(?=[A-Za-z]))", r"\1<wbr>", html.escape(layer.layer))
        kernels = "; ".join(dict.fromkeys(kernel.initializer for kernel in layer.kernels))
        numbers = (
            _number(drawn["signal"][place]),
            _number(layer.gradient),
            _number(relative[place]),
            _percent(drawn["dead"][place]),
            _percent(drawn["saturated"][place]),
            _number(layer.output.cosine),
        )
        rows.append(
            f'<tr{identity.format(place)} class="{severity}">'
            f'<th scope="row">{place + 1} {name}{badge}'
            f"<small>{html.escape(layer.kind)}</small></th>"
            f"{''.join(f'<td>{each}</td>' for each in numbers)}"
            f'<td class="text">{html.escape(layer.activation or "–")}</td>'
            f'<td class="text">{html.escape(kernels)}</td></tr>\n'
        )
    return f"""<div class="scroll" role="region" aria-label="Table of layers" tabindex="0"><table>
<thead><tr>{header}</tr></thead>
<tbody>
{"".join(rows)}</tbody></table></div>"""


def _prose(text):
    """Returns text as HTML, with its https addresses as links and its `code` as code."""
    pattern = r"\[([^\]]+)\]\((https://[^\s)]+)\)|(https://[^\s<>\"']*[^\s<>\"'.,;:)\]])|`([^`]+)`"
    parts, end = [], 0
    for match in re.finditer(pattern, text):
        parts.append(html.escape(text[end : match.start()]))
        name, address, bare, code = match.groups()
        if code:
            parts.append(f"<code>{html.escape(code)}</code>")
        else:
            target, shown = html.escape(address or bare), html.escape(name or bare)
            parts.append(f'<a href="{target}" rel="noopener noreferrer">{shown}</a>')
        end = match.end()
    return "".join([*parts, html.escape(text[end:])])


def _number(value, digits=3):
    return "–" if value is None else f"{value:.{digits}g}"


def _percent(value):
    return "–" if value is None else f"{value:.0%}"


def _count(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


# Contrast with what lies behind: at least 4.5 for text and 3 for lines.
LIGHT = {
    "paper": "#ffffff",
    "card": "#f4f6f8",
    "text": "#1b1f24",
    "muted": "#57606a",
    "rule": "#d0d7de",
    "link": "#0a58a8",
    "error": "#b0002f",
    "warning": "#7d5200",
    "ok": "#10662b",
    "signal": "#005f99",
    "gradient": "#b84700",
    "band": "#d9f2ea",
}
DARK = {
    "paper": "#0f1318",
    "card": "#1a2027",
    "text": "#e6edf3",
    "muted": "#a3adb8",
    "rule": "#3a444f",
    "link": "#7fb8ff",
    "error": "#ff8fa0",
    "warning": "#e8b84a",
    "ok": "#5fd58d",
    "signal": "#5ab4f0",
    "gradient": "#ff9d57",
    "band": "#12362d",
}


def _variables(colors):
    return "".join(f"--{name}:{value};" for name, value in colors.items())


def _dark(*selectors):
    return f"{', '.join(selectors)} {{ color-scheme: dark; {_variables(DARK)} }}"


# Where notebooks are dark: JupyterLab, Colab, Visual Studio Code. The rest of the page is theirs,
# so what the system prefers does not count.
_DARK_NOTEBOOKS = (
    '[data-jp-theme-light="false"] .keras-winit',
    'html[theme="dark"] .keras-winit',
    ".vscode-dark .keras-winit",
)

# A shadow at the right edge of what can be scrolled further.
_SHADOWS = (
    "background: linear-gradient(to left, var(--paper) 40%, transparent) right / 48px 100% "
    "no-repeat local, linear-gradient(to left, var(--rule), transparent) right / 12px 100% "
    "no-repeat scroll;"
)
_STYLE = f"""
.keras-winit {{
color-scheme: light; {_variables(LIGHT)}
max-width: 1100px; margin: 0 auto; padding: 16px; background: var(--paper); color: var(--text);
font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; text-align: left;
& * {{ box-sizing: border-box; }}
& h1 {{ font-size: 24px; line-height: 1.25; margin: 8px 0 16px; }}
& h1 q {{ quotes: none; font-family: ui-monospace, monospace; }}
& h2 {{ font-size: 20px; margin: 24px 0 8px; padding: 8px 12px; border-left: 6px solid; }}
& h3 {{ font-size: 18px; margin: 32px 0 8px; }}
& summary h3 {{ display: inline-block; margin-top: 0; }}
& h4 {{ font-size: 16px; margin: 0 0 8px; }}
& p {{ margin: 8px 0; }}
& a {{ color: var(--link); }}
& code {{ font: 15px ui-monospace, monospace; background: none; color: inherit; }}
& h2.ok {{ color: var(--ok); }}
& h2.error, & .card.error .badge, & tr.error .badge {{ color: var(--error); }}
& h2.warning, & .card.warning .badge, & tr.warning .badge {{ color: var(--warning); }}
& .muted {{ color: var(--muted); font-size: 15px; }}
& .badge {{ border: 1px solid; border-radius: 4px; padding: 0 6px; font-size: 14px;
  font-weight: 600; }}
& .contents {{ padding-left: 20px; }}
& dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 8px 0; }}
& dt {{ color: var(--muted); max-width: 35vw; font-weight: 400; }}
& dd {{ margin: 0; }}
& .card {{ background: var(--card); border-left: 6px solid var(--rule); border-radius: 4px;
  margin: 12px 0; padding: 12px 16px; }}
& .card.error {{ border-color: var(--error); }}
& .card.warning {{ border-color: var(--warning); }}
& .finding p {{ margin: 4px 0; }}
& .finding + .finding {{ border-top: 1px solid var(--rule); }}
& summary {{ cursor: pointer; padding: 4px 0; }}
& .scroll {{ overflow: auto; max-height: 85vh; {_SHADOWS} }}
& table {{ border-collapse: separate; border-spacing: 0; font-size: 14px; width: 100%;
  margin: 0; color: inherit; border: 0; }}
& th, & td {{ padding: 6px 10px; border: 0; border-bottom: 1px solid var(--rule);
  text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
& tbody tr {{ scroll-margin-top: 72px; background: none; }}
& th {{ position: sticky; background: var(--paper); }}
& thead th {{ top: 0; z-index: 1; white-space: normal; overflow-wrap: normal;
  vertical-align: bottom; }}
& th:first-child {{ left: 0; text-align: left; white-space: normal;
  min-width: min(40vw, 240px); max-width: 40vw; }}
& thead th:first-child {{ z-index: 2; }}
& tbody th {{ font-weight: 400; }}
& .text {{ text-align: left; }}
& tr:target > * {{ background: var(--card); }}
& small {{ display: block; font-size: 14px; color: var(--muted); }}
& th button {{ font: inherit; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; text-align: inherit; }}
& th button::after {{ content: "\\a0 ↕"; color: var(--muted); }}
& th[aria-sort="ascending"] button::after {{ content: "\\a0 ↑"; color: inherit; }}
& th[aria-sort="descending"] button::after {{ content: "\\a0 ↓"; color: inherit; }}
& .filter {{ display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center;
  margin: 8px 0; font-size: 14px; }}
& .filter input {{ font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--muted); border-radius: 4px; padding: 4px 8px; min-width: 220px; }}
& .filter input::placeholder {{ color: var(--muted); opacity: 1; }}
{chart.STYLE}
}}
"""

# A table sorts by the header that is clicked on, and filters by what is typed above it, until a
# link leads to a row that is hidden.
_SCRIPT = f"""<script>{chart.SCRIPT}"""
_SCRIPT += """
for (const table of document.querySelectorAll(".keras-winit table:not(.ready)")) {
  table.classList.add("ready");
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const input = document.createElement("input"), told = document.createElement("span");
  const tell = () => {
    const words = input.value.toLowerCase().split(/\\s+/);
    const shown = rows.filter((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      return !row.hidden;
    });
    told.textContent = `${shown.length} of ${rows.length} layers`;
  };
  input.type = "search";
  input.placeholder = "name, kind, error, ...";
  input.setAttribute("aria-label", "Show the layers with these words");
  input.addEventListener("input", tell);
  told.setAttribute("role", "status");
  const filter = document.createElement("div");
  filter.className = "filter";
  filter.append(input, told);
  table.parentElement.before(filter);
  tell();
  for (const link of document.querySelectorAll('.keras-winit a[href^="#"]')) {
    link.addEventListener("click", () => {
      if (rows.some((row) => row.hidden && `#${row.id}` === link.hash)) {
        input.value = "";
        tell();
      }
    });
  }
  const value = (row, column) => {
    const text = row.cells[column].textContent;
    const number = text === "inf" ? Infinity : parseFloat(text);
    return heads[column].classList.contains("text") ? text : number;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      const known = (row) => !Number.isNaN(value(row, column));
      const compare = (one, other) => {
        const [a, b] = [value(one, column), value(other, column)];
        return sign * (a < b ? -1 : a > b ? 1 : 0);
      };
      const last = rows.filter((row) => !known(row));  // those without a number
      body.append(...rows.filter(known).sort(compare), ...last);
    });
  });
}
</script>"""
