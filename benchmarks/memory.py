"""How much memory this process holds and has held at most, on Linux."""

from pathlib import Path


def held() -> float:
    """Return the megabytes that are held now."""
    return _megabytes("VmRSS")


def peak() -> float:
    """Return the most megabytes held at once since `reset_peak`."""
    return _megabytes("VmHWM")


def reset_peak() -> None:
    """Begin the peak anew, at what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _megabytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / 1e6
