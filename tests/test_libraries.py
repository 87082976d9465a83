"""Models in the style of libraries: the same plans everywhere.

`golden/plans.json` holds the SHA-256 of what `suggest` says of each weight of a model. It must hold
on every backend. `PYTHONPATH=tests python tests/test_libraries.py` writes the file anew.
"""

import hashlib
import json
from pathlib import Path

import pytest
from library_models import ATTENTION, decoder

import keras_winit
from keras_winit import _network

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


if __name__ == "__main__":
    found = {name: digest(decoder(name)) for name in ATTENTION}
    GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
