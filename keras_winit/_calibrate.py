"""Scales every layer on the signal of a batch, one after the other in a single run."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_winit import _backends, _batch, _checks, _gains, _layers, _plan, _table
from keras_winit._criticality import critical_point
from keras_winit._graph import Graph
from keras_winit._signal import measure, run
from keras_winit._statistics import by_unit, unit_moments
from keras_winit._taps import Taps

ops = keras.ops

MODES = ("auto", "tensor", "unit", "centered", "equalized")

# Smaller than this, relative to the second moment, a variance is rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class CalibratedLayer:
    """What happened to one layer.

    Attributes:
        layer: Its path.
        mode: How it was calibrated, or "left alone".
        target: Second moment that its preactivations should have, `None` if left alone.
        factor: What its kernel was multiplied by; of many units the root mean square.
        before: Second moment of its preactivations before, on held-out samples.
        after: The same now.
        reason: Why.
    """

    layer: str
    mode: str
    target: float | None
    factor: float | None
    before: float
    after: float
    reason: str


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` has done: prints as a table, in a notebook as HTML.

    Attributes:
        model: Name of the model.
        layers: A `CalibratedLayer` for every layer with a kernel, in the order of calls.
        num_samples: Numbers of samples that it was calibrated on, and that were held out.

    Example:

    >>> model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    >>> result = keras_winit.calibrate(model, 7 * np.random.default_rng(0).normal(size=(256, 9)))
    >>> round(result.layers[0].after, 1)
    1.0
    """

    model: str
    layers: tuple
    num_samples: tuple

    @property
    def skipped(self):
        """The layers that were left alone."""
        return tuple(layer for layer in self.layers if layer.mode == "left alone")

    def __repr__(self):
        return _table.text(*self._table())

    def _repr_html_(self):
        return _table.to_html(*self._table())

    def _table(self):
        header = ["layer", "mode", "target", "times", "before", "after", "why"]
        rows = [list(vars(layer).values()) for layer in self.layers]
        calibrated, held_out = self.num_samples
        title = (
            f"Model {self.model!r}, calibrated on {calibrated} samples; second moments of the "
            f"preactivations on {held_out or calibrated} "
            + ("held-out samples" if held_out else "of the same")
        )
        return header, rows, title


def calibrate(model, x=None, *, mode="auto", only=None, frozen=False):
    """Scales the kernels of a model so that a batch has the right size at every layer.

    One run in the order of execution: each layer is scaled on the signal that the layers before
    it, already calibrated, hand to it. Kernels keep their directions; it works on top of any
    initializer, and where no formula holds: unusual layers, data that are not normal. The cost
    is that of about three runs of the model on the batch.

    Args:
        model: Built Keras model.
        x: Batch, as in `diagnose`; every second sample is held out to show the result on.
            Defaults to `None`, for unit normal noise.
        mode: How the preactivations z of a layer are brought to their target:

            - `"tensor"`: the kernel times one number, so that E z² is 1 (LSUV, with the second
              moment in place of the standard deviation);
            - `"unit"`: each unit times its own number and shifted by its bias, to mean 0 and
              variance 1;
            - `"centered"`: each unit shifted to mean 0, then one number for all;
            - `"equalized"`: `"unit"`, then kernels are traded against each other so that the
              gradient by each, over its norm, is the same; for plain networks of relu and other
              activations with f(2z) = 2 f(z);
            - `"auto"`: `"centered"` before an activation whose output is mostly its mean, as that
              of sigmoid and softplus, `"tensor"` elsewhere; with the target of the critical
              point where the biases are drawn for it, and 1 / branches for the last layer of a
              residual branch without normalization.

            Defaults to `"auto"`.
        only: Name, path or pattern of layers or weights, or a list of them, as in `initialize`.
            Defaults to `None`, for all.
        frozen: Whether layers that are not trainable are calibrated as well. Defaults to `False`.

    Returns:
        `Calibration`, with every layer before and after on the held-out samples, and what was
        left alone for what reason: recurrent layers, embeddings, layers before a normalization,
        layers that give nothing. The output layer is only made smaller.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built or has no kernel, the batch is empty, not finite or
            does not fit, a name is unknown, or `"equalized"` does not suit the model.

    Example:

    >>> layers = [keras.layers.Dense(32, "sigmoid") for _ in range(10)]
    >>> model = keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(3)])
    >>> result = keras_winit.calibrate(model)
    >>> result.layers[4].mode
    'centered'

    Reference:

    - [Mishkin and Matas, 2016](https://arxiv.org/abs/1511.06422), section 3, for `"tensor"`
    - [Krähenbühl et al., 2016](https://arxiv.org/abs/1511.06856), sections 3.1 and 3.2, for
      `"unit"` and `"equalized"`
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` should be a Keras model. Received: model={model!r}.")
    return calibrate_batch(model, _batch.take(model, x), mode=mode, only=only, frozen=frozen)


def calibrate_batch(model, batch, *, mode="auto", only=None, frozen=False):
    """Does what `calibrate` does, on a `Batch`."""
    _checks.option("mode", mode, MODES)
    plan = _plan.make_plan(model, "own")
    weights = {id(choice.weight.variable): choice.weight for choice in plan.choices}
    if not any(weight.kernel is not None for weight in weights.values()):
        raise ValueError(
            f"`model` should have a layer with a kernel. Received: model={model.name!r}, without."
        )
    chosen = set(weights)
    if only is not None:
        choices = _plan.matching(plan.choices, only, argument="only")
        chosen = {id(choice.weight.variable) for choice in choices}
    graph = Graph(model)
    if mode == "equalized":
        _check_homogeneous(model, graph, weights.values())
    calibrated, both = _halves(batch)
    sweep = _Sweep(model, graph, mode, list(weights.values()), chosen, frozen, calibrated)
    with _backends.without_gradient():
        before = sweep.look(_held_out(batch))
        with keras.StatelessScope() as scope:
            layers = sweep.calibrate(both, before)
        values = [
            (weight.variable, scope.get_current_value(weight.variable))
            for weight in sweep.changed.values()
        ]
    old = [(variable, ops.copy(variable.value)) for variable, _ in values]
    try:
        for variable, value in values:
            variable.assign(value)
        if mode == "equalized":
            layers = _equalize(model, batch, layers, weights, chosen)
    except BaseException:
        for variable, value in old:
            variable.assign(value)
        raise
    return Calibration(model.name, tuple(layers), (calibrated, batch.size - calibrated))


def _halves(batch):
    """Returns how many samples to calibrate on, and the batch with those first."""
    if batch.size < 4:
        return batch.size, batch
    order = np.concatenate([np.arange(0, batch.size, 2), np.arange(1, batch.size, 2)])
    return -(-batch.size // 2), batch.at(order)


def _held_out(batch):
    return batch if batch.size < 4 else batch.at(np.arange(1, batch.size, 2))


class _Sweep:
    """One run through the model that changes each layer before it goes on.

    Attributes:
        changed: The weights that were changed, by the id of their variable.
    """

    def __init__(self, model, graph, mode, weights, chosen, frozen, num_calibrated):
        self.model, self.graph, self.mode = model, graph, mode
        self.chosen, self.frozen, self.num_calibrated = chosen, frozen, num_calibrated
        self.weights, self.changed = {}, {}
        for weight in weights:
            self.weights.setdefault(id(weight.layer), []).append(weight)

    def look(self, batch):
        """Returns the second moment of the preactivations at every call, and changes nothing."""
        seen = []

        def keep(tapped, call, args, kwargs):
            output, z = self._call(call, args, kwargs)
            seen.append(unit_moments(_units(tapped.layer, z)) if z is not None else None)
            return output

        with keras.StatelessScope():
            self._run(batch, keep)
        return [None if each is None else _mean_square(each) for each in seen]

    def calibrate(self, batch, before):
        """Calibrates, inside of a scope that holds the new values; returns the rows."""
        rows, done, before = [], set(), iter(before)

        def change(tapped, call, args, kwargs):
            layer, is_again = tapped.layer, id(tapped.layer) in done
            done.add(id(layer))
            output, z = self._call(call, args, kwargs)
            mode, target, reason = self._choice(tapped, z, is_again)
            factor = None
            if target is not None:
                factor = self._scale(tapped, z, mode, target)
                if factor is None:
                    mode, target, reason = "left alone", None, "gives nothing: starts at zero"
                else:
                    output, z = self._call(call, args, kwargs)
            after = math.nan
            if z is not None:
                held_out = z[self.num_calibrated :] if z.shape[0] > self.num_calibrated else z
                after = _mean_square(unit_moments(_units(layer, held_out)))
            path = layer.path if tapped.number == 0 else f"{layer.path}#{tapped.number + 1}"
            old = next(before)
            old = math.nan if old is None else old
            rows.append(CalibratedLayer(path, mode, target, factor, old, after, reason))
            return output

        self._run(batch, change)
        return rows

    def _run(self, batch, change):
        taps = Taps(self.model, self.graph, change)
        with taps.on(self._keep, is_watched=False):
            run(self.model, batch)

    def _keep(self, z):
        self._z = z
        return z

    def _call(self, call, args, kwargs):
        """Returns the output of a call, and its preactivations if they are floats."""
        self._z = None
        output = call(*args, **kwargs)
        z = self._z
        if z is None:
            z = output[0] if isinstance(output, (tuple, list)) else output
        is_float = ops.is_tensor(z) and "float" in keras.backend.standardize_dtype(z.dtype)
        return output, z if is_float else None

    def _choice(self, tapped, z, is_again):
        """Returns (mode, target, reason) for a call of a layer."""
        layer = tapped.layer
        reason = self._reason_to_skip(tapped, z, is_again)
        if reason:
            return "left alone", None, reason
        around = self.graph.surroundings(layer)
        if around.is_output:
            return "tensor", 1.0, "the output: made smaller if it is larger"
        if self.mode != "auto":
            mode = "unit" if self.mode == "equalized" else self.mode
            if mode != "tensor" and _layers.unit_shape(layer) is None:
                return "tensor", 1.0, "its units are spread over several axes"
            return mode, 1.0, "asked for"
        branch = around.branch
        if branch is not None and not branch.normalized and branch.is_last and not branch.is_zero:
            number = self.graph.num_branches
            return "tensor", 1.0 / number, f"the last of one of {number} branches"
        name = _activation_name(around.activation)
        if around.activation is not None:
            moments = _moments(around.activation)
            if moments is not None and moments.mean**2 > 0.5 * moments.second_moment:
                if self._bias(layer) is not None and _layers.unit_shape(layer) is not None:
                    return "centered", 1.0, f"the output of {name} is mostly its mean"
            if moments is not None and self._has_drawn_bias(layer):
                target = _critical_signal(around.activation)
                if target is not None:
                    return "tensor", target, f"the critical point of {name}, with its bias"
        return "tensor", 1.0, f"{name} follows"

    def _reason_to_skip(self, tapped, z, is_again):
        layer = tapped.layer
        weights = self._kernels(layer)
        if _layers.is_closed(layer):
            return "its kernels act in every step: `initialize` draws them"
        if is_again:
            return "shared: calibrated where it is called first"
        if z is None or not weights:
            return "its output is no float tensor"
        weight = weights[-1]
        if weight.role == "embedding":
            return "an embedding"
        if weight.skip:
            return weight.skip
        if id(weight.variable) not in self.chosen:
            return "not asked for"
        if weight.is_frozen and not self.frozen:
            return "frozen"
        if self.graph.surroundings(layer).normalized:
            return "a normalization follows"
        return None

    def _kernels(self, layer):
        of_layer = self.weights.get(id(layer), ())
        return [each for each in of_layer if each.kernel is not None and each.role != "lora"]

    def _bias(self, layer):
        weights = self.weights.get(id(layer), ())
        return next((each for each in weights if each.role == "bias"), None)

    def _has_drawn_bias(self, layer):
        bias = self._bias(layer)
        return bias is not None and bool(ops.convert_to_numpy(bias.variable).any())

    def _scale(self, tapped, z, mode, target):
        """Changes kernel and bias of a layer, returns the factor, `None` for a signal of zero."""
        layer = tapped.layer
        kernel = self._kernels(layer)[-1]
        bias = self._bias(layer)
        mean, square = np.float64(
            ops.convert_to_numpy(unit_moments(_units(layer, z[: self.num_calibrated])))
        )
        variance = np.maximum(square - mean**2, 0.0)
        if not square.mean() > 0:
            return None
        held = None
        if bias is not None and mode == "tensor":
            held = np.float64(ops.convert_to_numpy(bias.variable))
        is_output = self.graph.surroundings(layer).is_output
        if mode == "tensor":
            factor = _factor(mean, square, held, target)
            if is_output:
                factor = min(factor, 1.0)
            self._assign(kernel, factor)
            return factor
        if variance.mean() <= _ROUNDING * square.mean():
            return None
        if mode == "centered":
            factor = np.full_like(mean, math.sqrt(target / variance.mean()))
        else:
            spread = variance if bias is not None else square
            is_alive = spread > _ROUNDING * square.mean()
            factor = np.where(is_alive, np.sqrt(target / np.where(is_alive, spread, 1.0)), 1.0)
        self._assign(kernel, factor.reshape(_layers.unit_shape(layer)))
        if bias is not None:
            old = np.float64(ops.convert_to_numpy(bias.variable))
            self._set(bias, factor * (old - mean))
        return float(np.sqrt((factor**2).mean()))

    def _assign(self, weight, factor):
        self._set(weight, weight.variable.value * ops.cast(factor, weight.variable.dtype))

    def _set(self, weight, value):
        weight.variable.assign(ops.cast(value, weight.variable.dtype))
        self.changed[id(weight.variable)] = weight


def _units(layer, z):
    return by_unit(z, _layers.unit_axis(layer))


def _mean_square(moments):
    return float(ops.convert_to_numpy(moments)[1].mean())


def _factor(mean, square, bias, target):
    """Returns s such that s u + b has a second moment of `target`, where z = u + b."""
    total = square.mean()
    if bias is None or bias.size != mean.size or not bias.any():
        return math.sqrt(target / total)
    bias = bias.reshape(-1)
    mixed = (bias * (mean - bias)).mean()
    kernel_part = (square - 2 * bias * mean + bias**2).mean()
    rest = (bias**2).mean() - target
    root = mixed**2 - kernel_part * rest
    if kernel_part <= _ROUNDING * total or rest >= 0 or root < 0:
        return math.sqrt(target / total)
    return (-mixed + math.sqrt(root)) / kernel_part


def _moments(activation):
    try:
        return _gains.activation_moments(activation)
    except ValueError:
        return None


def _activation_name(activation):
    return "nothing" if activation is None else _gains.name_of(activation)


def _critical_signal(activation):
    """Returns the second moment that the critical point keeps, where it needs drawn biases."""
    try:
        point = critical_point(activation)
    except ValueError:
        return None
    return point.signal if point.bias_variance > 1e-3 else None


def _check_homogeneous(model, graph, weights):
    """Raises if the kernels of a model cannot be traded against each other."""
    kernels = [weight for weight in weights if weight.role == "kernel"]
    problem = None
    if graph.problem:
        problem = f"its graph could not be read ({graph.problem})"
    elif graph.normalized or graph.num_branches or len(kernels) != graph.depth:
        problem = "it is no plain chain of layers"
    else:
        points = np.linspace(-3, 3, 13)
        for weight in kernels:
            around = graph.surroundings(weight.layer)
            activation = around.activation
            if activation is None or around.is_output:
                continue
            if _moments(activation) is not None:
                function = _gains.numpy_function(activation)
                if np.allclose(function(2 * points), 2 * function(points), atol=1e-6):
                    continue
            problem = f"{_activation_name(activation)} follows {weight.layer.name!r}"
            break
    if problem:
        raise ValueError(
            'mode="equalized" should be for plain networks of relu and other activations with '
            f"f(2z) = 2 f(z). Received: model={model.name!r}: {problem}. "
            'Use mode="auto" instead.'
        )


def _equalize(model, batch, layers, weights, chosen):
    """Trades kernels against each other; the output stays as it is.

    In such a network a kernel times s makes every other kernel's gradient s times larger. Where
    the product of all factors is 1, the ratio of gradient to kernel thus falls by s² at each.
    """
    signal = measure(model, batch)
    by_path = {weight.path: weight for weight in weights.values()}
    kernels = [
        kernel
        for layer in signal.layers
        for kernel in layer.kernels
        if id(by_path[kernel.path].variable) in chosen and kernel.gradient
    ]
    if len(kernels) < 2:
        return layers
    ratios = np.log([kernel.gradient / kernel.norm for kernel in kernels])
    factors = dict(
        zip((k.path for k in kernels), np.exp((ratios - ratios.mean()) / 2), strict=True)
    )
    total, result = 1.0, []
    for layer, row in zip(signal.layers, layers, strict=True):
        weight = by_path[layer.kernels[-1].path]
        factor = factors.get(weight.path, 1.0)
        total *= factor
        weight.variable.assign(weight.variable.value * ops.cast(factor, weight.variable.dtype))
        for bias in weights.values():
            if bias.layer is weight.layer and bias.role == "bias":
                bias.variable.assign(bias.variable.value * ops.cast(total, bias.variable.dtype))
        result.append(
            CalibratedLayer(
                row.layer,
                "equalized" if row.mode != "left alone" else row.mode,
                row.target,
                (row.factor or 1.0) * factor,
                row.before,
                row.after * total**2,
                "its gradient over its norm is that of the others",
            )
        )
    return result
