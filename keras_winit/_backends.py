"""What Keras has no words for: a backward pass that can be watched, and compiled reductions.

The one module that imports the backends.
"""

import contextlib
import functools
import random

import keras


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

        return (*found, tf.errors.InvalidArgumentError)
    return (*found, RuntimeError) if keras.backend.backend() == "torch" else found


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

    values = [tf.convert_to_tensor(variable.value) for variable in variables]
    summaries = []

    def tap(tensor):
        number = len(summaries)
        summaries.append(None)

        def keep(gradient):
            summaries[number] = summarize(tf.convert_to_tensor(gradient))
            return gradient

        tape.watch(tensor)  # what comes before may be frozen
        return tf.custom_gradient(lambda same: (same, keep))(tensor)

    # Inside of a `tf.function` of the user's, tensors would have no values.
    run_eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
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
def kept_random_state():
    """A context that restores the random state of Python, which new initializers draw seeds from,
    and the backend's own, which dropout draws from.
    """
    state = random.getstate()
    try:
        if keras.backend.backend() != "torch":
            yield
            return
        import torch

        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(state)
