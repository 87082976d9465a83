"""Where and when Keras builds a layer: in the middle of a trace, on many devices, in few bits."""

import concurrent.futures
import multiprocessing

import keras
import numpy as np
import pytest
from models import CATALOGUE, RANDOM

from keras_winit import initializers

layers = keras.layers

BACKEND = keras.backend.backend()

each_class = pytest.mark.parametrize("cls", CATALOGUE)

SHAPE = (3, 2, 6, 4)


class Composite(layers.Layer):
    """A layer without `build`: what it holds is built by its first call."""

    def __init__(self, initializer):
        super().__init__()
        self.convolution = layers.Conv2D(4, (3, 2), kernel_initializer=initializer)

    def call(self, x):
        return self.convolution(x)


class Subclassed(keras.Model):
    def __init__(self, initializer):
        super().__init__()
        self.composite = Composite(initializer)
        self.pool = layers.GlobalAveragePooling2D()

    def call(self, x):
        return self.pool(self.composite(x))


def sequential(initializer):
    composite = Composite(initializer)
    return keras.Sequential([composite, layers.GlobalAveragePooling2D()])


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def images():
    return np.random.default_rng(0).normal(size=(8, 5, 4, 6)).astype("float32")


def in_new_process(function):
    """Runs a function of this module where no backend has started yet."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
        executor.submit(function).result()


@each_class
@pytest.mark.parametrize("make_model", [sequential, Subclassed])
def test_fit_builds_the_model_with_the_weights_of_an_eager_draw(cls, make_model):
    initializer = cls()
    model = make_model(initializer)
    # A learning rate of zero leaves the weights as they start.
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(images(), np.zeros((8, 4), "float32"), batch_size=4, verbose=0)
    kernel = model.layers[0].convolution.kernel
    np.testing.assert_array_equal(to_numpy(kernel), to_numpy(initializer(SHAPE)))


@pytest.mark.parametrize("cls", RANDOM)
def test_fit_builds_the_model_with_a_seed_generator(cls):
    model = Subclassed(cls(seed=keras.random.SeedGenerator(3)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(images(), np.zeros((8, 4), "float32"), verbose=0)
    # While it traces, Keras may draw once or twice more than it keeps.
    again = cls(seed=keras.random.SeedGenerator(3))
    draws = [to_numpy(again(SHAPE)) for _ in range(4)]
    kernel = to_numpy(model.composite.convolution.kernel)
    assert any(np.array_equal(kernel, draw) for draw in draws)


@each_class
@pytest.mark.parametrize(
    ("policy", "dtype"),
    [
        ("mixed_bfloat16", "float32"),
        ("mixed_float16", "float32"),
        ("bfloat16", "bfloat16"),
        ("float16", "float16"),
    ],
)
def test_a_kernel_has_the_dtype_of_the_policy_and_the_values_of_float32(cls, policy, dtype):
    initializer = cls()
    layer = layers.Conv2D(4, (3, 2), kernel_initializer=initializer, dtype=policy)
    outputs = layer(images())
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    assert np.isfinite(to_numpy(keras.ops.cast(outputs, "float32"))).all()
    assert layer.kernel.dtype == dtype
    rounded = keras.ops.cast(initializer(SHAPE), dtype)
    np.testing.assert_array_equal(to_numpy(layer.kernel), to_numpy(rounded))


if BACKEND == "tensorflow":

    @each_class
    def test_a_layer_is_built_inside_tf_function(cls):
        import tensorflow as tf

        initializer = cls()
        layer = layers.Conv2D(4, (3, 2), kernel_initializer=initializer)
        outputs = tf.function(lambda x: layer(x))(images())
        np.testing.assert_array_equal(to_numpy(layer.kernel), to_numpy(initializer(SHAPE)))
        np.testing.assert_allclose(to_numpy(outputs), to_numpy(layer(images())), atol=1e-5)

    @each_class
    def test_tf_function_draws_as_eagerly(cls):
        import tensorflow as tf

        initializer = cls()
        drawn = tf.function(lambda: initializer(SHAPE))()
        np.testing.assert_array_equal(to_numpy(drawn), to_numpy(initializer(SHAPE)))

    def check_mirrored_strategy():
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        device = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(processor, [device, device])
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            composites = [Composite(cls()) for cls in CATALOGUE]
            inputs = keras.Input((5, 4, 6))
            total = layers.Add()([composite(inputs) for composite in composites])
            model = keras.Model(inputs, layers.GlobalAveragePooling2D()(total))
            model.compile(keras.optimizers.SGD(0.1), "mse")
        for composite in composites:
            expected = to_numpy(composite.convolution.kernel_initializer(SHAPE))
            assert len(composite.convolution.kernel.value.values) == 2
            for replica in composite.convolution.kernel.value.values:
                np.testing.assert_array_equal(replica.numpy(), expected)
        model.fit(images(), np.ones((8, 4), "float32"), verbose=0)
        for composite in composites:
            first, second = composite.convolution.kernel.value.values
            np.testing.assert_array_equal(first.numpy(), second.numpy())

    def test_replicas_of_a_mirrored_strategy_are_equal():
        in_new_process(check_mirrored_strategy)


if BACKEND == "jax":

    @each_class
    def test_jit_draws_as_eagerly(cls):
        import jax

        initializer = cls()
        drawn = jax.jit(initializer.__call__, static_argnames=["shape", "dtype"])(
            shape=SHAPE, dtype="float32"
        )
        np.testing.assert_array_equal(to_numpy(drawn), to_numpy(initializer(SHAPE)))

    @each_class
    def test_a_layer_is_built_inside_jit(cls):
        import jax

        initializer = cls()
        layer = layers.Conv2D(4, (3, 2), kernel_initializer=initializer)
        # As `fit` does it. The weights come to life when the scope ends.
        with keras.StatelessScope():
            outputs = jax.jit(lambda x: layer(x))(images())
        np.testing.assert_array_equal(to_numpy(layer.kernel), to_numpy(initializer(SHAPE)))
        np.testing.assert_allclose(to_numpy(outputs), to_numpy(layer(images())), atol=1e-5)

    def sharded_kernel(initializer, input_shape, filters):
        layer = layers.Conv2D(filters, (3, 2), kernel_initializer=initializer, name="layer")
        layer.build(input_shape)
        kernel = layer.kernel.value
        assert len(kernel.sharding.device_set) == 8
        np.testing.assert_array_equal(to_numpy(kernel), to_numpy(initializer(kernel.shape)))
        return kernel

    def check_distribution():
        import jax

        assert jax.device_count() == 8
        with keras.distribution.DataParallel().scope():
            for cls in CATALOGUE:
                kernel = sharded_kernel(cls(), (None, 5, 4, 6), 8)
                assert kernel.sharding.is_fully_replicated
        mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"))
        layout = keras.distribution.LayoutMap(mesh)
        layout["layer/kernel"] = (None, None, None, "model")
        with keras.distribution.ModelParallel(layout_map=layout).scope():
            for cls in CATALOGUE:
                kernel = sharded_kernel(cls(), (None, 5, 4, 6), 8)
                assert {shard.data.shape for shard in kernel.addressable_shards} == {(3, 2, 6, 2)}
            # Before 3.15, Keras draws the largest kernels, of 250 MiB on all devices together, in a
            # jitted function that shards its output.
            kernel = sharded_kernel(initializers.ActivationScaling(), (None, 5, 4, 1000), 1400)
            assert {shard.data.shape for shard in kernel.addressable_shards} == {(3, 2, 1000, 350)}

    def test_values_are_the_same_on_eight_devices(monkeypatch):
        monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
        in_new_process(check_distribution)


if BACKEND == "torch":

    @each_class
    def test_on_the_meta_device_a_draw_has_its_shape_and_no_values(cls):
        with keras.device("meta"):
            drawn = cls()(SHAPE, dtype="bfloat16")
        assert drawn.is_meta
        assert tuple(drawn.shape) == SHAPE
        assert keras.backend.standardize_dtype(drawn.dtype) == "bfloat16"

    @each_class
    def test_a_layer_is_built_in_inference_mode(cls):
        import torch

        initializer = cls()
        layer = layers.Conv2D(4, (3, 2), kernel_initializer=initializer)
        with torch.inference_mode():
            outputs = layer(images())
        np.testing.assert_array_equal(to_numpy(layer.kernel), to_numpy(initializer(SHAPE)))
        np.testing.assert_allclose(to_numpy(outputs), to_numpy(layer(images())), atol=1e-5)
