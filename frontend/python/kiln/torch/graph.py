"""A graph of ATen operators as native programs: its nodes traced over kiln's tensors by the table
of rows. What the table has no row for, or a row refuses, runs by PyTorch's kernel between two
programs.

    x -> [add, softmax] -> (aten.no_row) -> [mul, sum] -> y      two programs, one fallback"""
import collections
import ctypes
import functools
import math
import operator
import re

import torch
from torch._C._dynamo.guards import _empty_strided_cpu, _reinterpret_tensor

from .. import _kiln
from . import random, report, rows
from .layout import Span, contiguous, layout
from .names import dtype_of
from .sizes import Sizes, env_of, function_of

NEW, OVER, VIEW, ARG, OBJECT = range(5)
API = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
if API is None:
    raise ImportError(f"kiln.torch needs DLPack's C interface, which PyTorch {torch.__version__} "
                      "has not: 2.10 or newer")
VIEWS = {"aten." + n for n in (
    "view.default permute.default transpose.int t.default expand.default slice.Tensor "
    "select.int unsqueeze.default squeeze.dim squeeze.dims squeeze.default alias.default "
    "detach.default diagonal.default as_strided.default _unsafe_view.default unfold.default "
    "_reshape_alias.default").split()}

SPLITS = {"aten.split_with_sizes.default", "aten.split.Tensor", "aten.unbind.int"}


class Refused(Exception):
    """A node that kiln does not compute."""

    def __init__(self, node, why):
        super().__init__(f"{node.target}: {why}")
        self.node, self.why = node, why


class Uncompiled(Exception):
    """Nodes that were traced, and whose program could not be compiled."""

    def __init__(self, nodes, why):
        super().__init__(why)
        self.nodes, self.why = nodes, why


def value_of(node):
    return node.meta.get("val")


def is_tensor(node):
    return isinstance(value_of(node), torch.Tensor)


HOST = (torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool)


def is_host(node):
    """A number that Python computes, as a size."""
    return isinstance(node.meta.get("val"), HOST)


def numbers(sizes, symbols):
    """Sizes as a tuple of integers."""
    return tuple([s if type(s) is int else number(s, symbols) for s in sizes])


def number(x, symbols):
    """A size as an integer, given what the symbols are."""
    if type(x) is int:
        return x
    if isinstance(x, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        expr = x.node.expr
        needs, f = function_of(expr) if symbols and isinstance(x, torch.SymInt) else ((), None)
        if f and all(type(symbols.get(s)) is int for s in needs):
            return f(*[symbols[s] for s in needs])
        got = expr.subs(symbols) if symbols else expr
        if getattr(got, "free_symbols", None):
            raise KeyError(f"{expr} is not known")
        return (int if isinstance(x, torch.SymInt) else
                float if isinstance(x, torch.SymFloat) else bool)(got)
    return x


KINDS = {getattr(torch, n): getattr(ctypes, "c_" + n) for n in (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64").split()} | {
        torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}


def element(t):
    """A tensor's one element, read where it lies, by no kernel of PyTorch."""
    kind = KINDS.get(t.dtype)
    return kind.from_address(t.data_ptr()).value if kind else t.item()


def is_graph(node):
    """A graph that is an operator's argument."""
    return node.op == "get_attr" and isinstance(attribute(node), torch.nn.Module)


def attribute(node):
    return functools.reduce(getattr, node.target.split("."), node.graph.owning_module)


def layout_of(val, symbols):
    return layout(numbers(val.shape, symbols), numbers(val.stride(), symbols))


@functools.lru_cache(maxsize=None)
def name_of(target):
    return str(target) if isinstance(target, torch._ops.OpOverload) else \
        getattr(target, "__name__", str(target))


def target_name(node):
    return name_of(node.target)


def has_token(node):
    """Whether its first argument only says what comes before it."""
    return getattr(node.target, "__name__", "") == "with_effects"


def view_at(root, node, symbols):
    """(size, stride, offset) of a view in the memory of another tensor."""
    val, base = value_of(node), value_of(root)
    return (numbers(val.shape, symbols), numbers(val.stride(), symbols),
            number(val.storage_offset(), symbols) - number(base.storage_offset(), symbols))


# ---- one node over kiln's tensors ----


class Tracer:
    """Runs nodes by their rows. env: node -> kiln's tensor, number, or tuple of them."""

    def __init__(self, symbols):
        self.env, self.symbols = {}, symbols

    def argument(self, a):
        if isinstance(a, torch.fx.Node):
            if a not in self.env and is_host(a):
                self.env[a] = number(value_of(a), self.symbols)
            return attribute(a) if is_graph(a) else self.env[a]
        if isinstance(a, (list, tuple)):
            return type(a)([self.argument(x) for x in a]) if type(a) in (list, tuple) else \
                [self.argument(x) for x in a]
        if isinstance(a, torch.dtype):
            return dtype_of(a)
        if isinstance(a, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            return number(a, self.symbols)
        return a

    def run(self, node):
        if node.target is operator.getitem:
            self.env[node] = self.env[node.args[0]][node.args[1]]
            return
        if node.op == "get_attr":
            if not is_graph(node):
                self.env[node] = constant(node)
            return
        row = rows.find(node.target)
        if row is None:
            raise Refused(node, "no row")
        _kiln._set_place(place_of(node))
        try:
            args = [self.argument(a) for a in (node.args[1:] if has_token(node) else node.args)]
            kwargs = {k: self.argument(v) for k, v in node.kwargs.items() if k not in rows.IGNORED}
            got = row(*self.about(node, row.wants_node), *args, **kwargs)
            self.env[node] = self.checked(node, got)
        except Exception as e:  # noqa: BLE001  whatever a row refuses, PyTorch's kernel does
            text = str(e).splitlines()
            raise Refused(node, f"{type(e).__name__}: {text[0] if text else ''}"[:200]) from e
        finally:
            _kiln._set_place(None)

    def about(self, node, wanted):
        """What a row wants to know beside its arguments."""
        if wanted != "layout":
            return (node,) if wanted else ()
        of = value_of(node.args[0])
        return (node, layout_of(of, self.symbols), number(of.storage_offset(), self.symbols))

    def checked(self, node, got):
        """The result, of the dtype and shape that PyTorch says."""
        want = value_of(node)
        if isinstance(want, torch.Tensor):
            return self.like(got, want)
        if isinstance(want, (list, tuple)):
            got = tuple(got)
            if len(got) != len(want):
                raise RuntimeError(f"{len(got)} results where PyTorch has {len(want)}")
            return tuple(self.like(g, w) if isinstance(w, torch.Tensor) else g
                         for g, w in zip(got, want))
        return got

    def like(self, t, want):
        if not isinstance(t, _kiln.Tensor):
            raise RuntimeError(f"gave {type(t).__name__}")
        dtype = dtype_of(want.dtype)
        if t.dtype != dtype:
            t = t.to(dtype)
        size = numbers(want.shape, self.symbols)
        if tuple(t.shape) != size:
            raise RuntimeError(f"shape {tuple(t.shape)} where PyTorch has {size}")
        return t


INDEX = re.compile(r"""(?:\._modules)?\[['"]?(\w+)['"]?\]""")
LINE = re.compile(r'File "([^"]+)", line (\d+)')


def module_of(node):
    """The module that a node is of, as the user reaches it, and its class: ("layer1.0.conv1",
    Conv2d)."""
    stack = node.meta.get("nn_module_stack") or node.meta.get("fwd_nn_module_stack")
    path, kind = next(reversed(stack.values())) if stack else ("", None)
    return reached(path), kind


@functools.lru_cache(maxsize=4096)
def reached(path):
    path = INDEX.sub(r".\1", path.split("]", 1)[-1] if path.startswith("L[") else path)
    return path.strip(".")


@functools.lru_cache(maxsize=4096)
def user_line(trace):
    """The last line of a stack that is not PyTorch's own, or None."""
    at = LINE.findall(trace)
    mine = [a for a in at if "/site-packages/torch/" not in a[0]] or at
    return ":".join(mine[-1]) if mine else None


def place_of(node):
    """The user's line and module that a node comes from, "net.py:12 layer1.0.conv1", of a module
    that PyTorch calls itself "Conv2d:0 layer1.0.conv1"; None: unknown."""
    line = user_line(node.meta.get("stack_trace") or "")
    module, kind = module_of(node)
    if not line:
        return f"{getattr(kind, '__name__', kind)}:0 {module}" if module else None
    return f"{line} {module}".rstrip()


def constant(node):
    """A tensor that is part of the graph, with the value it has now."""
    from .. import from_dlpack
    return from_dlpack(attribute(node).detach().resolve_conj().resolve_neg().contiguous())


# ---- a region: nodes that become one program ----


class Region:
    """inputs: tensors from outside; outputs: nodes that others read; written: (input, value)."""

    def __init__(self, nodes, used_later):
        inside = set(nodes)
        self.nodes = nodes
        self.draws = any(target_name(n) in rows.RANDOM for n in nodes)
        self.writes = [n for n in nodes if is_write(n)]
        self.written = [n.args[:2] for n in self.writes]
        self.nodes = [n for n in nodes if not is_write(n)]
        inputs = {}
        for n in nodes:
            token = n.args[0] if has_token(n) else None
            for a in n.all_input_nodes:
                if a not in inside and a is not token and not is_host(a) and not is_graph(a):
                    inputs.setdefault(a)
        self.inputs, self.entering = list(inputs), set(inputs)
        self.outputs = [n for n in self.nodes if n in used_later and not is_host(n)]

    def root(self, node):
        """The node of whose memory this one is a view, with nothing computed."""
        while node not in self.entering:
            if target_name(node) in VIEWS:
                node = node.args[0]
            elif node.target is operator.getitem and target_name(node.args[0]) in SPLITS:
                node = node.args[0].args[0]
            else:
                break
        return node

    def compile(self, places, results, symbols, strides=(), shared=()):
        """A caller: arguments at places[node] of its list; results: nodes or constants. strides: of
        arguments that lie otherwise than PyTorch foresaw. shared: places of those results whose
        memory others tell from: views are to be views."""
        try:
            return Plan(self, places, symbols, strides, shared).caller(results)
        except (Refused, Uncompiled):
            raise
        except Exception as e:  # noqa: BLE001  then PyTorch does it, and the report says why
            raise Uncompiled(self.nodes or self.writes, f"{type(e).__name__}: {e}") from e

    def compile_sized(self, places, results, symbols, behind, shared, guarded):
        """The same for all sizes, of which these are an example; whether it is for others; results
        that are views at each call's sizes. guarded: arguments lie as PyTorch foresaw."""
        plan = Sized(self, places, symbols, behind, shared, guarded)
        try:
            return plan.caller(results), plan.fits, plan.views
        except Exception:  # noqa: BLE001  at sizes that PyTorch ruled out, or of forms unguessed?
            told = Sized(self, places, symbols, behind, shared, guarded, True)
            if told.sizes.divisors == plan.sizes.divisors and \
                    told.sizes.derived == plan.sizes.derived:
                raise
            return told.caller(results), told.fits, told.views


class Plan:
    """A region at given sizes."""

    def __init__(self, region, places, symbols, strides=(), shared=()):
        self.region, self.places, self.symbols = region, places, symbols
        self.strides, self.shared = dict(strides), shared
        self.layouts = {n: self.layout_of(n) for n in region.inputs}
        for n, _ in region.written:
            self.layouts[n] = self.layouts[n].within_span()
        self.ports = [n for n in region.inputs]
        self.computed = []  # (node, layout): what the program gives
        self.donated = []

    def input_ports(self):
        for n in self.ports:
            lay = self.layouts[n]
            yield (self.places[n], 8 * value_of(n).element_size(), lay.size, lay.stride, lay.order)

    def over(self):
        """Arguments that are written to."""
        at = {n: i for i, n in enumerate(self.ports)} if self.region.written else {}
        for target, value in self.region.written:
            lay = self.layouts[target]
            self.computed.append((value, lay))
            self.donated.append(1 + at[target])
            yield (OVER, at[target], None, None, ())

    def layout_of(self, node):
        """Where sizes vary, what would lie with gaps lies dense: in the graph that makes it and in
        that which reads it."""
        lay = layout_of(value_of(node), self.symbols)
        if node in self.strides:
            return layout(lay.size, tuple(self.strides[node]))
        return layout(lay.size, contiguous(lay.size)) if self.symbols and lay.loose else lay

    def shape_of(self, node):
        """Of the program's input."""
        return self.layouts[node].shape_of_input()

    def new(self, node):
        """Memory for a node's value, which the program writes."""
        val = value_of(node)
        lay = self.layout_of(node)
        if not lay.dense:
            lay = layout(lay.size, contiguous(lay.size))
        self.computed.append((node, lay))
        self.donated.append(0)
        return (NEW, 0, (lay.size, lay.stride, val.dtype), val.dtype, lay.order)

    def result(self, i, node, done):
        if not isinstance(node, torch.fx.Node):
            return (OBJECT, 0, node, None, ())
        if node in self.places:
            return (ARG, self.places[node], None, None, ())
        if is_host(node):
            return (OBJECT, 0, number(value_of(node), self.symbols), None, ())
        if done.get(node) == i:
            return self.new(node)
        return self.view(i, node, done) or self.new(node)

    def view(self, i, node, done):
        """A result that shares an argument's memory, or that of another result."""
        root = self.region.root(node)
        base, val = value_of(root), value_of(node)
        if root in self.strides and self.strides[root] != numbers(base.stride(), self.symbols):
            return None
        if root not in self.places and root not in done or base.dtype != val.dtype or \
                base.is_conj() or base.is_neg():
            return None
        source = -1 - self.places[root] if root in self.places else done[root]
        if layout_of(val, self.symbols).stride != self.layout_at(i, node).stride or \
                root in done and \
                layout_of(base, self.symbols).stride != self.layout_of(root).stride:
            return None
        return self.view_of(i, source, root, node)

    def view_of(self, i, source, root, node):
        return (VIEW, source, view_at(root, node, self.symbols), None, ())

    def roots(self, results):
        """Values whose memory other results are views of: results themselves, or kept for this."""
        nodes = {r: i for i, r in reversed(list(enumerate(results)))
                 if isinstance(r, torch.fx.Node) and is_tensor(r)}
        roots = {n: self.region.root(n) for n in nodes}
        own = dict.fromkeys(n for n in nodes if roots[n] is n and n not in self.places)
        times = collections.Counter(roots.get(r) for i, r in enumerate(results) if i in self.shared)
        kept = dict.fromkeys(r for n, r in roots.items() if r not in self.places and
                             r not in own and
                             (times[r] > 1 or self.layout_at(nodes[n], n).loose))
        return tuple([n for n in some if self.layout_of(n).dense] for some in (own, kept))

    def layout_at(self, i, node):
        """Of a result: as PyTorch has it, or as the graphs behind it read it."""
        return layout_of(value_of(node), self.symbols) if i in self.shared else self.layout_of(node)

    def caller(self, results):
        outs = list(self.over())
        own, kept = self.roots(results)
        done = {n: len(outs) + i for i, n in enumerate(kept)}
        outs += [self.new(n) for n in kept]
        hidden = self.hidden = len(outs)
        self.shared = {hidden + i for i in self.shared}
        first = {r: i for i, r in reversed(list(enumerate(results)))
                 if isinstance(r, torch.fx.Node)}
        done.update((n, hidden + first[n]) for n in own)
        outs += [self.result(hidden + i, r, done) for i, r in enumerate(results)]
        program = self.program() if self.computed else None
        seed = random.draw if self.region.draws and program is not None else None
        return _kiln.Caller(program, tuple(self.input_ports()) if program else (), tuple(outs),
                            hidden, self.dimension_places(program), _empty_strided_cpu,
                            _reinterpret_tensor, seed, self.fix, API)

    def fix(self, t, i):
        """A copy of an argument that lies as the program wants it."""
        node = self.ports[i]
        lay = self.layouts[node]
        if tuple(t.shape) != lay.size or t.dtype != value_of(node).dtype:
            raise RuntimeError(f"kiln: expected {value_of(node).dtype} of shape {list(lay.size)}, "
                               f"but got {t.dtype} of shape {list(t.shape)}")
        if any(node is target for target, _ in self.region.written):
            raise RuntimeError("kiln: a tensor to be written to lies otherwise than when compiled")
        report.ran("aten.clone.default", "an argument lies otherwise than when compiled")
        return torch.empty(lay.span, dtype=t.dtype).as_strided(lay.size, lay.stride).copy_(t)

    def program(self):
        r = self.region
        inputs = [(n.name, dtype_of(value_of(n).dtype), self.shape_of(n)) for n in self.ports]
        inputs += self.numbers()
        if r.draws:
            inputs.append(("seed", _kiln.uint32, (2,)))
        try:
            program = _kiln._jit_trace(self.trace, tuple(inputs), len(self.computed),
                                       tuple(self.donated), self.dimensions())
        except (Refused, MemoryError, KeyboardInterrupt):
            raise
        except Exception as e:  # noqa: BLE001  what no pass can compile
            raise Uncompiled(r.nodes or r.writes, str(e)) from e
        report.native(target_name(n) for n in r.nodes)
        report.compiled("backward" if any(n.name.startswith("tangents") for n in r.inputs)
                        else "forward", program)
        return program

    def dimensions(self):
        return ()

    def numbers(self):
        """Inputs that tell numbers."""
        return []

    def dimension_places(self, program):
        return ()

    def whole(self, node, t):
        """A program's input with the extents that its layout has."""
        return t

    def symbols_of(self, tensors):
        return self.symbols

    def trace(self, *tensors):
        tracer = Tracer(self.symbols_of(tensors))
        for n, t in zip(self.ports, tensors):
            tracer.env[n] = self.layouts[n].read(self.whole(n, t))
        if self.region.draws:
            _kiln._draw_from(tensors[-1])
        try:
            for n in self.region.nodes:
                tracer.run(n)
            return tuple(lay.write(tracer.env[n]) if lay.dense or not by else
                         lay.write_within(tensors[by - 1], tracer.env[n])
                         for (n, lay), by in zip(self.computed, self.donated))
        finally:
            if self.region.draws:
                _kiln._draw_from(None)


EMPTY = torch.empty(1, dtype=torch.uint8)


class Sized(Plan):
    """A region at all sizes: its symbols are dimensions of the program, told by the inputs. An
    extent that is a product of symbols is as many extents of the program's input. behind: places
    of symbols that stand behind the arguments; behind them stands EMPTY.

    x: f32[s0,4], n = s1   ->   x: f32[s0,4], s1: u8[s1]   a number's own input, never read"""

    def __init__(self, region, places, symbols, behind, shared=(), guarded=False, told=False):
        """told: all that PyTorch knows of sizes, not what is found of them here."""
        self.sizes = Sizes(symbols, env_of((*places, *region.nodes)), told)
        self.behind = behind
        self.now = symbols  # of the trace
        super().__init__(region, places, symbols, (), shared)
        self.layouts.update((n, Loose(self, value_of(n))) for n in region.inputs
                            if guarded and layout_of(value_of(n), symbols).loose)
        self.at = {str(value_of(n).node.expr): i for n, i in places.items()
                   if isinstance(value_of(n), torch.SymInt)}
        self.at.update((str(s), i) for s, i in behind.items())
        self.views = []  # (result, its source, root, node)
        self.where = {}  # number of a dimension -> (input, axis of the program's)
        for k, n in enumerate(self.ports):
            for axis, d in enumerate(self.shape_of(n)):
                if d < 0:
                    self.where.setdefault(-1 - d, (k, axis))
        self.alone = [s for s, i in self.sizes.numbers.items() if i not in self.where]
        for k, s in enumerate(self.alone):
            if str(s) not in self.at:
                raise NotImplementedError(f"no input's extent is {s} alone")
            self.where[self.sizes.numbers[s]] = (len(self.ports) + k, 0)
        if told:
            self.sizes.derive(s for n in region.nodes for a in (n, *n.all_input_nodes)
                              for s in sizes_of(a))

    def input_ports(self):
        for n, (place, bits, size, stride, order) in zip(self.ports, super().input_ports()):
            any_strides = isinstance(self.layouts[n], Loose)
            yield (place, bits, size, (-1,) * len(size) if any_strides else stride, order)
        for _ in self.alone:
            yield (len(self.places) + len(self.behind), 8, (1,), (1,), (0,))

    def numbers(self):
        return [(str(s), _kiln.uint8, (-1 - self.sizes.numbers[s],)) for s in self.alone]

    def caller(self, results):
        """What the user's results are views of are results too, behind the others."""
        seen = {self.region.root(r) for i, r in enumerate(results)
                if i in self.shared and isinstance(r, torch.fx.Node) and is_tensor(r)}
        _, kept = self.roots(results)
        return super().caller([*results, *[n for n in kept if n in seen]])

    def factors(self, node):
        """The extents of a program's input, in memory order, each as its factors."""
        if isinstance(self.layouts[node], Loose):
            return [self.extent(span_of(value_of(node)))]
        shape = value_of(node).shape
        return [self.extent(shape[i]) for i in self.layouts[node].order]

    def shape_of(self, node):
        return tuple(e for extents in self.factors(node) for e in extents)

    def extent(self, s):
        if not isinstance(s, torch.SymInt):
            return (s,)
        expr = s.node.expr
        parts = expr.args if expr.is_Mul else (expr,)
        if not all(p.is_Integer or p in self.sizes.numbers for p in parts):
            parts = (expr,)
        return tuple(int(p) if p.is_Integer else -1 - self.sizes.number(p) for p in parts)

    def whole(self, node, t):
        extents, shape, at = self.factors(node), [], 0
        for e in extents:
            shape.append(math.prod(t.shape[at:at + len(e)]))
            at += len(e)
        return t if len(shape) == t.dim() else t.reshape(shape)

    def dimension_places(self, program):
        """Where the program's dimensions, in its order, stand among the arguments."""
        self.ranges = _kiln._jit_about(program)[3] if program else ()
        return tuple(self.at[name] for name, *_ in self.ranges)

    def fix(self, t, i):
        """A copy of an argument that lies as the program wants it."""
        order = self.layouts[self.ports[i]].order
        if any(self.ports[i] is target for target, _ in self.region.written):
            raise RuntimeError("kiln: a tensor to be written to lies otherwise than when compiled")
        report.ran("aten.clone.default", "an argument lies otherwise than when compiled")
        back = sorted(range(len(order)), key=order.__getitem__)
        return t.permute(order).contiguous().permute(back)

    def view_of(self, i, source, root, node):
        """Sizes that vary are told at each call."""
        if all(isinstance(s, int) for v in (value_of(node), value_of(root))
               for s in (*v.shape, *v.stride(), v.storage_offset())):
            return super().view_of(i, source, root, node)
        if i not in self.shared or 0 <= source < self.hidden:
            return None
        source -= self.hidden if source >= 0 else 0
        self.views.append((i - self.hidden, source, root, node))
        return (OBJECT, 0, None, None, ())

    def dimensions(self):
        return tuple(self.sizes.dimensions())

    def fits(self, symbols):
        """Whether the program is for these sizes too."""
        now = {str(s): v for s, v in symbols.items()}
        return all(least <= now[name] <= most and now[name] % by == 0
                   for name, least, most, by in self.ranges)

    def symbols_of(self, tensors):
        known = self.now = {}
        for s, i in self.sizes.numbers.items():
            k, axis = self.where[i]
            known[s] = tensors[k].shape[axis]
        return known


class Loose(Span):
    """An argument with gaps, or of expanded dimensions, at sizes that a plan's traces tell."""

    def __init__(self, plan, val):
        super().__init__(numbers(val.shape, plan.symbols), numbers(val.stride(), plan.symbols))
        self.plan, self.val, self.dense = plan, val, False

    def read(self, t):
        now = self.plan.now
        return t.as_strided(numbers(self.val.shape, now), numbers(self.val.stride(), now))


def span_of(val):
    """Elements from the first to the last."""
    return sum(((s - 1) * st for s, st in zip(val.shape, val.stride())), 1)


OF_ELEMENTS = {"aten.full.default", "aten.scalar_tensor.default",
               *(f"aten.{n}.Tensor" for n in "add sub mul div eq ne lt le gt ge".split())}


def keep_elements(graph):
    """What is made of a tensor's one element takes the tensor: the host need not know the number.

    mul(x, item(t))   ->   mul(x, t)"""
    for n in graph.nodes:
        if target_name(n) in OF_ELEMENTS:
            n.args = tuple(a.args[0] if isinstance(a, torch.fx.Node) and value_of(a) is not None and
                           target_name(a) == "aten._local_scalar_dense.default" and
                           value_of(a.args[0]).dim() == 0 else a for a in n.args)


def read_memory(graph):
    """as_strided of a view reads the same memory as that of what is viewed, which lies dense."""
    for n in graph.nodes:
        if target_name(n) != "aten.as_strided.default":
            continue
        seen = base = n.args[0]
        while target_name(base) in VIEWS:
            base = base.args[0]
        offset = n.args[3] if len(n.args) > 3 else None
        offset = value_of(seen).storage_offset() if offset is None else offset
        if base is not seen and value_of(base).dtype == value_of(seen).dtype and \
                isinstance(offset, (int, torch.fx.Node)):
            n.args = (base, *n.args[1:3], offset)


def is_write(node):
    return node.target is torch.ops.aten.copy_.default


# ---- which nodes go together ----


def supported(node, refused, native):
    """A row does it; written arguments are written by the program that makes their values. native:
    node -> whether its dtype is."""
    if node in refused or is_host(node):
        return False
    if node.op == "get_attr":
        return is_tensor(node)
    if node.target is operator.getitem:
        return supported(node.args[0], refused, native)
    if is_write(node):
        target, value = node.args[0], node.args[1]
        a, b = value_of(target), value_of(value)
        return (target.op == "placeholder" and not a.is_conj() and a.dtype == b.dtype and a.shape == b.shape and
                all(u.op == "output" for u in node.users))
    if not native[node] or not all([native[a] for a in node.all_input_nodes]) or new_sizes(node):
        return False
    return rows.find(node.target) is not None


def sizes_of(node):
    """Extents and offsets that vary, or the number that the node is."""
    val = value_of(node)
    vals = val if isinstance(val, (list, tuple)) else [val]
    return [s for v in vals if isinstance(v, torch.Tensor)
            for s in (*v.shape, v.storage_offset()) if isinstance(s, torch.SymInt)] + \
        [v for v in vals if isinstance(v, torch.SymInt)]


def unbacked(node):
    """Symbols that data decided."""
    return {x for s in sizes_of(node) for x in s.node.expr.free_symbols
            if str(x).startswith(("u", "zu"))}


@functools.lru_cache(maxsize=None)
def may_decide_sizes(target):
    """Whether an operator's results may have sizes that follow from its data."""
    return not isinstance(target, torch._ops.OpOverload) or \
        torch.Tag.dynamic_output_shape in target.tags or \
        torch.Tag.data_dependent_output in target.tags


def new_sizes(node):
    """Whether its sizes follow from its data."""
    if not may_decide_sizes(node.target) and not any([is_host(a) for a in node.all_input_nodes]):
        return False
    new = unbacked(node)
    return bool(new and new - set().union(*map(unbacked, node.all_input_nodes)))


def is_native_dtype(node):
    val = value_of(node)
    if isinstance(val, (list, tuple)):
        return all([is_native_tensor(v) for v in val if isinstance(v, torch.Tensor)])
    return not isinstance(val, torch.Tensor) or is_native_tensor(val)


def is_native_tensor(t):
    return dtype_of(t.dtype) is not None and t.layout == torch.strided and t.device.type == "cpu"


def levels(graph, refused, least_of=()):
    """Nodes by step: even steps are kiln's, odd ones PyTorch's; a step needs only earlier ones.
    least_of: node -> the first step that it may be in."""
    level, writes = {}, []
    native_dtype = {n: is_native_dtype(n) for n in graph.nodes}
    for n in graph.nodes:
        if n.op in ("placeholder", "output"):
            level[n] = -1
            continue
        if is_graph(n) or is_host(n) and symbolic(n):
            level[n] = -1
            continue
        native = supported(n, refused, native_dtype)
        if is_write(n) and native:
            writes.append(n)
            continue
        least = 0 if native else 1
        for a in n.all_input_nodes:
            if level[a] >= 0:
                least = max(least, level[a] + (level[a] % 2 != (not native)))
        level[n] = max(least, least_of[n]) if n in least_of and native else least
    last = max((v for v in level.values() if v >= 0), default=0)
    last += last % 2
    for n in writes:  # when everybody has read what stood there
        level[n] = last
    steps = {}
    for n in graph.nodes:
        if level[n] >= 0:
            steps.setdefault(level[n], []).append(n)
    return [(k, steps[k]) for k in sorted(steps)]


def symbolic(node):
    """A number that follows from the sizes of arguments."""
    val = value_of(node)
    if isinstance(val, (int, float, bool)):
        return True
    free = val.node.expr.free_symbols
    return not any(str(s).startswith(("u", "zuf")) for s in free)
