"""Which addresses this process, and those that it started, listen on."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

_LISTENING = "0A"


@dataclass(frozen=True)
class Listening:
    """A socket that anybody who reaches `address` can connect to."""

    address: str
    port: int
    process: str

    @property
    def loopback(self) -> bool:
        """Only this machine can."""
        address = ip_address(self.address)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listening() -> list[Listening]:
    """List the sockets."""
    sockets = {inode: (address, port) for name in ("tcp", "tcp6") for inode, address, port in _table(name)}
    found = []
    for process in _family(os.getpid()):
        try:
            opened = [os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir()]
            name = Path(f"/proc/{process}/cmdline").read_text().partition("\0")[0]
        except OSError:  # it has ended
            continue
        inodes = [match[1] for match in (re.match(r"socket:\[(\d+)\]", one) for one in opened) if match]
        found += [Listening(*sockets[inode], name) for inode in inodes if inode in sockets]
    return found


def _table(name: str) -> Iterator[tuple[str, str, int]]:
    for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
        fields = line.split()
        host, _, port = fields[1].partition(":")
        if fields[3] == _LISTENING:
            words = [bytes.fromhex(host[start : start + 8])[::-1] for start in range(0, len(host), 8)]
            yield fields[9], str(ip_address(b"".join(words))), int(port, 16)


def _family(root: int) -> list[int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = [root]
    for process in family:
        family += [child for child, parent in parents.items() if parent == process]
    return family
