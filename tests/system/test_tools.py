"""The checks of `make lint` and `make coverage` can fail: each is given a small fault, and has to name it."""

import importlib.util
import os
import subprocess
import sys

from system import ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))


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


def call_graph(directory, source):
    (directory / "planted.c").write_text(source)
    subprocess.run(["gcc", "-O2", "-c", "-fcallgraph-info=su", "planted.c"], cwd=directory, check=True)
    return [str(directory / "planted.ci")]


def test_file_that_is_no_source_is_found():
    finding = "tests/fuzz/corpus_config/0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
    assert tool("lint").strangers(["hv/main.c", "tools/mkimage", "tools/__pycache__/calls.cpython-311.pyc"]) == ""
    assert finding in tool("lint").strangers(["hv/main.c", finding])


def test_recursion_is_found(tmp_path):
    check = tool("calls").check
    straight = "int f(int);\n__attribute__((noipa)) int g(int n) { return n + 1; }\n__attribute__((noipa)) int f(int n) { return n ? 2 * g(n) : 1; }\n"
    assert not check(call_graph(tmp_path, straight))
    found = check(call_graph(tmp_path, straight.replace("return n + 1;", "return n > 9 ? 1 : f(n + 1) + 1;")))
    assert len(found) == 1 and found[0].startswith("recursion: f, g")


def test_deep_chain_of_calls_is_found(tmp_path):
    check = tool("calls").check
    source = """
void use(char *);
__attribute__((noipa)) void second(void) { char room[1000]; use(room); }
void cpu_main(void) { char room[3000]; use(room); second(); use(room); }
"""
    assert not check(call_graph(tmp_path, source))
    found = check(call_graph(tmp_path, source), limit=4096)
    assert "cpu_main > second" in found[0] and "expected at most 4096" in found[0]


def test_call_through_an_unknown_pointer_is_found(tmp_path):
    path = os.path.join(ROOT, "tests", "system", "test_tools.py")
    line = next(number for number, text in enumerate(open(path, encoding="utf-8"), 1) if "stranger->call(1)" in text)
    graph = f'edge: {{ sourcename: "f" targetname: "__indirect_call" label: "{path}:{line}:1" }}\n'  # stranger->call(1);
    (tmp_path / "planted.ci").write_text(graph)
    assert "a call through a pointer that POINTERS" in tool("calls").check([str(tmp_path / "planted.ci")])[0]


def test_loop_without_a_bound_is_found():
    complaints = tool("loops").complaints
    good = "for (unsigned i = 0; i < WORDS; i++) a(); for (i = 8; i > 0; i--) b(); /* while (true) */"
    assert not list(complaints("hv/a.c", good, {}))
    for loop in ("while (x->next)", "for (;;)", "for (i = 0; i < count; i++)", "for (i = 0; i < 8; )"):
        assert [loop in text for text in complaints("hv/a.c", loop + " c();", {})] == [True]
    assert list(complaints("hv/a.c", "do { c(); } while (y);", {}))
    assert not list(complaints("hv/a.c", "while (x) c();", {("hv/a.c", "while (x)"): "it ends"}))
    assert "is not there" in list(complaints("hv/a.c", "", {("hv/a.c", "while (x)"): "it ends"}))[0]


def test_exits_are_read_from_what_the_hypervisor_tells(tmp_path, monkeypatch):
    exits = tool("exits")
    monkeypatch.setattr(exits, "SEEN", str(tmp_path / "seen"))
    exits.note(b"bulkhead|   exit -0: triple fault (reason 0x2) at 7002, 1 time\r\n"
               b"bulkhead|   hypercall                       41            90000       2195\r\n"
               b"bulkhead|   reason CR8_READ: 7\r\n"
               b"bulkhead|   reason MOV DR: 0\r\n"
               b"bulkhead|   all                             41            90000       2195\r\n", "bochs")
    seen = set((tmp_path / "seen" / "bochs").read_text().splitlines())
    assert seen == {"reason 0x2", "class triple fault", "class hypercall", "name CR8_READ"}
    assert exits.counted(seen, "bochs", [("reason 0x12", "VMCALL"), ("reason 0x8", "CR8_READ")]) == {"reason 0x12", "reason 0x8"}
    reached, missed = exits.table(seen, [("reason 0x2", "triple fault"), ("reason 0x5", "I/O SMI"), ("reason 0xc", "HLT")])
    assert reached == ["triple fault"] and missed == {exits.OUTSIDE: ["I/O SMI"], exits.UNKNOWN: ["HLT"]}
