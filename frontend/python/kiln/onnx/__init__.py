"""ONNX models as callables, compiled by kiln. Needs no package beside it.

>>> model = kiln.onnx.load("model.onnx")            # doctest: +SKIP
>>> y = model(x)                                    # doctest: +SKIP
"""
import os
import sys
import warnings

from .. import _kiln

_flags = sys.getdlopenflags()
sys.setdlopenflags(_flags | getattr(os, "RTLD_DEEPBIND", 0))  # kiln._kiln's functions, nobody else's
try:
    from .. import _onnx
except ImportError as e:  # built without protobuf-c
    raise ImportError(f"kiln was built without its ONNX reader: {e}") from None
finally:
    sys.setdlopenflags(_flags)
from .._kiln import Tensor
from ._values import as_tensor

_PROGRAMS = 8  # for so many shapes of inputs, the oldest goes


class Port:
    """An input or output: name, ONNX element type, dtype, and shape, whose extents are numbers,
    names or None; None where nothing is known."""

    def __init__(self, name, type, dtype, shape):
        self.name, self.type, self.dtype, self.shape = name, type, dtype, shape

    def __repr__(self):
        return f"Port({self.name}: {self.dtype}{'' if self.shape is None else list(self.shape)})"


def first_line(e):
    return str(e).splitlines()[0] if str(e) else type(e).__name__


class Program:
    """A compiled model: outputs whose size elements decide are cut to their counts."""

    def __init__(self, program):
        self.program = program
        *_, self.dims, self.counts = _kiln._jit_about(program)

    def fits(self, ports, shapes):
        """Whether it is for inputs of these shapes."""
        known = {name: n for p, shape in zip(ports, shapes)
                 for name, n in zip(p.shape or (), shape) if isinstance(name, str)}
        return all(least <= known.get(name, least) <= most and known.get(name, by) % by == 0
                   for name, least, most, by in self.dims)

    def __call__(self, inputs):
        out = list(_kiln._jit_call(self.program, inputs))
        for count, of, axis in self.counts:
            out[of] = out[of].narrow(axis, 0, int(out[count].item()))
        return tuple(out[:len(out) - len(self.counts)])


class Model:
    """Called with inputs by position, in the graph's order, or by name: tensors, NumPy arrays,
    anything with a buffer. Gives a tensor, or a tuple where there are several outputs."""

    def __init__(self, model):
        self._model = model
        self._programs, self._sized, self._traced, self._notes = {}, None, True, []
        inputs, outputs = _onnx.about(model)
        self.inputs = [Port(*p) for p in inputs]
        self.outputs = [Port(*p) for p in outputs]

    def __repr__(self):
        return f"Model({', '.join(map(repr, self.inputs))})"

    def missing(self):
        """Operators of the model that kiln lacks, one a line; '' when all are there."""
        return _onnx.operators(self._model, True)

    def _arguments(self, args, named):
        names = [p.name for p in self.inputs]
        if len(args) > len(names):
            raise TypeError(f"{len(names)} inputs, but {len(args)} were given")
        given = dict(zip(names, args))
        for k, v in named.items():
            if k not in names:
                raise TypeError(f"there is no input '{k}'; inputs are {', '.join(names)}")
            if k in given:
                raise TypeError(f"input '{k}' is given twice")
            given[k] = v
        lacking = [k for k in names if k not in given]
        if lacking:
            raise TypeError(f"input '{lacking[0]}' is missing")
        return tuple(self._checked(p, as_tensor(given[p.name], p)) for p in self.inputs)

    def _checked(self, port, t):
        if port.dtype is not None and t.dtype != port.dtype:
            raise TypeError(f"input '{port.name}' is {port.dtype}, but got {t.dtype}")
        if port.shape is not None:
            fits = len(port.shape) == t.ndim and all(
                not isinstance(d, int) or d == n for d, n in zip(port.shape, t.shape))
            if not fits:
                raise ValueError(f"input '{port.name}' has shape {list(port.shape)}, but got "
                                 f"{list(t.shape)}")
        return t.detach().contiguous()

    def report(self):
        """How the model was run so far, and why not otherwise; a line each."""
        how = [f"{len(self._programs)} programs of one size each"] if self._programs else []
        how += ["a program of all sizes"] if self._sized else []
        return "\n".join(how + self._notes)

    def _note(self, text):
        """Said once: what a model's run costs that is not one program."""
        self._notes.append(text)
        warnings.warn(f"kiln.onnx: {text}", stacklevel=5)

    def _compile(self, inputs):
        """A program; where elements decide sizes, one with bounds and counts."""
        try:
            return Program(_onnx.compile(self._model, inputs, False))
        except Exception as e:
            try:
                return Program(_onnx.compile(self._model, inputs, True))
            except Exception:
                raise e from None

    def _open(self):
        """The program of all sizes, once a second size is met; None: there is none."""
        if self._sized is None:
            try:
                self._sized = self._compile(None)
            except Exception as e:  # the sizes decide more than extents
                self._sized = False
                self._note(f"a program for each size: {first_line(e)}")
        return self._sized or None

    def _program(self, inputs):
        key = tuple(tuple(t.shape) for t in inputs)
        program = self._programs.get(key)
        if program is None and self._programs:
            program = self._open()
            program = program if program and program.fits(self.inputs, key) else None
        if program is None:
            program = self._compile(inputs)
            if len(self._programs) == _PROGRAMS:
                del self._programs[next(iter(self._programs))]
            self._programs[key] = program
        return program

    def run(self, inputs):
        """The outputs of checked tensors, and their ONNX types."""
        why = None
        if self._traced:
            try:
                return self._program(inputs)(inputs), tuple(p.type for p in self.outputs)
            except Exception as e:  # elements decide more than sizes, or a call shows it too
                why = e
        out = _onnx.call(self._model, inputs)
        if why is not None:
            self._traced = False
            self._note(f"run node by node: {first_line(why)}")
        return out

    def __call__(self, *args, **named):
        out, _ = self.run(self._arguments(args, named))
        return out[0] if len(out) == 1 else out


def load(path_or_bytes, folder=None):
    """A model from a file, or from bytes (folder: where its external data lies)."""
    if isinstance(path_or_bytes, (str, os.PathLike)):
        return Model(_onnx.load(os.fspath(path_or_bytes)))
    return Model(_onnx.read("model", path_or_bytes, folder))
