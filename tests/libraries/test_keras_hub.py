"""All backbones of KerasHub: what is known of them, and that every verb takes them.

Not collected with the other tests, as KerasHub is large: `.ci/run` installs it. `python
tests/libraries/test_keras_hub.py` prints the table of `docs/keras_hub.md`.
"""

import contextlib
import functools
import random
import time
import warnings

import keras
import numpy as np
import pytest
from backbones import BACKBONES
from keras_hub import models

import keras_winit
from keras_winit import _network
from keras_winit._network.network import Network
from keras_winit._plan.schemes import SCHEMES

# Weights that stay as they are: integers, what the code of a layer computes, and what may be a
# kernel.
LEFT = {
    "CLIP": {"position_ids"},
    "D-FINE": {"upsampling_factor"},
    "Depth Anything": {"interpolated_position_embeddings"},
    "DINOv2": {"interpolated_position_embeddings"},
    "DINOv2, gated": {"interpolated_position_embeddings"},
    "PARSeq": {"pos_query_embeddings"},
    "Qwen 3.5": {"conv1d_kernel"},
    "Qwen 3.5, experts": {"conv1d_kernel"},
    "SAM 3": {"tiled_position_embeddings"},
    "SigLIP": {"position_ids"},
}
# Weights that come back otherwise: their layer saves what it has computed of them in their place.
COMPUTED = {"SAM 3": {"position_embeddings"}}
# With a layer whose code needs values, or calls a backend.
UNREAD = {"D-FINE", "DeBERTa v3", "Depth Anything", "RWKV-7", "SAM 3", "Stable Diffusion 3"}
# Shapes of a batch where noise does not do: for what is large on any image that it takes, and for
# what takes boxes (as KerasHub masks these, one less than samples).
BATCHES = {
    "BASNet": (4, 32, 32, 3),
    "SAM 3": {
        "pixel_values": (2, 56, 56, 3),
        "token_ids": (2, 6),
        "padding_mask": (2, 6),
        "boxes": (2, 1, 5),
        "box_labels": (2, 1),
    },
}
# Schemes that need branches, attention, activations of some kinds or a base: they say where not.
PARTICULAR = {"critical", "fixup", "zero_last", "gpt2", "mimetic", "mup"}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_verb_takes_it(name, tmp_path):
    model = BACKBONES[name]()
    network = Network(model, anew=True)
    assert {weight.name for weight in network.weights if weight.skip} <= LEFT.get(name, set())
    assert network.problem is None or name in UNREAD
    for scheme, choose in SCHEMES.items():
        with contextlib.suppress(*[ValueError] * (scheme in PARTICULAR)):
            assert len(choose(network, None)) == len(network.weights)
    keras_winit.initialize(model, keras_winit.suggest(model), seed=1)
    x = None
    if name in BATCHES:  # as tokens and masks, zeros and ones
        uniform = functools.partial(np.random.default_rng(0).uniform, 0.5, 1.5)
        x = keras.tree.map_shape_structure(uniform, BATCHES[name])
    keras_winit.diagnose(model, x)
    keras_winit.calibrate(model, x)
    keras_winit.initialize(model, "own", seed=1)
    for weight in network.kernels:
        _, axes = weight.structure
        if axes.batch == (0,) and weight.kernel.blocks == 1:  # experts
            experts = keras.ops.convert_to_numpy(weight.variable)
            assert len(np.unique(experts, axis=0)) == len(experts), f"twins in {weight.path}"
    keras_winit.strip_initializers(model)
    weights = model.get_weights()
    model.save_weights(tmp_path / "model.weights.h5")
    keras_winit.initialize(model, "orthogonal", only=network.kernels[0].path, seed=2)
    model.load_weights(tmp_path / "model.weights.h5")
    for weight, one, other in zip(network.weights, weights, model.get_weights(), strict=True):
        # Others are computed anew.
        if weight.skip is None and weight.name not in COMPUTED.get(name, set()):
            np.testing.assert_array_equal(one, other)


def in_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        return BACKBONES["Llama"]()
    finally:
        keras.config.set_dtype_policy(before)


def quantized():
    model = BACKBONES["Llama"]()
    model.quantize("int8")
    return model


def adapted():
    model = BACKBONES["Llama"]()
    for layer in _network.walk(model):
        if isinstance(layer, (keras.layers.EinsumDense, keras.layers.Embedding)):
            layer.enable_lora(2)
    return model


def frozen():
    model = BACKBONES["Llama"]()
    model.layers[-1].trainable = False
    return model


# Functions to a Llama, with how many of its weights `initialize` leaves alone.
CONTEXTS = {
    functools.partial(in_policy, "mixed_float16"): 0,
    functools.partial(in_policy, "mixed_bfloat16"): 0,
    quantized: 32,
    adapted: 9,
    frozen: 1,
}


@pytest.mark.parametrize(("make", "left"), CONTEXTS.items(), ids=lambda each: "")
def test_every_verb_takes_a_decoder_in_any_context(make, left):
    model = make()
    assert len(keras_winit.initialize(model, keras_winit.suggest(model), seed=1).skipped) == left
    assert keras_winit.diagnose(model).signal.problem is None
    keras_winit.calibrate(model)
    assert all(np.isfinite(np.float32(each)).all() for each in model.get_weights())


def gpt2(width, heads, depth):
    size = {"hidden_dim": width, "intermediate_dim": 2 * width, "num_layers": depth}
    return models.GPT2Backbone(11, num_heads=heads, max_sequence_length=8, **size)


def bert(width, heads, depth):
    size = {"hidden_dim": width, "intermediate_dim": 2 * width, "num_layers": depth}
    return models.BertBackbone(11, num_heads=heads, max_sequence_length=8, **size)


def llama(width, heads, depth):
    size = {"hidden_dim": width, "intermediate_dim": 2 * width, "num_layers": depth}
    heads = {"num_query_heads": heads, "num_key_value_heads": heads // 2}
    return models.LlamaBackbone(vocabulary_size=11, **heads, **size)


def vit(width, heads, depth):
    size = {"hidden_dim": width, "mlp_dim": 2 * width, "num_layers": depth}
    return models.ViTBackbone((16, 16, 3), patch_size=8, num_heads=heads, **size)


def resnet(width, heads, depth):
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 2 * width],
        stackwise_num_blocks=[depth, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )


@pytest.mark.parametrize("build", [bert, gpt2, llama, resnet, vit])
def test_families_inherit_from_each_other(build):
    depth = 2 if build is bert else 3  # normalized behind its blocks, it can be no deeper
    small, large = build(8, 2, 2), build(16, 4, depth)
    rng = np.random.default_rng(0)
    for weight in small.weights:
        if "float" in str(weight.dtype):
            value = keras.ops.convert_to_numpy(weight)
            weight.assign(value + rng.uniform(0.0, 0.3, value.shape))
    grown = keras_winit.inherit(large, small)
    assert grown.difference < 1e-5
    assert len(grown.left) == 0 or depth > 2
    assert keras_winit.inherit(build(8, 2, 2), large).left == ()


def table():
    """Yields the lines of the table."""
    yield "| model | weights | known | left, and why | branches | read in |"
    yield "|---|---|---|---|---|---|"
    for name, make in BACKBONES.items():
        random.seed(0)
        model = make()
        start = time.perf_counter()
        network = Network(model, anew=True)
        seconds = time.perf_counter() - start
        left = {}
        for weight in network.weights:
            if weight.skip:
                left.setdefault(weight.skip.replace("; use `describe_layer`", ""), set()).add(
                    f"`{weight.name}`"
                )
        known = sum(weight.skip is None for weight in network.weights)
        reasons = "; ".join(f"{', '.join(sorted(names))}: {why}" for why, names in left.items())
        unread = network.problem.split("(")[1].split(")")[0] if network.problem else ""
        branches = f"{network.num_branches}{f', without `{unread}`' if unread else ''}"
        yield (
            f"| {name} | {len(network.weights)} | {known} | {reasons} | {branches} | "
            f"{seconds:.1f} s |"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in table():
        print(line, flush=True)
