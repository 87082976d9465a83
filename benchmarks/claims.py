"""What the papers say of their starting weights, each in a small run of its own.

In every claim all starts get the same network, data, steps and learning rates; each is shown at
the rate of the best median over the seeds, as median [lowest to highest]. Learning rates and
sizes are small enough for a laptop, so numbers are those of these toys and not of the papers.

    python benchmarks/claims.py all
    python benchmarks/claims.py siren chrono [--seeds 3] [--picture examples/icnr.png]

Claims: siren, chrono, irnn, icnr, prior, looks_linear, delta, sparse. The backend is that of
`KERAS_BACKEND`; JAX is the fastest here on a CPU.
"""

import argparse
import inspect
import math
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on missing GPUs

import keras
import numpy as np
from sklearn.datasets import load_digits, load_sample_image, make_classification
from sklearn.model_selection import train_test_split

import keras_winit
from keras_winit.initializers import (
    ICNR,
    ActivationScaling,
    ChronoBias,
    DeltaOrthogonal,
    LooksLinear,
    Orthogonal,
    Siren,
    Sparse,
)

Dense, Conv2D, Input = keras.layers.Dense, keras.layers.Conv2D, keras.Input
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def siren(options):
    """Networks of sin(30 z) fit an image from these weights and not from others.

    Sitzmann et al., 2020, https://arxiv.org/abs/2006.09661, sections 3.2 and 4.1. Fitted are
    64 x 64 pixels of a photograph; those between them show what the network makes of the gaps.
    """

    def build(first, hidden):
        def layer(units, initializer, activation=None):
            return Dense(units, activation, kernel_initializer=initializer())

        hidden_layers = [layer(96, hidden, sine) for _ in range(3)]
        return keras.Sequential(
            [Input((2,)), layer(96, first, sine), *hidden_layers, layer(1, hidden)]
        )

    pixels = photograph("china.jpg")[100:228, 200:328] * 2 - 1
    axis = np.linspace(-1, 1, 128, dtype="float32")
    places = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    fitted, between = (
        (places[start::2, start::2].reshape(-1, 2), pixels[start::2, start::2].reshape(-1, 1))
        for start in (0, 1)
    )

    def run(model):
        model.fit(*fitted, batch_size=len(fitted[0]), epochs=300, verbose=0, shuffle=False)
        errors = [model.evaluate(*each, batch_size=4096, verbose=0) for each in (fitted, between)]
        return [10 * math.log10(4 / error) for error in errors]  # the values are 2 apart

    starts = {
        "Siren": lambda: build(lambda: Siren(first=True), Siren),
        "glorot_uniform": lambda: build(*[keras.initializers.GlorotUniform] * 2),
    }
    compare(starts, run, ("PSNR fitted", "PSNR between"), "mse", (1e-3, 3e-4, 1e-4), options)


def chrono(options):
    """LSTMs whose forget gates know the length of the sequence learn long dependencies at once.

    Tallec and Ollivier, 2018, https://arxiv.org/abs/1804.11188, sections 3 and 4. The first of
    200 symbols is to be named after the last; chance is 1 of 8.
    """
    length, chunk, most = 200, 20, 300

    def build(**biases):
        return keras.Sequential([Input((length, 12)), keras.layers.LSTM(48, **biases), Dense(8)])

    def data(samples, rng):
        symbols = 8 + rng.integers(4, size=(samples, length))
        symbols[:, 0] = rng.integers(8, size=samples)
        return np.eye(12, dtype="float32")[symbols], symbols[:, 0]

    def run(model):
        rng = np.random.default_rng(0)
        test = data(500, rng)
        for step in range(chunk, most + 1, chunk):
            model.fit(*data(64 * chunk, rng), batch_size=64, verbose=0)
            loss, accuracy = model.evaluate(*test, batch_size=500, verbose=0)
            if accuracy > 0.99:
                break
        return [-step, accuracy, -loss]

    starts = {
        f"ChronoBias({length})": lambda: build(
            bias_initializer=ChronoBias(length), unit_forget_bias=False
        ),
        "forget bias 1": build,
    }
    columns = (f"steps to 99 %, of {most}", "accuracy", "loss")
    compare(starts, run, columns, CROSSENTROPY, (1e-2, 3e-3, 1e-3), options)


def irnn(options):
    """A plain recurrent network of relu units adds over long sequences from the identity.

    Le et al., 2015, https://arxiv.org/abs/1504.00941, section 4.1. The sum of the two marked of
    100 numbers; always saying 1 gives a squared error of 0.167.
    """
    length = 100

    def build(activation, **initializers):
        layer = keras.layers.SimpleRNN(100, activation, **initializers)
        return keras.Sequential([Input((length, 2)), layer, Dense(1)])

    def data(samples, rng):
        marks = np.zeros((samples, length))
        rows = np.arange(samples)
        marks[rows, rng.integers(length // 2, size=samples)] = 1
        marks[rows, rng.integers(length // 2, length, size=samples)] = 1
        numbers = rng.uniform(size=(samples, length))
        return np.stack([numbers, marks], -1).astype("float32"), (numbers * marks).sum(1)

    def run(model):
        rng = np.random.default_rng(0)
        test = data(1000, rng)
        model.fit(*data(32 * 1500, rng), batch_size=32, verbose=0)
        return [-model.evaluate(*test, batch_size=1000, verbose=0)]

    small = keras.initializers.RandomNormal
    starts = {
        "relu, dirac": lambda: build(
            "relu", kernel_initializer=small(stddev=0.001), recurrent_initializer="dirac"
        ),
        "relu, Keras's default": lambda: build("relu"),
        "tanh, Keras's default": lambda: build("tanh"),
    }
    compare(starts, run, ("squared error",), "mse", (1e-3, 3e-4), options)


def icnr(options):
    """Convolutions before a pixel shuffle start without a checkerboard, and stay more even.

    Aitken et al., 2017, https://arxiv.org/abs/1707.02937, section 3. Photographs to be made
    twice as large: power at the frequencies of the grid, of all but the mean, in what the
    network makes of them (the photographs themselves: first row), and squared error.
    """

    def build(initializer):
        return keras.Sequential(
            [
                Input((None, None, 1)),
                Conv2D(32, 5, padding="same", activation="relu", kernel_initializer="he_normal"),
                Conv2D(4, 3, padding="same", kernel_initializer=initializer()),
                keras.layers.Lambda(shuffled),
            ]
        )

    train, test = patches(photograph("china.jpg")), patches(photograph("flower.jpg"))
    pictures = []

    def run(model):
        before = keras.ops.convert_to_numpy(model(test[0]))
        model.fit(*train, batch_size=16, epochs=3, verbose=0)
        after = keras.ops.convert_to_numpy(model(test[0]))
        pictures.append((before[12], after[12]))
        return [-grid_power(before), -grid_power(after), -np.mean((after - test[1]) ** 2)]

    print(f"{'the photographs':24}{grid_power(test[1]):.1e}")
    starts = {"ICNR": lambda: build(ICNR), "he_normal": lambda: build(keras.initializers.HeNormal)}
    columns = ("grid before", "grid after", "squared error")
    compare(starts, run, columns, "mse", (1e-3,), options)
    if options.picture:
        half = len(pictures) // 2
        draw(options.picture, test[1][12], dict(zip(starts, pictures[::half], strict=True)))


def prior(options):
    """A last layer that starts at the frequencies of the classes starts at their entropy.

    Lin et al., 2017, https://arxiv.org/abs/1708.02002, section 4.1. One positive label of 100;
    the output kernel is N(0, 0.01²), as there.
    """
    x, y = make_classification(
        20000, n_informative=6, weights=[0.99], flip_y=0, class_sep=1.0, random_state=0
    )
    train_x, test_x, train_y, test_y = train_test_split(
        x.astype("float32"), y, test_size=0.25, random_state=0, stratify=y
    )

    def build(bias):
        kernel = keras.initializers.RandomNormal(stddev=0.01)
        output = Dense(1, "sigmoid", kernel_initializer=kernel, bias_initializer=bias)
        return keras.Sequential([Input((20,)), Dense(32, "relu"), output])

    def run(model):
        losses = [model.evaluate(train_x, train_y, batch_size=1000, verbose=0)[0]]
        for _ in range(2):
            model.fit(train_x, train_y, batch_size=128, verbose=0)
            losses.append(model.evaluate(test_x, test_y, batch_size=1000, verbose=0)[0])
        return [-loss for loss in losses]

    p = train_y.mean()
    print(f"{'entropy of the labels':24}{-p * math.log(p) - (1 - p) * math.log(1 - p):.4f}")
    starts = {
        "ClassPrior": lambda: build(keras_winit.class_prior(train_y)),
        "zeros": lambda: build("zeros"),
    }
    columns = ("loss before", "test, 1 epoch", "test, 2 epochs")
    compare(starts, run, columns, "binary_crossentropy", (1e-3,), options)


def looks_linear(options):
    """Plain relu networks of 150 layers train from mirrored weights.

    Balduzzi et al., 2017, https://arxiv.org/abs/1702.08591, sections 3 and 4. Digits, no
    normalization, no residual connections; chance is 10 %.
    """

    def build(first, hidden):
        layers = [Dense(64, "relu", kernel_initializer=first())]
        layers += [Dense(64, "relu", kernel_initializer=hidden()) for _ in range(149)]
        return keras.Sequential([Input((64,)), *layers, Dense(10)])

    def rectified():
        return Orthogonal(math.sqrt(2))

    starts = {
        "LooksLinear": lambda: build(lambda: LooksLinear(first=True), LooksLinear),
        "he_normal": lambda: build(*[keras.initializers.HeNormal] * 2),
        "Orthogonal(2 ** 0.5)": lambda: build(rectified, rectified),
    }
    classify(starts, digits(), 6, (3e-2, 1e-2, 3e-3), options)


def delta(options):
    """Plain tanh CNNs of 100 layers and more train from delta-orthogonal kernels.

    Xiao et al., 2018, https://arxiv.org/abs/1806.05393, section 3, at the critical variance
    1.05. Against it normal weights of the same variance. Digits; chance is 10 %.
    """
    variance = 1.05

    def build(initializer):
        layers = [
            Conv2D(16, 3, padding="same", activation="tanh", kernel_initializer=initializer())
            for _ in range(100)
        ]
        return keras.Sequential([Input((8, 8, 1)), *layers, keras.layers.Flatten(), Dense(10)])

    starts = {
        "DeltaOrthogonal": lambda: build(lambda: DeltaOrthogonal(math.sqrt(variance))),
        "normal": lambda: build(lambda: ActivationScaling("linear", variance)),
    }
    classify(starts, digits((8, 8, 1)), 2, (3e-2, 1e-2, 3e-3), options)


def sparse(options):
    """Networks with 5 % of their weights train if these are scaled to their number.

    Evci et al., 2022, https://arxiv.org/abs/2010.03533, section 3; Mocanu et al., 2018,
    https://arxiv.org/abs/1707.04780, for training at fixed sparsity. Digits, eight sparse relu
    layers; the zeros are counted before training, after it, and after saving, loading and more
    training.
    """
    sparsity, gain = 0.95, math.sqrt(2)

    def build(scaled=True, by_magnitude=False):
        layers, units = [], 64
        for _ in range(8):
            start = Sparse(sparsity, gain=gain, seed=int(np.random.randint(10**6)))
            constraint = keras_winit.SparsityMask(start)
            if not scaled:
                kernel = keras.ops.convert_to_numpy(keras.initializers.HeNormal()((units, 256)))
                mask = start.mask(kernel.shape)
                if by_magnitude:
                    mask = abs(kernel) >= np.quantile(abs(kernel), 1 - mask.mean())
                    constraint = Kept(mask.tolist())
                start = Fixed((kernel * mask).tolist())
            layers.append(
                Dense(256, "relu", kernel_initializer=start, kernel_constraint=constraint)
            )
            units = 256
        return keras.Sequential([Input((64,)), *layers, Dense(10)])
