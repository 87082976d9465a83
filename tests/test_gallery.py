"""The gallery of examples, each with few epochs and one seed."""

import ast
import re

import keras
import matplotlib.image
import numpy as np
import pytest
from test_examples import ROOT, run

# What each script compares, in the order of its table.
GALLERY = {
    "autoencoder": ["glorot_uniform", "he_normal", "random_normal"],
    "digit_recognition": ["Glorot, Keras's default", "He, suggested for relu"],
    "plain_transformer": ["Keras's default", '"zero_last"'],
    "selu_forecast": ["lecun_normal", "he_normal", "glorot_uniform"],
    "sequence_memory": ["orthogonal", "glorot_uniform"],
    "sparse_edge": ["95 % zeros", "all weights", "as few weights, narrow"],
}
# All of them on TensorFlow; two, of which one is recurrent, where a run takes longer.
HERE = (
    list(GALLERY) if keras.backend.backend() == "tensorflow" else ["sequence_memory", "sparse_edge"]
)


@pytest.fixture(scope="module", params=HERE)
def example(request, tmp_path_factory):
    """Runs a script with one epoch and one seed: its name, output, and the folder of its files."""
    folder = tmp_path_factory.mktemp(request.param)
    output, _ = run(f"{request.param}.py", "--epochs", "1", "--seeds", "1", folder=folder)
    return request.param, output, folder


def table(output):
    """Returns median, lowest and highest result of each start."""
    rows = re.findall(r"^(\S.*?)\s{2,}([\d.]+)%? +\(([\d.]+)%? to ([\d.]+)%?\)", output, re.M)
    return {name: [float(number) for number in numbers] for name, *numbers in rows}


def numbers(pattern, output):
    """Returns the number of each line that the pattern finds, by the name that it finds."""
    return {name: float(number) for number, name in re.findall(pattern, output, re.M)}


def test_every_start_has_a_result(example):
    name, output, _ = example
    results = table(output)
    assert list(results) == GALLERY[name]
    for median, lowest, highest in results.values():
        assert 0 < lowest <= median <= highest


def test_every_start_has_the_same_rates_to_choose_from(example):
    name, output, _ = example
    tried = re.findall(r"^(\S.*?)\s{2,}rate (\S+) +validation", output, re.M)
    by_start = {start: [rate for other, rate in tried if other == start] for start, _ in tried}
    assert list(by_start) == GALLERY[name]
    rates = by_start[GALLERY[name][0]]
    assert len(rates) > 1
    assert all(others == rates for others in by_start.values())


def test_picture_has_two_panels_of_something(example):
    name, _, folder = example
    pixels = matplotlib.image.imread(folder / f"{name}.png")
    assert pixels.shape == (360, 900, 4)
    alpha = pixels[..., 3]
    assert alpha[0, 0] == alpha[359, 450] == 0  # the page shows, light or dark
    for half in (alpha[:, :450], alpha[:, 450:]):
        assert np.mean(half > 0.1) > 0.02


def test_what_each_script_claims_before_training_is_true(example):
    name, output, folder = example
    CLAIMS[name](output, folder)


def autoencoder(output, folder):
    errors = table(output)
    # One epoch: the weights that are too small have not left the mean image.
    mean = float(re.search(r"the mean image for all +([\d.]+)", output)[1])
    assert errors["glorot_uniform"][0] < errors["random_normal"][0] < 1.1 * mean


def digit_recognition(output, folder):
    sizes = numbers(r"signal behind layer 20: (\S+)  (.*)$", output)
    glorot, he = (sizes[name] for name in GALLERY["digit_recognition"])
    # Glorot's variance is half of He's where a layer has as many outputs as inputs: 18 of 20.
    assert 2**-12 < glorot / he < 2**-7
    assert he > 5e-3


def plain_transformer(output, folder):
    sizes = numbers(r"stream behind block 8: +(\S+)  (.*)$", output)
    assert sizes["Keras's default"] > 5 > 2 > sizes['"zero_last"']


def selu_forecast(output, folder):
    errors = table(output)
    assert errors["lecun_normal"][0] < errors["he_normal"][0]


def sequence_memory(output, folder):
    left = numbers(r"^left of the words after 60 frames: (\S+)  (.*)$", output)
    # A tanh unit keeps less of a larger state, but some of every direction.
    assert left["orthogonal"] > 0.05 > 0.02 > left["glorot_uniform"]


def sparse_edge(output, folder):
    zeros = dict(re.findall(r"^edge_(\w+)\.keras +(\d+) of", output, re.M))
    # Of 64 inputs 3 weights are left to each of 256 units, of 256 inputs 13.
    expected = 256 * (64 - 3) + 256 * (256 - 13)
    assert zeros == {"sparse": str(expected), "dense": "0", "narrow": "0"}
    model = keras.saving.load_model(folder / "edge_sparse.keras")
    for layer in model.layers[:2]:
        mask = layer.kernel_constraint.initializer.mask(layer.kernel.shape)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.kernel) != 0, mask)
    with np.load(folder / "edge_sparse.npz") as stored:
        assert [stored[f"kernel_{n}"].shape for n in range(3)] == [(256, 3), (256, 13), (256, 10)]
    assert table(output)["95 % zeros"][0] == pytest.approx(
        float(re.search(r"NumPy alone: ([\d.]+)%", output)[1]), abs=0.5
    )


CLAIMS = {
    function.__name__: function
    for function in (
        autoencoder,
        digit_recognition,
        plain_transformer,
        selu_forecast,
        sequence_memory,
        sparse_edge,
    )
}


def test_every_script_of_the_gallery_is_here_short_and_in_its_list():
    folder = ROOT / "examples"
    scripts = {path.stem for path in folder.glob("*.py")} - {"side_by_side", "pictures"}
    assert scripts == {*GALLERY, "diagnose", "quickstart"}
    page = (folder / "README.md").read_text(encoding="utf-8")
    for name in GALLERY:
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        code = [
            line
            for line in source.replace(
                ast.get_docstring(ast.parse(source), clean=False), ""
            ).splitlines()
            if line.strip()
        ]
        assert len(code) < 80
        assert f"python examples/{name}.py" in page
        assert f"]({name}.png)" in page
        assert (folder / f"{name}.png").stat().st_size < 60_000
