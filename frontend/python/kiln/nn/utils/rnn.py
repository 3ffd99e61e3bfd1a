"""Sequences of several lengths: padded to one tensor, or packed step by step."""
import collections.abc
import itertools

from ... import _functions as K
from ... import _kiln
from ..._kiln import Tensor
from ..._make import as_tensor, tensor

_Fields = collections.namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices",
                                                    "unsorted_indices"])


class PackedSequence(_Fields):
    """data: the first step of all sequences, then the second of those that have one, ..;
    batch_sizes: how many each step has. Sequences stand longest first."""

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, *self[1:])

    def cpu(self):
        return self.to("cpu")

    def cuda(self, *args, **kwargs):
        return type(self)(self.data.cuda(*args, **kwargs), *self[1:])

    def pin_memory(self):
        return self

    def double(self):
        return self.to(_kiln.float64)

    def float(self):
        return self.to(_kiln.float32)

    def half(self):
        return self.to(_kiln.float16)

    def long(self):
        return self.to(_kiln.int64)

    def int(self):
        return self.to(_kiln.int32)

    def short(self):
        return self.to(_kiln.int16)

    def char(self):
        return self.to(_kiln.int8)

    def byte(self):
        return self.to(_kiln.uint8)

    @property
    def is_cuda(self):
        return self.data.is_cuda

    def is_pinned(self):
        return False


def invert_permutation(permutation):
    """Where each number stands in a permutation."""
    if permutation is None:
        return None
    order = permutation.tolist()
    back = [0] * len(order)
    for i, p in enumerate(order):
        back[p] = i
    return tensor(back, dtype=_kiln.int64)


def _to_packed(padded, batch_sizes):
    """[T, B, ..] to the rows of data."""
    batch = padded.size(1)
    rows = [t * batch + b for t, n in enumerate(batch_sizes.tolist()) for b in range(n)]
    return padded.flatten(0, 1).index_select(0, tensor(rows, dtype=_kiln.int64))


def _from_packed(data, batch_sizes, value=0.0, steps=None):
    """The rows of data to [T, B, ..] with value where there are none; and the lengths."""
    sizes = batch_sizes.tolist()
    batch = sizes[0]
    begin = [0, *itertools.accumulate(sizes)]
    none = begin[-1]
    rows = [begin[t] + b if b < n else none for t, n in enumerate(sizes) for b in range(batch)]
    rows += [none] * (batch * ((steps or 0) - len(sizes)))
    fill = K.full((1, *data.shape[1:]), value, dtype=data.dtype, device=data.device)
    padded = K.cat([data, fill]).index_select(0, tensor(rows, dtype=_kiln.int64))
    lengths = tensor([sum(b < n for n in sizes) for b in range(batch)], dtype=_kiln.int64)
    return padded.unflatten(0, (len(rows) // batch, batch)), lengths


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Padded sequences ([T, B, ..], or [B, T, ..] with batch_first) packed."""
    lengths = lengths.tolist() if isinstance(lengths, Tensor) else [int(n) for n in lengths]
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    order = None
    if not enforce_sorted:
        ranked = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        lengths = [lengths[i] for i in ranked]
        order = tensor(ranked, dtype=_kiln.int64)
        input = input.index_select(0 if batch_first else 1, order)
    x = input.transpose(0, 1) if batch_first else input
    if len(lengths) != x.size(1):
        raise RuntimeError("Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(lengths)} (batch_size={x.size(1)})")
    if any(a < b for a, b in zip(lengths, lengths[1:])):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when "
                           "`enforce_sorted` is True. You can pass `enforce_sorted=False` to "
                           "pack_padded_sequence and/or pack_sequence to sidestep this "
                           "requirement if you do not need ONNX exportability.")
    if lengths[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element "
                           "in 'lengths' that is <= 0")
    sizes = tensor([sum(n > t for n in lengths) for t in range(lengths[0])], dtype=_kiln.int64)
    return PackedSequence(_to_packed(x, sizes), sizes, order, None)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The reverse of pack_padded_sequence: padded, and the lengths."""
    longest = sequence.batch_sizes.size(0)
    if total_length is not None and total_length < longest:
        raise ValueError("Expected total_length to be at least the length of the longest sequence "
                         f"in input, but got total_length={total_length} and max sequence length "
                         f"being {longest}")
    x, lengths = _from_packed(sequence.data, sequence.batch_sizes, padding_value, total_length)
    x = x.transpose(0, 1) if batch_first else x
    back = sequence.unsorted_indices
    if back is None:
        return x, lengths
    return x.index_select(0 if batch_first else 1, back), lengths[back]


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Tensors [n, ..] as one, [T, B, ..]."""
    if not isinstance(sequences, collections.abc.Iterable):
        raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg of "
                           f"type: {type(sequences)}")
    sequences = list(sequences)
    longest = max(s.size(0) for s in sequences)
    padded = []
    for s in sequences:
        more = longest - s.size(0)
        fill = K.full((more, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
        padded.append(K.cat([s, fill] if padding_side == "right" else [fill, s]) if more else s)
    return K.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The reverse of pad_sequence, as a list."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [s[:n] for s, n in zip(x, lengths.tolist())]


def pack_sequence(sequences, enforce_sorted=True):
    """Tensors [n, ..] packed."""
    lengths = as_tensor([s.size(0) for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The reverse of pack_sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
