"""One deep network, four sets of starting weights, real images of handwritten digits.

The network is plain: 50 relu layers without normalization or residual connections, so that
nothing makes up for the weights it starts with. Prints a table, draws a picture, and saves and
loads one of the networks.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on missing GPUs

import keras
import numpy as np
import pictures
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_winit

DEPTH, UNITS = 50, 128

Dense = keras.layers.Dense
SuggestedDense = keras_winit.suggest_initializer(Dense)

WHOLE = "initialize(model)"

# What builds the layers, and what the hidden ones are told.
NETWORKS = {
    "Keras default": (Dense, {}),
    '"activation_scaling"': (Dense, {"kernel_initializer": "activation_scaling"}),
    "suggest_initializer": (SuggestedDense, {}),
    WHOLE: (Dense, {}),
}


def build(builder, arguments):
    hidden = [builder(UNITS, activation="relu", **arguments) for _ in range(DEPTH)]
    return keras.Sequential([keras.Input((64,)), *hidden, builder(10, activation="softmax")])


def predict(model, images):
    return keras.ops.convert_to_numpy(model(images))


def signal(model, images):
    """Returns the root mean square of the images, and of the output of each hidden layer."""
    hidden = keras.Model(model.inputs[0], [layer.output for layer in model.layers[:-1]])
    values = [images, *map(keras.ops.convert_to_numpy, hidden(images))]
    return [float(np.sqrt(np.mean(np.square(each, dtype="float64")))) for each in values]


def train(model, images, labels, epochs):
    model.compile(keras.optimizers.Adam(3e-4), "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)  # or TensorFlow traces the first step twice
    bar = keras.utils.Progbar(epochs, unit_name="epoch", stateful_metrics=["loss"])
    bar.update(0)
    show = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: bar.update(epoch + 1, [("loss", logs["loss"])])
    )
    model.fit(images, labels, batch_size=64, epochs=epochs, verbose=0, callbacks=[show])


def draw(signals, accuracies, path):
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    colors = [pictures.COLORS[name] for name in NETWORKS]
    for name, values in signals.items():
        left.semilogy(values, ".-", color=pictures.COLORS[name], label=name)
    left.set(title="Signal before training", ylabel="root mean square of outputs")
    left.set_xlabel("layer (0: the images)")
    left.grid(alpha=0.3)
    left.legend(loc="lower left")
    bars = right.barh(list(accuracies), list(accuracies.values()), color=colors)
    right.bar_label(bars, fmt="{:.1%}", padding=3)
    right.axvline(0.1, color=pictures.GRAY, linestyle="--", label="guessing")
    right.set(title="After training", xlabel="accuracy on test images", xlim=(0, 1.2))
    right.set_xticks(np.arange(0, 1.1, 0.2))
    right.xaxis.set_major_formatter("{x:.0%}")
    right.invert_yaxis()
    right.legend(loc="upper right")
    pictures.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output-dir", type=pathlib.Path, default=pathlib.Path("build"))
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    images, labels = load_digits(return_X_y=True)
    images = ((images - images.mean()) / images.std()).astype("float32")
    images, test_images, labels, test_labels = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=0
    )
    models, signals, accuracies = {}, {}, {}
    for name, (builder, arguments) in NETWORKS.items():
        print(f"{name}: {DEPTH} layers of {UNITS} units, {options.epochs} epochs")
        keras.utils.set_random_seed(options.seed)
        models[name] = build(builder, arguments)
        if name == WHOLE:
            keras_winit.initialize(models[name], seed=options.seed)
        signals[name] = signal(models[name], test_images)
        train(models[name], images, labels, options.epochs)
        guesses = predict(models[name], test_images).argmax(axis=-1)
        accuracies[name] = np.mean(guesses == test_labels)

    print(f"\n{'starting weights':22}  signal at layer {DEPTH}  test accuracy")
    for name in NETWORKS:
        print(f"{name:22}{signals[name][-1]:20.1e}{accuracies[name]:15.1%}")

    picture, saved = options.output_dir / "quickstart.png", options.output_dir / "quickstart.keras"
    print()
    draw(signals, accuracies, picture)
    model = models['"activation_scaling"']
    model.save(saved)
    loaded = keras.saving.load_model(saved)
    equal = np.array_equal(predict(loaded, test_images), predict(model, test_images))
    print(f"Wrote {saved}; loaded again, its predictions are {'equal' if equal else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
