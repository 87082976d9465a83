"""A network that does not learn: see why before training, fix it, and watch it train.

Ten sigmoid layers on handwritten digits. With Keras's default weights all images look the same
to the last layer. Prints what `diagnose` finds before and after its fix, and the accuracy that
each of the two sets of weights reaches; writes a picture and a page of HTML.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on missing GPUs

import keras
import pictures
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_winit


def train(model, data, epochs):
    """Trains a model and returns its accuracy on the test images."""
    train_images, test_images, train_labels, test_labels = data
    model.compile(
        keras.optimizers.SGD(0.03, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(train_images, train_labels, batch_size=64, epochs=epochs, verbose=0)
    return model.evaluate(test_images, test_labels, verbose=0)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output-dir", type=pathlib.Path, default=pathlib.Path("build"))
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    images, labels = load_digits(return_X_y=True)
    images = ((images - images.mean()) / images.std()).astype("float32")
    data = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)

    keras.utils.set_random_seed(options.seed)
    hidden = [keras.layers.Dense(64, "sigmoid", name=f"hidden_{n}") for n in range(1, 11)]
    layers = [keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax", name="digits")]
    model = keras.Sequential(layers, name="sigmoid10")

    train_images, _, train_labels, _ = data
    loss = "sparse_categorical_crossentropy"
    report = keras_winit.diagnose(model, train_images, train_labels, loss=loss)
    print(report)
    weights = model.get_weights()
    print(f"Trained as it is: {train(model, data, options.epochs):.1%} of the test images\n")

    model.set_weights(weights)
    fixed = report.fix(seed=options.seed)
    print(fixed)
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle("Ten sigmoid layers as Keras starts them (left), and after the fix (right)")
    before, after = figure.subplots(3, 2, sharex="col").T
    report.plot(before)
    fixed.plot(after)
    for pair in zip(before, after, strict=True):  # on the same scale
        limits = [ax.get_ylim() for ax in pair]
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        for ax in pair:
            ax.set_ylim(low, high)
    pictures.save(figure, options.output_dir / "diagnosis.png")
    fixed.save(options.output_dir / "diagnosis.html")
    print(f"Trained after the fix: {train(model, data, options.epochs):.1%} of the test images")
    print(f"Wrote {options.output_dir}/diagnosis.html")


if __name__ == "__main__":
    main()
