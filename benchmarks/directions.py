"""Whether `lost_directions` tells deep dense networks that learn from those that do not.

Networks of random depth, width (or two widths in turn) and activation, from the usual starts and
from `initialize`, on scikit-learn's digits and two sets of generated classes. Each is looked at
before training and trained at once at several rates of gradient descent with momentum and of Adam;
the best of an optimizer counts. Its *skill* is what it learns, above guessing, over what a network
of two layers of relu does. A network is *sick* if with either optimizer its skill is below .9
after all of the training, or if after a quarter it has learned less than .75 of what it does from
`initialize`; *badly* so if the skill is below .75, and it does not learn if it is below .5.
Counted are networks of which no rule for another cause finds anything. On PyTorch:

    KERAS_BACKEND=torch python benchmarks/directions.py [--networks 60] [--seed 0]
"""

import argparse
import random
import statistics

import keras
import numpy as np
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split
from torch.nn import functional

import keras_winit

STARTS = ("keras", "he_normal", "lecun_normal", "suggested")
GIVEN = {"sgd": (0.1, 0.03, 0.01, 0.003), "adam": (3e-3, 1e-3, 3e-4)}
RATES = [(name == "adam", rate) for name, rates in GIVEN.items() for rate in rates]
ACTIVATIONS = ("tanh", "tanh", "relu", "gelu", "silu", "elu", "selu", "sigmoid", "softsign")
DEPTHS = (3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
WIDTHS = ((8,), (16,), (24,), (32,), (48,), (64,), (64, 16), (48, 8), (128,))
STEPS, BATCH, MOST = 250, 64, 4000  # layers times units of the largest network
OTHER = ("initial_loss", "class_prior")  # which are no matter of the hidden layers


def data():
    """Returns by name x and y to train on and to test on."""
    x, y = load_digits(return_X_y=True)
    sets = {"digits": ((x - x.mean()) / x.std(), y)}
    x, y = make_classification(
        2000,
        40,
        n_informative=12,
        n_redundant=8,
        n_classes=5,
        class_sep=1.5,
        random_state=0,
    )
    sets["clusters"] = (x - x.mean(0)) / x.std(0), y
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 12))
    waves = np.sin(2 * x @ rng.normal(size=(12, 6)) / 12**0.5)
    sets["waves"] = x, (waves.sum(1) + x[:, 0] * x[:, 1] > 0).astype(int)
    return {
        name: train_test_split(x.astype("float32"), y, test_size=0.25, random_state=0, stratify=y)
        for name, (x, y) in sets.items()
    }


def build(widths, activation, task):
    x, _, y, _ = task
    hidden = [keras.layers.Dense(width, activation) for width in widths]
    return keras.Sequential(
        [keras.Input(x.shape[1:]), *hidden, keras.layers.Dense(int(y.max()) + 1)]
    )


def weights_of(model):
    return [keras.ops.convert_to_numpy(each) for each in model.trainable_variables]


def train(starts, activation, task):
    """Returns accuracies (start, rate, time), after a quarter and all of the steps."""
    x, x_test, y, y_test = map(torch.tensor, task)
    function = getattr(torch if activation in ("tanh", "sigmoid") else functional, activation)
    number = len(starts) * len(RATES)
    weights = [
        torch.tensor(np.repeat(each, len(RATES), 0)).requires_grad_()
        for each in (np.stack(of) for of in zip(*starts, strict=True))
    ]
    is_adam, rate = torch.tensor(RATES * len(starts)).T[..., None]
    memory = [(torch.zeros_like(each), torch.zeros_like(each)) for each in weights]

    def run(x):
        x = x.expand(number, *x.shape)
        for place in range(0, len(weights), 2):
            x = function(x) if place else x
            x = torch.baddbmm(weights[place + 1][:, None], x, weights[place])
        return x

    generator, found = torch.Generator().manual_seed(0), []
    for step in range(STEPS):
        if step % (len(x) // BATCH) == 0:
            places = torch.randperm(len(x), generator=generator).split(BATCH)
        batch = places[step % (len(x) // BATCH)]
        logits = run(x[batch]).flatten(0, 1)
        loss = functional.cross_entropy(logits, y[batch].repeat(number), reduction="sum") / BATCH
        with torch.no_grad():
            for weight, slope, (mean, square) in zip(
                weights, torch.autograd.grad(loss, weights), memory, strict=True
            ):
                of = (number, *[1] * (weight.ndim - 1))
                adam, size = is_adam.reshape(of), rate.reshape(of)
                mean.mul_(0.9).add_(slope * (1 - 0.9 * adam))
                square.mul_(0.999).add_(slope**2, alpha=1e-3)
                root = (square / (1 - 0.999 ** (step + 1))).sqrt() + 1e-7
                scaled = mean / (1 - 0.9 ** (step + 1)) / root
                weight -= size * torch.where(adam > 0, scaled, mean)
        if step + 1 in (STEPS // 4, STEPS):
            with torch.no_grad():
                found.append((run(x_test).argmax(-1) == y_test).float().mean(-1))
    return torch.stack(found, -1).reshape(len(starts), len(RATES), 2).numpy()


def learned(accuracies, chance):
    """Returns what the best rate of each optimizer has learned: (start, optimizer, time)."""
    parts = np.split(accuracies, [len(GIVEN["sgd"])], axis=1)
    return np.maximum(np.stack([part.max(1) for part in parts], 1) - chance, 0)


def networks(number, seed):
    rng = random.Random(seed)
    while number:
        depth, widths = rng.choice(DEPTHS), rng.choice(WIDTHS)
        name, activation = rng.choice(("digits", "clusters", "waves")), rng.choice(ACTIVATIONS)
        if depth * statistics.mean(widths) <= MOST:
            yield name, activation, [widths[place % len(widths)] for place in range(depth)]
            number -= 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks, chances, references = data(), {}, {}
    for name, task in tasks.items():
        model, starts = build((32, 32), "relu", task), []
        for seed in range(3):
            keras_winit.initialize(model, seed=seed)
            starts.append(weights_of(model))
        chances[name] = np.bincount(task[3]).max() / len(task[3])
        references[name] = learned(train(starts, "relu", task), chances[name]).mean(0)[:, 1]
    rows = []
    for number, (name, activation, widths) in enumerate(
        networks(arguments.networks, arguments.seed)
    ):
        x, _, y, _ = tasks[name]
        model, starts, findings = build(widths, activation, tasks[name]), [], []
        for start in STARTS:
            keras_winit.initialize(model, start, seed=number)
            starts.append(weights_of(model))
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            found = keras_winit.diagnose(model, x, y, loss=loss).findings
            findings.append({each.rule: each for each in found})
        of_all = learned(train(starts, activation, tasks[name]), chances[name])
        for start, found, one in zip(STARTS, findings, of_all, strict=True):
            if set(found) <= {"lost_directions", *OTHER}:
                skill = (one[:, 1] / references[name]).min()
                early = (one[:, 0] / np.maximum(of_all[-1][:, 0], 0.01)).min()
                finding = found.get("lost_directions")
                rows.append((skill, early, finding is not None and finding.severity, start))
                left = f"{finding.value:.2f}, {finding.severity}" if finding else ""
                network = f"{len(widths)} {activation} of {widths[:2]}, {name}, {start}"
                print(f"{network:48} {skill:5.2f} {early:5.2f}  {left}", flush=True)
    skill, early = np.array([row[:2] for row in rows]).T
    severity, start = np.array([row[2:] for row in rows]).T
    fired, sick = severity != "False", (skill < 0.9) | (early < 0.75)
    for of, chosen in (("all", start != ""), ("initialize", start == "suggested")):
        print(f"\nOf {of}: {chosen.sum()} networks, {(sick & chosen).sum()} of them sick.")
        print(f"Findings: {(fired & chosen).sum()}, of which {(fired & chosen & sick).sum()} sick.")
    for least, words in ((0.75, "badly sick"), (0.5, "that do not learn")):
        print(f"Of {(skill < least).sum()} {words} {(fired & (skill < least)).sum()} are found.")
    errors = severity == "error"
    print(f"Errors: {errors.sum()}, of which {(errors & (skill < 0.5)).sum()} do not learn.")


if __name__ == "__main__":
    main()
