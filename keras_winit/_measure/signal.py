"""What was measured in one run of a model: numbers, no verdict."""

import math
from dataclasses import dataclass, field

import numpy as np

from keras_winit._measure.coverage import Coverage
from keras_winit._measure.output_loss import LossSignal
from keras_winit._network.graph import Branch
from keras_winit._show.result import Part


@dataclass(frozen=True, kw_only=True, repr=False)
class Summary(Part):
    """Numbers of a signal of (samples, positions, units).

    Attributes:
        largest: The largest magnitude.
        mean: Over everything.
        second_moment: Mean of the squares.
        common: Second moment of the mean over the samples, the part that all of them share.
        dead: Fraction of units, from 0 to 1, that give nothing for any sample.
        zero: Fraction of values, from 0 to 1, that are zero.
        num_samples: Number of samples.
    """

    largest: float
    mean: float
    second_moment: float
    common: float
    dead: float
    zero: float
    num_samples: int

    @property
    def rms(self) -> float:
        """Root mean square: the size of the signal."""
        return math.sqrt(self.second_moment)

    @property
    def variance(self) -> float:
        """Over everything."""
        return max(self.second_moment - self.mean**2, 0.0)

    @property
    def between_samples(self) -> float:
        """Share of the variance, from 0 to 1, between samples; the rest is between units."""
        if not self.variance > 0:
            return 0.0
        return min(max(self.second_moment - self.common, 0.0) / self.variance, 1.0)

    @property
    def cosine(self) -> float | None:
        """Mean inner product of two samples over their mean square, at most 1.

        It is 1 where all samples give the same, about 0 where they have nothing in common; `None`
        for one sample.
        """
        if self.num_samples < 2 or not self.second_moment > 0:
            return None
        excess = self.num_samples * self.common / self.second_moment - 1
        return excess / (self.num_samples - 1)


@dataclass(frozen=True, kw_only=True, repr=False)
class KernelSignal(Part):
    """Numbers of one kernel.

    Attributes:
        path: Path of the weight.
        role: `"kernel"`, `"recurrent"` or `"embedding"`.
        shape: Its shape.
        fan_in: Products that one output sums.
        fan_out: Outputs that one input reaches.
        initializer: What its layer draws it with.
        mean: Mean of the weights.
        second_moment: Mean of their squares.
        asked: Variance that its initializer asks for by its true fans, or `None`.
        asked_by_keras: The same by the fans that Keras counts.
        repeated: Fraction of units, from 0 to 1, that share all of their weights with another.
        gradient: Norm of the gradient by it, `None` where it has none.
        twin: Path of an earlier kernel with the same values, or `None`.
        update: Norm of what the first step of the compiled optimizer adds, times what momentum
            makes of it, over that of the weights; without weight decay, and shared by the batches
            whose gradients make a step; `None` where it is not known.
        is_trainable: Whether training changes it.
        constrained: Norm of what its constraint makes of it, over its norm; `None` without one.
    """

    path: str
    role: str
    shape: tuple[int, ...]
    fan_in: float
    fan_out: float
    initializer: str
    mean: float
    second_moment: float
    asked: float | None
    asked_by_keras: float | None
    repeated: float
    gradient: float | None
    twin: str | None
    update: float | None = None
    is_trainable: bool = True
    constrained: float | None = None

    @property
    def norm(self) -> float:
        """Euclidean norm."""
        return math.sqrt(self.second_moment * math.prod(self.shape))


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerSignal(Part):
    """Numbers of one call of a layer with a kernel.

    Attributes:
        layer: Its path in the model, with a number from the second call on.
        name: Name of the layer.
        kind: Class of the layer.
        activation: Name of what follows, or `None`.
        normalized: Whether a normalization comes between.
        is_first: Whether no other kernel comes before it.
        is_output: Whether no other kernel comes after it.
        branch: The residual `Branch` it is in, or `None`.
        preactivation: `Summary` of what the kernel gives.
        output: `Summary` of what is passed on, after normalization and activation.
        saturated: Fraction of the output, from 0 to 1, that is saturated; `None` for unbounded
            activations.
        gradient: Norm of the gradient by the preactivation; `None` where the loss does not
            depend on it.
        sample: Up to 256 values of the output.
        kernels: A `KernelSignal` for each kernel.
        asked: Variance times fan_in that keeps the size of the signal by the activation, `None`
            where no such number is known.
        logit_std: Of attention, where it is the map of queries: standard deviation of the logits
            over the keys; `None` elsewhere.
        num_keys: Number of those keys.
        token_cosine: Mean cosine between the tokens that come into that attention.
        is_first_map: Whether no other kernel than those of embeddings comes before it.
        is_anew: Whether all that it takes has been normalized, since the kernels before it.
        is_normalized_later: Whether all of what it gives is normalized before a kernel takes it.
        is_last: Whether no other kernel takes what comes of it, be it beside the output.
        rank: Effective rank of the output around its mean over the samples, from 1: the
            participation ratio (Σ s²)² / Σ s⁴ of its singular values s. 0 where all samples give
            the same, `None` where the output has several positions.
        alignment: Cosine, from 0 to 1, between the inner products that samples have there and
            at the first layer with a rank: linear CKA. `None` where there is no rank.
        runs_away: Whether the activation makes much more than twice as much of a signal that is
            twice as large, as exp.
    """

    layer: str
    name: str
    kind: str
    activation: str | None
    normalized: bool
    is_first: bool
    is_output: bool
    branch: Branch | None
    preactivation: Summary = field(repr=False)
    output: Summary = field(repr=False)
    saturated: float | None
    gradient: float | None
    sample: np.ndarray = field(repr=False)
    kernels: tuple[KernelSignal, ...] = field(repr=False)
    asked: float | None = None
    logit_std: float | None = None
    num_keys: int | None = None
    token_cosine: float | None = None
    is_first_map: bool = False
    is_anew: bool = False
    is_normalized_later: bool = False
    is_last: bool = False
    rank: float | None = None
    alignment: float | None = None
    runs_away: bool = False

    @property
    def relative_gradient(self) -> float | None:
        """Norm of the gradient by a kernel over that of the kernel, of the first that has one."""
        for kernel in self.kernels:
            if kernel.gradient is not None:
                return kernel.gradient / kernel.norm if kernel.norm > 0 else None
        return None


@dataclass(frozen=True, kw_only=True, repr=False)
class InputSignal(Part):
    """Numbers of one input of a model.

    Attributes:
        name: Its name, or its place.
        shape: Shape of the batch.
        mean: Over everything.
        second_moment: Mean of the squares.
        is_tokens: Whether it holds integers.
        varies: Whether any two samples differ; `True` for a single one.
        outlier: The largest norm of a sample, of all that were given, over the size of those in the
            batch.
        scales: Of a table, the standard deviation of each column that varies; else, and of a model
            with a `Normalization`, empty.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    second_moment: float
    is_tokens: bool
    varies: bool = True
    outlier: float = 1.0
    scales: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class EndingSignal(Part):
    """What lies between the last kernel and one output of a model.

    Attributes:
        layer: Path of the layer with that kernel; `None` where several go into the output.
        activations: Names of the activations that are applied, in their order.
        dropout: Fraction of the output, from 0 to 1, that dropout leaves out.
        is_known: Whether nothing else is applied.
        output: Name of the output, `None` where it is the only one.
    """

    layer: str | None
    activations: tuple[str, ...]
    dropout: float
    is_known: bool
    output: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Signal(Part):
    """What one forward and one backward pass have shown.

    Attributes:
        model: Name of the model.
        batch_size: Number of samples.
        is_drawn: Whether the batch is noise, for want of data.
        layers: A `LayerSignal` for every call of a layer with a kernel, in the order of calls.
        inputs: An `InputSignal` for every input.
        outputs: A `Summary` for every output.
        loss: `LossSignal`, or `None` without labels.
        not_reached: Paths of layers with a kernel that were not called, or gave no floats.
        problem: Why the graph could not be read in full, or `None`.
        coverage: `Coverage`, which of the layers that own weights were looked at.
        endings: An `EndingSignal` for every output, as far as the graph is read.
        dropout_noise: Factor, from 1, by which dropout raises the second moment of the signal.
        is_linear: Whether no nonlinear function is applied between its kernels.
        gives_images: Whether convolutions give a number for each place, without shortcuts.
        num_trainable: Number of weights, as arrays, that training changes.
        optimizer: Class of the compiled optimizer and its learning rate, if its first step is
            known: `KernelSignal.update`.
        is_adaptive: Whether that optimizer divides gradients by their size, as Adam.
        is_scheduled: Whether that rate is the mean of a schedule, over 512 batches or more.
        decay: Share of the weights, from 0, that the weight decay of the optimizer takes in a step.
        losses: A `LossSignal` for each of several outputs, `None` where it has no loss of its own.
    """

    model: str
    batch_size: int
    is_drawn: bool
    layers: tuple[LayerSignal, ...] = field(repr=False)
    inputs: tuple[InputSignal, ...] = field(repr=False)
    outputs: tuple[Summary, ...] = field(repr=False)
    loss: LossSignal | None
    not_reached: tuple[str, ...]
    problem: str | None
    coverage: Coverage = Coverage()
    endings: tuple[EndingSignal, ...] = field(default=(), repr=False)
    dropout_noise: float = field(default=1.0, repr=False)
    is_linear: bool = field(default=False, repr=False)
    gives_images: bool = field(default=False, repr=False)
    num_trainable: int = field(default=1, repr=False)
    optimizer: tuple[str, float] | None = field(default=None, repr=False)
    is_adaptive: bool = field(default=False, repr=False)
    is_scheduled: bool = field(default=False, repr=False)
    decay: float = field(default=0.0, repr=False)
    losses: tuple[LossSignal | None, ...] = field(default=(), repr=False)
