"""One booted Bulkhead, on either emulator, with its serial line under pexpect.

Bochs proves VT-x and QEMU's TCG proves SVM. The serial line is a socket on both, so a test reads and types the same way.
Escape sequences are taken out of what tests see. A line that is shown before it is whole is erased (CR ESC [ K) and shown again:
what was erased stays in the transcript, marked, and is no line.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from pexpect import EOF, TIMEOUT, fdpexpect

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, "build")
sys.path.insert(0, os.path.join(ROOT, "tools"))
import emulator  # noqa: E402
import exits  # noqa: E402

ERASE_LINE = re.compile(rb"\r\x1b\[K")
ERASED = " [erased]"
ESCAPE = re.compile(rb"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")
UNFINISHED_ESCAPE = re.compile(rb"(\r?\x1b(\[[0-9;?=]*|[()])?|\r)\Z")

# A boot takes 10 to 15 s on an idle machine; the bound is there to end a hang, not to judge speed.
BOOT_TIMEOUT = 180
LINE_TIMEOUT = 90
QEMU_START_TIMEOUT = 60
KEY = "\x1d"  # Ctrl-]

# With instruction counting, an instruction takes 2^shift ns of QEMU's clock, and a TSC tick is 1 ns. The firmware waits
# in loops for its devices: a slower clock makes those loops short.
ICOUNT_SHIFT = 4


class CleanSerial(fdpexpect.fdspawn):
    """A serial line without its colours; `transcript` keeps all of it."""

    def __init__(self, connection):
        super().__init__(connection, timeout=LINE_TIMEOUT, encoding=None, maxread=65536)
        self.held = b""
        self.transcript = b""

    def read_nonblocking(self, size=1, timeout=-1):
        raw = self.held + super().read_nonblocking(size, timeout)
        unfinished = UNFINISHED_ESCAPE.search(raw)
        self.held = unfinished.group(0) if unfinished else b""
        raw = raw[:len(raw) - len(self.held)]
        text = ESCAPE.sub(b"", ERASE_LINE.sub(ERASED.encode() + b"\n", raw))
        self.transcript += text
        return text


def build_image(config, directory, files=None, hypervisor=None, loader=None):
    """A disk image with `config` (None: none) and the built guests.

    `files` maps paths on the volume to host files (None leaves one out); `hypervisor` is a file, or "none"; so is `loader`.
    """
    names = {"\\guests\\full.elf": "guests/full.elf", "\\guests\\para.elf": "guests/para.elf",
             "\\guests\\hello-para.elf": "guests/hello-para.elf",
             "\\guests\\bench-full.elf": "guests/bench-full.elf", "\\guests\\bench-para.elf": "guests/bench-para.elf"}
    contents = {path: os.path.join(BUILD, host) for path, host in names.items()}
    contents.update(files or {})
    config_path = "none"
    if config is not None:
        config_path = os.path.join(directory, "bulkhead.cfg")
        with open(config_path, "w", encoding="utf-8", newline="") as out:
            out.write(config)
    image = os.path.join(directory, "disk.img")
    command = [MKIMAGE, "--loader", loader or os.path.join(BUILD, "boot/BOOTX64.EFI"), "--hypervisor",
               hypervisor or os.path.join(BUILD, "bulkhead.elf"), "--config", config_path, "--out", image]
    for path, host in contents.items():
        if host is not None:
            command += ["--file", f"{path}={host}"]
    subprocess.run(command, check=True, capture_output=True)
    return image


MKIMAGE = os.path.join(ROOT, "tools", "mkimage")


class System:
    """Boots at once; use as a context manager, or close() it."""

    def __init__(self, platform, config, cpus=2, memory=512, model=None, files=None, icount=False, extra=(),
                 hypervisor=None, loader=None):
        self.platform = platform
        self.directory = tempfile.mkdtemp(prefix="bulkhead-test-")
        self.process = None
        self.bochs = None
        image = build_image(config, self.directory, files, hypervisor, loader)
        if platform == "bochs":
            self.bochs = emulator.Bochs(image, cpus, memory, model=model or emulator.BOCHS_MODEL)
            self.process = self.bochs.process
            connection = self.bochs.serial
        else:
            connection = self.start_qemu(image, cpus, memory, model, icount, extra)
        self.connection = connection
        self.serial = CleanSerial(connection)

    def start_qemu(self, image, cpus, memory, model, icount, extra):
        """TCP puts the single bytes that QEMU sends together: 278 of them fill a local socket, and a test that comes late finds the
        serial line stuck."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(QEMU_START_TIMEOUT)
        self.monitor_path = os.path.join(self.directory, "monitor")
        options = ["-chardev", f"socket,id=serial0,host=127.0.0.1,port={listener.getsockname()[1]},nodelay=on", "-serial", "chardev:serial0",
                   "-monitor", f"unix:{self.monitor_path},server=on,wait=off"]
        if icount:
            options += ["-icount", f"shift={ICOUNT_SHIFT},sleep=off"]
        command = emulator.qemu_command(image, cpus, memory, cpu=model, extra=options + list(extra))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(os.path.join(self.directory, "qemu.log"), "wb"))
        with listener:
            connection = listener.accept()[0]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        exits.note(self.serial.transcript, self.platform)
        if self.bochs:
            self.bochs.close()
        elif self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.connection.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def expect(self, pattern, timeout=LINE_TIMEOUT):
        """Waits for a regular expression; returns the match. Fails with the end of the transcript."""
        try:
            self.serial.expect(pattern.encode(), timeout=timeout)
        except (TIMEOUT, EOF) as error:
            kind = "the line closed" if isinstance(error, EOF) else f"{timeout} s passed"
            tail = self.serial.transcript[-3000:].decode("utf-8", "replace")
            raise AssertionError(f"{self.platform}: {kind} without {pattern!r}; the end was:\n{tail}") from None
        return self.serial.match

    def expect_boot(self, pattern):
        return self.expect(pattern, timeout=BOOT_TIMEOUT)

    def drain(self):
        """Reads what has arrived and not been matched; the next expect() starts behind it."""
        end = time.monotonic() + 0.3
        try:
            while time.monotonic() < end:
                self.serial.expect(b".+", timeout=0.1)
        except (TIMEOUT, EOF):
            pass

    def mark(self):
        """This moment in the transcript, for wait_line() and lines(): where the line begins that is not finished yet."""
        self.drain()
        return self.serial.transcript.rfind(b"\n") + 1

    def read_more(self, deadline, pattern):
        """Waits for anything at all; it then stands in the transcript. Output that never ends does not put the end off."""
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TIMEOUT("deadline")
            self.serial.expect(b".+", timeout=left)
        except (TIMEOUT, EOF) as error:
            kind = "the line closed" if isinstance(error, EOF) else "too much time passed"
            raise AssertionError(f"{self.platform}: {kind} without the line {pattern!r}; the end was:\n"
                                 f"{self.transcript[-3000:]}") from None

    def wait_line(self, pattern, since=0, timeout=LINE_TIMEOUT):
        """The first whole line from `since` on that the regular expression matches from end to end; returns the match."""
        wanted, deadline = re.compile(pattern), time.monotonic() + timeout
        while True:
            end = self.serial.transcript.rfind(b"\n") + 1
            for line in self.lines(since):
                match = wanted.fullmatch(line)
                if match:
                    return match
            since = max(since, end)
            self.read_more(deadline, pattern)

    def said(self, who, pattern, since=0, timeout=LINE_TIMEOUT):
        """Waits for a line of one partition, or of the hypervisor (`bulkhead`)."""
        return self.wait_line(rf"{who} *\| {pattern}", since, timeout)

    def lines(self, since=0, who=None):
        """The whole lines of the transcript from `since` on; with `who`: those of one source, without the prefix."""
        end = self.serial.transcript.rfind(b"\n") + 1
        lines = self.serial.transcript[since:end].decode("utf-8", "replace").splitlines()
        lines = [line for line in lines if not line.endswith(ERASED)]
        if who is None:
            return lines
        prefix = re.compile(rf"{who} *\| (.*)")
        return [match.group(1) for match in map(prefix.fullmatch, lines) if match]

    @property
    def transcript(self):
        return self.serial.transcript.decode("utf-8", "replace")

    def send(self, text):
        self.connection.sendall(text.encode())

    def line(self, text):
        self.send(text + "\r")

    def type_in(self, text):
        """As much at a time as the hypervisor's own 16550 holds, on an emulated CPU of 4 MHz: faster typing loses characters."""
        for start in range(0, len(text), 8):
            self.send(text[start:start + 8])
            time.sleep(0.05)

    def keyboard(self, partition):
        """Gives the keyboard to partition 1..9, or to the monitor (0)."""
        self.send(f"{KEY}{partition}")
        self.expect(r"keyboard: [^\n]*\n")

    def command(self, text, pattern):
        """Runs one monitor command and waits for its answer."""
        self.send(f"{KEY}0")
        self.line(text)
        return self.expect(pattern)

    def qemu_monitor(self, command):
        """One command on QEMU's own monitor."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(self.monitor_path)
            monitor.settimeout(20)
            self.read_prompt(monitor, command)
            monitor.sendall(command.encode() + b"\n")
            return self.read_prompt(monitor, command)

    def read_prompt(self, monitor, command):
        """All that QEMU's monitor says up to its prompt."""
        data = b""
        while b"(qemu) " not in data:
            more = monitor.recv(65536)
            if not more:
                raise AssertionError(f"QEMU ended before its monitor was done with {command!r}; it said {data!r}; the end was:\n"
                                     f"{self.transcript[-2000:]}")
            data += more
        return data.decode("utf-8", "replace")

    def wait_end(self, timeout=LINE_TIMEOUT):
        """The machine powered itself off."""
        try:
            self.serial.expect(EOF, timeout=timeout)
        except TIMEOUT:
            raise AssertionError(f"the machine still runs; the end was:\n{self.transcript[-2000:]}") from None
        self.process.wait(timeout)
