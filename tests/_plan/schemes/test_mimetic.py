import keras
import numpy as np
import pytest

import keras_winit
from keras_winit._network import walk
from keras_winit._plan.schemes.mimetic import PARTS, MimeticAttention

SIZE, HEADS, HEAD_SIZE = 48, 3, 16


def transformer(size=SIZE, heads=HEADS, head_size=HEAD_SIZE, layer=None, name="attention"):
    x = keras.Input((5, size))
    layer = layer or keras.layers.MultiHeadAttention(heads, head_size, name=name)
    return keras.Model(x, keras.layers.Dense(7, "relu")(layer(x, x)))


def kernels(model, name="attention"):
    """Returns those of query, key, value and output as float64 arrays."""
    found = {
        weight.path.split("/")[-2]: keras.ops.convert_to_numpy(weight).astype("float64")
        for weight in model.weights
        if weight.name == "kernel" and name in weight.path
    }
    return [found[part] for part in ("query", "key", "value", "attention_output")]


@pytest.fixture(scope="module")
def drawn():
    model = transformer()
    keras_winit.initialize(model, "mimetic", seed=3)
    return kernels(model)


def test_value_times_output_is_near_the_negative_identity(drawn):
    *_, value, output = drawn
    product = value.reshape(SIZE, -1) @ output.reshape(-1, SIZE)
    noise = (product + 0.4 * np.eye(SIZE)) / 0.4 * np.sqrt(SIZE)
    # All that is left is standard normal: mean and variance of 48² numbers, 4 standard errors.
    assert abs(noise.mean()) < 4 / SIZE
    assert abs(noise.var() - 1) < 4 * np.sqrt(2) / SIZE


def test_query_times_key_of_each_head_is_the_best_of_its_rank(drawn):
    query, key, *_ = drawn
    for head in range(HEADS):
        product = query[:, head] @ key[:, head].T
        assert np.linalg.matrix_rank(product, tol=1e-5) == HEAD_SIZE
        # Balanced halves: both have the same Gram matrix, diagonal, of the singular values.
        values = np.linalg.svd(product, compute_uv=False)[:HEAD_SIZE]
        for half in (query[:, head], key[:, head]):
            np.testing.assert_allclose(half.T @ half, np.diag(values), atol=1e-5)
        # The projection on these directions of .7 Z + .7 I is as near to it as .7 I alone.
        assert np.trace(product) > 0.5 * 0.7 * HEAD_SIZE


def test_with_heads_of_full_size_query_times_key_is_the_whole_product():
    model = transformer(head_size=SIZE, heads=1)
    keras_winit.initialize(model, "mimetic", seed=4)
    query, key, *_ = kernels(model)
    noise = (query[:, 0] @ key[:, 0].T - 0.7 * np.eye(SIZE)) / 0.7 * np.sqrt(SIZE)
    assert abs(noise.mean()) < 4 / SIZE
    assert abs(noise.var() - 1) < 4 * np.sqrt(2) / SIZE


def test_heads_and_layers_differ(drawn):
    query, *_ = drawn
    assert np.abs(query[:, 0] - query[:, 1]).max() > 0.1
    x = keras.Input((5, SIZE))
    y = x
    for number in range(2):
        y = keras.layers.MultiHeadAttention(HEADS, HEAD_SIZE, name=f"attention{number}")(y, y)
    model = keras.Model(x, y)
    keras_winit.initialize(model, "mimetic", seed=3)
    first, second = (kernels(model, f"attention{number}") for number in range(2))
    assert min(np.abs(a - b).max() for a, b in zip(first, second, strict=True)) > 0.1


def test_layers_that_are_told_parts_draw_pairs_that_belong_together():
    model = transformer()
    for layer in walk(model.get_layer("attention")):
        if layer.name in PARTS:
            layer.kernel_initializer = MimeticAttention(layer.name)
    keras_winit.initialize(model, "own", seed=5)
    *_, value, output = kernels(model)
    product = value.reshape(SIZE, -1) @ output.reshape(-1, SIZE)
    assert abs(np.trace(product) / SIZE + 0.4) < 4 * 0.4 / SIZE


def test_the_rest_is_as_suggested():
    model = transformer()
    mimetic = keras_winit.initialize(model, "mimetic", seed=3).rows
    suggested = keras_winit.initialize(model, seed=3).rows
    for row, other in zip(mimetic, suggested, strict=True):
        is_kernel = row.weight.startswith("attention/") and row.weight.endswith("kernel")
        assert (row.initializer == other.initializer) != is_kernel
        if is_kernel:
            assert row.initializer.startswith("MimeticAttention(")


def test_a_model_initialized_so_saves_and_loads(tmp_path):
    model = transformer()
    keras_winit.initialize(model, "mimetic", seed=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for kernel, again in zip(kernels(model), kernels(loaded), strict=True):
        np.testing.assert_array_equal(kernel, again)


def test_weights_do_not_depend_on_signs_of_singular_vectors(monkeypatch):
    expected = MimeticAttention("key", seed=1)((6, 2, 3))
    svd = np.linalg.svd

    def turned(matrix):
        left, values, right = svd(matrix)
        signs = np.array([1, -1, -1, 1, 1, -1])
        return left * signs, values, right * signs[:, None]

    monkeypatch.setattr(np.linalg, "svd", turned)
    np.testing.assert_array_equal(MimeticAttention("key", seed=1)((6, 2, 3)), expected)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.GroupQueryAttention(16, 4, 2, name="attention"),
        lambda: keras.layers.MultiHeadAttention(3, 16, value_dim=20, name="attention"),
        lambda: keras.layers.MultiHeadAttention(3, 16, output_shape=9, name="attention"),
        lambda: keras.layers.Dense(9, name="attention"),
    ],
)
def test_attention_of_other_sizes_is_refused(layer):
    layer = layer()
    x = keras.Input((5, SIZE))
    y = layer(x) if isinstance(layer, keras.layers.Dense) else layer(x, x)
    with pytest.raises(ValueError, match="'mimetic': no attention layer was found .* of one size"):
        keras_winit.initialize(keras.Model(x, y), "mimetic")
