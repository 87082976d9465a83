"""All initializers in one table: what each draws, when to use it, and where it comes from."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, overload

import keras

from keras_winit import _checks
from keras_winit._network import snake_case
from keras_winit._references import GLOROT, HE, SAXE, SELU, Reference
from keras_winit._show.result import Part, Result

AnyClass = TypeVar("AnyClass", bound=type)


@dataclass(frozen=True, repr=False)
class Entry(Part):
    """One initializer.

    Attributes:
        name: Name of the class in `keras_winit.initializers`.
        alias: The string for `kernel_initializer=` or `bias_initializer=`; `None` for what needs
            more than a string can tell.
        formula: What it draws.
        when: When to use it.
        reference: Author and year.
        url: Address of the paper, or of Keras's documentation.
        initializer: The class.
    """

    name: str
    alias: str | None
    formula: str
    when: str
    reference: str
    url: str
    initializer: type[keras.Initializer] = field(repr=False)

    @property
    def origin(self) -> str:
        """The package it comes from: `"keras_winit"` or `"keras"`."""
        return self.initializer.__module__.partition(".")[0]


# The entries of this package, in the order in which its classes are imported.
REGISTERED: list[Entry] = []

# Their strings. A class without one has its full name or, where a string says too little, none.
ALIASES: dict[str, type[keras.Initializer]] = {}

# The names of torch for what Keras has, whose normal ones are truncated, with the same variance.
OF_TORCH: dict[str, type[keras.Initializer]] = {
    "kaiming_normal": keras.initializers.HeNormal,
    "kaiming_uniform": keras.initializers.HeUniform,
    "xavier_normal": keras.initializers.GlorotNormal,
    "xavier_uniform": keras.initializers.GlorotUniform,
}


def register(
    *, alias: str | None, formula: str, when: str, reference: Reference
) -> Callable[[AnyClass], AnyClass]:
    """Returns a decorator that makes a class known to Keras, and to the catalogue.

    Keras finds it as `"keras_winit>Name"`, which saved files hold: names remain what they are.

    Args:
        alias, formula, when: Those of an `Entry`.
        reference: A `Reference`, inline where no other file names the work.
    """

    def decorate(cls: AnyClass) -> AnyClass:
        REGISTERED.append(_entry(cls.__name__, alias, formula, when, reference, cls))
        if alias and ">" not in alias:
            ALIASES[alias] = cls
        return keras.saving.register_keras_serializable("keras_winit")(cls)

    return decorate


def _entry(name, alias, formula, when, reference, cls):
    return Entry(name, alias, formula, when, reference.authors, reference.address, cls)


# Of Keras's own: name, what it draws, when to use it, where it comes from if not from Keras.
_OF_KERAS = (
    (
        "GlorotUniform",
        "uniform of variance 2 / (fan_in + fan_out)",
        "Keras's default: linear, softmax and gated layers",
        GLOROT,
    ),
    (
        "GlorotNormal",
        "truncated normal of variance 2 / (fan_in + fan_out)",
        "as GlorotUniform",
        GLOROT,
    ),
    ("HeNormal", "truncated normal of variance 2 / fan_in", "layers followed by relu", HE),
    ("HeUniform", "uniform of variance 2 / fan_in", "as HeNormal", HE),
    (
        "LecunNormal",
        "truncated normal of variance 1 / fan_in",
        "layers followed by selu or by nothing",
        SELU,
    ),
    (
        "LecunUniform",
        "uniform of variance 1 / fan_in",
        "as LecunNormal",
        Reference("LeCun et al., 1998", "https://doi.org/10.1007/3-540-49430-8_2"),
    ),
    ("VarianceScaling", "variance scale / fan_in, fan_out or their mean", "a variance of your own"),
    (
        "RandomNormal",
        "normal of a given mean and stddev, whatever the fans",
        "embeddings, biases, shallow networks",
    ),
    (
        "TruncatedNormal",
        "normal cut at two stddev, which leaves 0.88 of it",
        "transformers that were published with stddev 0.02",
    ),
    ("RandomUniform", "uniform between minval and maxval, whatever the fans", "embeddings, phases"),
    (
        "Zeros",
        "0",
        "biases, the last layer of a residual branch; never the kernel of a hidden layer, whose "
        "units would all remain alike",
    ),
    ("Ones", "1", "scales of normalization, forget gates"),
    (
        "Constant",
        "a value of your choice, everywhere",
        "biases, scales; never the kernel of a hidden layer",
    ),
    (
        "IdentityInitializer",
        "Keras's own identity, for matrices alone",
        'Identity ("dirac") takes kernels of any rank and keeps its gain when saved',
    ),
    (
        "OrthogonalInitializer",
        "Keras's own orthogonal matrices, by a QR decomposition",
        "recurrent kernels; Orthogonal also works in 16-bit types",
        SAXE,
    ),
    (
        "STFT",
        "the sines and cosines of a short-time Fourier transform, windowed",
        "layers that compute spectrograms",
    ),
)


class Catalogue(Result, Sequence[Entry]):
    """The initializers, in the order of the table; made by `catalogue`.

    Args:
        entries: Sequence of `Entry`.

    Example:

    >>> keras_winit.catalogue()["he_normal"].formula
    'truncated normal of variance 2 / fan_in'
    """

    columns: ClassVar[dict[str, str]] = {
        "class": "name",
        "string": "alias",
        "what it draws": "formula",
        "when": "when",
        "reference": "reference",
    }

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)

    @overload
    def __getitem__(self, key: int | str) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> "Catalogue": ...
    def __getitem__(self, key):
        if not isinstance(key, str):
            found = self._entries[key]
            return Catalogue(found) if isinstance(key, slice) else found
        name = key.removeprefix("keras_winit>")
        for entry in self._entries:
            if name in (entry.name, entry.alias) or entry.initializer is OF_TORCH.get(name):
                return entry
        known = [each for e in self._entries for each in (e.alias, e.name) if each is not None]
        known += OF_TORCH
        raise KeyError(
            f"The catalogue has no initializer {key!r}.{_checks.did_you_mean(name, known)}"
        )

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return key in self._entries
        cls = OF_TORCH.get(key)
        return any(key in (e.name, e.alias) or e.initializer is cls for e in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def rows(self) -> tuple[Entry, ...]:
        """An `Entry` for every initializer."""
        return self._entries

    def to_markdown(self) -> str:
        """Returns the table in Markdown, with links."""
        lines = ["| class | string | what it draws | when | source |", "|---|---|---|---|---|"]
        for e in self._entries:
            source = f"[{e.reference}]({e.url})"
            alias = f'`"{e.alias}"`' if e.alias else ""
            lines.append(f"| `{e.name}` | {alias} | {e.formula} | {e.when} | {source} |")
        return "\n".join(lines)


def catalogue() -> Catalogue:
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
    return Catalogue((*REGISTERED, *(_of_keras(*row) for row in _OF_KERAS)))


def _of_keras(name, formula, when, reference=None):
    cls = getattr(keras.initializers, name)
    page = f"https://keras.io/api/layers/initializers/#{cls.__name__.lower()}-class"
    reference = reference or Reference("Keras", page)
    return _entry(name, snake_case(cls.__name__), formula, when, reference, cls)
