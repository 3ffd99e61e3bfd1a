"""A layer and the BatchNorm behind it as one layer, for evaluation."""
import copy

from ... import _functions as K
from ..parameter import Parameter


def _with_weights(layer, weight, bias):
    layer = copy.deepcopy(layer)
    layer.weight, layer.bias = weight, bias
    return layer


def _check_evaluated(first, bn):
    if first.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("Only support fusing BatchNorm2d with tracked running stats")


def _fused(weight, bias, mean, var, eps, scale, shift, shape):
    factor = (var + eps).rsqrt() * (1 if scale is None else scale)
    b = ((0 if bias is None else bias) - mean) * factor + (0 if shift is None else shift)
    b_grad = bias.requires_grad if bias is not None else False
    w = (weight * factor.reshape(shape)).detach().to(weight.dtype)
    return (Parameter(w, weight.requires_grad),
            Parameter(b.detach().to(weight.dtype if bias is None else bias.dtype), b_grad))


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """Weight and bias of a convolution that does what it and the BatchNorm behind it do."""
    shape = [-1, 1] + [1] * (conv_w.dim() - 2)
    shape = [1, -1] + shape[2:] if transpose else shape
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """A convolution that does what conv and bn do, both in evaluation."""
    _check_evaluated(conv, bn)
    return _with_weights(conv, *fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose))


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """Weight and bias of a linear layer that does what it and the BatchNorm behind it do."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def fuse_linear_bn_eval(linear, bn):
    """A linear layer that does what linear and bn do, both in evaluation."""
    _check_evaluated(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or "
                             "bn.num_features == 1")
    return _with_weights(linear, *fuse_linear_bn_weights(
        linear.weight, linear.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias))
