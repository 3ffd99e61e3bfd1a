"""Recurrent layers and their cells."""
import math
import numbers
import warnings

from ... import _functions as K
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module

_CELLS = {"RNN_TANH": (0, 1), "RNN_RELU": (1, 1), "LSTM": (2, 4), "GRU": (3, 3)}  # kiln's number, gates


def _bounded(module):
    bound = 1.0 / math.sqrt(module.hidden_size) if module.hidden_size > 0 else 0
    for p in module.parameters():
        init.uniform_(p, -bound, bound)


class RNNBase(Module):
    """What RNN, LSTM and GRU share."""

    def __init__(self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False,
                 dropout=0.0, bidirectional=False, proj_size=0, device=None, dtype=None):
        super().__init__()
        self._check(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _CELLS:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        self._all_weights = []
        gates, out = _CELLS[mode][1] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * directions
            for suffix in ("", "_reverse")[:directions]:
                shapes = [("weight_ih", (gates, width)), ("weight_hh", (gates, out))]
                if bias:
                    shapes += [("bias_ih", (gates,)), ("bias_hh", (gates,))]
                if proj_size:
                    shapes.append(("weight_hr", (proj_size, hidden_size)))
                names = [f"{name}_l{layer}{suffix}" for name, _ in shapes]
                for name, (_, shape) in zip(names, shapes):
                    setattr(self, name, Parameter(K.empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(names)
        self.reset_parameters()

    @staticmethod
    def _check(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size):
        if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 \
                or isinstance(dropout, bool):
            raise ValueError("dropout should be a number in range [0, 1] representing the "
                             "probability of an element being zeroed")
        if dropout > 0 and num_layers == 1:
            warnings.warn("dropout option adds dropout after all but last recurrent layer, so "
                          "non-zero dropout expects num_layers greater than 1, but got "
                          f"dropout={dropout} and num_layers={num_layers}", stacklevel=4)
        for name, v in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(v, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(v).__name__}")
        for name, v in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(v, int):
                raise TypeError(f"{name} should be of type int, got: {type(v).__name__}")
            if v <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable "
                             "projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")

    def reset_parameters(self):
        _bounded(self)

    def flatten_parameters(self):
        """Parameters are as they should be."""

    @property
    def all_weights(self):
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self):
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self):
        return [w for layer in self.all_weights for w in layer]

    # ---- states ----

    def _sizes(self, batch):
        """What each state's shape has to be."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [(rows, batch, self.proj_size or self.hidden_size)]
        return sizes + [(rows, batch, self.hidden_size)] if self.mode == "LSTM" else sizes

    def _states(self, hx, input, batch, batched):
        """The given states as a list of 3-d ones, or zeros."""
        lstm = self.mode == "LSTM"
        if hx is None:
            return [K.zeros(*s, dtype=input.dtype, device=input.device)
                    for s in self._sizes(batch)]
        states = list(hx) if lstm else [hx]
        want, ranks = 3 if batched else 2, [s.dim() for s in states]
        if any(r != want for r in ranks):
            kind = f"{'' if batched else 'un'}batched {want}-D input"
            raise RuntimeError(
                f"For {kind}, hx and cx should also be {want}-D but got ({ranks[0]}-D, "
                f"{ranks[1]}-D) tensors" if lstm else
                f"For {kind}, hx should also be {want}-D but got {ranks[0]}-D tensor")
        states = states if batched else [s.unsqueeze(1) for s in states]
        for i, (s, size) in enumerate(zip(states, self._sizes(batch))):
            if tuple(s.shape) != size:
                raise RuntimeError(f"Expected hidden{f'[{i}]' if lstm else ''} size {size}, got "
                                   f"{list(s.shape)}")
        return states

    def _check_input(self, input, rank):
        if input.dtype != self.weight_ih_l0.dtype:
            dt, mine = input.dtype, self.weight_ih_l0.dtype
            raise ValueError(f"RNN input dtype ({dt}) does not match weight dtype ({mine}). "
                             f"Convert input: input.to({mine}), or convert model: model.to({dt})")
        if input.dim() != rank:
            raise RuntimeError(f"input must have {rank} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError("input.size(-1) must be equal to input_size. Expected "
                               f"{self.input_size}, got {input.size(-1)}")

    def _run(self, input, states, lengths=None):
        """input [T, N, I]: output and the list of last states."""
        h, c = (*states, None)[:2]
        out, *last = F._rnn(input, h, c, self._flat_weights, _CELLS[self.mode][0], self.bias,
                            self.num_layers, self.dropout, self.training, self.bidirectional,
                            self.proj_size > 0, lengths)
        return out, last

    def _given(self, states):
        return tuple(states) if self.mode == "LSTM" else states[0]

    def forward(self, input, hx=None):
        from ..utils.rnn import PackedSequence
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got "
                             f"{input.dim()}D {'' if self.mode[0] != 'R' else 'tensor '}instead")
        batched, axis = input.dim() == 3, 0 if self.batch_first else 1
        input = input if batched else input.unsqueeze(axis)
        self._check_input(input, 3)
        states = self._states(hx, input, input.size(axis), batched)
        out, last = self._run(input.transpose(0, 1) if self.batch_first else input, states)
        out = out.transpose(0, 1) if self.batch_first else out
        if not batched:
            out, last = out.squeeze(axis), [s.squeeze(1) for s in last]
        return out, self._given(last)

    def _packed(self, input, hx):
        from ..utils.rnn import PackedSequence, _from_packed, _to_packed
        data, sizes, order, back = input
        self._check_input(data, 2)
        states = self._states(hx, data, int(sizes[0]), True)
        if hx is not None and order is not None:
            states = [s.index_select(1, order) for s in states]
        padded, lengths = _from_packed(data, sizes)
        out, last = self._run(padded, states, lengths)
        if back is not None:
            last = [s.index_select(1, back) for s in last]
        return PackedSequence(_to_packed(out, sizes), sizes, order, back), self._given(last)

    def extra_repr(self):
        s = f"{self.input_size}, {self.hidden_size}"
        for name, default in (("proj_size", 0), ("num_layers", 1), ("bias", True),
                              ("batch_first", False), ("dropout", 0), ("bidirectional", False)):
            if getattr(self, name) != default:
                s += f", {name}={getattr(self, name)}"
        return s


class RNN(RNNBase):
    """h' = tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh."""

    def __init__(self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", *args,
                 **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or "
                             "'relu'.")
        super().__init__("RNN_" + nonlinearity.upper(), input_size, hidden_size, num_layers,
                         *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory: states h and c."""

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """The gated recurrent unit."""

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """One step; input [N, I] or [I]."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, like = num_chunks * hidden_size, dict(device=device, dtype=dtype)
        self.weight_ih = Parameter(K.empty(rows, input_size, **like))
        self.weight_hh = Parameter(K.empty(rows, hidden_size, **like))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(K.empty(rows, **like)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        _bounded(self)

    def extra_repr(self):
        s = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            s += f", nonlinearity={self.nonlinearity}"
        return s

    def _step(self, mode, input, states):
        """The new states; states: a list, or None for zeros."""
        name, n = self._get_name(), 2 if mode == "LSTM" else 1
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for i, s in enumerate(states or ()):
            if s.dim() not in (1, 2):
                what = f"hx[{i}]" if n == 2 else "hidden"
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {s.dim()}D instead")
        single = input.dim() == 1
        x = input.unsqueeze(0) if single else input
        if states is None:
            states = [K.zeros(x.size(0), self.hidden_size, dtype=x.dtype, device=x.device)] * n
        elif single:
            states = [s.unsqueeze(0) for s in states]
        new = F._rnn_cell(x, states[0], states[1] if n == 2 else None, self.weight_ih,
                          self.weight_hh, self.bias_ih, self.bias_hh, _CELLS[mode][0])
        new = new if n == 2 else (new,)
        return tuple(s.squeeze(0) for s in new) if single else tuple(new)


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None,
                 dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step("RNN_" + self.nonlinearity.upper(), input, hx if hx is None else [hx])[0]


class LSTMCell(RNNCellBase):
    """One step of LSTM."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step("LSTM", input, hx if hx is None else list(hx))


class GRUCell(RNNCellBase):
    """One step of GRU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step("GRU", input, hx if hx is None else [hx])[0]
