"""Errors of the machine, in words: a full disk, too little memory, a file that is gone."""

import errno
import os
import re
import zlib

# Errors by number, with what is to be done.
MACHINE = {
    errno.ENOSPC: "the disk is full; free some space and start again",
    errno.EDQUOT: "the quota of the disk is used up; free some space and start again",
    errno.EROFS: "the disk is read-only; name another folder (results)",
    errno.EACCES: "may not be read or written; change its permissions, or name another folder",
    errno.EPERM: "may not be read or written; change its permissions, or name another folder",
    errno.EIO: "the disk reports an error; check the disk",
    errno.ESTALE: "the file server has lost it; check the connection and start again",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
}
# Libraries that raise errors of their own only quote the operating system.
QUOTED = {os.strerror(number): number for number in MACHINE}
# What NumPy and torch say when a disk is full.
FULL = re.compile(r"\d+ requested and \d+ written|unexpected pos \d+ vs \d+|file write failed")
NO_MEMORY = re.compile(
    r"allocate|bad.?alloc|out of memory|ALLOC_FAILED|can't start new thread|failed to map segment"
    r"|Error -4 while",  # zlib
    re.IGNORECASE,
)
# The note that ``staged`` leaves on an error.
WRITING = "while writing "


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was short. NumPy, torch and ITK each say it in another way."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError | zlib.error) and bool(
        NO_MEMORY.search(str(error))
    )


def explained(error: BaseException) -> str | None:
    """An error of the machine in words, with its remedy; ``None`` for any other error."""
    if out_of_memory(error):
        reason = " ".join(str(error).split())
        words = "there is not enough memory; use a smaller batch, or a larger machine"
        return f"{words} ({reason})" if reason else words
    number = _number(error)
    return f"{_file(error) or 'a file'}: {MACHINE[number]}" if number else None


def vanished(error: BaseException) -> str | None:
    """The words for a file that a job needs and that is gone; ``None`` for any other error."""
    if not isinstance(error, FileNotFoundError):
        return None
    # Some libraries give the name in the message alone.
    name = _file(error) or str(error).partition(": ")[2].strip("'") or "a file"
    return f"{name}: is gone, though it was there when the run began; restore it, or start again"


def _number(error: BaseException) -> int | None:
    """The operating system's number of an error of ``MACHINE``."""
    number = error.errno if isinstance(error, OSError) else None
    if number is not None:
        return number if number in MACHINE else None
    if FULL.search(str(error)):
        return errno.ENOSPC
    return next((known for words, known in QUOTED.items() if words in str(error)), None)


def _file(error: BaseException) -> str | None:
    """The file that an error is about, as the user knows it: an output is written beside its
    place, under another name."""
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(WRITING)]
    if isinstance(error, OSError):
        # When a file is moved, its target is the second name.
        name = error.filename2 or error.filename
        if name and not (notes and ".partial-" in str(name)):
            return str(name)
    return notes[0].removeprefix(WRITING) if notes else None
