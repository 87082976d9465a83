"""What `diagnose` and `calibrate` cost, beside the plain passes of the same model.

For plain networks of several depths and for ResNet50: seconds of one forward and backward pass,
of `diagnose`, of one forward pass, and of `calibrate`, all on the same batch, one after the other
in turns; the medians and their ratios. With `--memory`, the peak memory that a step of training,
`diagnose` and `calibrate` add, each in a process of its own.

    python benchmarks/diagnosis.py [--depths 10 100 800] [--rounds 5] [--memory]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import keras
import numpy as np

import keras_winit
from keras_winit import _backends

ROW = "{:22} {:>7} {:>9} {:>10} {:>6} {:>8} {:>10} {:>6}"


def plain(depth, width=128):
    dense = keras_winit.suggest_initializer(keras.layers.Dense)
    layers = [dense(width, "relu") for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(10)]), (width,)


def resnet():
    shape = (64, 64, 3)
    return keras.applications.ResNet50(weights=None, input_shape=shape, classes=10), shape


def forward(model, x):
    with _backends.without_gradient(), keras.StatelessScope():
        keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x), training=True))


def forward_and_backward(model, x):
    """One eager pass in training mode, as `diagnose` runs it, without its taps."""

    def loss(tap):
        outputs = model(keras.ops.convert_to_tensor(x), training=True)
        return keras.ops.mean(keras.ops.square(outputs)), None

    _, gradients, _ = _backends.backpropagate(loss, model.trainable_variables, None)
    keras.ops.convert_to_numpy(gradients[0])


def measure(model, x, rounds):
    """Returns the median seconds of each of the four."""
    calls = (forward_and_backward, keras_winit.diagnose, forward, keras_winit.calibrate)
    times = [[] for _ in calls]
    for turn in range(rounds + 1):  # the first one compiles
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call(model, x)
            if turn:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def peak(what):
    """Prints the megabytes that a call adds to the peak memory of this process."""
    model, shape = resnet()
    x, y = np.zeros((32, *shape), "float32"), np.zeros(32)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "step":
        model.train_on_batch(x, y)
    elif what == "diagnose":
        keras_winit.diagnose(model, x, y)
    else:
        keras_winit.calibrate(model, x)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[10, 100, 800])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        peak(arguments.peak)
        return
    print(f"keras {keras.version()}, {keras.backend.backend()}; times in milliseconds")
    header = ("model", "layers", "fwd+bwd", "diagnose", "ratio", "forward", "calibrate", "ratio")
    print(ROW.format(*header))
    for depth in [*arguments.depths, None]:
        model, shape = plain(depth) if depth else resnet()
        name = f"{depth} dense layers" if depth else "ResNet50, 64 x 64"
        batch = 16 if len(shape) == 3 else 256
        x = np.random.default_rng(0).normal(size=(batch, *shape)).astype("float32")
        both, diagnose, only, calibrate = measure(model, x, arguments.rounds)
        cells = (both * 1e3, diagnose * 1e3, diagnose / both, only * 1e3, calibrate * 1e3)
        numbers = [f"{cell:.1f}" for cell in (*cells, calibrate / only)]
        print(ROW.format(name, len(model.layers) - 1, *numbers), flush=True)
        keras.backend.clear_session()
    if arguments.memory:
        print("\nPeak memory that a call on ResNet50, 64 x 64, batch of 32, adds, in megabytes")
        for what in ("step", "diagnose", "calibrate"):
            command = [sys.executable, __file__, "--peak", what]
            process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(f"{'a step of Adam' if what == 'step' else what:22} {process.stdout.strip():>7}")


if __name__ == "__main__":
    main()
