"""Attention that starts as that of trained vision transformers."""

import math
import re

import keras
import numpy as np

from keras_winit import _checks
from keras_winit._plan.choice import Choice
from keras_winit._plan.schemes.suggested import suggested
from keras_winit._random import distributions
from keras_winit._references import MIMETIC
from keras_winit.initializers._kernel_initializer import KernelInitializer

PARTS = ("query", "key", "value", "attention_output")
_PART = re.compile(rf"/({'|'.join(PARTS)})/kernel")

# The product of two maps is noise * Z + identity * I, Z normal of variance 1 / size.
_PRODUCTS = {"query_key": (0.7, 0.7), "value_output": (0.4, -0.4)}


@keras.saving.register_keras_serializable("keras_winit")
class MimeticAttention(KernelInitializer):
    """One of the four kernels of an attention layer, (size, heads, head size) or its reverse.

    Query and key of each head are the halves of 0.7 Z + 0.7 I, value and output those of
    0.4 Z - 0.4 I, split by singular values; a product of lower rank keeps its largest ones. The
    parts of one layer find the same Z by the name of their stream, which is that of the layer.
    """

    def __init__(self, part="query", seed=None):
        self.part = _checks.option("part", part, PARTS)
        super().__init__(seed=seed)

    def _draw(self, shape, axes, dtype, seed):
        layer = _PART.sub("", str(seed))
        if self.part in ("query", "key"):
            size, heads, head_size = shape
            left, right = _halves(size, heads, "query_key", layer)
            half = left if self.part == "query" else right
            return half[:, :, :head_size].transpose(1, 0, 2).astype(dtype)
        is_value = self.part == "value"
        size = shape[0] if is_value else shape[2]
        left, right = _halves(size, 1, "value_output", layer)
        half = (left if is_value else right)[0, :, : math.prod(shape) // size]
        return (half if is_value else half.T).reshape(shape).astype(dtype)


def _halves(size, number, product, seed):
    """Returns two stacks (number, size, size), L and R, with L Rᵀ the product that is asked for.

    Their columns come in the order of the singular values, the largest first.
    """
    noise, identity = _PRODUCTS[product]
    normal = distributions.normal(
        (number, size, size), seed=seed, purpose=f"mimetic/{product}", stddev=size**-0.5
    )
    left, values, right = np.linalg.svd(noise * normal.astype("float64") + identity * np.eye(size))
    right = right.transpose(0, 2, 1)
    # LAPACK may turn the sign of a pair of columns: here the largest number of each is positive.
    largest = np.take_along_axis(left, np.abs(left).argmax(1)[:, None], axis=1)
    scale = np.sign(largest) * np.sqrt(values)[:, None]
    return left * scale, right * scale


def mimetic(network, keep):
    """Attention as in trained vision transformers, the rest as suggested."""
    parts = _parts(network.weights)
    if not parts:
        raise ValueError(
            "no attention layer was found whose queries, keys, values and outputs are of one "
            'size. Use "suggested" instead'
        )
    reason = "query times key starts near the identity, value times output near its negative"
    return [
        Choice(choice.weight, parts[choice.weight], reason, str(MIMETIC))
        if choice.weight in parts
        else choice
        for choice in suggested(network, keep)
    ]


def _parts(weights):
    """Returns the initializer of each kernel that fits.

    The four maps of a layer should be of one size, with as many heads for keys as for queries.
    """
    attentions = {}
    for weight in weights:
        found = _PART.search(weight.path) if weight.in_attention and weight.kernel else None
        if found:
            attentions.setdefault(_PART.sub("", weight.path), {})[found[1]] = weight
    parts = {}
    for maps in attentions.values():
        shapes = {part: weight.shape for part, weight in maps.items()}
        if len(shapes) == len(PARTS) and _fit(**shapes):
            parts.update({weight: MimeticAttention(part) for part, weight in maps.items()})
    return parts


def _fit(query, key, value, attention_output):
    sizes = {query[0], key[0], value[0], attention_output[-1]}
    heads = {query[1], key[1], value[1]}
    return (
        len(sizes) == len(heads) == 1
        and query[2] <= query[0]
        and math.prod(value[1:]) <= value[0]
        and len(attention_output) == 3
    )
