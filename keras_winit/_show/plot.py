"""Draws over depth what was measured, from arrays alone.

A value may be `None`, for a layer that has none; one that is zero, infinite or no number has no
place on an axis of logarithms, and gets a mark at its edge.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:  # it is optional, and takes long to import
    Axes = Any

_PLACE = "layer, in the order of calls"
_NUM_BINS = 61
_DECADES = 8  # below the largest values, where the scale of the histograms becomes linear
_MANY = 60  # layers: the marks of single ones become dots
_FEW = 8  # layers: each has a line of the legend

# Colors of Okabe and Ito, which color-blind people can distinguish; shape and dashes differ too.
_FIRST = {"color": "#0072b2", "linestyle": "-", "marker": "o"}
_SECOND = {"color": "#d55e00", "linestyle": "--", "marker": "s"}
_BAND = "#009e73"
_ERROR = "#a4003c"
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", "-.", ":")


def panels(number: int, title: str | None = None) -> Iterable[Axes]:
    """Returns the axes of a new figure of pyplot, one above the other with one horizontal axis.

    It is the current figure then, as any that pyplot makes: `savefig` saves it, `show` shows it,
    a notebook displays it after the cell, and `close` forgets it.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which is not installed: pip install keras-winit[plot]"
        ) from error
    figure, axes = pyplot.subplots(
        number,
        figsize=(8, 0.5 + 2.5 * number),
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    if title is not None:
        figure.suptitle(title, parse_math=False)
    return axes[:, 0]


def overview(
    ax, layers, signal, gradient, dead, saturated, samples, band=None, marked=(), title=None
):
    """Draws signal and gradient, fractions of units, and histograms, one above the other.

    Args:
        ax: Three axes, or one for the first picture alone, or `None` for a new figure.
        layers: Names of the layers.
        signal: For `sizes`, as the next.
        gradient: Norms.
        dead: For `fractions`, as the next.
        saturated: Fractions.
        samples: For `histograms`.
        band: Limits of a healthy signal.
        marked: Names of layers with an error.
        title: Of a new figure.

    Returns:
        `ax`, or the three axes of the new figure.
    """
    axes = panels(3, title) if ax is None else ax
    first, *rest = np.ravel(axes)
    sizes(first, layers, signal, gradient, band, marked)
    if rest:
        second, third = rest
        fractions(second, dead, saturated)
        histograms(third, samples)
        for each in (first, second):
            each.set_xlabel("")
    return axes


def sizes(ax, layers, signal, gradient, band=None, marked=()):
    """Draws the size of signal and gradient, on one axis of logarithms.

    Args:
        ax: Axes of matplotlib.
        layers: Names of the layers, in the order of calls.
        signal: Root mean square of what each of them passes on.
        gradient: Norm of the gradient by the preactivation of each; drawn relative to the last.
        band: (low, high), limits of a healthy signal, or `None`.
        marked: Names of layers with an error.
    """
    gradient = relative(gradient)
    place = np.arange(1, len(layers) + 1)
    _prepare(ax, len(layers), "size")
    _set_log_limits(ax, signal, gradient, band or ())
    if band is not None:
        ax.axhspan(*band, color=_BAND, alpha=0.2, linewidth=0, label="healthy signal")
    _draw_sizes(ax, place, signal, "signal", _FIRST)
    _draw_sizes(ax, place, gradient, "gradient / last", _SECOND, row=1)
    wrong = [at for at, name in zip(place, layers, strict=True) if name in marked]
    if wrong:
        _draw_at_edge(ax, wrong, 1.03, "layer with an error", color=_ERROR, marker="v")
    _add_legend(ax)


def fractions(ax, dead, saturated):
    """Draws the fractions of dead and of saturated units of each layer, `None` for no such."""
    from matplotlib.ticker import PercentFormatter

    place = np.arange(1, len(dead) + 1)
    _prepare(ax, len(dead), "units")
    ax.set_ylim(-0.04, 1.04)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    for values, label, look in ((dead, "dead", _FIRST), (saturated, "saturated", _SECOND)):
        values = as_array(values)
        if values.count():
            _draw_fractions(ax, place, values, label, look)
    _add_legend(ax)


def histograms(ax, samples):
    """Draws the distribution of the outputs of each layer as a column, darker where it is denser.

    The scale is one of logarithms on both sides of zero, and linear around it.

    Args:
        ax: Axes of matplotlib.
        samples: Arrays of one dimension, one for each layer.
    """
    from matplotlib.colors import PowerNorm

    samples = [np.asarray(each, "float64") for each in samples]
    finite = [each[np.isfinite(each)] for each in samples]
    _prepare(ax, len(samples), "outputs (darker: more)")
    low, linear, high = _scale(finite)
    ax.set_yscale("symlog", linthresh=linear)
    ax.set_ylim(low, high)
    transform = ax.yaxis.get_transform()
    ends = transform.transform([low, high])
    edges = transform.inverted().transform(np.linspace(*ends, _NUM_BINS + 1))
    columns = [
        np.histogram(np.clip(each, edges[0], edges[-1]), edges)[0] / max(each.size, 1)
        for each in finite
    ]
    ax.pcolormesh(
        np.arange(len(samples) + 1) + 0.5,
        edges,
        np.ma.masked_equal(np.transpose(columns), 0),  # where nothing is, the page shows
        cmap="Blues",
        norm=PowerNorm(0.5, 0, 0.4, clip=True),
        rasterized=True,
    )
    _set_decades(ax, low, linear, high)
    broken = np.flatnonzero([np.isfinite(each).sum() < each.size for each in samples]) + 1
    if broken.size:
        _draw_at_edge(ax, broken, 0.98, "not finite", color=_ERROR, marker="x")
        _add_legend(ax)


def history(ax, steps, layers, values, label, is_fraction=False):
    """Draws one line for each layer over the steps of a training, colored by depth.

    Args:
        ax: Axes of matplotlib.
        steps: Numbers of the steps.
        layers: Names of the layers.
        values: Numbers of shape (steps, layers).
        label: What they are.
        is_fraction: Whether the axis goes up to 1, instead of being one of logarithms.
    """
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    # Without its light end, which white paper would hide.
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, 256))
    colors = ScalarMappable(
        Normalize(1, max(len(layers), 2)), LinearSegmentedColormap.from_list("depth", colors)
    )
    values = [as_array(column) for column in zip(*values, strict=True)]
    ax.set_xlabel("step")
    ax.set_ylabel(label if is_fraction else f"{label} (log)")
    if is_fraction:
        known = np.concatenate([[0.0], *(each.compressed() for each in values)])
        ax.set_ylim(known[np.isfinite(known)].min() - 0.04, 1.04)
    else:
        _set_log_limits(ax, *values)
    draw = _draw_fractions if is_fraction else _draw_sizes
    look = {"linestyle": "-", "marker": "o" if len(steps) < _FEW else ""}
    for number, (name, column) in enumerate(zip(layers, values, strict=True), 1):
        look["color"] = colors.to_rgba(number)
        # With its number in front, since a legend leaves out what starts with an underscore.
        named = f"{number}: {name}" if len(layers) <= _FEW else ""
        draw(ax, np.asarray(steps), column, named, look)
    if len(layers) <= _FEW:
        _add_legend(ax)
    else:
        ax.figure.colorbar(colors, ax=ax, label="layer")


def learning_curves(ax, label, curves):
    """Draws the median of repeated trainings over the epochs, and a band from lowest to highest.

    A training that diverged has no number: the band is that of the others, the median is that of
    all, none where most have diverged. A cross is where the last number is then.

    Args:
        ax: Axes of matplotlib.
        label: What the numbers are.
        curves: Dict with lists of trainings by name, each a number for every epoch.
    """
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel(label)
    for number, (name, values) in enumerate(curves.items()):
        look = {"color": _COLORS[number % len(_COLORS)], "linestyle": _DASHES[number // 7 % 4]}
        values = np.ma.masked_invalid(values)
        epochs = np.arange(1, values.shape[1] + 1)
        many = values.count(axis=0) > len(values) / 2
        median = np.ma.masked_where(~many, np.ma.median(values, axis=0))
        marker = "o" if len(epochs) <= _MANY else ""
        # With a mark in front, since a legend leaves out what starts with an underscore.
        named = f"\u200b{name}" if name.startswith("_") else name
        ax.plot(epochs, median, label=named, marker=marker, markersize=3, **look)
        low, high = values.min(axis=0), values.max(axis=0)
        ax.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0)
        for training in values:
            finite = np.flatnonzero(~np.ma.getmaskarray(training))
            if 0 < finite.size < len(epochs):
                at = finite[-1]
                ax.plot(epochs[at], training[at], marker="x", linestyle="", color=look["color"])
    _add_legend(ax)


def over_widths(ax, widths, label, curves):
    """Draws a number for each width, with logarithms on both axes.

    Args:
        ax: Axes of matplotlib.
        widths: The widths.
        label: What the numbers are.
        curves: Dict with a list of numbers by name, one for each width.
    """
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(widths, [str(each) for each in widths])
    ax.set_xlabel("width")
    ax.set_ylabel(label)
    for number, (name, values) in enumerate(curves.items()):
        look = {"color": _COLORS[number % len(_COLORS)], "linestyle": _DASHES[number // 7 % 4]}
        values = np.ma.masked_less_equal(np.ma.masked_invalid(values), 0)
        named = f"\u200b{name}" if name.startswith("_") else name
        ax.plot(widths, values, label=named, marker="o", markersize=3, **look)
    _add_legend(ax)


def as_array(values):
    """Returns numbers as an array in which each `None` is masked."""
    if np.ma.isMaskedArray(values):
        return values
    missing = [value is None for value in values]
    filled = [np.nan if value is None else value for value in values]
    return np.ma.array(filled, mask=missing, dtype="float64")


def edges(values):
    """Returns where an axis of logarithms has no place for the values: zero, and not finite."""
    values = as_array(values)
    return np.ma.filled(values == 0, False), np.ma.filled(~np.isfinite(values), False)


def relative(gradient):
    """Returns norms of gradients over the last one of them that is finite and not zero."""
    gradient = as_array(gradient)
    usable = _usable(gradient)
    # A masked array would mask what is not finite after its own division.
    last = usable[-1] if usable.size else 1.0
    return np.ma.array(gradient.data / last, mask=gradient.mask)


def log_limits(*values):
    """Returns the ends of an axis of logarithms that has room for all values it can show."""
    values = np.concatenate([_usable(as_array(each)) for each in values])
    exponents = np.clip(np.log10(values), -250, 250) if values.size else np.zeros(1)
    low, high = exponents.min(), exponents.max()
    room = max(0.3, 0.06 * (high - low), (1.4 - (high - low)) / 2)  # one power of ten, or more
    return 10 ** (low - room), 10 ** (high + room)


def _usable(values):
    """Returns the values that an axis of logarithms can show."""
    values = values.compressed()
    return values[np.isfinite(values) & (values > 0)]


def _prepare(ax, num_layers, label):
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(0.5, num_layers + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(_PLACE)
    ax.set_ylabel(label)


def _marker_size(number):
    return 4 if number <= _MANY else 1.5


def _set_log_limits(ax, *values):
    ax.set_yscale("log")
    ax.set_ylim(*log_limits(*values))


def _draw_fractions(ax, places, values, label, look):
    ax.plot(places, values, label=label, **{"markersize": _marker_size(len(places)), **look})


def _draw_sizes(ax, places, values, label, look, row=0):
    """Draws a line on an axis of logarithms, and marks at its edges for what it cannot hold.

    The marks of two lines of one picture are in two rows.
    """
    values = as_array(values)
    drawn = np.ma.masked_where(~(np.isfinite(values) & (values > 0)), values)
    ax.plot(places, drawn, label=label, **{"markersize": _marker_size(len(places)), **look})
    zero, broken = edges(values)
    distance = 0.03 + 0.06 * row
    for at, height, marker, what in (
        (zero, distance, "v", "zero"),
        (broken, 1 - distance, "x", "not finite"),
    ):
        if at.any():
            text = label and f"{label} {what}"
            _draw_at_edge(ax, places[at], height, text, color=look["color"], marker=marker)


def _draw_at_edge(ax, places, height, label, **look):
    """Draws marks at a height in units of the axes."""
    size = 5 if len(places) <= _MANY else 3
    transform = ax.get_xaxis_transform()
    ax.plot(
        places,
        np.full(len(places), height),
        linestyle="",
        markersize=size,
        transform=transform,
        clip_on=False,
        label=label,
        **look,
    )


def _scale(samples):
    """Returns where the scale of the histograms starts, stops to be linear, and ends."""
    magnitudes = [np.abs(each[each != 0]) for each in samples]
    magnitudes = [each for each in magnitudes if each.size]
    if not magnitudes:
        return -1.0, 1.0, 1.0
    largest = max(np.quantile(each, 0.99) for each in magnitudes)
    smallest = min(np.median(each) for each in magnitudes)
    smallest = max(smallest, largest * 10.0**-_DECADES, 1e-300)
    linear = 10 ** np.floor(np.log10(smallest))
    lowest = min(np.quantile(each, 0.01) for each in samples if each.size)
    highest = max(np.quantile(each, 0.99) for each in samples if each.size)
    return min(2 * lowest, -linear), linear, max(2 * highest, linear)


def _set_decades(ax, low, linear, high):
    """Puts a few powers of ten on both sides of zero, with room between them."""
    first, last = np.log10(linear), np.floor(np.log10(max(-low, high)))
    step = max(1, np.ceil((last - first) / (3 if low == -linear else 2)))
    ticks = 10 ** np.arange(last, first + step / 2, -step)
    ax.set_yticks([*-ticks[ticks <= -low], 0, *ticks[ticks <= high]])
    ax.minorticks_off()


def _add_legend(ax):
    """Adds the names of what was drawn, above the axes."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        width = ax.get_window_extent().width / ax.figure.dpi
        legend = ax.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.03),
            ncols=max(1, int(width / 1.6)),
            frameon=False,
            borderaxespad=0,
            fontsize="small",
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
