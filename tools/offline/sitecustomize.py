"""The network cut: with this folder on PYTHONPATH, Python refuses every socket but loopback.

Python imports a module of this name at start-up, so every child process and every Jupyter kernel
that inherits PYTHONPATH is cut as well. It works by an audit hook (PEP 578), which sees each
connection and each name look-up made through Python's `socket`, cannot be removed again, and needs
no patched class. Loopback and sockets of the file system (AF_UNIX) pass.

Not seen: sockets opened by compiled code without Python (gloo, which we bind to loopback; the Rust
downloader of Hugging Face, which is switched off by HF_HUB_OFFLINE), and Python started with -I,
-E or -S, which ignores PYTHONPATH. A `sitecustomize` that stood on the path before still runs.
"""

import ipaddress
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

LOCAL_NAMES = {None, "", "localhost", "localhost.localdomain", "ip6-localhost"}
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
UNSPECIFIED = {"0.0.0.0", "::"}  # "every address of this machine": used to listen, not to call out


class NetworkCutError(ConnectionError):
    """Raised in place of a connection that would leave this machine."""


def is_local(host):
    """Tell whether a host (name or address, as text or bytes) is this machine.

    Any name other than localhost counts as remote, since looking it up may ask a server.
    """
    host = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    if host in LOCAL_NAMES or host in UNSPECIFIED:
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(host, what):
    """Raise the one sentence by which a learner sees what happened."""
    raise NetworkCutError(
        f"the network is cut: {what} {host!r} was refused, only loopback is allowed here"
        " (tools/offline is on PYTHONPATH; `make test` proves that nothing needs a network)"
    )


def watch(event, args):
    """Look at one audit event; raise if it would reach another machine."""
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        # a tuple is an internet address, text or bytes a path of AF_UNIX, None: connected before
        if isinstance(address, tuple) and not is_local(address[0]):
            refuse(address[0], "a connection to")
    elif event in LOOKUPS and not is_local(args[0]):
        refuse(args[0], "looking up")


def chain():
    """Run the sitecustomize that this one hides, if there is any."""
    here = Path(__file__).resolve().parent
    rest = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


sys.addaudithook(watch)
chain()
