"""The container image: a root made of the lines of the Dockerfile, and run as a container runtime
would: as process 1 of its own processes, in a network of its own, as the user that they name."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from checks import (
    ARCHITECTURES,
    PLACE,
    ROOT,
    TARGET,
    Client,
    check,
    children,
    first_process,
    until,
)

EMULATOR = Path("/usr/bin/qemu-aarch64-static")
# The container's address, as other machines see it.
OUTSIDE = "192.0.2.7"
SECRET = ("-H", "Authorization: Bearer hush")
# How long `docker stop` waits before it kills.
STOP_S = 10


class Image:
    """What the Dockerfile says. A line that this does not know is an error."""

    def __init__(self, architecture: str) -> None:
        self.root = PLACE / f"image-{architecture}"
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        self.is_foreign = architecture != "amd64"
        arguments = {}
        shipped = (ROOT / ".dockerignore").read_text().splitlines()
        lines = (ROOT / "Dockerfile").read_text().splitlines()
        for line in (line for line in lines if line and not line.startswith("#")):
            word, _, rest = line.partition(" ")
            rest = re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], rest)
            match word:
                case "FROM":
                    check("the image holds nothing else", rest == "scratch", rest)
                case "ARG":
                    name, _, arguments[name] = rest.partition("=")
                    # As with --build-arg.
                    arguments[name] = ARCHITECTURES[architecture]
                case "COPY":
                    mode, source, place = rest.split()
                    check(f".dockerignore ships {source}", f"!{source}" in shipped, shipped)
                    # The build's folder may be elsewhere.
                    is_built = source.startswith("target/")
                    path = TARGET / source.partition("/")[2] if is_built else ROOT / source
                    self.copy(path, place, int(mode.removeprefix("--chmod="), 8))
                case "USER":
                    self.user = rest
                case "EXPOSE":
                    self.port = int(rest)
                case "STOPSIGNAL":
                    self.signal = signal.Signals[rest]
                case "HEALTHCHECK":
                    self.health = json.loads(rest.partition("CMD ")[2])
                case "ENTRYPOINT":
                    self.entry = json.loads(rest)
                case "CMD":
                    self.arguments = json.loads(rest)
                case _:
                    raise SystemExit(f"Dockerfile: {word}: not known to tests/packaging/image.py")
        if self.is_foreign:
            self.copy(EMULATOR, str(EMULATOR), 0o755)

    def copy(self, source: Path, place: str, mode: int) -> None:
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
        path.chmod(mode)

    def command(self, words: list[str]) -> list[str]:
        """Runs a command of the image as its user."""
        emulator = [str(EMULATOR)] if self.is_foreign else []
        return ["chroot", f"--userspec={self.user}", "--groups=", str(self.root), *emulator, *words]


class Container:
    """It runs from `__enter__` to `__exit__`."""

    def __init__(self, image: Image, **environment: str) -> None:
        self.image = image
        self.environment = {"PATH": os.environ["PATH"], **environment}

    def __enter__(self) -> Container:
        image = self.image
        command = ["unshare", "--pid", "--fork", "--net", "--ipc", "--uts"]
        command += image.command(image.entry + image.arguments)
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def __exit__(self, *error) -> None:
        # Process 1 itself: it outlives `unshare --kill-child`, since it has changed its user.
        if self.process.poll() is None:
            for child in children(self.process):
                os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def up(self) -> None:
        """Waits until it runs, and gives its network addresses."""
        # As the kernel cuts a name.
        program = EMULATOR.name[:15] if self.image.is_foreign else "pushserver"
        self.pid = first_process(self.process, program)
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
        # From here, as from another machine.
        self.client = Client(self.pid, f"http://{OUTSIDE}:{self.image.port}")
        until(lambda: self.client.ask("/pushserver/readyz")[0] == 200, "it answers")

    def inside(self, *command: str) -> subprocess.CompletedProcess:
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        return subprocess.run([*enter, *command], capture_output=True, text=True)


def check_image(architecture: str) -> None:
    image = Image(architecture)

    def told(what: str, holds: object, otherwise: object = "") -> None:
        check(f"{architecture}: image: {what}", holds, otherwise)

    with Container(image) as container:
        said, _ = container.process.communicate(timeout=30)
        refused = container.process.returncode == 2 and "PUSHSERVER_SECRET" in said
        told("without a secret it does not start, and says so", refused, said)
    with Container(image, PUSHSERVER_SECRET="hush") as container:
        container.up()
        client = container.client
        facts = Path(f"/proc/{container.pid}/status").read_text()
        user = re.search(r"Uid:\t(\d+)", facts)[1], re.search(r"NSpid:.*\t(\d+)\n", facts)[1]
        told("it runs as process 1 of a user without rights", user == ("65534", "1"), facts)
        status, _ = client.ask("/publisher/news", "-d", "forged")
        told("nobody publishes without the secret", status == 401, status)
        message = client.passes_a_message("news", "/subscriber/", *SECRET)
        told("a message is published and received", message == "hello", message)
        status, _ = client.ask("/pushserver/channels")
        told("other machines are not told of channels", status == 403, status)
        health = container.inside(*image.command(image.health))
        told("the health check says that it is well", health.returncode == 0, health.stderr)
        waiting = client.wait_for("/subscriber/quiet")
        until(lambda: client.subscribers("quiet", *SECRET), "a subscriber that waits")
        begun = time.monotonic()
        # To process 1 of a namespace no signal comes that it has not asked for.
        os.kill(container.pid, image.signal)
        said, _ = container.process.communicate(timeout=30)
        waiting.communicate(timeout=30)
        took = time.monotonic() - begun
        code = container.process.returncode
        told(f"it stops in {took:.1f} s of {STOP_S}", code == 0 and took < STOP_S, (code, said))
    with Container(image, PUSHSERVER_SECRET="hush") as container:
        container.up()
        container.inside("ip", "link", "set", "lo", "down")
        health = container.inside(*image.command(image.health))
        told("the health check fails where nobody answers", health.returncode == 1, health)
    shutil.rmtree(image.root)
