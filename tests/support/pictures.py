"""Pictures made of patches of colour and of texture, and files of pictures."""

import struct
import zlib

import numpy as np


def textures(n: int, seed: int = 0, side: int = 16) -> np.ndarray:
    """Draw images (n, side, side, 3) uint8 that differ in their colours and in how rough they are."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    rough = rng.normal(0, 1, (n, side, side, 3)) * rng.uniform(0, 40, (n, 1, 1, 1))
    fine = coarse.repeat(side // 4, 1).repeat(side // 4, 2) + rough
    return fine.clip(0, 255).round().astype(np.uint8)


def png(width, height, depth, colour, rows):
    """A PNG that Pillow would not write, such as one with 16 bits a colour."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
