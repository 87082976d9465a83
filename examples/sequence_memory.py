"""Memory for speech-like sounds: which of ten words was said before a long noise?

A recurrent network of tanh units hears frames of 16 frequency bands: a word of six frames, then
background noise, and names the word at the end. An orthogonal recurrent kernel, Keras's default,
passes on every direction of the state; one of Glorot's rule keeps a few and loses the others frame
by frame. (In GRU and LSTM the gates decide what is kept: see `ChronoBias` and `PerGate`.)
"""

import side_by_side  # isort: skip

import keras
import numpy as np
import pictures

WORDS, BANDS, FRAMES, UNITS = 10, 16, 60, 64
SPOKEN = 6  # frames of a word
RATES = (1e-2, 3e-3)


def spoken():
    return np.random.default_rng(0).normal(size=(WORDS, SPOKEN, BANDS)).astype("float32")


def sounds(samples, seed):
    """Returns sounds in which a word is followed by noise, and the number of each word."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(WORDS, size=samples)
    frames = 0.1 * rng.normal(size=(samples, FRAMES, BANDS))
    frames[:, :SPOKEN] += spoken()[labels]
    return frames.astype("float32"), labels


def build(initializer):
    memory = keras.layers.SimpleRNN(UNITS, return_sequences=True, recurrent_initializer=initializer)
    sound = keras.Input((FRAMES, BANDS))
    words = keras.layers.Dense(WORDS, "softmax")(memory(sound)[:, -1])
    return keras.Model(sound, words)


STARTS = {name: lambda name=name: build(name) for name in ("orthogonal", "glorot_uniform")}


def memory(model):
    """Returns how far apart the words are, in the direction where they are closest, by frame."""
    silence = np.zeros((WORDS, FRAMES - SPOKEN, BANDS), "float32")
    states = keras.ops.convert_to_numpy(
        model.layers[1](np.concatenate([spoken(), silence], axis=1))
    )
    states = (states - states.mean(axis=0)).transpose(1, 0, 2)
    return np.linalg.svd(states, compute_uv=False)[:, WORDS - 2]  # the last is 0: the mean


def main():
    options = side_by_side.parse(__doc__, epochs=5)
    data = [sounds(samples, seed) for seed, samples in enumerate((1000, 300, 500), 1)]
    best = side_by_side.compare(STARTS, data, RATES, options, side_by_side.CLASSES)

    title = f"One of {WORDS} words, named {FRAMES - SPOKEN} frames later from memory"
    figure, right = side_by_side.picture(title, best, "accuracy on validation sounds")
    for name, start in STARTS.items():
        look = side_by_side.style(name, STARTS)
        keras.utils.set_random_seed(options.seed)
        left = memory(start())
        print(f"left of the words after {FRAMES} frames: {left[-1] / left[SPOKEN - 1]:.1e}  {name}")
        right.semilogy(range(1, FRAMES + 1), left, **look, markersize=3, label=name)
    right.axvspan(1, SPOKEN, color=pictures.GRAY, alpha=0.1)
    right.set(title="Before training", xlabel="frame (shaded: the word)")
    right.set_ylabel("distance of the words in the state,\nwhere it is smallest (singular value)")
    right.grid(alpha=0.3)
    pictures.save(figure, options.output_dir / "sequence_memory.png")


if __name__ == "__main__":
    main()
