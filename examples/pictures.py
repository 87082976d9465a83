"""How the pictures of the project look: one color for one initializer, on light pages and on dark.

Notebooks hold their part of the table, since they also run where this file is not.
"""

import matplotlib
from PIL import Image

# Colors of Okabe and Ito come first, which color-blind people can tell apart.
_NAMES = {
    "#d55e00": (
        "glorot_uniform",
        "glorot",
        "keras",
        "Keras default",
        "Keras's default",
        "Glorot, Keras's default",
        "as Keras starts it",
    ),
    "#0072b2": ("suggested", "initialize(model)", "after the fix"),
    "#e69f00": ("he", "he_normal", "He, suggested for relu", "suggest_initializer", "all weights"),
    "#56b4e9": ("lecun", "lecun_normal", "ChronoBias and PerGate"),
    "#009e73": ("orthogonal",),
    "#cc79a7": ("pytorch", "convolution_orthogonal", '"zero_last"'),
    "#000000": ("critical",),
    "#7f7f7f": ("random", "random_normal", "siren", "as few weights, narrow"),
    "#9467bd": ("activation_scaling", '"activation_scaling"'),
    "#6a3d9a": ("mup",),
    "#44aa99": ("PerGate", "95 % zeros"),
    "#882255": ("Rotation",),
    "#999933": ("NormalizedPositiveDefinite",),
    "#117733": ("delta_orthogonal",),
    "#aa4499": ("looks_linear", "identity (IRNN)"),
    "#332288": ("ChronoBias",),
}
COLORS = {name: color for color, names in _NAMES.items() for name in names}

# Nothing is behind a picture but the page, and this is as far from white as from a dark one.
GRAY = "#797979"
_GRAY_PARTS = (
    "text.color axes.edgecolor axes.labelcolor axes.titlecolor xtick.color ytick.color grid.color "
    "legend.edgecolor legend.labelcolor"
).split()
matplotlib.rcParams |= dict.fromkeys(_GRAY_PARTS, GRAY) | {"legend.facecolor": "none"}


def save(figure, path):
    """Writes a figure without a background, with 256 colors, which make a small file."""
    figure.savefig(path, dpi=100, transparent=True)
    with Image.open(path) as image:
        few = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    few.save(path, optimize=True)
    print(f"Wrote {path}")
