"""A broker that lets nobody in unasked: keys that sign themselves, one user, and a listener for each secured protocol.

    sasl_plaintext   a password (PLAIN, or SCRAM-SHA-256 once `Broker.add_scram_user` was called)
    ssl              mutual TLS: it wants a certificate of ours too
    sasl_ssl         TLS and a password

All on 127.0.0.1, and the broker's certificate names that address only: `localhost` is the wrong host name.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.artefacts import StackUnfit

PROTOCOLS = ("sasl_plaintext", "ssl", "sasl_ssl")
USER, PASSWORD = "fieldwarden", "opens-sesame"
_MODULE = "org.apache.kafka.common.security.{}LoginModule required{};"


class Keys:
    """PEM files: the broker's and the client's certificates, each its own authority, and a stranger's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.broker, self.client, self.stranger = (folder / f"{name}.pem" for name in ("broker", "client", "stranger"))
        self.client_key = folder / "client.key"

    @property
    def broker_store(self) -> Path:
        """Key and certificate in one file, as Kafka wants them."""
        return self._folder / "broker.store"

    def make(self) -> None:
        """Unless they are there. Raises StackUnfit."""
        if self.broker_store.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for certificate in (self.client, self.stranger, self.broker):
            _self_signed(certificate)
        self.broker_store.write_text(self.broker.with_suffix(".key").read_text() + self.broker.read_text())


def _self_signed(certificate: Path) -> None:
    key = certificate.with_suffix(".key")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    names = ["-subj", f"/CN={certificate.stem}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise StackUnfit("no program `openssl`: install OpenSSL, which makes the secured broker's keys") from None
    if done.returncode != 0:
        raise StackUnfit(f"openssl made no certificate: {done.stderr}")


def listener_settings(keys: Keys, ports: Mapping[str, int]) -> dict[str, str]:
    """What server.properties says of the secured listeners, but for their addresses."""
    lines = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys.broker_store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(keys.client),
        "listener.name.ssl.ssl.client.auth": "required",
    }
    for protocol in ports:
        if protocol.startswith("sasl"):
            own = f"listener.name.{protocol}"
            lines[f"{own}.plain.sasl.jaas.config"] = _MODULE.format("plain.Plain", f' user_{USER}="{PASSWORD}"')
            lines[f"{own}.scram-sha-256.sasl.jaas.config"] = _MODULE.format("scram.Scram", "")
    return lines
