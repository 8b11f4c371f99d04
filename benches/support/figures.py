"""Figures: from what `pushserver bench` wrote, to the tables of the documents.

    figures.py print RESULTS SCENARIO         the medians of a scenario
    figures.py collect RESULTS INTO KEY=TEXT…
                                              benches/results/numbers.json, and what is made of it
    figures.py write                          the documents, from that file alone
    figures.py check                          whether the documents have what is made of it

RESULTS is a directory of SCENARIO.SERVER.ROUND.json. Tables stand between two marks in a document;
no number between them is written by hand.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = Path("benches/results/numbers.json")
BEGIN = "<!-- numbers: made by benches/readme.sh -->"
END = "<!-- end of numbers -->"

# Figures of a scenario and a server: where a report has them.
FIELDS = {
    "cpu": ("server_cpu_us_per_operation",),
    "accept": ("server_cpu_us_per_subscriber",),
    "rate": ("operations_per_second",),
    "within": ("deliveries_per_second_within",),
    "p50": ("latency", "p50_us"),
    "p99": ("latency", "p99_us"),
    "answer_p50": ("answer", "p50_us"),
    "answer_p99": ("answer", "p99_us"),
    "beside_p50": ("beside_during", "p50_us"),
    "beside_p99": ("beside_during", "p99_us"),
    "beside_max": ("beside_during", "max_us"),
    "bytes": ("resident_bytes_per_subscriber",),
    "empty": ("resident_bytes_before",),
    "held": ("resident_bytes_held",),
    "calls": ("calls_per_operation",),
}
Figures = dict[str, dict[str, dict[str, float]]]


def number(value: float) -> str:
    """With three digits, thousands apart."""
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if value >= least), 3)
    return f"{float(f'{value:.3g}'):,.{digits}f}".replace(",", " ")


def cpu(us: float) -> str:
    return f"{number(us)} µs"


def time(us: float) -> str:
    return f"{number(us / 1000)} ms"


def count(value: float) -> str:
    return number(value)


def size(value: float) -> str:
    return f"{number(value)} bytes"


def percent(value: float) -> str:
    return f"{value * 100:.0f} %"


def megabytes(value: float) -> str:
    return f"{number(value / 1e6)} MB"


class Row(NamedTuple):
    """A row of the documents, and of the table of bars if it has a number there."""

    scenario: str
    figure: str
    show: Callable[[float], str]
    text: str
    bar: tuple[str, str] = ("0", "")
    in_readme: bool = False


AGAIN = "1 000 long polls that ask again at once"
BESIDE = "message on another channel while 8 000 are served"
ROWS = [
    Row("poll-cycle", "cpu", cpu, f"processor time per delivery, {AGAIN}",
        ("2", "≤ limit + 1.0 µs, ≤ 0.67 of Nchan"), True),
    Row("poll-cycle", "rate", count, f"deliveries a second to {AGAIN}",
        ("7", "≥ 1.7 of Nchan"), True),
    Row("poll-fanout", "cpu", cpu, "processor time per delivery, 10 000 long polls",
        ("2", "≤ limit + 0.9 µs, ≤ 0.67 of Nchan"), True),
    Row("poll-fanout", "within", count, "deliveries a second to them, within a message",
        ("3", "≥ 0.96 of limit, ≥ 1.4 of Nchan")),
    Row("poll-fanout", "p99", time, "until 99 percent of them have a message",
        ("4", "≤ 0.70 of Nchan"), True),
    Row("poll-fanout", "answer_p50", time, "answer to the publisher of such a message",
        ("5", "≤ 0.1 ms"), True),
    Row("poll-fanout", "answer_p99", time, "the same, the slowest percent", ("5", "≤ 1 ms")),
    Row("poll-fanout", "accept", cpu, "processor time per new long poll, from the connection on",
        ("14", "≤ 1.15 of limit")),
    Row("isolation", "beside_p50", time,
        f"{BESIDE}, median"),
    Row("isolation", "beside_p99", time, f"{BESIDE}, the slowest percent", ("6", "≤ 0.5 ms")),
    Row("isolation", "beside_max", time,
        f"{BESIDE}, at the latest",
        ("6", "≤ 5 ms"), True),
    Row("channels", "cpu", cpu, "processor time per message, 1 000 channels of one subscriber",
        ("8", "≤ 0.86 of limit")),
    Row("publish", "cpu", cpu, "processor time per message that is only stored",
        ("9", "≤ 1.10 of limit")),
    Row("poll", "cpu", cpu, "processor time per poll of a stored message, 32 connections",
        ("10", "≤ 0.85 of Nchan")),
    Row("eventsource-cycle", "cpu", cpu, "processor time per delivery, 1 000 event streams",
        ("11", "≤ 1.12 of limit, ≤ 0.8 of Nchan"), True),
    Row("eventsource-cycle", "within", count, "deliveries a second to them, within a message",
        ("11", "≥ 0.95 of limit")),
    Row("eventsource-fanout", "cpu", cpu, "processor time per delivery, 10 000 event streams",
        ("11", "≤ 1.12 of limit, ≤ 0.8 of Nchan")),
    Row("eventsource-fanout", "within", count, "deliveries a second to them, within a message",
        ("11", "≥ 0.95 of limit")),
    Row("websocket-cycle", "cpu", cpu, "processor time per delivery, 1 000 WebSockets",
        ("11", "≤ 1.12 of limit, ≤ 0.8 of Nchan"), True),
    Row("websocket-cycle", "within", count, "deliveries a second to them, within a message",
        ("11", "≥ 0.95 of limit")),
    Row("websocket-fanout", "cpu", cpu, "processor time per delivery, 10 000 WebSockets"),
    Row("poll-idle-one", "bytes", size, "memory for a long poll that waits, 10 000 on one channel",
        ("12", "≤ 250 bytes"), True),
    Row("idle-own", "bytes", size, "the same, each on a channel of its own",
        ("12", "≤ 450 bytes"), True),
    Row("eventsource-idle-one", "bytes", size, "memory for an event stream, 10 000 on one channel",
        ("12", "≤ 400 bytes")),
    Row("websocket-idle-one", "bytes", size, "memory for a WebSocket, 10 000 on one channel",
        ("12", "≤ 400 bytes")),
    Row("idle-own", "empty", megabytes, "resident memory of the server, before them",
        ("13", "≤ 2.5 MB (small)")),
    Row("idle-own", "held", megabytes, "resident memory with 10 000, each on its own channel",
        ("13", "≤ 7.0 MB (small)")),
    Row("poll-calls", "calls", count, "system calls per delivery to long polls",
        ("1", "≤ 2.02")),
    Row("eventsource-calls", "calls", count, "system calls per delivery to event streams",
        ("1", "≤ 1.02")),
    Row("websocket-calls", "calls", count, "system calls per delivery to WebSockets",
        ("1", "≤ 1.02")),
]  # fmt: skip
PROXY = [
    Row("proxy", "rate", count, "requests a second",
        ("15", "≥ 1.45 of nginx, ≥ 1.15 of haproxy")),
    Row("proxy", "cpu", cpu, "processor time per request"),
    Row("proxy", "busy", percent, "share of its core that it used (100 %: it was the limit)"),
    Row("proxy", "p99", time, "the slowest percent of answers takes more than",
        ("15", "≤ haproxy's")),
]  # fmt: skip


def read(results: Path) -> tuple[Figures, dict[str, Any]]:
    """The medians of all rounds, and the machine."""
    reports: dict[tuple[str, str], list[dict[str, Any]]] = {}
    machine: dict[str, Any] = {}
    for path in sorted(results.glob("*.*.*.json")):
        scenario, server, _ = path.stem.split(".")
        document = json.loads(path.read_text())
        machine = document["machine"]
        reports.setdefault((scenario, server), []).extend(document["runs"])
    figures: Figures = {}
    for (scenario, server), runs in reports.items():
        found: dict[str, float] = {}
        for name, keys in FIELDS.items():
            values = [value for run in runs if (value := at(run, keys)) is not None]
            if values:
                # The worst of all rounds, or what most of them had.
                value = max(values) if name == "beside_max" else statistics.median(values)
                found[name] = float(f"{value:.4g}")
        # Of one core, where the server is not what limits the others.
        if "rate" in found and "cpu" in found:
            found["busy"] = float(f"{found['rate'] * found['cpu'] / 1e6:.4g}")
        found["faults"] = sum(map(faults, runs))
        figures.setdefault(scenario, {})[server] = found
    return figures, machine


def at(run: Any, keys: tuple[str, ...]) -> float | None:
    for key in keys:
        run = run and run[key]
    return None if run is None else float(run)


def faults(run: dict[str, Any]) -> int:
    counts = {**run["faults"], **run["faults"]["refused"]}
    return sum(value for value in counts.values() if isinstance(value, int))


def value(row: Row, figures: Figures, server: str) -> float | None:
    return figures.get(row.scenario, {}).get(server, {}).get(row.figure)


def shown(row: Row, figures: Figures, server: str) -> str:
    found = value(row, figures, server)
    return "-" if found is None else row.show(found)


def ratio(row: Row, figures: Figures, peer: str) -> str:
    """Of ours to a peer's, with two digits."""
    ours, theirs = value(row, figures, "pushserver"), value(row, figures, peer)
    if ours is None or not theirs:
        return "-"
    return f"{ours / theirs:.2f}" if ours / theirs >= 0.1 else f"{ours / theirs:.1g}"


def compared(row: Row, figures: Figures, peers: list[str]) -> list[str]:
    """Ours, each peer's, and the ratio to each."""
    return [
        *(shown(row, figures, server) for server in ["pushserver", *peers]),
        *(ratio(row, figures, peer) for peer in peers),
    ]


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [heads, *rows]]
    lines.insert(1, "|---" * len(heads) + "|")
    return "\n".join(lines).replace("|  |", "| |") + "\n"


def circumstances(data: dict[str, Any]) -> str:
    machine, made = data["machine"], data["made"]
    return (
        f"Made on {made['date']} by `benches/readme.sh {made['rounds']} {made['seconds']}` at\n"
        f"commit {made['commit']}: {machine['processor']}, {machine['cores']} processors,"
        f" Linux {machine['kernel']};\n"
        f"nginx {made['nginx']}, Nchan {made['nchan']}, haproxy {made['haproxy']}.\n"
        "One worker each, in turns, messages of 200 bytes, medians.\n"
    )


def of_proxies(row: Row, figures: Figures) -> list[str]:
    return compared(row, figures, ["nginx", "haproxy"])


def readme(data: dict[str, Any]) -> str:
    figures = data["figures"]
    rows = [[row.text, *compared(row, figures, ["nchan"])] for row in ROWS if row.in_readme]
    rate, cost = (of_proxies(row, figures) for row in PROXY[:2])
    return (
        table(["", "pushserver", "nginx with Nchan", "ratio"], rows)
        + f"\nAs a reverse proxy it serves {rate[0]} requests a second at {cost[0]} of processor\n"
        f"time each; nginx {rate[1]} at {cost[1]}, haproxy {rate[2]} at {cost[2]}.\n"
        + circumstances(data)
    )


HEADS = ["pushserver", "limit", "nginx with Nchan", "of limit", "of Nchan"]
HEADS_OF_PROXY = ["pushserver", "nginx", "haproxy", "of nginx", "of haproxy"]


def document(data: dict[str, Any]) -> str:
    figures = data["figures"]
    rows = [[row.text, *compared(row, figures, ["limit", "nchan"])] for row in ROWS]
    proxy = [[row.text, *of_proxies(row, figures)] for row in PROXY]
    tables = [table(["", *HEADS], rows), table(["as a reverse proxy", *HEADS_OF_PROXY], proxy)]
    return "\n".join([circumstances(data), *tables])


def bars(data: dict[str, Any]) -> str:
    figures = data["figures"]
    rows = [
        [row.bar[0], row.text, *compared(row, figures, ["limit", "nchan"]), row.bar[1]]
        for row in sorted(ROWS, key=lambda row: int(row.bar[0]))
        if row.bar[1]
    ]
    proxy = [["15", row.text, *of_proxies(row, figures), row.bar[1]] for row in PROXY]
    tables = [
        table(["#", "work", *HEADS, "bar"], rows),
        table(["#", "as a reverse proxy", *HEADS_OF_PROXY, "bar"], proxy),
    ]
    wrong = sum(of["faults"] for servers in figures.values() for of in servers.values())
    sum_of_faults = (
        f"Lost, repeated, reordered, damaged, reset, refused, unanswered in all of it: {wrong}\n"
    )
    return "\n".join([circumstances(data), *tables, sum_of_faults])


PAGES = {"README.md": readme, "docs/numbers.md": document, "benches/results/speed.md": bars}
PLOTS = ["fanout.svg", "isolation.svg"]


def with_numbers(page: str, made: str) -> str:
    """A page with these lines between its marks.

    Raises a ValueError where it has none.
    """
    before, begin, rest = page.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} are missing")
    return f"{before}{begin}\n{made}\n{end}{after}"


def collect(results: Path, into: Path, made: dict[str, str]) -> None:
    figures, machine = read(results)
    kernel = re.match(r"\d+\.\d+", machine["kernel"] or "")
    data = {
        "made": {"date": datetime.now(timezone.utc).date().isoformat(), **made},
        "machine": {
            "processor": machine["processor"],
            "cores": machine["cores"],
            "kernel": kernel and kernel[0],
        },
        "figures": figures,
    }
    (into / NUMBERS).write_text(json.dumps(data, indent=1) + "\n")
    for name in PLOTS:
        shutil.copy(results / name, into / NUMBERS.parent / name)
    write(into)
    print(bars(data), end="")


def write(root: Path) -> None:
    data = json.loads((root / NUMBERS).read_text())
    for page, make in PAGES.items():
        path = root / page
        path.write_text(with_numbers(path.read_text(), make(data)))


def check(root: Path) -> int:
    data = json.loads((root / NUMBERS).read_text())
    status = 0
    for page, make in PAGES.items():
        text = (root / page).read_text()
        if with_numbers(text, make(data)) != text:
            print(
                f"{page} has other numbers than {NUMBERS}: run benches/readme.sh", file=sys.stderr
            )
            status = 1
    return status


def main(arguments: list[str]) -> int:
    match arguments:
        case ["print", results, scenario]:
            figures, _ = read(Path(results))
            for row in [row for row in PROXY + ROWS if row.scenario == scenario]:
                for server in figures[scenario]:
                    print(f"{server:<12} {row.text:<48} {shown(row, figures, server):>12}")
        case ["collect", results, into, *made]:
            collect(Path(results), Path(into), dict(word.split("=", 1) for word in made))
        case ["write"]:
            write(ROOT)
        case ["check"]:
            return check(ROOT)
        case ["check", root]:
            return check(Path(root))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
