"""How the gallery compares starting weights, so that no side is handicapped.

Every side has the same network, data and steps, and chooses its learning rate from the same few:
the one with the best median over the seeds on validation data. What is reported is measured on
test data, which take no part in the choice. Import it before Keras: it quiets TensorFlow.
"""

import argparse
import os
import pathlib
import statistics
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on missing GPUs

import keras
import numpy as np
from matplotlib.figure import Figure
from pictures import COLORS
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASSES = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Run:
    """One training: its course on validation data, its score on test data, its weights."""

    course: list
    score: float
    weights: list


def parse(description, epochs):
    """Returns the options that all scripts of the gallery take."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--output-dir", type=pathlib.Path, default=pathlib.Path("build"))
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    return options


def digits(*shape):
    """Returns standardized images of digits and their labels to train, validate and test on."""
    images, labels = load_digits(return_X_y=True)
    images = ((images - images.mean()) / images.std()).astype("float32").reshape(-1, *shape)
    parts = []
    for size in (450, 300):
        images, part, labels, part_labels = train_test_split(
            images, labels, test_size=size, random_state=0, stratify=labels
        )
        parts.append((part, part_labels))
    return (images, labels), parts[1], parts[0]


def predict(model, x):
    return keras.ops.convert_to_numpy(model(x))


def compare(starts, data, rates, options, loss, same=True):
    """Trains every start at every rate from every seed with Adam, with a bar, and prints results.

    Args:
        starts: For each name a function that returns a network with its starting weights.
        data: Inputs and targets to train on, to validate on and to test on.
        rates: Learning rates to choose from.
        options: What `parse` returned.
        loss: With `CLASSES` the score is accuracy, with `"mse"` the root mean square error.
        same: Whether all starts are of one network, which is then compiled only once.

    Returns:
        For each start the runs at its best rate, one for each seed.
    """
    form, best = (".1%" if loss == CLASSES else ".3f"), {}
    tried, compiled = [], None
    lines = [f"{'starting weights':24}  test, median and range of {options.seeds}      rate"]
    bar = keras.utils.Progbar(len(starts) * options.seeds * len(rates), unit_name="training")
    for name, build in starts.items():
        by_rate = {rate: [] for rate in rates}
        for seed in range(options.seed, options.seed + options.seeds):
            keras.utils.set_random_seed(seed)
            model = build()
            if compiled is None or not same:
                compiled = model
                metrics = ["accuracy"] if loss == CLASSES else []
                compiled.compile(keras.optimizers.Adam(), loss, metrics=metrics)
                compiled.optimizer.build(compiled.trainable_variables)
            weights = model.get_weights()
            for rate, runs in by_rate.items():
                keras.utils.set_random_seed(seed)  # the same batches for all
                restart(compiled, weights, rate)
                runs.append(train(compiled, data, options.epochs))
                bar.add(1)
        for rate, runs in by_rate.items():
            tried.append(f"{name:24}  rate {rate:<6g}  validation {middle(runs):{form}}")
        choose = max if loss == CLASSES else min
        rate = choose(rates, key=lambda rate: middle(by_rate[rate]))
        best[name] = by_rate[rate]
        scores = sorted(run.score for run in best[name])
        cells = [f"{value:{form}}" for value in (statistics.median(scores), scores[0], scores[-1])]
        lines.append(
            f"{name:24}  {cells[0]:>8}  ({cells[1]} to {cells[2]})".ljust(56) + f"{rate:g}"
        )
    print("\n".join([*tried, "", *lines]))
    return best


def middle(runs):
    """Returns the median of the last results on validation data."""
    return statistics.median(run.course[-1] for run in runs)


def restart(model, weights, rate):
    """Gives a model its starting weights, and its optimizer a learning rate and no past."""
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = rate


def train(model, data, epochs):
    training, validation, test = data
    fit = model.fit(*training, batch_size=64, epochs=epochs, verbose=0, validation_data=validation)
    results = model.evaluate(*test, batch_size=512, verbose=0, return_dict=True)
    if "accuracy" in results:
        return Run(fit.history["val_accuracy"], results["accuracy"], model.get_weights())
    errors = np.sqrt([*fit.history["val_loss"], results["loss"]])
    errors = np.nan_to_num(errors, nan=np.inf).tolist()  # what diverges has no small error
    return Run(errors[:-1], errors[-1], model.get_weights())


def style(name, names):
    """Returns how a start is drawn: color by its name, dashes and mark by its place."""
    place = [*names].index(name)
    return {"color": COLORS[name], "linestyle": ("-", "--", ":")[place], "marker": "os^"[place]}


def picture(title, best, ylabel):
    """Returns a figure with the courses of training drawn at its left, and its right half.

    Accuracies go from none to all, and errors from none on: what differs little looks so.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    for name, runs in best.items():
        look = style(name, best)
        courses = np.array([run.course for run in runs])
        epochs = np.arange(1, courses.shape[1] + 1)
        left.plot(epochs, np.median(courses, axis=0), **look, markersize=4, label=name)
        if np.isfinite(courses).all():
            left.fill_between(
                epochs,
                courses.min(axis=0),
                courses.max(axis=0),
                color=look["color"],
                alpha=0.15,
                linewidth=0,
            )
    left.set(title="While training: median and range", xlabel="epoch", ylabel=ylabel)
    left.xaxis.get_major_locator().set_params(integer=True)
    if "accuracy" in ylabel:
        left.set_ylim(0, 1.02)
        left.yaxis.set_major_formatter("{x:.0%}")
    else:
        left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    left.legend(fontsize="small")
    return figure, right
