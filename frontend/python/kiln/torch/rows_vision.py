"""Rows of torchvision's operators over regions of images: samples between pixels, each a weighed
sum of the four around it."""
import kiln

from .rows import add, row, vjp


def _between(at, extent):
    """The pixels before and behind a place, and how much each of them counts; none outside."""
    inside = (at >= -1) & (at <= extent)
    at = at.clamp(0, extent - 1)
    low = at.detach().floor()
    share = at - low
    low = low.to(kiln.int64)
    return [(low, kiln.where(inside, 1 - share, 0.0)),
            ((low + 1).clamp(max=extent - 1), kiln.where(inside, share, 0.0))]


def _roi_align(x, rois, scale, high, wide, samples, aligned):
    if samples <= 0:
        raise NotImplementedError("as many samples as a region has pixels")
    n, c, h, w = x.shape
    start, end = (rois[:, a:a + 2] * scale - (0.5 if aligned else 0) for a in (1, 3))
    size = end - start if aligned else (end - start).clamp(min=1)

    def along(axis, bins):
        step = size[:, axis:axis + 1] / (bins * samples)
        return start[:, axis:axis + 1] + (kiln.arange(bins * samples) + 0.5).to(x.dtype) * step

    image = rois[:, 0].to(kiln.int64).reshape(-1, 1, 1)
    pixels, total = x.permute(0, 2, 3, 1).reshape(n * h * w, c), 0
    for row_, y_share in _between(along(1, high), h):
        for column, x_share in _between(along(0, wide), w):
            at = (image * h + row_.unsqueeze(2)) * w + column.unsqueeze(1)
            total = total + pixels[at] * (y_share.unsqueeze(2) * x_share.unsqueeze(1)).unsqueeze(3)
    total = total.reshape(-1, high, samples, wide, samples, c).mean((2, 4))
    return total.permute(0, 3, 1, 2)


add("torchvision.roi_align", _roi_align)


@row("torchvision._roi_align_backward")
def _roi_align_backward(g, rois, scale, high, wide, n, c, h, w, samples, aligned):
    x = kiln.zeros((n, c, h, w), dtype=g.dtype)
    return vjp(lambda x: _roi_align(x, rois, scale, high, wide, samples, aligned), (x,), g)[0]


def _corner(x, y_at, x_at):
    """Pixels of x [N,G,C,H,W] at whole places [N,G,P], zero outside."""
    n, g, c, h, w = x.shape
    inside = (y_at >= 0) & (y_at < h) & (x_at >= 0) & (x_at < w)
    at = (y_at.clamp(0, h - 1) * w + x_at.clamp(0, w - 1)).to(kiln.int64).unsqueeze(2)
    got = kiln.gather(x.reshape(n, g, c, h * w), 3, at.expand(n, g, c, at.shape[3]))
    return kiln.where(inside.unsqueeze(2), got, 0.0)


def _deform(x, w, offset, mask, bias, stride, padding, dilation, groups, offset_groups):
    n, c = x.shape[:2]
    out, per_group, *kernel = w.shape
    size = tuple(offset.shape[2:])
    points = kernel[0] * kernel[1]
    shift = offset.reshape(n, offset_groups, *kernel, 2, *size)

    def along(axis):
        tap = kiln.arange(kernel[axis]) * dilation[axis] - padding[axis]
        first = kiln.arange(size[axis]) * stride[axis]
        at = tap.reshape([-1, 1, 1, 1] if axis == 0 else [-1, 1, 1]) + \
            first.reshape([-1, 1] if axis == 0 else [-1])
        return (at.to(x.dtype) + shift[:, :, :, :, axis]).reshape(n, offset_groups, -1)

    ys, xs = along(0), along(1)
    groups_of = x.reshape(n, offset_groups, c // offset_groups, *x.shape[2:])
    y_low, x_low = ys.detach().floor(), xs.detach().floor()
    y_share, x_share = ys - y_low, xs - x_low
    total = 0
    for y_at, a in ((y_low, 1 - y_share), (y_low + 1, y_share)):
        for x_at, b in ((x_low, 1 - x_share), (x_low + 1, x_share)):
            total = total + _corner(groups_of, y_at, x_at) * (a * b).unsqueeze(2)
    if mask is not None:
        total = total * mask.reshape(n, offset_groups, 1, -1)
    columns = total.reshape(n, groups, per_group * points, size[0] * size[1])
    y = (w.reshape(groups, out // groups, per_group * points) @ columns).reshape(n, out, *size)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def _settings(numbers):
    pairs = [tuple(numbers[i:i + 2]) for i in (0, 2, 4)]
    return (*pairs, *numbers[6:8])


@row("torchvision.deform_conv2d")
def _deform_conv2d(x, w, offset, mask, bias, *numbers):
    return _deform(x, w, offset, mask if numbers[8] else None, bias, *_settings(numbers))


@row("torchvision._deform_conv2d_backward")
def _deform_conv2d_backward(g, x, w, offset, mask, bias, *numbers):
    def f(x, w, offset, mask, bias):
        return _deform(x, w, offset, mask if numbers[8] else None, bias, *_settings(numbers))

    return vjp(f, (x, w, offset, mask, bias), g)
