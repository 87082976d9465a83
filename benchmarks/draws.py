"""Times our draws and those of Keras (and torch) side by side, on the current backend.

Every round draws once with each of the two, one after the other, so that whatever else the
machine does falls on both. Prints the medians, and the ratio of the two with its quartiles.
With `--initialize` it instead times `initialize` on whole models, beside the draws of their kernels
by themselves. With `--memory` it instead prints what a draw adds to the memory of a process at its
peak, as a multiple of the tensor, each in a process of its own.

    KERAS_BACKEND=tensorflow python benchmarks/draws.py
    KERAS_BACKEND=tensorflow python benchmarks/draws.py --initialize
    KERAS_BACKEND=tensorflow python benchmarks/draws.py --memory
"""

import argparse
import concurrent.futures
import importlib
import math
import multiprocessing
import os
import platform
import resource
import sys
import time

import keras
import numpy as np

import keras_winit
from keras_winit._random import distributions

ours, theirs = keras_winit.initializers, keras.initializers

SHAPES = ((256, 256), (512, 512), (1024, 1024), (2048, 2048), (4096, 1024))


def keras_draw(initializer):
    return lambda shape: keras.ops.convert_to_numpy(initializer(shape, dtype="float32"))


def comparisons():
    """Yields (name of ours, how it draws, name of the other, how that draws, shape)."""
    scaling = keras_draw(ours.ActivationScaling("relu", seed=1))
    he_normal = keras_draw(theirs.HeNormal(seed=1))
    for shape in (*SHAPES[1:], (4096, 4096)):
        yield "ActivationScaling", scaling, "keras HeNormal", he_normal, shape
    orthogonal = keras_draw(ours.Orthogonal(seed=1))
    keras_orthogonal = keras_draw(theirs.Orthogonal(seed=1))
    for shape in (*SHAPES, (4096, 4096)):
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


# The sizes of layers, one after the other.
MODELS = {
    "2 kernels of 67 million": [8192] * 3,
    "30 kernels of 2 million": [1024, 2048] * 15 + [1024],
}


def print_initialize(rounds):
    print(f"{'model':26}{'draws ms':>10}{'initialize ms':>15}  initialize / draws")
    for name, sizes in MODELS.items():
        hidden = [keras.layers.Dense(units, "relu") for units in sizes[1:]]
        model = keras.Sequential([keras.Input(sizes[:1]), *hidden])

        def draws(seed, shapes=tuple(layer.kernel.shape for layer in hidden)):
            for number, shape in enumerate(shapes):
                distributions.truncated_normal(shape, seed=f"{seed}/{number}", purpose="benchmark")

        def initialize(seed, model=model):
            keras_winit.initialize(model, seed=seed)

        draws(0), initialize(0)
        times = np.array(
            [
                (seconds(draws, number), seconds(initialize, number))
                for number in range(1, rounds + 1)
            ]
        )
        draws_ms, initialize_ms = 1000 * np.median(times, axis=0)
        low, median, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
        print(
            f"{name:26}{draws_ms:10.0f}{initialize_ms:15.0f}"
            f"  {median:.2f} ({low:.2f} to {high:.2f})",
            flush=True,
        )


MEMORY = (
    ("ActivationScaling", ours.ActivationScaling, {"activation": "relu"}),
    ("keras HeNormal", theirs.HeNormal, {}),
    ("Orthogonal", ours.Orthogonal, {}),
    ("keras Orthogonal", theirs.Orthogonal, {}),
    ("Sparse", ours.Sparse, {"sparsity": 0.9}),
    ("Sparse, half", ours.Sparse, {"sparsity": 0.5}),
)


def peak_memory(cls, arguments, shape):
    """Returns by how much the peak of this new process's memory grows, in tensors."""
    initializer = cls(seed=1, **arguments)
    convert = keras.ops.convert_to_numpy
    convert(initializer((300, 200), dtype="float32"))  # what is loaded on first use
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    keras.ops.sum(initializer(shape, dtype="float32")).__array__()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return (after - before) / (4 * math.prod(shape))


def print_memory():
    shapes = ((4096, 4096), (16384, 1024), (1024, 16384))
    print(f"{'peak / tensor':18}" + "".join(f"{' x '.join(map(str, s)):>16}" for s in shapes))
    spawn = multiprocessing.get_context("spawn")
    for name, cls, arguments in MEMORY:
        peaks = []
        for shape in shapes:
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
                peaks.append(executor.submit(peak_memory, cls, arguments, shape).result())
        print(f"{name:18}" + "".join(f"{peak:16.2f}" for peak in peaks), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--initialize", action="store_true", help="time whole models")
    parser.add_argument("--memory", action="store_true", help="measure memory in place of time")
    arguments = parser.parse_args()
    packages = ["keras_winit", "keras", "numpy", keras.backend.backend()]
    versions = [f"{name} {importlib.import_module(name).__version__}" for name in packages]
    print(f"{', '.join(versions)}; Python {platform.python_version()}, {os.cpu_count()} processors")
    if arguments.memory:
        print_memory()
        return
    if arguments.initialize:
        print_initialize(arguments.rounds)
        return
    print(f"{'ours':18}{'other':18}{'shape':>12}{'ours ms':>10}{'other ms':>10}  other / ours")
    for our_name, our_draw, other_name, other_draw, shape in comparisons():
        our_draw(shape), other_draw(shape)
        times = np.array(
            [
                (seconds(our_draw, shape), seconds(other_draw, shape))
                for _ in range(arguments.rounds)
            ]
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
