"""recurrent.py: recurrent layers as one operator each, where PyTorch's graphs have other forms.

An LSTM's in the graph of a forward and backward pass, before it is cut in two: PyTorch's own
operator hands its derivative nothing but a workspace of its kernels, so that the derivative would
run the layer again. Here the layer gives what the derivative reads. And layers that PyTorch writes
out, step by step: at the end of this file."""
import contextlib
import operator

import torch
from torch._decomp import decompositions

from .rows import F, add, kiln, vjp
from .rows_nn import _layer

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


# ---- layers that PyTorch would write out step by step ----
# It does so with those whose input needs a gradient, that are no LSTM, or not of float32: thousands
# of nodes, and a program for each length.
LAYER = "Tensor x, Tensor h, Tensor? c, Tensor[] weights, int mode, bool reverse"
LIBRARY.define(f"layer({LAYER}) -> (Tensor, Tensor, Tensor)")
LIBRARY.define(f"layer_backward({LAYER}, Tensor dy, Tensor dh, Tensor dc) -> Tensor[]")
TANH, LSTM, GRU = 1, 2, 3  # PyTorch's numbers of cells; 0: ReLU
_written_out = {n: getattr(decompositions, n) for n in ("one_layer_rnn", "one_layer_lstm")}


def layer(x, h, c, weights, mode, reverse):
    return _layer(x, weights, h, h if c is None else c, reverse, mode, len(weights) == 4)


def layer_backward(x, h, c, weights, mode, reverse, dy, dh, dc):
    def f(x, h, *rest):
        y, hn, cn = layer(x, h, rest[0] if mode == LSTM else None, rest[mode == LSTM:], mode,
                          reverse)
        total = (y * dy).sum() + (hn * dh).sum()
        return total + (cn * dc).sum() if mode == LSTM else total

    given = (x, h, *([c] if mode == LSTM else []), *weights)
    return vjp(f, given, kiln.ones((), dtype=x.dtype))


add("kiln.layer", layer)
add("kiln.layer_backward", layer_backward)


def _steps(x, h, c, weights, mode, reverse):
    """The layer by PyTorch's operators."""
    biases = len(weights) == 4
    if mode == LSTM:
        y, (hn, cn) = _written_out["one_layer_lstm"](x, (h, c), weights, biases, reverse)
        return y, hn, cn
    cell = decompositions.gru_cell if mode == GRU else \
        decompositions.rnn_cell(torch.tanh if mode == TANH else torch.relu)
    y, hn = _written_out["one_layer_rnn"](x, h, weights, biases, cell, reverse)
    return y, hn, hn.clone()


def _steps_backward(x, h, c, weights, mode, reverse, dy, dh, dc):
    given = [t.detach().requires_grad_() for t in (x, h, *([c] if mode == LSTM else []), *weights)]
    with torch.enable_grad():
        out = _steps(*given[:2], given[2] if mode == LSTM else None, given[2 + (mode == LSTM):],
                     mode, reverse)
        n = 3 if mode == LSTM else 2
        return list(torch.autograd.grad(out[:n], given, (dy, dh, dc)[:n]))


LIBRARY.impl("layer", _steps, "CPU")
LIBRARY.impl("layer_backward", _steps_backward, "CPU")


@torch.library.register_fake("kiln::layer", lib=LIBRARY)
def _(x, h, c, weights, mode, reverse):
    return x.new_empty((x.shape[0], *h.shape)), torch.empty_like(h), torch.empty_like(h)


@torch.library.register_fake("kiln::layer_backward", lib=LIBRARY)
def _(x, h, c, weights, mode, reverse, dy, dh, dc):
    return [torch.empty_like(t, memory_format=torch.contiguous_format)
            for t in (x, h, *([c] if mode == LSTM else []), *weights)]


def _save(ctx, inputs, output):
    x, h, c, weights, ctx.mode, ctx.reverse = inputs
    ctx.save_for_backward(x, h, *([] if c is None else [c]), *weights)


def _derivative(ctx, dy, dh, dc):
    x, h, *rest = ctx.saved_tensors
    c, weights = (rest[0], rest[1:]) if ctx.mode == LSTM else (None, rest)
    d = torch.ops.kiln.layer_backward(x, h, c, weights, ctx.mode, ctx.reverse, dy, dh, dc)
    states = 3 if ctx.mode == LSTM else 2
    return (*d[:states], *[None] * (3 - states), d[states:], None, None)


torch.library.register_autograd("kiln::layer", _derivative, setup_context=_save, lib=LIBRARY)


def _one_rnn(x, h, params, has_biases, hidden_fn, reverse=False):
    mode = GRU if hidden_fn is decompositions.gru_cell else \
        int(hidden_fn.__closure__[0].cell_contents is torch.tanh)
    return torch.ops.kiln.layer(x, h, None, list(params), mode, reverse)[:2]


def _one_lstm(x, hidden, params, has_biases, reverse=False):
    if len(params) != (4 if has_biases else 2):  # with projections
        return _written_out["one_layer_lstm"](x, hidden, params, has_biases, reverse)
    y, *last = torch.ops.kiln.layer(x, *hidden, list(params), LSTM, reverse)
    return y, tuple(last)


@contextlib.contextmanager
def whole_layers():
    """While it is open, PyTorch's decompositions leave a layer whole."""
    decompositions.one_layer_rnn, decompositions.one_layer_lstm = _one_rnn, _one_lstm
    try:
        yield
    finally:
        for name, f in _written_out.items():
            setattr(decompositions, name, f)
