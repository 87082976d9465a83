"""All that is used of Keras, and of Flax, for which they have no public name.

No other module touches their underscores. `tests/test_keras_private.py` says of each what breaks
where Keras changes it.
"""

import contextlib
import inspect
import threading
from typing import NamedTuple

import keras


class SymbolicCall(NamedTuple):
    """One call of a layer or operation with symbolic tensors, as Keras has recorded it."""

    operation: keras.Operation
    inputs: list
    outputs: list
    args: tuple
    kwargs: dict


def call_that_gave(tensor):
    """Returns the `SymbolicCall` that a symbolic tensor comes from."""
    operation, number, _ = _read(tensor, "_keras_history")
    node = _read(operation, "_inbound_nodes")[number]
    arguments = _read(node, "arguments")
    return SymbolicCall(
        operation,
        _read(arguments, "keras_tensors"),
        _read(node, "output_tensors"),
        _read(arguments, "args"),
        _read(arguments, "kwargs"),
    )


def _read(record, name):
    try:
        return getattr(record, name)
    except AttributeError:
        raise NotImplementedError(
            f"`{type(record).__name__}` should have `{name}`, which calls are recorded in. "
            f"Received: one without, of Keras {keras.__version__}. Make symbolic tensors by calls "
            "of layers or `keras.ops`; should they be, use another version of Keras or of "
            "keras_winit."
        ) from None


def replace(operation, name, function):
    """Has Keras call a function in place of a method or an activation of a layer or operation.

    Keras looks them up on the instance. Where it did not, a layer would count as not reached.
    """
    vars(operation)[name] = function


def layers_with(method, function):
    """A context in which this thread runs a function in place of a method of all layers.

    It takes Keras's method first. Python and new layers look methods up on the class, so it is
    replaced there; other threads go on with Keras's.
    """
    return _replaced(keras.Layer, method, function)


@contextlib.contextmanager
def operands_that_yield():
    """A context in which `variable * tensor` is left to a symbolic tensor, as `tensor * variable`.

    Keras asks the backend for it, which knows no symbolic tensors. JAX does not leave
    `array * tensor` to what has a method that raises when JAX asks for an array.
    """

    def run(of_keras, variable, other):
        return NotImplemented if isinstance(other, keras.KerasTensor) else of_keras(variable, other)

    with contextlib.ExitStack() as stack:
        for name in _OPERATORS:
            stack.enter_context(_replaced(keras.Variable, f"__{name}__", run))
        refusal = vars(keras.KerasTensor).get("__jax_array__")
        if refusal is not None:
            stack.callback(setattr, keras.KerasTensor, "__jax_array__", refusal)
            del keras.KerasTensor.__jax_array__
        yield


# Those that symbolic tensors have with the sides exchanged.
_OPERATORS = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow")
_OPERATORS += ("lt", "le", "gt", "ge")


def branches_of_known_conditions():
    """A context in which `keras.ops.cond` of what has a value runs that branch, as code would.

    JAX runs both, on what it traces, and so none that closes over symbolic tensors.
    """
    condition = keras.KerasTensor((), "bool")
    chosen = keras.ops.cond(condition, *[lambda: keras.ops.zeros(())] * 2)
    operation = call_that_gave(chosen).operation

    def run(of_keras, operation, pred, true_fn, false_fn):
        return true_fn() if keras.ops.convert_to_numpy(pred) else false_fn()

    return _replaced(type(operation), "call", run)


@contextlib.contextmanager
def _replaced(cls, method, function):
    of_keras, this_thread = getattr(cls, method), threading.get_ident()
    cls = next(each for each in cls.__mro__ if method in vars(each))

    def run(self, *args, **kwargs):
        if threading.get_ident() != this_thread:
            return of_keras(self, *args, **kwargs)
        return function(of_keras, self, *args, **kwargs)

    setattr(cls, method, run)
    try:
        yield
    finally:
        setattr(cls, method, of_keras)


def allow_writes(layer):
    """Lets a layer be written to while gradients are traced, which Flax forbids in NNX mode.

    Without that check of Flax's there is nothing to do.
    """
    if hasattr(layer, "_check_valid_context"):
        replace(layer, "_check_valid_context", lambda message: None)


# Where Keras calls an initializer from: `add_weight`, or the function by which an LSTM puts ones
# in place of some biases.
_CALLERS = ("add_weight", "bias_initializer")


def request():
    """Returns the layer that is asking an initializer for a weight, and the name of the weight.

    Keras tells initializers a shape alone, and the bias of an LSTM in two parts, each without
    saying which. (`None`, `None`) where no layer asks, or Keras calls from elsewhere than it did:
    a shape then is all that is known. The name is `None` where it is not told.
    """
    frame = inspect.currentframe()
    while (frame := frame.f_back) is not None:
        layer = frame.f_locals.get("self")
        if isinstance(layer, keras.Layer):
            is_request = frame.f_code.co_name in _CALLERS
            return (layer, frame.f_locals.get("name")) if is_request else (None, None)
    return None, None


def attribute_of(layer, argument):
    """Returns the attribute in which a layer keeps an argument: `MultiHeadAttention` hides them."""
    for attribute in (f"_{argument}", argument):
        if hasattr(layer, attribute):
            return attribute
    raise NotImplementedError(
        f"{type(layer).__name__} should keep `{argument}`, which its config is made of, in an "
        f"attribute of that name. Received: one without, of Keras {keras.__version__}. Use another "
        "version of Keras or of keras_winit."
    )


def place_in(optimizer, variable):
    """Returns the place of a variable, as `update_step` gets it, among those of an optimizer.

    Keras's own example of an optimizer asks for it by this name.
    """
    return optimizer._get_variable_index(variable)


def slots_of(optimizer, number):
    """Yields what an optimizer keeps for each of the `number` variables that it trains, as momenta.

    Each is a list of variables in the order of those, `None` for one without; with whether they
    are the moving averages of the variables. Keras has no public name for these lists.
    """
    averages = getattr(optimizer, "_model_variables_moving_average", None)
    known = {id(variable) for variable in optimizer.variables}
    for each in vars(optimizer).values():
        if isinstance(each, list) and len(each) == number and any(id(v) in known for v in each):
            yield list(each), each is averages


# Names of classes that are not public, of operations but for those of `keras.applications` and the
# cell. Under another name, one counts as of an unknown kind.
TRANSPARENT = {
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "GetItem", "Cast", "Concatenate", "Stack"),
    *("Pad", "Add", "Mean", "Max", "MaxPool", "AveragePool", "AdaptiveAveragePool"),
    *("LayerScale", "StochasticDepth", "CustomScaleLayer"),
}
ADDITIONS = {"Add", "CustomScaleLayer"}  # the second of InceptionResNetV2
SLICINGS = {"GetItem", "Slice", "Split"}
LAYER_SCALE = "LayerScale"  # of ConvNeXt
CONV_LSTM_CELL = "ConvLSTMCell"
# Operations whose names are not those of their functions.
ACTIVATIONS = {"re_lu": "relu", "exp": "exponential"}
