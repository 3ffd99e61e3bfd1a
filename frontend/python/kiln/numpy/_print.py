"""How arrays print: NumPy's array2string with its default options. One format for all
elements, which is chosen by those shown; above 1000 elements three at each end are shown.

    [1.  2.5 3. ]        array([1. , 2.5, 3. ])"""
import contextlib
import math
import struct

_options = {"edgeitems": 3, "threshold": 1000, "precision": 8, "linewidth": 75, "suppress": False,
            "nanstr": "nan", "infstr": "inf"}
_PACKED = {"float16": "e", "float32": "f", "float64": "d"}
_DIGITS = {"float16": 3, "float32": 6, "float64": 15}


def _shortest(x, name):
    """The fewest digits that read back as x in its dtype: ('12', exponent of the first)."""
    if name == "float64":
        text = f"{float(repr(x)):.17e}" if x == 0 else repr(x)
    else:
        code = _PACKED[name]
        for n in range(17):
            text = f"{x:.{n}e}"
            try:
                if struct.unpack(code, struct.pack(code, float(text)))[0] == x:
                    break
            except OverflowError:  # rounded up past the largest
                continue
    mantissa, _, exponent = text.lower().lstrip("-").partition("e")
    whole, _, part = mantissa.partition(".")
    digits = whole + part
    lead = len(digits) - len(digits.lstrip("0"))
    return digits.strip("0") or "0", int(exponent or 0) + len(whole) - 1 - (
        lead if digits.strip("0") else 0)


def _sign(x):
    return "-" if math.copysign(1, x) < 0 else ""


def positional(x, name, precision=None):
    """x without exponent: its shortest digits, at most precision of them after the dot."""
    digits, first = _shortest(x, name)
    if x == 0:
        return _sign(x) + "0."
    after = max(len(digits) - 1 - first, 0)
    if precision is not None and after > precision:
        text = f"{abs(x):.{precision}f}"
        return _sign(x) + (text.rstrip("0") if "." in text else text + ".")
    if first < 0:
        return _sign(x) + "0." + "0" * (-first - 1) + digits
    digits = digits.ljust(first + 1, "0")
    return _sign(x) + digits[:first + 1] + "." + digits[first + 1:]


def scientific(x, name, precision=None, least=0, exponent_digits=2):
    """x as d.ddde+dd, with least digits after the dot at least."""
    digits, first = ("0", 0) if x == 0 else _shortest(x, name)
    exact = precision if precision is not None and len(digits) - 1 > precision else least
    if len(digits) - 1 != exact and (exact == precision or exact > len(digits) - 1):
        text, _, power = f"{abs(x):.{exact}e}".partition("e")  # NumPy pads by further digits
        digits, first = text.replace(".", "").rstrip("0") or "0", int(power)
    return (f"{_sign(x)}{digits[0]}.{digits[1:].ljust(least, '0')}e{'-' if first < 0 else '+'}"
            f"{abs(first):0{exponent_digits}d}")


def get_printoptions():
    """How arrays print."""
    return dict(_options)


def set_printoptions(**options):
    """Change how arrays print: precision, threshold, edgeitems, linewidth, suppress, nanstr, infstr."""
    for name, value in options.items():
        if name not in _options:
            raise NotImplementedError(f"set_printoptions(): {name} is not implemented")
        if name == "threshold" and not isinstance(value, (int, float)):
            raise TypeError("threshold must be numeric")
        if name == "threshold" and math.isnan(value):
            raise ValueError("threshold must be non-NAN, try sys.maxsize for untruncated "
                             "representation")
    _options.update({n: v for n, v in options.items() if v is not None})


@contextlib.contextmanager
def printoptions(**options):
    """The same, for a while."""
    before = get_printoptions()
    try:
        set_printoptions(**options)
        yield get_printoptions()
    finally:
        _options.update(before)


def _unusual(x):
    return _options["nanstr"] if math.isnan(x) else ("-" if x < 0 else "") + _options["infstr"]


class _Reals:
    def __init__(self, values, name, plus=False):
        self.name, self.plus, self.places = name, plus, None
        finite = [v for v in values if math.isfinite(v)]
        sizes = [abs(v) for v in finite if v]
        self.exponent = bool(sizes) and (
            max(sizes) >= 10.0 ** min(8, _DIGITS[name]) or not _options["suppress"] and (
                min(sizes) < 0.0001 or self._ratio(max(sizes), min(sizes)) > 1000))
        self.left = self.right = 0
        if finite and self.exponent:
            self._fit_scientific(finite)
        elif finite:
            parts = [self._plus(v, positional(v, name, _options["precision"])).split(".") for v in finite]
            self.left = max(len(p[0]) for p in parts)
            self.right = max(len(p[1]) for p in parts)
        if len(finite) < len(values):
            minus = plus or any(v == -math.inf for v in values)
            wide = max([len(_options["nanstr"])] * any(map(math.isnan, values)) +
                       [len(_options["infstr"]) + minus] * any(map(math.isinf, values)))
            self.left = max(self.left, wide - self.right - 1)

    def _ratio(self, a, b):
        """In the dtype itself, where it may overflow or round."""
        try:
            return struct.unpack(_PACKED[self.name], struct.pack(_PACKED[self.name], a / b))[0]
        except OverflowError:
            return math.inf

    def _plus(self, v, text):
        return "+" + text if self.plus and not text.startswith("-") else text

    def _fit_scientific(self, finite):
        texts = [self._plus(v, scientific(v, self.name, _options["precision"])) for v in finite]
        parts = [t.partition("e") for t in texts]
        self.power = max(len(p[2]) for p in parts) - 1
        self.places = max(len(p[0].split(".")[1]) for p in parts)
        self.left = max(len(p[0].split(".")[0]) for p in parts)
        self.right = self.power + 2 + self.places

    def __call__(self, v):
        if not math.isfinite(v):
            text = _unusual(v)
            text = "+" + text if self.plus and not v < 0 else text
            return text.rjust(self.left + self.right + 1)
        if self.exponent:
            text = scientific(v, self.name, self.places, self.places, self.power)
            return self._plus(v, text).rjust(self.left + self.right + 1)
        whole, part = self._plus(v, positional(v, self.name, _options["precision"])).split(".")
        return whole.rjust(self.left) + "." + part.ljust(self.right)


class _Pairs:
    def __init__(self, values, name):
        part = "float32" if name == "complex64" else "float64"
        self.real = _Reals([v.real for v in values], part)
        self.imag = _Reals([v.imag for v in values], part, True)

    def __call__(self, v):
        i = self.imag(v.imag)
        end = len(i.rstrip())
        return self.real(v.real) + i[:end] + "j" + i[end:]


def _formatter(values, dt, rank):
    if dt.kind == "b":
        return lambda v: ("True" if rank == 0 else " True") if v else "False"
    if dt.kind in "iu":
        width = max((len(str(v)) for v in values), default=0)
        return lambda v: str(v).rjust(width)
    return _Reals(values, dt.name) if dt.kind == "f" else _Pairs(values, dt.name)


def _flat(nested, rank):
    for _ in range(rank - 1):
        nested = [v for part in nested for v in part]
    return nested if rank else [nested]


def _join(words, separator, indent, width):
    """Words in lines, broken where they do not fit."""
    lines, line = "", indent
    for i, word in enumerate(words):
        if len(line) + len(word) > width and len(line) > len(indent):
            lines, line = lines + line.rstrip() + "\n", indent
        line += word + (separator if i < len(words) - 1 else "")
    return lines + line


def _rows(nested, cut, write, separator, indent, width):
    """The text of one level; cut[0]: this level's middle is left out."""
    if not cut:
        return write(nested)
    inner, edge = indent + " ", _options["edgeitems"]
    parts = [nested[:edge], nested[-edge:]] if cut[0] else [nested]
    texts = [[_rows(v, cut[1:], write, separator, inner, width - 1) for v in p] for p in parts]
    words = texts[0] + (["..."] + texts[1] if cut[0] else [])
    if len(cut) == 1:
        s = _join(words, separator, indent, width - max(len(separator.rstrip()), 1))
    else:
        s = (separator.rstrip() + "\n" * (len(cut) - 1)).join(indent + w for w in words)
    return "[" + s[len(indent):] + "]"


def array2string(a, separator=" ", prefix="", width=None, *, max_line_width=None,
                 suppress_small=None, **options):
    """a's text between brackets; options are printoptions'."""
    options["suppress"] = suppress_small
    given = {n: v for n, v in options.items() if v is not None and n in _options}
    if given:
        with printoptions(**given):
            return array2string(a, separator, prefix, width or max_line_width)
    width = width or max_line_width
    if a.size == 0:
        return "[]"
    edge = _options["edgeitems"]
    cut = [a.size > _options["threshold"] and n > 2 * edge for n in a.shape]
    shown = a.take_edges(cut, edge).tolist()
    write = _formatter(_flat(shown, a.ndim), a.dtype, a.ndim)
    return _rows(shown, cut, write, separator, " " * (len(prefix) + 1), width or _options["linewidth"])


def array_str(a):
    """print's text."""
    return scalar_text(a.item(), a.dtype) if a.ndim == 0 else array2string(a)


def array_repr(a):
    """The text with dtype and shape where they cannot be seen from the numbers."""
    start = "array(" + array2string(a, ", ", "array(", _options["linewidth"] - len(")"))
    extras = []
    if (a.size == 0 and a.shape != (0,)) or a.size > _options["threshold"]:
        extras.append(f"shape={a.shape}")
    if a.dtype.name not in ("bool", "int64", "float64", "complex128") or a.size == 0:
        extras.append(f"dtype={a.dtype.name}")
    if not extras:
        return start + ")"
    text, extra = start + ",", ", ".join(extras) + ")"
    room = len(text) - (text.rfind("\n") + 1) + len(extra) + 1 <= _options["linewidth"]
    return text + (" " if room else "\n" + " " * len("array(")) + extra


def _real_text(v, name):
    if not math.isfinite(v):
        return "nan" if math.isnan(v) else "-inf" if v < 0 else "inf"
    if v == 0 or 1e-4 <= abs(v) < (1e16 if name == "float64" else 10.0 ** _DIGITS[name]):
        text = positional(v, name)
        return text + "0" if text.endswith(".") else text
    text = scientific(v, name)
    return text.replace(".e", "e")


def scalar_text(v, dt):
    """One element's own text: all its digits."""
    if dt.kind == "f":
        return _real_text(v, dt.name)
    if dt.kind != "c":
        return str(v)
    part = "float32" if dt.name == "complex64" else "float64"

    def bare(x):
        text = _real_text(x, part)
        return text[:-2] if text.endswith(".0") else text

    imag = bare(v.imag) + "j"
    if v.real == 0 and math.copysign(1, v.real) > 0:
        return imag
    return f"({bare(v.real)}{'' if imag.startswith('-') else '+'}{imag})"
