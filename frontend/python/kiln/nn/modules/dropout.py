"""Dropout: in training, some of the input is left out."""
from .. import functional as F
from .module import Module


class _Dropout(Module):
    fn = ""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input):
        return getattr(F, self.fn)(input, self.p, self.training, self.inplace)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training: zero with probability p, scaled up else."""

    fn = "dropout"


class Dropout1d(_Dropout):
    """Dropout of whole channels of [N, C, L]."""

    fn = "dropout1d"


class Dropout2d(_Dropout):
    """Dropout of whole channels of [N, C, H, W]."""

    fn = "dropout2d"


class Dropout3d(_Dropout):
    """Dropout of whole channels of [N, C, D, H, W]."""

    fn = "dropout3d"


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance after SELU."""

    fn = "alpha_dropout"


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels."""

    fn = "feature_alpha_dropout"
