#!/usr/bin/env bash
# How small, and how soon it is there: size of the binary, start to the readiness line (median of
# 51), resident memory at the start and with 10 000 polls that wait, each on a channel of its own.
# Then whether 32 MiB are enough for those, program and libraries counted in, and what each feature
# adds to `small`.
#
#   benches/small.sh            builds and measures all, in a quarter of an hour
#   benches/small.sh BINARY…    measures these
set -euo pipefail
cd "$(dirname "$0")/.."

exec python3 - "$@" <<'PYTHON'
import json, os, re, shutil, statistics, subprocess, sys, time
from pathlib import Path

PARTS = ["bench", "inspector", "nginx", "passthrough", "proxy", "redis"]
POLLS = ["idle", "--subscribers", "10000", "--channels", "10000", "--no-plot", "-q"]
ADDRESSES_KIB = 32 << 10
# What fits into these: how much is kept of messages, and how many connections.
SETTINGS = json.dumps({"store": {"max_memory": 4 << 20}, "limits": {"connections": 12_000}})
MUSL = "x86_64-unknown-linux-musl"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
KEPT = TARGET / "sizes"

def build(name, profile, *options, runner=(), target=""):
    """Builds the command, and keeps it under a name."""
    command = [*runner, "cargo", "build", "--profile", profile, *options]
    subprocess.run([*command, "--bin", "pushserver", "--locked", "--quiet"], check=True)
    KEPT.mkdir(exist_ok=True)
    return Path(shutil.copy(TARGET / target / profile / "pushserver", KEPT / name))

def without_defaults(name, profile, features=(), *options, **how):
    """The same, with these features alone."""
    features = ["--features", ",".join(features)] if features else []
    return build(name, profile, "--no-default-features", *features, *options, **how)

def builds():
    yield build("release", "release")
    yield without_defaults("release without persist and tls", "release", PARTS)
    yield without_defaults("small", "small")
    static = {"runner": ["tests/static-binary", "x86_64"], "target": "x86_64-unknown-linux-gnu"}
    yield without_defaults("small, static (glibc)", "small", **static)
    libraries = ["rustc", "--print", "target-libdir", "--target", MUSL]
    if Path(subprocess.check_output(libraries, text=True).strip()).is_dir():
        yield without_defaults("small, static (musl)", "small", (), "--target", MUSL, target=MUSL)
    else:
        print(f"no static build with musl without: rustup target add {MUSL}", file=sys.stderr)

def start(binary, *arguments, limit=""):
    """The daemon, the seconds until it said that it listens, and its address."""
    command = ["bash", "-c", f'{limit} exec "$0" "$@"', binary] if limit else [binary]
    began = time.perf_counter()
    daemon = subprocess.Popen(
        [*command, "-q", "--port", "0", *arguments], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    line = daemon.stdout.readline()
    return daemon, time.perf_counter() - began, line.split()[-1].rstrip("/")

def status_kib(daemon, what):
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", status)[1])

def stop(daemon):
    daemon.terminate()
    daemon.wait()

def hold(daemon, address):
    """Resident memory of a daemon with 10 000 polls, KiB. Each is answered in the end."""
    load = [release, "bench", *POLLS, "--server", address, "--pid", str(daemon.pid)]
    report = subprocess.run(load, check=True, capture_output=True, text=True).stdout
    assert "10000 published, 10000 delivered" in report, report
    return int(re.search(r"\(\d+ -> (\d+) KiB\)", report)[1])

def measure(binary):
    seconds = []
    for _ in range(51):
        daemon, took, address = start(binary)
        seconds.append(took)
        stop(daemon)
    daemon, _, address = start(binary)
    empty = status_kib(daemon, "VmRSS")
    full = hold(daemon, address)
    stop(daemon)
    print(f"| {binary.name} | {binary.stat().st_size / 1e6:.2f} MB "
          f"| {statistics.median(seconds) * 1e3:.1f} ms "
          f"| {empty * 1.024 / 1e3:.1f} MB | {full * 1.024 / 1e3:.1f} MB |", flush=True)

def measure_within(binary):
    """The same under a limit of addresses, stricter than one of resident memory."""
    settings = KEPT / "settings.json"
    settings.write_text(SETTINGS)
    limit = f"ulimit -v {ADDRESSES_KIB} &&"
    daemon, _, address = start(binary, "--config", settings, limit=limit)
    hold(daemon, address)
    print(f"\n`{binary.name}` with 10 000 polls, settings {SETTINGS}:\n"
          f"{status_kib(daemon, 'VmPeak') / 1024:.1f} MiB of addresses, of 32.", flush=True)
    stop(daemon)

def measure_features(small):
    print("\n| feature | bytes that it adds to `small` |\n|---|---|")
    for feature in [*PARTS, "persist", "tls"]:
        binary = without_defaults(f"small with {feature}", "small", [feature])
        print(f"| `{feature}` | {binary.stat().st_size - small.stat().st_size:,} |", flush=True)

given = [Path(name).resolve() for name in sys.argv[1:]]
release = KEPT / "release" # its load generator measures all
if given and not release.exists():
    build("release", "release")
print("| build | binary | start to the readiness line | resident at the start "
      "| with 10 000 polls, each on its own channel |\n|---|---|---|---|---|")
for binary in given or builds():
    measure(binary)
if not given:
    measure_within(KEPT / "small")
    measure_features(KEPT / "small")
PYTHON
