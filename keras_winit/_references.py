"""The works that initializers, decisions and rules are taken from: each once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A publication.

    Attributes:
        authors: Authors and year, and a title where they do not suffice to find it.
        address: Where it can be read, or an empty string.
    """

    authors: str
    address: str = ""

    def __str__(self):
        return f"{self.authors}, {self.address}" if self.address else self.authors

    def at(self, place):
        """Returns the text of a reference to one place in it, as `"section 2"`."""
        return f"{self.authors}, {place}, {self.address}"


def _arxiv(authors, number):
    return Reference(authors, f"https://arxiv.org/abs/{number}")


AUTOTRAINER = Reference(
    "Zhang et al., 2021, AUTOTRAINER", "https://doi.org/10.1109/ICSE43902.2021.00043"
)
BALDUZZI = _arxiv("Balduzzi et al., 2017", "1702.08591")
BROCK = _arxiv("Brock et al., 2021", "2101.08692")
DANESHMAND = _arxiv("Daneshmand et al., 2020", "2003.01652")
DAUPHIN = _arxiv("Dauphin et al., 2017", "1612.08083")
DEEP_CHECKER = _arxiv("Ben Braiek and Khomh, 2022, TheDeepChecker", "2204.00694")
DEEP_LEARNING = Reference(
    "Goodfellow et al., 2016, Deep Learning", "https://www.deeplearningbook.org"
)
DONG = _arxiv("Dong et al., 2021", "2103.03404")
FIXUP = _arxiv("Zhang et al., 2019", "1901.09321")
GIORLANDINO = _arxiv("Giorlandino and Goldt, 2025", "2505.24333")
GLOROT = Reference("Glorot and Bengio, 2010", "https://proceedings.mlr.press/v9/glorot10a.html")
GOYAL = _arxiv("Goyal et al., 2017", "1706.02677")
GPT2 = Reference(
    "Radford et al., 2019, Language models are unsupervised multitask learners, section 2.3"
)
HANIN = _arxiv("Hanin and Rolnick, 2018", "1803.01719")
HE = _arxiv("He et al., 2015", "1502.01852")
INUBUSHI = Reference("Inubushi and Yoshimura, 2017", "https://doi.org/10.1038/s41598-017-10257-6")
KARPATHY = Reference(
    "Karpathy, 2019, A recipe for training neural networks",
    "https://karpathy.github.io/2019/04/25/recipe/",
)
KORNBLITH = _arxiv("Kornblith et al., 2019", "1905.00414")
KOUTNIK = _arxiv("Koutník et al., 2014", "1402.3511")
KUNIN = _arxiv("Kunin et al., 2024, Get rich quick", "2406.06158")
LECUN = Reference(
    "LeCun et al., 1998, Efficient BackProp",
    "http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf",
)
LIN = _arxiv("Lin et al., 2017", "1708.02002")
LU = _arxiv("Lu et al., 2019", "1903.06733")
MICIKEVICIUS = _arxiv("Micikevicius et al., 2018", "1710.03740")
MIMETIC = _arxiv("Trockman and Kolter, 2023", "2305.09828")
NOCI = _arxiv("Noci et al., 2022", "2206.03126")
PASCANU = _arxiv("Pascanu et al., 2013", "1211.5063")
PENNINGTON = _arxiv("Pennington et al., 2017", "1711.04735")
ROBERTS = _arxiv("Roberts, Yaida and Hanin, 2022", "2106.10165")
SAXE = _arxiv("Saxe et al., 2014", "1312.6120")
SCHOENHOLZ = _arxiv("Schoenholz et al., 2017", "1611.01232")
SELU = _arxiv("Klambauer et al., 2017", "1706.02515")
SIREN = _arxiv("Sitzmann et al., 2020", "2006.09661")
SMITH = _arxiv("Smith, 2017, Cyclical learning rates", "1506.01186")
SRIVASTAVA = Reference(
    "Srivastava et al., 2014, Dropout", "https://jmlr.org/papers/v15/srivastava14a.html"
)
SZEGEDY = _arxiv("Szegedy et al., 2016", "1512.00567")
TALLEC = _arxiv("Tallec and Ollivier, 2018", "1804.11188")
TANCIK = _arxiv("Tancik et al., 2020", "2006.10739")
TORCH = Reference("PyTorch 2, torch.nn, reset_parameters of each module")
VAN_LAARHOVEN = _arxiv("van Laarhoven, 2017", "1706.05350")
VASWANI = _arxiv("Vaswani et al., 2017", "1706.03762")
WU = _arxiv("Wu et al., 2018", "1711.08141")
XIAO = _arxiv("Xiao et al., 2018", "1806.05393")
YANG = _arxiv("Yang et al., 2022, Tensor programs V", "2203.03466")
