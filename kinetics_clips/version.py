"""The version of this package, which `setup.py` reads as text."""

__version__ = "1.0.0"
