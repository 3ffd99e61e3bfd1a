"""What this build is, under the names that programs ask PyTorch for."""
import re

cuda = hip = xpu = git_version = None
debug = False


class TorchVersion(str):
    """A version as text that compares by its numbers, with texts and with tuples."""

    def _numbers(self, other):
        if isinstance(other, str):
            other = re.match(r"[\d.]*", other)[0].strip(".").split(".")
        other = [int(n) for n in other if str(n).isdigit()]
        mine = [int(n) for n in re.match(r"[\d.]*", self)[0].strip(".").split(".")]
        size = max(len(mine), len(other))
        return [v + [0] * (size - len(v)) for v in (mine, other)]

    def __lt__(self, other):
        a, b = self._numbers(other)
        return a < b

    def __le__(self, other):
        a, b = self._numbers(other)
        return a <= b

    def __gt__(self, other):
        return not self <= other

    def __ge__(self, other):
        return not self < other


own = "0.1.0"
# the PyTorch whose interface and texts these are, and kiln's own number as its local label
__version__ = TorchVersion(f"2.15.0+kiln{own}")
