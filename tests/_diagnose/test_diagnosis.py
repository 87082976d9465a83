"""What `diagnose` returns: what it shows and holds, and how it fixes."""

import json
import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._diagnose.rules import judge
from keras_winit.results import (
    Coverage,
    Diagnosis,
    KernelSignal,
    LayerSignal,
    LossSignal,
    Signal,
    Summary,
)

layers = keras.layers
GOLDEN = Path(__file__).parents[1] / "golden" / "diagnosis.txt"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def network(*hidden, inputs=8, outputs=3, name="net"):
    sizes = [layers.Dense(*each, name=f"hidden_{place}") for place, each in enumerate(hidden)]
    last = layers.Dense(outputs, name="last")
    return keras.Sequential([keras.Input((inputs,)), *sizes, last], name=name)


def sick():
    """A network whose signal vanishes, the same on every backend, on labels that are rarely one."""
    model = network(*[(12, "relu")] * 24, outputs=1)
    keras_winit.initialize(model, keras.initializers.RandomNormal(stddev=0.15), seed=0)
    y = (np.arange(100)[:, None] % 50 == 0).astype("float32")
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    return model, noise(100, 8), y


@pytest.fixture(scope="module")
def report():
    return keras_winit.diagnose(*sick())


@pytest.fixture(scope="module")
def fixed():
    return keras_winit.diagnose(*sick()).fix(seed=1)


def values(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def same(first, second):
    return all(map(np.array_equal, first, second))


# A signal made by hand, so that its text is the same on every backend.


def layer_by_hand(number, size, **changes):
    numbers = {"largest": 3 * size, "mean": 0.0, "second_moment": size**2, "dead": 0.125}
    summary = Summary(**numbers, common=0.1 * size**2, zero=0.5, num_samples=16)
    path = f"net/hidden_{number}"
    moments = {"mean": 0.0, "second_moment": 0.125 * size, "repeated": 0.0, "gradient": 2.0}
    kernel = KernelSignal(
        **{"path": f"{path}/kernel", "role": "kernel", "shape": (8, 16), "fan_in": 8},
        **{"fan_out": 16, "initializer": "GlorotUniform()", "asked": None},
        **{"asked_by_keras": None, "twin": None, **moments},
    )
    names = {"layer": path, "name": f"hidden_{number}", "kind": "Dense", "activation": "relu"}
    places = {"normalized": False, "is_first": number == 0, "is_output": False, "branch": None}
    numbers = {"preactivation": summary, "output": summary, "saturated": None, "gradient": 0.5}
    everything = {**names, **places, **numbers, "sample": np.array([0.0, size]), "asked": 2.0}
    return LayerSignal(**{**everything, "kernels": (kernel,), **changes})


def signal_by_hand(number=4, **changes):
    """A signal that vanishes, and a last layer."""
    hidden = [layer_by_hand(place, 10.0 ** (-2 * place)) for place in range(number)]
    last = {"activation": None, "is_output": True, "asked": 1.0, "gradient": 1.25}
    hidden.append(layer_by_hand(number, 0.25, **last))
    loss = LossSignal(
        name="sparse_categorical_crossentropy", value=1.1, uniform=math.log(3), from_logits=True
    )
    signal = Signal(
        **{"model": "net", "batch_size": 16, "is_drawn": False, "layers": tuple(hidden)},
        **{"inputs": (), "outputs": (), "loss": loss, "not_reached": (), "problem": None},
        coverage=Coverage(num_layers=number + 1, num_seen=number + 1),
    )
    return replace(signal, **changes)


def diagnosis_by_hand(**changes):
    signal = signal_by_hand(**changes)
    return Diagnosis(signal=signal, findings=tuple(judge(signal)))


def test_text_is_what_it_was():
    sick = diagnosis_by_hand()
    hidden = [layer_by_hand(place, 1.0) for place in range(4)]
    healthy = diagnosis_by_hand(layers=(*hidden, sick.layers[-1]), is_drawn=True)
    texts = [repr(sick), repr(replace(healthy, before=sick))]
    assert "\n\n".join(texts) + "\n" == GOLDEN.read_text()


def test_table_shows_every_layer_and_the_limit_beside_the_number(report):
    text = repr(report)
    for layer in report.layers:
        assert f"\n{layer.layer} " in text
    for finding in report.findings:
        head = "Cause" if finding.causes else finding.severity.upper()
        assert f"{head}: {finding.rule}." in text
        assert "the limit is" in finding.message
        assert finding.message in " ".join(text.split())
        assert finding.told_with or finding.reason in " ".join(text.split())
    assert text.endswith("\n1 error, 1 warning; looked at 25 of 25 layers with weights.")


def test_what_has_one_cause_is_told_as_one(report):
    names = [finding.rule for finding in report.findings]
    assert names == ["vanishing_signal", "mismatched_activation", "class_prior"]
    assert [finding.causes for finding in report.findings] == [None, "vanishing_signal", None]
    assert repr(report).count("  Why: ") == 2
    with pytest.raises(ValueError, match="Cause: mismatched_activation. 24 layers"):
        report.raise_if_errors()


def test_table_of_800_layers_leaves_out_the_middle():
    text = repr(diagnosis_by_hand(layers=tuple(layer_by_hand(n, 1.0) for n in range(800))))
    rows = [line for line in text.splitlines() if line.startswith(("net/", "..."))]
    assert len(rows) == 61
    assert rows[29].startswith("net/hidden_29 ")
    assert rows[30].startswith("... 740 more layers ...")
    assert rows[31].startswith("net/hidden_770 ")


def test_findings_of_one_rule_are_told_together():
    model = network(*[(6, "relu")] * 5)
    for layer in model.layers[:5]:
        layer.kernel.assign(0 * layer.kernel)
    text = repr(keras_winit.diagnose(model))
    assert text.count("identical_units.") == 1
    assert text.count("100% of the units") == 3
    assert "\n  And 2 more.\n" in text


def test_html_escapes_what_a_user_has_named():
    name = "<b>net</b>"
    signal = replace(signal_by_hand(), model=name, not_reached=("<i>",))
    # The signal vanishes at the third layer, so its name is in a finding as well.
    signal = replace(signal, layers=tuple(replace(each, layer=name) for each in signal.layers))
    first = Diagnosis(signal=signal, findings=tuple(judge(signal)))
    for each in (first, replace(first, before=first)):
        text = each._repr_html_()
        assert "<b>net" not in text
        assert "<i>" not in text
        assert "&lt;b&gt;net&lt;/b&gt;" in text
        assert "<table>" in text
        assert all(finding.rule.replace("_", " ") in text for finding in first.findings)


def test_ok_is_whether_there_is_no_error():
    error, warning = (
        next(each for each in diagnosis_by_hand().findings if each.severity == severity)
        for severity in ("error", "warning")
    )
    signal = signal_by_hand()
    found = [
        Diagnosis(signal=signal, findings=each).ok for each in ((), (warning,), (warning, error))
    ]
    assert found == [True, True, False]


def test_layers_are_those_with_a_kernel_in_the_order_of_calls():
    report = keras_winit.diagnose(network((4, "relu"), (5, "tanh")))
    assert [layer.name for layer in report.layers] == ["hidden_0", "hidden_1", "last"]
    assert report.layers == report.signal.layers


def test_dictionary_goes_through_json(report, fixed):
    for each in (report, fixed):
        plain = json.loads(json.dumps(each.to_dict(), allow_nan=False))
        assert plain == each.to_dict()
        assert plain["ok"] == each.ok
        assert [finding["rule"] for finding in plain["findings"]] == [
            finding.rule for finding in each.findings
        ]
        assert plain["signal"]["layers"][3]["output"]["dead"] == each.layers[3].output.dead
    assert fixed.to_dict()["before"] == report.to_dict()


def test_dictionary_has_nothing_for_what_is_not_finite():
    model = network((4, "relu"), (4, "relu"))
    model.layers[1].kernel.assign(np.full((4, 4), np.nan, "float32"))
    report = keras_winit.diagnose(model)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["findings"][0]["rule"] == "non_finite"
    assert plain["findings"][0]["value"] is None
    assert plain["signal"]["layers"][1]["output"]["second_moment"] is None
    assert set(plain["signal"]["layers"][1]["sample"]) == {None}
    assert "non_finite" in repr(report)
    assert "non finite" in report._repr_html_()


def test_page_is_saved_with_both_sides_of_a_fix(report, fixed, tmp_path):
    report.save(tmp_path / "report.html")
    fixed.save(str(tmp_path / "fixed.html"))
    page, both = ((tmp_path / f"{name}.html").read_text() for name in ("report", "fixed"))
    assert page.startswith("<!doctype html>")
    assert "hidden_20" in page
    assert ("After" in page, "After" in both) == (False, True)


def test_a_page_that_cannot_be_written_leaves_the_old_one(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("a page")

    def write_text(self, text, *args, **kwargs):
        self.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(OSError, match="No space left"):
        report.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert path.read_bytes() == b"a page"


def test_a_name_may_hold_half_of_a_surrogate_pair(tmp_path):
    by_hand = diagnosis_by_hand()
    first = replace(by_hand.layers[0], layer="net/\ud800x")
    report = diagnosis_by_hand(layers=(first, *by_hand.layers[1:]))
    report.save(tmp_path / "report.html")
    assert "\\ud800x" in (tmp_path / "report.html").read_text("utf-8")
    assert json.loads(json.dumps(report.to_dict()))["signal"]["layers"][0]["layer"] == "net/\ud800x"
    report.plot()[0].figure.savefig(tmp_path / "report.png")


def test_plot_draws_on_the_axes_it_is_given(report):
    from matplotlib.figure import Figure

    axes = Figure().subplots(3)
    assert report.plot(axes) is axes
    assert all(each.has_data() for each in axes)
    assert len(report.plot()) == 3


def test_bands_of_pictures_are_those_of_the_rules():
    report = diagnosis_by_hand()
    bands = report._bands()
    assert bands["signal"] == pytest.approx((10**-0.5, 10**0.5))
    assert bands["gradient"] == (1e-2, 70)
    nothing = replace(report.layers[0], output=replace(report.layers[0].output, second_moment=0.0))
    assert diagnosis_by_hand(layers=(nothing, *report.layers[1:]))._bands().keys() == {"gradient"}


def test_fix_changes_the_weights_and_shows_both_sides(report, fixed):
    assert {finding.rule for finding in report.findings} >= {"vanishing_signal", "class_prior"}
    assert fixed.findings == ()
    assert [each.rule for each in fixed.before.findings] == [each.rule for each in report.findings]
    text = repr(fixed)
    assert text.startswith("Before: 1 error, 1 warning; looked at 25 of 25 layers")
    assert text.index("The signal vanishes") < text.index("After:")
    assert "signal before" in text
    assert "gradient before" in text
    assert text.endswith("Nothing wrong; looked at 25 of 25 layers with weights.")
    assert "<summary>Before: 1 error, 1 warning</summary>" in fixed._repr_html_()


def test_model_is_changed_by_fix_alone_and_as_the_seed_says():
    model, x, y = sick()
    before = values(model)
    report = keras_winit.diagnose(model, x, y)
    assert same(values(model), before)
    report.fix(seed=1)
    first = values(model)
    assert not same(first, before)
    report.fix(seed=2)
    assert not same(values(model), first)
    report.fix(seed=1)
    assert same(values(model), first)


def test_fix_draws_no_more_than_the_kernels_that_are_the_cause():
    model = network((12, "relu"), (12, "relu"), (12, "relu"))
    model.layers[2].kernel.assign(model.layers[1].kernel)
    before = values(model)
    keras_winit.diagnose(model).fix(seed=1)
    changed = [
        weight.path
        for weight, old, new in zip(model.weights, before, values(model), strict=True)
        if not np.array_equal(old, new)
    ]
    assert changed == ["net/hidden_2/kernel"]


def test_fix_keeps_the_biases_of_outputs_and_of_forget_gates():
    start = keras.initializers.Constant(-5)
    rest = [
        layers.LSTM(6, name="lstm"),
        layers.Dense(12, "relu", bias_initializer=start, name="dead"),
        layers.Dense(2, bias_initializer=start, name="last"),
    ]
    model = keras.Sequential([keras.Input((5, 4)), *rest])
    report = keras_winit.diagnose(model)
    assert report.findings[0].rule == "dead_units"
    assert report.fix(seed=1).ok
    lstm, dead, last = (
        keras.ops.convert_to_numpy(layer.bias if layer.name != "lstm" else layer.cell.bias)
        for layer in model.layers
    )
    assert (set(dead), set(last), lstm.sum()) == ({0.0}, {-5.0}, 6.0)


def test_fix_that_fails_half_way_leaves_all_weights(monkeypatch):
    model, x, y = sick()
    before = values(model)
    report = keras_winit.diagnose(model, x, y)
    drawn = []

    def fail(*_):
        drawn.append(values(model))
        raise RuntimeError("out of memory")

    monkeypatch.setattr("keras_winit._diagnose.fix._prior", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        report.fix(seed=1)
    assert not same(drawn[0], before)
    assert same(values(model), before)


def test_fix_of_a_last_layer_without_bias_fixes_the_rest():
    model, x, y = sick()
    last = layers.Dense(1, use_bias=False, name="unbiased")
    model = keras.Sequential([keras.Input((8,)), *model.layers[:-1], last])
    report = keras_winit.diagnose(model, x, y, loss="binary_crossentropy")
    assert report.findings[0].rule == "loss_mismatch"
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    after = keras_winit.diagnose(model, x, y, loss=loss).fix(seed=1)
    assert [finding.rule for finding in after.findings] == ["class_prior"]
    with pytest.raises(
        ValueError, match="Received: 1 warning, nothing of it in the weights. class"
    ):
        after.fix()


def test_fix_says_what_to_do_where_weights_cannot_fix():
    model = network((12, "relu"))
    x = 1000 * np.abs(noise(32, 8))
    report = keras_winit.diagnose(model, x)
    before = values(model)
    with pytest.raises(ValueError, match=r"`fix` should have something.*Standardize the data"):
        report.fix()
    assert same(values(model), before)


def test_fix_of_a_healthy_network_has_nothing_to_do():
    with pytest.raises(ValueError, match="Received: nothing wrong, nothing of it in the weights"):
        keras_winit.diagnose(network((12, "relu"))).fix()


def test_verdict_says_what_was_not_seen():
    text = repr(diagnosis_by_hand(is_drawn=True, not_reached=("net/side",)))
    assert text.splitlines()[0] == "Signal in model 'net', 16 samples of noise, loss 1.1"
    assert text.endswith("; seen on noise: give `x` for your data; not reached: net/side.")


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "`model` should be a Keras model. Received: model='net'", ("net",)),
        (ValueError, "`model` should be built", (layers.Dense(3),)),
        (
            ValueError,
            "`model` should be built. Received: model='young'",
            (keras.Sequential([layers.Dense(3)], name="young"),),
        ),
        (
            ValueError,
            "`model` should have a layer with a kernel. Received: model='flat'",
            (keras.Sequential([keras.Input((4, 2)), layers.Flatten()], name="flat"),),
        ),
        (ValueError, "`x` should be of shape", (network((4, "relu")), noise(5, 7))),
        (ValueError, "at least one", (network((4, "relu")), noise(0, 8))),
        (ValueError, "`x` should be finite", (network((4, "relu")), np.full((2, 8), np.nan))),
        (
            ValueError,
            "`y` should come with a loss",
            (network((4, "relu")), noise(5, 8), np.zeros(5)),
        ),
    ],
)
def test_bad_input_is_refused(error, message, arguments):
    with pytest.raises(error, match=message):
        keras_winit.diagnose(*arguments)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("sparse_categorical_crossentropy", np.array([0, 1, 2, 3, 0]), "integers from 0 to 2"),
        ("mse", None, "`loss` should come with labels"),
        ("categorical_crossentropy", np.zeros((5, 4)), "should fit the loss"),
    ],
)
def test_labels_that_do_not_fit_are_refused_and_nothing_is_changed(loss, y, message):
    model = network((4, "relu"))
    before = values(model)
    with pytest.raises(ValueError, match=message):
        keras_winit.diagnose(model, noise(5, 8), y, loss=loss)
    assert same(values(model), before)


class Regression(layers.Layer):
    """A network that is no `Model`, and adds a loss."""

    def __init__(self):
        super().__init__(name="regression")
        self.hidden = layers.Dense(16, "relu", name="hidden")
        self.last = layers.Dense(3, name="last")

    def build(self, shape):
        self.hidden.build(shape)
        self.last.build((*shape[:-1], 16))

    def call(self, x, training=None):
        self.add_loss(keras.ops.mean(keras.ops.square(x)))
        return self.last(self.hidden(x))


def test_a_network_that_is_a_layer_is_diagnosed_calibrated_and_read():
    network = Regression()
    network.build((None, 5))
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal((64, size)).astype("float32") for size in (5, 3))
    for report in (
        keras_winit.diagnose(network),
        keras_winit.diagnose(network, x, y, loss="mse"),
    ):
        assert report.signal.problem is None
        assert [layer.activation for layer in report.signal.layers] == ["relu", None]
        assert [layer.is_output for layer in report.signal.layers] == [False, True]
    assert report.signal.loss is not None
    assert keras_winit.suggest(network).problem is None
    keras_winit.initialize(network, "zeros", only="last", seed=1)
    network.hidden.kernel.assign(network.hidden.kernel * 9)
    result = keras_winit.calibrate(network, x)
    assert 0.5 < result.layers[0].after / result.layers[0].target < 2
    assert result.layers[0].before > 10


def test_errors_are_raised_with_their_cause_and_fix(report, fixed):
    with pytest.raises(ValueError, match="should learn") as raised:
        report.raise_if_errors()
    assert any(each.severity == "error" for each in report.findings)
    for each in report.findings:
        is_told = each.severity == "error" or each.told_with == "vanishing_signal"
        assert (f"{each.rule}." in str(raised.value)) == is_told
    assert fixed.raise_if_errors() is fixed
