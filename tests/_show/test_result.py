"""What all results share: text, HTML, dict and data frame of one table."""

import json
import sys

import keras
import numpy as np
import pytest

import keras_winit

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")


def network(depth=2):
    hidden = [keras.layers.Dense(5, "relu", name=f"hidden_{place}") for place in range(depth)]
    rest = [keras.layers.LayerNormalization(), keras.layers.Dense(3, name="last")]
    return keras.Sequential([keras.Input((6,)), *hidden, *rest], name="<net>")


RESULTS = {
    "plan": lambda: keras_winit.suggest(network()),
    "initialization": lambda: keras_winit.initialize(network(), seed=1),
    "calibration": lambda: keras_winit.calibrate(network(), X),
    "diagnosis": lambda: keras_winit.diagnose(network(70), X),
    "catalogue": keras_winit.catalogue,
}


@pytest.fixture(params=RESULTS, scope="module")
def result(request):
    return RESULTS[request.param]()


def test_text_and_page_hold_the_table_and_the_notes(result):
    text, page = repr(result), result._repr_html_()
    for name in result.table.columns:
        assert name in text
        if not isinstance(result, keras_winit.Diagnosis):  # which has a page of its own
            assert f">{name}</th>" in page
    assert text.endswith("\n".join(result.notes))
    assert "<net>" not in page


def test_table_goes_through_json_unless_a_result_has_more_to_say(result):
    plain = result.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    if not isinstance(result, keras_winit.Diagnosis):
        rows = [[*row.values()] for row in plain["rows"]]
        assert rows == json.loads(json.dumps(result.table.rows))
        assert plain["notes"] == [*result.notes]


def test_data_frame_has_all_rows(result):
    frame = result.to_frame()
    assert [*frame.columns] == result.table.columns
    assert len(frame) == len(result.table.rows)
    if isinstance(result, keras_winit.Diagnosis):
        assert [*frame["layer"]] == [layer.layer for layer in result.layers]
        assert "more layers" in repr(result)


def test_data_frame_without_pandas_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="`to_frame` needs pandas. Install it with `pip install"):
        keras_winit.catalogue().to_frame()
