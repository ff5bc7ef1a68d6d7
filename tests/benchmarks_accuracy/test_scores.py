import numpy as np
import pytest
from benchmarks.accuracy.scores import calibration_error, error_by_chance, score
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

CLASSES = np.array(["a", "b", "c"])
PROB = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.9, 0.05, 0.05]])
TRUTH = np.array(["a", "b", "b", "b", "a"])
LABELS = np.repeat(["a", "b", "c"], [50, 4, 5])


def test_scores_are_those_of_scikit_learn_over_the_classes_there_are():
    found = score(PROB, CLASSES, TRUTH, LABELS)
    calls = CLASSES[PROB.argmax(1)]
    assert found["accuracy"] == pytest.approx(0.8)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(TRUTH, calls))
    assert found["macro_f1"] == pytest.approx(f1_score(TRUTH, calls, labels=["a", "b"], average="macro"))
    assert found["nll"] == pytest.approx(log_loss(TRUTH, PROB, labels=CLASSES))
    assert found["brier"] == pytest.approx(np.mean([0.06, 0.14, 0.86, 0.38, 0.015]))
    assert found["few_f1"] == pytest.approx(0.8)  # b has 4 training cells; c has 5, but is not in the query


def test_rows_are_brought_to_sum_to_one():
    assert score(PROB * [[0.5], [1], [2], [1], [3]], CLASSES, TRUTH, LABELS) == score(PROB, CLASSES, TRUTH, LABELS)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    right = np.arange(1000) < 700
    assert calibration_error(np.full(1000, 0.9), right) == pytest.approx(0.2)
    assert calibration_error(np.full(1000, 0.7), right) == pytest.approx(0, abs=1e-12)
    mixed = np.r_[np.full(500, 0.5), np.full(500, 1.0)]
    assert calibration_error(mixed, np.r_[np.ones(500), np.zeros(500)] == 1) == pytest.approx(0.75)


def test_exact_probabilities_err_by_chance_the_less_the_more_cells_there_are():
    few, many = (error_by_chance(np.random.default_rng(0).uniform(0.4, 1, n)) for n in (100, 10_000))
    assert 0.05 < few < 0.15
    assert many < 0.02
    assert error_by_chance(np.ones(50)) == 0


@pytest.mark.parametrize("bad", [PROB[:, :2], PROB * np.nan, -PROB])
def test_what_cannot_be_probabilities_is_refused(bad):
    with pytest.raises(ValueError, match="Probabilities"):
        score(bad, CLASSES, TRUTH, LABELS)


def test_a_label_without_a_column_is_refused():
    with pytest.raises(ValueError, match="No column for c"):
        score(PROB[:, :2], CLASSES[:2], np.array(["a", "b", "c", "a", "b"]), LABELS)
