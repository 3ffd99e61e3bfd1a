"""Layers that move elements: flattening, pixels and channels, windows, sizes of images."""
from .. import functional as F
from .module import Module


class Flatten(Module):
    """Dimensions start_dim to end_dim as one."""

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input):
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several."""

    def __init__(self, dim, unflattened_size):
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError("unflattened_size must be a tuple of ints, but found type "
                            f"{type(unflattened_size).__name__}")
        for i, n in enumerate(unflattened_size):
            if not isinstance(n, int):
                raise TypeError("unflattened_size must be tuple of ints, but found element of "
                                f"type {type(n).__name__} at pos {i}")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input):
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self):
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _moving(name, fn, doc, **params):
    """A Module of settings that calls F's function fn with them."""
    names = list(params)
    defaults = {n: d for n, d in params.items() if d is not ...}

    def init(self, *args, **kwargs):
        Module.__init__(self)
        values = {**defaults, **dict(zip(names, args)), **kwargs}
        for n in names:
            if n not in values:
                raise TypeError(f"{name}.__init__() missing 1 required positional argument: "
                                f"'{n}'")
            setattr(self, n, values[n])

    def forward(self, input):
        return getattr(F, fn)(input, *(getattr(self, n) for n in names))

    return type(name, (Module,), {
        "__init__": init, "forward": forward, "__doc__": doc, "__module__": __name__,
        "extra_repr": lambda self: ", ".join(f"{n}={getattr(self, n)}" for n in names)})


PixelShuffle = _moving("PixelShuffle", "pixel_shuffle", "[N, C r^2, H, W] as [N, C, H r, W r].",
                       upscale_factor=...)
PixelUnshuffle = _moving("PixelUnshuffle", "pixel_unshuffle", "PixelShuffle's reverse.",
                         downscale_factor=...)
ChannelShuffle = _moving("ChannelShuffle", "channel_shuffle", "Channels of groups interleaved.",
                         groups=...)
Unfold = _moving("Unfold", "unfold", "Windows of [N, C, H, W] as columns.", kernel_size=...,
                 dilation=1, padding=0, stride=1)
Fold = _moving("Fold", "fold", "Columns summed into windows.", output_size=..., kernel_size=...,
               dilation=1, padding=0, stride=1)


class Upsample(Module):
    """Another number of pixels."""

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=None,
                 recompute_scale_factor=None):
        super().__init__()
        self.name, self.size = type(self).__name__, size
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(f) for f in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input):
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners,
                             recompute_scale_factor=self.recompute_scale_factor)

    def extra_repr(self):
        said = f"size={self.size!r}" if self.scale_factor is None \
            else f"scale_factor={self.scale_factor!r}"
        return f"{said}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Another number of pixels, by the nearest."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Another number of pixels, bilinear with aligned corners."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps over the last dimension."""

    def __init__(self, p=2.0, eps=1e-6, keepdim=False):
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1, x2):
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along dim."""

    def __init__(self, dim=1, eps=1e-8):
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1, x2):
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
