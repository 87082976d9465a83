"""Chromium without a window, and the pages that it looks at."""

import dataclasses
import os
import shutil

import keras
import numpy as np
import pytest

import keras_winit

# Where it is set, as by `.ci/run`, the tests fail rather than being skipped without a browser.
REQUIRED = "KERAS_WINIT_BROWSER_REQUIRED"

# No window, and no request of its own that could be taken for one of the page.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NUM_LAYERS = 300


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """Returns a browser that keeps what pages tell on the console and ask of the network."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
    needed = {"Chromium": browser, "chromedriver": service, "selenium": webdriver}
    missing = [name for name, found in needed.items() if not found]
    if missing:
        give_up = pytest.fail if os.environ.get(REQUIRED) else pytest.skip
        give_up(f"a browser is needed, and not here: {', '.join(missing)}")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for each in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With its path given, nothing is downloaded.
    driver = webdriver.Chrome(options, webdriver.ChromeService(service))
    yield driver
    driver.quit()


def _model(depth):
    layers = [keras.layers.Dense(16, "relu", name=f"hidden_{place}") for place in range(depth)]
    last = keras.layers.Dense(3, name="logits")
    return keras.Sequential([keras.Input((16,)), *layers, last], name="classifier")


@pytest.fixture(scope="session")
def reports(driver):
    """Returns a `Diagnosis` of what is sick and deep, of what is healthy, and of what was fixed."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    sick = keras_winit.diagnose(_model(30), x)
    healthy = _model(2)
    keras_winit.initialize(healthy, seed=0)
    return {
        "deep": _deepened(sick),
        "healthy": keras_winit.diagnose(healthy, x),
        "fixed": sick.fix(seed=1),
    }


def _deepened(report):
    """Returns a report of as many layers as are hard to survey, with the numbers of fewer."""
    *hidden, last = report.layers
    layers = tuple(
        dataclasses.replace(
            hidden[place * len(hidden) // NUM_LAYERS], layer=f"classifier/block_{place}/dense"
        )
        for place in range(NUM_LAYERS - 1)
    )
    wrong = dataclasses.replace(report.findings[0], layer=layers[200].layer)
    signal = dataclasses.replace(report.signal, layers=(*layers, last))
    return dataclasses.replace(report, signal=signal, findings=(wrong,))
