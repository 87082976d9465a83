"""Do suggested or calibrated weights train deep networks where the usual ones do not?

Digits of scikit-learn, plain stochastic gradient descent with momentum; for every network and
scheme the best of several learning rates, and its accuracy on held-out images over the seeds.
Chance is 10 %. Schemes are those of `initialize`, and

- `calibrated`: orthogonal kernels, then `calibrate(model, x)`;
- `per unit`: Keras's default, then `calibrate(model, x, mode="unit")`, which is stage 1 of
  Krähenbühl et al., 2016, https://arxiv.org/abs/1511.06856;
- `lsuv`: Mishkin and Matas, 2016, https://arxiv.org/abs/1511.06422: orthogonal kernels, each
  divided by the standard deviation of what its layer gives over the whole batch.

    python benchmarks/deep_networks.py [--networks relu50 silu40 ...] [--seeds 3] [--steps 300]
"""

import argparse
import statistics

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_winit

WIDTH = 64
RATES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)


def plain(activation, depth):
    layers = [keras.layers.Dense(WIDTH, activation) for _ in range(depth)]
    return keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10)])


def residual(blocks):
    inputs = keras.Input((64,))
    x = inputs
    for _ in range(blocks):
        y = keras.layers.Dense(WIDTH, "relu")(x)
        x = x + keras.layers.Dense(WIDTH)(y)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


CENTERED = ("keras", "he_normal", "lsuv", "per unit", "calibrated", "suggested")

NETWORKS = {
    "relu50": (lambda: plain("relu", 50), ("keras", "he_normal", "suggested")),
    "gelu40": (lambda: plain("gelu", 40), ("keras", "he_normal", "critical", "suggested")),
    "silu40": (lambda: plain("silu", 40), ("keras", "he_normal", "critical", "suggested")),
    "sigmoid10": (lambda: plain("sigmoid", 10), CENTERED),
    "softplus10": (lambda: plain("softplus", 10), CENTERED),
    "tanh40": (lambda: plain("tanh", 40), ("keras", "he_normal", "critical", "suggested")),
    "tanh200": (
        lambda: plain("tanh", 200),
        ("keras", "he_normal", "lsuv", "per unit", "calibrated", "critical", "suggested"),
    ),
    "residual100": (
        lambda: residual(100),
        ("keras", "he_normal", "gpt2", "zero_last", "suggested"),
    ),
}


def start(model, scheme, seed, images):
    """Gives a model its starting weights."""
    if scheme == "lsuv":
        keras_winit.initialize(model, "orthogonal", seed=seed)
        lsuv(model, images)
    elif scheme in ("calibrated", "per unit"):
        keras_winit.initialize(model, "keras" if scheme == "per unit" else "orthogonal", seed=seed)
        keras_winit.calibrate(model, images, mode="unit" if scheme == "per unit" else "auto")
    else:
        keras_winit.initialize(model, scheme, seed=seed)


def lsuv(model, images):
    """Divides each kernel of a plain network of dense layers by the deviation behind it."""
    x = images.astype("float64")
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        kernel /= (x @ kernel + bias).std()
        layer.set_weights([kernel, bias])
        x = keras.ops.convert_to_numpy(layer.activation(np.float32(x @ kernel + bias)))


def accuracies(build, scheme, rate, seeds, steps, data):
    """Returns the accuracy on the held-out images for every seed; 10 % where it diverges."""
    train_x, test_x, train_y, test_y = data
    results = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model = build()
        start(model, scheme, seed, train_x[:256])
        model.compile(
            keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        epochs = max(1, round(steps * 64 / len(train_x)))
        model.fit(train_x, train_y, batch_size=64, epochs=epochs, verbose=0)
        results.append(model.evaluate(test_x, test_y, verbose=0)[1])
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    options = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    images = ((images - images.mean()) / images.std()).astype("float32")
    data = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {options.steps} steps")
    print(f"{'network':12} {'scheme':10} {'accuracy':>8}  {'over seeds':14} learning rate")
    for network in options.networks:
        build, schemes = NETWORKS[network]
        for scheme in schemes:
            by_rate = {
                rate: accuracies(build, scheme, rate, options.seeds, options.steps, data)
                for rate in options.rates
            }
            rate, best = max(by_rate.items(), key=lambda item: statistics.mean(item[1]))
            spread = f"{min(best):.3f} - {max(best):.3f}"
            print(
                f"{network:12} {scheme:10} {statistics.mean(best):8.3f}  {spread:14} {rate:g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
