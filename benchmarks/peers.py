"""What Keras, torch.nn.init and jax.nn.initializers do where docs/others.md says what they lack.

Torch and JAX have to be installed beside the backend.

    KERAS_BACKEND=tensorflow python benchmarks/peers.py
"""

import hashlib

import jax
import keras
import numpy as np
import torch

import keras_winit

ours, theirs = keras_winit.initializers, keras.initializers

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "selu", "elu", "gelu", "silu", "softplus")


def outcome(run):
    """Returns what a function returns, or the kind of error that it raises."""
    try:
        return run()
    except Exception as error:
        return type(error).__name__


def digest(initializer):
    values = keras.ops.convert_to_numpy(initializer((30, 20), dtype="float32"))
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:8]


def orthogonal(dtype):
    """Returns who draws an orthogonal matrix of this type, and who raises what."""
    empty = torch.empty(8, 4, dtype=getattr(torch, dtype))
    runs = {
        "keras_winit": lambda: ours.Orthogonal()((8, 4), dtype),
        "Keras": lambda: theirs.Orthogonal()((8, 4), dtype),
        "torch": lambda: torch.nn.init.orthogonal_(empty),
        "jax": lambda: jax.nn.initializers.orthogonal()(jax.random.key(0), (8, 4), dtype),
    }
    found = {name: outcome(run) for name, run in runs.items()}
    return {name: each if isinstance(each, str) else "yes" for name, each in found.items()}


def main():
    versions = f"torch {torch.__version__}, jax {jax.__version__}"
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {versions}")
    print("Weights of seed 1, to be compared between backends:")
    print(f"  Keras {digest(theirs.HeNormal(seed=1))}")
    print(f"  keras_winit {digest(ours.ActivationScaling('relu', seed=1))}")
    print("torch.nn.init.calculate_gain:")
    for name in ACTIVATIONS:
        print(f"  {name}: {outcome(lambda name=name: torch.nn.init.calculate_gain(name))}")
    print("Orthogonal in 16 bits:")
    for dtype in ("bfloat16", "float16"):
        print(f"  {dtype}: {orthogonal(dtype)}")
    kernel = torch.nn.Conv2d(64, 64, 3, groups=64).weight
    fans = torch.nn.init._calculate_fan_in_and_fan_out(kernel)
    print(f"torch's fans of a depthwise kernel of 3 x 3, truly (9, 9): {fans}")
    torch.manual_seed(0)
    counts = (torch.nn.init.sparse_(torch.empty(300, 200), 0.9) != 0).sum(1)
    print(f"torch's sparse_, weights of a unit, 20 on average: {counts.min()} to {counts.max()}")
    for module in (torch.nn.init, jax.nn.initializers):
        names = [name for name in dir(module) if not name.startswith("_")]
        print(f"{module.__name__}: {', '.join(names)}")


if __name__ == "__main__":
    main()
