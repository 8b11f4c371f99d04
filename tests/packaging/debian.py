"""The Debian packages: built, then each installed, used, upgraded and purged in a booted Debian."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from checks import ARCHITECTURES, PLACE, ROOT, TARGET, check, run, until
from machine import Machine

UNIT = "pushserver.service"
SETTINGS = "/etc/pushserver.json"
STATE = "/var/lib/pushserver"
EMULATOR = "/usr/bin/qemu-aarch64-static"
# What an emulator needs that the daemon does not: it translates the daemon's code as it goes.
EMULATED = f"""[Service]
ExecStart=
ExecStart={EMULATOR} /usr/bin/pushserver --config {SETTINGS}
MemoryDenyWriteExecute=no
"""
# systemd's own measure of what a service could do, from 0 to 10.
EXPOSURE_MAX = 2.0
# Files that a package has beside the binary.
INSTALLED = [
    "/usr/lib/systemd/system/pushserver.service",
    "/usr/share/bash-completion/completions/pushserver",
    "/usr/share/doc/pushserver/changelog.Debian.gz",
    "/usr/share/doc/pushserver/copyright",
    "/usr/share/fish/vendor_completions.d/pushserver.fish",
    "/usr/share/man/man1/pushserver.1.gz",
    "/usr/share/zsh/vendor-completions/_pushserver",
]


def build(architecture: str) -> Path:
    """Packs the static binary, which is there."""
    cargo_deb = PLACE / "tools/bin/cargo-deb"
    if not cargo_deb.exists():
        print("== cargo install cargo-deb", flush=True)
        place = ["--root", PLACE / "tools", "--target-dir", PLACE / "tools-build"]
        run("cargo", "install", "--quiet", "--locked", *place, "cargo-deb", "--version", "^3.8")
        shutil.rmtree(PLACE / "tools-build")
    target = f"{ARCHITECTURES[architecture]}-unknown-linux-gnu"
    packed = ["--no-build", "--no-strip", "--target", target, "--output", TARGET / "debian"]
    made = run(cargo_deb, *packed, cwd=ROOT).strip().splitlines()[-1]
    return Path(made)


def changed(package: Path) -> Path:
    """The next version of a package, with other settings in it, as an upgrade brings them."""
    tree = PLACE / "changed"
    shutil.rmtree(tree, ignore_errors=True)
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 99-1", control.read_text()))
    settings = tree / SETTINGS[1:]
    settings.write_text(settings.read_text().replace("3600", "7200"))
    made = PLACE / "changed.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, made)
    shutil.rmtree(tree)
    return made


def check_package(architecture: str, package: Path) -> None:
    said = run("lintian", "--fail-on", "error,warning", "--allow-root", package, fails=True)
    check(f"{architecture}: lintian has nothing to say", not said.strip(), said)
    with Machine(architecture) as machine:
        Tried(architecture, package, machine).all()


class Tried:
    """One package in one machine. The steps build on each other."""

    def __init__(self, architecture: str, package: Path, machine: Machine) -> None:
        self.architecture = architecture
        self.package = package
        self.machine = machine
        self.program = ["/usr/bin/pushserver"]
        if architecture != "amd64":
            self.program.insert(0, EMULATOR)

    def check(self, what: str, holds: object, otherwise: object = "") -> None:
        check(f"{self.architecture}: {what}", holds, otherwise)

    def all(self) -> None:
        self.installs()
        self.is_confined()
        self.serves()
        self.reloads()
        self.keeps_messages()
        self.upgrades()
        self.goes()

    def install(self, package: Path, *options: str) -> str:
        shutil.copy(package, self.machine.files / "root/package.deb")
        return self.machine.run("dpkg", *options, "--install", "/root/package.deb")

    def installs(self) -> None:
        machine = self.machine
        if self.architecture != "amd64":
            machine.run("dpkg", "--add-architecture", self.architecture)
            shutil.copy(EMULATOR, machine.files / EMULATOR[1:])
            drop_in = machine.files / f"etc/systemd/system/{UNIT}.d/emulated.conf"
            drop_in.parent.mkdir()
            drop_in.write_text(EMULATED)
        self.install(self.package)
        until(lambda: machine.show(UNIT, "ActiveState") != "activating", "the service starts")
        state = machine.show(UNIT, "ActiveState"), machine.show(UNIT, "UnitFileState")
        log = machine.run("journalctl", "--no-pager", "-u", UNIT, fails=True)
        self.check("it is installed, started and enabled", state == ("active", "enabled"), log)
        owner = machine.owner(SETTINGS)
        self.check(
            "only root changes the settings, only the daemon reads them",
            owner == "640 root:pushserver",
            owner,
        )
        of = Path(f"/proc/{self.pid()}").stat().st_uid
        user = machine.run("id", "-u", "pushserver").strip()
        self.check("it runs as its own user", str(of) == user, f"{of}, not {user}")
        files = machine.run("dpkg", "--listfiles", "pushserver").split()
        missing = [path for path in INSTALLED if path not in files]
        self.check("page and completions are where they are looked for", not missing, missing)
        version = machine.run(*self.program, "--version")
        self.check("the binary runs", version.startswith("pushserver "), version)

    def pid(self) -> str:
        """The daemon's process, as it is known outside of the machine."""
        group = f"/{self.machine.group}/system.slice/{UNIT}"
        entries = Path("/proc").glob("[0-9]*/cgroup")
        found = [entry.parent.name for entry in entries if text(entry).rstrip().endswith(group)]
        if len(found) != 1:
            raise SystemExit(f"not one process of {UNIT}: {found}")
        return found[0]

    def is_confined(self) -> None:
        said = self.machine.run("systemd-analyze", "--man=no", "verify", UNIT, fails=True)
        self.check("systemd-analyze verify has nothing to say", not said.strip(), said)
        if self.architecture == "amd64":
            said = self.machine.run("systemd-analyze", "security", UNIT, fails=True)
            rating = re.search(r"exposure level for \S+: ([\d.]+)", said)
            value = rating and float(rating[1])
            self.check(f"systemd-analyze security: {value}", rating and value <= EXPOSURE_MAX, said)
        facts = text(Path(f"/proc/{self.pid()}/status"))
        bound = re.search(r"CapBnd:\s*0+$", facts, re.M) and re.search(
            r"Seccomp:\s*2$", facts, re.M
        )
        self.check("it has no capabilities and is filtered", bound, facts)

    def serves(self) -> None:
        message = self.machine.client.passes_a_message("news", "/subscriber/")
        self.check("a message is published and received", message == "hello", message)
        url = "http://127.0.0.1:8001"
        said = self.machine.run(*self.program, "--health", url, fails=True)
        self.check("--health says that it is well", not said, said)

    def change_settings(self, change) -> None:
        path = self.machine.files / SETTINGS[1:]
        settings = json.loads(path.read_text())
        change(settings)
        path.write_text(json.dumps(settings))

    def reloads(self) -> None:
        machine, before = self.machine, self.pid()
        self.change_settings(lambda settings: settings["locations"][1].update(prefix="/updates/"))
        machine.run("systemctl", "reload", UNIT)
        until(lambda: machine.client.ask("/subscriber/news")[0] == 404, "the settings are read")
        message = machine.client.passes_a_message("more", "/updates/")
        self.check(
            "systemctl reload reads the settings again, in the same process",
            (message, self.pid()) == ("hello", before),
            message,
        )

    def keeps_messages(self) -> None:
        """The state directory can be written to, and nothing else."""
        machine = self.machine
        file = f"{STATE}/default.db"
        self.change_settings(lambda settings: settings["store"].update(persist=file))
        machine.run("systemctl", "restart", UNIT)
        machine.client.ask("/publisher/kept", "-d", "for later")
        machine.run("systemctl", "restart", UNIT)
        answer = machine.client.ask("/updates/kept?last_event_id=0:0")
        self.check("messages outlive a restart in /var/lib", answer == (200, "for later"), answer)
        owner = machine.owner(STATE)
        self.check("and are for the daemon", owner == "750 pushserver:pushserver", owner)

    def upgrades(self) -> None:
        machine, before = self.machine, self.pid()
        edited = text(machine.files / SETTINGS[1:])
        # Both versions have settings of their own, which dpkg asks about, where it may.
        self.install(changed(self.package), "--force-confdef", "--force-confold")
        kept = text(machine.files / SETTINGS[1:]) == edited
        owner = machine.owner(SETTINGS)
        self.check(
            "an upgrade keeps settings that were edited, and who reads them",
            kept and owner == "640 root:pushserver",
            owner,
        )
        offered = text(machine.files / f"{SETTINGS[1:]}.dpkg-dist")
        self.check("and offers its own beside them", "7200" in offered, offered)
        until(lambda: machine.show(UNIT, "ActiveState") == "active", "the new version starts")
        answer = machine.client.ask("/updates/kept?last_event_id=0:0")
        self.check(
            "it starts the new version, which has the messages",
            answer == (200, "for later") and self.pid() != before,
            answer,
        )

    def goes(self) -> None:
        machine = self.machine
        files = machine.files
        machine.run("dpkg", "--remove", "pushserver")
        state = machine.show(UNIT, "ActiveState"), machine.client.ask("/updates/kept")[0]
        left = (files / SETTINGS[1:]).exists() and (files / STATE[1:] / "default.db").exists()
        self.check(
            "removal stops it and leaves settings and messages",
            state == ("inactive", 0) and left,
            state,
        )
        machine.run("dpkg", "--purge", "pushserver")
        wanted = [
            SETTINGS,
            f"{SETTINGS}.dpkg-dist",
            STATE,
            "/usr/bin/pushserver",
            f"/etc/systemd/system/multi-user.target.wants/{UNIT}",
        ]
        left = [
            path
            for path in wanted
            if (files / path[1:]).is_symlink() or (files / path[1:]).exists()
        ]
        self.check("purging leaves no settings and no messages", not left, left)
        user = machine.run("id", "-un", "pushserver", fails=True).strip()
        self.check("and keeps the user's number from others", user == "pushserver", user)


def text(path: Path) -> str:
    """What is in a file; of a process that has ended nothing."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
