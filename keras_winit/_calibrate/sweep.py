"""One run through a model that changes each layer before it goes on to the next."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _network
from keras_winit._activations.criticality import critical_point, point_of_small_signal
from keras_winit._measure import statistics
from keras_winit._measure.measure import run
from keras_winit._measure.taps import Taps
from keras_winit._show.progress import tell
from keras_winit._show.result import Part

ops = keras.ops

# Distance from 1 to the next number; 2**-23 for all others, as statistics are in float32.
_EPSILONS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


@dataclass(frozen=True, kw_only=True, repr=False)
class CalibratedLayer(Part):
    """What happened to one call of a layer.

    Attributes:
        layer: Its path, with a number from the second call on.
        mode: How it was calibrated: a mode, `"output"` or `"left alone"`.
        target: Second moment that its preactivations should have, `None` if left alone or
            equalized, or behind a first layer that was made smaller at the end.
        factor: What its kernel was multiplied by; of many units the root mean square.
        before: Second moment of its preactivations before, on held-out samples.
        after: The same now.
        reason: Why.
        skipped: Whether it was left alone.
    """

    layer: str
    mode: str
    target: float | None = None
    factor: float | None = None
    before: float | None = None
    after: float | None = None
    reason: str
    skipped: bool = False


def left_alone(path, reason, after=None):
    """Returns the `CalibratedLayer` of a call that is not calibrated."""
    return CalibratedLayer(layer=path, mode="left alone", after=after, reason=reason, skipped=True)


class Sweep:
    """Looks at the preactivations of every layer, or calibrates every layer, in one run.

    Args:
        network: The `Network` of the model.
        fixed: The weights that are to be left alone, each with the reason.
        mode: As of `calibrate`.
        num_samples: How many samples, the first of a batch, to calibrate on.

    Attributes:
        changed: The variables that `calibrate` has changed, each with its new value.
    """

    def __init__(self, network, fixed, mode, num_samples):
        self.network, self.fixed = network, fixed
        self.mode, self.num_samples = mode, num_samples
        self._taps = Taps(network)
        self.changed, self._biases = [], {}
        # Of a graph that cannot be read, the layer that is called last is taken for the output.
        self._last = None
        # Inside of a call, a variable may give its value in half precision, and the activation of
        # a layer that is watched is not its own.
        self._values = {weight: weight.variable.value for weight in network.weights}

    def look(self, batch):
        """Returns the second moment of the preactivations at each call, by its path."""
        sizes = {}

        def see(tapped, z):
            sizes[tapped.path] = self._size(statistics.near(z))
            return z

        with keras.StatelessScope():
            self._run(batch, see)
        if self.network.problem and self._taps.tapped:
            self._last = self._taps.tapped[-1].path
        return sizes

    def calibrate(self, batch):
        """Assigns new values to kernels and biases, meant for a `StatelessScope`.

        Returns a `CalibratedLayer` for each call, without what was before.
        """
        rows, number = {}, len({weight.layer for weight in self.network.kernels})

        def change(tapped, z):
            path, near = tapped.path, statistics.near(z)
            tell(f"layer {len(rows) + 1} of {number}")
            try:
                mode, target, reason = self._choice(tapped)
                near, factor = self._scale(tapped.layer, near, mode, target, _dtype(z))
            except _LeftAlone as error:
                rows[path] = left_alone(path, str(error), after=self._size(near))
                return z
            rows[path] = CalibratedLayer(
                layer=path,
                mode=mode,
                target=target,
                factor=factor,
                after=self._size(near),
                reason=reason,
            )
            return ops.convert_to_tensor(near, dtype=_dtype(z))

        self._run(batch, change)
        paths = [tapped.path for tapped in self._taps.tapped]
        return [rows.get(path) or left_alone(path, "gives no floats") for path in paths]

    def _size(self, z):
        """Returns the second moment on the samples that are held out, or else on all."""
        start = self.num_samples if z.shape[0] > self.num_samples else 0
        return statistics.second_moment(z, start)

    @property
    def called(self):
        """The layers with kernels that were called in the last run."""
        return {owner for tapped in self._taps.tapped for owner in tapped.owners}

    @property
    def hidden(self):
        """Those of them whose signal was out of sight."""
        return self._taps.hidden

    def _run(self, batch, tap):
        with self._taps.on(tap):
            run(self.network.model, batch)

    def _choice(self, tapped):
        """Returns (mode, target, reason) for a call of a layer."""
        layer = tapped.layer
        reason = self._reason_to_skip(tapped)
        if reason:
            raise _LeftAlone(reason)
        around = self.network.around(layer)
        if around.is_output or tapped.path == self._last:
            return "output", 1.0, "only made smaller"
        if self.mode == "auto":
            mode, target, reason = self._automatic(layer, around)
        else:
            mode, target, reason = self.mode, 1.0, "asked for"
        if mode != "tensor" and _network.unit_shape(layer) is None:
            return "tensor", target, "its units are along several axes"
        if mode == "centered" and self._bias_to_change(layer) is None:
            return "tensor", target, "no bias that could take its mean off"
        return mode, target, reason

    def _automatic(self, layer, around):
        branch, ends = around.branch, self._kernels(layer)[-1].ends_layer
        if branch is not None and branch.is_last and ends:
            if not branch.normalized and not branch.is_zero:
                number = self.network.num_branches
                return "tensor", 1.0 / number, f"the last of one of {number} branches"
        if around.activation is None:
            return "tensor", 1.0, "no activation follows"
        name = around.activation.name
        if around.activation.moments is None:
            return "tensor", 1.0, f"{name} follows"
        if around.activation.is_mostly_mean:
            return "centered", 1.0, f"the output of {name} is mostly its mean"
        if self.network.is_deep:
            point = point_of_small_signal(around.activation)
            if point is not None:
                return "tensor", point.signal, f"the critical point of {name}, for deep networks"
        if self._added(layer).any():
            target = _critical_signal(around.activation)
            if target is not None:
                return "tensor", target, f"the critical point of {name}, with its bias"
        return "tensor", 1.0, f"{name} follows"

    def _reason_to_skip(self, tapped):
        kernels = self._kernels(tapped.layer)
        if _network.is_closed(tapped.layer):
            return "runs its kernels in a loop, out of sight"
        if tapped.number:
            return "shared: calibrated where it is called first"
        if not kernels:
            return "its kernel belongs to another layer"
        if kernels[-1] in self.fixed:
            return self.fixed[kernels[-1]]
        if kernels[-1].role == "embedding":
            return "an embedding"
        if kernels[-1].is_near_zero_by(kernels[-1].held_initializer()):
            return "starts near zero, as its author meant it"
        return "a normalization follows" if self.network.around(tapped.layer).normalized else None

    def _kernels(self, layer):
        return [each for each in self.network.layers.get(layer, ()) if each.is_kernel]

    def _bias_to_change(self, layer):
        bias = self.network.bias(layer)
        return None if bias is None or bias in self.fixed else bias

    def _scale(self, layer, z, mode, target, dtype):
        """Changes kernel and bias of a layer, returns what z then is, and the factor."""
        kernel, bias = self._kernels(layer)[-1], self._bias_to_change(layer)
        mean, variance, old = self._moments(layer, z, dtype)
        # What rounding leaves of a signal once its mean is taken off.
        noise = (4 * _EPSILONS.get(dtype, 2.0**-23)) ** 2 * (mean**2 + variance)
        if mode in ("tensor", "output"):
            factors, new = _one_factor(mode, target, mean, variance, old, noise, bias is None)
        else:
            factors, new = _unit_factors(mode, target, mean, variance, old, noise, bias is None)
        if np.ndim(factors):
            self._multiply(kernel, factors.reshape(_network.unit_shape(layer)))
        elif factors != 1.0:
            self._multiply(kernel, factors)
        if new is not old:
            value = self._added(layer)
            self._set(bias, new.reshape(value.shape) if new.size == value.size else factors * value)
        z = _moved(
            z, factors, new - factors * old, self._unit_rank(layer), _network.unit_axis(layer)
        )
        return z, math.sqrt(np.mean(np.square(factors)))

    def _moments(self, layer, z, dtype):
        """Returns mean and variance of each unit, and what the bias adds to it."""
        rank = self._unit_rank(layer)
        mean, variance = statistics.unit_moments(
            z, self.num_samples, _network.unit_axis(layer), rank
        )
        square = (mean**2 + variance).mean()
        if not math.isfinite(square):
            raise ValueError(
                f"Layer {layer.name!r} ({type(layer).__name__}) should give finite numbers. "
                f"Received: {dtype} with a second moment of {square}. "
                "Look for weights that are not finite, and standardize the data."
            )
        shape = z.shape[-rank:] if rank > 1 else mean.shape
        return mean, variance, np.broadcast_to(self._added(layer), shape).reshape(-1)

    def _added(self, layer):
        """Returns the bias of a layer as an array."""
        bias = self.network.bias(layer)
        if bias is None:
            return np.zeros(1)
        if layer not in self._biases:
            self._biases[layer] = np.float64(ops.convert_to_numpy(self._values[bias]))
        return self._biases[layer]

    def _unit_rank(self, layer):
        """Returns the number of axes that units are along, as far as the bias tells."""
        return self._added(layer).ndim

    def _multiply(self, weight, factor):
        value = statistics.near(self._values[weight])
        self._set(weight, _with(value).multiply(value, np.float32(factor)))

    def _set(self, weight, value):
        weight.variable.assign(value)  # where the layer is called again
        self.changed.append((weight.variable, value))


class _LeftAlone(Exception):
    """Says why a layer is not calibrated."""


def _one_factor(mode, target, mean, variance, bias, noise, is_fixed):
    """Returns one factor for a kernel, and what the bias then adds to each unit."""
    own = mean - bias
    square, mixed = (own**2 + variance).mean(), (own * bias).mean()
    if square <= noise.mean():
        raise _LeftAlone("its kernel gives nothing")
    if mode == "output":
        return min(1.0, math.sqrt(target / square)), bias
    rest = target - (bias**2).mean()
    if rest > 0:
        return (math.sqrt(mixed**2 + square * rest) - mixed) / square, bias
    if is_fixed:
        raise _LeftAlone("its bias alone is larger")
    factor = math.sqrt(target / (mean**2 + variance).mean())
    return factor, factor * bias


def _unit_factors(mode, target, mean, variance, bias, noise, is_fixed):
    """Returns a factor for the kernel of each unit, and what the bias then adds to it."""
    if mode == "centered":
        variance, noise = (np.full_like(each, each.mean()) for each in (variance, noise))
    elif is_fixed:  # the mean stays, a part of the size
        variance = mean**2 + variance
    is_alive = variance > noise
    if not is_alive.any():
        raise _LeftAlone("gives the same for every sample")
    factors = np.where(is_alive, np.sqrt(target / np.where(is_alive, variance, 1.0)), 1.0)
    return factors, bias if is_fixed else factors * (bias - mean)


def _moved(z, factors, shift, unit_rank, unit_axis):
    """Returns factors * z + shift."""
    shape = [1] * len(z.shape)
    if unit_rank > 1:
        shape[-unit_rank:] = z.shape[-unit_rank:]
    else:
        shape[unit_axis] = z.shape[unit_axis]
    factors = factors.reshape(shape) if np.ndim(factors) else factors
    moved = _with(z).multiply(z, np.float32(factors))
    return _with(z).add(moved, np.float32(shift.reshape(shape))) if shift.any() else moved


def _with(x):
    """Returns the library to compute with: NumPy for an array, Keras for a tensor."""
    return np if isinstance(x, np.ndarray) else ops


def _dtype(x):
    return keras.backend.standardize_dtype(x.dtype)


def _critical_signal(activation):
    """Returns the second moment that the critical point keeps, where it needs drawn biases."""
    try:
        point = critical_point(activation)
    except ValueError:
        return None
    return point.signal if point.bias_variance > 1e-3 else None
