"""Is a model in the style of known libraries ever worse after `initialize` than its author's start?

Small models, written here in the style of keras.io and of the papers, with the initializers that
such code gives; tasks that are generated or scikit-learn's digits. Each trains with Adam from three
starts, in pairs of the same seeds and batches:

- `own`: the author's own start, `initialize(model, "own")`;
- `kept`: `initialize(model)`, which keeps what is special;
- `none`: `initialize(model, keep="none")`, which does not.

It prints the loss over the last quarter of the steps, mean and standard deviation over the seeds,
for each rate. "worse" marks a mean above that from the author's start by more than both deviations.

    KERAS_BACKEND=jax python benchmarks/libraries.py [--models gpt2 ...] [--starts own kept none]
"""

import argparse
import statistics

import keras
import numpy as np
from keras import initializers, layers, ops
from sklearn.datasets import load_digits

import keras_winit

RATES = (3e-3, 3e-4)
STARTS = {
    "own": {"scheme": "own"},
    "kept": {},
    "none": {"keep": "none"},
}
BATCH, SIZE, WORDS, LENGTH = 32, 32, 16, 16

# Tasks: a function of a seed and a number of samples to inputs and targets.


def copying(seed, number):
    """Symbols, a mark, and the same symbols again: each next one is asked for."""
    half = np.random.default_rng(seed).integers(1, WORDS, (number, LENGTH // 2))
    words = np.concatenate([half, np.zeros((number, 1), int), half], axis=1)
    return words[:, :-1], words[:, 1:]


def masked(seed, number):
    """Symbols that repeat with a period of 4, a quarter of them hidden: all are asked for."""
    random = np.random.default_rng(seed)
    words = np.tile(random.integers(1, WORDS, (number, 4)), LENGTH // 4)
    return np.where(random.random(words.shape) < 0.25, 0, words), words


def _digits(seed, number):
    images, labels = load_digits(return_X_y=True)
    chosen = np.random.default_rng(seed).integers(0, len(images), number)
    return (images[chosen] / 8 - 1).astype("float32").reshape(-1, 8, 8, 1), labels[chosen]


def digits(seed, number):
    return _digits(seed, number)


def digits_as_sequence(seed, number):
    images, labels = _digits(seed, number)
    return images.reshape(-1, 64, 1), labels


def denoising(seed, number):
    """Digits with noise of a known size; the noise is asked for."""
    images, _ = _digits(seed, number)
    random = np.random.default_rng(seed + 1)
    time = random.uniform(0, 1, number).astype("float32")
    noise = random.standard_normal(images.shape).astype("float32")
    angle = (time * np.pi / 2).reshape(-1, 1, 1, 1)
    return {"images": np.cos(angle) * images + np.sin(angle) * noise, "time": time}, noise


# Parts.


@keras.saving.register_keras_serializable("libraries")
class Positions(layers.Layer):
    """Adds a table of positions."""

    def __init__(self, initializer, **arguments):
        super().__init__(**arguments)
        self.table = layers.Embedding(LENGTH, SIZE, initializer)

    def build(self, shape):
        self.table.build((LENGTH,))

    def call(self, x):
        return x + self.table(ops.arange(x.shape[1]))


def attention(x, heads=4, causal=False, scaled=True, query=None, **dense):
    """Attention of dense layers, as code that does without Keras's writes it."""
    size, number = x.shape[-1], x.shape[1]

    def split(y):
        return ops.transpose(ops.reshape(y, (-1, number, heads, size // heads)), (0, 2, 1, 3))

    q, k, v = (
        split(layers.Dense(size, **(query if query and name == "query" else dense))(x))
        for name in ("query", "key", "value")
    )
    scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2)))
    if scaled:
        scores = scores / (size // heads) ** 0.5
    if causal:
        scores = scores - 1e9 * np.triu(np.ones((number, number), "float32"), 1)
    y = ops.transpose(ops.matmul(ops.softmax(scores), v), (0, 2, 1, 3))
    return layers.Dense(size, **dense)(ops.reshape(y, (-1, number, size)))


# Models: a function to a model, its task and its loss.

CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def ddpm():
    """keras.io's denoising diffusion: ends of branches, attention and output at 1e-10."""
    return unet(lambda scale: initializers.VarianceScaling(max(scale, 1e-10), "fan_avg", "uniform"))


def zero_unet():
    """The same with zeros at these ends, and Keras's defaults elsewhere."""
    return unet(lambda scale: "glorot_uniform" if scale else "zeros")


def unet(kernel):

    def block(x, width, time):
        shortcut = x if x.shape[-1] == width else conv(width, 1, 1.0)(x)
        time = layers.Dense(width, kernel_initializer=kernel(1.0))(layers.Activation("silu")(time))
        y = layers.Activation("silu")(layers.GroupNormalization(4)(x))
        y = conv(width, 3, 1.0)(y) + ops.reshape(time, (-1, 1, 1, width))
        y = layers.Activation("silu")(layers.GroupNormalization(4)(y))
        return layers.Add()([shortcut, conv(width, 3, 0.0)(y)])

    def attend(x):
        y = ops.reshape(layers.GroupNormalization(4)(x), (-1, x.shape[1] * x.shape[2], x.shape[3]))
        q, k, v = (layers.Dense(x.shape[3], kernel_initializer=kernel(1.0))(y) for _ in range(3))
        weights = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / x.shape[3] ** 0.5)
        y = layers.Dense(x.shape[3], kernel_initializer=kernel(0.0))(ops.matmul(weights, v))
        return layers.Add()([x, ops.reshape(y, (-1, *x.shape[1:]))])

    def conv(width, taps, scale):
        return layers.Conv2D(width, taps, padding="same", kernel_initializer=kernel(scale))

    images, time = keras.Input((8, 8, 1), name="images"), keras.Input((), name="time")
    waves = ops.expand_dims(time, -1) * np.geomspace(1, 100, 8).astype("float32")
    t = ops.concatenate([ops.sin(waves), ops.cos(waves)], -1)
    t = layers.Dense(32, "silu", kernel_initializer=kernel(1.0))(t)
    t = layers.Dense(32, kernel_initializer=kernel(1.0))(t)
    first = x = block(conv(16, 3, 1.0)(images), 16, t)
    x = layers.Conv2D(16, 3, 2, "same", kernel_initializer=kernel(1.0))(x)
    x = block(attend(block(x, 24, t)), 24, t)
    x = conv(16, 3, 1.0)(layers.UpSampling2D()(x))
    x = block(layers.Concatenate()([x, first]), 16, t)
    x = layers.Activation("silu")(layers.GroupNormalization(4)(x))
    return keras.Model({"images": images, "time": time}, conv(1, 3, 0.0)(x)), denoising, "mse"


def gpt2(stddev=0.02):
    def normal():
        return initializers.RandomNormal(stddev=stddev)

    def dense(units, activation=None):
        return layers.Dense(units, activation, kernel_initializer=normal())

    words = keras.Input((LENGTH,), dtype="int32")
    x = Positions(normal())(layers.Embedding(WORDS, SIZE, normal())(words))
    for _ in range(3):
        y = layers.LayerNormalization()(x)
        x = x + attention(y, causal=True, kernel_initializer=normal())
        y = dense(4 * SIZE, "gelu")(layers.LayerNormalization()(x))
        x = x + dense(SIZE)(y)
    return keras.Model(words, dense(WORDS)(layers.LayerNormalization()(x))), copying, CROSSENTROPY


def llama():
    def normal():
        return initializers.RandomNormal(stddev=0.02)

    def dense(units, activation=None):
        return layers.Dense(units, activation, use_bias=False, kernel_initializer=normal())

    words = keras.Input((LENGTH,), dtype="int32")
    x = Positions(normal())(layers.Embedding(WORDS, SIZE, normal())(words))
    for _ in range(3):
        y = layers.RMSNormalization()(x)
        x = x + attention(y, causal=True, use_bias=False, kernel_initializer=normal())
        y = layers.RMSNormalization()(x)
        x = x + dense(SIZE)(dense(2 * SIZE, "silu")(y) * dense(2 * SIZE)(y))
    return keras.Model(words, dense(WORDS)(layers.RMSNormalization()(x))), copying, CROSSENTROPY


def bert():
    """Post-norm, Keras's attention, a truncated normal of 0.02."""

    def normal():
        return initializers.TruncatedNormal(stddev=0.02)

    words = keras.Input((LENGTH,), dtype="int32")
    x = Positions(normal())(layers.Embedding(WORDS, SIZE, normal())(words))
    x = layers.LayerNormalization()(x)
    for _ in range(2):
        y = layers.MultiHeadAttention(4, SIZE // 4, kernel_initializer=normal())(x, x)
        x = layers.LayerNormalization()(x + y)
        y = layers.Dense(4 * SIZE, "gelu", kernel_initializer=normal())(x)
        y = layers.Dense(SIZE, kernel_initializer=normal())(y)
        x = layers.LayerNormalization()(x + y)
    output = layers.Dense(WORDS, kernel_initializer=normal())(x)
    return keras.Model(words, output), masked, CROSSENTROPY


def t5():
    """Attention without 1 / sqrt(head), which the queries carry; no biases."""

    def normal(variance):
        return initializers.RandomNormal(stddev=variance**-0.5)

    words = keras.Input((LENGTH,), dtype="int32")
    x = Positions(normal(1))(layers.Embedding(WORDS, SIZE, normal(1))(words))
    for _ in range(2):
        others = {"use_bias": False, "kernel_initializer": normal(SIZE)}
        query = {"use_bias": False, "kernel_initializer": normal(SIZE * (SIZE // 4))}
        x = x + attention(layers.RMSNormalization()(x), scaled=False, query=query, **others)
        y = layers.Dense(4 * SIZE, "relu", **others)(layers.RMSNormalization()(x))
        last = {"use_bias": False, "kernel_initializer": normal(4 * SIZE)}
        x = x + layers.Dense(SIZE, **last)(y)
    output = layers.Dense(WORDS)(layers.RMSNormalization()(x))
    return keras.Model(words, output), masked, CROSSENTROPY


def transformer():
    """keras.io's text classification, all at Keras's defaults: post-norm, relu."""
    words = keras.Input((LENGTH,), dtype="int32")
    x = Positions("uniform")(layers.Embedding(WORDS, SIZE)(words))
    for _ in range(2):
        y = layers.MultiHeadAttention(4, SIZE // 4)(x, x)
        x = layers.LayerNormalization()(x + y)
        y = layers.Dense(SIZE)(layers.Dense(2 * SIZE, "relu")(x))
        x = layers.LayerNormalization()(x + y)
    return keras.Model(words, layers.Dense(WORDS)(x)), masked, CROSSENTROPY


def vit():
    """keras.io's vision transformer, all at Keras's defaults."""
    images = keras.Input((8, 8, 1))
    x = layers.Reshape((16, SIZE))(layers.Conv2D(SIZE, 2, 2)(images))
    x = Positions("uniform")(x)
    for _ in range(3):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, SIZE // 4)(y, y)])
        y = layers.Dense(2 * SIZE, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(SIZE, "gelu")(y)])
    x = layers.Flatten()(layers.LayerNormalization()(x))
    return keras.Model(images, layers.Dense(10)(layers.Dense(64, "gelu")(x))), digits, CROSSENTROPY


def residual_mlp():
    """Branches whose last kernel is zero, no normalization."""
    images = keras.Input((8, 8, 1))
    x = layers.Dense(64)(layers.Flatten()(images))
    for _ in range(12):
        y = layers.Dense(64, "relu", kernel_initializer="he_normal")(x)
        x = x + layers.Dense(64, kernel_initializer="zeros")(y)
    return keras.Model(images, layers.Dense(10)(x)), digits, CROSSENTROPY


def resnet():
    """He's fan_out and a last gamma of zero, as reference code has them."""

    def conv(x, strides=1):
        he = initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        return layers.Conv2D(16, 3, strides, "same", use_bias=False, kernel_initializer=he)(x)

    images = keras.Input((8, 8, 1))
    x = layers.ReLU()(layers.BatchNormalization()(conv(images)))
    for _ in range(3):
        y = layers.ReLU()(layers.BatchNormalization()(conv(x)))
        y = layers.BatchNormalization(gamma_initializer="zeros")(conv(y))
        x = layers.ReLU()(x + y)
    output = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, output), digits, CROSSENTROPY


def dcgan():
    """A convolutional autoencoder with DCGAN's normal of 0.02, leaky relu and normalization."""

    def normal():
        return initializers.RandomNormal(stddev=0.02)

    images = keras.Input((8, 8, 1), name="images")
    time = keras.Input((), name="time")
    x = images
    for width in (16, 32):
        x = layers.Conv2D(width, 4, 2, "same", kernel_initializer=normal())(x)
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    for width in (16, 8):
        x = layers.Conv2DTranspose(width, 4, 2, "same", kernel_initializer=normal())(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    output = layers.Conv2D(1, 3, padding="same", kernel_initializer=normal())(x)
    return keras.Model({"images": images, "time": time}, output), denoising, "mse"


def irnn():
    """A relu network that starts as the identity from step to step (Le et al., 2015)."""
    inputs = keras.Input((64, 1))
    x = layers.SimpleRNN(
        32,
        "relu",
        kernel_initializer=initializers.RandomNormal(stddev=0.001),
        recurrent_initializer="identity",
    )(inputs)
    return keras.Model(inputs, layers.Dense(10)(x)), digits_as_sequence, CROSSENTROPY


def lstm():
    inputs = keras.Input((64, 1))
    x = layers.LSTM(32)(inputs)
    return keras.Model(inputs, layers.Dense(10)(x)), digits_as_sequence, CROSSENTROPY


MODELS = (
    *(ddpm, zero_unet, dcgan, gpt2, llama, bert, t5, transformer, vit),
    *(residual_mlp, resnet, irnn, lstm),
)


def final_loss(model, start, rate, data, known):
    """Returns the mean loss over the last quarter of the steps; the same start trains once."""
    keras_winit.initialize(model, **start, optimizer=True)
    key = start["seed"], rate, b"".join(each.tobytes() for each in model.get_weights())
    if key not in known:
        known[key] = _train(model, rate, data)
    return known[key]


def _train(model, rate, data):
    model.optimizer.learning_rate.assign(rate)
    x, y = data
    quarter = 3 * len(y) // 4 // BATCH * BATCH
    for part in (slice(None, quarter), slice(quarter, None)):
        cut = {name: each[part] for name, each in x.items()} if isinstance(x, dict) else x[part]
        history = model.fit(cut, y[part], batch_size=BATCH, shuffle=False, verbose=0)
    return history.history["loss"][-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [build.__name__ for build in MODELS]
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--starts", nargs="+", default=[*STARTS], choices=[*STARTS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{'model':14}{'rate':>8}" + "".join(f"{start:>20}" for start in arguments.starts))
    for name in arguments.models:
        keras.utils.set_random_seed(0)
        model, task, loss = globals()[name]()
        model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0), loss)
        known = {}
        data = [task(seed, arguments.steps * BATCH) for seed in range(arguments.seeds)]
        for rate in RATES:
            cells, own = "", None
            for start in arguments.starts:
                losses = [
                    final_loss(model, {**STARTS[start], "seed": seed}, rate, data[seed], known)
                    for seed in range(arguments.seeds)
                ]
                mean = statistics.mean(losses)
                spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
                own = own or (mean, spread)
                worse = " worse" if mean > own[0] + spread + own[1] else ""
                cells += f"{mean:.3f} ±{spread:.3f}{worse}".rjust(20)
            print(f"{name:14}{rate:8g}{cells}", flush=True)


if __name__ == "__main__":
    main()
