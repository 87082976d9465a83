"""One batch of whatever users train with, checked against the model, or drawn for it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _backends, _network
from keras_winit._network import graph
from keras_winit._random import distributions

# A data set is not passed through a model as one: samples, and numbers in all of them.
_MOST_SAMPLES, _MOST_NUMBERS = 256, 1 << 22
_DRAWN_SAMPLES, _DRAWN_NUMBERS = 64, 1 << 20
_FEWEST_SAMPLES = 8


@dataclass(frozen=True)
class Batch:
    """A batch as arrays of NumPy, in the structure that the model takes.

    Attributes:
        x: Array, or list, tuple or dict of arrays.
        y: The same for the labels, or `None`.
        sample_weight: The same for weights of samples, or `None`.
        is_drawn: Whether it is noise, drawn for want of data.
        labels: All labels that were given, of which `y` may be a part. Defaults to `y`.
        outliers: For each array of `x`, the largest norm of a sample, of all that were given, over
            the root mean square of those norms in `x`.
    """

    x: object
    y: object = None
    sample_weight: object = None
    is_drawn: bool = False
    labels: object = None
    outliers: tuple[float, ...] = ()

    def __post_init__(self):
        if self.labels is None:
            object.__setattr__(self, "labels", self.y)

    @property
    def size(self):
        """Number of samples."""
        return len(keras.tree.flatten(self.x)[0])

    def at(self, places):
        """Returns the batch of the samples at these places."""
        parts = (self.x, self.y, self.sample_weight)
        selected = (_select(part, places) for part in parts)
        return Batch(*selected, self.is_drawn, self.labels, self.outliers)

    def apply(self, model, training=True):
        """Runs the model on the batch; numbers are converted by the backend."""
        x = keras.tree.map_structure(keras.ops.convert_to_tensor, self.x)
        if isinstance(x, dict) and not _takes_dict(model, x):
            return model(**x, training=training)
        return model(x, training=training)


def take(network, x=None, y=None):
    """Returns the `Batch` of what a user gives as data to a model, or one that is drawn."""
    model = network.model
    if not model.built:
        raise ValueError(
            f"`model` should be built. Received: model={model.name!r}, which has no weights yet. "
            "Give it an `Input`, or call it once on a batch."
        )
    if x is None:
        if y is not None:
            raise ValueError("`y` should come with `x`. Received: x=None. Give the batch of both.")
        return _drawn(network)
    sample_weight = None
    if not _is_array(x) and not isinstance(x, (list, tuple, dict)):
        if y is not None:
            raise ValueError(
                "`y` should be None where `x` holds both, as a data set does. "
                f"Received: x of type {type(x).__name__} and y."
            )
        with _backends.kept_random_state():  # a `DataLoader` draws from it
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(_first(x))
    has_graph = graph.has_graph(model)
    x = _arrays("x", x, has_graph and len(model.inputs) == 1)
    y = None if y is None else _arrays("y", y, has_graph and len(model.outputs) == 1)
    if sample_weight is not None:
        sample_weight = _arrays("sample_weight", sample_weight, False)
    _check_types("x", x, _kinds_taken(model))
    if y is not None:
        _check_types("y", y)
    _check_sizes(x, y)
    _check_shapes(model, x)
    _check_tokens(network, x)
    given, (x, *others) = keras.tree.flatten(x), _spread(x, y, sample_weight)
    outliers = tuple(map(_outlier, given, keras.tree.flatten(x)))
    return Batch(x, *others, labels=y, outliers=outliers)


def _outlier(given, taken):
    """Returns the largest norm of a given sample over the size of those that are taken."""
    if given.dtype.kind != "f":
        return 1.0
    squares, typical = (
        np.einsum("ij,ij->i", flat, flat, dtype="float64")
        for flat in (each.reshape(len(each), -1) for each in (given, taken))
    )
    size = typical.mean()
    return math.sqrt(squares.max() / size) if size > 0 else 1.0


def _is_array(value):
    return hasattr(value, "__array__") or keras.ops.is_tensor(value)


def _first(data):
    """Returns the first batch of a data set."""
    if isinstance(data, keras.utils.PyDataset):
        # `None` is for no end.
        batches = [data[0]] if data.num_batches != 0 else []
    elif isinstance(data, Iterable):
        batches = iter(data)
    else:
        raise TypeError(
            "`x` should be an array, a list, tuple or dict of arrays, or a data set that yields "
            f"batches. Received: x={data!r} of type {type(data).__name__}."
        )
    for batch in batches:
        return batch
    raise ValueError(f"`x` should yield a batch. Received: x={data!r}, which is empty.")


def _arrays(name, value, is_single):
    """Returns a structure with arrays for the data that it holds.

    A list is one array if it holds numbers alone, or if the model has a single place for it.
    """
    if isinstance(value, dict):
        return {key: _arrays(name, each, False) for key, each in value.items()}
    if not isinstance(value, (list, tuple)):
        return _array(name, value)
    if is_single and len(value) == 1 and _is_array(value[0]):
        return _array(name, value[0])
    if is_single or not any(_is_array(each) for each in keras.tree.flatten(value)):
        return _array(name, value)
    return type(value)(_arrays(name, each, False) for each in value)


def _array(name, value):
    if value is None:
        raise ValueError(
            f"`{name}` should hold arrays alone. Received: {name} with None in place of one. Give "
            "a model that does without: a layer whose `call` puts it there."
        )
    try:
        is_tensor = keras.ops.is_tensor(value)
        array = keras.ops.convert_to_numpy(value) if is_tensor else np.asarray(value)
    except ValueError:  # NumPy's, for rows of different lengths
        array = np.empty(1, object)
    if array.dtype.kind == "O":
        raise ValueError(
            f"`{name}` should hold numbers in arrays of one shape. Received: {name} with a "
            f"{type(value).__name__} of rows or objects that are no such array."
        )
    if array.ndim == 0:
        raise ValueError(
            f"`{name}` should have samples along its first axis. "
            f"Received: {name}={value!r}, of shape ()."
        )
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        given = array
        with np.errstate(over="ignore"):
            array = given.astype("float32")
        num_bad = array.size - int(np.isfinite(array).sum())
        if num_bad and np.isfinite(given).all():
            raise ValueError(
                f"`{name}` should be up to 3.4e38 in size, as float32 is. Received: {name} of "
                f"shape {array.shape} with {num_bad} larger values. Scale them first."
            )
        if num_bad:
            raise ValueError(
                f"`{name}` should be finite. Received: {name} of shape {array.shape} with "
                f"{num_bad} values that are NaN or infinite. Clean or impute them first."
            )
    return array


def _check_types(name, structure, kinds=""):
    """Refuses what is no number, unless it is of one of NumPy's kinds that are given."""
    for array in keras.tree.flatten(structure):
        if array.dtype.kind in "cSUMm" and array.dtype.kind not in kinds:
            raise ValueError(
                f"`{name}` should hold real numbers. Received: {name} of shape {array.shape} and "
                f"type {array.dtype}. Encode words and dates as numbers, and give the real and the "
                "imaginary part of complex numbers beside each other."
            )


def _kinds_taken(model):
    """Returns NumPy's kinds of what a model takes that is no real number."""
    if not graph.has_graph(model):
        return "SU"  # which a model that does not take them cannot silently convert
    dtypes = {str(tensor.dtype) for tensor in model.inputs}
    is_complex = any("complex" in dtype for dtype in dtypes)
    return "SU" * ("string" in dtypes) + "c" * is_complex


def _check_sizes(x, y):
    given = {"x": x} if y is None else {"x": x, "y": y}
    sizes = {name: [len(each) for each in keras.tree.flatten(v)] for name, v in given.items()}
    found = {size for group in sizes.values() for size in group}
    if len(found) == 1 and 0 not in found:
        return
    received = ", ".join(f"{name} with {group}" for name, group in sizes.items())
    raise ValueError(
        "`x` and `y` should hold the same number of samples, at least one. "
        f"Received: {received} samples."
    )


def _check_shapes(model, x):
    if not graph.has_graph(model):
        return
    arrays = keras.tree.flatten(x)
    if len(arrays) < len(model.inputs):
        raise ValueError(
            f"`x` should hold an array for each of the {len(model.inputs)} inputs of model "
            f"{model.name!r}. Received: {len(arrays)}."
        )
    named = x if isinstance(x, dict) else {}
    for number, tensor in enumerate(model.inputs):
        array = named.get(tensor.name, arrays[number] if not named else None)
        if array is None or _fits(tensor.shape, array.shape):
            continue
        raise ValueError(
            f"`x` should be of shape {tuple(tensor.shape)} for input {tensor.name!r} of model "
            f"{model.name!r}. Received: shape {array.shape}."
        )


def _check_tokens(network, x):
    """Raises if there is a token that the embedding that reads it has no row for."""
    if not graph.has_graph(network.model):
        return
    arrays = keras.tree.flatten(x)
    for place, tensor in enumerate(network.model.inputs):
        vocabulary = network.vocabularies.get(place)
        tokens = x.get(tensor.name) if isinstance(x, dict) else arrays[place]
        if vocabulary is None or tokens is None:
            continue
        wrong = tokens[(tokens < 0) | (tokens >= vocabulary)]
        if wrong.size:
            raise ValueError(
                f"`x` should hold tokens from 0 to {vocabulary - 1} for input {tensor.name!r}, as "
                f"the embedding has {vocabulary} rows. Received: {wrong[0].item()!r} among "
                f"{tokens.size} tokens."
            )


def _fits(expected, shape):
    """Whether Keras takes an array of this shape; it adds or drops a last axis of size one."""
    for candidate in (shape, (*shape, 1), shape[:-1] if shape[-1] == 1 else shape):
        if len(candidate) == len(expected) and all(
            size is None or size == other
            for size, other in zip(expected[1:], candidate[1:], strict=True)
        ):
            return True
    return False


def _spread(*structures):
    """Returns evenly spaced samples where there are many."""
    first = keras.tree.flatten(structures[0])
    numbers = sum(math.prod(array.shape[1:]) for array in first)
    most = _samples(_MOST_SAMPLES, _MOST_NUMBERS, numbers)
    if len(first[0]) <= most:
        return structures
    places = np.linspace(0, len(first[0]) - 1, most).astype(int)
    return tuple(_select(each, places) for each in structures)


def _select(structure, places):
    if structure is None:
        return None
    return keras.tree.map_structure(lambda array: array[places], structure)


def _samples(samples, numbers, per_sample):
    return max(_FEWEST_SAMPLES, min(samples, numbers // max(per_sample, 1)))


def _drawn(network):
    """Returns a `Batch` of noise, of sizes that the model takes where it leaves some open."""
    model = network.model
    try:
        inputs = graph.symbolic_inputs(model)
    except ValueError as error:
        raise ValueError(
            f"`x` should be given for model {model.name!r}. Received: x=None, and {error}."
        ) from error
    is_open = any(None in tensor.shape[1:] for tensor in keras.tree.flatten(inputs))
    batches = (Batch(_draw(network, inputs, size), is_drawn=True) for size in graph.sizes(model))
    first = batch = next(batches)
    while is_open and batch is not None and not _runs(model, batch.at([0, 1])):
        batch = next(batches, None)
    return first if batch is None else batch


def _runs(model, batch):
    """Whether a model takes a batch, as far as a table of positions, or a convolution, is large."""
    with _backends.kept_random_state(), _network.restored(model), keras.StatelessScope():
        try:
            with _backends.without_gradient():
                batch.apply(model, training=False)
        except Exception:  # whatever the code of its layers raises
            return False
    return True


def _draw(network, inputs, size_of_open):
    """Returns unit normal noise for the inputs of a model; tokens where an embedding reads."""
    model = network.model
    shapes = [
        tuple(size_of_open if size is None else size for size in tensor.shape[1:])
        for tensor in keras.tree.flatten(inputs)
    ]
    size = _samples(_DRAWN_SAMPLES, _DRAWN_NUMBERS, sum(map(math.prod, shapes)))

    def draw(number, tensor):
        shape, dtype = (size, *shapes[number]), keras.backend.standardize_dtype(tensor.dtype)
        purpose = f"batch {number}"
        vocabulary = network.vocabularies.get(number)
        if vocabulary is None and "float" in dtype:
            return distributions.normal(shape, seed=0, purpose=purpose)
        uniform = distributions.uniform(shape, seed=0, purpose=purpose, limit=0.5) + 0.5
        drawn = np.floor(np.minimum(uniform * (vocabulary or 2), (vocabulary or 2) - 1))
        if vocabulary is None and shape[-1] > 1:
            drawn[..., 0] = 1  # of a mask: causal attention to nothing is no number in 16 bits
        return drawn.astype("bool" if dtype == "bool" else "int32")

    # Of a dict, a function is not everywhere called in the order in which it is flattened.
    drawn = [draw(*each) for each in enumerate(keras.tree.flatten(inputs))]
    drawn = keras.tree.pack_sequence_as(inputs, drawn)
    if isinstance(drawn, dict) and not graph.has_graph(model) and len(drawn) == 1:
        (drawn,) = drawn.values()
    return drawn


def _takes_dict(model, names):
    """Whether a dict of these names is one argument of the model, not an array for each."""
    if graph.has_graph(model) or len(graph.required_arguments(model)) > 1:
        return graph.has_graph(model)
    shapes = (model.get_build_config() or {}).get("shapes_dict") or {}
    return len(names) < 2 or not {f"{name}_shape" for name in names} <= shapes.keys()
