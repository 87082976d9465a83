"""All initializers in one table: what each draws, when to use it, and where it comes from."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_winit import _checks, initializers
from keras_winit._network import snake_case
from keras_winit._show.result import Result, Table
from keras_winit.initializers._aliases import ALIASES


@dataclass(frozen=True)
class Entry:
    """One initializer.

    Attributes:
        name: Name of the class in `keras_winit.initializers`.
        alias: The string for `kernel_initializer=` or `bias_initializer=`; `None` for what needs
            more than a string can tell.
        formula: What it draws.
        when: When to use it.
        reference: Author and year.
        url: Address of the paper, or of Keras's documentation.
    """

    name: str
    alias: str | None
    formula: str
    when: str
    reference: str
    url: str

    @property
    def initializer(self):
        """The class."""
        return getattr(initializers, self.name)

    @property
    def origin(self):
        """The package it comes from: `"keras_winit"` or `"keras"`."""
        return inspect.getmodule(self.initializer).__name__.partition(".")[0]


_KERAS = "https://keras.io/api/layers/initializers/"

# Name, what it draws, when to use it, author and year, address. Ours first, each group from the
# common to the special; Keras's follow.
_ROWS = (
    (
        "ActivationScaling",
        "variance gain² / fan, the gain of any activation by quadrature",
        "the rule of He for gelu, tanh, your own function",
        "He et al., 2015",
        "https://arxiv.org/abs/1502.01852",
    ),
    (
        "Orthogonal",
        "orthonormal matrices, exactly Haar, along the true axes; times max(1, √(out / in)) "
        'with mode="fan_in"',
        "deep and recurrent networks; bfloat16 and float16 too",
        "Saxe et al., 2014",
        "https://arxiv.org/abs/1312.6120",
    ),
    (
        "LooksLinear",
        "mirrored pairs [[W, -W], [-W, W]], W orthonormal: a relu network starts as a linear map",
        "very deep relu networks",
        "Balduzzi et al., 2017",
        "https://arxiv.org/abs/1702.08591",
    ),
    (
        "DeltaOrthogonal",
        "an orthogonal matrix at the central tap: all singular values of the convolution are 1",
        "very deep CNNs without normalization",
        "Xiao et al., 2018",
        "https://arxiv.org/abs/1806.05393",
    ),
    (
        "ConvolutionOrthogonal",
        "an orthogonal matrix, spread over all taps by random projections [P, I - P]",
        "as DeltaOrthogonal, where all taps should take part; best with circular padding",
        "Xiao et al., 2018",
        "https://arxiv.org/abs/1806.05393",
    ),
    (
        "Identity",
        "ones on the diagonal, at the central tap of a convolution, times gain",
        "residual branches, layers added to a trained network, relu RNNs",
        "Zagoruyko and Komodakis, 2017",
        "https://arxiv.org/abs/1706.00388",
    ),
    (
        "Sparse",
        "the same number k of nonzero weights for every unit, of variance gain² / k",
        "sparse starts; saturating units; with the constraint SparsityMask the zeros stay",
        "Martens, 2010",
        "https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf",
    ),
    (
        "Siren",
        "uniform up to √(6 / fan_in) / omega; up to 1 / fan_in in the first layer",
        "layers followed by sin(30 z): images, fields, signed distances",
        "Sitzmann et al., 2020",
        "https://arxiv.org/abs/2006.09661",
    ),
    (
        "FourierFeatures",
        "2π [B, B], B normal of stddev cycles per unit",
        "the frozen first layer of a network of coordinates, with FourierPhases and the sine",
        "Tancik et al., 2020",
        "https://arxiv.org/abs/2006.10739",
    ),
    (
        "ICNR",
        "a smaller kernel, repeated for every pixel of a shuffle",
        "convolutions before a pixel shuffle, without a checkerboard",
        "Aitken et al., 2017",
        "https://arxiv.org/abs/1707.02937",
    ),
    (
        "BilinearUpsampling",
        "linear interpolation, in one to three dimensions",
        "transposed convolutions that enlarge images",
        "Long et al., 2015",
        "https://arxiv.org/abs/1411.4038",
    ),
    (
        "PerGate",
        "any initializer, on each gate by itself",
        "recurrent kernels of LSTM, GRU and ConvLSTM",
        "Saxe et al., 2014",
        "https://arxiv.org/abs/1312.6120",
    ),
    (
        "NormalizedPositiveDefinite",
        "(A + I) / its largest eigenvalue, A = RᵀR / n, R normal",
        "recurrent kernels of a SimpleRNN with relu (np-RNN)",
        "Talathi and Vartak, 2016",
        "https://arxiv.org/abs/1511.03771",
    ),
    (
        "Rotation",
        "rotations of pairs of units, by angles uniform up to max_angle",
        "recurrent kernels that should keep a state for long",
        "Henaff et al., 2016",
        "https://arxiv.org/abs/1602.06662",
    ),
    (
        "ChronoBias",
        "log u for the gate that keeps the state, u uniform in [1, max_timescale - 1]; -log u "
        "for the input gate",
        "biases of LSTM and GRU on long sequences",
        "Tallec and Ollivier, 2018",
        "https://arxiv.org/abs/1804.11188",
    ),
    (
        "ClassPrior",
        "log p for softmax, log(p / (1 - p)) for sigmoid, the mean for a linear output",
        "output biases: imbalanced classes, targets far from zero; from_labels(y) computes it",
        "Lin et al., 2017",
        "https://arxiv.org/abs/1708.02002",
    ),
    (
        "FourierPhases",
        "0 for half of the units, π / 2 for the others",
        "biases of a layer of FourierFeatures",
        "Tancik et al., 2020",
        "https://arxiv.org/abs/2006.10739",
    ),
    (
        "GlorotUniform",
        "uniform of variance 2 / (fan_in + fan_out)",
        "Keras's default: linear, softmax and gated layers",
        "Glorot and Bengio, 2010",
        "https://proceedings.mlr.press/v9/glorot10a.html",
    ),
    (
        "GlorotNormal",
        "truncated normal of variance 2 / (fan_in + fan_out)",
        "as GlorotUniform",
        "Glorot and Bengio, 2010",
        "https://proceedings.mlr.press/v9/glorot10a.html",
    ),
    (
        "HeNormal",
        "truncated normal of variance 2 / fan_in",
        "layers followed by relu",
        "He et al., 2015",
        "https://arxiv.org/abs/1502.01852",
    ),
    (
        "HeUniform",
        "uniform of variance 2 / fan_in",
        "as HeNormal",
        "He et al., 2015",
        "https://arxiv.org/abs/1502.01852",
    ),
    (
        "LecunNormal",
        "truncated normal of variance 1 / fan_in",
        "layers followed by selu or by nothing",
        "Klambauer et al., 2017",
        "https://arxiv.org/abs/1706.02515",
    ),
    (
        "LecunUniform",
        "uniform of variance 1 / fan_in",
        "as LecunNormal",
        "LeCun et al., 1998",
        "https://doi.org/10.1007/3-540-49430-8_2",
    ),
    (
        "VarianceScaling",
        "variance scale / fan_in, fan_out or their mean",
        "a variance of your own",
        "Keras",
        f"{_KERAS}#variancescaling-class",
    ),
    (
        "RandomNormal",
        "normal of a given mean and stddev, whatever the fans",
        "embeddings, biases, shallow networks",
        "Keras",
        f"{_KERAS}#randomnormal-class",
    ),
    (
        "TruncatedNormal",
        "normal cut at two stddev, which leaves 0.88 of it",
        "transformers that were published with stddev 0.02",
        "Keras",
        f"{_KERAS}#truncatednormal-class",
    ),
    (
        "RandomUniform",
        "uniform between minval and maxval, whatever the fans",
        "embeddings, phases",
        "Keras",
        f"{_KERAS}#randomuniform-class",
    ),
    (
        "Zeros",
        "0",
        "biases, the last layer of a residual branch; never the kernel of a hidden layer, whose "
        "units would all remain alike",
        "Keras",
        f"{_KERAS}#zeros-class",
    ),
    (
        "Ones",
        "1",
        "scales of normalization, forget gates",
        "Keras",
        f"{_KERAS}#ones-class",
    ),
    (
        "Constant",
        "a value of your choice, everywhere",
        "biases, scales; never the kernel of a hidden layer",
        "Keras",
        f"{_KERAS}#constant-class",
    ),
    (
        "IdentityInitializer",
        "Keras's own identity, for matrices alone",
        'Identity ("dirac") takes kernels of any rank and keeps its gain when saved',
        "Keras",
        f"{_KERAS}#identity-class",
    ),
    (
        "OrthogonalInitializer",
        "Keras's own orthogonal matrices, by a QR decomposition",
        "recurrent kernels; Orthogonal also works in 16-bit types",
        "Saxe et al., 2014",
        "https://arxiv.org/abs/1312.6120",
    ),
    (
        "STFT",
        "the sines and cosines of a short-time Fourier transform, windowed",
        "layers that compute spectrograms",
        "Keras",
        f"{_KERAS}#stft-class",
    ),
)


class Catalogue(Result, Sequence):
    """The initializers, in the order of the table; made by `catalogue`.

    Args:
        entries: Sequence of `Entry`.

    Example:

    >>> keras_winit.catalogue()["he_normal"].formula
    'truncated normal of variance 2 / fan_in'
    """

    def __init__(self, entries):
        self._entries = tuple(entries)

    def __getitem__(self, key):
        if not isinstance(key, str):
            found = self._entries[key]
            return Catalogue(found) if isinstance(key, slice) else found
        name = key.removeprefix("keras_winit>")
        for entry in self._entries:
            if name in (entry.name, entry.alias):
                return entry
        known = [each for e in self._entries for each in (e.alias, e.name) if each is not None]
        raise KeyError(
            f"The catalogue has no initializer {key!r}.{_checks.did_you_mean(name, known)}"
        )

    def __contains__(self, key):
        return key in self._entries or any(key in (e.name, e.alias) for e in self._entries)

    def __len__(self):
        return len(self._entries)

    @property
    def table(self):
        """What there is to say of every initializer."""
        header = ["class", "string", "what it draws", "when", "reference"]
        rows = [[e.name, e.alias, e.formula, e.when, e.reference] for e in self._entries]
        return Table(header, rows)

    def to_markdown(self):
        """Returns the table in Markdown, with links."""
        lines = ["| class | string | what it draws | when | source |", "|---|---|---|---|---|"]
        for e in self._entries:
            source = f"[{e.reference}]({e.url})"
            alias = f'`"{e.alias}"`' if e.alias else ""
            lines.append(f"| `{e.name}` | {alias} | {e.formula} | {e.when} | {source} |")
        return "\n".join(lines)


def catalogue():
    """Returns all initializers as a table: ours, then those of Keras.

    Returns:
        `Catalogue`: prints as a table, in a notebook as HTML. A sequence of entries with `name`,
        `alias`, `formula`, `when`, `reference`, `url` and `initializer` (the class), which are
        also found by name or alias.

    Example:

    >>> entry = keras_winit.catalogue()["sparse"]
    >>> entry.name, entry.reference
    ('Sparse', 'Martens, 2010')
    >>> len([entry for entry in keras_winit.catalogue() if entry.origin == "keras"])
    16
    """
    return Catalogue(Entry(name, _alias(getattr(initializers, name)), *row) for name, *row in _ROWS)


def _alias(cls):
    """Returns the string by which Keras finds a class, `None` where a string says too little."""
    if cls is initializers.ClassPrior:
        return None
    aliases = {ours: alias for alias, ours in ALIASES.items()}
    registered = keras.saving.get_registered_name(cls)
    if registered.startswith("keras_winit>"):
        return aliases.get(cls, registered)
    return snake_case(cls.__name__)
