"""Processor time of processes, from /proc, in seconds."""

import os

TICKS = os.sysconf("SC_CLK_TCK")


def _fields(pid):
    with open(f"/proc/{pid}/stat") as file:
        # The name, in parentheses, may hold anything.
        return file.read().rsplit(")", 1)[1].split()


def of_process(pid):
    """User and system time of all its threads."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def children(pid):
    """The processes whose parent it is, with their time."""
    times = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = _fields(other)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            times[other] = (int(fields[11]) + int(fields[12])) / TICKS
    return times


def of_family(pid):
    """The same of a process, its children that live, and those that it has buried."""
    while True:
        buried = _fields(pid)[13:15]
        living = sum(children(pid).values())
        fields = _fields(pid)
        # A child that was buried meanwhile would be missing, or counted twice.
        if fields[13:15] == buried:
            return sum(int(field) for field in fields[11:15]) / TICKS + living
