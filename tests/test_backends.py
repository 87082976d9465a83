import keras
import numpy as np
import pytest

from keras_winit import _backends
from keras_winit._measure import statistics

ops = keras.ops


def numpy(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def variable(values, trainable=True):
    return keras.Variable(np.asarray(values, "float32"), trainable=trainable)


@pytest.fixture
def kernels():
    rng = np.random.default_rng(0)
    return variable(rng.normal(size=(3, 5))), variable(rng.normal(size=(5, 2)))


INPUTS = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


def two_maps(first, second, tap):
    hidden = tap(ops.matmul(INPUTS, first))
    output = tap(ops.matmul(ops.tanh(hidden), second))
    return ops.sum(ops.square(output)), output


def by_hand(first, second):
    """Returns the gradients by hidden layer, output and both kernels, in float64."""
    hidden = np.tanh(INPUTS.astype("float64") @ numpy(first))
    by_output = 2 * hidden @ numpy(second)
    by_hidden = by_output @ numpy(second).T * (1 - hidden**2)
    return by_hidden, by_output, INPUTS.T @ by_hidden, hidden.T @ by_output


def test_gradients_are_those_of_the_chain_rule(kernels):
    expected = by_hand(*kernels)
    result, gradients, tapped = _backends.backpropagate(
        lambda tap: two_maps(*kernels, tap), kernels, lambda gradient: gradient
    )
    for found, wanted in zip((*tapped, *gradients), expected, strict=True):
        np.testing.assert_allclose(numpy(found), wanted, rtol=1e-5, atol=1e-5)
    hidden = np.tanh(INPUTS @ numpy(kernels[0]))
    np.testing.assert_allclose(numpy(result), hidden @ numpy(kernels[1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 1)])
def test_taps_see_the_gradient_behind_frozen_variables(kernels, frozen):
    for number in frozen:
        kernels[number].trainable = False
    trainable = [each for each in kernels if each.trainable]
    _, gradients, tapped = _backends.backpropagate(
        lambda tap: two_maps(*kernels, tap), trainable, lambda gradient: gradient
    )
    *by_tapped, by_first, by_second = by_hand(*kernels)
    for found, wanted in zip(tapped, by_tapped, strict=True):
        np.testing.assert_allclose(numpy(found), wanted, rtol=1e-5, atol=1e-5)
    wanted = [each for n, each in enumerate((by_first, by_second)) if n not in frozen]
    for found, each in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(numpy(found), each, rtol=1e-5, atol=1e-5)


def test_taps_see_the_gradient_where_only_a_bias_before_them_is_trainable(kernels):
    bias = variable(np.ones(5))
    for each in kernels:
        each.trainable = False

    def forward(tap):
        hidden = tap(ops.matmul(INPUTS, kernels[0]) + bias)
        return ops.sum(ops.square(hidden)), hidden

    _, gradients, (by_hidden,) = _backends.backpropagate(forward, [bias], lambda each: each)
    wanted = 2 * (INPUTS @ numpy(kernels[0]) + 1)
    np.testing.assert_allclose(numpy(by_hidden), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numpy(gradients[0]), wanted.sum(0), rtol=1e-5)


def test_what_the_loss_does_not_depend_on_has_no_gradient(kernels):
    def forward(tap):
        loss, output = two_maps(*kernels, tap)
        tap(ops.matmul(INPUTS, unused))
        return loss, output

    unused = variable(np.ones((3, 2)))
    _, gradients, tapped = _backends.backpropagate(forward, [*kernels, unused], lambda each: each)
    assert [each is None for each in tapped] == [False, False, True]
    last = gradients[-1]
    assert last is None or not numpy(last).any()


def test_a_constant_loss_has_no_gradients(kernels):
    def forward(tap):
        output = tap(ops.matmul(INPUTS, kernels[0]))
        return ops.convert_to_tensor(1.0), output

    _, gradients, tapped = _backends.backpropagate(forward, kernels, lambda each: each)
    assert tapped == [None]
    assert all(each is None or not numpy(each).any() for each in gradients)


def test_a_tensor_that_is_used_twice_gets_the_sum_of_both_gradients(kernels):
    def forward(tap):
        hidden = tap(ops.matmul(INPUTS, kernels[0]))
        return ops.sum(3 * hidden) + ops.sum(ops.square(hidden)), hidden

    hidden, _, (gradient,) = _backends.backpropagate(forward, kernels, lambda each: each)
    np.testing.assert_allclose(numpy(gradient), 3 + 2 * numpy(hidden), rtol=1e-5, atol=1e-5)


def test_gradients_of_looked_up_rows_are_dense():
    table = variable(np.arange(12.0).reshape(4, 3))

    def forward(tap):
        rows = tap(ops.take(table, [1, 1, 3], axis=0))
        return ops.sum(rows), rows

    _, (gradient,), _ = _backends.backpropagate(forward, [table], lambda each: each)
    np.testing.assert_array_equal(numpy(gradient), np.repeat([[0], [2], [0], [1]], 3, axis=1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_tensors_can_be_tapped(dtype):
    kernel = variable(np.full((3, 2), 0.5))

    def forward(tap):
        output = tap(ops.matmul(ops.cast(INPUTS, dtype), ops.cast(kernel, dtype)))
        return ops.sum(ops.cast(output, "float32")), output

    _, (by_kernel,), (by_output,) = _backends.backpropagate(forward, [kernel], lambda each: each)
    assert keras.backend.standardize_dtype(by_output.dtype) == dtype
    np.testing.assert_array_equal(numpy(ops.cast(by_output, "float32")), np.ones((4, 2)))
    wanted = np.repeat(INPUTS.sum(0)[:, None], 2, axis=1)
    np.testing.assert_allclose(numpy(by_kernel), wanted, rtol=2e-2, atol=2e-2)


def test_what_is_assigned_during_the_pass_is_lost(kernels):
    state = variable(np.zeros(2), trainable=False)

    def forward(tap):
        state.assign(ops.ones(2))
        loss, output = two_maps(*kernels, tap)
        return loss + ops.sum(state), output

    _backends.backpropagate(forward, kernels, lambda each: each)
    assert not numpy(state).any()
    with pytest.raises(RuntimeError, match="in the middle"):
        _backends.backpropagate(lambda tap: _fail(state), kernels, lambda each: each)
    assert not numpy(state).any()


def _fail(state):
    state.assign(np.ones(2))
    raise RuntimeError("in the middle")


def test_summaries_can_be_reduced_during_the_pass(kernels):
    reductions = statistics.Reductions()
    _, _, places = _backends.backpropagate(
        lambda tap: two_maps(*kernels, tap),
        kernels,
        lambda gradient: reductions.add(statistics.size, gradient),
    )
    numbers = reductions.fetch()
    norms = [statistics.norm(*numbers[place]) for place in places]
    wanted = [np.linalg.norm(each) for each in by_hand(*kernels)[:2]]
    np.testing.assert_allclose(norms, wanted, rtol=1e-5)


def test_nothing_is_kept_for_a_gradient_in_the_context_without(kernels):
    with _backends.without_gradient():
        output = ops.matmul(INPUTS, kernels[0])
    assert not getattr(output, "requires_grad", False)


def test_a_compiled_function_takes_constants_and_gives_the_same():
    @_backends.compiled
    def scaled(x, y, factor, axes):
        return ops.sum(x * y * factor, axis=axes)

    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    for factor, axes in ((2.0, (0,)), (3.0, (0, 1))):
        found = scaled(ops.convert_to_tensor(x), ops.convert_to_tensor(y), factor=factor, axes=axes)
        np.testing.assert_allclose(numpy(found), (x * factor).sum(axes))


def memory(layout):
    """Returns 2.25 MiB of numbers, in memory that a backend can take over or cannot."""
    size = 768 * 768
    numbers = np.random.default_rng(0).normal(size=size + 32).astype("float32")
    start = (-numbers.ctypes.data % 64) // 4 + (4 if layout == "not aligned" else 0)
    values = numbers[start : start + size].reshape(768, 768)
    if layout == "transposed":
        values = values.T
    if layout == "read-only":
        values.flags.writeable = False
    return values


@pytest.mark.parametrize("layout", ["aligned", "not aligned", "transposed", "read-only"])
def test_a_large_array_becomes_a_tensor_that_training_does_not_write_to(layout):
    values = memory(layout)
    before = values.copy()
    tensor = _backends.tensor(values)
    assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(tensor), before)
    weight, ones = keras.Variable(tensor), ops.ones(values.shape)
    keras.optimizers.SGD(1.0).apply([ones], [weight])
    weight.assign_add(ones)
    assert np.abs(numpy(weight) - before).max() < 1e-6
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("layout", ["aligned", "not aligned", "transposed", "read-only"])
def test_a_variable_takes_a_large_array_that_training_does_not_write_to(layout):
    values = memory(layout)
    before = values.copy()
    weight, ones = keras.Variable(np.zeros(values.shape, "float32")), ops.ones(values.shape)
    _backends.assign(weight, values)
    np.testing.assert_array_equal(numpy(weight), before)
    if keras.backend.backend() == "torch":  # elsewhere the memory is given away
        weight.assign_add(ones)
        np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_a_variable_is_seen_where_it_is(dtype):
    weight = keras.Variable(np.arange(-6, 6).reshape(3, 4), dtype=dtype, trainable=False)
    seen = _backends.view(weight)
    np.testing.assert_array_equal(seen.astype("float32"), np.arange(-6, 6).reshape(3, 4))
    assert keras.backend.standardize_dtype(seen.dtype) == dtype
    if (keras.backend.backend(), dtype) != ("torch", "bfloat16"):  # which NumPy cannot look into
        assert np.shares_memory(seen, _backends.view(weight))
