"""Callers of an agent's API, each with a certificate of his own or none."""

import ssl
import tempfile
from pathlib import Path

import httpx

from multiserver.agent.agent import Agent
from multiserver.identity.certificates import KeyPair


def context(trust: str, own: KeyPair | None) -> ssl.SSLContext:
    """Give a caller's TLS: whom he trusts, and who he is."""
    made = ssl.create_default_context(cadata=trust)
    if own:
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            certificate.write_text(own.certificate_pem)
            key.write_text(own.key_pem)
            made.load_cert_chain(certificate, key)
    return made


def caller(agent: Agent, trust: str, own: KeyPair | None) -> httpx.AsyncClient:
    """Give a client of the agent's API."""
    url = f"https://localhost:{agent.api_port}"
    return httpx.AsyncClient(base_url=url, verify=context(trust, own), trust_env=False, timeout=10)


def passer_by(agent: Agent) -> httpx.AsyncClient:
    """Give a client of health and metrics."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{agent.probe_port}", trust_env=False, timeout=10)
