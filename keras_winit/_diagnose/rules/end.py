"""Each output of a model: what is behind its last kernel, and the loss that it is to make small."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class End:
    """One output.

    Attributes:
        output: Its name, `None` where it is the only one.
        summary: `Summary` of it.
        layer: `LayerSignal` of the last kernel; `None` where several go into the output, or
            something that is not known is applied behind it.
        activations: Names of the activations behind that kernel, in their order.
        loss: `LossSignal`, or `None`.
        dropout: Fraction of the output, from 0 to 1, that dropout leaves out.
    """

    output: str | None
    summary: object
    layer: object
    activations: tuple[str, ...]
    loss: object
    dropout: float = 0.0

    @property
    def last(self):
        """The last activation, `None` without one."""
        return self.activations[-1] if self.activations else None

    @property
    def is_frozen(self):
        """Whether its last kernel does not train, as that of a critic by which others do."""
        return self.layer is not None and not any(k.is_trainable for k in self.layer.kernels)

    @property
    def of_output(self):
        """What a message adds to the noun that it is about."""
        return "" if self.output is None else f" of output {self.output!r}"

    @property
    def path(self):
        """Path of the layer for findings about a loss, `None` where it is that of the model."""
        return None if self.output is None or self.layer is None else self.layer.layer

    def findings(self, found):
        """Returns the findings that may be about this output."""
        return [each for each in found if each.output in (None, self.output)]


def ends(signal):
    """Yields the `End` of each output."""
    if len(signal.outputs) == 1:
        layer, activations = _of_one(signal)
        yield End(
            output=None,
            summary=signal.outputs[0],
            layer=layer,
            activations=activations,
            loss=signal.loss,
            dropout=signal.endings[0].dropout if signal.endings else 0.0,
        )
        return
    by_path = {layer.layer: layer for layer in reversed(signal.layers)}
    for number, (loss, summary) in enumerate(zip(signal.losses, signal.outputs, strict=False)):
        ending = signal.endings[number] if number < len(signal.endings) else None
        is_known = ending is not None and ending.is_known
        yield End(
            output=loss.output if loss is not None else ending and ending.output,
            summary=summary,
            layer=by_path.get(ending.layer) if is_known else None,
            activations=ending.activations if is_known else (),
            loss=loss,
            dropout=0.0 if ending is None else ending.dropout,
        )


def _of_one(signal):
    """Returns the last layer, and the activations behind its kernel, of the only output."""
    outputs = [layer for layer in signal.layers if layer.is_output]
    if len(outputs) != 1:
        return None, ()
    (layer,) = outputs
    if signal.endings:
        (ending,) = signal.endings
        is_known = ending.is_known and ending.layer is not None
        return (layer, ending.activations) if is_known else (None, ())
    ours, models = layer.output, signal.outputs[0]
    is_same = np.allclose(  # a rescaling may follow
        (ours.mean, ours.second_moment), (models.mean, models.second_moment), rtol=1e-4
    )
    return (layer, (layer.activation,) * bool(layer.activation)) if is_same else (None, ())
