"""Is every architecture of keras.applications understood, and how long does it take?

For each one, with its default input and random weights: seconds of `suggest`, of `initialize`
(which suggests first), and of the plain loop that assigns a draw of Keras's own to every weight,
`he_normal` for kernels and zeros for vectors. The three take turns; the medians are printed, the
ratio of the last two, and what was left alone for what reason.

    python benchmarks/applications.py [ResNet50 MobileNet ...] [--all] [--rounds 3]

Without names, all but those of more than 100 million parameters, which take most of the memory
and time and show nothing new: ConvNeXtLarge, ConvNeXtXLarge, EfficientNetV2L, VGG16, VGG19.
"""

import argparse
import statistics
import time

import keras

import keras_winit

LARGEST = ("ConvNeXtLarge", "ConvNeXtXLarge", "EfficientNetV2L", "VGG16", "VGG19")
NAMES = sorted(name for name in dir(keras.applications) if name[0].isupper())
ROW = "{:20} {:>7} {:>10} {:>8} {:>10} {:>8} {:>6}  {}"


def assign_plainly(model):
    for variable in model.weights:
        kernel = len(variable.shape) > 1
        initializer = keras.initializers.HeNormal() if kernel else keras.initializers.Zeros()
        variable.assign(initializer(tuple(variable.shape), dtype=variable.dtype))


def seconds(call, model):
    """Returns how long a call takes, and what it returns."""
    start = time.perf_counter()
    result = call(model)
    return time.perf_counter() - start, result


def measure(name, rounds):
    """Returns the cells of an architecture, and whether all of its layers are known."""
    model = getattr(keras.applications, name)(weights=None)
    calls = (keras_winit.suggest, keras_winit.initialize, assign_plainly)
    times = []
    for _ in range(rounds):
        turns = [seconds(call, model) for call in calls]
        times.append([duration for duration, _ in turns])
        skipped = turns[1][1].skipped
    suggest, initialize, plain = (statistics.median(column) for column in zip(*times, strict=True))
    reasons = sorted({row.reason for row in skipped})
    left_alone = "; ".join(
        ", ".join(row.weight for row in skipped if row.reason == reason) + f": {reason}"
        for reason in reasons
    )
    cells = [
        *(name, len(model.weights), f"{model.count_params() / 1e6:.1f} M"),
        *(f"{each:.2f}" for each in (suggest, initialize, plain, initialize / plain)),
        left_alone or "-",
    ]
    return cells, not any("not known" in reason for reason in reasons)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--all", action="store_true", help="the largest as well")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"no such architecture: {', '.join(unknown)}")
    names = arguments.names or [n for n in NAMES if arguments.all or n not in LARGEST]
    print(f"keras {keras.version()}, {keras.backend.backend()}; times in seconds")
    header = ("architecture", "weights", "parameters", "suggest", "initialize", "plain", "ratio")
    print(ROW.format(*header, "left alone"), flush=True)
    not_known = []
    for name in names:
        cells, is_known = measure(name, arguments.rounds)
        print(ROW.format(*cells), flush=True)
        if not is_known:
            not_known.append(name)
        keras.backend.clear_session()
    print(f"Layers that are not known: {', '.join(not_known) or 'none'}")


if __name__ == "__main__":
    main()
