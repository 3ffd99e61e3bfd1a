"""The torch.compile backend: Dynamo's graph, through AOTAutograd's decompositions, to programs."""
import contextlib
import functools
import operator

import torch
from functorch.compile import min_cut_rematerialization_partition
from torch._C._dynamo.guards import _reinterpret_tensor
from torch._dynamo.utils import flatten_graph_inputs
from torch._functorch import config as aot_config
from torch._functorch.aot_autograd import aot_module_simplified
from torch._prims.rng_prims import run_and_save_rng_state, run_with_rng_state
from torch.utils._python_dispatch import _disable_current_modes

from .. import _kiln
from . import graph as g
from . import bounded, control, flex, report, rows, traceable  # noqa: F401
from .graph import Refused, Region, Uncompiled, is_host, is_write, number, value_of
from .recurrent import keep_gates, whole_layers


@functools.cache
def decompositions():
    """PyTorch's decompositions to its core operators, but of those that have a row."""
    from torch._decomp import core_aten_decompositions
    return {op: f for op, f in core_aten_decompositions().items() if not direct(op)}


# Rows that PyTorch would decompose, and that make fewer and better kernels as they are.
DIRECT = {"aten." + n for n in """
native_layer_norm_backward.default native_group_norm_backward.default
native_batch_norm_backward.default _softmax_backward_data.default
_log_softmax_backward_data.default addmm.default baddbmm.default
embedding_dense_backward.default upsample_nearest2d.vec upsample_nearest2d.default
upsample_bilinear2d.vec upsample_bicubic2d.vec stack.default im2col.default col2im.default
_scaled_dot_product_flash_attention_for_cpu.default linalg_solve_ex.default
std.correction std_mean.correction var_mean.correction
reflection_pad1d.default reflection_pad2d.default reflection_pad3d.default
reflection_pad1d_backward.default reflection_pad2d_backward.default
reflection_pad3d_backward.default replication_pad1d.default replication_pad2d.default
replication_pad3d.default index_add.default index_copy.default lerp.Scalar lerp.Tensor
addcmul.default addcdiv.default index_fill.int_Scalar index_fill.int_Tensor linspace.default linspace.Tensor_Tensor
linspace.Tensor_Scalar linspace.Scalar_Tensor
""".split()}


def direct(op):
    name = str(op)
    return name in DIRECT and rows.find(op) is not None


STATE = torch.default_generator.get_state().numel()
ELEMENT = "aten._local_scalar_dense.default"
CHECK = "aten._assert_scalar.default"
ASSERTED = ("aten._assert_async.default", "aten._assert_async.msg")


def covers(op):
    """Whether an overload runs natively: by its row, or over sizes or elements that the host reads."""
    name = str(op)
    return rows.find(op) is not None or name in bounded.BOUNDED or name in (ELEMENT, CHECK)


def results_of(graph):
    """A graph's results; a graph within another may give one alone."""
    given = graph.output_node().args[0]
    return given if isinstance(given, (list, tuple)) else [given]


class Compiled:
    """A graph as programs: one where everything is native, else several with PyTorch's kernels
    between them."""

    def __init__(self, gm, shared=0, guarded=False):
        """shared: how many of the first results may be views, as others tell by their memory;
        guarded: arguments lie as PyTorch foresaw."""
        self.gm, self.graph = gm, gm.graph
        g.read_memory(self.graph)
        g.keep_elements(self.graph)
        self.inputs = [n for n in self.graph.nodes if n.op == "placeholder"]
        self.results = [r.args[0] if isinstance(r, torch.fx.Node) and is_write(r) and
                        r.args[0].op == "placeholder" else r
                        for r in results_of(self.graph)]
        self.shared, self.guarded = range(shared), guarded
        self.checks = [n for n in self.graph.nodes if g.target_name(n) in ASSERTED]
        self.own = len(self.results)
        self.results += [n.args[0] for n in self.checks]
        self.refused, self.least_of, self.views = {}, {}, ()
        self.sizes = [i for i, n in enumerate(self.inputs) if is_host(n)]
        self.extents = self.open_extents()
        self.callers = {}
        self.sized = None  # serves all sizes; False: there is no such program
        self._boxed_call = True

    def open_extents(self):
        """(argument, axis, symbol) of those symbols that no argument is alone."""
        known = {value_of(self.inputs[i]).node.expr for i in self.sizes
                 if isinstance(value_of(self.inputs[i]), torch.SymInt)}
        found = []
        for i, n in enumerate(self.inputs):
            for axis, s in enumerate(getattr(value_of(n), "shape", ())):
                if isinstance(s, torch.SymInt) and s.node.expr.is_Symbol and \
                        s.node.expr not in known:
                    known.add(s.node.expr)
                    found.append((i, axis, s.node.expr))
        return found

    def symbols(self, args):
        """What the symbols among the arguments are now."""
        known = {s: args[i].shape[axis] for i, axis, s in self.extents}
        for i in self.sizes:
            val = value_of(self.inputs[i])
            if isinstance(val, torch.SymInt) and val.node.expr.is_Symbol:
                known[val.node.expr] = args[i]
        return known

    def gaps(self, args, symbols):
        """(argument, its strides) of those that lie with gaps: a plan would have them dense."""
        for n, t in zip(self.inputs, args):
            if g.is_tensor(n) and not t.is_contiguous() and \
                    g.layout_of(value_of(n), symbols).loose:
                yield n, t.stride()

    def build(self, symbols, strides=()):
        """A callable for these sizes; nodes that refuse go to PyTorch."""
        while True:
            steps = g.levels(self.graph, self.refused, self.least_of)
            try:
                return self.assemble(steps, symbols, strides)
            except Refused as e:
                self.refused[e.node] = e.why
            except Uncompiled as e:
                self.halve(e, steps)

    def halve(self, e, steps):
        """Two programs for one that could not be compiled; of one node: it goes to PyTorch."""
        nodes = [n for n in e.nodes if n.target is not operator.getitem]
        if len(nodes) < 2 or len(self.least_of) > 10 * len(self.graph.nodes):
            self.refused.update((n, f"not compiled: {e.why}"[:200]) for n in e.nodes)
            return
        at = next(k for k, found in steps if nodes[0] in found)
        for n in e.nodes[e.nodes.index(nodes[len(nodes) // 2]):]:
            self.least_of[n] = at + 2

    def assemble(self, steps, symbols, strides):
        if len(steps) <= 1 and all(k % 2 == 0 for k, _ in steps):
            places = {n: i for i, n in enumerate(self.inputs)}
            nodes = steps[0][1] if steps else []
            used = {r for r in self.results if isinstance(r, torch.fx.Node)}
            region = Region(nodes, used)
            if self.sized is None and symbols:
                self.sized = self.of_all_sizes(region, places, symbols)
            return self.sized if self.serves(symbols) else \
                region.compile(places, self.results, symbols, strides, self.shared)
        if symbols:
            report.separate("an operation runs by PyTorch's kernel")
        return Sequence(self, steps, symbols, strides)

    def of_all_sizes(self, region, places, symbols):
        behind = {s: len(self.inputs) + k for k, (_, _, s) in enumerate(self.extents)}
        try:
            caller, self.fits, self.views = region.compile_sized(places, self.results, symbols,
                                                                 behind, self.shared, self.guarded)
            return caller
        except Exception as e:  # noqa: BLE001  then each size has a program of its own
            report.separate(str(e).splitlines()[0] if str(e) else type(e).__name__)
            return False

    def serves(self, symbols):
        return bool(self.sized) and self.fits(symbols)

    def numbers(self, symbols):
        """Results that Python computes from the sizes."""
        return [(i, number(value_of(r), symbols)) for i, r in enumerate(self.results)
                if isinstance(r, torch.fx.Node) and is_host(r) and r not in self.inputs]

    def told(self, caller, symbols):
        """Of one program for all sizes: results that follow from these."""
        if caller is not self.sized:
            return (), ()
        return self.numbers(symbols), [(i, source, g.view_at(root, n, symbols))
                                       for i, source, root, n in self.views]

    def __call__(self, args):
        behind = [args[i].shape[k] for i, k, _ in self.extents]
        key = (*[args[i] for i in self.sizes], *behind)
        found = self.callers.get(key)
        if found is None:
            symbols = self.symbols(args)
            with _disable_current_modes():
                caller = self.sized if self.serves(symbols) else \
                    self.build(symbols, tuple(self.gaps(args, symbols)))
            found = self.callers[key] = (caller, *self.told(caller, symbols))
        caller, numbers, views = found
        if caller is self.sized:
            args += (*behind, g.EMPTY)
        bases = [args[-1 - source] if source < 0 else None for _, source, _ in views]
        out = caller(args)
        if numbers or views:
            out = list(out)
            for i, v in numbers:
                out[i] = v
            for (i, source, at), base in zip(views, bases):
                out[i] = _reinterpret_tensor(out[source] if base is None else base, *at)
        return out[:len(self.results)] if len(out) > len(self.results) else out


class Sequence:
    """Programs and PyTorch's kernels, one after the other, over an environment of values."""

    _boxed_call = True

    def __init__(self, compiled, steps, symbols, strides):
        self.inputs, self.results, self.symbols = compiled.inputs, compiled.results, symbols
        self.refused, self.strides = compiled.refused, strides
        self.shared = {compiled.results[i] for i in compiled.shared}
        self.steps = []
        for k, nodes in steps:
            if k % 2 == 0:
                self.steps.append(self.native(nodes))
            else:
                self.steps += [self.eager(n) for n in nodes]
        self.last_use()

    def native(self, nodes):
        inside = set(nodes)
        used = {n for n in nodes if any(u not in inside for u in n.users)}
        region = Region(nodes, used)
        reads = list(region.inputs)
        unknown = any(g.unbacked(n) for n in (*reads, *nodes))
        shared = {i for i, n in enumerate(region.outputs) if n in self.shared}
        cache = {}

        def run(env):
            args = [env[n] for n in reads]
            caller = cache.get(None)
            if caller is None:
                caller = self.compile(region, reads, args, env, shared, cache)
            for n, v in zip(region.outputs, caller(args)):
                env[n] = v

        if not unknown:
            cache[None] = region.compile({n: i for i, n in enumerate(reads)}, region.outputs,
                                         self.symbols, self.strides, shared)
        return run, reads, region.outputs

    def compile(self, region, reads, args, env, shared, cache):
        """For sizes that only the run tells."""
        symbols = dict(self.symbols)
        for n, t in zip(reads, args):
            for s, v in zip(value_of(n).shape, t.shape):
                if isinstance(s, torch.SymInt) and s.node.expr.is_Symbol:
                    symbols[s.node.expr] = v
        for n, v in env.items():
            val = value_of(n)
            if isinstance(val, torch.SymInt) and val.node.expr.is_Symbol and isinstance(v, int):
                symbols[val.node.expr] = v
        strides = tuple((n, t.stride()) for n, t in zip(reads, args)
                        if tuple(number(s, symbols) for s in value_of(n).stride()) != t.stride())
        key = tuple(sorted((str(k), v) for k, v in symbols.items())), strides
        if key not in cache:
            try:
                cache[key] = region.compile({n: i for i, n in enumerate(reads)}, region.outputs,
                                            symbols, strides, shared)
            except (Refused, Uncompiled) as e:
                self.refused.setdefault(getattr(e, "node", None), e.why)
                cache[key] = self.by_pytorch(region, reads)
        return cache[key]

    def by_pytorch(self, region, reads):
        """The whole region by PyTorch's kernels."""
        steps = [self.eager(n) for n in region.nodes]

        def run(args):
            env = dict(zip(reads, args))
            for f, _, _ in steps:
                f(env)
            return [env[n] for n in region.outputs]

        return run

    def argument(self, a, env):
        if isinstance(a, torch.fx.Node):
            if a not in env and is_host(a):
                env[a] = number(value_of(a), self.symbols)
            return g.attribute(a) if g.is_graph(a) else env[a]
        if isinstance(a, (list, tuple)):
            return type(a)(self.argument(x, env) for x in a)
        if isinstance(a, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            return number(a, self.symbols)
        return a

    def eager(self, node):
        counted = node.target is not operator.getitem and not is_host(node)
        why = self.refused.get(node) or (
            "no row" if rows.find(node.target) is None else
            "its result's size follows from data" if g.new_sizes(node) else
            "a dtype or layout that kiln has not")
        name = g.target_name(node)
        if name == CHECK:
            return self.check(node), [a for a in node.all_input_nodes], [node]
        if name == ELEMENT and g.is_native_dtype(node.args[0]):
            return self.element(node), [node.args[0]], [node]
        if name in g.VIEWS and node not in self.refused:
            return self.view(node), [a for a in node.all_input_nodes], [node]
        if name in control.STEPS and not node.kwargs.get("mutated_arg_indices"):
            return self.control(node)
        if name in bounded.BOUNDED and node not in self.refused and \
                all(g.is_native_dtype(a) for a in (*node.all_input_nodes, node)):
            return self.bounded(node), [a for a in node.all_input_nodes], [node]

        def run(env):
            if node.op == "get_attr":
                env[node] = g.attribute(node)
                return
            args = [self.argument(a, env) for a in node.args]
            kwargs = {k: self.argument(v, env) for k, v in node.kwargs.items()}
            if counted:
                report.ran(name, why)
            env[node] = node.target(*args, **kwargs)

        return run, [a for a in node.all_input_nodes], [node]

    def element(self, node):
        """A tensor's one element, which the host reads where it lies."""
        name = g.target_name(node)

        def run(env):
            report.native([name])
            env[node] = g.element(env[node.args[0]])

        return run

    def check(self, node):
        """A condition on numbers of the host: an error if it does not hold."""
        def run(env):
            env[node] = node.target(*[self.argument(a, env) for a in node.args])

        return run

    def view(self, node):
        """A view whose place in memory follows from data: nothing is computed."""
        name = g.target_name(node)

        def run(env):
            args = [self.argument(a, env) for a in node.args]
            kwargs = {k: self.argument(v, env) for k, v in node.kwargs.items()}
            report.native([name])
            env[node] = node.target(*args, **kwargs)

        return run

    def control(self, node):
        """A node that holds graphs: they are programs, called as often as the host says."""
        name, compiled = g.target_name(node), {}

        def call(graph, args):
            if graph not in compiled:
                compiled[graph] = callable_of(Compiled(graph))
            return compiled[graph](list(args))

        def run(env):
            if not compiled:
                report.native([name])
            args = [self.argument(a, env) for a in node.args]
            env[node] = control.STEPS[name](call, *args)

        return run, [a for a in node.all_input_nodes], [node]

    def bounded(self, node):
        """Of a size that follows from data: natively, if its row does it."""
        step = bounded.Step(node, self.argument)

        def run(env):
            if node not in self.refused:
                try:
                    env[node] = step(env)
                    return
                except Exception as e:  # noqa: BLE001
                    self.refused[node] = f"{type(e).__name__}: {e}"
            self.eager(node)[0](env)

        return run

    def last_use(self):
        """What each step is the last to read."""
        keep = {r for r in self.results if isinstance(r, torch.fx.Node)}
        last = {}
        for i, (_, reads, writes) in enumerate(self.steps):
            for n in (*reads, *writes):
                last[n] = i
        self.dead = [[] for _ in self.steps]
        for n, i in last.items():
            if n not in keep:
                self.dead[i].append(n)

    def __call__(self, args):
        env = dict(zip(self.inputs, args))
        args.clear()
        for (run, _, _), dead in zip(self.steps, self.dead):
            run(env)
            for n in dead:
                if not is_host(n):
                    env.pop(n, None)
        return tuple(self.argument(r, env) for r in self.results)


class Resolving:
    """Before a program reads them: arguments whose memory holds their conjugates or negatives, which
    only the arguments themselves tell."""

    def __init__(self, f, marked):
        self.f, self.marked = f, marked
        self._boxed_call = True

    def __call__(self, args):
        for i in self.marked:
            args[i] = args[i].resolve_conj().resolve_neg()
        return self.f(args)


class Checking:
    """What a program asserts: the conditions are results behind its own."""

    def __init__(self, f, own, checks):
        self.f, self.own = f, own
        self.messages = [str(n.args[1]) if len(n.args) > 1 else
                         "Expected Tensor with single nonzero value, but got zero" for n in checks]
        self._boxed_call = True

    def __call__(self, args):
        out = self.f(args)
        for condition, message in zip(out[self.own:], self.messages):
            if not g.element(condition):
                raise RuntimeError(message)
        return out[:self.own]


def compile_graph(gm, example_inputs, backward=False):
    """A graph of ATen operators as a callable that takes a list of tensors."""
    context = torch._guards.TracingContext.try_get()
    about = not backward and context and context.fw_metadata
    return callable_of(Compiled(gm, about.num_forward_returns, True) if about else Compiled(gm))


def callable_of(c):
    own, checks = c.own, c.checks
    marked = [i for i, n in enumerate(c.inputs) if g.is_tensor(n) and
              (value_of(n).is_complex() or value_of(n).is_neg())]
    if not c.sizes and not c.extents:
        with _disable_current_modes():  # not of fake tensors
            c = c.build({})
    c = Resolving(c, marked) if marked else c
    return Checking(c, own, checks) if checks else c


def compile_backward(gm, example_inputs):
    """The backward graph; what is Python in it is nothing for Dynamo to trace."""
    c = compile_graph(gm, example_inputs, backward=True)
    if isinstance(c, _kiln.Caller):
        return c
    c = torch._dynamo.disable(c, reason="do not trace generated backwards pass")
    c._boxed_call = True
    return c


compile_backward._is_wrapped_bw_compiler = True


def keep_states(forward, backward):
    """The states of PyTorch's generator that a checkpoint keeps are of one size, which PyTorch
    takes for one that varies."""
    states = [u for n in forward.graph.find_nodes(op="call_function", target=run_and_save_rng_state)
              for u in n.users if u.args[1] == 0]
    states += [n.args[0] for n in backward.graph.find_nodes(op="call_function",
                                                            target=run_with_rng_state)]
    for n in states:
        with value_of(n).fake_mode:
            n.meta["val"] = torch.empty(STATE, dtype=torch.uint8)
    return forward, backward


def partition(joint, inputs, **kwargs):
    keep_gates(joint)
    # What PyTorch finds equal first is next to nothing and equal here too; looking for it would
    # load Inductor, half of the time to the first result.
    with aot_config.patch(cse=False):
        return keep_states(*min_cut_rematerialization_partition(joint, inputs, compiler="inductor",
                                                                **kwargs))


RESAMPLING = [getattr(getattr(torch.ops.aten, "upsample_" + n), o)
              for n in ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d",
                        "trilinear3d")
              for o in ("vec", "default")]
WRITTEN = torch._C.DispatchKey.Autograd, torch._C.DispatchKey.CompositeImplicitAutograd


@contextlib.contextmanager
def whole_resampling(example_inputs):
    """While it is open, PyTorch leaves interpolation whole: it writes it out before any table of
    decompositions is asked, as gathers by indices that it computes in floats. Sizes that vary stay
    with it: the operators themselves ask for numbers."""
    taken = []
    if not any(isinstance(x, torch.SymInt) for x in example_inputs):
        taken = [(op, key, op.py_kernels.pop(key)) for op in RESAMPLING for key in WRITTEN
                 if key in op.py_kernels]
    for op, _, _ in taken:
        op._dispatch_cache.clear()
    try:
        yield
    finally:
        for op, key, f in taken:
            op.py_kernels[key] = f
            op._dispatch_cache.clear()


def through_aot(gm, example_inputs):
    """What torch._dynamo's AotAutograd does, which loads Inductor for its log."""
    with whole_layers(), whole_resampling(example_inputs):
        f = aot_module_simplified(gm, example_inputs, fw_compiler=compile_graph,
                                  bw_compiler=compile_backward, inference_compiler=compile_graph,
                                  partition_fn=partition, decompositions=decompositions(),
                                  keep_inference_input_mutations=True)
    return torch._dynamo.disable(f, reason="do not trace AOT-compiled graph")


def kiln_backend(gm, example_inputs, **kwargs):
    """torch.compile(model, backend="kiln")."""
    if any(isinstance(x, (list, tuple, dict)) for x in example_inputs):
        return flatten_graph_inputs(gm, example_inputs, through_aot)
    return through_aot(gm, example_inputs)
