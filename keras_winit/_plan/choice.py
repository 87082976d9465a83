"""What a scheme chooses for one weight."""

from dataclasses import dataclass

import keras

from keras_winit._network import Weight

REST = "what their layer gives them"


@dataclass(frozen=True)
class Choice:
    """What one weight gets, and why.

    Attributes:
        weight: The `Weight`.
        initializer: The initializer, `None` to leave the weight alone.
        reason: One sentence.
        reference: Where it comes from, or an empty string.
        as_keras: Whether to draw it as Keras does when it builds the layer, wrong fans included.
        from_layer: Whether it is what the layer gives it, as the scheme has nothing to say.
        instead_of: What was suggested where the initializer is the author's and was kept.
    """

    weight: Weight
    initializer: keras.Initializer | None
    reason: str
    reference: str = ""
    as_keras: bool = False
    from_layer: bool = False
    instead_of: keras.Initializer | None = None


def from_layer(weight, *, as_keras=None):
    """Returns the choice of what the author of its layer gave a weight."""
    if as_keras is None:  # an embedding's was meant for the whole table, not for each row
        as_keras = weight.role == "embedding"
    return Choice(weight, weight.own_initializer(), REST, as_keras=as_keras, from_layer=True)
