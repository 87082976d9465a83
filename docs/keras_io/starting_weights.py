"""
Title: Debugging tips: a network that does not learn
Author: [keras_winit contributors](https://github.com/keras-winit/keras-winit)
Date created: 2026/11/30
Last modified: 2026/11/30
Description: Look at signal and gradient before training, and mend the starting weights.
Accelerator: None
"""

"""
## Introduction

[Keras debugging tips](https://keras.io/examples/keras_recipes/debugging_tips/) helps
where code fails. This one is for the other case: the code runs, `fit()` runs, and
the accuracy stays where guessing is.

The cause is often there before the first step. A signal that fades from layer to
layer, outputs that are the same for every sample, a gradient that does not reach the
first layers: all of it follows from the starting weights, and one run of one batch
shows it. `keras_winit` makes that run, on TensorFlow, JAX and PyTorch.

The whole script takes less than a minute on a CPU.
"""

"""
## Setup
"""

"""shell
pip install -q keras-winit scikit-learn
"""

import keras
import keras_winit
from keras import layers
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
images = ((images - images.mean()) / images.std()).astype("float32")

"""
## A network that does not learn

Small images of digits, ten layers of 64 sigmoid units, and Keras's default weights.
Nothing raises, and nothing is learned: there are ten classes, so guessing is right
once in ten times.
"""

epochs = 15


def build_model():
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(64, "sigmoid", name=f"hidden_{n}") for n in range(1, 11)]
    output = layers.Dense(10, "softmax", name="digits")
    model = keras.Sequential([keras.Input((64,)), *hidden, output], name="digits")
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.03, momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train(model, callbacks=()):
    history = model.fit(
        images,
        labels,
        batch_size=64,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )
    print(f"accuracy in training: {history.history['accuracy'][-1]:.1%}")


model = build_model()
train(model)

"""
## Tip 1: look at the signal before you train

`diagnose()` takes the untrained model, a batch and its labels. It runs them forward
and backward once, changes nothing, and returns a table with a row for each layer.
"""

model = build_model()
report = keras_winit.diagnose(model, images, labels)
print(report)

"""
Two columns tell the story. `cosine` is how alike the outputs for two images are: after
four layers it is 1, so the layers behind see the same image all the time. `gradient`
loses a factor of four or five with every layer on its way back, and hardly reaches the
first ones.

Below the table are the findings: what is wrong, the number beside its limit, why that
matters, and what to do. They can be used in code as well, for example in a test of
your model:
"""

for finding in report.findings:
    print(f"{finding.severity}: {finding.rule}. {finding.message}")

"""
The same as a picture. The signal keeps its size here, so its size alone would tell
nothing:
"""

report.plot()

"""
## Tip 2: give every weight what suits it

`fix()` does what the findings suggest, and looks again. For a sigmoid it draws weights
that sum to zero for every unit, so that the mean of the sigmoid, one half, is not passed
on.
"""

fixed = report.fix(seed=0)
print("findings after the fix:", len(fixed.findings))

"""
You need no report for that: `keras_winit.initialize(model)` gives every weight of a model
what suits the activation, depth, normalization and shortcuts around it, and says why.
`print(keras_winit.suggest(model))` shows it beforehand.

## Tip 3: watch the signal while it trains

`SignalMonitor` records the same numbers while `fit()` runs. `between_samples` is the
share of what varies in a layer that tells images apart. In a layer that learns it is not
near zero. The same network, the same optimizer, and the weights that were mended:
"""

monitor = keras_winit.SignalMonitor(images[:256], labels[:256], every=50)
train(model, callbacks=[monitor])
monitor.plot("between_samples")

"""
## Tip 4: rule out what is not in the weights

A report is as useful where the weights are right. Here the last layer has no softmax,
while the loss expects probabilities:
"""

model = keras.Sequential([keras.Input((64,)), layers.Dense(10, name="digits")])
model.compile(loss="sparse_categorical_crossentropy")
for finding in keras_winit.diagnose(model, images, labels).findings:
    print(f"{finding.severity}: {finding.rule}. {finding.message}\n{finding.fix}")

"""
## What no look at the start can tell

Labels that do not belong to their images give a report without findings: signal and
gradient are as they should be. Where training fails after such a report, look at your
data, and at the learning rate.

A model that is to be loaded where `keras_winit` is not installed is saved after
`keras_winit.strip_initializers(model)`: its weights stay, and its layers name
initializers of Keras alone.
"""
