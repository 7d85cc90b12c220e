"""Which emulator the tests run on, and machines that many tests share.

Bochs proves VT-x and QEMU's TCG proves SVM. Tests that need neither, or only QEMU, run with --platform=qemu.
"""

import pytest

PLATFORMS = ["qemu", "bochs"]


def pytest_addoption(parser):
    parser.addoption("--platform", choices=PLATFORMS, help="only the tests of this emulator; without: all")


@pytest.fixture(scope="module", params=PLATFORMS)
def platform(request):
    return request.param


def platform_of(item):
    callspec = getattr(item, "callspec", None)
    named = callspec.params.get("platform") if callspec else None
    return named or ("bochs" if item.get_closest_marker("bochs") else "qemu")


def pytest_configure(config):
    config.addinivalue_line("markers", "bochs: runs on Bochs only")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--platform")
    if wanted:
        others = [item for item in items if platform_of(item) != wanted]
        items[:] = [item for item in items if platform_of(item) == wanted]
        config.hook.pytest_deselected(items=others)
