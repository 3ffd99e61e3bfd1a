"""How a tensor of PyTorch lies in memory, and how a program sees the same memory: dense, row-major.

    size (2, 3, 4), stride (12, 1, 3)   ->  memory (2, 4, 3), order (0, 2, 1)
    size (2, 3), stride (0, 1)          ->  memory (1, 3): an expanded dimension is kept once
    size (2, 3), stride (8, 1)          ->  memory (2, 8), of which a program reads (2, 3)"""
import functools
import math


class Layout:
    """order: the dimensions as they follow in memory; memory: their extents there."""

    def __init__(self, size, stride):
        self.size, self.stride = tuple(size), tuple(stride)
        n = len(self.size)
        kept = [1 if st == 0 else s for s, st in zip(self.size, self.stride)]
        # dimensions of extent 1 lie anywhere: they keep their neighbours' order
        self.order = tuple(sorted(range(n), key=lambda i: (-self._weight(i, kept), i)))
        self.memory = tuple(kept[i] for i in self.order)
        self.dense = self._dense(kept)
        self.expanded = tuple(i for i in range(n) if self.stride[i] == 0 and self.size[i] != 1)
        self.loose = not self.dense or bool(self.expanded)
        self.plain = not self.loose and self.order == tuple(range(n))

    def _dense(self, kept):
        dense, ok = 1, True
        for i in reversed(self.order if math.prod(self.size) else ()):
            if kept[i] != 1:
                ok &= self.stride[i] == dense
                dense *= kept[i]
        return ok

    def _gaps(self):
        """Extents of the memory with what lies between the elements, and how many of each are read;
        None: no such extents."""
        inner, padded = 1, []
        for i in reversed(self.order):
            if self.size[i] == 1 or self.stride[i] == 0:
                padded.append((1, 1))
                continue
            if self.stride[i] % inner:
                return None
            padded.append((self.stride[i] // inner, None))
            inner = self.stride[i]
        # an entry is the extent of what lies inside of its dimension
        memory, read, inside = [], [], 1
        for (gap, one), i in zip(padded, reversed(self.order)):
            if one:
                memory.append(1), read.append(1)
                continue
            if memory and any(r != 1 for r in read):
                k = next(k for k in reversed(range(len(read))) if read[k] != 1)
                if gap < read[k]:
                    return None
                memory[k] = gap
            else:
                inside = gap
            memory.append(self.size[i]), read.append(self.size[i])
        return tuple(reversed(memory)) + (inside,), tuple(reversed(read)) + (1,)

    def _weight(self, i, kept):
        if kept[i] != 1:
            return self.stride[i]
        later = [self.stride[k] for k in range(i + 1, len(kept)) if kept[k] != 1]
        return max(later, default=0)

    @property
    def span(self):
        """Elements from the first to the last."""
        if math.prod(self.size) == 0:
            return 0
        return 1 + sum((s - 1) * st for s, st in zip(self.size, self.stride))

    def shape_of_input(self):
        if self.dense:
            return self.memory
        gaps = self._gaps()
        return gaps[0] if gaps else (self.span,)

    def read(self, t):
        """The tensor, of kiln, over a program's input."""
        gaps = None if self.dense else self._gaps()
        if not self.dense and not gaps:
            return t.as_strided(self.size, self.stride)
        if gaps:
            for i, (a, b) in enumerate(zip(*gaps)):
                t = t if a == b else t.narrow(i, 0, b)
            t = t.squeeze(-1)
        if self.order != tuple(range(len(self.order))):
            back = [0] * len(self.order)
            for k, i in enumerate(self.order):
                back[i] = k
            t = t.permute(back)
        return t.expand(self.size) if self.expanded else t

    def write(self, t):
        """What a program gives for a tensor that is to lie so."""
        for i in self.expanded:
            t = t.narrow(i, 0, 1)
        return t if self.order == tuple(range(len(self.order))) else t.permute(self.order)

    def within_span(self):
        """The same of memory that is written to: what follows the last element may be nobody's."""
        return self if self.dense else Span(self.size, self.stride)

    def write_within(self, memory, t):
        """A program's input that has gaps, with t between them."""
        memory = memory.clone()
        self.read(memory).copy_(t)
        return memory


class Span(Layout):
    """From the first element to the last, of one extent."""

    def _gaps(self):
        return None


def contiguous(size):
    stride, dense = [], 1
    for s in reversed(size):
        stride.append(dense)
        dense *= max(s, 1)
    return tuple(reversed(stride))


layout = functools.lru_cache(maxsize=4096)(Layout)  # sizes and strides as tuples; most stand often
