"""Runs as the trials of a KerasTuner study, which resumes and spreads over machines."""

import json
import math
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np

_IDLE_SECONDS = 0.02
_OBJECTIVE = "last_loss"


def run(wanted, train, directory, name, verbose):
    """Does the runs that a study lacks and returns the curves of all, or `None` on a worker.

    KerasTuner's environment variables decide whether this process runs them one after the other,
    hands them to workers as their chief, or is one of these. A run that was finished is known
    by all that was asked of it, so a study may hold those of other arguments as well.

    Args:
        wanted: Dicts of strings and integers, each a run.
        train: Function of such a dict; returns a dict with lists of floats, one for each epoch,
            `"loss"` among them.
        directory: Folder of studies.
        name: Of this one, a folder in it.
        verbose: Whether there is a progress bar.

    Raises:
        ImportError: If KerasTuner is not installed.
        ValueError: If a file of the study is none.
        RuntimeError: If a run failed on a worker. What `train` raises here is raised.
    """
    keras_tuner = _keras_tuner()
    with warnings.catch_warnings():
        # KerasTuner 1.4 asks for the name of a thread in a way deprecated since Python 3.10.
        warnings.filterwarnings(
            "ignore", r"(currentThread|getName)\(\) is deprecated", DeprecationWarning
        )
        oracle = _oracle(keras_tuner, wanted, verbose)
        tuner = _tuner(keras_tuner, oracle, train, directory, name)
        is_worker = tuner.oracle is not oracle
        if not is_worker:
            oracle.reload(Path(directory, name))
        tuner.search()
    if tuner.error is not None:
        raise tuner.error
    if is_worker:
        return None
    if oracle.failed:
        values = oracle.failed[0].hyperparameters.values
        raise RuntimeError(
            f"Initializer {values['initializer']!r} failed with seed {values['seed']} on a "
            "worker. Its output says why; what is finished is kept."
        )
    return [_curves(oracle.find(values)) for values in wanted]


def _keras_tuner():
    try:
        import keras_tuner
        import keras_tuner.engine.base_tuner
        import keras_tuner.engine.trial
    except ImportError as error:
        raise ImportError(
            '`compare` needs KerasTuner, which is not installed: pip install "keras-winit[tune]"'
        ) from error
    return keras_tuner


def _oracle(keras_tuner, wanted, verbose):
    """Returns what hands out the runs, to this process or to workers."""
    trial_module = keras_tuner.engine.trial
    status = trial_module.TrialStatus

    class Oracle(keras_tuner.Oracle):
        def __init__(self):
            super().__init__(
                keras_tuner.Objective(_OBJECTIVE, "min"), max_consecutive_failed_trials=sys.maxsize
            )
            self.verbose = 0
            self.progress = None

        @property
        def failed(self):
            return [trial for trial in self.trials.values() if trial.status == status.FAILED]

        @property
        def missing(self):
            return [values for values in wanted if self.find(values) is None]

        def find(self, values):
            """Returns the finished trial of a run, or `None`."""
            for trial in self.trials.values():
                if trial.status == status.COMPLETED and trial.hyperparameters.values == values:
                    return trial
            return None

        def reload(self, folder):
            # From the trials alone, each of which has its file: a crash may have happened while
            # any file was being written, and the oracle's is rewritten with every trial.
            for path in sorted(folder.glob("trial_*/trial.json")):
                trial = self._load(path)
                if trial.status != status.COMPLETED:
                    trial = self._invalid(trial.trial_id)
                self.trials[trial.trial_id] = trial
            # KerasTuner gives a new trial the number of those that there are: one that was
            # deleted would have it replace another.
            numbers = [int(each) for each in self.trials if each.isdecimal()]
            for number in range(max(numbers, default=0)):
                trial_id = f"{number:04d}"
                self.trials.setdefault(trial_id, self._invalid(trial_id))
            missing = len(self.missing)
            if missing:
                self.progress = keras.utils.Progbar(missing, unit_name="run", verbose=verbose)
                self.progress.update(0)

        def _invalid(self, trial_id):
            return trial_module.Trial(
                keras_tuner.HyperParameters(), trial_id, status=status.INVALID
            )

        def _load(self, path):
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:  # not all of it was written
                return self._invalid(path.parent.name.removeprefix("trial_"))
            except OSError as error:
                raise _no_trial(path, error) from error
            try:
                trial = trial_module.Trial.from_state(state)
                if trial.status == status.COMPLETED:
                    _curves(trial)
                trial.hyperparameters.values.items()
                return trial
            except Exception as error:  # whatever is missing, or of another type
                raise _no_trial(path, error) from error

        def populate_space(self, trial_id):
            if self.failed:
                return {"status": status.STOPPED}
            ongoing = [trial.hyperparameters.values for trial in self.ongoing_trials.values()]
            for values in self.missing:
                if values not in ongoing:
                    return {"status": status.RUNNING, "values": dict(values)}
            # The chief should not wait for workers that have been sent home one by one.
            return {"status": status.IDLE if ongoing else status.STOPPED}

        @keras_tuner.synchronized
        def end_trial(self, trial):
            super().end_trial(trial)
            self.progress.update(self.progress.target - len(self.missing))

    return Oracle()


def _tuner(keras_tuner, oracle, train, directory, name):
    """Returns what does the runs that are handed out."""
    failed = keras_tuner.engine.trial.TrialStatus.FAILED

    class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
        error = None
        _is_idle = False

        def pre_create_trial(self):
            if self._is_idle:
                time.sleep(_IDLE_SECONDS)
            self._is_idle = True

        def on_trial_begin(self, trial):
            self._is_idle = False

        def run_trial(self, trial):
            try:
                curves = train(trial.hyperparameters.values)
            except Exception as error:
                # Raised when the search has ended, so that the chief and other workers do too.
                self.error = error
                return {_OBJECTIVE: math.inf}
            return _as_metrics(curves)

        def on_trial_end(self, trial):
            if self.error is not None:
                trial.status = failed
            super().on_trial_end(trial)

        def save(self):
            """Saves nothing, since the oracle has saved all there is."""

        def reload(self):
            """Loads nothing, for the same reason: a file that there may be is of another tuner."""

    return Tuner(oracle, directory=str(directory), project_name=name)


def _no_trial(path, error):
    return ValueError(
        f"{str(path)!r} should be a file in which KerasTuner keeps a run. Received: "
        f"{type(error).__name__}: {error}. Delete {str(path.parent)!r} to have that run done "
        "again, or give another `directory`."
    )


def _as_metrics(curves):
    """Returns curves as the numbers with names that KerasTuner sends and saves.

    It has no place for no number, which becomes infinite, and sends single precision.
    """
    metrics = {
        f"{name}/{epoch}": float(np.float32(value)) if math.isfinite(value) else math.inf
        for name, values in curves.items()
        for epoch, value in enumerate(values, 1)
    }
    return {_OBJECTIVE: metrics[f"loss/{len(curves['loss'])}"], **metrics}


def _curves(trial):
    """Returns the curves of a trial, with NaN for what is not finite."""
    found = {}
    for key in trial.metrics.metrics:
        if key != _OBJECTIVE:
            name, _, epoch = key.rpartition("/")
            value = trial.metrics.get_last_value(key)
            found.setdefault(name, {})[int(epoch)] = value if math.isfinite(value) else math.nan
    return {
        name: [float(values[epoch]) for epoch in sorted(values)]
        for name, values in sorted(found.items())
    }
