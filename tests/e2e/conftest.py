"""What every end-to-end test gets: a machine that can run it, an end to hanging, and a check of the
ledger and of the daemon's health behind each test."""

import os
import shutil
import signal

import pytest

import lab as lab_module

TEST_SECONDS_MAX = 100
NEEDED = ["ip", "tc", "nsenter", "setpriv", "ping", "iperf3", "clang", "bpftool"]


def missing():
    """Why this machine cannot run the tests, or nothing."""
    if os.geteuid() != 0:
        return "end-to-end tests need root"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun is missing: modprobe tun"
    for tool in NEEDED:
        if not shutil.which(tool):
            return f"{tool} is not installed: ./dev setup"
    try:
        with lab_module.Lab():
            pass
    except Exception as error:
        return f"no network namespaces here: {error}"
    for path in (lab_module.BUILD / "bulkheadd", lab_module.BUILD / "bulkhead",
                 lab_module.TOOLS / "tap_guest", lab_module.TOOLS / "flood"):
        if not os.access(path, os.X_OK):
            return f"{path} is not there: ./dev build"
    return None


def raise_interrupt(number, _):
    raise KeyboardInterrupt(signal.Signals(number).name)


def raise_timeout(*_):
    raise TimeoutError(f"the test took more than {TEST_SECONDS_MAX} s")


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures the machine, or takes all of it: no other "
                                       "test may run meanwhile (./dev test)")
    signal.signal(signal.SIGTERM, raise_interrupt)
    signal.signal(signal.SIGHUP, raise_interrupt)
    signal.signal(signal.SIGALRM, raise_timeout)


def may_skip():
    return os.environ.get("BULKHEAD_ALLOW_SKIP") == "1"


def is_worker(config):
    """Of pytest-xdist: a process that runs a part of the tests for another one."""
    return hasattr(config, "workerinput")


def pytest_sessionstart(session):
    """A missing ability is a failure, unless the caller has said that it may be skipped."""
    if is_worker(session.config) or session.config.option.collectonly or may_skip():
        return
    if reason := missing():
        pytest.exit(reason, returncode=1)


def pytest_unconfigure(config):
    if not is_worker(config):
        lab_module.sweep()  # workers are killed when the run is interrupted


@pytest.fixture(scope="session", autouse=True)
def machine():
    if may_skip() and (reason := missing()):
        pytest.skip(reason)
    yield
    lab_module.close_all()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Set-up, test and teardown together end in time."""
    signal.alarm(TEST_SECONDS_MAX)
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def accounts(machine):
    """Behind each test: the daemons that run are healthy, and their ledgers are right."""
    yield
    for lab in lab_module.Lab.open_labs:
        for alarm in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "terminate called"):
            assert alarm not in lab.log(), lab.log()[-4000:]
        if lab.daemon:
            if not lab.socket_path.exists():  # it is about to end
                lab.daemon.wait(10)
            code = lab.daemon.poll()
            if code is not None:
                lab.start()  # the tests that follow are about something else
            assert code is None, f"bulkheadd ended, nobody asked it to; exit code {code}"
            lab.ledger()


@pytest.fixture
def cast(arena):
    """[kali3, kali4 (the attacker), kali5] for one scenario: see arena.py."""
    arena.calm()
    kali3, kali4, kali5 = (arena.guests[name] for name in ("kali3", "kali4", "kali5"))
    with arena.scenario(kali3, kali5):
        yield kali3, kali4, kali5


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for lab in lab_module.Lab.open_labs:
            if text := lab.log():
                report.sections.append((f"log of bulkheadd in {lab.name}", text[-6000:]))
