"""What is built is the same every time, and the host tools that go with it work."""

import os
import subprocess

from system import BUILD, ROOT


def make(*arguments, cwd=ROOT):
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=cwd, capture_output=True, text=True, check=False,
                          env={key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))})


def copy_of_the_tree(directory):
    """The sources alone, as a fresh checkout has them."""
    wanted = ["Makefile", "arch", "boot", "configs", "drivers", "guests", "hv", "include", "tests", "tools"]
    os.makedirs(directory)
    subprocess.run(["cp", "-a", *wanted, str(directory)], cwd=ROOT, check=True)
    return directory


def test_two_builds_are_byte_identical(tmp_path):
    """In two places, from nothing."""
    images = []
    for name in ("one", "a-much-longer-name-than-the-other"):
        tree = copy_of_the_tree(tmp_path / name)
        done = make("-j2", "all", cwd=tree)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "warning:" not in done.stderr
        images.append((tree / "build" / "bulkhead.img").read_bytes())
    assert images[0] == images[1]


def test_second_make_has_nothing_to_do():
    done = make("-q", "all")
    assert done.returncode == 0, make("-n", "all").stdout[:2000]


def test_image_has_one_system_partition():
    done = subprocess.run(["sgdisk", "--print", os.path.join(BUILD, "bulkhead.img")], capture_output=True, text=True,
                          check=True)
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == 1 and rows[0][5] == "EF00"
    verified = subprocess.run(["sgdisk", "--verify", os.path.join(BUILD, "bulkhead.img")], capture_output=True, text=True,
                              check=True)
    assert "No problems found" in verified.stdout


def test_check_config_of_the_default():
    done = make("check-config")
    assert (done.returncode, done.stdout) == (0, "configs/default.cfg: fine, 2 partitions\n")


def test_check_config_of_a_wrong_file(tmp_path):
    path = tmp_path / "wrong.cfg"
    path.write_text("[partition a]\nmode = fulll\nmemory = 64M\nimage = \\x\n\n[partition a]\nmemory = 1\n")
    done = make("check-config", f"CONFIG={path}")
    assert done.returncode != 0
    assert f"{path}:2:8: found 'fulll', expected one of: full, para" in done.stderr
    assert f"{path}:6:12: a second partition 'a'; the first is in line 1" in done.stderr
    assert f"{path}:7:10: found 1, expected memory from 1M to 1024G" in done.stderr
    assert f"{path}: 5 mistakes" in done.stderr


def test_check_config_of_no_file(tmp_path):
    done = make("check-config", f"CONFIG={tmp_path}/none.cfg")
    assert done.returncode != 0
    assert f"{tmp_path}/none.cfg: cannot be read: No such file or directory" in done.stderr


def test_help_lists_the_targets():
    targets = {line.split()[1] for line in make("help").stdout.splitlines()}
    assert {"all", "run", "test", "bench", "study", "lint", "debug", "deps", "clean", "help", "unit", "fuzz", "coverage",
            "check-config"} <= targets


def test_debug_stops_at_the_entry():
    """`make debug`: gdb with symbols, at the hypervisor's first instruction."""
    done = subprocess.run(["make", "--no-print-directory", "debug"], cwd=ROOT, input="info symbol $rip\nkill\nquit\n",
                          capture_output=True, text=True, timeout=180, check=False)
    assert "Breakpoint 1, hypervisor_entry () at arch/x86/entry.asm" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    assert "hypervisor_entry in section .text" in done.stdout
