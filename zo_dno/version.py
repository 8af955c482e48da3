"""The version of zo-dno."""

__version__ = "0.2.0"
