#!/usr/bin/env bash
# How small, and how soon it is there: size of the binary, start to the readiness line (median of
# 51), resident memory at the start and with 10 000 polls that wait, each on a channel of its own.
#
#   benches/small.sh            builds and measures: release, small, small and static
#   benches/small.sh BINARY…    measures these
set -euo pipefail
cd "$(dirname "$0")/.."
static=x86_64-unknown-linux-musl

cargo build --release --locked --quiet # its load generator measures all
if [ $# -eq 0 ]; then
    cargo build --profile small --no-default-features --locked --quiet
    set -- target/release/pushserver target/small/pushserver
    if rustc --print target-libdir --target $static | xargs test -d; then
        cargo build --profile small --no-default-features --locked --quiet --target $static
        set -- "$@" target/$static/small/pushserver
    else
        echo "no static build without: rustup target add $static" >&2
    fi
fi

python3 - "$@" <<'PYTHON'
import re, statistics, subprocess, sys, time
from pathlib import Path

POLLS = ["idle", "--subscribers", "10000", "--channels", "10000", "--no-plot", "-q"]

def start(binary):
    """The daemon, the seconds until it said that it listens, and its address."""
    began = time.perf_counter()
    daemon = subprocess.Popen(
        [binary, "-q", "--port", "0"], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    line = daemon.stdout.readline()
    return daemon, time.perf_counter() - began, line.split()[-1]

def resident_kb(daemon):
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

def stop(daemon):
    daemon.terminate()
    daemon.wait()

for binary in sys.argv[1:]:
    seconds = []
    for _ in range(51):
        daemon, took, address = start(binary)
        seconds.append(took)
        stop(daemon)
    daemon, _, address = start(binary)
    empty = resident_kb(daemon)
    address = address.rstrip("/")
    report = subprocess.run(
        ["target/release/pushserver", "bench", *POLLS, "--server", address, "--pid",
         str(daemon.pid)],
        check=True, capture_output=True, text=True,
    ).stdout
    held = re.search(r"\((\d+) -> (\d+) KiB\)", report)
    stop(daemon)
    print(f"{binary}")
    print(f"  {Path(binary).stat().st_size / 1e6:.2f} MB")
    print(f"  start to readiness line {statistics.median(seconds) * 1e3:.1f} ms")
    print(f"  resident: {empty / 1e3:.1f} MB at the start, {int(held[2]) * 1.024 / 1e3:.1f} MB with 10 000 polls")
PYTHON
