import numpy as np
import pytest

from keras_winit._activations.last_state import (
    open_second_moment,
    remembering_second_moment,
    rnn_second_moment,
)


@pytest.mark.parametrize(("steps", "variance"), [(1, 0.5), (3, 0.02), (40, 0.02), (200, 1.5)])
def test_states_of_tanh_have_the_second_moment_of_many_units(steps, variance):
    rng = np.random.default_rng(0)
    units = 500
    states, _ = np.linalg.qr(rng.normal(size=(units, units)))
    state = np.zeros((40, units))
    for _ in range(steps):
        state = np.tanh(state @ states + np.sqrt(variance) * rng.normal(size=state.shape))
    # Four standard errors of a variance of normal numbers.
    error = 4 * np.sqrt(2 / state.size)
    assert (state**2).mean() == pytest.approx(rnn_second_moment(steps, variance), rel=error)


def test_states_that_remember_have_it_between_steps_that_are_alike_and_that_are_not():
    rng = np.random.default_rng(0)
    steps, variance = 30, 0.3
    remembered = rng.uniform(1, steps - 1, 4000)
    kept, added = remembered / (1 + remembered), 1 / (1 + remembered)
    alike = np.sqrt(variance) * rng.normal(size=4000)
    moments = []
    for is_alike in (True, False):
        state = np.zeros(4000)
        for _ in range(1000):
            z = alike if is_alike else np.sqrt(variance) * rng.normal(size=4000)
            state = kept * state + added * np.tanh(z)
        moments.append((state**2).mean())
    expected = np.sqrt(np.prod(moments))
    found = remembering_second_moment(steps, variance, 3)
    assert found == pytest.approx(expected, rel=0.1)
    # The output gate of an LSTM is half open.
    assert remembering_second_moment(steps, variance, 4) == pytest.approx(found / 4)


@pytest.mark.parametrize(
    ("steps", "variance", "bias"), [(1, 0.1, 1.0), (30, 0.03, 4.0), (6, 0.03, 2.0)]
)
@pytest.mark.parametrize("gates", [3, 4])
def test_states_of_open_units_have_it_too(steps, variance, bias, gates):
    rng = np.random.default_rng(0)
    units, opened = 500, 1 / (1 + np.exp(-bias))
    states, _ = np.linalg.qr(rng.normal(size=(units, units)))
    states /= opened**2
    state = inner = np.zeros((40, units))
    for _ in range(steps):
        z = np.sqrt(variance) * rng.normal(size=state.shape)
        if gates == 3:
            z += opened * state @ states
            state = (1 - opened) * state + opened * np.tanh(z)
        else:
            inner = (1 - opened) * inner + opened * np.tanh(z + state @ states)
            state = opened * np.tanh(inner)
    # What comes out of one tanh is taken for normal before the next.
    expected = open_second_moment(steps, variance, bias, gates)
    assert (state**2).mean() == pytest.approx(expected, rel=0.1)
