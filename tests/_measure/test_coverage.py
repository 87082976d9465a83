"""What a verdict says of the layers that were not looked at."""

import html
import json

import keras
import numpy as np
import pytest

import keras_winit

layers = keras.layers


class Gate(layers.Layer):
    """A layer with a kernel, of a class that nobody has described."""

    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], 6), initializer="he_normal", name="mix")
        self.scale = self.add_weight(shape=(6,), initializer="ones", name="scale")

    def call(self, x):
        return keras.ops.matmul(x, self.mix) * self.scale


class Tokens(keras.Model):
    """A model with an array of its own."""

    def __init__(self):
        super().__init__(name="tokens")
        self.dense = layers.Dense(3)

    def build(self, shape):
        self.dense.build(shape)
        self.position = self.add_weight(shape=shape[1:], initializer="zeros", name="position")

    def call(self, x):
        return self.dense(x + self.position)


def gates(number=12):
    hidden = [Gate(name=f"gate_{place}") for place in range(number)]
    return keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3, name="last")], name="net")


@pytest.fixture(scope="module")
def report():
    return keras_winit.diagnose(gates())


def test_ok_is_not_true_of_what_was_not_seen(report):
    assert report.findings == ()
    assert report.ok is None
    coverage = report.signal.coverage
    assert (coverage.num_layers, coverage.num_seen, coverage.num_without_kernels) == (13, 1, 0)
    assert not coverage.is_complete
    (unknown,) = coverage.unknown
    assert (unknown.kind, unknown.layers[3], len(unknown.layers)) == ("Gate", "net/gate_3", 12)
    assert [(each.name, each.shape) for each in unknown.weights] == [
        ("mix", (8, 6)),
        ("scale", (6,)),
    ]


def test_text_html_page_and_json_say_what_was_looked_at(report, tmp_path):
    call = "keras_winit.describe_layer(Gate, [keras_winit.Kernel(None, 'mix')])"
    report.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert 'class="warning"' in page
    for text in (repr(report), html.unescape(report._repr_html_()), html.unescape(page)):
        assert "nothing wrong in what was seen" in text.lower()
        assert "looked at 1 of 13 layers with weights" in text
        assert "Gate (12), mix (8, 6), scale (6,)" in text
        assert call in text
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["ok"] is None
    looked_at = plain["looked_at"]
    assert (looked_at["num_seen"], looked_at["num_layers"]) == (1, 13)
    assert looked_at["unknown"][0]["call"] == call
    assert looked_at["unknown"][0]["weights"][0]["shape"] == [8, 6]


def test_the_call_that_is_printed_makes_the_verdict_whole():
    class Seesaw(Gate):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.mix_initializer = keras.initializers.HeNormal()

    model = keras.Sequential([keras.Input((8,)), Seesaw(), layers.Dense(3)])
    before = keras_winit.diagnose(model)
    (unknown,) = before.to_dict()["looked_at"]["unknown"]
    assert "Kernel('mix_initializer', 'mix')" in unknown["call"]
    eval(unknown["call"], {"keras_winit": keras_winit, "Seesaw": Seesaw})
    after = keras_winit.diagnose(model)
    assert (before.ok, after.ok) == (None, True)
    assert [layer.kind for layer in after.layers] == ["Seesaw", "Dense"]
    assert "looked at 2 of 2 layers with weights" in repr(after)


def test_an_error_in_what_was_seen_is_an_error():
    model = gates(2)
    model.layers[-1].kernel.assign(np.full((6, 3), np.nan))
    assert keras_winit.diagnose(model).ok is False


WITHOUT_KERNELS = {
    "batch_normalization": layers.BatchNormalization,
    "layer_normalization": lambda: layers.LayerNormalization(axis=(1, 2)),
    "group_normalization": lambda: layers.GroupNormalization(2),
    "rms_normalization": layers.RMSNormalization,
    "normalization": lambda: layers.Normalization(mean=0.0, variance=1.0),
    "prelu": layers.PReLU,
}


@pytest.mark.parametrize("kind", WITHOUT_KERNELS)
def test_layers_of_keras_that_have_no_kernels_are_no_gap(kind):
    layer = WITHOUT_KERNELS[kind]()
    model = keras.Sequential([keras.Input((5, 4)), layers.Dense(6), layer, layers.Dense(3)])
    report = keras_winit.diagnose(model)
    coverage = report.signal.coverage
    own = bool(layer.weights)  # a normalization by given numbers has none
    assert own == (kind != "normalization")
    assert (coverage.num_layers, coverage.num_seen) == (2 + own, 2)
    assert coverage.num_without_kernels == own
    assert report.ok is not None
    assert ("1 without kernels" in repr(report)) == own


def test_layers_with_kernels_inside_are_counted_by_the_layers_that_own_them():
    inputs = keras.Input((5, 8))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.SpectralNormalization(layers.Dense(6)))(x)
    model = keras.Model(inputs, layers.GRU(3)(x))
    coverage = keras_winit.diagnose(model).signal.coverage
    # Four maps of attention, two cells, the wrapper and its layer, a cell.
    assert (coverage.num_layers, coverage.num_seen) == (9, 8)
    assert coverage.is_complete


def test_an_array_of_a_users_own_model_is_a_gap_until_it_is_described():
    model = Tokens()
    model.build((None, 5, 4))
    x = np.random.default_rng(0).normal(size=(16, 5, 4)).astype("float32")
    report = keras_winit.diagnose(model, x)
    assert report.ok is None
    assert "Tokens (1), position (5, 4)" in repr(report)

    class Described(Tokens):
        pass

    keras_winit.describe_layer(Described, [])
    model = Described()
    model.build((None, 5, 4))
    assert keras_winit.diagnose(model, x).ok is True


def test_a_layer_that_is_not_reached_is_a_gap():
    class Detour(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.side = layers.Dense(4, name="used"), layers.Dense(5, name="side")

        def call(self, x, everything=False):
            return self.used(self.side(x)) if everything else self.used(x)

    model = Detour()
    x = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
    model(x, everything=True)
    report = keras_winit.diagnose(model, x)
    assert report.ok is None
    assert "looked at 1 of 2 layers with weights" in repr(report)
    assert "side" in report.signal.not_reached[0]


def test_fix_that_has_nothing_to_do_says_what_was_not_seen(report):
    with pytest.raises(ValueError, match=r"nothing wrong in what was seen, .*\(not known: Gate"):
        report.fix()


@pytest.mark.parametrize("verb", [keras_winit.initialize, keras_winit.calibrate])
def test_what_a_verb_leaves_is_said_with_the_call(verb):
    result = verb(gates(2))
    (note,) = result.notes
    assert "not known: Gate (2)" in note
    assert "`keras_winit.describe_layer(Gate, " in note
    assert note in repr(result)
    assert note in html.unescape(result._repr_html_())
    plain = keras.Sequential([keras.Input((8,)), layers.Dense(3), layers.BatchNormalization()])
    assert verb(plain).notes == ()


@pytest.mark.parametrize("verb", [keras_winit.diagnose, keras_winit.calibrate])
def test_a_model_of_unknown_layers_alone_is_refused_with_the_call(verb):
    model = keras.Sequential([keras.Input((8,)), Gate()])
    with pytest.raises(ValueError, match=r"no kernel among them; not known: Gate \(1\).*describe_"):
        verb(model)
