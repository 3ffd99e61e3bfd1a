"""One process, three compilers' libraries: NumPy (OpenBLAS), numba (an LLVM of its own) and
libkiln.so (libLLVM, opened on the first compile).

    neighbours.py LIBKILN kiln|numba       which of the two compiles first

Both JIT, in turn, and both must be right; the LLVM of the one must not be the other's. After
that a child of fork() runs the kernel that is there and compiles another, on threads of its
own. While kiln compiles and runs, no mapping of the process may become both writable and
executable that was not so before.
"""
import ctypes
import os
import sys
import threading

import numpy as np

KL_INTS_MAX, ARG_TENSOR, F32 = 16, 1, 11  # as in kiln.h


class Ints(ctypes.Structure):
    _fields_ = [("n", ctypes.c_int), ("v", ctypes.c_int64 * KL_INTS_MAX)]


class Arg(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("t", ctypes.c_void_p), ("d", ctypes.c_double),
                ("i", ctypes.c_int64)]


class Kiln:
    def __init__(self, path):
        self.so = ctypes.CDLL(path)
        self.so.kl_error.restype = ctypes.c_char_p
        for name in ("kl_from_buffer_at", "kl_data_at", "kl_tanh_at", "kl_exp_at"):
            getattr(self.so, name).restype = ctypes.c_void_p

    def map(self, names, x):
        """f(g(..(x))) for functions of one operand."""
        so, n = self.so, x.size
        so.kl_scope_begin()
        t = so.kl_from_buffer_at(b"neighbours.py", x.ctypes.data_as(ctypes.c_void_p), F32,
                                 Ints(1, (ctypes.c_int64 * KL_INTS_MAX)(n)), None,
                                 ctypes.c_bool(True), None, None)
        for name in names:
            t = getattr(so, f"kl_{name}_at")(b"neighbours.py", Arg(ARG_TENSOR, t, 0, 0))
        p = so.kl_data_at(b"neighbours.py", ctypes.c_void_p(t))
        if not p:
            raise SystemExit(so.kl_error().decode())
        y = np.ctypeslib.as_array(ctypes.cast(p, ctypes.POINTER(ctypes.c_float)), (n,)).copy()
        so.kl_data_done(ctypes.c_void_p(t))
        so.kl_scope_end()
        return y


def both_ways():
    """Ranges of addresses that are writable and executable."""
    with open("/proc/self/maps") as f:
        return {line.split()[0] for line in f if line.split()[1].startswith("rwx")}


class Watch(threading.Thread):
    """Looks at the process's mappings until told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before, self.found, self.on, self.looks = both_ways(), set(), True, 0

    def run(self):
        while self.on:
            self.found |= both_ways() - self.before
            self.looks += 1


def check(what, got, want):
    if not np.allclose(got, want, rtol=2e-6, atol=1e-7):
        raise SystemExit(f"neighbours: {what}: {got[:4]} is not {want[:4]}")


def main(path, first):
    kiln = Kiln(path)
    x = np.linspace(-2, 2, 1 << 21, dtype=np.float32)
    want = np.tanh(np.exp(x))

    def use_kiln(names=("exp", "tanh"), want=want):
        watch = Watch()
        watch.start()
        check("kiln", kiln.map(names, x), want)
        watch.on = False
        watch.join()
        if watch.found or not watch.looks:
            raise SystemExit(f"neighbours: writable and executable: {watch.found}")

    def use_numba(k=1.0):
        import numba
        f = numba.njit(lambda v: np.tanh(np.exp(v)) * k)
        check("numba", f(x), want * k)

    steps = [use_kiln, use_numba] if first == "kiln" else [use_numba, use_kiln]
    for step in steps:
        step()
    use_kiln(("tanh", "exp"), np.exp(np.tanh(x)))  # both libraries are there: compile again
    use_numba(2.0)
    small = np.ones((64, 64), np.float32)
    check("NumPy", (small @ small)[0], np.full(64, 64, np.float32))
    child = os.fork()
    if child == 0:
        check("kiln in a child", kiln.map(("exp", "tanh"), x), want)
        check("kiln's compile in a child", kiln.map(("exp", "exp"), x), np.exp(np.exp(x)))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise SystemExit("neighbours: the child of fork() failed")
    check("kiln after fork", kiln.map(("exp", "tanh"), x), want)
    llvm = {line.split()[-1] for line in open("/proc/self/maps") if "LLVM" in line or "llvmlite" in line}
    if len(llvm) < 2:
        raise SystemExit(f"neighbours: two LLVMs were to be here, not {llvm}")


main(*sys.argv[1:])
