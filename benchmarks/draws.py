"""Times our draws and those of Keras (and torch) side by side, on the current backend.

Every round draws once with each of the two, one after the other, so that whatever else the
machine does falls on both. Prints the medians, and the ratio of the two with its quartiles.

    KERAS_BACKEND=tensorflow python benchmarks/draws.py
"""

import argparse
import importlib
import os
import platform
import time

import keras
import numpy as np

import keras_winit

ours, theirs = keras_winit.initializers, keras.initializers

SHAPES = ((512, 512), (1024, 1024), (2048, 2048), (4096, 1024))


def keras_draw(initializer):
    return lambda shape: keras.ops.convert_to_numpy(initializer(shape, dtype="float32"))


def comparisons():
    """Yields (name of ours, how it draws, name of the other, how that draws, shape)."""
    scaling = keras_draw(ours.ActivationScaling("relu", seed=1))
    he_normal = keras_draw(theirs.HeNormal(seed=1))
    for shape in (*SHAPES, (4096, 4096)):
        yield "ActivationScaling", scaling, "keras HeNormal", he_normal, shape
    orthogonal = keras_draw(ours.Orthogonal(seed=1))
    keras_orthogonal = keras_draw(theirs.Orthogonal(seed=1))
    for shape in SHAPES:
        yield "Orthogonal", orthogonal, "keras Orthogonal", keras_orthogonal, shape
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return
    sparse = keras_draw(ours.Sparse(0.9, seed=1))

    def torch_sparse(shape):
        return torch.nn.init.sparse_(torch.empty(shape), 0.9).numpy()

    for shape in ((512, 512), (4096, 1024), (4096, 4096)):
        yield "Sparse", sparse, "torch sparse_", torch_sparse, shape


def seconds(draw, shape):
    start = time.perf_counter()
    draw(shape)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    packages = ["keras_winit", "keras", "numpy", keras.backend.backend()]
    versions = [f"{name} {importlib.import_module(name).__version__}" for name in packages]
    print(f"{', '.join(versions)}; Python {platform.python_version()}, {os.cpu_count()} processors")
    print(f"{'ours':18}{'other':18}{'shape':>12}{'ours ms':>10}{'other ms':>10}  other / ours")
    for our_name, our_draw, other_name, other_draw, shape in comparisons():
        our_draw(shape), other_draw(shape)
        times = np.array(
            [(seconds(our_draw, shape), seconds(other_draw, shape)) for _ in range(rounds)]
        )
        ours_ms, other_ms = 1000 * np.median(times, axis=0)
        low, median, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
        size = " x ".join(map(str, shape))
        print(
            f"{our_name:18}{other_name:18}{size:>12}{ours_ms:10.1f}{other_ms:10.1f}"
            f"  {median:.2f} ({low:.2f} to {high:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
