"""Digit recognition: a deep relu network of convolutions, from Glorot's weights and from He's.

Twenty convolutions without normalization. Keras's default, `glorot_uniform`, knows nothing of
relu, which halves the second moment of the signal at every layer; `suggest_initializer` makes up
for it with `he_normal`. In a network of four layers it makes little difference.
"""

import side_by_side  # isort: skip

import keras
import numpy as np
import pictures

import keras_winit

DEPTH = 20
RATES = (1e-3, 3e-4)

Conv2D = keras.layers.Conv2D
SuggestedConv2D = keras_winit.suggest_initializer(Conv2D)


def build(layer):
    first = layer(8, 3, padding="same", activation="relu")
    second = layer(16, 3, 2, padding="same", activation="relu")  # to 4 x 4 pixels
    others = [layer(16, 3, padding="same", activation="relu") for _ in range(DEPTH - 2)]
    head = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), first, second, *others, *head])


STARTS = {
    "Glorot, Keras's default": lambda: build(Conv2D),
    "He, suggested for relu": lambda: build(SuggestedConv2D),
}


def signal(model, images):
    """Returns the root mean square of the output of each convolution."""
    outputs = keras.Model(model.inputs[0], [layer.output for layer in model.layers[:DEPTH]])(images)
    outputs = map(keras.ops.convert_to_numpy, outputs)
    return [float(np.sqrt(np.mean(np.square(each)))) for each in outputs]


def main():
    options = side_by_side.parse(__doc__, epochs=6)
    data = side_by_side.digits(8, 8, 1)
    best = side_by_side.compare(STARTS, data, RATES, options, side_by_side.CLASSES)

    title = f"Digit recognition, {DEPTH} relu convolutions"
    figure, right = side_by_side.picture(title, best, "accuracy on validation images")
    for name, build_start in STARTS.items():
        look = side_by_side.style(name, STARTS)
        keras.utils.set_random_seed(options.seed)
        sizes = signal(build_start(), data[2][0])
        print(f"signal behind layer {DEPTH}: {sizes[-1]:.1e}  {name}")
        right.semilogy(range(1, DEPTH + 1), sizes, **look, markersize=4, label=name)
    right.set(title="Before training", xlabel="layer", ylabel="root mean square of outputs")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.grid(alpha=0.3)
    pictures.save(figure, options.output_dir / "digit_recognition.png")


if __name__ == "__main__":
    main()
