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
