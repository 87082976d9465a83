"""What a rule finds, what fixes it, and which findings have one cause."""

import enum
import itertools
from dataclasses import dataclass, field
from typing import Literal

from keras_winit._show.result import Part


class Verb(enum.StrEnum):
    """What can be done to the weights of a model.

    `UNBIAS` is `INITIALIZE` with the biases of hidden layers at zero, `PRIOR` sets the bias of
    the last layer.
    """

    INITIALIZE = "initialize"
    UNBIAS = "unbias"
    CALIBRATE = "calibrate"
    PRIOR = "prior"


@dataclass(frozen=True)
class Action:
    """What fixes a finding.

    Attributes:
        verb: A `Verb`.
        only: Paths of weights that it is for, or `None` for the whole model.
    """

    verb: Verb
    only: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Finding(Part):
    """One thing that is wrong.

    Attributes:
        rule: Name of the disease, as `"vanishing_signal"`.
        severity: `"error"` or `"warning"`.
        layer: Path of the layer, or `None` for the whole model.
        value: The number that was measured.
        limit: The number that it should keep to.
        message: One sentence with both.
        reason: Why that is bad.
        reference: Paper and section.
        fix: What to do.
        action: What `Diagnosis.fix` does, or `None` where no change of the weights fixes it.
        output: Name of the output that it is about, `None` where there is one, or for the model.
        causes: Name of the rule that has found what comes of this, or `None`.
        comes_with: Name of the rule that has found what comes of the same cause, or `None`.
    """

    rule: str
    severity: Literal["error", "warning"]
    layer: str | None
    value: float
    limit: float
    message: str
    reason: str = field(repr=False)
    reference: str = field(repr=False)
    fix: str = field(repr=False)
    action: Action | None = field(default=None, repr=False)
    output: str | None = None
    causes: str | None = None
    comes_with: str | None = None

    @property
    def told_with(self) -> str | None:
        """Name of the rule with whose findings it is told, or `None` where it stands alone."""
        return self.causes or self.comes_with

    @property
    def relation(self) -> str:
        """What it is to those findings, in a word or two."""
        return "Cause" if self.causes else "With it"


INITIALIZE = Action(Verb.INITIALIZE)
UNBIAS = Action(Verb.UNBIAS)
CALIBRATE = Action(Verb.CALIBRATE)
PRIOR = Action(Verb.PRIOR)


def draw(path):
    """Returns the action that draws one weight."""
    return Action(Verb.INITIALIZE, (path,))


def reported(found, *rules, severity="warning"):
    """Whether one of these rules has found something of this severity, or worse."""
    return any(each.rule in rules and each.severity in (severity, "error") for each in found)


def by_cause(findings):
    """Yields the findings of one rule that follow each other, with lists of their company.

    That is what explains them, and what comes of the same cause.
    """
    rest = [each for each in findings if each.told_with]
    heads = [each for each in findings if not each.told_with]
    for (_, name), group in itertools.groupby(heads, lambda each: (each.severity, each.rule)):
        company = [each for each in rest if each.told_with == name]
        rest = [each for each in rest if each.told_with != name]
        yield list(group), company
