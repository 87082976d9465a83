"""Judges a `Signal`: one generator for each disease. Numbers only; knows no model."""
from dataclasses import dataclass

@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        rule: Name of the disease, as `"vanishing_signal"`.
        severity: `"error"` or `"warning"`.
        layer: Path of the layer, or `None` for the whole model.
        value: The number that was measured.
        limit: The number that it should keep to.
        message: One sentence with both.
        reason: Why that is bad, in a sentence or two.
        reference: Paper and section.
        fix: What to do, in a sentence.
        action: What `Diagnosis.fix` does, or `None` where it cannot be mended in the weights.
    """

    rule: str
    severity: str
    layer: str | None
    value: float
    limit: float
    message: str
    reason: str
    reference: str
    fix: str
    action: tuple | None = None
