"""What `diagnose` says of networks that train well: nothing, or what is measured to cost something.

The backbones of KerasHub, as tiny as `tests/libraries/backbones.py` builds them and some less so,
the smallest architecture of each family in keras.applications, and the models that
`benchmarks/libraries.py` trains: each as its author starts it, and after `initialize`. Printed are
the findings of either, errors with a mark, and, with `--steps`, what is left of the loss where the
model is to keep apart the samples of one batch: 1 where it learns nothing, 0 where it knows them
all. KerasHub has to be installed for its own.

    KERAS_BACKEND=jax python benchmarks/health.py [--only hub/BERT ...] [--steps 60]
"""

import argparse
import collections
import functools
import pathlib
import sys

import keras
import libraries
import numpy as np

import keras_winit
from keras_winit._measure.batch import take
from keras_winit._network.network import Network

APPLICATIONS = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 80,
    "InceptionV3": 80,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 80,
}
STARTS = ("own", "initialize")
ROW = "{:28} {:11} {}"
SEED, CLASSES = 0, 4


def wide():
    """Returns backbones of KerasHub that are wide enough for chance to explain little."""
    from keras_hub import models

    size = {"num_layers": 6, "hidden_dim": 128, "intermediate_dim": 512}
    text = {"vocabulary_size": 1000, "num_heads": 4, **size}
    shared = {"vocabulary_size": 1000, "num_query_heads": 4, "num_key_value_heads": 2, **size}
    experts = {**shared, "num_experts": 4, "top_k": 2}
    return {
        "BERT, wide": lambda: models.BertBackbone(max_sequence_length=64, **text),
        "GPT-2, wide": lambda: models.GPT2Backbone(max_sequence_length=64, **text),
        "Llama, wide": lambda: models.LlamaBackbone(**shared),
        "Gemma, wide": lambda: models.GemmaBackbone(head_dim=32, **shared),
        "Mixtral, wide": lambda: models.MixtralBackbone(sliding_window=32, **experts),
        "Qwen, experts, wide": lambda: models.QwenMoeBackbone(
            moe_intermediate_dim=64, shared_expert_intermediate_dim=64, **experts
        ),
        "T5, wide": lambda: models.T5Backbone(**text),
        "ViT, wide": lambda: models.ViTBackbone(
            image_shape=(32, 32, 3),
            patch_size=8,
            num_layers=6,
            num_heads=4,
            hidden_dim=128,
            mlp_dim=512,
        ),
    }


def models():
    """Returns functions that make (model, x, y) by name; x and y may be `None`."""
    made = {}
    try:
        sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests/libraries"))
        from backbones import BACKBONES
        from test_keras_hub import BATCHES
    except ImportError:
        print("KerasHub is not installed: without its backbones.")
    else:
        for name, make in {**BACKBONES, **wide()}.items():
            made[f"hub/{name}"] = functools.partial(of_hub, make, BATCHES.get(name))
    for name, size in APPLICATIONS.items():
        made[f"applications/{name}"] = functools.partial(of_applications, name, size)
    for make in libraries.MODELS:
        made[f"libraries/{make.__name__}"] = functools.partial(of_libraries, make)
    return made


def of_hub(make, shapes):
    uniform = functools.partial(np.random.default_rng(0).uniform, 0.5, 1.5)  # as in its tests
    return make(), shapes and keras.tree.map_shape_structure(uniform, shapes), None


def of_applications(name, size):
    make = getattr(keras.applications, name)
    noise = np.random.default_rng(0).normal(size=(16, size, size, 3)).astype("float32")
    return make(weights=None, input_shape=noise.shape[1:], classes=10), noise, None


def of_libraries(make):
    model, task, loss = make()
    model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0), loss)
    return model, *task(0, 256)


def told(findings):
    marks = {"error": "!", "warning": ""}
    number = collections.Counter((each.rule, marks[each.severity]) for each in findings)
    texts = [f"{rule}{mark}" + f" x{n}" * (n > 1) for (rule, mark), n in number.items()]
    return ", ".join(texts) or "-"


def left(model, x, steps, rate=1e-3):
    """Returns what is left of the loss after steps on one batch of random labels."""
    batch = take(Network(model), x)
    size = min(batch.size, 16)
    inputs = keras.tree.map_structure(lambda array: array[:size], batch.x)
    labels = np.random.default_rng(0).integers(0, CLASSES, size)
    head = Head(model)
    head.compile(keras.optimizers.Adam(rate, clipnorm=1.0), libraries.CROSSENTROPY)
    history = head.fit(inputs, labels, batch_size=size, epochs=steps, verbose=0, shuffle=False)
    counts = np.bincount(labels) / size
    return history.history["loss"][-1] / -np.sum(counts * np.log(counts))


class Head(keras.Model):
    """Classes of the mean of all floats that a model gives, on a scale of their own."""

    def __init__(self, model):
        super().__init__()
        self.model, self.dense = model, keras.layers.Dense(CLASSES)
        self.normalize = keras.layers.LayerNormalization()

    def call(self, x, training=None):
        outputs = self.model(x, training=training)
        parts = [each for each in keras.tree.flatten(outputs) if "float" in str(each.dtype)]
        parts = [keras.ops.cast(each, "float32") for each in parts]
        axes = [tuple(range(1, len(each.shape) - 1)) for each in parts]
        parts = [
            keras.ops.mean(each, a) if a else each for each, a in zip(parts, axes, strict=True)
        ]
        parts = [each for each in parts if len(each.shape) == 2]
        return self.dense(self.normalize(keras.ops.concatenate(parts, -1)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", default=[""], help="what names start with")
    parser.add_argument("--steps", type=int, default=0, help="of training, none without it")
    parser.add_argument("--starts", nargs="+", default=STARTS, choices=STARTS)
    parser.add_argument("--verbose", action="store_true", help="the sentences as well")
    arguments = parser.parse_args()
    chosen = {n: m for n, m in models().items() if n.startswith(tuple(arguments.only))}
    totals = {start: collections.Counter() for start in arguments.starts}
    print(ROW.format("model", "start", "findings"), flush=True)
    for name, make in chosen.items():
        for start in arguments.starts:
            keras.utils.set_random_seed(SEED)
            model, x, y = make()
            if start == "initialize":
                keras_winit.initialize(model, seed=SEED)
            findings = keras_winit.diagnose(model, x, y).findings
            text = told(findings)
            if arguments.steps:
                text += f"  {left(model, x, arguments.steps):.2f} left"
            print(ROW.format(name, start, text), flush=True)
            if arguments.verbose:
                print("".join(f"    {each.message}\n" for each in findings), end="", flush=True)
            totals[start].update({each.rule for each in findings})
            severities = {each.severity for each in findings}
            totals[start].update({f"with an {each}" for each in severities & {"error"}})
            totals[start].update({f"with a {each}" for each in severities & {"warning"}})
        keras.backend.clear_session()
    for start, total in totals.items():
        parts = [f"{rule} {number}" for rule, number in total.most_common()]
        print(f"{start}: of {len(chosen)} models {', '.join(parts) or 'none with a finding'}")


if __name__ == "__main__":
    main()
