"""What each string does in each kind of layer: right, or refused."""

import keras
import numpy as np
import pytest

from keras_winit import initializers
from keras_winit.initializers._aliases import ALIASES

layers = keras.layers

IMAGES, SEQUENCES = (None, 9, 9, 12), (None, 5, 12)

# For each kind of kernel: a layer, the shape of its input, and where the kernel is.
KINDS = {
    "dense": (lambda i: layers.Dense(40, kernel_initializer=i), (None, 30), "kernel"),
    "einsum": (
        lambda i: layers.EinsumDense("abc,cde->abde", (None, 5, 8), kernel_initializer=i),
        (None, 5, 30),
        "kernel",
    ),
    "attention": (
        lambda i: layers.MultiHeadAttention(5, 8, kernel_initializer=i),
        [(None, 5, 30)] * 2,
        "query/kernel",
    ),
    "conv": (lambda i: layers.Conv2D(16, (3, 5), kernel_initializer=i), IMAGES, "kernel"),
    "conv1d": (lambda i: layers.Conv1D(16, 3, kernel_initializer=i), SEQUENCES, "kernel"),
    "conv3d": (
        lambda i: layers.Conv3D(16, (3, 1, 2), kernel_initializer=i),
        (None, 9, 9, 9, 12),
        "kernel",
    ),
    "grouped": (lambda i: layers.Conv2D(16, 3, groups=2, kernel_initializer=i), IMAGES, "kernel"),
    "depthwise": (
        lambda i: layers.DepthwiseConv2D((3, 5), depth_multiplier=2, depthwise_initializer=i),
        IMAGES,
        "kernel",
    ),
    "pointwise": (
        lambda i: layers.SeparableConv2D(16, 3, pointwise_initializer=i),
        IMAGES,
        "pointwise_kernel",
    ),
    "transposed": (
        lambda i: layers.Conv2DTranspose(16, (4, 5), (2, 3), kernel_initializer=i),
        IMAGES,
        "kernel",
    ),
    "LSTM": (lambda i: layers.LSTM(10, kernel_initializer=i), SEQUENCES, "lstm_cell/kernel"),
    "LSTM state": (
        lambda i: layers.LSTM(10, recurrent_initializer=i),
        SEQUENCES,
        "recurrent_kernel",
    ),
    "GRU state": (lambda i: layers.GRU(10, recurrent_initializer=i), SEQUENCES, "recurrent_kernel"),
    "RNN state": (
        lambda i: layers.SimpleRNN(10, recurrent_initializer=i),
        SEQUENCES,
        "recurrent_kernel",
    ),
    "ConvLSTM state": (
        lambda i: layers.ConvLSTM1D(10, 3, recurrent_initializer=i),
        (None, 5, 9, 12),
        "recurrent_kernel",
    ),
    "embedding": (
        lambda i: layers.Embedding(30, 12, embeddings_initializer=i),
        (None, 5),
        "embeddings",
    ),
}
BLOCKS = {"grouped": 2, "LSTM": 4, "LSTM state": 4, "GRU state": 3, "ConvLSTM state": 4}


def build(kind, string):
    make, shape, _ = KINDS[kind]
    layer = make(string)
    layer.build(*shape) if isinstance(shape, list) else layer.build(shape)
    return layer


def maps(kind, layer):
    """Returns the maps from inputs to outputs in a layer's kernel, each (taps, inputs, outputs).

    Written down for every kind, and not taken from the package.
    """
    where = KINDS[kind][2]
    kernel = next(w for w in layer.weights if w.path.endswith(f"/{where}"))
    kernel = keras.ops.convert_to_numpy(kernel).astype("float64")
    if kind in ("einsum", "attention"):
        return [kernel.reshape(1, 30, 40)]
    if kind == "transposed":  # (height, width, output, input)
        return [kernel.reshape(20, 16, 12).transpose(0, 2, 1)]
    if kind == "depthwise":  # (height, width, channel, multiplier)
        return [kernel[:, :, channel].reshape(15, 1, 2) for channel in range(12)]
    kernel = kernel.reshape(-1, *kernel.shape[-2:])
    return np.split(kernel, BLOCKS.get(kind, 1), axis=-1)


def centre(each, kind):
    """Returns the matrix at the central tap of a map, and checks that the others are zero."""
    sides = {"conv": (3, 5), "conv3d": (3, 1, 2), "depthwise": (3, 5), "transposed": (4, 5)}
    sides = sides.get(kind, (3, 3) if kind == "grouped" else (len(each),))
    place = np.ravel_multi_index([(side - 1) // 2 for side in sides], sides)
    assert not np.delete(each, place, axis=0).any()
    return each[place]


def of_variance(scale):
    def check(kind, found):
        values = np.concatenate([each.ravel() for each in found])
        taps, inputs, _ = found[0].shape
        # Four standard errors of a uniform or normal law.
        expected = scale / (taps * inputs)
        assert (values**2).mean() == pytest.approx(expected, rel=4 * np.sqrt(2 / values.size))

    return check


def sparse(kind, found):
    for each in found:
        units = each.reshape(-1, each.shape[-1])
        count = max(1, round(0.1 * len(units)))
        assert set(np.count_nonzero(units, axis=0)) == {count}


def isometric(kind, found):
    for each in found:
        matrix = centre(each, kind)
        values = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(values, 1, atol=1e-5)


def identical(kind, found):
    for each in found:
        np.testing.assert_array_equal(centre(each, kind), np.eye(*each.shape[1:]))


def orthogonal_convolution(kind, found):
    """The kernel as a circular convolution keeps lengths: its transfer matrices are isometries."""
    (kernel,) = found
    sides = {"conv": (3, 5), "conv3d": (3, 1, 2)}.get(kind, (len(kernel),))
    kernel = kernel.reshape(*sides, *kernel.shape[1:])
    size = [7] * len(sides)
    transfer = np.fft.fftn(kernel, size, axes=range(len(sides)))
    values = np.linalg.svd(transfer, compute_uv=False)
    np.testing.assert_allclose(values, 1, atol=1e-5)


def pairs(each):
    """Returns the singular values of the half that pairs of units are made of, and its shape."""
    inputs, outputs = (size // 2 for size in each.shape[1:])
    first = each[:, :inputs, :outputs]
    np.testing.assert_array_equal(each, np.block([[first, -first], [-first, first]]))
    half = first.reshape(-1, outputs)
    return np.linalg.svd(half, compute_uv=False), half.shape


def mirrored(kind, found):
    """At the central tap alone."""
    (each,) = found
    values, _ = pairs(centre(each, kind)[None])
    np.testing.assert_allclose(values, 1, atol=1e-5)


def mirrored_taps(kind, found):
    """Over all taps, and where units become more they keep their size."""
    (each,) = found
    values, (inputs, outputs) = pairs(each)
    np.testing.assert_allclose(values, max(1, outputs / inputs) ** 0.5, atol=1e-5)


def in_blocks(kind, found):
    """Four on the diagonal, each orthogonal, of equal sizes or the first one more."""
    (each,) = found
    rest = each.copy()
    bounds = [[-(-size * part // 4) for part in range(5)] for size in each.shape[1:]]
    for part in range(4):
        rows, columns = (slice(bound[part], bound[part + 1]) for bound in bounds)
        values = np.linalg.svd(
            each[:, rows, columns].reshape(-1, columns.stop - columns.start), compute_uv=False
        )
        np.testing.assert_allclose(values, 1, atol=1e-5)
        rest[:, rows, columns] = 0
    assert not rest.any()


def in_shares(kind, found):
    """The variance of a fourth of the units falls by 10^(-2/3) from one to the next."""
    (each,) = found
    parts = np.split(each, [-(-each.shape[2] * part // 4) for part in (1, 2, 3)], axis=2)
    sizes = [(part**2).mean() for part in parts]
    # Four standard errors of the smallest part, of numbers that are uniform.
    error = 4 * np.sqrt(0.8 * 2 / min(part.size for part in parts))
    np.testing.assert_allclose(
        np.divide(sizes, sizes[0]), 10.0 ** (-2 * np.arange(4) / 3), rtol=error
    )


def moves(kind, found):
    """Each channel, to a place beside its own or not at all."""
    places = [np.nonzero(each.reshape(3, 5, 2))[:2] for each in found]
    rows, columns = np.concatenate(places, axis=1)
    assert (set(rows), set(columns)) == ({0, 1, 2}, {1, 2, 3})
    assert all((each.sum(axis=0) == 1).all() for each in found)


def twice(kind, found):
    """Frequencies, once for the sine and once for the cosine."""
    (each,) = found
    first, second = np.split(each.reshape(-1, each.shape[-1]), 2, axis=1)
    np.testing.assert_array_equal(first, second)
    stddev = np.sqrt((first**2).mean()) / (2 * np.pi)
    assert stddev == pytest.approx(10, rel=4 / np.sqrt(2 * first.size))


def repeated(kind, found):
    """The same for all pixels that a shuffle by 2 makes of one."""
    (each,) = found
    number = 2 ** {"conv": 2, "conv1d": 1, "conv3d": 3}[kind]
    parts = np.split(each, number, axis=-1)
    for part in parts[1:]:
        np.testing.assert_array_equal(part, parts[0])
    of_variance(2.0)(kind, [parts[0]])


def rotates(kind, found):
    (each,) = found
    np.testing.assert_allclose(each[0] @ each[0].T, np.eye(10), atol=1e-5)
    assert np.linalg.det(each[0]) == pytest.approx(1, abs=1e-4)


def contracts(kind, found):
    (each,) = found
    np.testing.assert_allclose(each[0], each[0].T, atol=1e-6)
    values = np.linalg.eigvalsh(each[0])
    assert 0 < values[0] < values[-1] == pytest.approx(1, abs=1e-5)


def interpolates(kind, found):
    """Of a constant image away from the borders, each channel stays what it is."""
    (each,) = found
    kernel = each.reshape(4, 5, 12, 16).transpose(0, 1, 3, 2)
    layer = layers.Conv2DTranspose(16, (4, 5), (2, 3), "same", use_bias=False)
    layer.build(IMAGES)
    layer.kernel.assign(kernel)
    large = keras.ops.convert_to_numpy(layer(np.ones((1, 9, 9, 12), "float32")))[0, 4:-4, 6:-6]
    np.testing.assert_allclose(large[..., :12], 1, atol=1e-6)
    assert not large[..., 12:].any()


def orthonormal(kind, found):
    for each in found:
        units = each.reshape(-1, each.shape[-1])
        np.testing.assert_allclose(np.linalg.svd(units, compute_uv=False), 1, atol=1e-5)


AXES = "`input_axes` and `output_axes` should be given"
GATES = "side by side"
TAPS = "should be that of a convolution"
VECTORS = "a string should be for a kernel.*embedding"
DEPTHWISE = "should be for a depthwise kernel|should be that of a convolution"
STATES = "as many inputs as outputs"
ENLARGES = "should be that of a transposed convolution"

_MATRICES = ("dense", "einsum", "attention")
_CONVOLUTIONS = ("conv", "conv1d", "conv3d")
_PLAIN = (*_MATRICES, *_CONVOLUTIONS, "pointwise")
_STATES = ("LSTM state", "GRU state")


def by_columns(right):
    """Returns the table of what looks at the inputs of each unit: gates and groups are right."""
    return {
        **dict.fromkeys((*_PLAIN, "grouped", "LSTM", *_STATES, "RNN state"), right),
        "ConvLSTM state": right,
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    }


_NO_TAPS = {
    **dict.fromkeys((*_MATRICES, "RNN state"), f"{TAPS}|{ENLARGES}"),
    **dict.fromkeys(("LSTM", *_STATES), GATES),
    "embedding": VECTORS,
}

TABLE = {
    "activation_scaling": by_columns(of_variance(2.0)),
    "siren": by_columns(of_variance(2 / 30**2)),
    "sparse": by_columns(sparse),
    "dirac": {
        **dict.fromkeys((*_PLAIN, *BLOCKS, "depthwise", "transposed", "RNN state"), identical),
    },
    "delta_orthogonal": {
        **_NO_TAPS,
        **dict.fromkeys((*_CONVOLUTIONS, "pointwise", "transposed"), isometric),
        **{"grouped": GATES, "depthwise": AXES, "ConvLSTM state": GATES},
    },
    "convolution_orthogonal": {
        **_NO_TAPS,
        **dict.fromkeys(_CONVOLUTIONS, orthogonal_convolution),
        **{"grouped": GATES, "depthwise": AXES, "transposed": AXES, "ConvLSTM state": GATES},
    },
    "looks_linear": {
        **dict.fromkeys((*_PLAIN, "transposed", "RNN state"), mirrored),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "embedding": VECTORS},
    },
    "mirrored": {
        **dict.fromkeys((*_PLAIN, "RNN state"), mirrored_taps),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    },
    "block_diagonal": {
        **dict.fromkeys((*_PLAIN, "RNN state"), in_blocks),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    },
    "graded": {
        **dict.fromkeys((*_PLAIN, "RNN state"), in_shares),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    },
    "shift": {
        **dict.fromkeys((*_PLAIN, *BLOCKS, "transposed", "RNN state", "embedding"), DEPTHWISE),
        "depthwise": moves,
    },
    "fourier_features": {
        **dict.fromkeys((*_PLAIN, "RNN state"), twice),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    },
    "icnr": {
        **_NO_TAPS,
        **dict.fromkeys(_CONVOLUTIONS, repeated),
        **{"grouped": GATES, "depthwise": AXES, "transposed": AXES, "ConvLSTM state": GATES},
    },
    "bilinear_upsampling": {
        **_NO_TAPS,
        **dict.fromkeys((*_CONVOLUTIONS, "pointwise"), ENLARGES),
        **{"transposed": interpolates, "depthwise": AXES},
        **{"grouped": GATES, "ConvLSTM state": GATES},
    },
    "per_gate": {
        **dict.fromkeys(("LSTM", "LSTM state", "ConvLSTM state"), orthonormal),
        "GRU state": r"Use `PerGate\(gates=3\)`",
        "grouped": r"of 2 gates or groups",
        **dict.fromkeys(
            ("dense", *_CONVOLUTIONS, "pointwise", "RNN state", "embedding", "depthwise"),
            "of 1 gates",
        ),
    },
    "rotation": {
        "RNN state": rotates,
        **dict.fromkeys(("dense", *_CONVOLUTIONS, "pointwise"), STATES),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    },
    "normalized_positive_definite": {
        "RNN state": contracts,
        **dict.fromkeys(("dense", *_CONVOLUTIONS, "pointwise"), STATES),
        **dict.fromkeys((*BLOCKS,), GATES),
        **{"depthwise": AXES, "transposed": AXES, "embedding": VECTORS},
    },
}


def test_the_table_has_every_string():
    assert {*TABLE, "chrono_bias", "fourier_phases"} == set(ALIASES)


@pytest.mark.parametrize(
    ("string", "kind"), [(string, kind) for string, row in TABLE.items() for kind in row]
)
def test_a_string_is_right_or_refused(string, kind):
    expected = TABLE[string][kind]
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            build(kind, string)
    else:
        expected(kind, maps(kind, build(kind, string)))


def test_phases_are_halves_of_a_bias_and_refused_for_gates():
    layer = layers.Conv1D(6, 3, bias_initializer="fourier_phases")
    layer.build(SEQUENCES)
    bias = keras.ops.convert_to_numpy(layer.bias)
    np.testing.assert_allclose(bias, [0] * 3 + [np.pi / 2] * 3, rtol=1e-6)
    for cell in (layers.LSTM(6, bias_initializer="fourier_phases"), layers.GRU(6)):
        if isinstance(cell, layers.GRU):
            cell.cell.bias_initializer = keras.initializers.get("fourier_phases")
        with pytest.raises(ValueError, match="a layer without a state.*Cell"):
            cell.build(SEQUENCES)


@pytest.mark.parametrize("cls", [initializers.Orthogonal, initializers.Identity])
def test_a_config_of_nothing_is_that_of_a_file(cls):
    config = cls().get_config()
    assert config == {}
    layers.LSTM(10, recurrent_initializer=cls.from_config(config)).build(SEQUENCES)


def test_arguments_and_files_are_taken_at_their_word():
    """A config that says all arguments is no string: files of version 0.1.0 load."""
    string = keras.initializers.get("rotation")
    told = type(string).from_config(string.get_config())
    layer = layers.LSTM(10, recurrent_initializer=told)
    layer.build(SEQUENCES)
    assert np.isfinite(keras.ops.convert_to_numpy(layer.cell.recurrent_kernel)).all()
