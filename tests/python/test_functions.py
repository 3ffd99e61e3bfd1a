"""test_functions.py: functions of the table, without PyTorch or NumPy: what they refuse, and
numbers that PyTorch 2.15 printed; opdb.py compares the rest with PyTorch itself."""
import math
import unittest

import kiln as torch
from kiln.nn import functional as F

ones = torch.ones
i64 = torch.tensor([0, 1])


class Refusals(unittest.TestCase):
    CASES = [
        # activations
        ("F.celu(ones(2), 0.0)", "alpha cannot be 0 for CELU"),
        ("F.softshrink(ones(2), -1.0)", "lambda must be greater or equal to 0, but found to be -1"),
        ("F.prelu(ones(2, 3), ones(2))", "Mismatch of parameter numbers and input channel size"),
        ("F.glu(ones(3))", "Halving dimension must be even, but dimension 0 is size 3"),
        ("F.glu(ones(()))", "glu does not support 0-dimensional tensors"),
        ("F.hardtanh(torch.ones(2, dtype=torch.bool))", "activation: not implemented for 'Bool'"),
        # orders
        ("i64.split([1])", "expects split_sizes to sum exactly to 2"),
        ("i64.kthvalue(3)", "selected number k out of range"),
        ("i64.kthvalue(1, 3)", "out of range"),
        ("i64.topk(3)", "selected index k out of range"),
        ("ones(0).max()", "max(): Expected reduction dim to be specified"),
        ("ones(2).quantile(0.5, interpolation='x')", "interpolation must be one of linear"),
        ("torch.searchsorted(ones(2, 3), ones(1))", "boundaries tensor should be 1 dimension"),
        ("torch.div(i64, 2, rounding_mode='x')", "one of None, 'trunc', or 'floor'"),
        ("torch.allclose(i64, ones(2))", "did not match"),
        ("torch.lerp(ones(2), ones(2).double(), 1)", "did not match"),
        ("i64.narrow(0, 1, 2)", "start (1) + length (2) exceeds"),
        ("torch.randn([1] * 17)", "the rank is not 0 to 16"),
        ("torch.tensor(None)", "Could not infer dtype of NoneType"),
        # labels
        ("torch.einsum('i.j', ones(2, 2))", "found '.' that is not part of an ellipsis"),
        ("torch.einsum('1', ones(2))", "einsum(): subscripts must be in [a-zA-Z]"),
        ("torch.einsum('abcdefghijklmnopqrs', ones(2))", "too many subscripts"),
        ("torch.einsum('ij', ones(2))", "the number of subscripts does not match the number of"),
        ("torch.einsum('i', ones(2), ones(2))", "fewer operands in the equation than were given"),
        ("torch.einsum('i,i', ones(2))", "more operands in the equation than were given"),
        ("torch.einsum('i->ii', ones(2))", "an output subscript is repeated or not in any operand"),
        ("torch.einsum('ii', ones(2, 3))", "subscript i is repeated but the sizes don't match, 3 != 2"),
        ("torch.einsum('i,i', ones(2), ones(3))", "has size 3 which does not broadcast with"),
        ("torch.einsum('i', [])", "einsum(): must provide 1 to 32 operands"),
        ("torch.einsum('i,i', ones(2), i64)", "expected all operands to have the same dtype"),
        # histograms
        ("torch.histogram(i64, 2)", "\"histogramdd\" not implemented for 'Long'"),
        ("torch.histogram(ones(2), 0)", "torch.histogram(): bins must be > 0, but got 0 for dimension 0"),
        ("torch.histogram(ones(2), ones(1))", "torch.histogram(): bins must be > 0, but got 0"),
        ("torch.histogram(ones(2), 2, range=(3.0, 1.0))",
         "torch.histogramdd: min should not exceed max, but got min 3 max 1 for dimension 0"),
        ("torch.histogram(torch.tensor([math.nan]), 2)", "dimension 0's range [nan, nan] is not finite"),
        ("torch.histogram(ones(2), ones(2, 2))",
         "torch.histogramdd: bins tensor should have one dimension, but got 2 dimensions"),
        ("torch.histogram(ones(2), ones(2).double())",
         "torch.histogramdd: input tensor and bins tensors should have the same dtype"),
        ("torch.histogram(ones(2), 2, weight=ones(3))", "if weight tensor is provided it should have"),
        ("torch.histogram(ones(2), 2, weight=ones(2).double())",
         "if weight tensor is provided, input tensor and weight tensor should have the same"),
        ("F.batch_norm(ones(2, 4), ones(4), ones(3))", "running_var should contain 4 elements not 3"),
        ("F.batch_norm(ones(2, 4), None, None, ones(4), ones(3), True)", "bias should contain 4 elements"),
        ("torch.histogramdd(ones(3), 2)", "torch.histogramdd: input tensor should have at least 2"),
        ("torch.histogramdd(ones(3, 2), [2, 3, 4])",
         "histogramdd: The size of bins must be equal to the innermost dimension of the input."),
        # runs
        ("torch.segment_reduce(ones(3), 'sum')", "segment_reduce(): Either lengths or offsets must be"),
        ("torch.segment_reduce(ones(3), 'any', lengths=i64)", "reduce argument must be either sum, prod"),
        ("torch.segment_reduce(ones(3), 'sum', lengths=i64)",
         "segment_reduce(): Expected all rows of lengths along axis to sum to data.size("),
        ("torch.segment_reduce(ones(3), 'sum', lengths=i64 - 1)", "lengths contains negative value!"),
        ("torch.segment_reduce(ones(3, 2), 'sum', lengths=i64, axis=1)",
         "segment_reduce(): Expected axis to be the last dimension of lengths but got 1."),
        # factorizations
        ("torch.linalg.polar(ones(2, 3))", "linalg.polar: expected A.shape[-2] >= A.shape[-1], but"),
        ("torch.ormqr(ones(3, 2), ones(2), ones(2, 3))",
         "torch.ormqr: other.shape[-2] must be equal to input.shape[-2]"),
        ("torch.ormqr(ones(3, 2), ones(2), ones(3, 2), left=False)",
         "torch.ormqr: other.shape[-1] must be equal to input.shape[-2]"),
        ("torch.ormqr(ones(3, 2), ones(3), ones(3, 2))",
         "torch.ormqr: tau.shape[-1] must be less than or equal to input.shape[-1]"),
        ("torch.svd_lowrank(ones(3, 2), q=3)",
         "q(=3) must be non-negative integer and not greater than min(m, n)=2"),
        ("torch.pca_lowrank(ones(3, 2), niter=-1)", "niter(=-1) must be non-negative integer"),
        # layers
        ("F.embedding_bag(i64, ones(2, 3))", "embedding_bag: input has to be 2D without offsets"),
        ("F.embedding_bag(i64.view(1, 2), ones(2, 3), per_sample_weights=ones(1, 2))",
         "per_sample_weights was not None"),
        ("F.local_response_norm(ones(2, 3), 2)", "Expected 3D or higher dimensionality input"),
        ("F.layer_norm(ones(2, 3), [2])", "Given normalized_shape of 1 dimensions"),
        # joining
        ("torch.combinations(ones(2, 2))", "Expect a 1D vector and a non-negative number"),
        ("torch.vander(ones(()))", "vander: x must be a one-dimensional tensor"),
        ("torch.hsplit(ones(3), 2)", "torch.hsplit attempted to split along dimension 0"),
        # losses
        ("F.cosine_embedding_loss(ones(2), ones(2), ones(2))",
         "1D target tensor expects 2D input tensors, but"),
        ("F.multi_margin_loss(ones(2, 3), ones(3, dtype=torch.long))",
         "multi_margin_loss: inconsistent target size for a 2-d input"),
        ("F.multi_margin_loss(ones(2, 3), i64, p=3)", "only p == 1 and p == 2 supported"),
        ("F.ctc_loss(ones(2, 1, 3), ones(1, 1), [2, 2], [1])", "ctc_loss: log_probs [T, N, C], N input"),
        # numbers
        ("torch.polygamma(-1, ones(2))", "polygamma(n, x) needs n from 0 to 20, but n is -1"),
        ("torch.igamma(ones(1, requires_grad=True), 1.0).backward()",
         "the derivative for 'igamma: input' is not implemented."),
        ("torch.special.zeta(ones(1, requires_grad=True), 2.0).backward()",
         "the derivative for 'zeta' is not implemented."),
        ("torch.special.laguerre_polynomial_l(1j, 2)", "not implemented for 'ComplexFloat'"),
        ("torch.mvlgamma(ones(2), 0)", "p has to be greater than or equal to 1"),
        ("torch.isclose(ones(2), ones(2), rtol=-1.0)", "rtol must be greater than or equal to zero"),
        ("torch.view_as_real(ones(2))", "view_as_real is only supported for complex tensors"),
        ("torch.view_as_complex(ones(3))", "view_as_complex is only supported for tensors of float32"),
        ("torch.frexp(i64)", "torch.frexp() only supports floating-point dtypes, but got Long"),
        # pooling, images
        ("F.adaptive_avg_pool1d(ones(3), 2)", "adaptive_avg_pool: input [3] cannot be pooled to that size"),
        ("F.max_unpool1d(ones(1, 2), ones(1, 3, dtype=torch.long), 2)",
         "max_unpool: Expected shape of indices to be same as that"),
        ("F.fractional_max_pool2d(ones(5, 5), 2, 2, _random_samples=ones(1, 1, 2))",
         "fractional_max_pool2d(): Expected 3D or 4D tensor, but got: [5, 5]"),
        ("F.fractional_max_pool2d(ones(1, 5, 5), 2, 2, _random_samples=ones(1, 2))",
         "Expect _random_samples to have 3 dimensions, got 2"),
        ("F.fractional_max_pool2d(ones(1, 5, 5), 2, 2, _random_samples=ones(1, 2, 2))",
         "Expect _random_samples.size(1) equals to input channel size."),
        ("F.fractional_max_pool2d(ones(1, 5, 5), 0, 2)", "kernel size should be greater than zero, but got"),
        ("F.fractional_max_pool3d(ones(1, 5, 5, 5), 3, 4)",
         "fractional_max_pool3d(): pool size 3 too large relative to input size 5"),
        ("torch.linalg.vander(ones(2), N=0)", "linalg.vander: N must be greater than 1."),
        ("F.interpolate(ones(1, 1, 4), [2], mode='bicubic')",
         "Input Error: Only 3D, 4D and 5D input Tensors supported (got 3D)"),
        ("F.interpolate(ones(1, 1, 4), [0])", "Input and output sizes should be greater than 0"),
        ("F.pad(ones(1, 1, 4), [4, 4], 'reflect')",
         "Padding size should be less than the corresponding input dimension"),
        ("F.pad(ones(1, 1, 4), [5, 0], 'circular')",
         "pad: a dimension of size 4 cannot have the circular padding (5, 0)"),
        ("F.pad(ones(1, 1, 4), [1, 1], 'nothing')", "Unrecognised padding mode nothing"),
        ("F.pad(ones(4), [1, 1], 'reflect')",
         "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for"),
        ("F.grid_sample(ones(1, 1, 2, 2), ones(1, 2, 2, 3))",
         "grid_sampler(): expected grid to have size 2 in last dimension"),
        ("F.grid_sample(ones(1, 1, 2, 2, 2), ones(1, 1, 1, 1, 3), 'bicubic')",
         "grid_sampler(): bicubic interpolation only supports 4D input"),
        ("F.affine_grid(ones(1, 2, 2), [1, 1, 2, 2])",
         "Expected a batch of 2D affine matrices of shape Nx2x3"),
        ("F.pixel_shuffle(ones(3, 2, 2), 2)", "pixel_shuffle expects its input's 'channel' dimension"),
        ("F.pixel_unshuffle(ones(1, 3, 2), 2)", "pixel_unshuffle expects height and width to be"),
        ("F.channel_shuffle(ones(1, 3, 2), 2)", "Number of channels must be divisible by groups."),
        ("F.unfold(ones(1, 1, 2, 2), 3)", "im2col: an image of (2, 2) has no windows of that size"),
        ("F.unfold(ones(2, 2), 1)", "im2col: Expected 3D or 4D input tensor, but got 2-D"),
        ("F.fold(ones(1, 3, 4), [2, 2], 2)", "col2im: Expected input of 1 columns, each of a"),
        # random numbers, windows
        ("ones(2).exponential_(0.0)", "exponential_ expects lambda > 0.0, but found lambda=0"),
        ("ones(2).cauchy_(0.0, 0.0)", "cauchy_ expects sigma > 0.0, but found sigma=0"),
        ("ones(2).geometric_(1.0)", "geometric_ expects p to be in (0, 1), but got p=1"),
        ("ones(2).log_normal_(1.0, 0.0)", "log_normal_ expects std > 0.0, but found std=0"),
        ("torch.ones(2, dtype=torch.bool).cauchy_()", "random numbers: not implemented for 'Bool'"),
        ("torch.multinomial(ones(2), 3)", "multinomial: needs 1 or 2 dimensions of real weights"),
        ("torch.hann_window(-1)", "requires non-negative window length, got M=-1"),
        ("torch.hann_window(3, dtype=torch.long)", "expects floating point dtypes, got: int64"),
        ("torch.signal.windows.gaussian(3, std=0.0)", "its width must be positive, got: 0 instead."),
        ("torch.logspace(0, 1, -1)", "number of steps must be non-negative"),
        # by index
        ("torch.index_copy(ones(3), 0, i64, ones(3))",
         "index_copy: source float32 [3] does not fit 2 indices into dimension 0 of float32 [3]"),
        ("torch.index_fill(ones(3), 0, i64, ones(2))", "index_fill_ only supports a 0-dimensional value"),
        ("torch.index_reduce(ones(3), 0, i64, ones(2), 'max')",
         "reduce argument must be either sum, prod, mean, amax or amin, got max."),
        ("torch.scatter_reduce(ones(3), 0, i64, ones(1), 'sum')",
         "scatter_reduce: index and src must have self's number of"),
        ("torch.put(ones(3), i64, ones(3))", "put_(): Expected source and index to have the same number"),
        ("torch.masked_scatter(ones(2), i64, ones(2))", "masked_scatter_ only supports boolean masks"),
        ("torch.take_along_dim(ones(3), i64.view(1, 2), 0)",
         "torch.take_along_dim(): input and indices should have the same number"),
        # statistics
        ("torch.nanmean(i64)", "nanmean(): expected input to have floating point or complex dtype but got Long"),
        ("torch.logcumsumexp(i64, 0)", "logcumsumexp(): expected input to have floating point"),
        ("torch.diff(ones(()))", "diff expects input to be at least one-dimensional"),
        ("torch.gradient(ones(1))", "torch.gradient expected each dimension size to be at least"),
        ("torch.cov(ones(2, 2, 2))", "cov(): expected input to have two or fewer dimensions"),
        ("torch.renorm(ones(3), 1, 0, 1)", "renorm: input needs at least 2 dimensions, got 1 dimensions"),
        ("F.cosine_similarity(i64, i64, 0)", "expected common dtype to be floating point, yet common"),
        ("F.pdist(ones(3))", "pdist only supports 2D tensors, got: 1D"),
        ("torch.quantile(i64, 0.5)", "quantile() input tensor must be either float or double dtype"),
    ]

    def test_texts(self):
        for source, text in self.CASES:
            with self.subTest(source), self.assertRaises((RuntimeError, IndexError)) as caught:
                eval(source)
            with self.subTest(source):
                self.assertIn(text, str(caught.exception))


class Values(unittest.TestCase):
    def test_sizes_and_data(self):
        """A tuple is data to a tensor's type, a Size is the extents."""
        self.assertEqual(torch.Tensor((2, 3)).tolist(), [2, 3])
        self.assertEqual(torch.Tensor(torch.Size((2, 3))).shape, (2, 3))
        self.assertEqual(torch.LongTensor((2, 3)).tolist(), [2, 3])
        self.assertEqual(torch.FloatTensor(torch.Size((2, 3))).shape, (2, 3))

    def test_ends_in_tensors(self):
        """arange takes the one number that a tensor holds."""
        lengths = torch.tensor([2, 5, 3])
        self.assertEqual(torch.arange(lengths.max()).tolist(), [0, 1, 2, 3, 4])
        self.assertEqual(torch.arange(lengths[0], lengths[1], torch.tensor(2)).tolist(), [2, 4])
        self.assertEqual(torch.arange(torch.tensor(2.0, dtype=torch.float64)).dtype, torch.float32)

    def test_names_of_factors(self):
        m, v = ones(2, 2), ones(2)
        for r, of in [(torch.addmm(m, mat1=m, mat2=m), 3), (torch.addmv(v, mat=m, vec=v), 3),
                      (torch.addr(m, vec1=v, vec2=v), 2),
                      (torch.addbmm(m, batch1=m[None], batch2=m[None]), 3),
                      (torch.baddbmm(m[None], batch1=m[None], batch2=m[None]), 3)]:
            self.assertTrue(bool((r == of).all()))

    def test_nothing_to_choose_from(self):
        for fn in (lambda t: t.max(0), lambda t: t.amin(0), lambda t: t.median(0),
                   lambda t: t.argmax(0)):
            with self.assertRaisesRegex(IndexError, "to have non-zero size"):
                fn(ones(0, 3))
        for fn in ("sort", "median", "nanmedian", "mode", "cummax"):  # their second result unset
            with self.assertRaises(IndexError):
                getattr(ones(4), fn)(dim=3)

    def test_attention_of_nothing(self):
        """A query whose keys are all masked gets zeros, and no gradient."""
        q = torch.ones(1, 2, 3, requires_grad=True)
        for mask in (torch.tensor([[True, False], [False] * 2]),
                     torch.tensor([[0, -math.inf], [-math.inf] * 2])):
            out = F.scaled_dot_product_attention(q, q, q, attn_mask=mask)
            self.assertEqual(out.tolist(), [[[1] * 3, [0] * 3]])
            self.assertEqual(torch.autograd.grad(out.sum(), q)[0].tolist(), [[[1] * 3, [0] * 3]])

    def test_counts(self):
        """Each increment reads through all before it: what was read is found again at once."""
        n = torch.zeros(9, 9, dtype=torch.int32)
        for i in range(250):
            n[i * 7 % 9, i * i % 9] += 1
        self.assertEqual((n.sum().item(), n[0, 0].item()), (250, 28))

    def test_powers(self):
        """Of integers, wrapping, whatever the exponent."""
        for dtype, bits in ((torch.int8, 8), (torch.int32, 32), (torch.int64, 64)):
            for base in (0, 1, -1, 2, 3, -5):
                for exponent in (0, 1, 63, 64, 71, 100):
                    got = torch.tensor([base], dtype=dtype) ** torch.tensor([exponent], dtype=dtype)
                    want = (base ** exponent + 2 ** (bits - 1)) % 2 ** bits - 2 ** (bits - 1)
                    self.assertEqual(got.item(), want, (base, exponent, dtype))

    def test_rolls(self):
        """A link of the chain reads the one before twice: fused, the last would hold 2**16."""
        x, rows = torch.randint(0, 9, (2, 16)), []
        for i in range(16):
            rows.append(x)
            x = torch.roll(x, 1, 1)
            x[:, 0] = 9
        got = torch.stack(rows).tolist()
        self.assertEqual(got[15], [[9] * 15 + row[:1] for row in got[0]])

    CASES = [
        ("torch.lgamma(torch.tensor([0.5, -1.5, 100.0]))", [0.5723649, 0.8600470, 359.1342]),
        ("torch.digamma(torch.tensor([0.5, -1.5, 100.0]))", [-1.9635100, 0.7031567, 4.6001617]),
        ("torch.polygamma(2, torch.tensor([0.5, -1.5]))", [-16.828796, -0.2362040]),
        ("torch.erfinv(torch.tensor([0.5, -0.99, 1.0]))", [0.4769363, -1.8213864, math.inf]),
        ("torch.special.ndtri(torch.tensor([0.1, 1e-20]))", [-1.2815516, -9.2623406]),
        ("torch.special.log_ndtr(torch.tensor([-20.0, 3.0]))", [-203.91716, -0.0013508]),
        ("torch.special.erfcx(torch.tensor([-1.0, 0.0, 30.0]))", [5.0089800, 1.0, 0.0187959]),
        ("torch.i0(torch.tensor([0.0, 1.0, 20.0]))", [1.0, 1.2660658, 43558283.0]),
        ("torch.special.i1(torch.tensor([0.0, -1.0, 20.0]))", [0.0, -0.5651591, 42454972.0]),
        ("torch.special.bessel_j0(torch.tensor([2.5, 30.0]))", [-0.0483837764, -0.0863679836]),
        ("torch.special.bessel_y1(torch.tensor([0.5, 20.0, 0.0]))",
         [-1.4714723927, -0.1655116144, -math.inf]),
        ("torch.special.modified_bessel_k1(torch.tensor([5.0, 0.0]))", [0.0040446134, math.inf]),
        ("torch.special.airy_ai(torch.tensor([-10.0, -1.0, 4.0]))",
         [0.0402412385, 0.5355608833, 0.0009515639]),
        ("torch.igamma(torch.tensor([2.5, 0.0]), 3.0)", [0.6937810816, 1.0]),
        ("torch.igammac(torch.tensor([200.0]), 210.0)", [0.2360303255]),
        ("torch.special.zeta(torch.tensor([2.5, 2.0, 1.0]), torch.tensor([1.5, 0.5, 3.0]))",
         [0.5902563851, 4.9348022005, math.inf]),
        ("torch.special.laguerre_polynomial_l(torch.tensor([2.0, 0.5]), torch.tensor([2, 3]))",
         [-1.0, -0.1458333]),
        ("torch.special.chebyshev_polynomial_u(torch.tensor([0.5, 2.0]), 10)", [-1.0, 564719.0]),
        ("torch.nextafter(torch.tensor([1.0, 0.0]), torch.tensor([2.0, -1.0]))", [1.0000001, -1e-45]),
        ("torch.histogram(torch.tensor([1.0, 2, 2, 5]), torch.tensor([0.0, 2, 5]), density=True)[0]",
         [0.125, 0.25]),
        ("torch.segment_reduce(torch.arange(6.0), 'max', lengths=torch.tensor([2, 0, 4]))",
         [1.0, -math.inf, 5.0]),
        ("torch.segment_reduce(torch.arange(6.0), 'mean', offsets=torch.tensor([1, 3, 5]), initial=2)",
         [2.5, 4.5]),
        ("torch.frexp(torch.tensor([10.0, 1e-40]))[0]", [0.625, 0.5444489]),
        ("torch.gcd(torch.tensor([12, 0, -8]), torch.tensor([18, 5, 12]))", [6, 5, 4]),
        ("torch.logcumsumexp(torch.tensor([1.0, -1000.0, 2.0]), 0)", [1.0, 1.0, 2.3132617]),
        ("torch.mode(torch.tensor([3, 1, 3, 1, 2]))[0].view(1)", [1]),
        ("F.conv_transpose1d(ones(1, 1, 2), ones(1, 1, 3), stride=2).flatten()", [1, 1, 2, 1, 1]),
        ("F.interpolate(torch.tensor([[[1.0, 3.0]]]), 4, mode='linear').flatten()",
         [1.0, 1.5, 2.5, 3.0]),
        ("torch.abs(torch.tensor([3 + 4j]))", [5.0]),
        ("torch.exp(torch.tensor([1 + 2j])).imag", [2.4717267]),
        ("F.ctc_loss(ones(3, 1, 2).log_softmax(2), torch.tensor([[1, 1]]), [3], [2]).view(1)",
         [1.0397208]),
        ("torch.hann_window(4)", [0.0, 0.5, 1.0, 0.5]),
        ("torch.masked.mean(torch.tensor([[1.0, 2.0], [4.0, 8.0]]), 1,"
         " mask=torch.tensor([[True, False], [True, True]]))", [1.0, 6.0]),
        ("torch.signal.windows.kaiser(3, beta=2.0)", [0.4386763, 1.0, 0.4386763]),
        ("torch.logspace(0, 2, 3)", [1.0, 10.0, 100.0]),
        ("F.cosine_similarity(torch.tensor(2.0), torch.tensor(-3.0), 0).view(1)", [-1.0]),
    ]

    def test_numbers(self):
        for source, want in self.CASES:
            got = eval(source).tolist()
            with self.subTest(source):
                self.assertEqual(len(got), len(want))
                for a, b in zip(got, want):
                    self.assertTrue(a == b or abs(a - b) <= 2e-6 * max(1, abs(b)), (got, want))

    def test_out(self):
        x, v, i = torch.tensor([[3.0, 1.0], [2.0, 5.0]]), torch.empty(0), torch.empty(2, 2).long()
        r = torch.sort(x, dim=0, out=(v, i))
        self.assertIs(r.values, v)
        self.assertEqual((v.tolist(), i.tolist()), ([[2, 1], [3, 5]], [[1, 0], [0, 1]]))
        self.assertEqual(torch.add(x, 1, out=torch.empty(0)).tolist(), [[4, 2], [3, 6]])
        for out in (v, (v,), (v, 1)):
            with self.assertRaisesRegex(TypeError, "argument 'out' must be a tuple of 2 Tensors"):
                torch.sort(x, out=out)

    def test_low_rank(self):
        a = torch.randn(6, 2) @ torch.randn(2, 5)
        u, s, v = torch.svd_lowrank(a, q=3)
        self.assertTrue(torch.allclose(u @ s.diag() @ v.mT, a, atol=1e-5))
        u, s, v = torch.pca_lowrank(a.mT)
        self.assertTrue(torch.allclose(u @ s.diag() @ v.mT, a.mT - a.mT.mean(0), atol=1e-5))

    def test_any_number(self):
        """Lists of tensors, of sizes and of results have no limit."""
        x = torch.arange(1000.0)
        for parts in (x.split(1), x.unbind(), x.chunk(1000), torch.tensor_split(x, 1000),
                      x.split([1] * 1000), torch.tensor_split(x, list(range(1, 1000))),
                      torch.tensor_split(x, torch.arange(1, 1000))):
            self.assertEqual(len(parts), 1000)
            self.assertEqual(parts[-1].reshape(()).item(), 999)
            self.assertTrue(torch.equal(torch.stack(parts).view(-1), x))
            self.assertTrue(torch.equal(torch.hstack(parts), x))
        self.assertEqual(len(torch.broadcast_tensors(*[x] * 300)), 300)
        self.assertEqual([p.shape for p in torch.zeros(0, 2).split(3)], [(0, 2)])
        self.assertEqual([p.shape for p in torch.zeros(0, 2).chunk(3)], [(0, 2)] * 3)
        p = [torch.ones(2, requires_grad=True) for _ in range(300)]
        g = torch.autograd.grad(sum((i * t).sum() for i, t in enumerate(p)), p)
        self.assertEqual([t[0].item() for t in g], list(range(300)))

    def test_many_parts(self):
        """Losses of many steps, joined: each is computed once, in a kernel of bounded size."""
        n = 150
        w = torch.linspace(-1, 1, 8).reshape(2, 4).requires_grad_()
        x, r = torch.linspace(-2, 2, 4 * n).reshape(n, 4), torch.linspace(0, 1, n)
        steps = [torch.softmax(x[i:i + 1] @ w.T, 1)[:, i % 2].clamp(1e-7, 1).log() for i in range(n)]
        torch.cat([-s * r[i] for i, s in enumerate(steps)]).sum().backward()
        got, w.grad = w.grad, None
        all_at_once = torch.log_softmax(x @ w.T, 1)[torch.arange(n), torch.arange(n) % 2]
        (-all_at_once * r).sum().backward()
        self.assertTrue(torch.allclose(got, w.grad, rtol=1e-4))

    def test_sorted(self):
        """Rows below and above a network's run, and the few first of many: stable, NaN last."""
        def key(x):
            return (1, 0) if x != x else (0, x)
        torch.manual_seed(3)
        for n, dtype in ((5, torch.float32), (8, torch.int64), (41, torch.float64),
                         (300, torch.float32), (700, torch.uint8), (300, torch.int64)):
            x = (torch.randn(2, n) * 9).round()
            if dtype.is_floating_point:
                x[:, ::7], x[:, 1::9], x[0, 2] = float("nan"), -0.0, float("inf")
            x = x.to(dtype)
            for descending in False, True:
                want = [sorted(range(n), key=lambda i: key(row[i])) for row in x.tolist()]
                if descending:
                    want = [sorted(range(n), key=lambda i: [-v for v in key(row[i])])
                            for row in x.tolist()]
                for k in 1, 5, 20, n:
                    if k <= n:
                        v, i = torch.topk(x, k, 1, descending)
                        self.assertEqual(i.tolist(), [w[:k] for w in want])
                        self.assertEqual(repr(v), repr(x.gather(1, i)))
                self.assertEqual(torch.argsort(x, 1, descending).tolist(), want)

    def test_empty_differences(self):
        x = torch.zeros(0)
        for _ in range(3):
            self.assertEqual(torch.diff(x).tolist(), [])
            self.assertEqual(torch.diff(x, n=2).tolist(), [])
        self.assertEqual(x.shape, (0,))

    def test_written_results(self):
        """Results that PyTorch's derivatives do not read may be written to in place."""
        for f in (F.silu, F.softsign, lambda x: x / (x + 3), lambda x: F.max_pool2d(x, 2),
                  lambda x: F.adaptive_max_pool2d(x, 1), lambda x: x.cummax(1)[0],
                  lambda x: F.normalize(x, dim=1)):
            x = torch.linspace(-1, 2, 16).reshape(1, 1, 4, 4).requires_grad_()
            y = f(x)
            y += 1
            y.relu_().sum().backward()
            got, x.grad = x.grad, None
            (f(x) + 1).relu().sum().backward()
            self.assertEqual(got.tolist(), x.grad.tolist())
        y = x.exp()
        y += 1
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace"):
            y.sum().backward()

    def test_gradient_of_a_part(self):
        """A leaf that is a part of its storage collects a gradient of its own shape."""
        w = torch.arange(6.0).view(2, 3)[:, 1:].requires_grad_()
        (w.reshape(4) ** 2).sum().backward()
        self.assertEqual(w.grad.tolist(), [[2.0, 4.0], [8.0, 10.0]])


if __name__ == "__main__":
    unittest.main()
