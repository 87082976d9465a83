import dataclasses
import itertools
import json
import math

import numpy as np
import pytest

from keras_winit._compare.comparison import (
    Comparison,
    Run,
    default_metric,
    find_metric,
    is_better,
    is_higher_better,
)

NAN, INF = math.nan, math.inf


def comparison(accuracies, baseline="own", losses=None):
    """Returns a comparison of accuracies by initializer: the curve of every seed."""
    runs = [
        Run(
            initializer=label,
            seed=seed,
            curves={"loss": (losses or {}).get(label, (1.0,) * len(curve)), "acc": curve},
        )
        for label, curves in accuracies.items()
        for seed, curve in enumerate(curves)
    ]
    epochs = max(len(run.curves["acc"]) for run in runs)
    return Comparison(
        metric="acc", higher_is_better=True, baseline=baseline, epochs=epochs, runs=tuple(runs)
    )


def ends(**values):
    """Returns a comparison of accuracies after a single epoch."""
    return comparison({label: [(each,) for each in seeds] for label, seeds in values.items()})


GOOD = comparison(
    {
        "own": [(0.1, 0.1, 0.1), (0.1, 0.1, 0.2), (0.1, 0.1, 0.15)],
        "he": [(0.1, 0.2, 0.7), (0.3, 0.2, 0.9), (0.1, 0.1, 0.8)],
    }
)


def test_prints_as_a_table_with_the_best_first_and_the_verdict():
    assert repr(GOOD) == "\n".join(
        [
            "3 seeds, acc after epoch 3, higher is better",
            "initializer  acc (median)  lowest  highest  diverged  minus 'own'  seeds better"
            "  epochs to 'own'",
            "-----------  ------------  ------  -------  --------  -----------  ------------"
            "  ---------------",
            "he                    0.8     0.7      0.9         0         0.65             3"
            "                2",
            "own                  0.15     0.1      0.2         0            0             0"
            "                3",
            "'he' is better than 'own' beyond the spread between seeds, by 0.65 (median of the "
            "differences seed by seed).",
        ]
    )


def test_html_has_the_table_and_the_verdict_escaped():
    page = ends(**{"<own>": [0.1, 0.1, 0.1], "own": [0.2, 0.2, 0.2]})._repr_html_()
    assert page.startswith("<table><caption>3 seeds, acc after epoch 1, higher is better</caption>")
    assert page.endswith("<p>&#x27;own&#x27; is better than &#x27;&lt;own&gt;&#x27; beyond the "
                         "spread between seeds, by 0.1 (median of the differences seed by seed)."
                         "</p>")  # fmt: skip


def test_a_run_that_diverged_is_worse_than_any_other():
    found = ends(own=[0.1, 0.1, 0.1], he=[0.9, NAN, NAN])
    assert found.best == "own"
    row = "he                      -     0.9      0.9         2            -             1"
    assert row in repr(found)
    one_lost = ends(own=[0.1, 0.1, 0.1], he=[0.7, 0.9, NAN])
    assert (one_lost.best, one_lost.to_dict()["initializers"][0]["median"]) == ("he", 0.7)


@pytest.mark.parametrize("losses", [(1.0, NAN), (INF, 1.0), (1.0,)])
def test_a_run_has_diverged_if_its_loss_was_ever_no_finite_number(losses):
    found = comparison({"own": [(0.1, 0.1)], "he": [(0.5, 0.5)]}, losses={"he": losses})
    assert found.best == "own"
    assert found.to_dict()["initializers"][1]["diverged"] == 1


def test_lower_is_better_for_a_loss():
    runs = [
        Run(initializer=label, seed=0, curves={"loss": (loss,)})
        for label, loss in (("own", 2.0), ("he", -1.0))
    ]
    found = Comparison(
        metric="loss", higher_is_better=False, baseline="own", epochs=1, runs=tuple(runs)
    )
    assert found.best == "he"
    assert "lower is better" in repr(found)
    assert found.to_dict()["initializers"][0]["median"] == -1.0


def test_epochs_to_the_baseline_are_those_of_the_median_run():
    found = comparison(
        {
            "own": [(0.1, 0.2, 0.5), (0.1, 0.2, 0.5), (0.1, 0.2, 0.5)],
            "he": [(0.5, 0.1, 0.1), (0.1, 0.5, 0.9), (0.1, 0.1, 0.1)],
            "slow": [(0.0, 0.0, 0.0), (0.1, 0.9, 0.4), (0.1, 0.1, 0.4)],
        }
    )
    epochs = {row.initializer: row.epochs_to_baseline for row in found.rows}
    assert epochs == {"own": 3, "he": 2, "slow": None}


# fmt: off
@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"own": [1, 2, 3], "a": [2, 3, 4]},
         "No difference beyond the spread between seeds (3 seeds)."),
        # Apart, but by less than the range of the runs.
        ({"own": [1, 2, 3], "a": [4, 5, 6]},
         "No difference beyond the spread between seeds (3 seeds)."),
        ({"own": [1, 2, 3], "a": [5.5, 6, 7.5]},
         "'a' is better than 'own' beyond the spread between seeds, by 4.5 (median of the "
         "differences seed by seed)."),
        ({"own": [1, 2, 3], "a": [9, 9, 9], "b": [1, 1, 1], "c": [0, 9, 9], "d": [8, 9, 10]},
         "'a' is better than 'own' and 'b' beyond the spread between seeds, by 7 and 8 (median of "
         "the differences seed by seed); it cannot be distinguished from 'd' and 'c'."),
        # With four seeds by less than a quarter of the range, and by more.
        ({"own": [1, 2, 3, 5], "a": [6, 6, 8, 7]},
         "No difference beyond the spread between seeds (4 seeds)."),
        ({"own": [1, 2, 3, 4], "a": [5, 6, 8, 7]},
         "'a' is better than 'own' beyond the spread between seeds, by 4 (median of the "
         "differences seed by seed)."),
        # With five seeds it is enough that they are apart.
        ({"own": [1, 2, 3, 3, 3], "a": [4, 5, 6, 6, 6]},
         "'a' is better than 'own' beyond the spread between seeds, by 3 (median of the "
         "differences seed by seed)."),
        ({"own": [1, 2, 3, 3, 4], "a": [4, 5, 6, 6, 6]},
         "No difference beyond the spread between seeds (5 seeds)."),
        ({"own": [1, 1], "a": [9, 9]},
         "No verdict: with fewer than 3 seeds, a difference cannot be told from the spread between "
         "seeds."),
        ({"own": [1, 2, 3]}, "Only 'own' was run: there is nothing to compare it with."),
        ({"own": [NAN] * 3, "a": [9, 9, 8]},
         "'a' is better than 'own' beyond the spread between seeds."),
        ({"own": [NAN, 1, 1], "a": [9, 9, 8]},
         "'a' is better than 'own' beyond the spread between seeds, by 8 (median of the "
         "differences seed by seed)."),
        ({"own": [NAN] * 3, "a": [9, NAN, NAN]},
         "No initializer is good: of each, at least half of the runs diverged."),
    ],
)
# fmt: on
def test_verdict_is_as_the_runs_are(values, verdict):
    assert ends(**values).verdict == verdict


@pytest.mark.parametrize(("seeds", "number", "most"), [
    (3, 2, 0.01), (3, 3, 0.02), (3, 5, 0.05), (4, 2, 0.01), (4, 3, 0.02), (4, 5, 0.05),
    (5, 2, 0.01), (5, 3, 0.02), (5, 5, 0.05),
])  # fmt: skip
def test_equal_initializers_are_seldom_called_different(seeds, number, most):
    num_studies = 4000
    costs = np.random.default_rng(0).normal(size=(num_studies, number, seeds))
    wrong = 0
    for study in costs.tolist():
        best = min(study, key=np.median)
        wrong += any(is_better(best, other) for other in study if other is not best)
    assert wrong / num_studies < most + 4 * math.sqrt(most / num_studies)


def test_more_seeds_tell_more():
    # Apart by three standard deviations: 31, 62 and 77 % of studies of two initializers.
    told = []
    for seeds in (3, 4, 5):
        costs = np.random.default_rng(0).normal(size=(4000, 2, seeds))
        told.append(np.mean([is_better(best, other + 3) for best, other in costs]))
    assert told == pytest.approx([0.31, 0.62, 0.77], abs=0.03)


def test_differences_are_those_of_the_same_seeds():
    values = {"own": [0.1, 0.5, 0.9], "he": [0.2, 0.4, 1.0]}
    row = next(row for row in ends(**values).rows if row.initializer == "he")
    assert (row.difference, row.better) == (pytest.approx(0.1), 2)
    runs = ends(**values).runs
    found = Comparison(metric="acc", higher_is_better=True, baseline="own", epochs=1,
                       runs=runs[::-1][:3] + runs[:3])  # fmt: skip
    assert {each.difference for each in found.rows} == {row.difference, 0.0}
    lower = dataclasses.replace(found, higher_is_better=False)
    turned = next(row for row in lower.rows if row.initializer == "he")
    assert (turned.difference, turned.better) == (row.difference, 1)


def test_runs_that_diverged_with_the_same_seed_differ_by_nothing():
    found = ends(own=[NAN, NAN, 0.5], he=[NAN, NAN, 0.6])
    assert {(row.difference, row.better) for row in found.rows} == {(0.0, 1), (0.0, 0)}


def test_five_separate_seeds_of_two_equal_ones_are_as_rare_as_counting_says():
    orders = itertools.combinations(range(10), 5)
    told = [
        is_better(chosen, [each for each in range(10) if each not in chosen])
        for chosen in orders
    ]
    assert sum(told) == 1
    assert len(told) == math.comb(10, 5)


# fmt: off
@pytest.mark.parametrize(("metric", "higher"), [
    ("val_accuracy", True), ("sparse_top_k_categorical_accuracy", True), ("head_acc", True),
    ("auc_3", True), ("val_precision_at_recall", True), ("f1_score", True), ("r2_score", True),
    ("mean_io_u", True), ("loss", False), ("val_loss", False), ("head_loss", False),
    ("mean_squared_error", False), ("mse", False), ("val_sparse_categorical_crossentropy", False),
    ("squared_hinge", False), ("kl_divergence", False), ("cosine_similarity", None),
    ("my_metric", None), ("glossy", None),
])
# fmt: on
def test_the_name_of_a_metric_says_whether_higher_is_better(metric, higher):
    assert is_higher_better(metric) is higher


def test_a_metric_is_found_by_the_name_it_has_in_the_first_model_of_a_process():
    assert find_metric("auc", ["loss", "auc_12"]) == "auc_12"
    assert find_metric("auc", ["auc", "auc_1"]) == "auc"
    with pytest.raises(ValueError, match="one of 'auc_1', 'auc_2'. Received: metric='auc'"):
        find_metric("auc", ["auc_1", "auc_2"])


@pytest.mark.parametrize(("names", "metric"), [
    (["loss", "accuracy"], "accuracy"),
    (["loss", "accuracy", "val_loss", "val_sparse_categorical_accuracy"],
     "val_sparse_categorical_accuracy"),
    (["loss", "val_loss"], "val_loss"),
    (["loss", "auc"], "loss"),
    (["loss", "a_accuracy", "b_accuracy"], "loss"),
    (["loss", "accuracy", "val_loss"], "val_loss"),
])  # fmt: skip
def test_the_one_accuracy_is_compared_else_the_loss(names, metric):
    assert default_metric(names) == metric


def test_dict_holds_all_and_is_json():
    found = comparison({"own": [(0.1, 0.2)], "he": [(0.3, NAN)]})
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == {
        "metric": "acc",
        "higher_is_better": True,
        "baseline": "own",
        "epochs": 2,
        "best": "own",
        "verdict": found.verdict,
        "initializers": [
            {
                "initializer": "own",
                "median": 0.2,
                "lowest": 0.2,
                "highest": 0.2,
                "diverged": 0,
                "difference": 0.0,
                "better": 0,
                "epochs_to_baseline": 2,
            },
            {
                "initializer": "he",
                "median": None,
                "lowest": None,
                "highest": None,
                "diverged": 1,
                "difference": None,
                "better": 0,
                "epochs_to_baseline": 1,
            },
        ],
        "runs": [
            {
                "initializer": "own",
                "seed": 0,
                "value": 0.2,
                "curves": {"loss": [1.0, 1.0], "acc": [0.1, 0.2]},
            },
            {
                "initializer": "he",
                "seed": 0,
                "value": None,
                "curves": {"loss": [1.0, 1.0], "acc": [0.3, None]},
            },
        ],
    }


def test_plot_draws_the_median_and_the_range_of_the_seeds():
    ax = GOOD.plot()
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert list(drawn) == ["he", "own"]
    assert drawn["he"] == [[1, 0.1], [2, 0.2], [3, 0.8]]
    band = ax.collections[0].get_paths()[0].vertices.tolist()
    assert [3, 0.7] in band
    assert [3, 0.9] in band
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "acc")


def test_plot_draws_another_metric_on_the_axes_that_are_given():
    ax = GOOD.plot().figure.add_subplot()
    assert GOOD.plot("loss", ax=ax) is ax
    assert ax.get_ylabel() == "loss"
    with pytest.raises(ValueError, match="one of 'acc', 'loss'. Received: metric='accu'"):
        GOOD.plot("accu")


def test_plot_ends_where_most_runs_have_diverged_with_a_cross_for_each():
    losses = {"own": (1.0, 1.0, NAN), "he": (1.0, 1.0, 1.0)}
    found = comparison(
        {"own": [(0.1, 0.2), (0.1, NAN), (0.1,)], "he": [(0.1, 0.2, 0.3)] * 3}, losses=losses
    )
    lines = found.plot().lines
    own = next(line for line in lines if line.get_label() == "own")
    assert np.ma.compressed(own.get_ydata()).tolist() == [0.1]
    crosses = [line.get_xydata().tolist() for line in lines if line.get_marker() == "x"]
    assert crosses == [[[2, 0.2]], [[1, 0.1]], [[1, 0.1]]]


def test_where_some_runs_of_the_other_diverged_it_is_better_by_those_that_did_not():
    assert is_better([0.1, 0.1, 0.11], [0.9, INF, INF])
    assert not is_better([0.1, 0.1, 0.4], [0.5, INF, INF])  # within its own range
    assert is_better([0.1, 0.1, 0.4], [INF, INF, INF])
    assert not is_better([0.1, 0.1, INF], [0.9, INF, INF])
