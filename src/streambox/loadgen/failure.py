"""Why a connection could not be had, in a few words."""

from __future__ import annotations

import os
import socket
import ssl


def reason(error: BaseException | None) -> str:
    """One line, without what is said elsewhere anyway: the address."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed, {error.verify_message}; --ca names whom to trust"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed, {error.reason}"
    if isinstance(error, UnicodeError):
        return "no such host: its name cannot be one"
    if isinstance(error, OSError) and error.strerror:
        # asyncio puts the address in place of the reason; a name that is not found has no errno.
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return " ".join(str(error).split()) or type(error).__name__ if error else "no connection"


def advice(error: BaseException | None) -> str:
    """What to look at first, to stand behind the reason."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return ": is the name right?"
    if isinstance(error, ssl.SSLCertVerificationError):
        return ""  # the reason has it
    return ": does it speak TLS?" if isinstance(error, ssl.SSLError) else ": is the server running?"
