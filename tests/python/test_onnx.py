"""kiln.onnx without any package beside it: models written here, field by field."""
import os
import struct
import sys
import tempfile
import warnings

import kiln
import kiln.onnx
from kiln.testing import assert_close

FLOAT, UINT8, INT64 = 1, 2, 7


# ---- protobuf's wire format, ONNX's numbers of fields ----

def varint(v):
    out = b""
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value(name, type, dims):
    shape = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, type) + field(2, shape)))


def node(op, inputs, outputs, domain="", **attributes):
    out = b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs)
    out += field(7, domain)
    for name, v in attributes.items():
        out += field(5, field(1, name) + field(3, v) + field(20, 2))
    return out + field(4, op)


def tensor(name, type, dims, raw):
    return (b"".join(field(1, d) for d in dims) + field(2, type) + field(8, name) + field(9, raw))


def model(nodes, inputs, outputs, tensors=(), opset=17, domain=""):
    graph = b"".join([*(field(1, n) for n in nodes), *(field(5, t) for t in tensors),
                      *(field(11, value(*i)) for i in inputs), *(field(12, value(*o)) for o in outputs)])
    more = field(8, field(1, domain) + field(2, 1)) if domain else b""
    return field(1, 8) + field(8, field(2, opset)) + more + field(7, graph)


W = tensor("w", FLOAT, (3, 2), struct.pack("6f", 1, 2, 3, 4, 5, 6))
LINEAR = model([node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])],
               [("x", FLOAT, ("n", 3)), ("b", FLOAT, (2,)), ("w", FLOAT, (3, 2))],
               [("y", FLOAT, ("n", 2))], [W])


def raises(kind, text, f):
    try:
        f()
    except kind as e:
        assert text in str(e), f"'{text}' is not in '{e}'"
        assert "\n" not in str(e), str(e)
    else:
        raise AssertionError(f"nothing was raised: {text}")


def test_inputs_by_position_and_name():
    m = kiln.onnx.load(LINEAR)
    assert [p.name for p in m.inputs] == ["x", "b"]  # w is an initialiser
    assert m.inputs[0].shape == ("n", 3) and m.inputs[0].dtype == kiln.float32
    x, b = kiln.ones(1, 3), kiln.tensor([0.5, -0.5])
    want = kiln.tensor([[9.5, 11.5]])
    for y in (m(x, b), m(x, b=b), m(b=b, x=x)):
        assert_close(y, want)
    assert_close(m(x, [0.5, -0.5]), want)
    raises(TypeError, "input 'b' is missing", lambda: m(x))
    raises(TypeError, "there is no input 'c'; inputs are x, b", lambda: m(x, c=b))
    raises(TypeError, "input 'x' is given twice", lambda: m(x, x=x))
    raises(TypeError, "2 inputs, but 3 were given", lambda: m(x, b, b))
    raises(TypeError, "input 'x' is torch.float32, but got torch.int64", lambda: m(x.long(), b))
    raises(ValueError, "input 'x' has shape ['n', 3], but got [3]", lambda: m(x[0], b))


def test_one_program_serves_all_sizes():
    m = kiln.onnx.load(LINEAR)
    b = kiln.zeros(2)
    m(kiln.ones(2, 3), b)
    m(kiln.ones(3, 3), b)
    before = kiln.stats()["programs_compiled"]
    for n in (4, 5, 17):
        y = m(kiln.ones(n, 3), b)
        assert y.tolist() == [[9., 12.]] * n
    assert kiln.stats()["programs_compiled"] == before


def test_sizes_are_computed_with():
    """x's second size as a number beside its elements, as exported masks have it."""
    m = kiln.onnx.load(model(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "one"], ["n"]),
         node("Slice", ["s", "zero", "ones"], ["b"]), node("Mul", ["x", "n"], ["y"]),
         node("Add", ["y", "b"], ["z"])], [("x", INT64, ("b", "n"))], [("z", INT64, ("b", "n"))],
        [tensor("one", INT64, (), struct.pack("q", 1)),
         tensor("zero", INT64, (1,), struct.pack("q", 0)),
         tensor("ones", INT64, (1,), struct.pack("q", 1))]))
    for b, n in ((2, 3), (4, 7), (3, 5), (1, 1)):
        x = kiln.arange(b * n).reshape(b, n)
        assert m(x).tolist() == (x * n + b).tolist()
    assert "a program of all sizes" in m.report() and "for each size" not in m.report()


def test_a_table_that_ends_bounds_a_size():
    m = kiln.onnx.load(model(
        [node("Shape", ["x"], ["s"]), node("Slice", ["s", "one", "two"], ["n"]),
         node("Slice", ["table", "zero", "n", "zero"], ["t"]), node("Add", ["x", "t"], ["y"])],
        [("x", INT64, ("b", "n"))], [("y", INT64, ("b", "n"))],
        [*(tensor(k, INT64, (1,), struct.pack("q", v))
           for k, v in (("zero", 0), ("one", 1), ("two", 2))),
         tensor("table", INT64, (64,), struct.pack("64q", *range(64)))]))
    for b, n in ((2, 3), (4, 7), (300, 64), (1, 1)):
        assert m(kiln.ones(b, n, dtype=kiln.int64)).tolist() == [list(range(1, n + 1))] * b
    assert "a program of all sizes" in m.report() and "for each size" not in m.report()
    raises(Exception, "must match", lambda: m(kiln.ones(2, 65, dtype=kiln.int64)))


def test_two_names_of_one_size_are_told_by_what_does_not_fit():
    m = kiln.onnx.load(model([node("Add", ["x", "y"], ["z"])],
                             [("x", FLOAT, ("a",)), ("y", FLOAT, ("b",))], [("z", FLOAT, ("a",))]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in (3, 5, 4):
            assert m(kiln.ones(n), kiln.ones(n)).tolist() == [2.] * n
    assert "a program for each size: " in m.report() and "must match" in m.report(), m.report()


def test_sizes_that_elements_decide():
    m = kiln.onnx.load(model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, (4,))],
                             [("y", INT64, (1, "k"))]))
    for x, want in (([0., 1., 0., 2.], [[1, 3]]), ([1., 1., 1., 0.], [[0, 1, 2]])):
        assert m(kiln.tensor(x)).tolist() == want


def test_a_report_tells_how_a_model_runs_and_why():
    m = kiln.onnx.load(model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, ("n",))],
                             [("y", INT64, (1, "m"))]))
    for n in (3, 5, 4):
        x = kiln.arange(n).to(kiln.float32)
        assert m(x).tolist() == [list(range(1, n))]
    assert m.report() == "1 programs of one size each\na program of all sizes", m.report()
    m = kiln.onnx.load(model([node("Reshape", ["x", "s"], ["y"])],
                             [("x", FLOAT, (6,)), ("s", INT64, (2,))], [("y", FLOAT, ("a", "b"))]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for shape in ([2, 3], [6, 1], [3, 2]):
            assert list(m(kiln.zeros(6), kiln.tensor(shape)).shape) == shape
    assert len(said) == 1 and "kiln.onnx: run node by node: " in str(said[0].message)
    assert m.report().startswith("run node by node: ") and "Reshape" in m.report()


def test_several_outputs():
    m = kiln.onnx.load(model([node("TopK", ["x", "k"], ["v", "i"])], [("x", FLOAT, (4,))],
                             [("v", FLOAT, (2,)), ("i", INT64, (2,))],
                             [tensor("k", INT64, (1,), struct.pack("q", 2))]))
    v, i = m(kiln.tensor([3., 1., 4., 1.]))
    assert v.tolist() == [4., 3.] and i.tolist() == [2, 0]


def bytes_of(values, scale, zero):
    """As a quantized operator gives them."""
    return [min(max(round(v / scale) + zero, 0), 255) for v in values]


def test_operators_between_quantized_operands():
    """Those that ONNX Runtime's quantizer writes, of whole numbers and scales that are exact."""
    tensors = [tensor("s", FLOAT, (), struct.pack("f", 0.5)), tensor("z", UINT8, (), b"\x0a"),
               tensor("t", FLOAT, (1,), struct.pack("f", 2.)), tensor("u", UINT8, (1,), b"\x80"),
               tensor("c", 9, (3,), b"\x01\0\x01"), tensor("i", 6, (2,), struct.pack("2i", 8, -8))]
    xs, ws = [0, 10, 255], [3, 7, 20]
    a, b = ([(v - 10) / 2 for v in l] for l in (xs, ws))
    x, w, y = ("x", "s", "z"), ("w", "s", "z"), ("t", "u")
    for op, inputs, want, more in (
            ("QLinearAdd", (*x, *w, *y), [p + q for p, q in zip(a, b)], {}),
            ("QLinearMul", (*x, *w, *y), [p * q for p, q in zip(a, b)], {}),
            ("QLinearConcat", (*y, *x, *w), a + b, {"axis": 0}),
            ("QLinearWhere", ("c", *x, *w, *y), [a[0], b[1], a[2]], {}),
            ("QLinearSigmoid", (*x, *y), [0, .5, 1], {}),
            ("QLinearReduceMean", (*x, *y), [sum(a) / 3], {}),
            ("QLinearAdd", (*x, *w, "t"), [p + q for p, q in zip(a, b)], {"zero": 0})):
        zero = more.pop("zero", 128)
        m = kiln.onnx.load(model([node(op, inputs, ["y"], "com.microsoft", **more)],
                                 [("x", UINT8, (3,)), ("w", UINT8, (3,))],
                                 [("y", UINT8, (len(want),))], tensors, domain="com.microsoft"))
        u8 = [kiln.tensor(v, dtype=kiln.uint8) for v in (xs, ws)]
        assert m(*u8).tolist() == bytes_of(want, 2, zero), op
    for end, want in ((y, [145, 126]), ((), [34, -5])):
        g = node("QGemm", ("x", "s", "z", "w", "s", "z", "i", *end), ["y"], "com.microsoft", transB=1)
        m = kiln.onnx.load(model([g], [("x", UINT8, (1, 3)), ("w", UINT8, (2, 3))],
                                 [("y", UINT8 if end else FLOAT, (1, 2))], tensors,
                                 domain="com.microsoft"))
        got = m(kiln.tensor([[12, 8, 16]], dtype=kiln.uint8),
                kiln.tensor([[20, 10, 28], [6, 18, 12]], dtype=kiln.uint8))
        assert got.tolist() == [want], (got, want)


def test_regions_of_no_image():
    nodes = [node("RoiAlign", ["x", "r", "b"], ["y"], output_height=2, output_width=2)]
    m = kiln.onnx.load(model(nodes, [("x", FLOAT, (1, 3, 4, 4)), ("r", FLOAT, ("n", 4)),
                                     ("b", INT64, ("n",))], [("y", FLOAT, ("n", 3, 2, 2))]))
    assert m(kiln.ones(1, 3, 4, 4), kiln.zeros(0, 4), kiln.zeros(0).long()).shape == (0, 3, 2, 2)


def test_what_is_largest_of_nothing_and_of_one_number():
    m = kiln.onnx.load(model([node("Hardmax", ["x"], ["y"])], [("x", FLOAT, (0, 3))],
                             [("y", FLOAT, (0, 3))], opset=10))
    assert m(kiln.zeros(0, 3)).shape == (0, 3)
    m = kiln.onnx.load(model([node("ArgMax", ["x"], ["y"])], [("x", FLOAT, ())], [("y", INT64, ())]))
    assert m(kiln.tensor(5.)).tolist() == 0


def test_another_domain_is_named():
    for op, text in (("Conv", "(com.microsoft.nchwc.Conv, opset 1): no such operator"),
                     ("Fused", "(com.microsoft.nchwc.Fused, opset 1): no such operator")):
        m = kiln.onnx.load(model([node(op, ["x"], ["y"], "com.microsoft.nchwc")],
                                 [("x", FLOAT, (4,))], [("y", FLOAT, (4,))],
                                 domain="com.microsoft.nchwc"))
        raises(NotImplementedError, text, lambda: m(kiln.zeros(4)))
        assert m.missing().startswith(f"com.microsoft.nchwc.{op} opset 1: 1 node (nearest: ")


def test_random_numbers_are_drawn_at_each_call():
    like = model([node("RandomNormalLike", ["x"], ["y"])], [("x", FLOAT, (8,))], [("y", FLOAT, (8,))])
    m = kiln.onnx.load(like)
    x = kiln.zeros(8)
    assert m(x).tolist() != m(x).tolist()


def test_files_and_errors():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        with open(path, "wb") as f:
            f.write(LINEAR)
        assert_close(kiln.onnx.load(path)(kiln.ones(1, 3), kiln.zeros(2)), kiln.tensor([[9., 12.]]))
        raises(Exception, "none.onnx: cannot read", lambda: kiln.onnx.load(path[:-8] + "none.onnx"))
        with open(path, "wb") as f:
            f.write(LINEAR[:-3])
        raises(Exception, "net.onnx: cut short, or no protobuf", lambda: kiln.onnx.load(path))
    lacks = kiln.onnx.load(model([node("Foo", ["x"], ["y"])], [("x", FLOAT, (4,))], [("y", FLOAT, ())]))
    assert lacks.missing().startswith("Foo opset 17: 1 node (nearest: ")
    raises(NotImplementedError, "(Foo, opset 17): no such operator is supported",
           lambda: lacks(kiln.zeros(4)))


def test_a_model_can_be_freed_before_its_results():
    m = kiln.onnx.load(model([node("Identity", ["w"], ["y"])], [], [("y", FLOAT, (3, 2))], [W]))
    y = m()
    del m
    assert y.tolist() == [[1., 2.], [3., 4.], [5., 6.]]


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(f"{name} ok")
    sys.exit(0)
