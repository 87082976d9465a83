"""Is a start ever worse than the usual ones? Ordinary and deep networks, from every start.

For every network and start: the mean loss of the first epoch and the score on test data at the best
of several rates, as mean and standard deviation over the seeds. Scores are accuracies where classes
are told apart, otherwise the share of the variance that is explained; of adversaries, 1 less the
distance of what is made from the data, as normal distributions, as such a share. Data are those of
scikit-learn or generated.

    KERAS_BACKEND=jax python benchmarks/never_worse.py [--networks "relu 6" ...] [--seeds 3]
        [--starts keras he_normal suggested mirrored "suggested*0.3"] [--optimizer sgd]
        [--rates 0.01 0.003 0.001]

On JAX all runs of a network are compiled as one, which is the fastest but for convolutions: those
take `KERAS_BACKEND=tensorflow`. A start is a scheme of `initialize`, `.02` for normal numbers of
that size, `anyinit` for what AnyInit gives (PyPI `anyinit`), `calibrated` for `suggested` and then
`calibrate`, or `lsuv`: orthogonal, then scaled on a batch. A number behind it multiplies the kernel
of the output, one before it that of the first layer: `"5*suggested"`. One behind an @ is its
`scale`, for all kernels: `suggested@0.5`.
"""

import argparse
import functools
import itertools
import re
import time

import keras
import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.model_selection import train_test_split

import keras_winit

layers = keras.layers
ops = keras.ops

RATES = {"adam": (3e-3, 1e-3, 3e-4), "sgd": (1e-1, 3e-2, 1e-2, 3e-3)}
BATCH = 64


@functools.cache
def digits(*shape):
    """Returns images and classes to train on, then those to test on."""
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype("float32").reshape(-1, *shape)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    return x, y, x_test, y_test


def split(x, y, number=448):
    return *(each[:-number] for each in (x, y)), *(each[-number:] for each in (x, y))


def same(*shape):
    """Images, to be given back."""
    x, _, x_test, _ = digits(*shape)
    return x, x, x_test, x_test


def noisy():
    """Images with noise of several sizes, and the noise."""
    rng = np.random.default_rng(0)
    x, _ = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).reshape(-1, 8, 8, 1)
    angle = rng.uniform(0, np.pi / 2, (len(x), 1, 1, 1)) * np.ones_like(x)
    noise = rng.normal(size=x.shape)
    seen = np.concatenate([np.cos(angle) * x + np.sin(angle) * noise, angle], -1)
    return split(seen.astype("float32"), noise.astype("float32"))


def beside_noise():
    """Images and sixteen random numbers, and the images."""
    x, _, x_test, _ = digits(64)
    rng = np.random.default_rng(0)
    beside = [np.concatenate([each, rng.normal(size=(len(each), 16))], 1) for each in (x, x_test)]
    return beside[0].astype("float32"), x, beside[1].astype("float32"), x_test


def inked():
    """Images with noise, twice, and for each pixel whether there is ink."""
    x, _ = load_digits(return_X_y=True)
    y = (x > 6).reshape(-1, 8, 8).astype("int32")
    x = ((x - x.mean()) / x.std()).reshape(-1, 8, 8, 1)
    x = x + np.random.default_rng(0).normal(size=(len(x), 8, 8, 2))
    return split(x.astype("float32"), y)


def small():
    """Images of a quarter of the pixels, and the whole."""
    x, _, x_test, _ = digits(8, 8, 1)
    halves = [each.reshape(-1, 4, 2, 4, 2, 1).mean((2, 4)) for each in (x, x_test)]
    return halves[0], x, halves[1], x_test


def columns():
    """Numbers of a table, of which some make up the target."""
    x, y = make_friedman1(1792, noise=0.5, random_state=0)
    x, y = (x - 0.5) * np.sqrt(12), (y - y.mean()) / y.std()
    return split(x.astype("float32"), y.astype("float32")[:, None])


def patients():
    """Numbers of a table, and how far a disease went on."""
    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(0), (y - y.mean()) / y.std()
    order = np.random.default_rng(0).permutation(len(x))
    return split(x[order].astype("float32"), y[order].astype("float32")[:, None], 112)


def taught(outputs=3):
    """Normal numbers, and what a random network of two layers makes of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1792, 20))
    y = np.tanh(x @ rng.normal(size=(20, 8)) / np.sqrt(5)) @ rng.normal(size=(8, outputs))
    return split(x.astype("float32"), (y / y.std()).astype("float32"))


def ratings():
    """Pairs of a user and an item, and what the one thinks of the other."""
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(2, 50, 3))
    pairs = rng.integers(50, size=(1792, 2))
    y = (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(1) / np.sqrt(3)
    return split(pairs.astype("int32"), y.astype("float32")[:, None])


def delayed():
    """Tokens, and for each the one that was three places before."""
    tokens = np.random.default_rng(0).integers(1, 12, size=(1792, 15))
    return split(tokens[:, 3:].astype("int32"), tokens[:, :-3])


def dense(activation, depth, width, normalized=False, inputs=64, outputs=10):
    """Returns a plain network of that many kernels."""
    hidden = []
    for _ in range(depth - 1):
        hidden.append(layers.Dense(width))
        hidden += [layers.BatchNormalization()] * normalized
        hidden.append(layers.Activation(activation))
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])


def convolutions(activation, depth, width, normalized=False):
    """Returns a plain network of that many kernels, in two stages of which the second is wider."""
    hidden = []
    for number in range(depth - 1):
        is_second = number >= (depth - 1) // 2
        is_first_there = number == (depth - 1) // 2
        hidden.append(layers.Conv2D(width * (1 + is_second), 3, 1 + is_first_there, padding="same"))
        hidden += [layers.BatchNormalization()] * normalized
        hidden.append(layers.Activation(activation))
    head = (layers.GlobalAveragePooling2D(), layers.Dense(10))
    return keras.Sequential([keras.Input((8, 8, 1)), *hidden, *head])


def pooled(depth=2, normalized=False):
    """Two stages of convolutions that end in maximum pooling, then dense layers with dropout."""
    hidden = []
    for width in (16, 32):
        for _ in range(depth):
            hidden.append(layers.Conv2D(width, 3, padding="same"))
            hidden += [layers.BatchNormalization()] * normalized
            hidden.append(layers.ReLU())
        hidden.append(layers.MaxPooling2D())
    head = (layers.Flatten(), layers.Dense(64, "relu"), layers.Dropout(0.3), layers.Dense(10))
    return keras.Sequential([keras.Input((8, 8, 1)), *hidden, *head])


def concatenated(blocks, width=16):
    """A DenseNet: each block sees all that those before it have given."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, 2, padding="same")(inputs)
    for _ in range(blocks):
        y = layers.Conv2D(2 * width, 1)(layers.ReLU()(layers.BatchNormalization()(x)))
        y = layers.ReLU()(layers.BatchNormalization()(y))
        x = layers.Concatenate()([x, layers.Conv2D(width, 3, padding="same")(y)])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(inputs, layers.Dense(10)(x))


def autoencoder(activation="relu"):
    widths = (64, 32, 8, 32, 64)
    hidden = [layers.Dense(width, None if width == 8 else activation) for width in widths]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(64)])


class Sample(layers.Layer):
    """Draws from normal distributions, whose distance from the standard one is a loss."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator()

    def call(self, x):
        mean, log_variance = ops.split(x, 2, axis=-1)
        distance = ops.exp(log_variance) + mean**2 - 1 - log_variance
        self.add_loss(0.002 * ops.mean(ops.sum(distance, -1)))
        return mean + ops.exp(log_variance / 2) * keras.random.normal(
            ops.shape(mean), seed=self.seed
        )


def variational():
    encoder = [layers.Dense(64, "relu"), layers.Dense(32, "relu"), layers.Dense(16), Sample()]
    decoder = [layers.Dense(32, "relu"), layers.Dense(64, "relu"), layers.Dense(64)]
    return keras.Sequential([keras.Input((64,)), *encoder, *decoder])


def residual(blocks, width=16, normalized=True):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, padding="same")(inputs)
    for number in range(blocks):
        y = x
        for stride in (1 + (number == blocks // 2), 1):
            y = layers.BatchNormalization()(y) if normalized else y
            filters = width * (1 + (number >= blocks // 2))
            y = layers.Conv2D(filters, 3, stride, padding="same")(layers.ReLU()(y))
        if y.shape != x.shape:
            x = layers.Conv2D(y.shape[-1], 1, 2)(x)
        x = x + y
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))


def u_net(activation="silu", width=16, outputs=1):
    def twice(x, width):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation=activation)(x)
        return x

    inputs = keras.Input((8, 8, 2))
    above = twice(inputs, width)
    below = twice(layers.AveragePooling2D(2)(above), 2 * width)
    lowest = twice(layers.AveragePooling2D(2)(below), 2 * width)
    below = twice(layers.Concatenate()([layers.UpSampling2D()(lowest), below]), 2 * width)
    above = twice(layers.Concatenate()([layers.UpSampling2D()(below), above]), width)
    return keras.Model(inputs, layers.Conv2D(outputs, 3, padding="same")(above))


def diffusion(width=16):
    """The U-Net of a diffusion model: residual blocks that know the noise, and attention."""
    inputs = keras.Input((8, 8, 2))
    angle = inputs[:, :1, :1, 1:] * 2.0 ** np.arange(4)
    noise = ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1)
    noise = layers.Dense(32, "silu")(layers.Dense(32, "silu")(noise))

    def block(x, width):
        y = layers.Activation("silu")(layers.GroupNormalization(4)(x))
        y = layers.Conv2D(width, 3, padding="same")(y) + layers.Dense(width)(noise)
        y = layers.Activation("silu")(layers.GroupNormalization(4)(y))
        y = layers.Conv2D(width, 3, padding="same")(y)
        return y + (x if x.shape[-1] == width else layers.Conv2D(width, 1)(x))

    x = layers.Conv2D(width, 3, padding="same")(inputs[..., :1])
    above = block(x, width)
    below = block(layers.AveragePooling2D(2)(above), 2 * width)
    y = layers.Reshape((16, 2 * width))(layers.GroupNormalization(4)(below))
    y = layers.MultiHeadAttention(2, width)(y, y)
    x = block(below + layers.Reshape((4, 4, 2 * width))(y), 2 * width)
    x = block(layers.Concatenate()([x, below]), 2 * width)
    x = block(layers.Concatenate()([layers.UpSampling2D()(x), above]), width)
    x = layers.Activation("silu")(layers.GroupNormalization(4)(x))
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same")(x))


class Adversaries(keras.Model):
    """A generator of images and its critic, which learn from each other."""

    def __init__(self, generator, critic):
        super().__init__()
        self.generator, self.critic = self.parts = generator, critic
        self.build((None, 80))

    def call(self, x, training=False):
        images, noise = x[:, :64], x[:, 64:]
        made = self.generator(noise, training=training)
        # The generator gets the gradient of softplus(-critic), the critic that of its own loss.
        reversal = ops.stop_gradient(ops.exp(ops.clip(-self.critic(made), -7, 7)))
        seen = (1 + reversal) * ops.stop_gradient(made) - reversal * made
        told = self.critic(images), self.critic(seen)
        self.add_loss(ops.mean(ops.softplus(-told[0]) + ops.softplus(told[1])))
        return ops.stop_gradient(made)

    def score(self, made, images):
        """Returns 1 - the Fréchet distance of normal distributions, as a share of the variance."""
        if not np.isfinite(made).all():
            return np.nan
        covariances = [np.cov(each.T.astype("float64")) for each in (made, images)]
        common = np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)
        variances = [np.trace(each) for each in covariances]
        means = np.sum((made.mean(0) - images.mean(0)) ** 2)
        return 1 - (means + sum(variances) - 2 * np.sqrt(common).sum()) / variances[1]


def adversaries():
    generator = [layers.Dense(128, "relu") for _ in range(3)]
    critic = [layers.Dense(128, layers.LeakyReLU(0.2)) for _ in range(3)]
    return Adversaries(
        keras.Sequential([keras.Input((16,)), *generator, layers.Dense(64)]),
        keras.Sequential([keras.Input((64,)), *critic, layers.Dense(1)]),
    )


def adversaries_of_convolutions():
    """As in DCGAN: strides, batch normalization in the generator, leaky relu in the critic."""
    arguments = {"kernel_size": 4, "strides": 2, "padding": "same"}
    generator = [layers.Dense(256), layers.BatchNormalization(), layers.ReLU()]
    generator += [layers.Reshape((2, 2, 64)), layers.Conv2DTranspose(32, **arguments)]
    generator += [layers.BatchNormalization(), layers.ReLU()]
    generator += [layers.Conv2DTranspose(1, **arguments), layers.Flatten()]
    critic = [layers.Reshape((8, 8, 1)), layers.Conv2D(32, **arguments), layers.LeakyReLU(0.2)]
    critic += [layers.Conv2D(64, **arguments), layers.LeakyReLU(0.2), layers.Flatten()]
    return Adversaries(
        keras.Sequential([keras.Input((16,)), *generator]),
        keras.Sequential([keras.Input((64,)), *critic, layers.Dense(1)]),
    )


def denoiser(activation, depth, width=16):
    """A plain network of that many convolutions, which gives images."""
    hidden = [
        layers.Conv2D(width, 3, padding="same", activation=activation) for _ in range(depth - 1)
    ]
    output = layers.Conv2D(1, 3, padding="same")
    return keras.Sequential([keras.Input((8, 8, 2)), *hidden, output])


def enlarger(activation):
    """Convolutions, then twice as many pixels, then convolutions."""

    def convolution(width):
        return layers.Conv2D(width, 3, padding="same", activation=activation)

    before = [convolution(32), convolution(32), convolution(16), layers.UpSampling2D()]
    output = layers.Conv2D(1, 3, padding="same")
    return keras.Sequential([keras.Input((4, 4, 1)), *before, convolution(16), output])


def through_strides(activation, code=()):
    """An autoencoder of convolutions, with a code of eight numbers, or of other layers."""
    arguments = {"kernel_size": 3, "strides": 2, "padding": "same", "activation": activation}
    encoder = [layers.Conv2D(16, **arguments), layers.Conv2D(32, **arguments), layers.Flatten()]
    decoder = [layers.Dense(128, activation), layers.Reshape((2, 2, 32))]
    decoder += [layers.Conv2DTranspose(width, **arguments) for width in (32, 16)]
    output = layers.Conv2D(1, 3, padding="same")
    code = code or [layers.Dense(8)]
    return keras.Sequential([keras.Input((8, 8, 1)), *encoder, *code, *decoder, output])


def recurrent(cell, **arguments):
    return keras.Sequential([keras.Input((8, 8)), cell(48, **arguments), layers.Dense(10)])


class Positions(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_uniform")

    def call(self, x):
        return x + self.table


def transformer(kind, blocks=4, width=32):
    is_causal = kind == "causal"
    inputs = keras.Input((12,), dtype="int32") if is_causal else keras.Input((8, 8))
    x = layers.Embedding(12, width)(inputs) if is_causal else layers.Dense(width)(inputs)
    x = Positions()(x)

    def attention(x):
        return layers.MultiHeadAttention(2, width // 2)(x, x, use_causal_mask=is_causal)

    for _ in range(blocks):
        feed_forward = keras.Sequential([layers.Dense(2 * width, "gelu"), layers.Dense(width)])
        for branch in (attention, feed_forward):
            if kind == "post-norm":
                x = layers.LayerNormalization()(x + branch(x))
            else:
                x = x + branch(layers.LayerNormalization()(x))
    x = layers.LayerNormalization()(x)
    if not is_causal:
        x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(12 if is_causal else 10)(x))


def mixer(blocks=4, width=32):
    inputs = keras.Input((8, 8))
    x = layers.Dense(width)(inputs)
    for _ in range(blocks):
        y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        y = layers.Dense(8)(layers.Dense(16, "gelu")(y))
        x = x + layers.Permute((2, 1))(y)
        y = layers.Dense(2 * width, "gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(width)(y)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def gated(blocks, width=64, at_once=False):
    inputs = x = keras.Input((64,))
    for _ in range(blocks):
        if at_once:
            x = keras.activations.glu(layers.Dense(2 * width)(x))
        else:
            x = layers.Multiply()([layers.Dense(width)(x), layers.Dense(width, "silu")(x)])
    return keras.Model(inputs, layers.Dense(10)(x))


def highway(blocks, width=40):
    inputs = keras.Input((64,))
    x = layers.Dense(width, "relu")(inputs)
    for _ in range(blocks):
        gate = layers.Dense(width, "sigmoid", bias_initializer=keras.initializers.Constant(-2))(x)
        x = gate * layers.Dense(width, "relu")(x) + (1 - gate) * x
    return keras.Model(inputs, layers.Dense(10)(x))


def self_normalizing(depth, width=50):
    hidden = [[layers.Dense(width, "selu"), layers.AlphaDropout(0.05)] for _ in range(depth - 1)]
    return keras.Sequential([keras.Input((64,)), *sum(hidden, []), layers.Dense(10)])


def recommender(width=16):
    inputs = keras.Input((2,), dtype="int32")
    embedded = [layers.Embedding(50, width)(inputs[:, place]) for place in range(2)]
    x = layers.Concatenate()(embedded)
    for _ in range(3):
        x = layers.Dense(32, "relu")(x)
    return keras.Model(inputs, layers.Dense(1)(x))


# Functions that return the model and (x, y) to train on and to test on.
NETWORKS = {
    "relu 4": (lambda: dense("relu", 4, 128), lambda: digits(64)),
    "relu 5, BatchNormalization": (lambda: dense("relu", 5, 64, True), lambda: digits(64)),
    "silu 4, BatchNormalization": (lambda: dense("silu", 4, 128, True), lambda: digits(64)),
    "relu 6": (lambda: dense("relu", 6, 128), lambda: digits(64)),
    "relu 6, narrow": (lambda: dense("relu", 6, 32), lambda: digits(64)),
    "silu 5, wide": (lambda: dense("silu", 5, 256), lambda: digits(64)),
    "gelu 8": (lambda: dense("gelu", 8, 128), lambda: digits(64)),
    "softplus 10": (lambda: dense("softplus", 10, 128), lambda: digits(64)),
    "relu 12": (lambda: dense("relu", 12, 128), lambda: digits(64)),
    "relu 12, BatchNormalization": (lambda: dense("relu", 12, 64, True), lambda: digits(64)),
    "silu 20": (lambda: dense("silu", 20, 64), lambda: digits(64)),
    "relu 30, BatchNormalization": (lambda: dense("relu", 30, 64, True), lambda: digits(64)),
    "relu 50": (lambda: dense("relu", 50, 64), lambda: digits(64)),
    "gelu 40": (lambda: dense("gelu", 40, 64), lambda: digits(64)),
    "silu 40": (lambda: dense("silu", 40, 64), lambda: digits(64)),
    "tanh 50": (lambda: dense("tanh", 50, 64), lambda: digits(64)),
    "sigmoid 10": (lambda: dense("sigmoid", 10, 64), lambda: digits(64)),
    "tanh 6": (lambda: dense("tanh", 6, 64), lambda: digits(64)),
    "table, relu 4": (lambda: dense("relu", 4, 64, inputs=10, outputs=1), columns),
    "table, relu 8": (lambda: dense("relu", 8, 64, inputs=10, outputs=1), columns),
    "patients, relu 3": (lambda: dense("relu", 3, 64, inputs=10, outputs=1), patients),
    "taught, tanh 3": (lambda: dense("tanh", 3, 64, inputs=20, outputs=3), taught),
    "taught, relu 5": (lambda: dense("relu", 5, 128, inputs=20, outputs=3), taught),
    "taught, silu 10": (lambda: dense("silu", 10, 64, inputs=20, outputs=3), taught),
    "autoencoder": (autoencoder, lambda: same(64)),
    "autoencoder, gelu": (lambda: autoencoder("gelu"), lambda: same(64)),
    "variational autoencoder": (variational, lambda: same(64)),
    "recommender": (recommender, ratings),
    "gated 3": (lambda: gated(3), lambda: digits(64)),
    "gated 12": (lambda: gated(12), lambda: digits(64)),
    "gated 3, glu": (lambda: gated(3, at_once=True), lambda: digits(64)),
    "gated 12, glu": (lambda: gated(12, at_once=True), lambda: digits(64)),
    "highway 20": (lambda: highway(20), lambda: digits(64)),
    "selu 13, AlphaDropout": (lambda: self_normalizing(13), lambda: digits(64)),
    "SimpleRNN": (lambda: recurrent(layers.SimpleRNN), lambda: digits(8, 8)),
    "LSTM": (lambda: recurrent(layers.LSTM), lambda: digits(8, 8)),
    "GRU": (lambda: recurrent(layers.GRU), lambda: digits(8, 8)),
    "MLP-Mixer": (mixer, lambda: digits(8, 8)),
    "transformer, pre-norm": (lambda: transformer("pre-norm"), lambda: digits(8, 8)),
    "transformer, post-norm": (lambda: transformer("post-norm"), lambda: digits(8, 8)),
    "transformer, causal": (lambda: transformer("causal"), delayed),
    "convolutions and pooling": (pooled, lambda: digits(8, 8, 1)),
    "convolutions 12 and pooling": (lambda: pooled(6), lambda: digits(8, 8, 1)),
    "convolutions 12 and pooling, BatchNormalization": (
        lambda: pooled(6, True),
        lambda: digits(8, 8, 1),
    ),
    "DenseNet": (lambda: concatenated(6), lambda: digits(8, 8, 1)),
    "convolutions 8": (lambda: convolutions("relu", 8, 16), lambda: digits(8, 8, 1)),
    "convolutions 12": (lambda: convolutions("relu", 12, 16), lambda: digits(8, 8, 1)),
    "convolutions 20": (lambda: convolutions("relu", 20, 16), lambda: digits(8, 8, 1)),
    "convolutions 8, BatchNormalization": (
        lambda: convolutions("relu", 8, 16, True),
        lambda: digits(8, 8, 1),
    ),
    "convolutions 20, BatchNormalization": (
        lambda: convolutions("relu", 20, 16, True),
        lambda: digits(8, 8, 1),
    ),
    "ResNet": (lambda: residual(4), lambda: digits(8, 8, 1)),
    "ResNet, no normalization": (lambda: residual(4, normalized=False), lambda: digits(8, 8, 1)),
    "U-Net, denoising": (u_net, noisy),
    "U-Net, relu": (lambda: u_net("relu"), noisy),
    "U-Net, segmentation": (lambda: u_net("relu", 8, 2), inked),
    "diffusion": (diffusion, noisy),
    "adversaries": (adversaries, beside_noise),
    "adversaries of convolutions": (adversaries_of_convolutions, beside_noise),
    "denoiser, 6 relu": (lambda: denoiser("relu", 6), noisy),
    "denoiser, 6 silu": (lambda: denoiser("silu", 6), noisy),
    "denoiser, 10 relu": (lambda: denoiser("relu", 10), noisy),
    "enlarged": (lambda: enlarger("relu"), small),
    "autoencoder of convolutions": (lambda: through_strides("relu"), lambda: same(8, 8, 1)),
    "autoencoder of convolutions, gelu": (lambda: through_strides("gelu"), lambda: same(8, 8, 1)),
    "variational autoencoder of convolutions": (
        lambda: through_strides("relu", [layers.Dense(16), Sample()]),
        lambda: same(8, 8, 1),
    ),
}


def start(model, scheme, seed, x):
    """Gives a network its starting weights."""
    keras.utils.set_random_seed(seed)
    pattern = r"(?:([\d.]+)\*)?([^*@]+)(?:@([\d.]+))?(?:\*([\d.]+))?"
    first, scheme, scale, last = re.fullmatch(pattern, scheme).groups()
    scheme = keras.initializers.RandomNormal(stddev=0.02) if scheme == ".02" else scheme
    of = {"anyinit": "keras", "calibrated": "suggested", "lsuv": "orthogonal"}
    given = of.get(scheme, scheme)
    scale = float(scale or 1)
    keras_winit.initialize(model, given, scale=scale, seed=seed, optimizer=model.compiled)
    for part in getattr(model, "parts", ()):
        keras_winit.initialize(part, given, scale=scale, seed=seed)
    if scheme == "anyinit":
        import anyinit

        anyinit.initialize(model, seed=seed)
    if scheme in ("calibrated", "lsuv"):
        keras_winit.calibrate(model, x[:256], mode="auto" if scheme == "calibrated" else "tensor")
    with_kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    if first:
        with_kernels[0].kernel.assign(float(first) * with_kernels[0].kernel)
    if last:
        model.layers[-1].kernel.assign(float(last) * model.layers[-1].kernel)


def train_together(model, data, runs, epochs, optimizer):
    """Returns the loss of the first epoch and the outputs for the test data of every run."""
    import at_once

    x, y, x_test, _ = data
    weights = []
    for scheme, _, seed in runs:
        start(model, scheme, seed, x)
        weights.append(at_once.weights_of(model))
    _, rates, seeds = zip(*runs, strict=True)
    is_classes = np.issubdtype(y.dtype, np.integer)
    loss = at_once.crossentropy if is_classes else at_once.squared_error
    steps = len(x) // BATCH
    losses, outputs = at_once.train_all(
        model,
        weights,
        rates,
        seeds,
        (x, y, x_test),
        loss,
        epochs * steps,
        BATCH,
        getattr(at_once, optimizer),
    )
    return losses[:, :steps].mean(1), outputs


def train_each(model, data, runs, epochs, optimizer):
    """Does the same by `fit`, one after the other."""
    x, y, x_test, _ = data
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = crossentropy if np.issubdtype(y.dtype, np.integer) else "mean_squared_error"
    made = keras.optimizers.Adam() if optimizer == "adam" else keras.optimizers.SGD(momentum=0.9)
    model.compile(made, loss, jit_compile=False)
    losses, outputs = [], []
    for scheme, rate, seed in runs:
        start(model, scheme, seed, x)
        model.optimizer.learning_rate = rate
        history = model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        losses.append(history.history["loss"][0])
        outputs.append(ops.convert_to_numpy(model(x_test, training=False)))
    return losses, outputs


def study(model, data, schemes, seeds, epochs, optimizer, rates):
    """Returns for each start, rate and seed the loss of the first epoch and the score."""
    runs = list(itertools.product(schemes, rates, range(seeds)))
    train = train_together if keras.backend.backend() == "jax" else train_each
    losses, outputs = train(model, data, runs, epochs, optimizer)
    y = data[-1]
    if hasattr(model, "score"):
        scores = [model.score(each, y) for each in outputs]
    elif np.issubdtype(y.dtype, np.integer):
        scores = [(each.argmax(-1) == y).mean() for each in outputs]
    else:
        scores = [1 - np.mean((each - y) ** 2) / y.var() for each in outputs]
    found = np.nan_to_num([losses, scores], nan=-1, neginf=-1)
    return found.reshape(2, len(schemes), len(rates), seeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--starts", nargs="+", default=["keras", "he_normal", "suggested"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--optimizer", choices=RATES, default="adam")
    parser.add_argument("--rates", nargs="+", type=float, help="in place of the usual ones")
    arguments = parser.parse_args()
    rates = arguments.rates or RATES[arguments.optimizer]
    print(f"{'network':48} {'start':14} {'rate':>6} {'loss of epoch 1':>15} {'score':>14}")
    for name in arguments.networks:
        begun = time.perf_counter()
        model, data = (make() for make in NETWORKS[name])
        found = study(
            model,
            data,
            arguments.starts,
            arguments.seeds,
            arguments.epochs,
            arguments.optimizer,
            rates,
        )
        for scheme, losses, scores in zip(arguments.starts, *found, strict=True):
            best = scores.mean(1).argmax()
            print(
                f"{name:48} {scheme:14} {rates[best]:6g} {losses[best].mean():15.2f} "
                f"{scores[best].mean():8.3f} ±{scores[best].std():.3f}",
                flush=True,
            )
        print(f"  {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
