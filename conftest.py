import keras
import numpy as np
import pytest

import keras_winit


@pytest.fixture(autouse=True)
def names_in_doctests(doctest_namespace):
    doctest_namespace.update(keras=keras, keras_winit=keras_winit, np=np)
