"""Operators that hold graphs, as control flow does: each graph is programs of its own, and the host
joins them - it says which branch runs, and how often a body does.

    while_loop(test, body, (x,))   ->   test(x), body(x), test(..), ..   two programs, in turns"""
import torch

from .graph import element

STEPS = {}


def step(name):
    """call: gives the results of a graph, given its arguments."""
    def take(f):
        STEPS[name] = f
        return f

    return take


def truth(t):
    return element(t) if isinstance(t, torch.Tensor) else t


def stacked(rows):
    """One tensor a result, of the results of each trip; None stays so."""
    out = [None if t is None else torch.empty((len(rows), *t.shape), dtype=t.dtype)
           for t in rows[0]]
    for i, row in enumerate(rows):
        for whole, t in zip(out, row):
            if t is not None:
                whole[i].copy_(t)
    return out


@step("cond")
def _cond(call, condition, yes, no, operands=()):
    return call(yes if truth(condition) else no, operands)


def _trips(call, test, body, carried, more):
    """What is carried, after each trip."""
    while truth(call(test, (*carried, *more))[0]):
        carried = call(body, (*carried, *more))
        yield carried


def _own(carried):
    return tuple(t.clone() if isinstance(t, torch.Tensor) else t for t in carried)


@step("while_loop")
def _while(call, test, body, carried, more=()):
    last = None
    for last in _trips(call, test, body, carried, more):
        pass
    return _own(carried) if last is None else tuple(last)


@step("while_loop_stack_output")
def _while_stacked(call, test, body, carried, more=()):
    return tuple(stacked(list(_trips(call, test, body, carried, more)) or [_own(carried)]))


@step("scan")
def _scan(call, body, init, xs, more=()):
    carried, rows = tuple(init), []
    for i in range(xs[0].shape[0]):
        got = tuple(call(body, (*carried, *[x[i] for x in xs], *more)))
        carried = got[:len(init)]
        rows.append(got[len(init):])
    return (*carried, *stacked(rows))


@step("map_impl")
def _map(call, body, xs, more=()):
    return tuple(stacked([call(body, (*[x[i] for x in xs], *more))
                          for i in range(xs[0].shape[0])]))


@step("invoke_subgraph")
def _subgraph(call, body, identifier, *operands):
    return tuple(call(body, operands))
