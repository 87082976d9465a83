"""Models in the style of libraries: the same plans everywhere, and every verb in every context.

`golden/plans.json` holds the SHA-256 of what `suggest` says of each weight of a model. It must hold
on every backend. `PYTHONPATH=tests python tests/test_libraries.py` writes the file anew.
"""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from library_models import ATTENTION, decoder

import keras_winit
from keras_winit import _network

layers = keras.layers

GOLDEN = Path(__file__).parent / "golden" / "plans.json"


def digest(model):
    """Returns the SHA-256 of a plan, and why the model was not read in full."""
    keys = dict(zip(*_paths(model), strict=True))
    plan = keras_winit.suggest(model)
    rows = [[keys[row.weight], row.initializer, row.reason, row.fan_in] for row in plan.rows]
    return {"problem": plan.problem, "sha256": hashlib.sha256(repr(rows).encode()).hexdigest()}


def _paths(model):
    weights = _network.weights_of(model)
    return [weight.path for weight in weights], _network.stable_paths(model, weights)


@pytest.mark.parametrize("attention", ATTENTION)
def test_the_plan_is_the_same_on_every_backend(attention):
    assert digest(decoder(attention)) == json.loads(GOLDEN.read_text())[attention]


def mixed_float16():
    return in_policy("mixed_float16")


def mixed_bfloat16():
    return in_policy("mixed_bfloat16")


def in_policy(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return decoder("of its own")
    finally:
        keras.config.set_dtype_policy(before)


def quantized():
    model = decoder("of its own")
    model.quantize("int8")
    return model


def adapted():
    model = decoder("of its own")
    for layer in _network.walk(model):
        if isinstance(layer, (layers.Dense, layers.EinsumDense, layers.Embedding)):
            layer.enable_lora(2)
    return model


def frozen():
    model = decoder("of its own")
    model.get_layer("block_0").trainable = False
    return model


# A function to a model, with how many of its weights `initialize` leaves alone.
CONTEXTS = {mixed_float16: 0, mixed_bfloat16: 0, quantized: 33, adapted: 14, frozen: 12}


@pytest.mark.filterwarnings(
    "ignore:Layer .* does not have a `quantize` method", "ignore:Not reset.*quantized to int8"
)
@pytest.mark.parametrize("make", CONTEXTS, ids=lambda make: make.__name__)
def test_every_verb_takes_a_decoder(make, tmp_path):
    model = make()
    left = len(keras_winit.initialize(model, keras_winit.suggest(model), seed=1).skipped)
    assert left == CONTEXTS[make]
    assert keras_winit.diagnose(model).signal.problem is None
    result = keras_winit.calibrate(model)
    assert any(row.factor for row in result.layers) == (make not in (quantized, adapted))
    assert all(np.isfinite(np.float32(each)).all() for each in model.get_weights())
    words = np.arange(33).reshape(3, 11) % 11
    outputs = to_numpy(model(words))
    model.save_weights(tmp_path / "model.weights.h5")
    keras_winit.initialize(model, "own", seed=2, frozen=True)
    model.load_weights(tmp_path / "model.weights.h5")  # of adapters, what they add up to
    np.testing.assert_allclose(to_numpy(model(words)), outputs, rtol=1e-5, atol=1e-5)


def to_numpy(tensor):
    return np.float32(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


if __name__ == "__main__":
    found = {name: digest(decoder(name)) for name in ATTENTION}
    GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
