"""torch.export's programs as kiln's: a .kl file with its weights beside it, named as in the module,
which kilnc compiles to an object that needs neither PyTorch nor kiln."""
import torch
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils._python_dispatch import _disable_current_modes

from .. import _kiln, from_dlpack
from ..jit import TracedFunction
from .backend import decompositions
from .graph import (Refused, Tracer, is_host, is_native_dtype, is_tensor, new_sizes, place_of,
                    target_name, value_of)
from .names import dtype_of
from . import rows

GIVEN = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def export(module, args, path=None, kwargs=None, *, dynamic_shapes=None):
    """module(*args, **kwargs) as a program, written to path (ending in .kl, weights in .safetensors
    beside it) if that is given. dynamic_shapes: torch.export's; such an extent becomes a dimension
    of the program. Every operation must have a row: NotImplementedError names those that have none.
    Returns it, to be called with kiln's tensors."""
    ep = torch.export.export(module, tuple(args), kwargs, dynamic_shapes=dynamic_shapes)
    ep = ep.run_decompositions(dict(decompositions()))
    with _disable_current_modes(), torch.no_grad():
        f = Exported(ep).program()
    if path is not None:
        f.save(path)
    return f


class Exported:
    """An exported program's graph, its weights, and what it takes and gives."""

    def __init__(self, ep):
        self.graph = ep.graph_module.graph
        self.weights, self.inputs = {}, []
        nodes = [n for n in self.graph.nodes if n.op == "placeholder"]
        for spec, n in zip(ep.graph_signature.input_specs, nodes):
            if spec.kind in GIVEN:
                t = ep.state_dict.get(spec.target, ep.constants.get(spec.target))
                self.weights[n] = (spec.target, t)
            elif is_tensor(n):
                self.inputs.append(n)
            else:
                raise NotImplementedError(f"kiln.torch.export: the argument {n.name} is no tensor")
        self.results = self.results_of(ep)
        self.check()
        self.symbols = {}
        for n in self.inputs:
            for s in value_of(n).shape:
                if isinstance(s, torch.SymInt):
                    self.symbols.setdefault(s.node.expr, len(self.symbols))

    def results_of(self, ep):
        results = []
        for spec, n in zip(ep.graph_signature.output_specs, self.graph.output_node().args[0]):
            if spec.kind != OutputKind.USER_OUTPUT:
                raise NotImplementedError(f"kiln.torch.export: the module writes to {spec.target}; "
                                          "export it after .eval()")
            if not isinstance(n, torch.fx.Node) or is_host(n):
                raise NotImplementedError(f"kiln.torch.export: a result is {n}, no tensor")
            results.append(n)
        return results

    def check(self):
        """Every operation that is not there, at once."""
        lacking = {}
        for n in self.graph.nodes:
            if n.op == "call_function" and not is_host(n) and rows.find(n.target) is None and \
                    target_name(n) != "getitem":
                lacking.setdefault(target_name(n), place_of(n))
            elif n.op == "call_function" and (not is_native_dtype(n) or new_sizes(n)):
                lacking.setdefault(f"{target_name(n)} giving what kiln has not", place_of(n))
        if lacking:
            raise NotImplementedError("kiln.torch.export: not there: " + ", ".join(
                f"{op} (at {at})" if at else op for op, at in lacking.items()))

    def shape_of(self, node):
        shape = []
        for s in value_of(node).shape:
            if isinstance(s, torch.SymInt) and not s.node.expr.is_Symbol:
                raise NotImplementedError(f"kiln.torch.export: {node.name}'s extent {s.node.expr}")
            shape.append(-1 - self.symbols[s.node.expr] if isinstance(s, torch.SymInt) else s)
        return tuple(shape)

    def dimensions(self):
        if not self.symbols:
            return ()
        env = next(s.node.shape_env for n in self.inputs for s in value_of(n).shape
                   if isinstance(s, torch.SymInt))
        most = 2 ** 31 - 1
        r = [(str(s), env.var_to_range[s]) for s in self.symbols]
        return tuple((name, max(int(v.lower), 1),
                      int(v.upper) if v.upper.is_Integer and v.upper < most else most)
                     for name, v in r)

    def trace(self, *tensors):
        known = {}
        for n, t in zip(self.inputs, tensors):
            known.update((s.node.expr, d) for s, d in zip(value_of(n).shape, t.shape)
                         if isinstance(s, torch.SymInt))
        tracer = Tracer(known)
        tracer.env.update(zip(self.inputs, tensors))
        tracer.env.update(self.held)
        for n in self.graph.nodes:
            if n.op in ("call_function", "get_attr") and not is_host(n):
                tracer.run(n)
        return tuple(tracer.env[n] for n in self.results)

    def program(self):
        self.held = {}
        for n, (name, t) in self.weights.items():
            self.held[n] = from_dlpack(t.detach().contiguous())
            _kiln._set_name(self.held[n], name)
        inputs = tuple((n.name, dtype_of(value_of(n).dtype), self.shape_of(n))
                       for n in self.inputs)
        try:
            program = _kiln._jit_trace(self.trace, inputs, len(self.results), (),
                                       self.dimensions())
        except Refused as e:
            raise NotImplementedError(f"kiln.torch.export: {e}") from e
        return TracedFunction(program, len(self.results) == 1)
