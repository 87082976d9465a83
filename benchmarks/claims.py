"""What the papers say of their starting weights, each in a small run of its own.

In every claim all starts get the same network, data, steps and learning rates. Each is shown at
the learning rate that is best for its first seed, as median [lowest to highest] over the seeds.
Sizes are small enough for a laptop: the numbers are those of these toys and not of the papers.

    python benchmarks/claims.py all
    python benchmarks/claims.py siren chrono [--seeds 3] [--picture examples/icnr.png]

Claims: siren, fourier, chrono, irnn, icnr, prior, looks_linear, delta, sparse, mimetic. The
backend is that of `KERAS_BACKEND`; JAX is the fastest here on a CPU. The photographs are those of
scikit-learn, by danielbuechele (china.jpg) and vultilion (flower.jpg), CC BY 2.0.
"""

import argparse
import inspect
import math
import os
import pathlib
import random
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
    ConvolutionOrthogonal,
    DeltaOrthogonal,
    FourierFeatures,
    LooksLinear,
    NormalizedPositiveDefinite,
    Orthogonal,
    Rotation,
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

        hidden_layers = [layer(64, hidden, sine) for _ in range(3)]
        return keras.Sequential(
            [Input((2,)), layer(64, first, sine), *hidden_layers, layer(1, hidden)]
        )

    run = fit_image()
    starts = {
        "Siren": lambda: build(lambda: Siren(first=True), Siren),
        "glorot_uniform": lambda: build(*[keras.initializers.GlorotUniform] * 2),
    }
    compare(starts, run, ("PSNR fitted", "PSNR between"), "mse", (3e-3, 1e-3, 3e-4), options)


def fourier(options):
    """A relu network sees fine detail through random frequencies, and not in plain coordinates.

    Tancik et al., 2020, https://arxiv.org/abs/2006.10739. The photograph of `siren`; with
    coordinates from -1 to 1 its pixels can hold up to 16 cycles per unit.
    """

    def build(first):
        hidden = [Dense(64, "relu", kernel_initializer="he_normal") for _ in range(3)]
        return keras.Sequential([Input((2,)), first, *hidden, Dense(1)])

    def features(stddev):
        return Dense(
            128,
            keras.ops.sin,
            kernel_initializer=FourierFeatures(stddev),
            bias_initializer="fourier_phases",
            trainable=False,
        )

    starts = {f"FourierFeatures({s})": lambda s=s: build(features(s)) for s in (0.5, 2.0, 50.0)}
    starts["coordinates"] = lambda: build(Dense(128, "relu", kernel_initializer="he_normal"))
    columns = ("PSNR fitted", "PSNR between")
    rates = (1e-2, 3e-3, 1e-3)
    compare(starts, fit_image(), columns, "mse", rates, options, is_shared=False)


def chrono(options):
    """LSTMs whose forget gates know the length of the sequence learn long dependencies at once.

    Tallec and Ollivier, 2018, https://arxiv.org/abs/1804.11188, sections 3 and 4. The first of
    200 symbols is to be named after the last; chance is 1 of 8.
    """
    length, chunk, most = 200, 20, 300

    def build(**biases):
        return keras.Sequential([Input((length, 12)), keras.layers.LSTM(32, **biases), Dense(8)])

    def data(samples, rng):
        symbols = 8 + rng.integers(4, size=(samples, length))
        symbols[:, 0] = rng.integers(8, size=samples)
        return np.eye(12, dtype="float32")[symbols], symbols[:, 0]

    def run(model):
        rng = np.random.default_rng(0)
        test = data(500, rng)
        for step in range(chunk, most + 1, chunk):  # noqa: B007
            model.fit(*data(32 * chunk, rng), batch_size=32, verbose=0)
            logits = model.predict(test[0], batch_size=500, verbose=0)
            accuracy = np.mean(logits.argmax(-1) == test[1])
            if accuracy > 0.99:
                break
        loss = float(CROSSENTROPY(test[1], logits))
        return -loss - step, step, accuracy, loss

    starts = {
        f"ChronoBias({length})": lambda: build(
            bias_initializer=ChronoBias(length), unit_forget_bias=False
        ),
        "forget bias 1": build,
    }
    columns = (f"steps to 99 %, of {most}", "accuracy", "loss")
    compare(starts, run, columns, CROSSENTROPY, (3e-2, 1e-2, 3e-3), options)


def irnn(options):
    """Plain recurrent networks add over long sequences from the identity, np-RNN or rotations.

    Le et al., 2015, https://arxiv.org/abs/1504.00941, section 4.1; Talathi and Vartak, 2016,
    https://arxiv.org/abs/1511.03771, for np-RNN; Helfrich et al., 2018,
    https://arxiv.org/abs/1707.09520, for rotations up to a quarter of a turn. The sum of
    the two marked of 100 numbers; always saying 1 gives a squared error of 0.167.
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
        model.fit(*data(16 * 2000, rng), batch_size=16, verbose=0)
        loss = model.evaluate(*test, batch_size=1000, verbose=0)
        return -loss, loss

    small = keras.initializers.RandomNormal
    starts = {
        "relu, dirac": lambda: build(
            "relu", kernel_initializer=small(stddev=0.001), recurrent_initializer="dirac"
        ),
        "relu, np-RNN": lambda: build("relu", recurrent_initializer=NormalizedPositiveDefinite()),
        "relu, Keras's default": lambda: build("relu"),
        "tanh, Rotation": lambda: build("tanh", recurrent_initializer=Rotation(math.pi / 2)),
        "tanh, Keras's default": lambda: build("tanh"),
    }
    compare(starts, run, ("squared error",), "mse", (1e-3, 3e-4, 1e-4), options)


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
    pictures, shown = [], 59  # of the patches

    def run(model):
        before = keras.ops.convert_to_numpy(model(test[0]))
        model.fit(*train, batch_size=16, epochs=5, verbose=0)
        after = keras.ops.convert_to_numpy(model(test[0]))
        pictures.append((before[shown], after[shown]))
        error = np.mean((after - test[1]) ** 2)
        return -error, grid_power(before), grid_power(after), error

    print(f"{'the photographs':24}{grid_power(test[1]):.1e}")
    starts = {"ICNR": lambda: build(ICNR), "he_normal": lambda: build(keras.initializers.HeNormal)}
    columns = ("grid before", "grid after", "squared error")
    compare(starts, run, columns, "mse", (1e-3,), options)
    if options.picture:
        firsts = pictures[:: options.seeds]
        draw(
            options.picture, test[1][shown], test[0][shown], dict(zip(starts, firsts, strict=True))
        )


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
        losses = [model.evaluate(train_x, train_y, batch_size=1000, verbose=0)]
        for _ in range(2):
            model.fit(train_x, train_y, batch_size=128, verbose=0)
            losses.append(model.evaluate(test_x, test_y, batch_size=1000, verbose=0))
        return -losses[-1], *losses

    p = train_y.mean()
    print(f"{'entropy of the labels':24}{-p * math.log(p) - (1 - p) * math.log(1 - p):.4f}")
    starts = {
        "ClassPrior": lambda: build(keras_winit.initializers.ClassPrior.from_labels(train_y)),
        "zeros": lambda: build("zeros"),
    }
    columns = ("loss before", "test, 1 epoch", "test, 2 epochs")
    compare(starts, run, columns, "binary_crossentropy", (1e-3,), options)


def looks_linear(options):
    """Plain relu networks of 100 layers train from mirrored weights.

    Balduzzi et al., 2017, https://arxiv.org/abs/1702.08591, sections 3 and 4. Digits, no
    normalization, no residual connections; chance is 10 %.
    """

    def build(first, hidden):
        layers = [Dense(64, "relu", kernel_initializer=first())]
        layers += [Dense(64, "relu", kernel_initializer=hidden()) for _ in range(99)]
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
    """Plain tanh CNNs of 150 layers train from delta-orthogonal kernels.

    Xiao et al., 2018, https://arxiv.org/abs/1806.05393, section 3, at the critical variance
    1.05. Against it normal weights of the same variance. Digits; chance is 10 %.
    """
    variance = 1.05

    def build(initializer):
        layers = [
            Conv2D(16, 3, padding="same", activation="tanh", kernel_initializer=initializer())
            for _ in range(150)
        ]
        return keras.Sequential([Input((8, 8, 1)), *layers, keras.layers.Flatten(), Dense(10)])

    starts = {
        "DeltaOrthogonal": lambda: build(lambda: DeltaOrthogonal(math.sqrt(variance))),
        "ConvolutionOrthogonal": lambda: build(lambda: ConvolutionOrthogonal(math.sqrt(variance))),
        "normal": lambda: build(lambda: ActivationScaling("linear", variance)),
    }
    classify(starts, digits((8, 8, 1)), 2, (3e-2, 1e-2, 3e-3), options)


def sparse(options):
    """Networks with 5 % of their weights train if these are as large as so few should be.

    Evci et al., 2022, https://arxiv.org/abs/2010.03533, section 3; Mocanu et al., 2018,
    https://arxiv.org/abs/1707.04780, for training at fixed sparsity. Digits, eight relu layers
    under a `SparsityMask`; the share of zeros before training, after it, and after saving,
    loading and more training. Against it the same zeros with weights of the variance of dense
    ones; last, for comparison, a dense network.
    """
    sparsity, units = 0.95, 128
    data = digits()

    def build(gain, sparsity=sparsity, is_masked=True):
        layers = []
        for _ in range(8):
            initializer = Sparse(sparsity, gain=gain, seed=random.randrange(10**6))
            mask = keras_winit.SparsityMask(initializer) if is_masked else None
            layers.append(
                Dense(units, "relu", kernel_initializer=initializer, kernel_constraint=mask)
            )
        return keras.Sequential([Input((64,)), *layers, Dense(10)])

    def zeros(model):
        kernels = [keras.ops.convert_to_numpy(layer.kernel) for layer in model.layers[:-1]]
        return np.mean(np.concatenate([kernel.ravel() == 0 for kernel in kernels]))

    def run(model):
        train_x, test_x, train_y, test_y = data
        before = zeros(model)
        model.fit(train_x, train_y, batch_size=64, epochs=6, verbose=0)
        accuracy, after = accuracy_of(model, test_x, test_y), zeros(model)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.keras"
            model.save(path)
            loaded = keras.saving.load_model(path)
        loaded.fit(train_x, train_y, batch_size=64, verbose=0)
        return accuracy, accuracy, before, after, zeros(loaded)

    gain = math.sqrt(2)
    starts = {
        "Sparse, masked": lambda: build(gain),
        "variance of dense": lambda: build(gain * math.sqrt(1 - sparsity)),
        "dense": lambda: build(gain, sparsity=0, is_masked=False),
    }
    columns = ("accuracy", "zeros before", "zeros after", "zeros loaded")
    rates = (1e-1, 1e-2)
    compare(starts, run, columns, CROSSENTROPY, rates, options, momentum, is_shared=False)


def mimetic(options):
    """Vision transformers learn from little data if their attention starts as trained.

    Trockman and Kolter, 2023, https://arxiv.org/abs/2305.09828, for CIFAR-10 and ImageNet. Digits
    as 16 tokens of four pixels, six layers, normalized before each branch, sinusoidal positions;
    chance is 10 %.
    """
    size, heads = 48, 3
    angles = np.arange(16)[:, None] / 100 ** (np.arange(size // 2) / (size // 2))
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype("float32")

    def build(scheme):
        images = x = Input((16, 4))
        x = Dense(size)(x)
        x = x + waves
        for _ in range(6):
            y = keras.layers.LayerNormalization()(x)
            x = x + keras.layers.MultiHeadAttention(heads, size // heads)(y, y)
            y = keras.layers.LayerNormalization()(x)
            x = x + Dense(size)(Dense(2 * size, "gelu")(y))
        x = keras.layers.LayerNormalization()(x)
        model = keras.Model(images, Dense(10)(keras.layers.GlobalAveragePooling1D()(x)))
        keras_winit.initialize(model, scheme)
        return model

    train_x, test_x, *labels = digits((4, 2, 4, 2))
    tokens = [x.transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4) for x in (train_x, test_x)]
    starts = {scheme: lambda scheme=scheme: build(scheme) for scheme in ("mimetic", "keras")}
    classify(starts, (*tokens, *labels), 15, (3e-3, 1e-3), options, keras.optimizers.Adam)


def classify(starts, data, epochs, rates, options, optimizer=None):
    """Compares the accuracy of networks on held-out images."""
    train_x, test_x, train_y, test_y = data

    def run(model):
        model.fit(train_x, train_y, batch_size=64, epochs=epochs, verbose=0)
        accuracy = accuracy_of(model, test_x, test_y)
        return accuracy, accuracy

    compare(starts, run, ("accuracy",), CROSSENTROPY, rates, options, optimizer or momentum)


def fit_image():
    """Returns what fits a network of coordinates to every second pixel of a photograph.

    Its results are those at the pixels that were fitted, and at those between them.
    """
    pixels = photograph("china.jpg")[60:188, 100:228] * 2 - 1
    axis = np.linspace(-1, 1, 128, dtype="float32")
    places = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    fitted, between = (
        (places[start::2, start::2].reshape(-1, 2), pixels[start::2, start::2].reshape(-1, 1))
        for start in (0, 1)
    )

    def run(model):
        model.fit(*fitted, batch_size=len(fitted[0]), epochs=150, verbose=0, shuffle=False)
        errors = [model.evaluate(*each, batch_size=4096, verbose=0) for each in (fitted, between)]
        return -errors[0], *(10 * math.log10(4 / error) for error in errors)  # -1 to 1: 2 apart

    return run


def compare(
    starts, run, columns, loss, rates, options, optimizer=keras.optimizers.Adam, is_shared=True
):
    """Prints what `run` returns, a score and then a value for each column, for each start.

    One model is compiled for each start, and takes the weights of the others (`is_shared`).
    """
    print(f"{'':24}" + "".join(f"{column:32}" for column in columns) + "learning rate")
    for name, build in starts.items():
        compiled = None

        def result(rate, seed, build=build):
            nonlocal compiled
            keras.utils.set_random_seed(seed)
            model = build()
            if compiled is None or not is_shared:
                compiled = model
                compiled.compile(optimizer(rate, global_clipnorm=1.0), loss)
                compiled.optimizer.build(compiled.trainable_variables)
            restart(compiled, model.get_weights(), rate)
            return run(compiled)

        by_rate = {rate: result(rate, 0) for rate in rates}
        rate = max(rates, key=lambda rate: by_rate[rate][0])
        results = [by_rate[rate], *(result(rate, seed) for seed in range(1, options.seeds))]
        cells = [spread(values) for values in list(zip(*results, strict=True))[1:]]
        print(f"{name:24}" + "".join(f"{cell:32}" for cell in cells) + f"{rate:g}", flush=True)


def restart(model, weights, rate):
    """Gives a model its starting weights, and its optimizer a learning rate and no past."""
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = rate


def momentum(rate, **arguments):
    return keras.optimizers.SGD(rate, momentum=0.9, **arguments)


def spread(values):
    """Returns the median and the range of numbers; a number that they all are alone."""
    median, low, high = (f"{f(values):.3g}" for f in (statistics.median, min, max))
    return median if low == high else f"{median} [{low} to {high}]"


def accuracy_of(model, x, y):
    return float(np.mean(keras.ops.convert_to_numpy(model(x)).argmax(-1) == y))


def digits(shape=(64,)):
    """Returns standardized images of digits: for training and for testing, and their labels."""
    images, labels = load_digits(return_X_y=True)
    images = ((images - images.mean()) / images.std()).astype("float32").reshape(-1, *shape)
    return train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)


def photograph(name):
    """Returns a photograph in grey, from 0 to 1, of half its size."""
    grey = load_sample_image(name).mean(-1) / 255
    height, width = (size // 2 * 2 for size in grey.shape)
    return halved(grey[:height, :width]).astype("float32")


def halved(images):
    """Returns the mean of every four pixels."""
    *samples, height, width = images.shape
    return images.reshape(*samples, height // 2, 2, width // 2, 2).mean((-3, -1))


def patches(image, size=64, step=16):
    """Returns patches of half the size, and as they are, which is what to make of them."""
    height, width = image.shape
    large = np.stack(
        [
            image[top : top + size, left : left + size]
            for top in range(0, height - size, step)
            for left in range(0, width - size, step)
        ]
    )
    return halved(large)[..., None], large[..., None]


def shuffled(pixels):
    """Makes one pixel of four channels into four pixels, as `tf.nn.depth_to_space` does."""
    _, height, width, _ = pixels.shape
    blocks = keras.ops.reshape(pixels, (-1, height, width, 2, 2, 1))
    blocks = keras.ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    return keras.ops.reshape(blocks, (-1, 2 * height, 2 * width, 1))


def grid_power(images):
    """Returns the share of power, of all but the mean, that has a period of two pixels."""
    power = abs(np.fft.fft2(images[..., 0].astype("float64"))) ** 2
    half = power.shape[-1] // 2
    grid = power[:, half, 0] + power[:, 0, half] + power[:, half, half]
    return np.mean(grid / (power.sum((1, 2)) - power[:, 0, 0]))


def draw(path, photograph, given, images):
    """Draws a photograph, what is given of it, and what the networks make of that."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    rows = figure.subplots(2, 3)
    images = {None: (photograph, given), **images}
    for column, (name, pair) in enumerate(images.items()):
        for row, (when, image) in enumerate(zip(("before", "after"), pair, strict=True)):
            rows[row, column].imshow(image[..., 0], cmap="gray")
            title = f"{name}, {when} training" if name else ("photograph", "given")[row]
            rows[row, column].set_title(title, fontsize="medium")
    for ax in rows.flat:
        ax.set_axis_off()
    figure.savefig(path, dpi=100)


def sine(z):
    return keras.ops.sin(30.0 * z)


CLAIMS = (siren, fourier, chrono, irnn, icnr, prior, looks_linear, delta, sparse, mimetic)


def main():
    names = {claim.__name__: claim for claim in CLAIMS}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="+", choices=["all", *names])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=pathlib.Path, help="where `icnr` draws what it makes")
    options = parser.parse_args()
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {options.seeds} seeds")
    for name in names if "all" in options.claims else options.claims:
        print(f"\n{name}: {inspect.getdoc(names[name]).splitlines()[0]}")
        begin = time.perf_counter()
        names[name](options)
        print(f"({time.perf_counter() - begin:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
