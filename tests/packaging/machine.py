"""A small Debian that is booted: with processes, network and mounts of its own, and systemd as
process 1. A package is installed in it as on a real machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from checks import PLACE, Client, first_process, run, until

# The archive of a root is made anew after so long, for what Debian has mended since.
ROOT_S = 7 * 86400
INCLUDED = "adduser,init-system-helpers,systemd,systemd-sysv"

# Enters a group of processes of its own, then namespaces of its own.
ENTER = r"""
set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$2"
mkdir -p "$2/$3"
echo $$ >"$2/$3/cgroup.procs"
umount "$2"
exec unshare --cgroup --pid --fork --kill-child --uts --ipc --net sh -c "$4" boot "$1"
"""

# Mounts what systemd wants to find, and becomes it. All mounts end with their namespace.
BOOT = r"""
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for directory in run tmp dev; do mount -t tmpfs tmpfs $directory; done
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
: >dev/console
pivot_root . mnt
exec chroot . env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c "umount -l /mnt && exec /sbin/init systemd.unified_cgroup_hierarchy=1"
"""

# Takes the group away, once its processes are gone.
LEAVE = r"""
set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$1"
for try in $(seq 100); do
    find "$1/$2" -depth -type d -exec rmdir {} + 2>/dev/null && exit
    sleep 0.1
done
echo "cgroup $2 has processes still"
exit 1
"""


def archive() -> Path:
    """The root of a minimal Debian, of the release that this machine has."""
    path = PLACE / "root.tar"
    if not path.exists() or time.time() - path.stat().st_mtime > ROOT_S:
        lines = Path("/etc/os-release").read_text().splitlines()
        facts = dict(line.split("=", 1) for line in lines if "=" in line)
        release = facts["VERSION_CODENAME"].strip('"')
        made = path.with_suffix(".new.tar")
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}", release, made)
        made.rename(path)
    return path


class Machine:
    """It runs from `__enter__` to `__exit__`; `files` is its root."""

    def __init__(self, name: str) -> None:
        self.files = PLACE / f"root-{name}"
        self.mount = PLACE / "cgroup"
        self.group = f"pushserver-packages-{os.getpid()}"

    def __enter__(self) -> Machine:
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        self.mount.mkdir(exist_ok=True)
        run("tar", "-xf", archive(), "-C", self.files, "--exclude=./dev/*")
        # There is no console, so nobody logs in there.
        mask = self.files / "etc/systemd/system/console-getty.service"
        mask.symlink_to("/dev/null")
        command = ["unshare", "--mount", "sh", "-c", ENTER, "enter"]
        command += [str(self.files), str(self.mount), self.group, BOOT]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            self.init = first_process(self.process, "systemd")
            self.client = Client(self.init, "http://127.0.0.1:8001")
            state = until(self.booted, "systemd is up")
            if state != "running":
                raise SystemExit(f"the machine is {state}:\n{self.run('systemctl', '--failed')}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def booted(self) -> str | None:
        state = self.run("systemctl", "is-system-running", fails=True).strip()
        return state if state in ("running", "degraded") else None

    def __exit__(self, *error) -> None:
        # Process 1 takes the others with it.
        self.process.kill()
        self.process.wait()
        run("unshare", "--mount", "sh", "-c", LEAVE, "leave", self.mount, self.group)
        shutil.rmtree(self.files)

    def run(self, *command: str, fails: bool = False) -> str:
        """What a command prints in it."""
        enter = ["nsenter", "--target", str(self.init), "--all", f"--root=/proc/{self.init}/root"]
        plain = [
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND=noninteractive",
        ]
        return run(*enter, *plain, *command, fails=fails)

    def show(self, unit: str, fact: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={fact}", unit).strip()

    def owner(self, path: str) -> str:
        """Rights, user and group of a file; empty without it."""
        return (
            self.run("stat", "-c", "%a %U:%G", path, fails=True).strip()
            if (self.files / path.lstrip("/")).exists()
            else ""
        )
