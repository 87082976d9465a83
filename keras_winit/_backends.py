"""What Keras has no words for: a backward pass that can be watched, compiled reductions,
tensors made of large arrays or of shards, and arrays that are read where they are.

The one module that imports the backends.
"""

import contextlib
import functools
import random
from collections.abc import Iterator

import keras
import numpy as np

from keras_winit._large_arrays import aligned
from keras_winit._turn import turn

_LARGE = 1 << 20  # bytes, from which on a copy counts


def compiled(function):
    """Returns a function of tensors and of constants, by keyword, compiled where that pays."""

    @functools.wraps(function)
    def run(*tensors, **constants):
        if keras.backend.backend() != "jax":
            return function(*tensors, **constants)
        return _compiled(function, **constants)(*tensors)

    return run


@functools.cache
def _compiled(function, **constants):
    import jax

    return jax.jit(functools.partial(function, **constants))


def errors_of_shapes():
    """Returns the exceptions that tensors of shapes that do not fit each other raise."""
    found = (ValueError, TypeError, IndexError)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return (*found, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
    return (*found, RuntimeError) if keras.backend.backend() == "torch" else found


def has_values(tensor):
    """Whether a tensor has values now, as it has none in what JAX compiles, or maps over.

    While gradients are traced, it has them behind `stop_gradient`.
    """
    if keras.backend.backend() != "jax":
        return True
    import jax

    is_traced = isinstance(tensor, jax.core.Tracer)
    return not (is_traced and isinstance(jax.lax.stop_gradient(tensor), jax.core.Tracer))


def tensor(values):
    """Returns a NumPy array, which nobody writes to any more, as a tensor.

    What `keras.ops.convert_to_tensor` does, which needs room for two more copies of the array
    with TensorFlow and JAX: here there is one at most.
    """
    if values.nbytes >= _LARGE and keras.backend.backend() == "jax":
        import jax

        return jax.device_put(values)
    if values.nbytes >= _LARGE and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_logical_devices()
        if tf.executing_eagerly() and all(each.device_type == "CPU" for each in devices):
            # TensorFlow ends the process if the memory is not aligned.
            return tf.experimental.dlpack.from_dlpack(aligned(values).__dlpack__())
    return keras.ops.convert_to_tensor(values)


def assign(variable, values):
    """Assigns a NumPy array, which nobody writes to any more, to a variable."""
    if keras.backend.backend() == "torch" and values.flags.c_contiguous and values.flags.writeable:
        import torch

        held = torch.from_numpy(values)  # no copy: the variable has memory of its own
    else:
        held = tensor(values)
    variable.assign(keras.ops.cast(held, variable.dtype))


def view(variable):
    """Returns the values of a variable as a NumPy array, not to be written to.

    Where the memory is that of this machine they are not copied: the array may change with the
    variable.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return np.asarray(tf.convert_to_tensor(variable.value))
    if keras.backend.backend() == "jax":
        return np.asarray(variable.value)
    value = variable.value.detach()
    if value.device.type == "cpu" and variable.dtype != "bfloat16":
        return value.numpy()
    return keras.ops.convert_to_numpy(value)


def sharded(parts, shape, dtype, layout):
    """Returns a JAX array that is made shard by shard, of those of this process's devices.

    Args:
        parts: Function that takes a slice for each axis and returns that part of the values as a
            NumPy array. Called once for each part, whatever the number of devices that hold it.
        shape: Tuple, of the whole.
        dtype: String.
        layout: `jax.sharding.Sharding`. Its mesh may be abstract, as the one that Keras gives
            is: the devices are then those of the mesh in use.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "`layout` should be None: only JAX has shardings. "
            f"Received: layout={layout!r} on {keras.backend.backend()}."
        )
    import jax

    mesh = getattr(layout, "mesh", None)
    if isinstance(mesh, jax.sharding.AbstractMesh):
        devices = jax.sharding.get_mesh().devices
        mesh = jax.sharding.Mesh(devices, mesh.axis_names, axis_types=mesh.axis_types)
        layout = jax.sharding.NamedSharding(mesh, layout.spec)
    devices_of_parts = {}
    for device, part in layout.addressable_devices_indices_map(shape).items():
        bounds = tuple(each.indices(size)[:2] for each, size in zip(part, shape, strict=True))
        devices_of_parts.setdefault(bounds, []).append(device)
    shards = []
    for bounds, devices in devices_of_parts.items():
        values = parts(tuple(slice(*each) for each in bounds))
        values = values.astype(jax.numpy.dtype(dtype), copy=False)
        shards += [jax.device_put(values, device) for device in devices]
    return jax.make_array_from_single_device_arrays(shape, layout, shards)


def backpropagate(forward, variables, summarize):
    """Runs a forward and a backward pass and summarizes the gradient of tensors on the way.

    Assignments to variables, as those of moving statistics and seeds, are lost.

    Args:
        forward: Function of `tap`, which takes and returns a float tensor on the way to the
            loss; returns (loss, structure of tensors). With JAX these are tracers, and
            `keras.ops.stop_gradient` of one is concrete.
        variables: The `keras.Variable`s to take gradients by. With torch, also what a gradient
            passes on the way to the taps: give all that are trainable.
        summarize: Function of the gradient of a tensor that was tapped, called during the pass.

    Returns:
        The second value of `forward`; the gradients of the variables; the summaries in the order
        of the taps. `None` is for what the loss does not depend on; with JAX, the gradient of
        such a variable is zero.
    """
    run = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}[keras.backend.backend()]
    with kept_random_state():
        return run(forward, variables, summarize)


def _tensorflow(forward, variables, summarize):
    import tensorflow as tf

    # Inside of a `tf.function` of the user's, tensors would have no values: at first all of them
    # run eagerly. On some processors that takes from Keras the functions that it compiles itself
    # where kernels are missing, as for the gradients of grouped convolutions.
    try:
        return _on_tape(forward, variables, summarize, functions_run_eagerly=True)
    except Exception as error:
        missing = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
        if not any(isinstance(each, missing) for each in _causes(error)):
            raise
        try:
            return _on_tape(forward, variables, summarize, functions_run_eagerly=False)
        except Exception:
            raise error from error.__cause__


def _causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _on_tape(forward, variables, summarize, functions_run_eagerly):
    import tensorflow as tf

    values = [tf.convert_to_tensor(variable.value) for variable in variables]
    summaries = []

    def tap(tensor):
        if not tf.executing_eagerly():
            raise RuntimeError("This tensor has no values: it is inside of a `tf.function`.")
        number = len(summaries)
        summaries.append(None)

        def keep(gradient):
            summaries[number] = summarize(tf.convert_to_tensor(gradient))
            return gradient

        tape.watch(tensor)  # what comes before may be frozen
        return tf.custom_gradient(lambda same: (same, keep))(tensor)

    run_eagerly = tf.config.functions_run_eagerly()
    try:
        tf.config.run_functions_eagerly(functions_run_eagerly)
        with tf.GradientTape(watch_accessed_variables=False) as tape, _scope(variables, values):
            tape.watch(values)
            loss, result = forward(tap)
    finally:
        tf.config.run_functions_eagerly(run_eagerly)
    gradients = tape.gradient(loss, values)
    dense = [None if each is None else tf.convert_to_tensor(each) for each in gradients]
    return result, dense, summaries


def _torch(forward, variables, summarize):
    import torch

    summaries, leaves = [], {}

    def tap(tensor):
        number = len(summaries)
        summaries.append(None)
        if tensor.requires_grad:
            tensor.register_hook(functools.partial(keep, number))
        else:
            leaves[number] = tensor = tensor.detach().requires_grad_()
        return tensor

    def keep(number, gradient):
        summaries[number] = summarize(gradient)

    values = [variable.value for variable in variables]
    with torch.enable_grad(), _scope(variables, values):
        loss, result = forward(tap)
    inputs = [each for each in (*values, *leaves.values()) if each.requires_grad]
    gradients = {}
    if loss.requires_grad and inputs:
        found = torch.autograd.grad(loss, inputs, allow_unused=True)
        gradients = dict(zip(map(id, inputs), found, strict=True))
    for number, leaf in leaves.items():
        if gradients.get(id(leaf)) is not None:
            keep(number, gradients[id(leaf)])
    return result, [gradients.get(id(each)) for each in values], summaries


def _jax(forward, variables, summarize):
    import jax

    summaries = []

    def loss(values, anchor):
        def tap(tensor):
            number = len(summaries)
            summaries.append(None)

            def keep(_, gradient):
                summaries[number] = summarize(gradient)
                return gradient, jax.numpy.zeros(())

            # The anchor is on the way to the loss where all that comes before is frozen.
            same = jax.custom_vjp(lambda tensor, anchor: tensor)
            same.defvjp(lambda tensor, anchor: (tensor, None), keep)
            return same(tensor, anchor)

        with _scope(variables, values):
            return forward(tap)

    values = [variable.value for variable in variables]
    (gradients, _), result = jax.grad(loss, argnums=(0, 1), has_aux=True)(values, 0.0)
    return result, gradients, summaries


def _scope(variables, values):
    mapping = list(zip(variables, values, strict=True))
    return keras.StatelessScope(state_mapping=mapping, collect_losses=True)


@contextlib.contextmanager
def without_gradient():
    """A context in which nothing is kept for a backward pass, nor of the random state."""
    with kept_random_state():
        if keras.backend.backend() != "torch":
            yield
            return
        import torch

        with torch.no_grad():
            yield


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """A context, or a decorator, that restores the random state of Python, which new initializers
    draw seeds from, that of NumPy, and the backend's own, which dropout draws from.

    They are those of the process: other threads wait for their turn.
    """
    with turn():
        state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            if keras.backend.backend() != "torch":
                yield
                return
            import torch

            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
