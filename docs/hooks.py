"""Writes what follows from the package: the catalogue, the rules, the list of initializers.

A comment `<!-- catalogue -->`, `<!-- catalogue of keras -->`, `<!-- rules -->` or
`<!-- initializers -->` in a page is replaced when the site is built.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
PICTURES = ("quickstart.png", "diagnosis.png")

# What each rule of `diagnose` measures, and where it speaks. The numbers are those of the code.
LIMITS = {
    "non_finite": "any weight, signal, loss or gradient that is infinite or not a number",
    "loss_mismatch": "softmax or sigmoid output with `from_logits=True`, or a linear output with "
    "`from_logits=False`",
    "input_not_standardized": "the second moment of the input is outside of "
    "{INPUT[warning][0]:g} to {INPUT[warning][1]:g} (warning), {INPUT[error][0]:g} to "
    "{INPUT[error][1]:g} (error)",
    "identical_units": "more than {REPEATED[warning]:.0%} (warning) or {REPEATED[error]:.0%} "
    "(error) of the units of a kernel share all of their weights with another unit",
    "twin_kernels": "a random kernel has the same values as an earlier one (warning)",
    "wrong_fan": "the signal vanishes or explodes, and the variance of a kernel is more than "
    "{WRONG_FAN:g} times off, by just what Keras miscounts",
    "dead_units": "more than {DEAD[warning]:.0%} (warning) or {DEAD[error]:.0%} (error) of the "
    "units give zero for every sample, beyond what chance explains",
    "saturated_units": "more than {SATURATED[error]:.0%} of the outputs of a layer are within "
    "1.5 % of the range from a bound of their activation (error)",
    "attention_logits": "the standard deviation of the logits over n keys is above √(2 log n) and "
    "above {LEAST_LOGITS:g} (error)",
    "tokens_alike": "the mean cosine of two tokens rises from at most 0.9 to above "
    "{COSINE[warning]:g} (warning) or {COSINE[error]:g} (error)",
    "samples_alike": "the mean cosine of two samples rises from at most 0.9 to above "
    "{COSINE[warning]:g} (warning) or {COSINE[error]:g} (error)",
    "vanishing_signal": "the second moment falls by more than {SIGNAL_LIMITS[warning]:g} (warning) "
    "or {SIGNAL_LIMITS[error]:g} times (error) from the first layer on, beyond what chance "
    "explains; with normalization only the error",
    "exploding_signal": "the second moment grows by more than {SIGNAL_LIMITS[warning]:g} (warning) "
    "or {SIGNAL_LIMITS[error]:g} times (error) from the first layer on, beyond what chance "
    "explains; with normalization only the error",
    "vanishing_gradient": "the gradient at the first layer has less than "
    "{VANISHING_GRADIENT[warning]:g} (warning) or {VANISHING_GRADIENT[error]:g} (error) of the "
    "norm at the last, beyond what chance explains; with normalization only the error",
    "exploding_gradient": "the gradient at the first layer has more than "
    "{EXPLODING_GRADIENT[warning]:g} (warning) or {EXPLODING_GRADIENT[error]:g} times (error) the "
    "norm at the last, beyond what chance explains; with normalization only the error",
    "mismatched_activation": "the signal vanishes or explodes, and kernels whose variance is more "
    "than {WRONG_FAN:g} times off what their activation asks for explain "
    "{SIGNAL_LIMITS[warning]:g} times of it (warning)",
    "class_prior": "the loss is more than {KNOWN_LOSS:g} above that of the best constant output; "
    "for a regression, more than {KNOWN_LOSS:.0%} of the loss of the output 0 (warning)",
    "initial_loss": "the loss exceeds that of an output that knows nothing, log(classes), by more "
    "than {EXCESS_LOSS:g} or log(classes), whichever is more (warning), or by 10 times that, "
    "beyond what chance explains (error)",
}


def on_files(files, config):
    """Adds the pictures of the examples, which the README shows as well."""
    from mkdocs.structure.files import File

    for name in PICTURES:
        path = str(ROOT / "examples" / name)
        files.append(File.generated(config, f"pictures/{name}", abs_src_path=path))
    return files


def on_page_markdown(markdown, **kwargs):
    return written(markdown)


def written(markdown):
    """Returns a page with its comments replaced."""
    for comment, write in WRITERS.items():
        if f"<!-- {comment} -->" in markdown:
            markdown = markdown.replace(f"<!-- {comment} -->", write())
    return markdown


def catalogue(origin="keras_winit"):
    """Returns a list of the initializers, the names of ours as links to what they take."""
    parts = []
    for entry in _package().catalogue():
        if entry.origin != origin:
            continue
        name = f"`{entry.name}`"
        if origin == "keras_winit":
            name = f"[{name}](api.md#keras_winit.initializers.{entry.name})"
        parts.append(
            f'**{name}** `"{entry.alias}"`\n\n:   Draws: {entry.formula}. When: {entry.when}. '
            f"[{entry.reference}]({entry.url})"
        )
    return "\n\n".join(parts)


def rules():
    """Returns a section for each rule of `diagnose`."""
    _package()
    from keras_winit import _rules

    numbers = {
        name: value
        for module, values in list(sys.modules.items())
        if module.startswith("keras_winit._rules")
        for name, value in vars(values).items()
    }
    return "\n\n".join(
        f"### {rule.__name__}\n\n{rule.reason}\n\n"
        f"- **Limit:** {_limit(rule.__name__).format_map(numbers)}.\n"
        f"- **What to do:** {rule.fix}\n"
        f"- **Source:** {_with_links(rule.reference)}."
        for rule in _rules.RULES
    )


def _limit(rule):
    if rule not in LIMITS:
        raise KeyError(f"Say in LIMITS of {__file__} where the rule {rule} speaks.")
    return LIMITS[rule]


def _with_links(reference):
    return re.sub(r"(https?://[^\s;,]+)", r"<\1>", reference)


def initializers():
    """Returns the directives that make mkdocstrings document each initializer."""
    names = sorted(entry.name for entry in _package().catalogue() if entry.origin == "keras_winit")
    return "\n\n".join(f"::: keras_winit.initializers.{name}" for name in names)


def _package():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on missing GPUs
    sys.path.insert(0, str(ROOT))
    try:
        import keras_winit
    finally:
        sys.path.pop(0)
    return keras_winit


WRITERS = {
    "catalogue": catalogue,
    "catalogue of keras": lambda: catalogue("keras"),
    "rules": rules,
    "initializers": initializers,
}
