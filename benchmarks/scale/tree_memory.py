"""Memory of a process with all that it has started, looked at again and again."""

from __future__ import annotations

import subprocess

import psutil

SECONDS = 0.5
"""Between two looks."""


def watch(process: subprocess.Popen) -> tuple[int, int]:
    """Highest memory of a process and its descendants together, in bytes, and number of looks, until it ends.

    Pages that processes share are counted once where the system says so (proportional set size, Linux). What the
    system keeps of files it has read is not the processes', and not counted.
    """
    highest, looks, root = 0, 0, psutil.Process(process.pid)
    while True:
        highest, looks = max(highest, _of_tree(root)), looks + 1
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return highest, looks


def _of_tree(root: psutil.Process) -> int:
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_of_process, processes))


def _of_process(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
    except psutil.Error:  # it has ended meanwhile
        return 0
    return getattr(found, "pss", found.rss)
