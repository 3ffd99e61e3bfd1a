#!/usr/bin/env python3
"""Prove the tests: plant each fault of runtime/plant.def in turn; some test must fail.

    python3 tests/plant/run.py BUILD [--sample N] [--seed S] [--part K/N] [--every] [NAME-PREFIX...]

BUILD was made with -Dplant=true. First every test named in the table must pass with no
fault planted; then each fault runs its tests until one fails (a crash or a timeout is a
failure too), two at a time. --sample N takes the faults that stand alone and N of those
that a table's rows give, by the seed; --part K/N every N-th of them from the K-th on.
--every asks every test of each fault and says which noticed. Exits 1 and lists the faults that no test noticed.
"""
import argparse, concurrent.futures, json, os, random, resource, subprocess, sys, tempfile
import time

CPU, WALL = 60, 600  # seconds that a test may take: a fault may make it run for ever
FEWER = {"300": "100"}  # random graphs
CLASSES = "bool uint sint float complex".split()


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", what, build], check=True,
                                     capture_output=True, text=True).stdout)


def tests_of(build):
    """Name -> (command, environment, targets) of each test program that can plant a fault."""
    found = {}
    for t in introspect(build, "--tests"):
        suite = t["suite"][0].split(":")[-1]
        if suite in ("unit", "golden", "cuda", "cpu"):
            name = t["name"]
            if name == "cuda_emit" and suite == "unit":
                name = "cuda_text"  # two programs have this name
            command = [FEWER.get(a, a) if name == "graphs" else a for a in t["cmd"]]
            found[name] = (command, {**os.environ, "KILN_CACHE": "", **t["env"],
                                     "CK_TIMEOUT_MULTIPLIER": "10"}, t["depends"])
    return found


def compile_them(build, tests):
    """Only what these tests run: the rest of a build finds no fault."""
    files = {t["id"]: t["filename"] for t in introspect(build, "--targets")}
    need = {os.path.relpath(f, os.path.realpath(build)) for t in tests for d in t[2] for f in files[d]}
    p = subprocess.run(["ninja", "-C", build, *sorted(need)], capture_output=True, text=True)
    if p.returncode:
        raise SystemExit(p.stdout[-2000:] + "plant: does not compile")


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))


def row_of(fault):
    """What a test that walks a table is asked to keep to: sem:add:sint -> add:sint."""
    words = fault.split(":")[1:]
    return ":".join(words[:1] + [w for w in words[1:] if w in CLASSES])


def order(fault, names):
    """The runs that may notice it, the quickest first: (test, row or None for the whole)."""
    row, whole = row_of(fault), [n.lstrip("@") for n in names.split()]
    first = [(n[1:], row) for n in names.split() if n[0] == "@"] if row else []
    return first + [(n, None) for n in whole]


def noticed(test, fault, row=None):
    """Does the test fail with that fault planted (None: with none), or last too long?"""
    command, env, _ = test
    env = {**env, "KILN_TEST_ROW": row} if row else env
    plant = ["--plant=" + fault] if fault else []
    with tempfile.TemporaryDirectory() as scratch:
        p = subprocess.Popen(command[:1] + plant + command[1:], env=env, cwd=scratch,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", start_new_session=True,
                             preexec_fn=limit)
        try:
            out = p.communicate(timeout=WALL)[0]
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.communicate()
            return True
    if p.returncode == 2 and "no fault is named" in out:
        raise SystemExit(out.strip())
    if p.returncode != 0 and not fault:
        print(out[-2000:])
    return p.returncode != 0


def main():
    a = argparse.ArgumentParser()
    a.add_argument("build")
    a.add_argument("--sample", type=int)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--part", default="0/1")
    a.add_argument("--every", action="store_true")
    a.add_argument("prefixes", nargs="*")
    a = a.parse_args()
    tests = tests_of(a.build)
    compile_them(a.build, [tests["rules"]])  # lists the faults
    out = subprocess.run([tests["rules"][0][0], "--list"], check=True, capture_output=True,
                         text=True).stdout
    faults = [line.split("\t") for line in out.splitlines()]
    if a.prefixes:
        faults = [f for f in faults if f[0].startswith(tuple(a.prefixes))]
    if a.sample is not None:
        rows = [f for f in faults if ":" in f[0]]
        picked = random.Random(a.seed).sample(rows, min(a.sample, len(rows)))
        faults = [f for f in faults if ":" not in f[0]] + picked
    first, step = map(int, a.part.split("/"))
    faults = faults[first::step]
    used = sorted({t for f in faults for t in f[1].split()})
    missing = [t for t in used if t.lstrip("@") not in tests]
    if missing:
        raise SystemExit("no such test: " + " ".join(missing))
    compile_them(a.build, [tests[t.lstrip("@")] for t in used])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [(t.lstrip("@"), r) for t in used for r in [None] + ["add:float"] * (t[0] == "@")]
        bad = [t for (t, _), b in
               zip(runs, pool.map(lambda r: noticed(tests[r[0]], None, r[1]), runs)) if b]
        if bad:
            raise SystemExit("plant: fails with no fault planted: " + " ".join(bad))

        def try_one(fault):
            name, names, what = fault
            by, asked = [], set()
            begin = time.monotonic()
            for t, row in order(name, names):
                if t not in asked and (a.every or not by) and noticed(tests[t], name, row):
                    by.append(t if row is None else "@" + t)
                    asked.add(t)
            if a.every:
                print(f"{name}: {' '.join(by)}  {time.monotonic() - begin:.1f} s", flush=True)
            if not by:
                print(f"plant: NOT NOTICED {name}: {what} (asked: {names})", flush=True)
            return bool(by)

        begin, before = time.monotonic(), cpu()
        unseen = list(pool.map(try_one, faults)).count(False)
    print(f"{len(faults)} faults in {time.monotonic() - begin:.0f} s, {cpu() - before:.0f} s of CPU")
    print(f"{len(faults) - unseen} passed, {unseen} failed")
    sys.exit(unseen > 0)


main()
