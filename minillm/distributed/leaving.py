"""How a process that torchrun has started ends: at once, when its work is done.

gloo's threads put down the tensors of a collective a moment after it is over, and need Python for
it. DTensor's caches keep the group and so these threads alive until the process ends, whatever
destroy_process_group says. If that moment falls into Python's tidying up at the very end, Python
(3.11 to 3.13) stops the thread in the middle of C++ code that cannot be stopped, and the process
aborts with "terminate called without an active exception". All is written by then, yet torchrun
sees a failure and starts the run again. So a rank does not let Python tidy up.
"""

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """End this process with the block, if torchrun has started it; else do nothing.

    What a program has asked for at its end (non-daemon threads, atexit, what is printed) is done
    before. An exception other than SystemExit goes its usual way.

    Lesson: notebooks/24_fsdp.ipynb
    """
    status = 0
    try:
        yield
    except SystemExit as left:
        if "RANK" not in os.environ:
            raise
        status = _status(left.code)
    if "RANK" not in os.environ:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _status(code: object) -> int:
    """The exit status that Python gives for SystemExit(code); as Python, print a message."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
