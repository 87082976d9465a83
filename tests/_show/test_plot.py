import io
import sys

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import keras_winit
from keras_winit._compare.comparison import Comparison, Run
from keras_winit._show import plot

NAMES = ["a", "b", "c", "d"]
SIGNAL = [1.0, 0.1, 0.01, 0.001]
GRADIENT = [2.0, 4.0, 8.0, 16.0]
SAMPLES = [np.linspace(-3, 3, 50), np.linspace(0, 1e-3, 50), np.zeros(50), np.array([0.0, 2.0])]
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def ax():
    return Figure().subplots()


def drawn(ax):
    """Returns the (horizontal, vertical) values of everything drawn that has a name."""
    return {line.get_label(): np.transpose(line.get_xydata()).tolist() for line in ax.lines}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def overview(ax=None, **changed):
    arguments = {
        "layers": NAMES,
        "signal": SIGNAL,
        "gradient": GRADIENT,
        "dead": [0.0, 0.5, 0.25, 1.0],
        "saturated": [None] * 4,
        "samples": SAMPLES,
        "band": (0.5, 2.0),
        "marked": {"c", None},
    }
    return plot.overview(ax, **(arguments | changed))


def test_sizes_draws_the_signal_and_the_gradient_relative_to_the_last(ax):
    plot.sizes(ax, NAMES, SIGNAL, GRADIENT)
    assert drawn(ax) == {
        "signal": [[1, 2, 3, 4], SIGNAL],
        "gradient / last": [[1, 2, 3, 4], [0.125, 0.25, 0.5, 1.0]],
    }
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["signal", "gradient / last"]


def test_sizes_shades_the_band_and_has_room_for_it(ax):
    plot.sizes(ax, NAMES, [1.0] * 4, GRADIENT, band=(1e-3, 30.0))
    (band,) = ax.patches
    corners = band.get_corners() if hasattr(band, "get_corners") else band.get_xy()
    assert {y for _, y in np.asarray(corners).tolist()} == {1e-3, 30.0}
    low, high = ax.get_ylim()
    assert low < 1e-3
    assert high > 30.0
    assert "healthy signal" in legend(ax)


def test_sizes_marks_the_layers_with_an_error_above_the_axes(ax):
    plot.sizes(ax, NAMES, SIGNAL, GRADIENT, marked={"b", "d", "elsewhere"})
    places, heights = drawn(ax)["layer with an error"]
    assert places == [2, 4]
    assert min(heights) > 1
    assert ax.lines[-1].get_transform() == ax.get_xaxis_transform()


def test_sizes_marks_at_its_edges_what_has_no_logarithm(ax):
    plot.sizes(ax, list("abcde"), [1.0, 0.0, INF, NAN, 2.0], [None, NAN, 0.0, 3.0, 0.0])
    lines = drawn(ax)
    np.testing.assert_array_equal(lines["signal"][1], [1, NAN, NAN, NAN, 2])
    np.testing.assert_array_equal(lines["gradient / last"][1], [NAN, NAN, NAN, 1, NAN])
    assert {label: places for label, (places, _) in lines.items() if " / last" not in label} == {
        "signal": [1, 2, 3, 4, 5],
        "signal zero": [2],
        "signal not finite": [3, 4],
    }
    assert lines["gradient / last zero"][0] == [3, 5]
    assert lines["gradient / last not finite"][0] == [2]
    for name in ("signal", "gradient / last"):
        assert 0 < lines[f"{name} zero"][1][0] < 0.1
        assert 0.9 < lines[f"{name} not finite"][1][0] < 1
    # Marks of the two lines at one layer do not cover each other.
    assert lines["signal zero"][1][0] != lines["gradient / last zero"][1][0]


@pytest.mark.parametrize("signal", [[0.0] * 4, [NAN] * 4, [1e-320] * 4, [1e38, 1e-38, 1.0, INF]])
@pytest.mark.parametrize("gradient", [[None] * 4, [0.0] * 4, [INF] * 4])
def test_a_picture_of_any_numbers_can_be_saved(signal, gradient, tmp_path):
    axes = overview(signal=signal, gradient=gradient, samples=[np.asarray(signal)] * 4, band=None)
    axes[0].figure.savefig(tmp_path / "picture.png")
    low, high = axes[0].get_ylim()
    assert 0 < low < high < INF


@pytest.mark.parametrize(
    ("values", "low", "high"), [([1e-6, 1.0], 1e-6, 1.0), ([2.0, 2.0], 1.0, 10.0), ([0.0], 1, 1)]
)
def test_an_axis_of_logarithms_has_room_and_shows_a_power_of_ten(values, low, high):
    limits = plot.log_limits(values)
    assert limits[0] < low
    assert limits[1] > high
    assert limits[1] / limits[0] < 100 * max(high / low, 10)


def test_relative_leaves_out_what_is_no_measure():
    np.testing.assert_array_equal(plot.relative([8.0, 4.0, 0.0, NAN, INF])[:3], [2, 1, 0])
    assert plot.relative([None, 3.0]).tolist() == [None, 1.0]
    assert plot.relative([0.0, 0.0]).tolist() == [0.0, 0.0]


def test_fractions_draws_what_is_there(ax):
    plot.fractions(ax, [0.0, 0.5, None], [None, 0.25, 1.0])
    lines = drawn(ax)
    np.testing.assert_array_equal(lines["dead"], [[1, 2, 3], [0, 0.5, NAN]])
    np.testing.assert_array_equal(lines["saturated"], [[1, 2, 3], [NAN, 0.25, 1]])
    low, high = ax.get_ylim()
    assert low < 0
    assert high > 1


def test_fractions_leaves_out_what_no_layer_has(ax):
    plot.fractions(ax, [0.0, 0.5], [None, None])
    assert legend(ax) == ["dead"]


def columns(ax):
    """Returns the edges and the fractions of the histograms, one column for each layer."""
    (mesh,) = ax.collections
    return mesh.get_coordinates()[:, 0, 1], np.asarray(mesh.get_array())


def test_histograms_have_the_fraction_of_each_layers_outputs(ax):
    plot.histograms(ax, SAMPLES)
    edges, fractions = columns(ax)
    assert fractions.shape == (len(edges) - 1, 4)
    assert ax.collections[0].get_coordinates()[0, :, 0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    np.testing.assert_allclose(fractions.sum(axis=0), 1)
    for sample, column in zip(SAMPLES, fractions.T, strict=True):
        clipped = np.clip(sample, edges[0], edges[-1])
        inside = [np.mean((edges[i] <= clipped) & (clipped < edges[i + 1])) for i in range(60)]
        np.testing.assert_allclose(column[:60], inside)


def test_histograms_count_what_is_far_outside_at_the_edge(ax):
    plot.histograms(ax, [np.append(np.linspace(-1, 1, 298), [1e6, -1e6])])
    edges, fractions = columns(ax)
    assert edges[-1] < 10
    np.testing.assert_allclose(fractions[[0, -1], 0], 1 / 300)


def test_histograms_show_a_vanishing_layer_beside_a_normal_one(ax):
    rng = np.random.default_rng(0)
    plot.histograms(ax, [rng.normal(size=256), 1e-5 * rng.normal(size=256)])
    _, fractions = columns(ax)
    assert ((fractions > 0.01).sum(axis=0) > 5).all()


def test_histograms_of_positive_outputs_give_them_the_room(ax):
    plot.histograms(ax, [np.linspace(0, 1, 50)])
    low, high = ax.get_ylim()
    assert -low < 0.2 * high
    assert min(ax.get_yticks()) >= low


def test_histograms_say_where_outputs_are_not_finite(ax):
    plot.histograms(ax, [np.ones(4), np.array([1.0, NAN]), np.array([-INF, INF]), np.zeros(0)])
    _, fractions = columns(ax)
    np.testing.assert_allclose(fractions.sum(axis=0), [1, 1, 0, 0])
    assert drawn(ax)["not finite"][0] == [2, 3]


def test_overview_has_three_panels_and_one_axis_of_layers():
    axes = overview(title="model $x_{$ <b>")
    assert axes.shape == (3,)
    assert axes[0].figure.get_suptitle() == "model $x_{$ <b>"
    axes[0].set_xlim(0.5, 3.5)
    assert {each.get_xlim() for each in axes} == {(0.5, 3.5)}
    assert "signal" in drawn(axes[0])
    assert "dead" in drawn(axes[1])
    assert columns(axes[2])[1].shape[1] == 4
    assert [each.get_xlabel() for each in axes] == ["", "", "layer, in the order of calls"]


def test_overview_draws_on_axes_of_the_caller(ax):
    assert overview(ax) is ax
    assert drawn(ax)["signal"][1] == SIGNAL
    assert ax.get_xlabel()
    three = Figure().subplots(3)
    assert overview(three) is three
    assert [each.has_data() for each in three] == [True] * 3
    assert plt.get_fignums() == []


def test_history_has_a_line_for_each_layer_colored_by_depth(ax):
    values = [[1.0, 10.0], [2.0, 20.0], [3.0, 0.0]]
    plot.history(ax, [0, 5, 10], ["_$x_{$", "b"], values, "gradient")
    first, second, zero = ax.lines
    assert first.get_xydata().tolist() == [[0, 1], [5, 2], [10, 3]]
    np.testing.assert_array_equal(second.get_ydata(), [10, 20, NAN])
    assert zero.get_xdata().tolist() == [10]
    assert legend(ax) == ["1: _$x_{$", "2: b", "2: b zero"]
    ax.figure.draw_without_rendering()
    assert to_rgba(first.get_color()) != to_rgba(second.get_color())
    assert to_rgba(second.get_color()) == to_rgba(zero.get_color())
    assert ax.get_ylabel() == "gradient (log)"


def test_history_of_many_layers_has_a_color_bar_instead_of_a_legend(ax):
    plot.history(ax, [0, 1], list(map(str, range(200))), np.ones((2, 200)), "signal")
    assert ax.get_legend() is None
    assert len(ax.lines) == 200
    _, bar = ax.figure.axes
    assert bar.get_ylim() == (1, 200)
    lightness = [sum(to_rgba(line.get_color())[:3]) for line in ax.lines]
    assert lightness[0] < lightness[100] < lightness[199]


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delattr(matplotlib, "pyplot")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install keras-winit\[plot\]"):
        overview()


def diagnosis():
    return keras_winit.diagnose(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))


def comparison():
    runs = [
        Run(initializer=name, seed=0, curves={"loss": (1.0, size)})
        for name, size in (("own", 0.5), ("zeros", 0.2))
    ]
    return Comparison(
        metric="loss", higher_is_better=False, baseline="own", epochs=2, runs=tuple(runs)
    )


def monitor():
    monitor = keras_winit.SignalMonitor()
    monitor.set_model(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    monitor.on_train_begin()
    return monitor


@pytest.fixture(scope="module", params=[diagnosis, comparison, monitor])
def result(request):
    return request.param()


def test_a_picture_is_the_current_figure_of_pyplot_and_is_saved_as_such(result):
    axes = result.plot()
    (number,) = plt.get_fignums()
    assert plt.figure(number) is np.ravel(axes)[0].figure
    file = io.BytesIO()
    plt.savefig(file, format="png")
    file.seek(0)
    colors = plt.imread(file)[..., :3].reshape(-1, 3)
    assert len(np.unique(colors, axis=0)) > 20  # a blank picture has one


def test_a_notebook_displays_a_picture_once(result):
    # It displays the figures of pyplot after the cell, and what the last line gives.
    axes = result.plot()
    data, _ = DisplayFormatter().format(axes)
    assert set(data) == {"text/plain"}
    assert len(plt.get_fignums()) == 1


def test_no_figure_is_opened_for_axes_of_the_caller_or_a_page(result, tmp_path):
    ax = Figure().subplots()
    assert result.plot(ax=ax) is ax
    assert ax.has_data()
    if hasattr(result, "save"):
        result.save(tmp_path / "report.html")
    assert plt.get_fignums() == []
