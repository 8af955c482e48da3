"""A reward server that fails three calls in ten, in every way that a server can: `python flaky_server.py LOG`.

It scores the bytes it is sent by their hash. Which call fails, and how, follows from the bytes and from how often they
were sent before; every call is written to LOG as "hash way".
"""

import asyncio
import hashlib
import json
import socket
import struct
import sys
from collections import Counter
from pathlib import Path

WAYS = (
    *(
        "429",
        "429 later",
        "500",
        "503",
        "reset",
        "half a body",
        "invalid JSON",
        "wrong count",
        "NaN",
        "hang",
        "slow drip",
    ),
)
KINDS = {
    "429": "HTTP 429",
    "429 later": "HTTP 429",
    "500": "HTTP 500",
    "503": "HTTP 503",
    "reset": "connection",
    "half a body": "connection",
    "invalid JSON": "unreadable response",
    "wrong count": "wrong count",
    "NaN": "NaN",
    "hang": "timeout",
    "slow drip": "timeout",
}
FOR_GOOD = ("wrong count", "NaN")  # an answer, if no good one: asking again is no use


def name_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def score_of(name: str) -> float:
    return int(name[:8], 16) % 1000 / 100


def way_of(name: str, before: int) -> str:
    """Fail 30 % of calls, each way as often."""
    number = int(name_of(f"{name} {before}".encode())[:8], 16)
    return WAYS[number // 10 % len(WAYS)] if number % 10 < 3 else "ok"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Path, sent: Counter[str]) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    name = name_of(await reader.readexactly(length))
    way = way_of(name, sent[name])
    sent[name] += 1
    with log.open("a") as file:
        file.write(f"{name} {way}\n")
    status = way.split()[0] if way[:1] in "45" else "200"
    later = "retry-after: 0.05\r\n" if way == "429 later" else ""
    body = json.dumps([score_of(name)] * (2 if way == "wrong count" else 1)).encode()
    body = {"NaN": b"[NaN]", "invalid JSON": b"[1.5, <html>"}.get(way, body)
    promised = len(body) + (100 if way == "half a body" else 0)
    writer.write(
        f"HTTP/1.1 {status} x\r\ncontent-length: {promised}\r\n{later}connection: close\r\n\r\n".encode()
        * (way not in ("reset", "hang"))
    )
    if way == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == "hang":
        await asyncio.sleep(3600)
    elif way == "slow drip":
        for byte in body:
            writer.write(bytes([byte]))
            await asyncio.sleep(60)
    else:
        writer.write(body)
        await writer.drain()
    writer.close()


async def main(log: Path) -> None:
    sent: Counter[str] = Counter()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer, log, sent)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
