"""The host's CPU."""
import re as _re


def get_cpu_capability():
    """The widest vectors: "AVX512", "AVX2" or "DEFAULT"."""
    try:
        with open("/proc/cpuinfo") as f:
            flags = set(_re.findall(r"\w+", f.read()))
    except OSError:
        flags = set()
    return "AVX512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "DEFAULT"
