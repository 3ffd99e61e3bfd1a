"""What is told about the package: help, signatures, type stubs, and every example in a docstring
or in README.md, which is run and must print what stands below it."""
import ast
import builtins
import contextlib
import doctest
import importlib
import inspect
import io
import os
import pkgutil
import re
import shlex
import unittest

import kiln as torch

FUNCTION, METHOD, INPLACE = 1, 2, 4
ROOT = os.environ.get("SOURCE_ROOT") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
AT_FIRST = set(vars(torch))  # before other tests import modules that the package does not
ROWS = {}
for _row in torch._kiln._table():
    ROWS.setdefault(_row[0], []).append(_row)


def modules():
    yield torch
    for m in pkgutil.walk_packages(torch.__path__, "kiln."):
        if not m.name.endswith(("._kiln", ".__main__")) and \
                not m.name.startswith("kiln.torch"):  # that one needs PyTorch
            yield importlib.import_module(m.name)


def members(module):
    """(name, object) of what a module defines, classes' members among them."""
    for name, v in vars(module).items():
        if getattr(v, "__module__", None) != module.__name__:
            continue
        yield f"{module.__name__}.{name}", v
        if inspect.isclass(v):
            for key, w in vars(v).items():
                yield f"{module.__name__}.{name}.{key}", w


class Help(unittest.TestCase):
    def test_every_row(self):
        seen = 0
        for name, rows in ROWS.items():
            for form, of in ((FUNCTION, name), (METHOD, name), (INPLACE, name + "_")):
                mine = [r for r in rows if r[2] & form]
                for row in mine:
                    where = torch._kiln._functions[row[1].split()[0]] if form == FUNCTION \
                        else vars(torch._kiln.Tensor)
                    if of not in where or inspect.isfunction(where[of]):
                        continue  # what Python defines again
                    doc = where[of].__doc__
                    seen += 1
                    self.assertIn(row[5], doc, of)
                    self.assertRegex(doc, rf"(?m)^{re.escape(of)}\(.*\) -> ")
                    if len(mine) == 1 and "float from" not in row[3] and "int from" not in row[3]:
                        inspect.signature(where[of])
        self.assertGreater(seen, len(ROWS))

    def test_add(self):
        self.assertEqual(str(inspect.signature(torch.sub)),
                         "(input, other, *, alpha=1, out=None)")
        self.assertEqual(str(inspect.signature(torch.Tensor.sub_)),
                         "(self, /, other, *, alpha=1)")
        self.assertIn("Operand other", torch.sub.__doc__)
        self.assertEqual(str(inspect.signature(torch.zeros))[:15], "(*size, dtype=N")
        with self.assertRaises(ValueError):
            inspect.signature(torch.max)  # several overloads
        self.assertEqual(len(re.findall(r"(?m)^max\(", torch.max.__doc__)), 3)


class Examples(unittest.TestCase):
    def test_docstrings(self):
        runner, parser = doctest.DocTestRunner(verbose=False), doctest.DocTestParser()
        out, done = io.StringIO(), set()
        for module in modules():
            for name, v in [(module.__name__, module), *members(module)]:
                doc = getattr(v, "__doc__", None)
                if not isinstance(doc, str) or ">>>" not in doc or id(v) in done:
                    continue
                done.add(id(v))
                names = {"torch": torch, "nn": torch.nn}
                runner.run(parser.get_doctest(doc, names, name, None, 0), out=out.write)
        self.assertEqual(runner.summarize(verbose=False).failed, 0, out.getvalue())
        self.assertGreater(runner.tries, 30)

    def test_readme(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
            text = f.read()
        blocks = re.findall(r"```python\n(.*?)```\n+```\n(.*?)```", text, re.S)
        for line, want in re.findall(r"^\$ PYTHONPATH=build/python (python3 -c .*)\n(.*\n)", text,
                                     re.M):
            blocks.append((shlex.split(line)[2], want))
        self.assertGreater(len(blocks), 1)
        for code, want in blocks:
            got = io.StringIO()
            with contextlib.redirect_stdout(got):
                exec(compile(code, "README.md", "exec"), {})
            self.assertEqual(got.getvalue(), want)


@unittest.skipUnless(os.path.exists(os.path.join(torch.__path__[0], "__init__.pyi")),
                     "a build that makes no stubs")
class Stubs(unittest.TestCase):
    def read(self, *path):
        with open(os.path.join(torch.__path__[0], *path), encoding="utf-8") as f:
            return ast.parse(f.read())

    @staticmethod
    def names(body):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.AnnAssign):
                yield node.target.id
            elif isinstance(node, ast.ImportFrom):
                yield from (a.asname for a in node.names if a.asname)

    def test_every_public_name(self):
        for path, module in ((("__init__.pyi",), torch), (("linalg.pyi",), torch.linalg),
                             (("fft.pyi",), torch.fft), (("special.pyi",), torch.special),
                             (("masked.pyi",), torch.masked),
                             (("nn", "functional.pyi"), torch.nn.functional)):
            has = set(self.names(self.read(*path).body))
            wants = {n for n, v in vars(module).items() if not n.startswith("_") and
                     (not inspect.ismodule(v) or v.__name__.startswith("kiln"))}
            wants &= AT_FIRST if module is torch else wants
            self.assertEqual(wants - has - {"Tensor"}, set(), path)

    def test_tensor(self):
        tensor = next(n for n in self.read("__init__.pyi").body
                      if isinstance(n, ast.ClassDef) and n.name == "Tensor")
        wants = {n for n in vars(torch.Tensor) if not n.startswith("_")}
        self.assertEqual(wants - set(self.names(tensor.body)), set())
        amax = [n for n in tensor.body if getattr(n, "name", None) == "amax"]
        self.assertEqual([ast.unparse(n.returns) for n in amax], ["Tensor"])

    def test_annotations_are_known(self):
        tree = self.read("__init__.pyi")
        known = set(self.names(tree.body)) | {"_Number", "_Dtype", "_Device", "Any", "Sequence",
                                              "Iterator", "builtins", "tuple", "None"}
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and node.annotation:
                for n in ast.walk(node.annotation):
                    if isinstance(n, ast.Name):
                        self.assertIn(n.id, known)
                    elif isinstance(n, ast.Attribute):
                        self.assertTrue(hasattr(builtins, n.attr))


if __name__ == "__main__":
    unittest.main()
