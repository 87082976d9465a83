"""Which axes of a kernel do what, against layers that are run with a kernel of ones."""

import math

import keras
import numpy as np
import pytest

from keras_winit import _axes

layers = keras.layers
SAME = {"padding": "same"}

# Layer, shape of its input with an inside of its own, input and output axes of its kernel, and
# the sizes (taps, inputs, outputs, batch).
LAYOUTS = {
    "dense": (lambda: layers.Dense(3), (5,), None, None, (1, 5, 3, 1)),
    "conv1d": (lambda: layers.Conv1D(6, 5, **SAME), (11, 4), None, None, (5, 4, 6, 1)),
    "conv2d": (lambda: layers.Conv2D(6, (3, 5), **SAME), (7, 11, 4), None, None, (15, 4, 6, 1)),
    "conv3d": (
        lambda: layers.Conv3D(2, (3, 1, 3), **SAME),
        (7, 3, 7, 5),
        None,
        None,
        (9, 5, 2, 1),
    ),
    "depthwise1d": (
        lambda: layers.DepthwiseConv1D(3, depth_multiplier=2, **SAME),
        (7, 4),
        [0],
        [0, 2],
        (3, 1, 2, 4),
    ),
    "depthwise2d": (
        lambda: layers.DepthwiseConv2D((3, 5), depth_multiplier=2, **SAME),
        (7, 11, 4),
        [0, 1],
        [0, 1, 3],
        (15, 1, 2, 4),
    ),
    "transposed": (
        lambda: layers.Conv2DTranspose(6, (3, 5), **SAME),
        (7, 11, 4),
        [0, 1, 3],
        [0, 1, 2],
        (15, 4, 6, 1),
    ),
    "query, key and value": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 4, 3)),
        (2, 5),
        [0],
        [1, 2],
        (1, 5, 12, 1),
    ),
    "attention output": (
        lambda: layers.EinsumDense("abcd,cde->abe", (None, 5)),
        (2, 4, 3),
        [0, 1],
        [2],
        (1, 12, 5, 1),
    ),
    "experts": (
        lambda: layers.EinsumDense("bnd,ndh->bnh", (4, 3)),
        (4, 5),
        [1],
        [2],
        (1, 5, 3, 4),
    ),
}


@pytest.fixture(scope="module", params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request):
    """Returns the layer with a kernel of ones, the shape of its input, its axes and sizes."""
    make, shape, input_axes, output_axes, sizes = request.param
    layer = make()
    layer.build((1, *shape))
    layer.kernel.assign(np.ones(layer.kernel.shape, np.float32))
    axes = _axes.kernel_axes(tuple(layer.kernel.shape), input_axes, output_axes)
    return layer, shape, axes, sizes


def centre(shape):
    return tuple(size // 2 for size in shape)


def test_fan_in_is_the_number_of_products_per_output(layout):
    layer, shape, axes, _ = layout
    outputs = keras.ops.convert_to_numpy(layer(np.ones((1, *shape), np.float32)))[0]
    assert axes.fans(layer.kernel.shape)[0] == outputs[centre(outputs.shape)]


def test_fan_out_is_the_number_of_outputs_per_input(layout):
    layer, shape, axes, _ = layout
    impulse = np.zeros((1, *shape), np.float32)
    impulse[0][centre(shape)] = 1
    outputs = keras.ops.convert_to_numpy(layer(impulse))
    assert axes.fans(layer.kernel.shape)[1] == np.count_nonzero(outputs)


def test_sizes_are_those_of_the_layer(layout):
    layer, _, axes, sizes = layout
    assert axes.sizes(layer.kernel.shape) == sizes


@pytest.mark.parametrize(
    ("shape", "input_axes", "output_axes"),
    [
        ((7, 3), None, None),
        ((3, 5, 4, 6), None, None),
        ((3, 5, 4, 2), [0, 1], [0, 1, 3]),
        ((3, 5, 6, 4), [3, 0, 1], [1, 0, 2]),
        ((4, 7, 3), [1], [2]),
        ((2, 3, 4, 5), [1, 3], [2]),
    ],
)
def test_kernel_puts_every_matrix_entry_where_its_axes_are(shape, input_axes, output_axes):
    axes = _axes.kernel_axes(shape, input_axes, output_axes)
    taps, inputs, outputs, batch = axes.sizes(shape)
    matrices = np.arange(math.prod(shape)).reshape(batch, taps * inputs, outputs)
    kernel = axes.kernel(matrices, shape)
    assert (kernel.shape, kernel.flags.c_contiguous) == (shape, True)

    def position(index, group):
        """Returns the number of an index among all those of the axes of a group."""
        return np.ravel_multi_index(
            [0, *(index[i] for i in group)], [1, *(shape[i] for i in group)]
        )

    for index in np.ndindex(shape):
        row = position(index, axes.spatial) * inputs + position(index, axes.input)
        entry = matrices[position(index, axes.batch), row, position(index, axes.output)]
        assert kernel[index] == entry


@pytest.mark.parametrize(
    ("taps", "centre"),
    [((3,), (1,)), ((4,), (1,)), ((1, 5), (0, 2)), ((2, 3, 6), (0, 1, 2)), ((), ())],
)
def test_kernel_at_centre_is_zero_elsewhere(taps, centre):
    shape = (*taps, 3, 8)
    matrices = 1.0 + np.arange(24).reshape(1, 4, 3, 2)
    kernel = _axes.kernel_axes(shape).kernel_at_centre(matrices, shape)
    for row in range(3):
        for group in range(4):
            for column in range(2):
                entry = matrices[0, group, row, column]
                assert kernel[(*centre, row, 2 * group + column)] == entry
    assert np.count_nonzero(kernel) == 24


def test_kernel_at_centre_has_one_matrix_for_each_index_of_a_batch_axis():
    shape = (3, 5, 4, 2)
    axes = _axes.kernel_axes(shape, [0, 1], [0, 1, 3])
    matrices = 1.0 + np.arange(8).reshape(4, 1, 1, 2)
    expected = np.zeros(shape)
    for channel in range(4):
        expected[1, 2, channel] = matrices[channel, 0, 0]
    np.testing.assert_array_equal(axes.kernel_at_centre(matrices, shape), expected)


def test_axes_are_counted_from_the_end_when_negative():
    shape = (3, 5, 6, 4)
    assert _axes.kernel_axes(shape, [-4, -3, -1], [-4, 1, -2]) == _axes.KernelAxes(
        spatial=(0, 1), input=(3,), output=(2,), batch=()
    )


@pytest.mark.parametrize("shape", [(), (7,)])
def test_kernel_has_inputs_and_outputs(shape):
    with pytest.raises(ValueError, match=r"at least 2 axes.*Received: shape=\(.*`\"zeros\"`"):
        _axes.kernel_axes(shape)


@pytest.mark.parametrize(
    ("input_axes", "output_axes", "message"),
    [
        (
            [2],
            [1],
            r"`input_axes` should be .* axes between -2 and 1 .*\(7, 3\)\. Received: .*=\[2\]",
        ),
        ([0, -2], [1], r"`input_axes` should be different axes .*Received: .*=\[0, -2\]"),
        (
            [0],
            [-3],
            r"`output_axes` should be .* axes between -2 and 1 .*Received: output_axes=\[-3\]",
        ),
    ],
)
def test_axes_lie_within_the_kernel(input_axes, output_axes, message):
    with pytest.raises(ValueError, match=message):
        _axes.kernel_axes((7, 3), input_axes, output_axes)


@pytest.mark.parametrize(
    ("input_axes", "output_axes"),
    [(None, None), ([0, 1], [-1]), ((0,), (np.int64(1), 2)), ([], [0])],
)
def test_axes_are_plain_lists_or_none(input_axes, output_axes):
    checked = _axes.check_axes(input_axes, output_axes)
    for axes, given in zip(checked, (input_axes, output_axes), strict=True):
        assert axes == (None if given is None else list(given))
        assert all(type(axis) is int for axis in axes or [])


@pytest.mark.parametrize(
    ("input_axes", "output_axes", "error", "message"),
    [
        ([0], None, ValueError, r"together or not at all.*input_axes=\[0\], output_axes=None"),
        (None, [1], ValueError, r"together or not at all.*input_axes=None, output_axes=\[1\]"),
        (0, [1], TypeError, "`input_axes` should be a list of integers.*input_axes=0"),
        ([0], "1", TypeError, "`output_axes` should be a list of integers.*output_axes='1'"),
        ([0.0], [1], TypeError, r"`input_axes` should be a list of integers.*input_axes=\[0.0\]"),
        ([True], [1], TypeError, r"`input_axes` should be a list .*input_axes=\[True\]"),
        ([0, 0], [1], ValueError, r"`input_axes` .* no two alike.*input_axes=\[0, 0\]"),
    ],
)
def test_axes_that_are_no_lists_of_integers_are_refused(input_axes, output_axes, error, message):
    with pytest.raises(error, match=message):
        _axes.check_axes(input_axes, output_axes)


def test_groups_divide_the_outputs():
    assert _axes.outputs_of_group((3, 3, 2, 12), 12, 4) == 3
    message = r"`groups` should divide the 12 outputs .*\(3, 3, 2, 12\)\. Received: groups=5\."
    with pytest.raises(ValueError, match=message):
        _axes.outputs_of_group((3, 3, 2, 12), 12, 5)
