"""Whether `SignalMonitor` tells trainings that learn nothing, and is silent about those that learn.

The programs of `faults.py`, in a form that learns and with one fault at a time, are trained with a
monitor for 300 batches, those that learn to their end. Printed are, for each program in which
`no_learning` was found, after how many batches, its severity, the causes told with it, and the
skill: what was learned over what the twin without the fault has learned.

    KERAS_BACKEND=torch python benchmarks/no_learning.py [--seeds 0 1] [--only PART_OF_A_NAME]
"""

import argparse
import collections
import math

import faults

import keras_winit

ROW = "{:46} {:>6} {:>6}  {}"
BATCHES, EVERY = 300, 50
NOTHING, SICK = 0.1, faults.SICK


def trained(program, seed, is_healthy):
    """Returns the score of a program, and (step, `Finding`) of what its monitor found."""
    model, x, y = faults.written(program, seed)
    number = len(x) * 3 // 4
    shown = min(number, 256)
    monitor = keras_winit.SignalMonitor(x[:shown], y[:shown], every=EVERY)
    epochs = math.ceil(BATCHES / math.ceil(number / 32))
    epochs = max(epochs, program.epochs) if is_healthy else epochs
    model.fit(x[:number], y[:number], epochs=epochs, verbose=0, callbacks=[monitor])
    outputs = model.predict(x[number:], verbose=0)
    return faults.score(program, outputs, y[number:]), monitor.findings


def main(seeds, only):
    """Runs programs without a fault first: the others are compared with them."""
    healthy, counts = {}, collections.Counter()
    programs = [*faults.programs(), *faults.programs(is_held_out=True)]
    for name, program, fault, twin in sorted(programs, key=lambda each: each[2] is not None):
        if only not in name and fault is not None:
            continue
        for seed in seeds if fault is None else seeds[:1]:
            try:
                score, findings = trained(program, seed, fault is None)
            except ValueError:  # as `diagnose` refuses it too
                continue
            if fault is None:
                healthy.setdefault(name, score)
            skill = score / max(healthy[twin], 0.01)
            found = [(step, each) for step, each in findings if each.rule == "no_learning"]
            group = "without a fault"
            if fault is not None:
                group = "nothing" if skill < NOTHING else "less" if skill < SICK else "as much"
            counts[group, bool(found)] += 1
            if found or group == "nothing":
                causes = {each.rule for _, each in findings if each.causes == "no_learning"}
                step, first = found[0] if found else ("-", None)
                kind = "MISSED" if first is None else found[-1][1].severity
                told = f"{kind} {', '.join(sorted(causes))}"
                print(ROW.format(name, f"{skill:.2f}", step, told), flush=True)
    for group in ("without a fault", "as much", "less", "nothing"):
        number = counts[group, True] + counts[group, False]
        print(f"learned {group}: found in {counts[group, True]} of {number}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", default="", help="part of the names of programs with a fault")
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.only)
