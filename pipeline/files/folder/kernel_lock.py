"""Locks of the kernel on open files: they end with the process that holds them, however it ends."""

from __future__ import annotations

import errno

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNKNOWN_THERE = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""What a file system says that has no locks."""


def try_lock(handle: int) -> bool | None:
    """Lock what is open; False where another process holds it, None where there are no locks.

    Raises:
        OSError: the file system says something else.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNKNOWN_THERE:
            return None
        raise
    return True
