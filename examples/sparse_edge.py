"""A small model for an edge device: a network of which 95 % of the hidden weights are zero.

`Sparse` draws few weights per unit at full strength, and `SparsityMask` keeps the zeros while the
network trains. Against it: all weights, and a narrower network with as many weights as are not
zero. Saves what must be stored, counts the zeros in the saved files, and reads digits from the
sparse one with NumPy alone.
"""

import side_by_side  # isort: skip

import random

import keras
import numpy as np
import pictures

import keras_winit

SPARSITY, UNITS, NARROW = 0.95, 256, 52
RATES = (1e-2, 3e-3)


def network(layer, units):
    classes = keras.layers.Dense(10, "softmax")
    return keras.Sequential([keras.Input((64,)), layer(units), layer(units), classes])


def dense(units):
    return keras.layers.Dense(units, "relu", kernel_initializer="he_normal")


def sparse(units):
    seed = random.randrange(10**6)
    gain = keras_winit.gain("relu")
    initializer = keras_winit.initializers.Sparse(SPARSITY, gain=gain, seed=seed)
    mask = keras_winit.SparsityMask(initializer)
    return keras.layers.Dense(units, "relu", kernel_initializer=initializer, kernel_constraint=mask)


STARTS = {
    "95 % zeros": lambda: network(sparse, UNITS),
    "all weights": lambda: network(dense, UNITS),
    "as few weights, narrow": lambda: network(dense, NARROW),
}


def packed(model):
    """Returns what must be stored of a network: of sparse kernels, what is not zero, and where."""
    arrays = {}
    for number, layer in enumerate(model.layers):
        kernel, arrays[f"bias_{number}"] = layer.get_weights()
        if layer.kernel_constraint is not None:  # the same number of weights for every unit
            mask = layer.kernel_constraint.initializer.mask(kernel.shape)
            inputs = np.nonzero(mask.T)[1].reshape(kernel.shape[1], -1)
            arrays[f"inputs_{number}"] = inputs.astype("uint8")
            kernel = kernel.T[mask.T].reshape(inputs.shape)
        arrays[f"kernel_{number}"] = kernel
    return arrays


def read_digits(stored, x):
    """Runs the stored sparse network with NumPy alone."""
    for number in (0, 1):
        inputs, kernel = stored[f"inputs_{number}"], stored[f"kernel_{number}"]
        x = np.einsum("iuk,uk->iu", x[:, inputs], kernel) + stored[f"bias_{number}"]
        x = np.maximum(x, 0)
    return (x @ stored["kernel_2"] + stored["bias_2"]).argmax(axis=-1)


def save(model, path):
    """Saves a network for Keras and as bare arrays; returns the size of the latter in kB."""
    model.save(path.with_suffix(".keras"))
    np.savez(path.with_suffix(".npz"), **packed(model))
    size = path.with_suffix(".npz").stat().st_size / 1000
    layers = keras.saving.load_model(path.with_suffix(".keras")).layers
    stored = np.concatenate([layer.get_weights()[0].ravel() for layer in layers])
    zeros = f"{np.sum(stored == 0)} of {stored.size} weights of its kernels are zero"
    print(f"{path.name + '.keras':18}{zeros}; {path.name}.npz: {size:.1f} kB")
    return size


def main():
    options = side_by_side.parse(__doc__, epochs=10)
    data = side_by_side.digits(64)
    best = side_by_side.compare(STARTS, data, RATES, options, side_by_side.CLASSES, same=False)

    sizes = {}
    for (name, start), file in zip(STARTS.items(), ("sparse", "dense", "narrow"), strict=True):
        keras.utils.set_random_seed(options.seed)
        model = start()
        model.set_weights(best[name][0].weights)
        sizes[name] = save(model, options.output_dir / f"edge_{file}")
    with np.load(options.output_dir / "edge_sparse.npz") as stored:
        guesses = read_digits(stored, data[2][0])
    accuracy = np.mean(guesses == data[2][1])
    print(f"edge_sparse.npz, read with NumPy alone: {accuracy:.1%} (seed {options.seed})")

    title = "Digits on a small device: networks of two relu layers"
    figure, right = side_by_side.picture(title, best, "accuracy on validation images")
    colors = [pictures.COLORS[name] for name in sizes]
    bars = right.barh(list(sizes), list(sizes.values()), color=colors)
    right.bar_label(bars, fmt="{:.0f} kB", padding=3)
    right.set(title="What must be stored", xlabel="size of the arrays in kB")
    right.set_xlim(0, 1.3 * max(sizes.values()))
    right.invert_yaxis()
    pictures.save(figure, options.output_dir / "sparse_edge.png")


if __name__ == "__main__":
    main()
