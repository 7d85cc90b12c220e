"""Who calls whom in the hypervisor, from what gcc wrote beside the objects (-fcallgraph-info=su).

Nothing may recurse, but what stands in BOUNDED with its depth; and the deepest chain of calls, with an interrupt or an exception at
its worst moment, must fit on a CPU's stack. Calls through pointers go by the expression they are made with: POINTERS names the files
whose functions may be behind it, which are all those that the file mentions without calling them.
"""

import glob
import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
STACK = 3 * 4096  # STACK_PAGES in arch/x86/percpu.h
ASSEMBLY = 256  # what a routine of entry.asm or interrupts.asm pushes, at most
INTERRUPT = 512  # the frame of an exception, aligned, and all registers
INDIRECT = "__indirect_call"
LIFE = "cpu_main"  # what runs on a CPU's own stack

# Recursion with a bound, by file or function: how often one of them can be under way at once.
BOUNDED = {
    "hv/mem/page_map.c": 4,  # the descent of page tables, from level 4 to level 1
    "full_port_out": 2,  # a wide access is made of single bytes, and those are made of nothing
    "svm_exit": 2,  # starts over once, with the instruction's length learned
}
# Back ends start a guest in assembly, which calls on at each exit: the functions these files mention, or name themselves.
BACK_ENDS = {"svm": {"svm_enter": ["=svm_exit"]},
             "vmx": {"vmx_enter": ["arch/x86/vmx/exit.c", "=vmx_handle_rare", "=vmx_entry_refused"]}}
POINTERS = {
    r"format->(leaf|flags)\(": ["arch/x86/paging.c", "arch/x86/svm/npt.c", "arch/x86/vmx/ept.c"],
    r"source->(allocate|reach|release)\(": ["hv/mem/pool.c"],
    r"audit->report\(audit": ["=entry_audit_log", "=hv/console/audit.c:show_finding"],
    r"audit->snapshot->read\(": ["arch/x86/vmx/vmcs.c"],
    r"\bvisit\(context": ["hv/core/audit.c"],
    r"\bread\(context": ["arch/x86/guest_walk.c", "hv/core/exit_memory.c"],
    r"target->reach\(": ["hv/core/lifecycle.c"],
    r"row->call\(": ["hv/call/*.c"],
    r"\bwoken\(vcpu": ["hv/call/ffa_message.c"],
    r"row->(in|out)\(": ["hv/device/full.c"],
    r"(row|registers\[index\])(->|\.)(read|write)\(": ["hv/device/lapic.c"],
    r"row->handler\(": ["arch/x86/svm/slow.c"],
    r"handlers\[reason\]\(": ["arch/x86/vmx/slow.c"],
    r"command->run\(": ["hv/console/monitor.c"],
    r"\bdone\(context": ["hv/console/console.c"],
}
OPERATION = re.compile(r"\bvirt->(\w+)\(")  # struct virt_ops: by its member


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def bound_of(group):
    """How often functions that call each other can be under way at once; 0: nobody knows."""
    return max(BOUNDED.get(name, BOUNDED.get(name.split(":")[0], 0)) for name in group)


class Graph:
    """Functions by gcc's names: `name`, or `file:name` where it is static. Of the two back ends, one."""

    def __init__(self, back_end):
        self.calls, self.stack, self.sites, self.back_end = {}, {}, [], back_end

    def read(self, path):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                edge = re.match(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"(?: label: "([^"]*)")?', line)
                node = re.match(r'node: \{ title: "([^"]*)" label: "[^"]*\\n(\d+) bytes', line)
                if edge and edge[2] == INDIRECT:
                    self.sites.append((edge[1], edge[3]))
                elif edge:
                    self.calls.setdefault(edge[1], set()).add(edge[2])
                elif node:
                    self.stack[node[1]] = int(node[2])

    def operation(self, member):
        """What the back end's table has for a member of struct virt_ops."""
        code = text_of(f"arch/x86/{self.back_end}/{self.back_end}.c")
        return self.named(re.findall(rf"\.{member} = (\w+)", code), f"arch/x86/{self.back_end}/{self.back_end}.c")

    def named(self, names, path=""):
        return {title for name in names for title in (name, f"{path}:{name}") if title in self.stack}

    def mentioned(self, pattern):
        """Functions whose address is taken in these files; with = before it, one function."""
        if pattern.startswith("="):
            return self.named([pattern[1:]])
        found = set()
        for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
            path = os.path.relpath(path, ROOT)
            code = re.sub(r'/\*.*?\*/|//[^\n]*|"[^"\n]*"', "", text_of(path), flags=re.DOTALL)
            found |= self.named(set(re.findall(r"\b([a-z_]\w*)\b(?!\s*\()", code)), path)
        return found

    def resolve(self):
        """Edges for calls through pointers; the sites that nobody has explained."""
        unknown = []
        for caller, site in self.sites:
            path, line, column = site.rsplit(":", 2)
            lines = text_of(path).split("\n")[int(line) - 1:int(line) + 3]
            here = lines[0][int(column) - 1:] + "\n" + "\n".join(lines[1:])
            statement = here.split(";")[0]
            patterns = [pattern for pattern in POINTERS if re.search(pattern, statement)]
            for member in OPERATION.findall(statement):
                self.calls.setdefault(caller, set()).update(self.operation(member))
            if not patterns and not OPERATION.search(statement):
                unknown.append(f"{site}: a call through a pointer that POINTERS in tools/calls.py does not know")
            for pattern in patterns:
                for files in POINTERS[pattern]:
                    self.calls.setdefault(caller, set()).update(self.mentioned(files))
        for caller, targets in BACK_ENDS[self.back_end].items():
            self.calls.setdefault(caller, set()).update(*(self.mentioned(target) for target in targets))
        return unknown

    def cycles(self):
        """Groups of functions that call each other, or themselves (Tarjan)."""
        index, low, stack, groups = {}, {}, [], []

        def visit(name):
            index[name] = low[name] = len(index)
            stack.append(name)
            for target in self.calls.get(name, ()):
                if target not in index:
                    visit(target)
                    low[name] = min(low[name], low[target])
                elif target in stack:
                    low[name] = min(low[name], index[target])
            if low[name] == index[name]:
                group = stack[stack.index(name):]
                del stack[stack.index(name):]
                if len(group) > 1 or name in self.calls.get(name, ()):
                    groups.append(sorted(group))

        for name in list(self.calls):
            if name not in index:
                visit(name)
        return groups

    def deepest(self, name, seen=()):
        """(bytes, chain) of the longest way down; a group that recurses counts as often as its bound allows."""
        if name in self.memory:
            return self.memory[name]
        own = self.stack.get(name, ASSEMBLY) * self.times.get(name, 1)
        ways = [self.deepest(target, seen + (name,)) for target in self.calls.get(name, ()) if target not in seen + (name,)]
        size, chain = max(ways, default=(0, []))
        self.memory[name] = (own + size, [name] + chain)
        return self.memory[name]

    def measure(self, groups):
        self.memory, self.times = {}, {}
        for group in groups:
            self.times.update({name: bound_of(group) for name in group})
        life, chain = self.deepest(LIFE)
        handlers = re.findall(r"^extern (\w+)", text_of("arch/x86/interrupts.asm"), re.MULTILINE)
        interrupt, behind = max((self.deepest(name) for name in handlers), default=(0, []))
        return life + INTERRUPT + interrupt, chain + ["(interrupt)"] + behind


def objects():
    return [path for top in ("hv", "arch", "drivers")
            for path in glob.glob(os.path.join(ROOT, "build", top, "**", "*.ci"), recursive=True)]


def load(paths, back_end):
    """(graph, what could not be resolved)"""
    graph = Graph(back_end)
    for path in paths:
        if not any(f"/arch/x86/{other}/" in path for other in BACK_ENDS if other != back_end):
            graph.read(path)
    return graph, graph.resolve()


def check(paths, limit=STACK):
    complaints = []
    for back_end in BACK_ENDS:
        graph, unknown = load(paths, back_end)
        groups = graph.cycles()
        complaints += unknown + [f"recursion: {', '.join(group)}" for group in groups if not bound_of(group)]
        if not complaints and LIFE in graph.stack:
            size, chain = graph.measure(groups)
            if size > limit:
                complaints.append(f"{back_end}: {size} bytes of stack, expected at most {limit}: {' > '.join(chain)}")
    return sorted(set(complaints))


def main():
    for back_end in BACK_ENDS:
        graph, unknown = load(objects(), back_end)
        groups = graph.cycles()
        size, chain = graph.measure(groups)
        print("\n".join(unknown + [f"recursion: {group}" for group in groups]))
        print(f"{back_end}: {size} of {STACK} bytes: {' > '.join(f'{name} {graph.stack.get(name, 0)}' for name in chain)}")


if __name__ == "__main__":
    main()
