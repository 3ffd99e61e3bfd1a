#!/usr/bin/env python3
"""report.py: the page of kilnc --report, and its parts' lines.

    report.py KILNC MODEL [chromium]

The data in the page is read as a browser would; each line of LLVM IR and of assembly that says
where it comes from names a line of the loops that is a statement. With a browser: the page loads
without an error, and a line pointed at lights others in other columns."""
import json
import os
import re
import subprocess
import sys
import tempfile

STATEMENT = re.compile(r"\b(store|set|let|for|reg|fold|turn|if|check|phase|fma|load|where|barrier)\b|\)")


def fail(what):
    sys.exit(f"report: {what}")


def check(data):
    if data["roof"]["bytes"] <= 0 or not data["programs"]:
        fail("no programs")
    for program in data["programs"]:
        check_program(program)


def check_program(data):
    if not data["kernels"] or not data["steps"]:
        fail("no kernels or steps")
    names = {k["name"] for k in data["kernels"]}
    for k in data["kernels"]:
        loops = k["loops"]["text"].splitlines()
        for form in ("llvm", "asm"):
            lines, at = k[form]["text"].splitlines(), k[form]["at"]
            if len(lines) != len(at) or not any(at):
                fail(f"{k['name']}: {len(lines)} lines of {form} and {len(at)} origins")
            for n in set(at) - {0}:
                if n > len(loops) or not STATEMENT.search(loops[n - 1]):
                    fail(f"{k['name']}: {form} comes from line {n}, which is no statement")
        for form, word in (("kernel", "kernel "), ("cuda", "__global__")):
            if word not in k[form]["text"]:
                fail(f"{k['name']}: no {form}")
    slots = len(data["slots"])
    for s in data["steps"]:
        if s["kind"] == "kernel" and s["name"] not in names:
            fail(f"step {s['name']} is of no kernel")
        if s.get("ns", -1) < 0:
            fail(f"step {s['name']} was not measured")
        if not s["writes"] or any(i >= slots for i in (*s["reads"], *s["writes"])):
            fail(f"step {s['name']}: writes {s['writes']} of {slots} slots")


PROBE = """<script>
window.onerror = e => document.body.dataset.error = e;
const line = lines.find(l => l.column === "loops" && lines.some(m => m.column === "asm" && m.at === l.at));
line.div.onmouseenter();
document.body.dataset.lit = [...new Set(lines.filter(l => l.div.classList.contains("lit"))
  .map(l => l.column))].sort().join();
$("search").value = "no such thing"; find();
document.body.dataset.left = rows.filter(r => !r.style.display).length;
</script></body>"""


def browse(browser, page, folder):
    path = os.path.join(folder, "probe.html")
    with open(path, "w", encoding="utf-8") as f:
        f.write(page.replace("</body>", PROBE))
    dom = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                          "--virtual-time-budget=5000", "file://" + path], text=True, timeout=120,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    body = re.search(r"<body[^>]*>", dom).group(0)
    for want in ('data-ready="yes"', 'data-lit="asm,', 'loops', 'data-left="0"'):
        if want not in body:
            fail(f"in the browser: {body}")
    if "data-error" in body:
        fail(f"in the browser: {body}")


def main():
    kilnc, model, browser = (sys.argv[1:] + [None])[:3]
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "r.html")
        subprocess.run([kilnc, model, "--report", out], check=True)
        with open(out, encoding="utf-8") as f:
            page = f.read()
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
        check(json.loads(data.group(1)))
        if len(page) > 5e6 or "http" in re.sub(r"http://www.w3.org/2000/svg", "", page):
            fail("too large, or not by itself")
        if browser:
            browse(browser, page, folder)
    print("report: ok")


main()
