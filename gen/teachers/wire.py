"""The openai client's requests, straight to aiohttp: half the work of the transport that the client brings.

The client takes any `httpx2.AsyncClient`. This one lays out headers and address once instead of for every request,
keeps no time (`Completions` does, for whole requests), and reads a reply in one piece. Bodies are written and read by
orjson, in a tenth of the time.
"""

from __future__ import annotations

import json
import os
import ssl
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import orjson

from ..errors import TeacherError

LIMITS = "limits"
"""Of a response's extensions: its headers `x-ratelimit-*` as a dict, names in lower case; mostly there are none."""
LONGEST_HEADER_BYTES = 1 << 16  # aiohttp's own 8,190 would lose a paid reply for a gateway's long cookie
KEEPALIVE_SECONDS = 5.0  # as httpx2: many servers close an idle connection soon after


class _NoTransport(httpx2.AsyncBaseTransport):
    """Spares httpx2 making one of its own, with the certificates of the whole world."""


class _Elsewhere(httpx2.AsyncByteStream):
    """In place of a body, which lies in the request's extensions as it is."""


class _Address(NamedTuple):
    """Where a request goes and with which headers: as given, and laid out for httpx2's objects and for aiohttp."""

    given: tuple[str, Any]  # address and headers
    url: httpx2.URL
    headers: httpx2.Headers
    fields: dict[str, str]


_ELSEWHERE = _Elsewhere()


class Wire(httpx2.AsyncClient):
    """Sends what the openai client builds to the server at `base_url`, by the proxy that the environment names.

    As many connections as there are requests at once: the pace is what bounds them.
    """

    def __init__(self, base_url: str) -> None:
        """Raises TeacherError for a proxy, or a file of certificates, that cannot be used."""
        super().__init__(transport=_NoTransport(), trust_env=False, timeout=None)
        self._proxy = proxy_of(base_url)
        self._certificates = certificates() if urlsplit(base_url).scheme == "https" else True
        self._address: _Address | None = None

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """Needs the running event loop, which there need not be yet when a client is made."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS, ssl=self._certificates),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,  # httpx2's response does it
            proxy=self._proxy,
            max_line_size=LONGEST_HEADER_BYTES,
            max_field_size=LONGEST_HEADER_BYTES,
        )

    def build_request(self, method: str, url: Any, *, headers: Any = None, content: Any = None, **_: Any) -> Any:
        """Of what httpx2's own takes, that which the openai client gives with a body of bytes."""
        if self._address is None or self._address.given != (url, headers):
            self._address = self._laid_out(url, headers)
        address = self._address
        extensions = {"address": address, "body": content}
        return httpx2.Request(method, address.url, headers=address.headers, stream=_ELSEWHERE, extensions=extensions)

    def _laid_out(self, url: Any, given: Any) -> _Address:
        headers = httpx2.Headers(self.headers)
        headers.update(given)
        return _Address((url, given), httpx2.URL(url), headers, dict(headers))

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """The whole response. Raises httpx2.TransportError, in aiohttp's words, where there is none."""
        address: _Address = request.extensions["address"]
        sent = {"data": request.extensions["body"], "headers": address.fields}
        try:
            async with self._session.request(request.method, address.given[0], **sent) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:  # either way, nothing was sent
            raise httpx2.ConnectError(str(error)) from error
        except aiohttp.ClientError as error:
            raise httpx2.ReadError(str(error)) from error
        limits = {
            name.decode("ascii", "replace").lower(): value.decode("ascii", "replace")
            for name, value in response.raw_headers
            if name[:12].lower() == b"x-ratelimit-"
        }
        told = {LIMITS: limits}
        return httpx2.Response(
            response.status, headers=response.raw_headers, content=content, request=request, extensions=told
        )

    async def aclose(self) -> None:
        await super().aclose()
        if "_session" in self.__dict__:
            await self._session.close()


def proxy_of(url: str) -> str | None:
    """The address of the proxy that the environment names for `url`, if any; without a scheme it is one of HTTP.

    Raises TeacherError for one of another kind, to which aiohttp would speak HTTP all the same.
    """
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return None
    scheme, separator, _ = proxy.partition("://")
    if not separator:
        return f"http://{proxy}"
    if scheme.lower() not in ("http", "https"):
        raise TeacherError(
            what=f"the environment names a proxy of the kind {scheme}:// for {parts.hostname}",
            why="requests go by proxies of HTTP only; another kind would not understand a word",
            do=f"name one with http:// in {parts.scheme}_proxy, or put {parts.hostname} into no_proxy",
        )
    return proxy


def certificates() -> ssl.SSLContext:
    """Of whom is trusted: the environment's SSL_CERT_FILE and SSL_CERT_DIR, else those that httpx2 brings.

    Raises TeacherError where they cannot be read.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise TeacherError(
            what=f"the certificates in SSL_CERT_FILE ({os.environ.get('SSL_CERT_FILE')}) cannot be read: {error}",
            why="without them no server can prove who it is",
            do="name a file of certificates (PEM) in the environment variable SSL_CERT_FILE, or unset it",
        ) from error


def encoded(value: Any) -> bytes:
    """`value` as JSON. Raises UnicodeEncodeError for what UTF-8 cannot hold."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # a lone surrogate, or a whole number of more than 64 bits
        return json.dumps(value, ensure_ascii=False).encode()


def decoded(content: bytes) -> Any:
    """What the JSON says. Raises ValueError for what is none, RecursionError for what is nested too deeply."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:  # stricter than some servers: NaN, half a surrogate pair, another encoding
        return json.loads(content)
