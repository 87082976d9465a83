"""What the notebooks claim, as functions of the names that their cells leave behind.

Accuracies are held by margins that several seeds keep, on processors that round in other ways: a
deep network makes of the last digit of its weights some percent of its accuracy.
"""

import inspect

import numpy as np


def check(notebook, names):
    """Checks a notebook, given by its file's name, on what its cells have left in `names`."""
    for claim in CLAIMS[notebook]:
        claim(**{name: names[name] for name in inspect.signature(claim).parameters})


def trained_units(units, accuracy, nonzero):
    assert units == {"zeros": 0, "constant 0.1": 0, "he_normal": 31}
    assert accuracy["zeros"] < 0.15
    assert accuracy["constant 0.1"] + 0.2 < accuracy["he_normal"]
    assert nonzero[True] == 15 * 40
    assert nonzero[False] > 2000


def sizes(measured, variances, last, siren, features):
    for name, kernel in measured.items():
        assert abs(kernel.std() / variances[name] ** 0.5 - 1) < 0.03, name
    for default, scaled in last.values():
        assert default < 0.2
        assert 1 / 3 < scaled < 3
    assert last["gelu"][0] < 1e-5
    assert all(abs(siren[number] / siren[6] - 1) < 0.15 for number in siren)
    assert abs((features**2).sum(1) - 32).max() < 1e-3


def singular_values(spread, stretch, gates):
    assert spread["lecun_normal"][0] / spread["lecun_normal"][-1] > 1e6
    assert all(abs(spread[name] - 1).max() < 1e-4 for name in ("orthogonal", "Rotation"))
    held, fades = spread["NormalizedPositiveDefinite"][:2]
    assert abs(held - 1) < 1e-4
    assert fades < 0.5
    assert abs(stretch["delta_orthogonal"] - 1).max() < 1e-5
    assert stretch["glorot_uniform"].min() < 0.1 < 1.3 < stretch["glorot_uniform"].max()
    assert stretch["convolution_orthogonal"].max() < 1 + 1e-5
    assert stretch["convolution_orthogonal"].min() < 0.5
    assert abs(gates["PerGate"] - 1).max() < 1e-5
    assert abs(np.sqrt(np.mean(gates["orthogonal"] ** 2)) - 0.5) < 0.05


def images(handed_on, digit, angle, rough):
    assert np.allclose(handed_on, digit, atol=1e-6)
    assert angle["he_normal"][-1] < 20
    assert np.ptp(angle["looks_linear"]) < 0.1
    for kind, ours in (("shuffle", "icnr"), ("transposed", "bilinear")):
        assert rough[f"{kind}, {ours}"] < 1e-6 < 0.1 < rough[f"{kind}, glorot_uniform"]


def biases(steps, losses, entropy):
    assert 2 <= steps.min() < 5
    assert 95 < steps.max() <= 100
    assert np.mean(losses["class_prior"]) < 1.2 * entropy < 0.5 < np.mean(losses["zeros"])


def suggestions(kinds, accuracy, plan, applied, size):
    assert kinds == {
        "Dense relu": "HeNormal",
        "Dense linear": "GlorotUniform",
        "Dense relu, told": "Sparse",
        "block": "HeNormal",
    }
    assert accuracy["Keras's default"] + 0.2 < accuracy["suggested"]
    names = {path: type(initializer).__name__ for path, initializer in plan.items()}
    assert names["stem/kernel"] == "HeNormal"
    assert names["mixer/kernel"] == "Identity"
    assert names["narrow/kernel"] == "Zeros"
    assert names["memory/gru_cell/recurrent_kernel"] == "PerGate"
    by_path = {row.weight: row for row in applied.rows}
    assert by_path["mixer/kernel"].fan_in == 9
    assert by_path["narrow/kernel"].after == 0
    assert size["keras"][-1] < size["suggested"][-1]
    assert size["pytorch"][-1] < 0.1


def seeds_and_what_is_left_alone(first, again, unchanged, different, changed, result):
    assert all(np.array_equal(first[path], again[path]) for path in first)
    assert len(unchanged) == len(first)
    assert different
    assert changed == ["classes/kernel"]
    assert {row.weight for row in result.skipped} == {"stem/kernel", "stem/bias"}


def fixed_network(report, fixed, before, after):
    errors = {finding.rule for finding in report.findings if finding.severity == "error"}
    assert errors == {"samples_alike", "vanishing_gradient"}
    assert report.layers[-1].preactivation.cosine > 0.9999
    assert fixed.ok
    assert before < 0.2 < 0.7 < after


def not_the_weights(wrong_loss, refusal, accuracies, found, fitted, watch):
    assert [finding.rule for finding in wrong_loss.findings] == ["loss_mismatch"]
    assert "nothing of it in the weights" in refusal
    assert not any(found.values())
    assert accuracies["no softmax"] < 0.4 < 0.8 < accuracies["with softmax"]
    assert accuracies["a rate of 30"] < 0.4 < 0.8 < accuracies["all right"]
    assert accuracies["shuffled labels"] + 0.15 < fitted["shuffled labels"]
    sizes = [record["preactivation"] for record in watch.history]
    assert 0.1 < sizes[0] < 10
    assert not np.isfinite(sizes[-1])


def depth(reached, left, relu_reached, paired, chosen, cnn_reached):
    for name, by_depth in reached.items():
        assert by_depth[10] > 0.5, name
    for layers in (100, 1000):
        assert reached["Keras's default"][layers] + 0.2 < reached["suggested"][layers]
    assert left["Keras's default", 10][-1] < 1e-6
    assert left["suggested", 1000][-1] > 0.99
    others = max(relu_reached["Keras's default"], relu_reached["he_normal"])
    assert others + 0.1 < relu_reached["suggested"]
    assert paired == "Mirrored"
    assert chosen == "DeltaOrthogonal"
    assert cnn_reached["Keras's default"] < cnn_reached["suggested"]


def memory(kept, learned):
    last = {name: values[-1] for name, values in kept.items()}
    for name in ("LSTM, Keras's default", "relu, Keras's default"):
        assert last[name] < 1e-6, name
        assert learned[name] < 0.4, name
    for name in ("LSTM, ChronoBias", "relu, identity (IRNN)", "tanh, Keras's default"):
        assert last[name] > 0.01, name
        assert learned[name] > 0.5, name
    assert 1e-6 < last["LSTM, PerGate"] < last["LSTM, ChronoBias"]
    assert last["tanh, Rotation"] > 0.1


def saving(same, loaded, num_zeros, thin, results, digests, installed, equal):
    assert all(same.values())
    assert type(loaded["reader.keras"].get_layer("thin").kernel_initializer).__name__ == "Sparse"
    assert num_zeros >= round(0.8 * thin.shape[0]) * thin.shape[1]
    assert results["portable.keras"].startswith("loaded")
    assert "keras_winit" in results["reader.keras"]
    ours = {name: {each[name] for each in digests.values()} for name in digests[installed[0]]}
    keras_own = ours.pop("Keras's HeNormal")
    assert all(len(digest) == 1 for digest in ours.values())
    assert len(keras_own) == len(installed)
    assert equal


def one_learning_rate(factors, best, kept, checks):
    assert [*factors.values()] == [1, 1, *[1 / 16, 1] * 3]
    assert best["suggested", 1024] <= best["suggested", 64] / 2
    # The valley is flat: processors that round in other ways find another lowest place.
    assert 1 / 4 <= best["mup", 1024] / best["mup", 64] <= 4
    assert kept["mup"][1] < kept["suggested"][1]
    assert checks["mup"].ok
    assert not checks["suggested"].ok


CLAIMS = {
    "1_initializers": (trained_units, sizes, singular_values, images, biases),
    "2_suggest": (suggestions, seeds_and_what_is_left_alone),
    "3_diagnose": (fixed_network, not_the_weights),
    "4_depth": (depth,),
    "5_memory": (memory,),
    "6_saving": (saving,),
    "7_learning_rates": (one_learning_rate,),
}
