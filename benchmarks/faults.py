"""Whether `diagnose` names what keeps networks from learning, and is silent about those that learn.

Programs that people write (a model, its data, a loss, an optimizer), each in a form that learns and
with one fault at a time. Every program is looked at before training and then trained with `fit`,
from several seeds. What it has learned, over what its twin without the fault has, is its *skill*:
1 where the fault costs nothing, 0 where it knows no more than a constant output. A program is sick
if its skill is below .9 after a quarter of the training or after all of it, and does not learn if
it is below .5 after all of it. Printed are, for each program, both skills and what was found; for
each rule, how often it fired and on how many sick programs. On JAX.

    KERAS_BACKEND=jax python benchmarks/faults.py [--seeds 2] [--only PART_OF_A_NAME]

With `--monitor` it is what `SignalMonitor` says while networks train, of three activations at rates
that are good and too large. A program learns if it comes to half of what the best rate does.

    KERAS_BACKEND=torch python benchmarks/faults.py --monitor
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import functools
import json
import multiprocessing
import pathlib

import keras
import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_friedman1,
)

import keras_winit

layers = keras.layers
SICK, LOST = 0.9, 0.5
ROW = "{:44} {:>5} {:>5}  {}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What a user has written; `None` is for what suits the data.

    Attributes:
        data: A name of `SUITED`.
        body: What comes before the output, as `body` knows it.
        depth, width, activation: Of the hidden layers.
        units, end, loss: Of the output, as Keras takes them.
        optimizer: Name, or function that makes one.
        initializer, bias, regularizer, constraint: Of dense layers; a partial makes an initializer
            for each.
        dropout: Rate behind each dense layer.
        normalized: Whether a BatchNormalization comes before each activation.
        epochs: How long it is trained.
        of_x, of_y: Functions of the data.
        change: Function of the model, to another.
    """

    data: str
    body: str = "dense"
    depth: int = 2
    width: int = 64
    activation: str = "relu"
    units: int | None = None
    end: str | None = None
    loss: object = None
    optimizer: object = "adam"
    initializer: object = "glorot_uniform"
    bias: object = "zeros"
    regularizer: object = None
    constraint: object = None
    dropout: float = 0.0
    normalized: bool = False
    epochs: int = 12
    of_x: object = None
    of_y: object = None
    change: object = None


# Units, activation and loss of the output that suit the data.
SUITED = {
    "digits": (10, "softmax", "sparse_categorical_crossentropy"),
    "one-hot digits": (10, "softmax", "categorical_crossentropy"),
    "images": (10, "softmax", "sparse_categorical_crossentropy"),
    "rows": (10, "softmax", "sparse_categorical_crossentropy"),
    "low or high": (1, "sigmoid", "binary_crossentropy"),
    "signs": (1, "tanh", "hinge"),
    "parts": (3, "sigmoid", "binary_crossentropy"),
    "diabetes": (1, "linear", "mse"),
    "waves": (2, "linear", "mse"),
    "tokens": (1, "sigmoid", "binary_crossentropy"),
    "wines": (3, "softmax", "sparse_categorical_crossentropy"),
    "waveforms": (3, "softmax", "sparse_categorical_crossentropy"),
    "tumors": (1, "sigmoid", "binary_crossentropy"),
    "friedman": (1, "linear", "mse"),
}
REGRESSION = ("diabetes", "waves", "friedman")
CLASSES = ("digits", "one-hot digits", "images", "rows", "wines", "waveforms")


@functools.cache
def data_of(name):
    """Returns x and y, three quarters of which are to train on."""
    rng = np.random.default_rng(0)
    if name == "diabetes":
        x, y = load_diabetes(return_X_y=True)
        x, y = (x - x.mean(0)) / x.std(0), ((y - y.mean()) / y.std())[:, None]
    elif name == "waves":
        x = rng.normal(size=(1600, 6))
        y = np.stack([np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2], abs(x[:, 3]) - x[:, 4] ** 2], 1)
        y = (y - y.mean(0)) / y.std(0)
    elif name in ("wines", "tumors"):
        x, y = (load_wine if name == "wines" else load_breast_cancer)(return_X_y=True)
        x, y = (x - x.mean(0)) / x.std(0), (y if name == "wines" else y[:, None])
    elif name == "friedman":
        x, y = make_friedman1(1600, noise=0.5, random_state=0)
        x, y = (x - x.mean(0)) / x.std(0), ((y - y.mean()) / y.std())[:, None]
    elif name == "waveforms":
        y = rng.integers(3, size=1600)
        phase = np.linspace(0, 6 * np.pi, 32) + rng.uniform(0, 2 * np.pi, (1600, 1))
        shapes = np.stack([np.sin(phase), np.sign(np.sin(phase)), (phase / np.pi) % 2 - 1])
        x = shapes[y, np.arange(1600)] + 0.5 * rng.normal(size=(1600, 32))
        x = (x / x.std())[..., None]
    elif name == "tokens":
        x = rng.integers(1, 50, size=(1600, 12))
        y = ((x < 8).sum(1) > (x > 42).sum(1))[:, None]
    else:
        x, y = load_digits(return_X_y=True)
        x = ((x - x.mean()) / x.std()).reshape(-1, *SHAPES.get(name, (64,)))
        y = {
            "one-hot digits": np.eye(10)[y],
            "low or high": (y > 4)[:, None],
            "signs": np.where(y > 4, 1, -1)[:, None],
            "parts": np.stack([y > 4, y % 2, y % 3 == 0], 1),
        }.get(name, y)
    order = rng.permutation(len(x))
    x = x.astype("int32" if name == "tokens" else "float32")
    return x[order], y[order].astype("int32" if y.ndim == 1 else "float32")


SHAPES = {"images": (8, 8, 1), "rows": (8, 8)}


def body(program, inputs):
    """Returns the hidden layers' output."""

    def dense(units, activation=None):
        initializer = program.initializer
        if isinstance(initializer, functools.partial):  # one for each layer
            initializer = initializer()
        return layers.Dense(
            units,
            activation,
            kernel_initializer=initializer,
            bias_initializer=program.bias,
            kernel_regularizer=program.regularizer,
            kernel_constraint=program.constraint,
        )

    def activate(x):
        x = layers.BatchNormalization()(x) if program.normalized else x
        function = program.activation
        is_layer = isinstance(function, functools.partial)
        return function()(x) if is_layer else layers.Activation(function)(x)

    x = inputs
    if program.body == "tokens":
        x = layers.Embedding(50, 16)(x)
        x = layers.GlobalAveragePooling1D()(x)
    elif program.body == "convolutions":
        for number in range(program.depth):
            x = layers.Conv2D(16, 3, padding="same")(x)
            x = activate(x)
            x = layers.MaxPooling2D()(x) if number == 0 else x
        x = layers.Flatten()(x)
    elif program.body == "convolutions over time":
        x = layers.Conv1D(program.width, 5, activation=program.activation)(x)
        x = layers.Conv1D(program.width, 5, strides=2, activation=program.activation)(x)
        x = layers.GlobalAveragePooling1D()(x)
    elif program.body in ("lstm", "gru"):
        x = (layers.LSTM if program.body == "lstm" else layers.GRU)(program.width)(x)
    elif program.body == "attention":
        x = layers.Dense(32)(x)
        for _ in range(program.depth):
            normal = layers.LayerNormalization()(x)
            x = x + layers.MultiHeadAttention(2, 16)(normal, normal)
            normal = layers.LayerNormalization()(x)
            x = x + layers.Dense(32)(layers.Dense(64, program.activation)(normal))
        x = layers.Flatten()(x)
    elif program.body == "residual":
        x = layers.Dense(program.width)(x)
        for _ in range(program.depth):
            hidden = dense(program.width, program.activation)(x)
            x = x + dense(program.width)(hidden)
    if program.body in ("dense", "tokens"):
        for _ in range(program.depth):
            x = dense(program.width)(x)
            x = activate(x)
            x = layers.Dropout(program.dropout)(x) if program.dropout else x
    return x


def written(program, seed):
    """Returns the compiled model of a program, and its data."""
    keras.utils.set_random_seed(seed)
    x, y = data_of(program.data)
    x = x if program.of_x is None else program.of_x(x)
    y = y if program.of_y is None else program.of_y(y)
    units, end, loss = SUITED[program.data]
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    out = layers.Dense(program.units or units, program.end or end)
    model = keras.Model(inputs, out(body(program, inputs)))
    model = model if program.change is None else program.change(model)
    optimizer = program.optimizer if isinstance(program.optimizer, str) else program.optimizer()
    model.compile(optimizer, program.loss or loss)
    return model, x, y


def score(program, outputs, y):
    """Returns the accuracy of outputs, or the share of the variance that they explain."""
    if not np.isfinite(outputs).all():
        return 0.0
    if program.data in REGRESSION:
        return max(1 - float(((outputs - y) ** 2).mean() / y.var(0).mean()), 0.0)
    _, labels = data_of(program.data)
    labels = labels[-len(outputs) :]
    if program.data in CLASSES:
        labels = labels.argmax(1) if labels.ndim == 2 else labels
        chance = np.bincount(labels).max() / len(labels)
        found = outputs.argmax(1) if outputs.shape[1] > 1 else outputs[:, 0].round()
    else:
        labels = labels > 0.5
        chance = max(labels.mean(), 1 - labels.mean())
        is_centered = (program.end or SUITED[program.data][1]) in ("tanh", "linear")
        found = outputs > (0.0 if is_centered else 0.5)
    return max(float((found == labels).mean() - chance) / (1 - chance), 0.0)


def trained(program, seed):
    """Returns the `score` of a program after a quarter of its training, and after all of it."""
    model, x, y = written(program, seed)
    number, early = len(x) * 3 // 4, program.epochs // 4
    scores = []
    for epochs in (early, program.epochs - early):
        try:
            model.fit(x[:number], y[:number], epochs=epochs, verbose=0)
            outputs = model.predict(x[number:], verbose=0)
        except Exception:  # whatever a program with a fault stops with
            return 0.0, 0.0
        scores.append(score(program, outputs, y[number:]))
    return scores


def found(program, seed):
    """Returns (rule, severity) of each finding before training, or what was raised."""
    model, x, y = written(program, seed)
    number = len(x) * 3 // 4
    try:
        report = keras_winit.diagnose(model, x[:number], y[:number])
    except ValueError as error:
        return [("ValueError", "error", str(error))]
    return [(each.rule, each.severity, each.message) for each in report.findings]


def normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)


def sgd(rate, **arguments):
    return functools.partial(keras.optimizers.SGD, rate, **arguments)


def adam(rate, **arguments):
    return functools.partial(keras.optimizers.Adam, rate, **arguments)


def behind(*more):
    """Returns a change that puts layers behind the output of a model."""

    def change(model):
        x = model.output
        for make in more:
            x = make()(x)
        return keras.Model(model.input, x)

    return change


def sigmoid():
    return layers.Activation("sigmoid")


def smoothed(share):
    return keras.losses.CategoricalCrossentropy(label_smoothing=share)


def half_dropped():
    return layers.Dropout(0.5)


def frozen(model):
    model.trainable = False
    return model


def cut(model):
    """No gradient reaches what comes before the last layer."""
    *_, hidden, last = model.layers
    return keras.Model(model.input, last(keras.ops.stop_gradient(hidden.output)))


PLAIN = {
    "dense relu": Program(data="digits"),
    "dense tanh": Program(data="digits", activation="tanh"),
    "dense gelu, 4": Program(data="digits", activation="gelu", depth=4),
    "dense selu, 6": Program(data="digits", activation="selu", depth=6, initializer="lecun_normal"),
    "dense sigmoid, 1": Program(data="digits", activation="sigmoid", depth=1, epochs=25),
    "dense relu, 8": Program(data="digits", depth=8, initializer="he_normal"),
    "dense elu, BatchNormalization": Program(data="digits", activation="elu", normalized=True),
    "dense relu, wide": Program(data="digits", depth=1, width=512),
    "dense relu, narrow": Program(data="digits", width=16, epochs=25),
    "dense relu, dropout .5": Program(data="digits", width=128, dropout=0.5, epochs=20),
    "dense relu, L2": Program(data="digits", regularizer=keras.regularizers.L2(1e-4)),
    "dense relu, MaxNorm": Program(data="digits", constraint=keras.constraints.MaxNorm(3.0)),
    "one-hot": Program(data="one-hot digits"),
    "one-hot, smoothed": Program(data="one-hot digits", loss=smoothed(0.1)),
    "logits": Program(
        data="digits",
        end="linear",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
    "sgd": Program(data="digits", optimizer=sgd(0.05), epochs=20),
    "momentum": Program(data="digits", optimizer=sgd(0.01, momentum=0.9)),
    "rmsprop": Program(data="digits", optimizer="rmsprop"),
    "adam .01": Program(data="digits", optimizer=adam(0.01)),
    "adam .0003": Program(data="digits", optimizer=adam(3e-4), epochs=25),
    "adamw": Program(data="digits", optimizer="adamw"),
    "two classes": Program(data="low or high"),
    "two classes, tanh": Program(data="low or high", activation="tanh"),
    "two classes, logits": Program(
        data="low or high", end="linear", loss=keras.losses.BinaryCrossentropy(from_logits=True)
    ),
    "two classes, mse": Program(data="low or high", loss="mse"),
    "hinge": Program(data="signs"),
    "hinge, linear": Program(data="signs", end="linear"),
    "several labels": Program(data="parts"),
    "regression": Program(data="diabetes", epochs=40),
    "regression, mae": Program(data="diabetes", loss="mae", epochs=40),
    "regression, tanh": Program(data="diabetes", activation="tanh", epochs=40),
    "waves": Program(data="waves", epochs=60),
    "waves, gelu, 3": Program(data="waves", activation="gelu", depth=3, epochs=40),
    "waves, huber": Program(data="waves", loss="huber", epochs=60),
    "convolutions": Program(data="images", body="convolutions"),
    "convolutions, BatchNormalization": Program(
        data="images", body="convolutions", depth=4, normalized=True, epochs=8
    ),
    "lstm": Program(data="rows", body="lstm", width=32),
    "attention": Program(data="rows", body="attention", epochs=8),
    "residual": Program(data="digits", body="residual", depth=3),
    "tokens": Program(data="tokens", body="tokens", depth=1, epochs=40, optimizer=adam(0.005)),
}
OTHERS = {
    "wines": Program(data="wines", activation="elu", width=24, epochs=80),
    "wines, tanh, 3": Program(data="wines", activation="tanh", depth=3, width=48, epochs=80),
    "wines, silu, 5": Program(data="wines", activation="silu", depth=5, width=32, epochs=80),
    "waveforms": Program(data="waveforms", body="convolutions over time", width=24),
    "gru": Program(data="waveforms", body="gru", width=24, epochs=40, optimizer=adam(0.005)),
    "tumors": Program(data="tumors", activation="gelu", width=40, epochs=40),
    "friedman": Program(data="friedman", width=48, epochs=60),
    "friedman, selu, 4": Program(
        data="friedman", activation="selu", depth=4, width=32, epochs=60, initializer="lecun_normal"
    ),
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong, the rules that should say so, the programs it is put into, and how."""

    name: str
    rules: tuple[str, ...]
    twins: tuple[str, ...]
    changes: dict


def fault(name, rules, twins, **changes):
    return Fault(name, tuple(rules.split()), twins, changes)


def columns(*factors):
    """Returns a function that scales the columns of x, in turn."""

    def scale(x):
        return (x * np.resize(factors, x.shape[-1])).astype("float32")

    return scale


def times(factor):
    return lambda values: values * factor


def plus(number):
    return lambda values: values + number


def to_255(x):
    return (x - x.min()) / (x.max() - x.min()) * 255


def as_the_first(x):
    return np.broadcast_to(x[:1], x.shape).copy()


def to_one_column(y):
    return y[:, None]


SCCE, BCE = "sparse_categorical_crossentropy", "binary_crossentropy"
SCCE_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BCE_LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)
DEEP = ("dense gelu, 4", "dense relu, 8")


@dataclasses.dataclass(frozen=True)
class Kinds:
    """Names of programs without a fault that others are put into, by what they are for."""

    classes: tuple[str, ...]
    binary: tuple[str, ...]
    numbers: tuple[str, ...]
    dense: tuple[str, ...]
    deep: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def sized(self):
        return (*self.classes, *self.numbers)


SEEN = Kinds(
    classes=("dense relu", "dense tanh", "dense gelu, 4", "convolutions", "lstm"),
    binary=("two classes", "two classes, tanh"),
    numbers=("regression", "regression, tanh", "waves"),
    dense=("dense relu", "two classes", "waves"),
    deep=("dense gelu, 4", "dense relu, 8"),
    dropped=("dense relu", "two classes", "waves", "convolutions"),
)
# Other data and layers, on which no limit was chosen.
HELD_OUT = Kinds(
    classes=("wines", "wines, tanh, 3", "waveforms", "gru"),
    binary=("tumors",),
    numbers=("friedman", "friedman, selu, 4"),
    dense=("wines", "tumors", "friedman"),
    deep=("wines, silu, 5",),
    dropped=("wines", "tumors", "friedman", "waveforms"),
)


def faults(kinds):
    """Yields the `Fault`s of programs of these `Kinds`."""
    yield from (
        # What comes out.
        fault("softmax over one unit", "softmax_over_one", kinds.binary, end="softmax"),
        *(
            fault(f"{end} before {BCE}", "loss_mismatch", kinds.binary, end=end)
            for end in ("relu", "tanh", "linear")
        ),
        *(
            fault(f"{end} before crossentropy", "loss_mismatch", kinds.classes, end=end)
            for end in ("linear", "relu", "tanh", "sigmoid")
        ),
        fault("softmax, and from_logits", "loss_mismatch", kinds.classes, loss=SCCE_LOGITS),
        fault("sigmoid, and from_logits", "loss_mismatch", kinds.binary, loss=BCE_LOGITS),
        fault("softmax twice", "activation_twice", kinds.classes, change=behind(layers.Softmax)),
        fault("sigmoid twice", "activation_twice", kinds.binary, change=behind(sigmoid)),
        *(
            fault(
                f"{end} for numbers", "unreachable_targets softmax_over_one", kinds.numbers, end=end
            )
            for end in ("relu", "sigmoid", "tanh", "softmax")
        ),
        fault("sigmoid with hinge", "", ("hinge",), end="sigmoid"),
        fault("relu with hinge", "", ("hinge",), end="relu"),
        # The loss.
        fault(
            "numbers of classes, mse",
            "broadcast_labels",
            kinds.classes,
            loss="mse",
            of_y=to_one_column,
        ),
        fault("one unit for ten classes", "ValueError", kinds.classes[:2], units=1, end="sigmoid"),
        fault(
            "one unit, mse, ten classes",
            "unreachable_targets",
            kinds.classes[:2],
            units=1,
            end="sigmoid",
            loss="mse",
            of_y=to_one_column,
        ),
        fault("softmax, mse", "", ("one-hot",), loss="mse"),
        fault(f"softmax, {BCE}", "", ("one-hot",), loss=BCE),
        *(
            fault(f"smoothed by {share}", "smoothed_labels", ("one-hot",), loss=smoothed(share))
            for share in (0.9, 0.95, 1.0)
        ),
        fault(
            "smoothed by 1",
            "smoothed_labels",
            kinds.binary,
            loss=keras.losses.BinaryCrossentropy(label_smoothing=1.0),
        ),
        fault("sigmoid, categorical crossentropy", "", ("one-hot",), end="sigmoid"),
        fault(
            "softmax for several labels",
            "labels_not_one_hot",
            ("several labels",),
            end="softmax",
            loss="categorical_crossentropy",
        ),
        fault(
            "one unit, categorical crossentropy",
            "softmax_over_one labels_not_one_hot",
            kinds.binary,
            loss="categorical_crossentropy",
        ),
        # The data.
        fault("classes from 1", "ValueError", kinds.classes[:3], of_y=plus(1)),
        fault(
            "one class only",
            "constant_labels",
            (*kinds.classes[:3], *kinds.binary),
            of_y=np.zeros_like,
        ),
        fault("pixels to 255", "input_not_standardized", kinds.classes, of_x=to_255),
        *(
            fault(f"numbers of {size:g}", "input_not_standardized", kinds.sized, of_x=times(size))
            for size in (1e4, 1e-4)
        ),
        fault(
            "a column of 1e4",
            "input_not_standardized unequal_features",
            kinds.numbers,
            of_x=columns(1e4, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        ),
        *(
            fault(
                f"columns of {small:g}, 1",
                "unequal_features",
                kinds.numbers,
                of_x=columns(small, 1),
            )
            for small in (1e-3, 0.03)
        ),
        fault("all samples alike", "constant_input", kinds.sized, of_x=as_the_first),
        *(
            fault(f"targets of {size:g}", "targets_not_scaled", kinds.numbers, of_y=times(size))
            for size in (1e5, 1e3, 30, 0.01, 1e-4)
        ),
        *(
            fault(f"targets about {mean}", "class_prior", kinds.numbers, of_y=plus(mean))
            for mean in (3, 30, 1000)
        ),
        fault("tokens beyond the table", "ValueError", ("tokens",), of_x=plus(40)),
        # The layers.
        fault("no activation", "no_nonlinearity", kinds.dense, activation="linear", depth=3),
        fault(
            "LeakyReLU of slope 1",
            "no_nonlinearity",
            kinds.dense,
            activation=functools.partial(layers.LeakyReLU, negative_slope=1.0),
            depth=3,
        ),
        *(
            fault(
                f"MaxNorm of {most}",
                "tight_constraint",
                kinds.dense,
                constraint=keras.constraints.MaxNorm(most),
            )
            for most in (0.01, 0.1, 0.3)
        ),
        *(
            fault(
                f"dropout {rate}",
                "large_dropout",
                (kinds.dense[0], *kinds.deep, kinds.numbers[-1]),
                dropout=rate,
            )
            for rate in (0.6, 0.7, 0.8, 0.9, 0.95)
        ),
        fault(
            "dropout on the output", "dropout_at_output", kinds.dropped, change=behind(half_dropped)
        ),
        fault("all frozen", "nothing_trainable", kinds.dense, change=frozen),
        fault("cut off", "unreached_weights", (*kinds.dense, "dense relu, 8"), change=cut),
        *(
            fault(
                f"L2 of {rate}",
                "large_regularization",
                kinds.dense,
                regularizer=keras.regularizers.L2(rate),
            )
            for rate in (0.01, 0.1, 1.0, 10.0)
        ),
        # The optimizer.
        *(
            fault(f"SGD at {rate:g}", "learning_rate", kinds.sized, optimizer=sgd(rate))
            for rate in (1e-9, 1e-6, 1e-4, 1e-3, 1.0, 10.0, 100.0)
        ),
        *(
            fault(f"Adam at {rate:g}", "learning_rate", kinds.sized, optimizer=adam(rate))
            for rate in (1e-8, 1e-6, 1e-5, 1e-4, 0.1, 1.0, 10.0)
        ),
        *(
            fault(
                f"momentum at {rate:g}",
                "learning_rate",
                kinds.sized,
                optimizer=sgd(rate, momentum=0.9),
            )
            for rate in (1e-4, 1.0)
        ),
        fault(
            "gradients cut", "learning_rate", kinds.dense, optimizer=sgd(0.01, global_clipnorm=1e-6)
        ),
        # The start.
        *(
            fault(
                f"all {start}", "identical_units", (*kinds.dense, "dense tanh"), initializer=start
            )
            for start in ("zeros", "ones")
        ),
        fault(
            "all .01", "identical_units", kinds.dense, initializer=keras.initializers.Constant(0.01)
        ),
        fault(
            "normal 1",
            "saturated_units exploding_signal initial_loss",
            ("dense relu", "dense tanh", *kinds.deep, "waves"),
            initializer=functools.partial(normal, 1.0),
        ),
        fault(
            "normal .001",
            "vanishing_signal",
            kinds.deep,
            initializer=functools.partial(normal, 1e-3),
        ),
        fault(
            "biases of -5",
            "dead_units",
            (*kinds.dense, "dense relu, 8"),
            bias=keras.initializers.Constant(-5),
        ),
        *(
            fault(
                f"sigmoid, {depth}",
                "samples_alike vanishing_gradient",
                (*kinds.dense, "sgd"),
                activation="sigmoid",
                depth=depth,
            )
            for depth in (2, 3, 4, 5, 6, 8, 10)
        ),
        *(
            fault(
                f"{activation}, {depth}",
                "vanishing_signal",
                (*kinds.dense, "sgd"),
                activation=activation,
                depth=depth,
            )
            for activation in ("relu", "tanh")
            for depth in (6, 10, 15, 20, 30)
        ),
        fault("residual, 30", "exploding_signal", ("residual",), depth=30),
    )


def programs(is_held_out=False):
    """Yields (name, program, `Fault` or `None`, name of the twin)."""
    plain = OTHERS if is_held_out else PLAIN
    for name, program in plain.items():
        yield name, program, None, name
    for fault in faults(HELD_OUT if is_held_out else SEEN):
        for twin in fault.twins:
            if twin not in plain:
                continue
            program = dataclasses.replace(plain[twin], **fault.changes)
            yield f"{fault.name}: {twin}", program, fault, twin


def watched():
    """Yields (name, program, name of the network) of what a monitor looks at."""
    for data, epochs in (("digits", 5), ("friedman", 6)):
        for activation in ("relu", "tanh", "sigmoid"):
            for depth, width in ((2, 64), (4, 32)):
                network = f"{data}, {activation}, {depth}"
                program = Program(
                    data=data, activation=activation, depth=depth, width=width, epochs=epochs
                )
                for optimizer, rates in ((adam, (0.01, 0.1, 0.3)), (sgd, (0.3, 3.0))):
                    for rate in rates:
                        name = f"{network}, {optimizer.__name__} at {rate}"
                        at_rate = dataclasses.replace(program, optimizer=optimizer(rate))
                        yield name, at_rate, network


def watch_one(name, seed):
    """Returns the score of a program after training, and what its monitor said: lists of
    [step, rule, severity], without what is told as the cause of another finding."""
    program = next(program for each, program, _ in watched() if each == name)
    model, x, y = written(program, seed)
    number = len(x) * 3 // 4
    batches = program.epochs * -(-number // 32)
    monitor = keras_winit.SignalMonitor(x[:256], y[:256], every=batches // 5)
    model.fit(x[:number], y[:number], epochs=program.epochs, verbose=0, callbacks=[monitor])
    said = [
        [step, each.rule, each.severity] for step, each in monitor.findings if each.causes is None
    ]
    return score(program, model.predict(x[number:], verbose=0), y[number:]), said


@functools.cache
def by_name():
    both = (*programs(), *programs(is_held_out=True))
    return {name: program for name, program, *_ in both}


def train_one(name, seed):
    return trained(by_name()[name], seed)


def find_one(name, seed):
    return found(by_name()[name], seed)


def outcomes(path, names, seeds, jobs):
    """Returns the scores by name of the program; those in the file are not measured again."""
    known = json.loads(path.read_text()) if path.exists() else {}
    wanted = [(name, seed) for name in names for seed in seeds]
    missing = [(name, seed) for name, seed in wanted if f"{seed} {name}" not in known]
    with pool(jobs) as run:
        scores = run.map(train_one, *zip(*missing, strict=True)) if missing else ()
        for (name, seed), value in zip(missing, scores, strict=True):
            known[f"{seed} {name}"] = [round(each, 4) for each in value]
            path.write_text(json.dumps(known, indent=0))
    return {name: np.mean([known[f"{seed} {name}"] for seed in seeds], 0) for name in names}


def pool(jobs):
    return concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", default="", help="part of the names of programs")
    parser.add_argument("--held-out", action="store_true", help="other data and layers")
    parser.add_argument("--monitor", action="store_true", help="what is said while training")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--outcomes", type=pathlib.Path, default="faults.json", help="file")
    arguments = parser.parse_args()
    if arguments.monitor:
        chosen = [each for each in watched() if arguments.only in each[0]]
        with pool(arguments.jobs) as run:
            seeds = [arguments.seeds[0]] * len(chosen)
            said = run.map(watch_one, [name for name, *_ in chosen], seeds)
            report_watched(chosen, list(said))
        return
    chosen = [each for each in programs(arguments.held_out) if arguments.only in each[0]]
    names = [name for name, *_ in chosen]
    twins = [twin for *_, twin in chosen]
    names_of_all = list(dict.fromkeys((*names, *twins)))
    scores = outcomes(arguments.outcomes, names_of_all, arguments.seeds, arguments.jobs)
    with pool(arguments.jobs) as run:
        seed = arguments.seeds[0]
        findings = list(run.map(find_one, names, [seed] * len(names), chunksize=8))
    report(chosen, scores, findings)


def report_watched(chosen, outcomes):
    """Prints what each program has learned and what was said meanwhile, and counts."""
    best = collections.defaultdict(float)
    for (*_, network), (score, _) in zip(chosen, outcomes, strict=True):
        best[network] = max(best[network], score)
    learn, counts = 0, collections.defaultdict(lambda: [0, 0])
    for (name, _, network), (score, said) in zip(chosen, outcomes, strict=True):
        learns = bool(score >= LOST * best[network])
        learn += learns
        told = ", ".join(f"{rule} ({severity}, {step})" for step, rule, severity in said)
        print(f"{name:36} {score:5.2f} {'' if learns else 'lost':4}  {told}")
        kinds = {(rule, severity) for _, rule, severity in said}
        kinds |= {("any rule", severity) for _, severity in kinds}
        for kind in kinds:
            counts[kind][learns] += 1
    print(f"\nOf {len(chosen)} programs {learn} learn, {len(chosen) - learn} do not.")
    for (rule, severity), (lost, learned) in sorted(counts.items()):
        print(f"{rule:16} {severity:8} {lost:3} that do not learn, {learned:3} that do")


def report(chosen, scores, findings):
    """Prints what was found beside what was learned, and counts."""
    fired, right = collections.Counter(), collections.Counter()
    sick = named = noticed = alarms = healthy = 0
    print(ROW.format("program", "early", "late", "found"))
    for (name, _, fault, twin), found in zip(chosen, findings, strict=True):
        early, late = scores[name] / np.maximum(scores[twin], 0.01)
        is_sick = fault is not None and min(early, late) < SICK
        is_lost = fault is not None and late < LOST
        rules = {rule for rule, *_ in found}
        is_named = is_sick and bool(rules & set(fault.rules))
        is_error = any(severity == "error" for _, severity, _ in found)
        marks = {
            "MISSED": is_sick and not rules,
            "OTHER NAME": is_sick and rules and not is_named,
            "FALSE": rules and not is_sick,
            "TOO HARD": is_error and is_sick and not is_lost,
        }
        told = [f"{rule} ({severity})" for rule, severity, _ in found]
        told += [mark for mark, holds in marks.items() if holds]
        print(ROW.format(name, f"{early:.2f}", f"{late:.2f}", ", ".join(told)))
        sick += is_sick
        named += is_named
        noticed += is_sick and bool(rules)
        alarms += not is_sick and bool(rules)
        healthy += not is_sick
        for rule in rules:
            fired[rule] += 1
            right[rule] += is_sick
    print()
    for rule, number in fired.most_common():
        print(f"{rule:24} fired on {number:3} programs, of which {right[rule]:3} are sick")
    print(
        f"\nOf {sick} sick programs {noticed} got a finding, {named} of the rule for their fault. "
        f"Of {healthy} others {alarms} got one."
    )


if __name__ == "__main__":
    main()
