"""The checks of `make lint` and `make coverage` can fail: each is given a small fault, and has to name it."""

import importlib.util
import os

from system import ROOT


def tool(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, "tools", name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_coverage_names_what_is_left_out():
    complaints = tool("coverage").complaints
    measured = {"hv/a.c": (100, 95)}
    assert not list(complaints({"hv/a.c", "hv/b.c"}, measured, {"hv/b.c": "needs a CPU"}))
    assert "hv/b.c: no unit test links it" in "\n".join(complaints({"hv/a.c", "hv/b.c"}, measured, {}))
    assert "hv/a.c: is measured" in "\n".join(complaints({"hv/a.c"}, measured, {"hv/a.c": "needs a CPU"}))
    assert "hv/b.c: stands in NOT_ON_HOST" in "\n".join(complaints({"hv/a.c"}, measured, {"hv/b.c": "gone"}))
    assert "89.0 % of the lines" in "\n".join(complaints({"hv/a.c"}, {"hv/a.c": (100, 89)}, {}))
