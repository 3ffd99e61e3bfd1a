#!/usr/bin/env python3
"""onnx_nodes.py: ONNX's own node tests through kiln.onnx.backend, by operator, and its tests of
models that PyTorch once made.

    onnx_nodes.py [--quick] [--only TEXT] [--part I/N] [--verbose]

A test counts when its inputs and outputs are tensors of numbers (strings, sequences, maps and
optional values do not). What fails must stand in REASONS below, by operator or by test, and what
stands there must fail. Its last line: N passed, N failed; failed is what has no reason, and
reasons that no test needs. --quick: every third test and all that have a reason; 95 % must pass."""

import argparse
import collections
import glob
import os
import re
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import onnx
from onnx import TensorProto
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner, _normalize_tensor

import kiln
import kiln.onnx.backend as backend

# operator, or test, as a pattern of the whole name: why it fails
RANDOM = "random numbers are Philox's, not NumPy's"
REASONS = {
    "test_bernoulli.*": RANDOM,
    "test_training_dropout(_default)?(_mask)?": RANDOM,
    "ImageDecoder": "files of images are not decoded",
    "TreeEnsemble": "not there yet",
    "test_gradient_of.*": "the Gradient operator of the training domain is not there",
    "test_attention_4d_causal_fp16.*": "sums of f16 are kept in f32 and rounded once, NumPy's at each "
                                       "step: one unit in the last place",
    "test_dft_inverse(_opset19)?": "NumPy's rounding, 2e-7, is wanted where 0 is exact",
}


def numeric(case):
    def plain(v):
        t = v.type
        return (t.WhichOneof("value") == "tensor_type"
                and t.tensor_type.elem_type not in (TensorProto.STRING, TensorProto.UNDEFINED))
    graph = case.model.graph
    return all(plain(v) for v in [*graph.input, *graph.output])


def operator(case):
    """The operator that a test is about, also where its function's body was written out."""
    nodes = case.model.graph.node
    name = re.sub(r"_expanded.*", "", case.name)
    return OPERATORS.get(name) or (nodes[0].op_type if len(nodes) == 1 else name)


def why(case, op):
    for pattern in REASONS:
        if re.fullmatch(pattern, op) or re.fullmatch(pattern, case.name):
            return pattern
    return None


def run(case):
    """None, or what went wrong, in a line."""
    try:
        ready = backend.prepare(case.model)
        for inputs, wanted in case.data_sets:
            inputs, wanted = ([_normalize_tensor(v) for v in l] for l in (inputs, wanted))
            got = ready.run(inputs)
            Runner.assert_similar_outputs(wanted, got, case.rtol, case.atol)
    except Exception as e:
        return " ".join(f"{type(e).__name__}: {e}".split())[:300]
    return None


def models(kinds):
    """Cases of ONNX's model tests: a folder each, with protobuf files of inputs and outputs."""
    for case in (c for kind in kinds for c in load_model_tests(kind=kind) if c.model_dir):
        case.model = onnx.load(os.path.join(case.model_dir, "model.onnx"))
        if not numeric(case):
            continue
        case.data_sets = []
        for folder in glob.glob(os.path.join(case.model_dir, "test_data_set*")):
            def tensors(what):
                count = len(glob.glob(os.path.join(folder, f"{what}_*.pb")))
                return [onnx.load_tensor(os.path.join(folder, f"{what}_{i}.pb")) for i in range(count)]
            case.data_sets.append((tensors("input"), tensors("output")))
        OPERATORS[case.name] = os.path.basename(os.path.dirname(case.model_dir))
        yield case


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--part", default="0/1")
    options = parser.parse_args()
    every = collect_testcases(None)
    for case in every:
        if len(case.model.graph.node) == 1:
            OPERATORS[case.name] = case.model.graph.node[0].op_type
    cases = [c for c in every if numeric(c)]
    nodes = len(cases)
    cases += models(["simple", "pytorch-operator", "pytorch-converted"])
    part, parts = map(int, options.part.split("/"))
    passed, failed, used = collections.Counter(), collections.defaultdict(list), set()
    for i, case in enumerate(cases):
        op = operator(case)
        reason = why(case, op)
        if options.only and not re.search(options.only, case.name) and options.only != op:
            continue
        if i % parts != part or (options.quick and i // parts % 3 and not reason):
            continue
        wrong = run(case)
        if wrong is None:
            passed[op] += 1
        else:
            failed[op].append((case.name, wrong, reason))
            used.add(reason)
            if options.verbose:
                print(f"{case.name}: {wrong}", flush=True)
    report(passed, failed)
    print(f"{nodes} node tests and {len(cases) - nodes} models of numbers")
    stale = []
    if not options.only and parts == 1:
        stale = [r for r in REASONS if r not in used]
        for r in stale:
            print(f"no test needs the reason '{r}'")
    ok = sum(passed.values())
    listed = sum(1 for tests in failed.values() for t in tests if t[2])
    without = sum(map(len, failed.values())) - listed
    share = ok / max(1, ok + listed + without)
    print(f"{ok} of {ok + listed + without} tests pass ({100 * share:.1f} %), "
          f"{listed} fail with a reason")
    low = not options.only and share < 0.95
    if low:
        print("fewer than 95 % pass")
    print(f"{ok} passed, {without + len(stale) + low} failed")
    return 1 if without or stale or low else 0


def report(passed, failed):
    for op in sorted(failed, key=lambda o: -len(failed[o])):
        tests = failed[op]
        print(f"{op}: {len(tests)} of {len(tests) + passed[op]} fail")
        reasons = {t[2] for t in tests if t[2]}
        for r in sorted(reasons):
            print(f"    {REASONS[r]}")
        for name, wrong, reason in tests:
            if not reason:
                print(f"    {name}: {wrong}")


OPERATORS = {}
if __name__ == "__main__":
    sys.exit(main())
