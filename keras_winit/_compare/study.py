"""Runs as the trials of a KerasTuner study, which resumes and spreads over machines."""

import contextvars
import json
import math
import sys
import tempfile
import time
import warnings
from pathlib import Path

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_winit._show.progress import tell

_IDLE_SECONDS = 0.02
_OBJECTIVE = "last_loss"


def run(wanted, train, directory, name):
    """Does the runs that a study lacks and returns the curves of all, or `None` on a worker.

    KerasTuner's environment variables decide whether this process runs them one after the other,
    assigns them to workers as their chief, or is one of these. A run that was finished is known
    by all that was asked of it, so a study may hold those of other arguments as well.

    Args:
        wanted: Dicts of strings and integers, each a run.
        train: Function of such a dict; returns a dict with lists of floats, one for each epoch,
            `"loss"` among them.
        directory: Folder of studies, or `None` for one that does not stay.
        name: Of this one, a folder in it.

    Raises:
        ValueError: If a file of the study is none.
        RuntimeError: If a run failed on a worker. What `train` raises here is raised.
    """
    if directory is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(wanted, train, folder, name)
    with warnings.catch_warnings():
        # KerasTuner 1.4 asks for the name of a thread in a way deprecated since Python 3.10.
        warnings.filterwarnings(
            "ignore", r"(currentThread|getName)\(\) is deprecated", DeprecationWarning
        )
        oracle = _Oracle(wanted)
        tuner = _Tuner(oracle, train, directory=str(directory), project_name=name)
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


class _Oracle(keras_tuner.Oracle):
    """Assigns the runs, to this process or to workers."""

    def __init__(self, wanted):
        objective = keras_tuner.Objective(_OBJECTIVE, "min")
        super().__init__(objective, max_consecutive_failed_trials=sys.maxsize)
        self.wanted = wanted
        self.verbose = 0
        # A chief hears of its workers in other threads, which do not know its line.
        self._context = contextvars.copy_context()

    @property
    def failed(self):
        return [trial for trial in self.trials.values() if trial.status == TrialStatus.FAILED]

    @property
    def missing(self):
        return [values for values in self.wanted if self.find(values) is None]

    def find(self, values):
        """Returns the finished trial of a run, or `None`."""
        for trial in self.trials.values():
            if trial.status == TrialStatus.COMPLETED and trial.hyperparameters.values == values:
                return trial
        return None

    def reload(self, folder):
        # From the trials alone, each of which has its file: a crash may have happened while any
        # file was being written, and the oracle's is rewritten with every trial.
        for path in sorted(folder.glob("trial_*/trial.json")):
            trial = _load(path)
            self.trials[trial.trial_id] = trial
        # KerasTuner gives a new trial the number of those that there are: one that was deleted
        # would have it replace another.
        numbers = [int(each) for each in self.trials if each.isdecimal()]
        for number in range(max(numbers, default=0)):
            trial_id = f"{number:04d}"
            self.trials.setdefault(trial_id, _invalid(trial_id))
        self._tell()

    def _tell(self):
        number = len(self.wanted)
        text = f"{number - len(self.missing)} of {number} runs done"
        self._context.run(tell, text)

    def populate_space(self, trial_id):
        if self.failed:
            return {"status": TrialStatus.STOPPED}
        ongoing = [trial.hyperparameters.values for trial in self.ongoing_trials.values()]
        for values in self.missing:
            if values not in ongoing:
                return {"status": TrialStatus.RUNNING, "values": dict(values)}
        # The chief should not wait for workers that have been sent home one by one.
        return {"status": TrialStatus.IDLE if ongoing else TrialStatus.STOPPED}

    @keras_tuner.synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        self._tell()


class _Tuner(BaseTuner):
    """Does the runs that are assigned."""

    def __init__(self, oracle, train, **where):
        super().__init__(oracle, **where)
        self.train, self.error, self._is_idle = train, None, False

    def pre_create_trial(self):
        if self._is_idle:
            time.sleep(_IDLE_SECONDS)
        self._is_idle = True

    def on_trial_begin(self, trial):
        self._is_idle = False

    def run_trial(self, trial):
        try:
            curves = self.train(trial.hyperparameters.values)
        except Exception as error:
            # Raised when the search has ended, so that the chief and other workers do too.
            self.error = error
            return {_OBJECTIVE: math.inf}
        return _as_metrics(curves)

    def on_trial_end(self, trial):
        if self.error is not None:
            trial.status = TrialStatus.FAILED
        super().on_trial_end(trial)

    def save(self):
        """Saves nothing, since the oracle has saved all there is."""

    def reload(self):
        """Loads nothing, for the same reason: a file that there may be is of another tuner."""


def _load(path):
    """Returns the trial of a file, an invalid one where it was not finished."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # not all of it was written
        return _invalid(path.parent.name.removeprefix("trial_"))
    except OSError as error:
        raise _no_trial(path, error) from error
    try:
        trial = Trial.from_state(state)
        trial.hyperparameters.values.items()
        if trial.status != TrialStatus.COMPLETED:
            return _invalid(trial.trial_id)
        _curves(trial)
        return trial
    except Exception as error:  # whatever is missing, or of another type
        raise _no_trial(path, error) from error


def _invalid(trial_id):
    return Trial(keras_tuner.HyperParameters(), trial_id, status=TrialStatus.INVALID)


def _no_trial(path, error):
    return ValueError(
        f"{str(path)!r} should be a file in which KerasTuner keeps a run. Received: "
        f"{type(error).__name__}: {error}. Delete {str(path.parent)!r} to have that run done "
        "again, or give another `directory`."
    )


def _as_metrics(curves):
    """Returns curves as the numbers with names that KerasTuner sends and saves.

    It has no place for no number, which becomes infinite.
    """
    metrics = {
        f"{name}/{epoch}": value if math.isfinite(value) else math.inf
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
