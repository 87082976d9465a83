"""An autoencoder of tanh layers: images of digits through eight numbers and back.

Seven hidden layers, from three starts: Glorot's rule, made for tanh and Keras's default; He's,
made for relu; and normal weights of standard deviation 0.05, which Keras calls `random_normal`
and which know nothing of the size of the layer. With tanh, He's weights are close behind.
"""

import side_by_side  # isort: skip

import keras
import numpy as np
import pictures

UNITS = (64, 64, 64, 8, 64, 64, 64)
RATES = (1e-2, 3e-3)
SHOWN = 8


def build(initializer):
    hidden = [keras.layers.Dense(n, "tanh", kernel_initializer=initializer) for n in UNITS]
    last = keras.layers.Dense(64, kernel_initializer=initializer)
    return keras.Sequential([keras.Input((64,)), *hidden, last])


STARTS = {
    name: lambda name=name: build(name) for name in ("glorot_uniform", "he_normal", "random_normal")
}


def main():
    options = side_by_side.parse(__doc__, epochs=20)
    data = [(images, images) for images, _ in side_by_side.digits(64)]
    best = side_by_side.compare(STARTS, data, RATES, options, "mse")
    mean = data[0][0].mean(axis=0)
    print(f"the mean image for all   {np.sqrt(np.mean((data[2][0] - mean) ** 2)):9.3f}")

    title = "Autoencoder of seven tanh layers, 64 pixels through 8 numbers"
    label = "root mean square error, in standard\ndeviations of the pixels (validation)"
    figure, right = side_by_side.picture(title, best, label)
    rows = {"images": data[2][0][:SHOWN]}
    model = build("zeros")
    for name, runs in best.items():
        model.set_weights(runs[0].weights)
        rows[name] = side_by_side.predict(model, rows["images"])
    grid = np.stack(list(rows.values())).reshape(len(rows), SHOWN, 8, 8)
    grid = np.pad(grid, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=grid.min())
    right.imshow(grid.transpose(0, 2, 1, 3).reshape(10 * len(rows), 10 * SHOWN), cmap="gray")
    right.set(title=f"Test images, seed {options.seed}", xticks=[])
    right.set_yticks(np.arange(5, 10 * len(rows), 10), rows)
    pictures.save(figure, options.output_dir / "autoencoder.png")


if __name__ == "__main__":
    main()
