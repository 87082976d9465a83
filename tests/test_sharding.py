"""Weights that are drawn shard by shard, as JAX's distributions ask for."""

import concurrent.futures
import multiprocessing

import keras
import numpy as np
import pytest

from keras_winit import _backends, initializers
from keras_winit._random import distributions

BACKEND = keras.backend.backend()
# Keras 3.15 is the first to tell an initializer the layout.
TELLS_LAYOUT = tuple(int(part) for part in keras.__version__.split(".")[:2]) >= (3, 15)
SHAPE = (600, 400)


def values(shape):
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


if BACKEND != "jax":

    def test_layout_is_refused_where_there_are_no_shardings():
        with pytest.raises(ValueError, match=f"`layout` should be None.* on {BACKEND}"):
            initializers.Orthogonal()((3, 4), layout="rows")


if BACKEND == "jax":

    def layouts():
        """Yields a sharding of (600, 400), the shape of its shards, and how many differ."""
        import jax
        from jax.sharding import NamedSharding, PartitionSpec

        mesh = jax.make_mesh((2, 2), ("batch", "model"))
        for spec, shape, number in (
            ((None, "model"), (600, 200), 2),
            (("model",), (300, 400), 2),
            (("batch", "model"), (300, 200), 4),
            ((None, ("batch", "model")), (600, 100), 4),
            ((), SHAPE, 1),
        ):
            yield NamedSharding(mesh, PartitionSpec(*spec)), shape, number

    def check_placement():
        for layout, shard_shape, number in layouts():
            asked = []

            def parts(part, asked=asked):
                asked.append(part)
                return values(SHAPE)[part]

            made = _backends.sharded(parts, SHAPE, "bfloat16", layout)
            assert made.sharding == layout
            assert {shard.data.shape for shard in made.addressable_shards} == {shard_shape}
            assert len(asked) == number
            expected = keras.ops.convert_to_numpy(keras.ops.cast(values(SHAPE), "bfloat16"))
            np.testing.assert_array_equal(np.asarray(made), expected)
            for shard in made.addressable_shards:
                np.testing.assert_array_equal(np.asarray(shard.data), expected[shard.index])

    def check_values():
        for layout, _, _ in layouts():
            for initializer in (
                initializers.ActivationScaling("relu", seed=1),
                initializers.ActivationScaling("relu", centered=True, seed=1),
                initializers.Siren(seed=1),
                initializers.Orthogonal(seed=1),
                initializers.Sparse(seed=1),
            ):
                for dtype in ("float32", "bfloat16"):
                    whole = np.asarray(initializer(SHAPE, dtype=dtype))
                    sharded = initializer(SHAPE, dtype=dtype, layout=layout)
                    assert sharded.sharding == layout
                    np.testing.assert_array_equal(np.asarray(sharded), whole)

    def check_layers():
        mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
        layout = keras.distribution.LayoutMap(mesh)
        layout["wide/kernel"] = (None, "model")
        layout["tall/kernel"] = ("model", None)
        initializer = initializers.ActivationScaling("relu", seed=1)
        plain = keras.layers.Dense(400, kernel_initializer=initializer)
        plain.build((None, 600))
        with keras.distribution.ModelParallel(layout_map=layout).scope():
            for name, shape in (("wide", (600, 200)), ("tall", (300, 400)), ("other", SHAPE)):
                layer = keras.layers.Dense(400, kernel_initializer=initializer, name=name)
                layer.build((None, 600))
                shards = layer.kernel.value.addressable_shards
                assert {shard.data.shape for shard in shards} == {shape}
                np.testing.assert_array_equal(
                    np.asarray(layer.kernel.value), np.asarray(plain.kernel.value)
                )
                assert layer(np.ones((4, 600), "float32")).shape == (4, 400)

    def check_memory():
        """A shard is drawn without the others: the largest array is a shard, or a block."""
        import jax
        from jax.sharding import NamedSharding, PartitionSpec

        shape = (8, 8 * distributions.BLOCK)
        words, sizes, raw = [], [], np.random.Philox.random_raw
        empty = np.empty

        class Philox(np.random.Philox):
            def random_raw(self, size):
                words.append(size)
                return raw(self, size)

        def counted_empty(shape, *args, **kwargs):
            array = empty(shape, *args, **kwargs)
            sizes.append(array.nbytes)
            return array

        mesh = jax.make_mesh((4,), ("model",))
        initializer = initializers.Siren(seed=1)
        np.random.Philox, np.empty = Philox, counted_empty
        try:
            for spec in (("model",), (None, "model")):
                words.clear(), sizes.clear()
                initializer(shape, layout=NamedSharding(mesh, PartitionSpec(*spec)))
                # A quarter of the numbers, of four bytes each, and what aligns them.
                assert max(sizes) == np.prod(shape) + 64
                assert sum(words) == np.prod(shape) // 2  # of 64 bits, each for two numbers
        finally:
            np.random.Philox, np.empty = np.random.Philox.__base__, empty

    CHECKS = [
        check_placement,
        check_values,
        *([check_layers] if TELLS_LAYOUT else []),
        check_memory,
    ]

    @pytest.fixture(scope="module")
    def four_devices():
        """A process in which JAX has four devices."""
        spawn = multiprocessing.get_context("spawn")
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
                yield executor

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_shards_are_drawn_alone_where_the_layout_says(check, four_devices):
        four_devices.submit(check).result()
