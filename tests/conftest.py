"""What every test may ask for."""

from support.box import box

__all__ = ["box"]
