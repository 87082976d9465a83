"""Gives each weight of a model the learning rate that is right for its width."""

import keras

from keras_winit import _backends
from keras_winit._learning_rates.optimizers import BY_GRADIENT, SCALED, Scaled, kind_of
from keras_winit._network.network import Network
from keras_winit._network.weights import numbered
from keras_winit._network.widths import base_network, widths
from keras_winit._turn import turn


@turn()
@_backends.kept_random_state()
def scale_learning_rates(
    model: keras.Layer,
    optimizer: str | keras.optimizers.Optimizer,
    base_model: keras.Layer,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer with which a learning rate of a narrow model suits a wide one.

    Tune the learning rate on a narrow model, which is the base. Then build wider ones by the same
    code, start them by `initialize(model, "mup", base_model=base)`, and compile them with what
    this returns: the best rate stays near the one of the base (maximal-update parametrization).

    Each weight is compared with that of the base. With m for how many times as many inputs, and n
    for how many times as many outputs it has, the factor on its learning rate is

    - for `SGD`: n / m
    - for `Adam`, `AdamW`, `Adamax`, `Nadam`, `RMSprop` and `Lion`: 1 / m

    where biases, scales of normalization, embeddings and other vectors have one input, as have
    depthwise kernels one for each unit. Maps of queries, and their biases, in attention layers of
    Keras whose heads are h times as large get a further 1 / h, or 1 / sqrt(h) for the second kind:
    Keras divides logits by the root of the head size, where the head size is asked for. So does
    the last normalization before a table of embeddings that reads the output as well, for as many
    times as many inputs of the table.

    What comes back is an optimizer like the one given, with one learning rate, that works with
    `compile`, `fit`, schedules, callbacks that set the rate, clipping and accumulation, and comes
    back from a saved model where keras_winit is imported. Weight decay goes by the rate alone,
    without factors, so it is the same for every width. Call `exclude_from_weight_decay` on what
    comes back; wrap that in a `LossScaleOptimizer` where you want one. Gradients fall with width,
    and so does the `epsilon` of Adam and its kin: it is divided by how many times wider the model
    is.

    Args:
        model: Built Keras model.
        optimizer: Name or optimizer, of one of these classes, that has not been used.
        base_model: Built model of the width that the rate was tuned at, by the same code. It is
            not kept.

    Returns:
        An optimizer for the variables that the model trains now, whose `learning_rate_factors` are
        a dictionary by their paths.

    Raises:
        TypeError: If `model` or `base_model` is no Keras model, or `optimizer` no optimizer.
        ValueError: If the optimizer is of another class or has been used, or the models are not of
            the same code.

    Example:

    >>> def build_model(width):
    ...     hidden = [keras.layers.Dense(width, "relu", name=f"hidden_{n}") for n in range(2)]
    ...     output = keras.layers.Dense(3, name="output")
    ...     return keras.Sequential([keras.Input((8,)), *hidden, output], name="net")
    >>> model, base = build_model(256), build_model(64)
    >>> initialized = keras_winit.initialize(model, "mup", base_model=base)
    >>> adam = keras.optimizers.Adam(0.01)
    >>> optimizer = keras_winit.scale_learning_rates(model, adam, base)
    >>> optimizer.learning_rate_factors["net/hidden_1/kernel"]
    0.25

    Reference:

    - [Yang et al., 2022](https://arxiv.org/abs/2203.03466), table 3
    - [Everett et al., 2024](https://arxiv.org/abs/2407.05872), for epsilon
    """
    network, base = Network(model), base_network(base_model)
    network.check_built()
    kind, given = _checked(optimizer)
    try:
        found = widths(network, base)
    except ValueError as error:
        raise ValueError(f"Model {model.name!r}: {error}.") from error
    by_variable = {id(weight.variable): wider for weight, wider in found.items()}
    variables = model.trainable_variables
    factors = [_factor(by_variable[id(variable)], kind) for variable in variables]
    factors = dict(zip(numbered(each.path for each in variables), factors, strict=True))
    config = {**given.get_config(), "learning_rate_factors": factors}
    if "epsilon" in config:  # a gradient falls by how many times as many units share the loss
        config["epsilon"] /= max(wider.outputs for wider in found.values())
    return SCALED[kind].from_config(config)


def _factor(wider, kind):
    if kind in BY_GRADIENT:
        return wider.share**2 * wider.outputs / wider.inputs
    return wider.share / wider.inputs


def _checked(
    optimizer: str | keras.optimizers.Optimizer,
) -> tuple[type[keras.optimizers.Optimizer], keras.optimizers.Optimizer]:
    """Returns the class and the instance of what a user gives as an optimizer."""
    names = ", ".join(cls.__name__ for cls in SCALED)
    expected = f"`optimizer` should be one of Keras's {names}"
    if isinstance(optimizer, str):
        return _checked(keras.optimizers.get(optimizer))
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"{expected}. Received: optimizer={optimizer!r}.")
    if isinstance(optimizer, Scaled):
        raise ValueError(
            f"{expected}. Received: one whose learning rates have been scaled. Give the one that "
            "it was made of."
        )
    kind = kind_of(optimizer)
    if kind is None:
        raise ValueError(
            f"{expected}. Received: one of class {type(optimizer).__name__}, for which it is not "
            "known how steps go by the size of the gradient. (A `LossScaleOptimizer` is put "
            "around what this returns.)"
        )
    if optimizer.built:
        raise ValueError(
            f"{expected} that has not been used. Received: one that was built for the variables "
            "of a model, whose state would be lost. Give a new one."
        )
    return kind, optimizer
