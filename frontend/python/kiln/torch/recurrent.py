"""recurrent.py: an LSTM's layers in the graph of a forward and backward pass, before it is cut in
two: PyTorch's own operator hands its derivative nothing but a workspace of its kernels, so that the
derivative would run the layer again. Here the layer gives what the derivative reads."""
import operator

import torch

from .rows import F, add, kiln

LIBRARY = torch.library.Library("kiln", "DEF")
WEIGHTS = "Tensor x, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, Tensor h, Tensor c"
LIBRARY.define(f"lstm({WEIGHTS}, bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
LIBRARY.define(f"lstm_backward({WEIGHTS}, Tensor y, Tensor gates, Tensor cs, Tensor? dy, Tensor? dh, "
               "Tensor? dc, bool reverse) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)")


def turned(t, reverse):
    return t.flip(0) if reverse else t


def lstm(x, w_ih, w_hh, b_ih, b_hh, h, c, reverse):
    states = (t.reshape(t.shape[-2:]) for t in (h, c))
    y, hn, cn, gates, cs = F._lstm_kept(turned(x, reverse), *states, w_ih, w_hh, b_ih, b_hh)
    return turned(y, reverse), hn.reshape(h.shape), cn.reshape(c.shape), gates, cs


def lstm_backward(x, w_ih, w_hh, b_ih, b_hh, h, c, y, gates, cs, dy, dh, dc, reverse):
    du = [kiln.zeros(tuple(t.shape), dtype=t.dtype) if d is None else d
          for t, d in ((y, dy), (h, dh), (c, dc))]
    x, y, du[0] = (turned(t, reverse) for t in (x, y, du[0]))
    h2, c2, du[1], du[2] = (t.reshape(t.shape[-2:]) for t in (h, c, du[1], du[2]))
    dx, *dw, dh, dc = F._lstm_back(x, h2, c2, w_ih, w_hh, b_ih, b_hh, y, gates, cs, *du)
    return turned(dx, reverse), *dw, dh.reshape(h.shape), dc.reshape(c.shape)


add("kiln.lstm", lstm)
add("kiln.lstm_backward", lstm_backward)


def one_layer(node):
    """Is it a layer as F._lstm_kept has them?"""
    if node.target is not torch.ops.aten.mkldnn_rnn_layer.default:
        return False
    batch_sizes, mode, _, layers, biases, both_ways, batch_first = node.args[8:15]
    return mode == 2 and layers == 1 and biases and not (batch_sizes or both_ways or batch_first)


def pick(graph, node, i):
    out = graph.call_function(operator.getitem, (node, i))
    out.meta["val"] = node.meta["val"][i]
    return out


def call(graph, target, args, like, values):
    node = graph.call_function(target, args)
    node.meta.update(like.meta)
    node.meta["val"] = values
    return node


def keep_gates(joint):
    """Replaces each layer and its derivative by ours."""
    graph = joint.graph
    for back in graph.find_nodes(op="call_function",
                                 target=torch.ops.aten.mkldnn_rnn_layer_backward.default):
        layer = back.args[-1].args[0]
        if not one_layer(layer):
            continue
        y = layer.meta["val"][0]
        gates = y.new_empty((*y.shape[:2], 4 * y.shape[2]))
        with graph.inserting_before(layer):
            ours = call(graph, torch.ops.kiln.lstm.default, layer.args[:8], layer,
                        (*layer.meta["val"][:3], gates, torch.empty_like(y)))
            kept = [pick(graph, ours, i) for i in (3, 4)]
        with graph.inserting_before(back):
            args = (*back.args[:8], *kept, *back.args[10:14])
            derivative = call(graph, torch.ops.kiln.lstm_backward.default, args, back,
                              back.meta["val"])
        workspace = back.args[-1]
        back.replace_all_uses_with(derivative)
        graph.erase_node(back)
        graph.erase_node(workspace)
        layer.replace_all_uses_with(ours)
        graph.erase_node(layer)
    joint.recompile()
