"""What users do with an installed keras_winit, in a folder that holds nothing of it.

`python try_wheel.py checkout wheel` looks into the wheel, then tries what is installed: the code of
the README, strings and classes, the verbs, the command, files, and a notebook of the checkout.
"""

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import keras
import nbclient
import nbformat
import numpy as np

import keras_winit

checkout, wheel = map(Path, sys.argv[1:])


def files(folder):
    paths = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {path.relative_to(folder.parent).as_posix() for path in paths if path.is_file()}


# All of the package is in the wheel, with the mark that it has type hints, and nothing else is.
packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
expected = files(checkout / "keras_winit") | files(checkout / "_keras_winit_command")
assert packed == expected, packed ^ expected
assert "keras_winit/py.typed" in packed

# On PyPI nothing lies beside the README.
links = re.findall(r"\]\(([^)\s]+)\)", metadata.metadata("keras-winit").get_payload())
assert len(links) > 20
assert not [link for link in links if not link.startswith("https://")]

# What is tried is what was installed.
assert Path(keras_winit.__file__).is_relative_to(sys.prefix), keras_winit.__file__

readme = (checkout / "README.md").read_text("utf-8")
for block in re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
    exec(compile(block, "README.md", "exec"), {})

keras.utils.set_random_seed(0)
Dense = keras_winit.suggest_initializer(keras.layers.Dense)
model = keras.Sequential(
    [
        keras.Input((8, 8, 4)),
        keras.layers.Conv2D(8, 3, groups=2, kernel_initializer="activation_scaling"),
        keras.layers.Conv2D(8, 3, kernel_initializer="delta_orthogonal"),
        keras.layers.Flatten(),
        Dense(16, activation="relu"),
        keras.layers.Dense(3, kernel_initializer="sparse"),
    ]
)
x = np.random.default_rng(0).normal(size=(32, 8, 8, 4)).astype("float32")
print(keras_winit.suggest(model))
print(keras_winit.initialize(model, seed=7))
print(keras_winit.calibrate(model, x))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
print(keras_winit.diagnose(model, x, np.arange(32) % 3, loss=loss))

model.save("model.keras")
model.save_weights("model.weights.h5")
loaded = keras.saving.load_model("model.keras")
np.testing.assert_array_equal(loaded(x), model(x))
loaded.load_weights("model.weights.h5")
np.testing.assert_array_equal(loaded(x), model(x))

command = Path(sys.executable).with_name("keras-winit")
initialize = ["initialize", "model.keras", "-o", "new.keras"]
for arguments in (["list"], ["suggest", "model.keras"], initialize):
    subprocess.run([command, *arguments], check=True)
assert keras.saving.load_model("new.keras").count_params() == model.count_params()

notebook = nbformat.read(checkout / "notebooks/6_saving.ipynb", as_version=4)
nbclient.NotebookClient(notebook, timeout=600).execute()
