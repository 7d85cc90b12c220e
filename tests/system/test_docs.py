"""What the documentation tells a reader to type works as written."""

import os
import re
import shutil
import subprocess

from system import BOOT_TIMEOUT, BUILD, ROOT, System


def fenced(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_own_guest_as_documented(tmp_path):
    """docs/guests.md: its source, its build commands and its config, in a directory of their own; then it runs."""
    with open(os.path.join(ROOT, "docs", "guests.md"), encoding="utf-8") as page:
        text = page.read()
    source, config = fenced(text, "c")[0], fenced(text, "ini")[0]
    build = fenced(text, "sh")[0]
    assert len(source.strip().splitlines()) <= 20, "the title promises 20 lines"
    for name in ("include", "guests", "build"):
        os.symlink(os.path.join(ROOT, name), tmp_path / name)
    (tmp_path / "mine.c").write_text(source)
    subprocess.run(["sh", "-e", "-c", build], cwd=tmp_path, check=True, capture_output=True)
    image = shutil.copy(tmp_path / "mine.elf", tmp_path / "copy.elf")
    with System("qemu", config, cpus=1, files={"\\guests\\mine.elf": image}) as system:
        system.expect_boot(r"hello from mine: 1 CPU, 4096 KiB")
        system.expect(r"second 5")
        system.expect(r"goodbye")
        system.wait_end()


# --- docs/guests.md: the tour of the library

TOUR = """
[partition sleeper]
mode   = para
memory = 4M
image  = \\guests\\tour0.elf
[partition adder]
mode   = para
cpus   = 2
memory = 4M
image  = \\guests\\tour1.elf
[partition client]
mode   = para
memory = 4M
image  = \\guests\\tour2.elf
[partition guard]
mode   = para
memory = 4M
image  = \\guests\\tour3.elf
manage = yes
[channel any]
between = client, adder
allow   = message
"""


def build_guest(source, name, directory, *flags):
    """A para guest of one source file, built as docs/guests.md says."""
    (directory / f"{name}.c").write_text(source)
    flags = ["-std=c17", "-O2", "-ffreestanding", "-mgeneral-regs-only", "-mno-red-zone", "-fno-stack-protector", "-fno-pic",
             "-fno-pie", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-Iguests/lib", *flags]
    paths = [str(directory / f"{name}.{suffix}") for suffix in ("c", "o", "elf")]
    subprocess.run(["gcc", *flags, "-c", paths[0], "-o", paths[1]], cwd=ROOT, check=True)
    subprocess.run(["ld", "-m", "elf_x86_64", "-nostdlib", "-static", "-T", "guests/linker.ld", "-z", "max-page-size=4096", "-o",
                    paths[2], paths[1], os.path.join(BUILD, "guests/libbulkhead.a")], cwd=ROOT, check=True)
    return paths[2]


def test_tour_of_the_library(tmp_path):
    """docs/guests.md: its examples run, and no function of the library is left out of its table."""
    with open(os.path.join(ROOT, "docs", "guests.md"), encoding="utf-8") as page:
        text = page.read()
    with open(os.path.join(ROOT, "guests", "lib", "bulkhead.h"), encoding="utf-8") as header:
        functions = set(re.findall(r"^(?:_Noreturn )?[a-z][\w ]*[ *](bh_\w+)\(", header.read(), re.MULTILINE)) - {"bh_event_handler"}
    missing = [name for name in sorted(functions) if name not in text]
    assert len(functions) > 50 and not missing
    sources = fenced(text, "c")[1:]
    files = {f"\\guests\\tour{number}.elf": build_guest(source, f"tour{number}", tmp_path) for number, source in enumerate(sources)}
    with System("qemu", TOUR, cpus=5, files=files) as system:
        system.said("bulkhead", r".*partition sleeper: first guest instruction .*", timeout=BOOT_TIMEOUT)
        system.send("x")  # at once, to the first partition: it listens for five seconds
        system.said("sleeper", "you typed x")
        system.said("adder", "the sum is 500000500000")
        system.said("client", "no answer: -8")  # adder is no server, and has ended
        system.said("sleeper", "five seconds are over")
        system.command("info guard", "running")


# --- docs/abi.md

# Uses the functions of docs/abi.md, in the place of partition 1 with pong in partition 2.
USE_OF_EXAMPLES = """
#include <bulkhead.h>
static void told(const char *what, bool right)
{
	bh_printf("example %s: %s\\n", what, right ? "right" : "WRONG");
}
static void silent(uint64_t events) { (void)events; }
static void nothing(const struct ffa_message *message) { (void)message; }
void bh_main(const struct bh_start *start)
{
	told("discovery", is_bulkhead() && is_there(FFA_MSG_WAIT) && !is_there(FFA_SUCCESS_32) && is_own_call(6) && !is_own_call(7));
	told("psci", as_expected(0, start->memory_size));
	told("console", console_log("by the example\\n", 15) == 15);
	told("random", random_number() != random_number() && is_bulkheads_generator());
	told("stolen time", stolen_ns() < 1000000000);
	told("others", meet_others() == 2 && ask_id(FFA_ID_GET) == 1 && ask_id(FFA_SPM_ID_GET) == 0 &&
	     call3(FFA_RX_RELEASE, 0, 0, 0) == FFA_SUCCESS_32);
	int64_t answer;
	while ((answer = ask(1, 2, 41)) < 0)
		;
	told("direct message", answer == 42);
	told("message", send(1, 2, "hello", 5));
	bh_wait_for(BH_EVENT_NOTIFICATION);
	receive(1, nothing, silent);
	told("notification", notification(FFA_NOTIFICATION_BIND, 2, 1, 1) && notification(FFA_NOTIFICATION_UNBIND, 2, 1, 1));
	static uint8_t lent[4096] __attribute__((aligned(4096)));
	told("no agreement about nothing", offer(FFA_MEM_LEND_64, 1, 2, lent, 0) == 0);
	const uint64_t agreed = offer(FFA_MEM_SHARE_64, 1, 2, lent, 1);
	told("agreement", agreed != 0 && take_back(agreed) && !take_back(agreed));
	told("management", keep_fresh(2, UINT64_MAX) && keep_fresh(3, UINT64_MAX));
	judge(2, UINT64_MAX);
	__asm__ volatile("cli");
	const bool ready = set_up(48);
	const uint64_t before = now_ns();
	sleep_ms(20);
	const bool in_time = now_ns() - before >= 20000000;
	upcall(silent);
	for (const char *text = "example devices: "; *text; text++)
		put((uint8_t)*text);
	for (const char *text = ready && in_time && wake(0) ? "right\\n" : "WRONG\\n"; *text; text++)
		put((uint8_t)*text);
	end(false);
}
"""

EXAMPLES_CONFIG = """
[partition examples]
mode   = para
memory = 8M
image  = \\guests\\examples.elf
manage = yes
[partition pong]
mode   = para
memory = 8M
image  = \\guests\\pong-para.elf
[channel all]
between = examples, pong
allow   = message, notify, share
"""


def test_examples_of_the_interface(tmp_path):
    """docs/abi.md: each call stands in an example, and the examples do what they say."""
    with open(os.path.join(ROOT, "docs", "abi.md"), encoding="utf-8") as page:
        text = page.read()
    source = "\n".join(fenced(text, "c"))
    with open(os.path.join(ROOT, "include", "bulkhead", "abi.h"), encoding="utf-8") as header:
        names = re.findall(r"^#define (\w+)\s+0x[8C][0-9A-F]{7}u", header.read(), re.MULTILINE)
    calls = {re.sub("_(32|64)$", "", name) for name in names if not name.startswith("BH_")}
    missing = [name for name in sorted(calls) if not re.search(rf"\b{name}(_32|_64)?\b", source)]
    assert not missing, "without an example"
    source = "#include <stdbool.h>\n#include <stddef.h>\n" + source.replace("vmcall", "vmmcall") + USE_OF_EXAMPLES
    image = build_guest(source, "examples", tmp_path, "-Wno-unused-function")
    files = {"\\guests\\examples.elf": image,
             "\\guests\\pong-para.elf": os.path.join(BUILD, "guests/pong-para.elf")}
    with System("qemu", EXAMPLES_CONFIG, cpus=2, files=files) as system:
        system.expect_boot(r"example devices: \w+\n")
        told = re.findall(r"example ([\w ]+): (\w+)", system.transcript)
        assert len(told) == 13 and {outcome for _, outcome in told} == {"right"}, told


def exists(kind, place, name):
    """Whether a test stands where docs/threat-model.md says."""
    where = {"unit": (f"tests/unit/test_{place}.c", rf"^static void {name}\(void \*\*"),
             "system": (f"tests/system/test_{place}.py", rf"^def {name}\("),
             "fuzz": (f"tests/fuzz/fuzz_{name}.c", "LLVMFuzzerTestOneInput"),
             "proof": (f"tests/proof/prove_{name}.c", r"^void prove\("),
             "lint": ("tools/lint.py", rf"^def check_{name}\("),
             "hostile": ("tests/hostile", rf'^\s*\{{"{name}",')}
    path, pattern = where[kind]
    path = os.path.join(ROOT, path)
    files = [os.path.join(path, file) for file in os.listdir(path)] if os.path.isdir(path) else [path]
    text = "".join(open(file, encoding="utf-8").read() for file in files if os.path.isfile(file))
    return re.search(pattern, text, re.MULTILINE) is not None


def claims(text):
    return re.findall(r"`(unit|system|fuzz|proof|lint|hostile)(?:/(\w+))?: ([\w-]+)`", text)


def test_threat_model_names_tests_that_exist():
    with open(os.path.join(ROOT, "docs", "threat-model.md"), encoding="utf-8") as page:
        named = [claim for claim in claims(page.read()) if claim[2] not in ("NAME", "X")]
    assert len(named) > 80
    missing = [f"{kind}/{place}: {name}" for kind, place, name in named if not exists(kind, place, name)]
    assert not missing, missing


def test_a_claim_without_a_test_is_found():
    for claim in claims("`unit/exits: no_such_test` `fuzz: nothing` `hostile: no-such` `lint: nothing` `system/docs: test_no`"):
        assert not exists(*claim)
    assert exists("unit", "exits", "out_of_bounds") and exists("hostile", "", "read-beyond")
