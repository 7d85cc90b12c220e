"""What the documentation tells a reader to type works as written."""

import os
import re
import shutil
import subprocess

from system import ROOT, System


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
