"""Whether somebody is writing a file right now.

The kernel grants a read lease (`F_SETLEASE`) exactly when nobody has the file open for writing:
7 µs, without touching it. A writer that comes while we hold it waits for the microseconds until it
is given back, and we are sent a signal: SIGURG here, which a process ignores unless it asks for it
(the default, SIGIO, would end it).
"""

import errno
import fcntl
import os
import signal

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_F_SETSIG = 10  # fcntl.h; the module does not name it


def is_open_for_writing(name: str, dir_fd: int | None = None) -> bool | None:
    """Say whether *name* is open for writing; None where that can't be known.

    None: the file is not ours and we lack CAP_LEASE, the file system has no leases, or it can't be
    opened. A file that is gone is open to nobody.
    """
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=dir_fd)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    else:
        return False
    finally:
        os.close(descriptor)
