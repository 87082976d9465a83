"""A transformer without normalization: eight blocks that read digits row by row.

Every block adds attention and an MLP to the stream. From Keras's default weights the stream grows
from block to block; `initialize` finds the branches, and with "zero_last" they start at zero.
"""

import side_by_side  # isort: skip

import keras
import numpy as np
import pictures

import keras_winit

BLOCKS, UNITS, HEADS = 8, 24, 2
RATES = (1e-3, 3e-4)

layers = keras.layers


def with_place(images):
    """Returns rows of pixels, each followed by its place as a one of eight."""
    places = np.broadcast_to(np.eye(8, dtype="float32"), images.shape)
    return np.concatenate([images, places], axis=-1)


def build(scheme):
    rows = keras.Input((8, 16))
    x = layers.Dense(UNITS)(rows)
    for block in range(1, BLOCKS + 1):
        x = layers.Add()([x, layers.MultiHeadAttention(HEADS, UNITS // HEADS)(x, x)])
        y = layers.Dense(2 * UNITS, "gelu")(x)
        x = layers.Add(name=f"block_{block}")([x, layers.Dense(UNITS)(y)])
    model = keras.Model(rows, layers.Dense(10, "softmax")(layers.Flatten()(x)))
    keras_winit.initialize(model, scheme)
    return model


STARTS = {
    "Keras's default": lambda: build("keras"),
    '"zero_last"': lambda: build("zero_last"),
}


def stream(model, images):
    """Returns the root mean square of the stream behind each block."""
    outputs = [model.get_layer(f"block_{block}").output for block in range(1, BLOCKS + 1)]
    outputs = map(keras.ops.convert_to_numpy, keras.Model(model.input, outputs)(images))
    return [float(np.sqrt(np.mean(np.square(each)))) for each in outputs]


def main():
    options = side_by_side.parse(__doc__, epochs=4)
    data = [(with_place(images), labels) for images, labels in side_by_side.digits(8, 8)]
    best = side_by_side.compare(STARTS, data, RATES, options, side_by_side.CLASSES)

    title = f"Transformer of {BLOCKS} blocks without normalization, digits row by row"
    figure, right = side_by_side.picture(title, best, "accuracy on validation images")
    for name, build_start in STARTS.items():
        look = side_by_side.style(name, STARTS)
        keras.utils.set_random_seed(options.seed)
        sizes = stream(build_start(), data[2][0])
        print(f"stream behind block {BLOCKS}: {sizes[-1]:6.1f}  {name}")
        right.semilogy(range(1, BLOCKS + 1), sizes, **look, markersize=4, label=name)
    right.set(title="Before training", xlabel="block", ylabel="root mean square of the stream")
    right.grid(alpha=0.3)
    pictures.save(figure, options.output_dir / "plain_transformer.png")


if __name__ == "__main__":
    main()
