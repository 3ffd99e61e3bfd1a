"""Laziness that cannot be observed: random programs run eagerly by NumPy and by kiln.

    python3 peer_programs.py [COUNT] [SEED]

A program makes arrays, takes views of views, writes in place through either side, imports and
exports memory, clones, detaches, tracks gradients, and reads, all in random order; after each
read, and at the end of everything alive, no bit may differ. A failure shrinks to the shortest
list of steps and is printed as steps of this file's interpreter."""
import random
import sys
import warnings

import numpy as np

import kiln

warnings.simplefilter("ignore")
DTYPES = ["float64", "float32", "int64"]


def generate(rng):
    """Steps: (name, operand numbers and constants). Operands are taken modulo what is alive."""
    steps = [("new", rng.randrange(3), rng.randrange(len(SHAPES)))]
    for _ in range(rng.randrange(4, 22)):
        name = rng.choices(list(OPS), [w for _, w in OPS.values()])[0]
        steps.append((name,) + tuple(rng.randrange(64) for _ in range(4)))
    return steps


SHAPES = [(6,), (4, 6), (2, 3, 4), (1,), (3, 1), (), (0, 3)]


class Slot:
    """The same value on both sides."""

    def __init__(self, a, t):
        self.a, self.t = a, t  # a shares memory in NumPy exactly as t does in kiln


class Run:
    def __init__(self):
        self.slots, self.made = [], 0

    def pick(self, i):
        return self.slots[i % len(self.slots)]

    def put(self, a, t):
        if a.size <= 64:
            self.slots.append(Slot(a, t))

    def check(self, s):
        got = s.t.detach().tolist()
        if not (got == s.a.tolist() and tuple(s.t.shape) == s.a.shape):
            raise Difference(f"{got} is {s.a.tolist()} in NumPy")


class Difference(Exception):
    pass


def number(run, i):
    run.made += 1
    return (i * 7 + run.made) % 11 - 5


def new(run, d, shape):
    shape, dtype = SHAPES[shape % len(SHAPES)], DTYPES[d % 3]
    n = int(np.prod(shape))
    a = np.array(np.arange(n).reshape(shape) * 3 - 4 + run.made, dtype)
    run.made += 1
    return a


def op_new(run, d, shape, *_):
    a = new(run, d, shape)
    run.put(a, kiln.tensor(a))


def op_import(run, d, shape, *_):
    a = new(run, d, shape)
    run.put(a, kiln.from_numpy(a))


def op_import_view(run, d, *_):
    a = new(run, d, 1)
    b = (a.T, a[1:3], a[:, ::2], a[..., 2])[d % 4]
    run.put(b, kiln.from_numpy(b))


def op_export(run, i, *_):
    s = run.pick(i)
    if not s.t.requires_grad:
        run.put(s.a, kiln.from_numpy(s.t.numpy()))


def op_select(run, i, j, *_):
    s = run.pick(i)
    if s.a.ndim and s.a.shape[0]:
        k = j % s.a.shape[0]
        run.put(s.a[k, ...], s.t[k])


def op_slice(run, i, j, k, step):
    s = run.pick(i)
    if s.a.ndim:
        axis, step = j % s.a.ndim, step % 3 + 1
        cut = (slice(None),) * axis + (slice(k % 3, None, step),)
        run.put(s.a[cut], s.t[cut])


def op_transpose(run, i, *_):
    s = run.pick(i)
    if s.a.ndim > 1:
        run.put(np.swapaxes(s.a, 0, -1), s.t.transpose(0, -1))


def op_unsqueeze(run, i, *_):
    s = run.pick(i)
    if s.a.ndim < 4:
        run.put(s.a[None], s.t[None])


def op_expand(run, i, *_):
    s = run.pick(i)
    if s.a.ndim < 4:
        run.slots.append(Slot(np.broadcast_to(s.a, (2,) + s.a.shape),
                              s.t.expand(2, *s.a.shape)))
        run.slots[-1].a.flags.writeable = False


def op_reshape(run, i, *_):
    """A view in both or a copy in both: their strides, and so what can be a view, may differ."""
    s = run.pick(i)
    a = s.a.reshape(-1)
    if not np.shares_memory(a, s.a):
        run.put(a, kiln.tensor(a))
        return
    try:
        run.put(a, s.t.view(-1))
    except RuntimeError:
        run.put(a.copy(), s.t.reshape(-1))


def op_clone(run, i, *_):
    s = run.pick(i)
    run.put(np.array(s.a), s.t.clone())


def op_detach(run, i, *_):
    s = run.pick(i)
    run.slots.append(Slot(s.a, s.t.detach()))


def op_alias(run, i, *_):
    run.slots.append(run.pick(i))


def op_out(run, i, j, kind, c):
    """A new value, lazily: what is written later must not be seen in it."""
    s, n = run.pick(i), number(run, c)
    with np.errstate(all="ignore"):
        a, t = ((s.a + n, s.t + n), (s.a * n, s.t * n), (s.a * -1, -s.t), (s.a - s.a, s.t - s.t),
                (np.maximum(s.a, 0), s.t.clamp(min=0)))[kind % 5]
    run.put(np.asarray(a, s.a.dtype), t)


def op_sum(run, i, j, *_):
    s = run.pick(i)
    if s.a.ndim:
        axis = j % s.a.ndim
        if s.a.dtype == np.int64:  # floats: the order of a sum is NumPy's own matter
            run.put(np.asarray(s.a.sum(axis)), s.t.sum(axis))


def op_two(run, i, j, kind, *_):
    s, r = run.pick(i), run.pick(j)
    if s.a.shape == r.a.shape and s.a.dtype == r.a.dtype:
        run.put(np.asarray(s.a + r.a if kind % 2 else s.a * r.a),
                s.t + r.t if kind % 2 else s.t * r.t)


def writable(s):
    """PyTorch refuses what NumPy does: writes to leaves that need gradients, to expanded."""
    return s.a.flags.writeable and not s.t.requires_grad


def op_inplace(run, i, j, kind, c):
    s, n = run.pick(i), number(run, c)
    if not writable(s):
        return
    if kind % 4 == 0:
        s.a += n
        s.t += n
    elif kind % 4 == 1:
        s.a *= n
        s.t.mul_(n)
    elif kind % 4 == 2:
        s.a[...] = n
        s.t.fill_(n)
    else:
        s.a *= -1  # not np.negative: NumPy 2.4's is wrong on some strides with AVX-512
        s.t.neg_()


def op_foreign(run, i, j, *_):
    """Code that knows nothing of kiln writes into exported memory."""
    s = run.pick(i)
    if writable(s):
        s.a += 1
        s.t.numpy()[...] += 1


def op_copy(run, i, j, *_):
    s, r = run.pick(i), run.pick(j)
    if writable(s) and s.a.shape == r.a.shape:
        with np.errstate(all="ignore"):
            s.a[...] = r.a.astype(s.a.dtype) if np.shares_memory(s.a, r.a) else r.a
        s.t.copy_(r.t.detach().clone() if np.shares_memory(s.a, r.a) else r.t.detach())


def op_setitem(run, i, j, k, c):
    s, n = run.pick(i), number(run, c)
    if writable(s) and s.a.ndim and s.a.shape[0]:
        at = j % s.a.shape[0]
        s.a[at] = n
        s.t[at] = n


def op_setslice(run, i, j, k, c):
    s, n = run.pick(i), number(run, c)
    if writable(s) and s.a.ndim:
        s.a[j % 2::k % 2 + 1] = n
        s.t[j % 2::k % 2 + 1] = n


def op_mask(run, i, *_):
    s = run.pick(i)
    if writable(s) and s.a.ndim:
        s.a[s.a > 0] = 2
        s.t[s.t > 0] = 2


def op_track(run, i, *_):
    """A copy that records: gradients must not disturb what is written elsewhere."""
    s = run.pick(i)
    if s.a.dtype != np.int64 and s.a.size:
        leaf = s.t.detach().clone().requires_grad_()
        (leaf * leaf).sum().backward()
        run.put(np.asarray(2 * s.a), leaf.grad)
        run.slots.append(Slot(np.array(s.a), leaf))


def op_read(run, i, *_):
    run.check(run.pick(i))


def op_drop(run, i, *_):
    if len(run.slots) > 1:
        del run.slots[i % len(run.slots)]


OPS = {"new": (op_new, 1), "import": (op_import, 2), "import_view": (op_import_view, 2),
       "export": (op_export, 2), "select": (op_select, 2), "slice": (op_slice, 3),
       "transpose": (op_transpose, 2), "unsqueeze": (op_unsqueeze, 1), "expand": (op_expand, 1),
       "reshape": (op_reshape, 2), "clone": (op_clone, 2), "detach": (op_detach, 1),
       "alias": (op_alias, 1), "out": (op_out, 4), "sum": (op_sum, 1), "two": (op_two, 2),
       "inplace": (op_inplace, 5), "foreign": (op_foreign, 2), "copy": (op_copy, 2),
       "setitem": (op_setitem, 2), "setslice": (op_setslice, 2), "mask": (op_mask, 1),
       "track": (op_track, 1), "read": (op_read, 3), "drop": (op_drop, 2)}


def execute(steps):
    """None, or what differed."""
    run = Run()
    try:
        for name, *args in steps:
            if run.slots or name == "new":
                OPS[name][0](run, *args)
        for s in run.slots:
            run.check(s)
    except Difference as e:
        return str(e)
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return None


def shrink(steps):
    """The shortest list that still differs, a step at a time."""
    i = len(steps)
    while i > 1:
        i -= 1
        fewer = steps[:i] + steps[i + 1:]
        if execute(fewer):
            steps, i = fewer, min(i, len(fewer))
    return steps


def many(count, seed):
    """How many programs ran, and failed; Ctrl-C ends it early."""
    failed = n = 0
    try:
        for n in range(count):
            steps = generate(random.Random(seed * 1_000_003 + n))
            if execute(steps):
                failed += 1
                steps = shrink(steps)
                print(f"program {n}: {execute(steps)}\n  " + "\n  ".join(map(str, steps)), flush=True)
                if failed == 5:
                    count = n + 1
                    break
    except KeyboardInterrupt:
        count = n
    return count, failed


def main():
    count, seed = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((1, 1000), (2, 1)))
    count, failed = many(count, seed)
    print(f"{count - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
