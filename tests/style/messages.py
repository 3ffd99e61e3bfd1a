#!/usr/bin/env python3
"""messages.py: which messages of kiln no test produces.

    tests/style/messages.py [--list]      from the root of the repository

A message counts as tested when its words stand in a test: eighteen characters of a run of words
of its format, or a string of eight characters or more that is part of it. Memory that ends is tested by
the loops that fail the n-th allocation, and messages of KL_ERR_INTERNAL are ours, not a
user's: neither is listed. messages.txt names the others that cannot be caused from outside, each
with its reason; a line there that no message needs is an error too. --list prints all messages."""

import glob
import os
import re
import sys

CALL = re.compile(r'\b(kl_\w*fail\w*|fail|refuse|refused|expected|wanted|bad|problem)\s*\(')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
STRINGS = re.compile(r'(?:"(?:[^"\\]|\\.)*"\s*)+')
HOLE = re.compile(r"%%|%[-+ #0-9.*]*(?:ll|l|z|t|h)*[a-zA-Z]")


def arguments(text, at):
    """The text of a call's arguments, from behind its parenthesis."""
    depth, quoted, i = 1, False, at
    while i < len(text) and depth:
        c = text[i]
        if quoted:
            i += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        else:
            depth += (c == "(") - (c == ")")
        i += 1
    return text[at : i - 1]


def messages():
    for path in sorted(glob.glob("*/*.c") + glob.glob("frontend/kilnc/*.c")):
        if path.split("/")[0] not in ("runtime", "ir", "passes", "codegen", "frontend"):
            continue
        text = open(path).read()
        text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
        for call in CALL.finditer(text):
            args = arguments(text, call.end())
            found = STRINGS.search(args)
            if not found:
                continue
            words = "".join(STRING.findall(found.group(0))).replace('\\"', '"')
            line = text.count("\n", 0, call.start()) + 1
            yield path, line, args, words


def tests():
    """All the text of the tests, and each string in them."""
    whole, strings = "", set()
    for path in glob.glob("tests/**/*", recursive=True):
        if not os.path.isfile(path) or not path.endswith((".c", ".h", ".kl", ".sh", ".py")):
            continue
        if path.startswith("tests/style/"):
            continue
        text = open(path, errors="replace").read()
        text = re.sub(r'"\s*\n\s*"', "", text).replace('\\"', '"')
        whole += text
        strings.update(s for s in STRING.findall(text) if len(s) >= 8 and " " in s)
    return whole, strings


def stands(part, whole):
    """Eighteen characters of it, or all."""
    return any(part[i : i + 18] in whole for i in range(max(1, len(part) - 17)))


def main():
    whole, strings = tests()
    allowed = {}
    for line in open("tests/style/messages.txt"):
        if line.strip() and not line.startswith("#"):
            key, reason = line.rstrip("\n").split(" | ")
            allowed[key] = reason
    used, count, untested = set(), 0, 0
    for path, line, args, words in messages():
        count += 1
        if "--list" in sys.argv:
            print(f"{path}:{line}: {words}")
        if "KL_ERR_INTERNAL" in args or "KL_ERR_OOM" in args or re.search("(out of|no) memory", words):
            continue
        parts = [p.strip() for p in HOLE.split(words)]
        parts = sorted((p for p in parts if len(p) >= 6), key=len, reverse=True)
        looked_at = parts[:1] + [p for p in parts[1:] if len(p) >= 18]
        if not parts or any(stands(p, whole) for p in looked_at):
            continue
        if any(s in p for p in parts for s in strings):
            continue
        keys = [k for k in allowed if k == path or words.startswith(k)]
        used.update(keys)
        if not keys:
            untested += 1
            print(f"{path}:{line}: no test produces \"{words}\"")
    for key in set(allowed) - used:
        untested += 1
        print(f"tests/style/messages.txt: no message needs the line '{key}'")
    print(f"style: {count} messages, {untested} untested")
    return untested != 0


if __name__ == "__main__":
    sys.exit(main())
