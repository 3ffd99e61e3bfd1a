"""test_derivatives.py: products with Jacobians and Hessians, gradients held against differences,
checkpoints, and helpers of layers, beside PyTorch's own. Skips itself without PyTorch."""
import sys
import unittest
import warnings

try:
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, close, copy_state, flat, said, to_kiln

X, Y = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.25, -1.0]])
FUNCTIONS = {  # name -> function, inputs
    "one": (lambda m: lambda x: (x.exp() * x).sum(), X),
    "vector": (lambda m: lambda x: x.sin() * x, X),
    "two": (lambda m: lambda x, y: (y * x).tanh().sum(1), (X, Y)),
    "several": (lambda m: lambda x: (x * x, x.sum()), X),
    "scalar of two": (lambda m: lambda x, y: ((y @ x) ** 3).sum(), (X, Y)),
    "of one only": (lambda m: lambda x, y: (x ** 3).sum(), (X, Y)),
}


def both(name, key, *more, **kwargs):
    """torch.autograd.functional's results and kiln's, flat."""
    make, inputs = FUNCTIONS[key]
    results = []
    for side, m in enumerate(SIDES):
        given = [to_kiln(a) if side else a for a in (inputs, *more)]
        results.append(getattr(m.autograd.functional, name)(make(m), *given, **kwargs))
    return results


class Leaves(unittest.TestCase):
    def test_elements_that_shared_memory(self):
        for m in SIDES:
            leaf = m.tensor([1.0, 2.0]).expand(2, 2).detach().requires_grad_()
            (leaf * m.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
            self.assertEqual(leaf.grad.tolist(), [[1, 2], [3, 4]])

    def test_over_a_computed_storage(self):
        """A leaf made of what was computed with a gradient has its own, and passes none on."""
        for m in SIDES:
            w = m.ones(3, requires_grad=True)
            for made in (w.clone(), w * 1, w[1:], w.view(3)):
                x = made.detach().requires_grad_()
                ((x * 2).sum() + x.view(-1)[0]).backward()
                self.assertEqual(x.grad.tolist(), [3] + [2] * (len(x) - 1))
                self.assertIsNone(w.grad)

    def test_written_over(self):
        """Results written in place: by what is recorded, through what was detached, where nothing is."""
        def doubled(m, p):
            x = p * 1
            x *= p
            x[0] *= p[0]
            return x

        def detached(m, p):
            x = (p * 3).detach()
            x[0] = p[0] * 5
            x.detach_().add_(p)
            return x.mul_(p)

        def beside(m, p):
            """What it was detached from does not follow."""
            x, y = m.zeros(2), m.zeros(2).detach()
            x.data.add_(p)
            y[1:].copy_(p[1:])
            self.assertEqual((x.requires_grad, y.requires_grad, y.detach().requires_grad),
                             (False, True, False))
            return x.add_(1) + y

        def unrecorded(m, p):
            x = p * 2
            with m.no_grad():
                x[0] = 7
                x.clamp_(max=5)
            return x * x

        for f in (doubled, detached, beside, unrecorded):
            results = []
            for m in SIDES:
                p = m.tensor([1.0, 2.0], requires_grad=True)
                y = f(m, p)
                y.sum().backward()
                results.append((y.tolist(), p.grad.tolist()))
            with self.subTest(f.__name__):
                self.assertEqual(*results)


CURVES = "exp exp2 expm1 log1p sin cos tan sinh cosh tanh asin acos asinh atan atanh".split()


class Complex(unittest.TestCase):
    def test_on_the_axes(self):
        """Where a part is 0 the derivative along it is not."""
        points = {"sqrt": [1, 2, -2, 1j, 2j], "log": [1, -1, 2j], "acosh": [0, .5, 2, -2]}
        cases = [(name, points.get(name, [0, .5, -.25, .5j, -.25j]), "complex128")
                 for name in CURVES + list(points)] + [(name, [0, .5, -.25], "float64") for name in CURVES]
        for name, z, dtype in cases:
            grads = []
            for m in SIDES:
                t = m.tensor(z, dtype=getattr(m, dtype), requires_grad=True)
                (getattr(m, name)(t) * (2 - 3j if dtype == "complex128" else 1)).real.sum().backward()
                grads.append(t.grad)
            with self.subTest(f"{name} {dtype}"):
                close(grads[1], grads[0])


def leaf(m, *values):
    return m.tensor(values, requires_grad=True)


def kept_grads(m):
    """Gradients outlive requires_grad, and may be given to what requires none."""
    x = m.ones(2)
    x.grad = m.ones(2)
    x.requires_grad_()
    (x * 2).sum().backward()
    x.requires_grad_(False)
    linear = m.nn.Linear(1, 1, bias=False)
    linear.weight.grad = m.ones(1, 1)
    linear.weight.data = m.zeros(1, 1)
    return x.grad.tolist(), linear.weight.grad.tolist()


def created(m):
    """With create_graph the sum of gradients is another tensor, which has a gradient itself."""
    x = leaf(m, 1.0, 2.0)
    (x ** 2).sum().backward(create_graph=True)
    first = x.grad
    (x ** 2).sum().backward(create_graph=True)
    (straight,) = m.autograd.grad((x * 3).sum(), x, create_graph=True)
    return (first.tolist(), x.grad.tolist(), m.autograd.grad(x.grad.sum(), x)[0].tolist(),
            straight.requires_grad)


def of_views(m):
    x = leaf(m, 1.0, 2.0)
    v = x.view(2)
    v.sum().backward()
    return v.grad is None, x.grad.tolist()


def accumulated(m):
    p, seen = m.nn.Parameter(m.ones(2)), []
    handle = p.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (p * 2).sum().backward()
    (m.ones(1, requires_grad=True) * 2).backward()
    p.sum().backward()
    handle.remove()
    p.sum().backward()
    return seen


def together(m):
    a, b, seen, first = leaf(m, 1.0), leaf(m, 2.0), [], []
    m.autograd.graph.register_multi_grad_hook(
        (a, b), lambda g: seen.append([t if t is None else t.tolist() for t in g]))
    handle = m.autograd.graph.register_multi_grad_hook(
        (a, b), lambda g: first.append(g.tolist()), mode="any")
    (a * 3).sum().backward()
    handle.remove()
    (a + b).sum().backward()
    return seen, first


def in_place(m):
    class Twice(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(m, 1.0, 2.0)
    y = x * 3
    z = Twice.apply(y)
    z.sum().backward()
    return z is y, z.tolist(), x.grad.tolist()


def saved(m):
    """Hooks on what a Function keeps; its gradient may be expanded."""
    class Exp(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return (g * y + x).expand(3, 2)

    x, seen = leaf(m, 0.0, 0.0), []

    def unpack(t):
        seen.append("unpack")
        return t

    with m.autograd.graph.saved_tensors_hooks(lambda t: seen.append("pack") or t + 1, unpack):
        y = Exp.apply(x)
    y.sum().backward()
    return seen, x.grad.tolist(), y.grad_fn.next_functions[0][0].variable is x


def watched_result(m):
    """A hook on what a Function gave sees the gradient on its way to the Function."""
    class Sums(m.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * 1, a + b

        @staticmethod
        def backward(ctx, ga, gb):
            return ga + gb, gb

    x, y, seen = leaf(m, 1.0), leaf(m, 2.0), []
    q, r = Sums.apply(x, y)
    q.register_hook(lambda g: seen.append(g.tolist()))
    r.register_hook(lambda g: g * 3)
    (q + r + x).sum().backward()
    return seen, x.grad.tolist(), y.grad.tolist()


def generators(m):
    @m.no_grad()
    def values():
        sent = yield m.is_grad_enabled()
        yield sent, m.is_grad_enabled()

    @m.set_grad_enabled(False)
    def plain():
        return m.is_grad_enabled()

    g = values()
    return next(g), m.is_grad_enabled(), g.send(1), plain(), m.is_grad_enabled()


def forward_mode(m):
    ad = __import__("importlib").import_module(m.__name__ + ".autograd.forward_ad")
    with ad.dual_level():
        x = ad.make_dual(m.tensor([2.0, 3.0]), m.tensor([1.0, 0.5]))
        return [ad.unpack_dual(y).tangent.tolist() for y in (x, x * x, x * 3)] + [
            ad.unpack_dual(m.ones(1)).tangent]


def anomalies(m):
    x = leaf(m, 0.0)
    y = (x.sqrt() * 0).sum()
    with m.autograd.set_detect_anomaly(True):
        try:
            y.backward()
        except RuntimeError:
            return m.is_anomaly_enabled()


def queued(m):
    seen, x = [], leaf(m, 1.0)
    x.register_hook(lambda g: m.autograd.Variable._execution_engine.queue_callback(
        lambda: seen.append(x.grad.tolist())))
    x.sum().backward()
    return seen


def batched(m):
    x = leaf(m, 1.0, 2.0)
    return m.autograd.grad(x * x, x, m.eye(2), is_grads_batched=True)[0].tolist()


class Engine(unittest.TestCase):
    def test_same(self):
        for f in (kept_grads, created, of_views, accumulated, together, in_place, saved,
                  watched_result, generators,
                  forward_mode, anomalies, queued, batched):
            with self.subTest(f.__name__), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.assertEqual(f(kiln), f(torch))

    def test_said(self):
        env = {"x": lambda m: m.ones(2, requires_grad=True), "y": lambda m: m.ones(2)}
        for source in ("setattr(y, 'grad', m.ones(3))", "setattr(y, 'grad', 3)",
                       "m.autograd.grad(x * 2, x, m.ones(3))",
                       "y.register_post_accumulate_grad_hook(print)",
                       "(x * 2).register_post_accumulate_grad_hook(print)",
                       "m.autograd.graph.register_multi_grad_hook([x], print, mode='some')"):
            theirs, ours = said(source, env)
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual((ours[0], ours[1].split(" (at ")[0]), theirs)

    def test_warnings(self):
        for source in ("(x * 2).grad", "m.eye(3)[[slice(0, 2), 1]]"):
            heard = []
            for m in SIDES:
                with warnings.catch_warnings(record=True) as w:
                    warnings.simplefilter("always")
                    eval(source, {"m": m, "x": m.ones(2, requires_grad=True)})
                heard.append([(v.category, str(v.message).split(" (Trig")[0]) for v in w])
            self.assertEqual(*heard)


# Derivatives where a function has a kink, or seems to have one
KINKS = """F.logsigmoid(x)|F.binary_cross_entropy_with_logits(x, m.tensor([.25]))|x.clamp(0, 1)|x.clamp(min=0)
F.binary_cross_entropy_with_logits(x, m.tensor([1.]), pos_weight=m.tensor([3.]))|x.clamp(-1, 0)|F.relu6(x)
F.multilabel_soft_margin_loss(x[None], m.tensor([[1.]]))|m.clamp(x, m.tensor(0.), m.tensor(1.))|F.softplus(x)
m.clamp(x, max=m.tensor([0.]))|m.maximum(x, m.zeros(1))|F.hardtanh(x, 0, 1)|F.silu(x)|F.mish(x)|F.elu(x)|x.abs()
m.logaddexp(x, m.zeros(1))|F.soft_margin_loss(x, m.tensor([1.]))|F.smooth_l1_loss(x, m.zeros(1))|x.relu()|x.norm()
F.softsign(x)|F.leaky_relu(x)|F.hardswish(x + 3)|F.hardsigmoid(x - 3)|F.softshrink(x)|m.sinc(x)|x.cumprod(0)"""


class Kinks(unittest.TestCase):
    def test_same(self):
        for source in "|".join(KINKS.split("\n")).split("|"):
            grads = []
            for m in SIDES:
                x = m.zeros(1, requires_grad=True)
                eval(source, {"m": m, "x": x, "F": m.nn.functional}).sum().backward()
                grads.append(x.grad.tolist())
            with self.subTest(source):
                self.assertEqual(grads[1], grads[0])


# What a tensor's grad_fn is called: an expression over torch, F, x [3, 4], i [2, 3, 8, 8], v [4]
NAMES = """x + 1|x * x|1 / x if 0 else x / 2|x ** 2|-x|x.exp()|x.square()|x.clamp(0, 1)|x.double()
x.sum()|x.sum(1)|x.mean()|x.mean(1)|x.prod(1)|x.max()|x.min()|x.amax(1)|x.norm()
torch.maximum(x, x)|x.view(-1)|x.reshape(2, 6)|x.flatten()|x[0]|x[1:]|x.narrow(1, 0, 2)|x.unsqueeze(0)
x @ x.t()|x @ v|v @ v|torch.mm(x, x.t())|torch.mv(x, v)|torch.dot(v, v)|torch.outer(v, v)
torch.bmm(i[0], i[0])|i @ i|F.linear(x, x, x[:, 0])|F.linear(x, x)|F.linear(i, i[0, 0])
F.mse_loss(x, x * 2)|F.l1_loss(x, x * 2)|F.cross_entropy(x, torch.tensor([0, 1, 2]))
F.nll_loss(x, torch.tensor([0, 1, 2]))|F.binary_cross_entropy(x.sigmoid(), torch.ones(3, 4))
F.binary_cross_entropy_with_logits(x, torch.ones(3, 4))|torch.relu(x)|torch.tanh(x)|F.gelu(x)
F.softmax(x, 1)|F.log_softmax(x, 1)|F.elu(x)|F.selu(x)|F.softplus(x)|F.relu6(x)|F.logsigmoid(x)
F.conv2d(i, i[:, :, :3, :3])|F.max_pool2d(i, 2)|F.avg_pool2d(i, 2)|F.dropout(x, 0.5)
F.layer_norm(x, (4,))|F.batch_norm(i, None, None, training=True)|F.group_norm(i, 3)
torch.cat([x, x])|torch.stack([x, x])|torch.where(x > 0, x, x)|F.pad(x, (1, 1))"""


class Graph(unittest.TestCase):
    def test_names(self):
        x, i = torch.rand(3, 4), torch.rand(2, 3, 8, 8)
        said_by = [[], []]
        for side, m in enumerate(SIDES):
            given = [to_kiln(t) if side else t.clone() for t in (x, i, x[0].clone())]
            x_, i_, v_ = (t.requires_grad_() for t in given)
            scope = {"torch": m, "F": m.nn.functional, "x": x_, "i": i_, "v": v_}
            for e in NAMES.replace("\n", "|").split("|"):
                said_by[side].append((e, eval(e, scope).grad_fn.name()))
        self.assertEqual(said_by[1], said_by[0])

    def test_next_functions(self):
        for m in SIDES:
            net = m.nn.Sequential(m.nn.Conv2d(1, 2, 3), m.nn.ReLU())
            loss = m.nn.functional.mse_loss(net(m.ones(1, 1, 4, 4)), m.zeros(1, 2, 2, 2))
            node, path = loss.grad_fn, []
            while node is not None:
                path.append(node.name())
                node = next((f for f, _ in node.next_functions if f is not None), None)
            self.assertEqual(path, ["MseLossBackward0", "ReluBackward0", "ConvolutionBackward0",
                                    "torch::autograd::AccumulateGrad"])
            self.assertRegex(str(loss.grad_fn), r"^<MseLossBackward0 object at 0x")
            x = m.ones(2, requires_grad=True)
            self.assertEqual([f and f.name() for f, _ in (x.sum() + 1).grad_fn.next_functions],
                             ["SumBackward0", None])

            class Same(m.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    return x.clone()

                @staticmethod
                def backward(ctx, g):
                    return g
            self.assertEqual(str(Same.apply(x)), "tensor([1., 1.], grad_fn=<SameBackward>)")
            self.assertRegex(str(Same.apply(x).grad_fn), "^<torch.autograd.function.SameBackward object")
            self.assertEqual((x.grad_fn, len((x * x).grad_fn.next_functions)), (None, 2))

    def test_once_differentiable(self):
        for m in SIDES:
            class Twice(m.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    return 2 * x

                @staticmethod
                @m.autograd.function.once_differentiable
                def backward(ctx, g):
                    return 2 * g

            x = m.ones(2, requires_grad=True)
            Twice.apply(x).sum().backward()
            self.assertEqual(x.grad.tolist(), [2, 2])


class Functional(unittest.TestCase):
    def agree(self, name, key, *more, **kwargs):
        with self.subTest(f"{name} {key}"):
            theirs, ours = both(name, key, *more, **kwargs)
            self.assertEqual(*(isinstance(r, tuple) for r in (theirs, ours)))
            for a, b in zip(flat(ours), flat(theirs)):
                close(a, b)
                self.assertEqual(a.requires_grad, b.requires_grad)

    def test_matrices(self):
        for key in FUNCTIONS:
            self.agree("jacobian", key)
        for key in ("one", "scalar of two", "of one only"):
            self.agree("hessian", key)

    def test_products(self):
        self.agree("vjp", "one")
        self.agree("vjp", "vector", X)
        self.agree("vjp", "two", torch.tensor([1.0, -2.0]))
        self.agree("vjp", "several", (X, torch.tensor(2.0)))
        for name in ("jvp", "hvp", "vhp"):
            self.agree(name, "one", X)
        self.agree("jvp", "two", (X, Y))
        for name in ("hvp", "vhp"):
            self.agree(name, "scalar of two", (X, Y))

    def test_graphs(self):
        x = X.clone().requires_grad_()
        for m, t in zip(SIDES, (x, to_kiln(x))):
            j = m.autograd.functional.jacobian(lambda v: v ** 3, t, create_graph=True)
            j.sum().backward()
        close(m.tensor(t.grad.tolist()), x.grad)

    def test_errors(self):
        env = {"f": lambda m: m.autograd.functional, "x": lambda m: m.ones(2)}
        for source in ("f.vjp(lambda t: t, x)", "f.jvp(lambda t: t, x)", "f.hvp(lambda t: t.sum(), x)",
                       "f.hessian(lambda t: t, x)", "f.vjp(lambda t: t, x, m.ones(3))",
                       "f.jvp(lambda t: t, (x, x), (x,))"):
            theirs, ours = said(source, env)
            self.assertEqual(ours, theirs, source)


class Recorded(unittest.TestCase):
    def test_backward_without_recording(self):
        for m in (torch, kiln):
            w = m.ones(3, requires_grad=True)
            y = (w * w).sum()
            with m.no_grad():
                y.backward(retain_graph=True)
                g, = m.autograd.grad(y, w, create_graph=True)
                self.assertFalse((w * 2).requires_grad or m.is_grad_enabled())
            self.assertEqual((w.grad.tolist(), w.grad.requires_grad, g.requires_grad), ([2.0] * 3, False, True))


    def test_unused(self):
        for m in (torch, kiln):
            class Twice(m.autograd.Function):
                @staticmethod
                def forward(ctx, a, b):
                    return a * 2

                @staticmethod
                def backward(ctx, g):
                    return g * 2, None

            x, z = m.ones(3, requires_grad=True), m.ones(2, requires_grad=True)
            seen = m.ones(3, requires_grad=True) * x
            seen.register_hook(lambda g: None)
            y = (Twice.apply(seen, z) * x[0]).sum()
            for on, of in (([x, seen], y), ([x], seen[0])):
                self.assertTrue(all(g is not None for g in m.autograd.grad(of, on, retain_graph=True)))
            got = m.autograd.grad(seen[0], [x, z], retain_graph=True, allow_unused=True)
            self.assertEqual((got[0].tolist(), got[1]), ([1.0, 0.0, 0.0], None))
            got = m.autograd.grad(seen[0], [z], retain_graph=True, materialize_grads=True)
            self.assertEqual(got[0].tolist(), [0.0, 0.0])
            with self.assertRaisesRegex(RuntimeError, "^The differentiated Tensor at index 1 appears to not"):
                m.autograd.grad(seen[0], [x, z], retain_graph=True)
            with self.assertRaisesRegex(ValueError, "^Expected allow_unused to be True or not passed when"):
                m.autograd.grad(seen[0], [z], allow_unused=False, materialize_grads=True)
            seen[0].backward(inputs=[x, z])
            self.assertEqual((x.grad.tolist(), z.grad), ([1.0, 0.0, 0.0], None))


class Checks(unittest.TestCase):
    def test_gradcheck(self):
        x = kiln.tensor([0.5, -1.0, 2.0], dtype=kiln.float64, requires_grad=True)
        z = kiln.tensor([1 + 2j, -0.5j], dtype=kiln.complex128, requires_grad=True)
        self.assertTrue(kiln.autograd.gradcheck(lambda t: t.sin() * t.exp(), (x,)))
        self.assertTrue(kiln.autograd.gradcheck(lambda t: (t * t).real, (z,)))
        self.assertTrue(kiln.autograd.gradgradcheck(lambda t: t.sin() * t.exp(), (x,)))

    def test_wrong(self):
        class Wrong(kiln.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g * 3

        x = kiln.ones(2, dtype=kiln.float64, requires_grad=True)
        self.assertFalse(kiln.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False))
        with self.assertRaisesRegex(RuntimeError, "Jacobian mismatch for output 0 with respect to input 0"):
            kiln.autograd.gradcheck(Wrong.apply, (x,))
        theirs, ours = said("m.autograd.gradcheck(m.sin, (m.ones(2),))", {})
        self.assertEqual(ours, theirs)


class Checkpoints(unittest.TestCase):
    def results(self, use_reentrant, how):
        """Loss and gradients of a net of which parts are run twice."""
        torch.manual_seed(0)
        nets = [m.nn.Sequential(m.nn.Linear(3, 4), m.nn.Tanh(), m.nn.Linear(4, 4), m.nn.ReLU(),
                                m.nn.Linear(4, 2)) for m in SIDES]
        copy_state(*nets)
        x, results = torch.randn(5, 3), []
        for m, net in zip(SIDES, nets):
            t = (to_kiln(x) if m is kiln else x.clone()).requires_grad_()
            loss = (how(m.utils.checkpoint, net, t, use_reentrant) ** 2).sum()
            loss.backward()
            results.append([loss, t.grad, *[p.grad for p in net.parameters()]])
        return results

    def test_as_without(self):
        for reentrant in (True, False):
            for how in (lambda c, net, x, r: c.checkpoint(net, x, use_reentrant=r),
                        lambda c, net, x, r: c.checkpoint(lambda t: net(t), x, use_reentrant=r),
                        lambda c, net, x, r: c.checkpoint_sequential(net, 2, x, use_reentrant=r)):
                for theirs, ours in zip(*self.results(reentrant, how)):
                    close(ours, theirs)

    def test_runs_twice_with_the_same_numbers(self):
        runs = []

        def f(x):
            runs.append(1)
            return kiln.nn.functional.dropout(x, 0.5) * 3

        x = kiln.ones(100, requires_grad=True)
        y = kiln.utils.checkpoint.checkpoint(f, x, use_reentrant=False)
        self.assertEqual(len(runs), 1)
        y.sum().backward()
        self.assertEqual(len(runs), 2)
        self.assertEqual(x.grad.tolist(), y.tolist())

    def test_errors(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for source in ("m.utils.checkpoint.checkpoint(m.sin, m.ones(2), use_reentrant=True, out=1)",
                           "m.utils.checkpoint.checkpoint(m.sin, m.ones(2), debug=True, use_reentrant=True)",
                           "m.utils.checkpoint.checkpoint_sequential([m.sin], 1, m.ones(2), a=1)"):
                theirs, ours = said(source, {})
                self.assertEqual(ours, theirs, source)


class Helpers(unittest.TestCase):
    def test_of_layers(self):
        import kiln.nn.modules.utils as ours
        import torch.nn.modules.utils as theirs
        for source in ("u._pair(3)", "u._triple((1, 2, 3))", "u._single([4])", "u._quadruple(0)",
                       "u._reverse_repeat_tuple((1, 2), 2)", "u._list_with_default([None, 2], [3, 4, 5])"):
            self.assertEqual(*(eval(source, {"u": u}) for u in (ours, theirs)))
        state = {"module.a": 1, "b": 2}
        ours.consume_prefix_in_state_dict_if_present(state, "module.")
        self.assertEqual(state, {"b": 2, "a": 1})


if __name__ == "__main__":
    unittest.main()
