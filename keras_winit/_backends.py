"""What Keras has no words for: a backward pass that can be watched, and compiled reductions.

The one module that imports the backends.
"""

import contextlib
import functools

import keras


def compiled(function):
    """Returns a function of tensors to a tensor without gradient, compiled where that pays."""

    @functools.wraps(function)
    def run(*tensors):
        tensors = [keras.ops.stop_gradient(keras.ops.convert_to_tensor(each)) for each in tensors]
        return _compiled(function, len(tensors))(*tensors)

    return run


@functools.cache
def _compiled(function, num_tensors):  # TensorFlow cannot generalize over their number
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function


def backpropagate(forward, variables, summarize):
    """Runs a forward and a backward pass and summarizes the gradient of tensors on the way.

    Assignments to variables, as those of moving statistics and seeds, are lost.

    Args:
        forward: Function of `tap`, which takes and returns a float tensor on the way to the
            loss, and of `is_watched`; returns (loss, anything). With JAX it runs twice and is
            watched in the first run, where all values are concrete.
        variables: The `keras.Variable`s to take gradients by.
        summarize: Compiled function of the gradient of a tensor that was tapped.

    Returns:
        The second value of `forward`; the gradients of the variables; the summaries in the order
        of the taps. `None` is for what the loss does not depend on.
    """
    run = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}[keras.backend.backend()]
    with _random_state():
        return run(forward, variables, summarize)


def _tensorflow(forward, variables, summarize):
    import tensorflow as tf

    values, tapped = [variable.value for variable in variables], []
    with tf.GradientTape(watch_accessed_variables=False) as tape, keras.StatelessScope():

        def tap(tensor):
            tape.watch(tensor)
            tapped.append(tensor)
            return tensor

        tape.watch(values)
        loss, result = forward(tap, True)
    by_value, by_tapped = tape.gradient(loss, [values, tapped])
    dense = [tf.convert_to_tensor(each) if each is not None else None for each in by_value]
    return result, dense, [None if each is None else summarize(each) for each in by_tapped]


def _torch(forward, variables, summarize):
    import torch

    summaries, leaves = [], {}

    def tap(tensor):
        number = len(summaries)
        summaries.append(None)
        if not tensor.requires_grad:
            leaves[number] = tensor = tensor.detach().requires_grad_()
        else:
            tensor.register_hook(functools.partial(keep, number))
        return tensor

    def keep(number, gradient):
        summaries[number] = summarize(gradient)

    values = [each.value for each in variables if each.value.requires_grad]
    with torch.enable_grad(), keras.StatelessScope():
        loss, result = forward(tap, True)
    gradients = {}
    if loss.requires_grad:
        inputs = [*values, *leaves.values()]
        found = torch.autograd.grad(loss, inputs, allow_unused=True)
        gradients = dict(zip(map(id, inputs), found, strict=True))
    for number, leaf in leaves.items():
        if gradients.get(id(leaf)) is not None:
            keep(number, gradients[id(leaf)])
    return result, [gradients.get(id(each.value)) for each in variables], summaries


def _jax(forward, variables, summarize):
    import jax

    tapped = []

    def note(tensor):
        tapped.append((tensor.shape, tensor.dtype))
        return tensor

    with keras.StatelessScope():
        _, result = forward(note, True)

    # The gradient by a zero that is added to a tensor is that of the tensor.
    def loss(values, zeros):
        waiting = iter(zeros)
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return forward(lambda tensor: tensor + next(waiting), False)[0]

    zeros = {each: jax.numpy.zeros(*each) for each in tapped}
    values = [variable.value for variable in variables]
    by_value, by_tapped = jax.grad(loss, argnums=(0, 1))(values, [zeros[each] for each in tapped])
    return result, by_value, [summarize(each) for each in by_tapped]


@contextlib.contextmanager
def without_gradient():
    """A context in which nothing is kept for a backward pass, nor of the random state."""
    with _random_state():
        if keras.backend.backend() != "torch":
            yield
            return
        import torch

        with torch.no_grad():
            yield


def _random_state():
    """Returns a context that restores the backend's own random state, which dropout draws from."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.random.fork_rng(devices=range(torch.cuda.device_count()))
    return contextlib.nullcontext()
