"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html


def end_with(parent: int, by: signal.Signals) -> None:
    """Have Linux send this process a signal when its parent ends, however that ends; elsewhere nothing happens.

    `parent` is the parent's process id: where it has ended already, this process does too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, by)
        if os.getppid() != parent:
            sys.exit(0)
