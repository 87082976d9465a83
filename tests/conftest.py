"""Every test starts from the same random state, so that what it finds does not change by chance."""

import random
import sys

import pytest

_SEED = 910_364_157  # none that a test is likely to use

# Keras takes the seeds of what has none from here: also of what is made while tests are collected.
random.seed(_SEED)


@pytest.fixture(autouse=True)
def same_random_state():
    random.seed(_SEED)


@pytest.fixture(autouse=True)
def figures_are_closed():
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
