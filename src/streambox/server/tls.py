"""The certificate of the listener, which may change while it listens."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from streambox.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.config import TlsSection

log = structlog.get_logger("streambox.server")


class Certificate:
    """
    ``context`` is what a listener is started with. Each handshake is made with the certificate of that
    moment; connections that are open keep theirs.

    Raises ConfigError where the files cannot be used.
    """

    def __init__(self, section: TlsSection, folder: Path) -> None:
        self._certificate = folder / section.certificate
        self._key = folder / section.key
        self._current = self._load()
        self.context = self._load()
        self.context.sni_callback = self._choose

    def renew(self) -> bool:
        """Read the files again. False, and the log says why, where they are no use: the old one stays."""
        try:
            self._current = self._load()
        except ConfigError as error:
            log.error("certificate not renewed: the one before stays", cause=str(error))
            return False
        log.info("certificate renewed", certificate=str(self._certificate))
        return True

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        """
        At the beginning of a handshake, whether it names a server or not.

        A context of its own for each: replaced in one that is in use, a certificate of another
        algorithm would stand beside the old one, and half a new one in the place of it.
        """
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        for path, what in ((self._certificate, "certificate"), (self._key, "key")):
            _check_readable(f"batcher.tls.{what}", path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or str(error)
            raise ConfigError(
                f"batcher.tls: {self._certificate} and {self._key} are no certificate and its key, in PEM, "
                f"without a password: {why}"
            ) from None
        return context


def _check_readable(where: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigError(f"{where}: {path}: cannot be read: {error.strerror or error}") from None


def _no_password() -> NoReturn:
    """Without this OpenSSL would ask on the terminal."""
    raise ValueError("it wants a password")
