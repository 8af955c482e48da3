"""Slow rewards: throughput of 300 ms calls with 32 in flight, against the ideal 32 / 0.3 s.

Once in this process, and once through the `http` reward with a server in its own process. The images are there.
Then a search whose images take time as well: one block is rendered while the last one is being scored.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

import zo_dno
from benchmarks.tables import show
from zo_dno.noise.space import NoiseLayout
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.http import HTTP
from zo_dno.storage.images import image_hash
from zo_dno.types import Query

SECONDS = 0.3
IN_FLIGHT = 32
SIDE = 64  # of the images, in pixels, as the built-in model's
_SERVER = f"""
import asyncio
SAID = b'HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 15\\r\\n\\r\\n{{"scores": [1]}}'
async def respond(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep({SECONDS})
            writer.write(SAID)
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(respond, "127.0.0.1", 0, limit=2**26)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class Sleeper(zo_dno.Reward):
    """Answers after a while."""

    name, unit, is_async = "sleeper", "points", True
    policy = zo_dno.CallPolicy(in_flight=IN_FLIGHT)

    async def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        await asyncio.sleep(SECONDS)
        return [1.0]


@contextmanager
def sleeping_server() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        process.kill()


def throughput(reward: zo_dno.Reward, n: int) -> float:
    """Score n images, and return scores per second."""
    rng = np.random.default_rng(0)
    small = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(n)]
    images = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small]
    queries = [Query(row, image, image_hash(image), "") for row, image in enumerate(images)]
    oracle = Oracle(reward, zo_dno.CallPolicy(in_flight=IN_FLIGHT))
    started = time.perf_counter()
    responses = oracle.ask(queries)
    seconds = time.perf_counter() - started
    oracle.close()
    assert all(response is not None and response.score.value == 1 for response in responses)
    return n / seconds


class SlowGenerator:
    """Renders a block of images in 150 ms, as a GPU would: this processor has nothing to do meanwhile."""

    prompt, nfe, batch_size = "", 1, 16
    layout = NoiseLayout(((3, SIDE, SIDE),))

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        time.sleep(SECONDS / 2)
        return (z.sigmoid() * 255).to(torch.uint8).reshape(-1, SIDE, SIDE, 3)


def overlapped(population: int) -> tuple[float, float, float]:
    """Render and score one population; return the seconds, the fewest possible, and those without any overlap."""
    options = {"population": population}
    result = zo_dno.optimize(SlowGenerator(), Sleeper(), "random_search", queries=population, strategy_options=options)
    rendering = population / SlowGenerator.batch_size * SECONDS / 2
    taken = result.seconds["generate"] + result.seconds["score"]
    return taken, rendering + SECONDS, rendering + population / IN_FLIGHT * SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1920)
    options = parser.parse_args()
    ideal = IN_FLIGHT / SECONDS
    rows: list[list[Any]] = []
    with sleeping_server() as url:
        for name, reward in (("in this process", Sleeper()), ("http", HTTP(url))):
            found = throughput(reward, options.queries)
            rows.append([name, found, ideal, f"{found / ideal:.1%}"])
    show(
        f"{options.queries} queries of {SECONDS:g} s, {IN_FLIGHT} in flight, images of {SIDE}x{SIDE}",
        ["reward", "scores/s", "ideal", "share"],
        rows,
        {row[0]: row[1] / ideal for row in rows},
    )
    taken, least, apart = overlapped(16 * SlowGenerator.batch_size)
    show(
        f"one population of {16 * SlowGenerator.batch_size}, rendered in blocks of {SlowGenerator.batch_size}",
        ["", "seconds"],
        [["rendering and scoring at once", taken], ["rendering, and then the last scores", least], ["in turns", apart]],
        {"seconds": taken, "least": least, "in_turns": apart},
    )


if __name__ == "__main__":
    main()
