"""The openai client's requests, straight to aiohttp: half the work of the transport that the client brings.

The client takes any `httpx2.AsyncClient`. This one lays out headers and address once instead of for every request,
keeps no time (`Completions` does, for whole requests), and reads a reply in one piece. Bodies are written and read by
orjson, in a tenth of the time.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import orjson

LIMITS = "limits"
"""Of a response's extensions: its headers `x-ratelimit-*` as a dict, names in lower case; mostly there are none."""
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
        super().__init__(transport=_NoTransport(), trust_env=False, timeout=None)
        self._base = base_url
        self._address: _Address | None = None

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """Needs the running event loop, which there need not be yet when a client is made."""
        certificates = httpx2.create_ssl_context() if urlsplit(self._base).scheme == "https" else True
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS, ssl=certificates),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,  # httpx2's response does it
            proxy=proxy_of(self._base),
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
        except aiohttp.ClientConnectorError as error:
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
        await self._session.close()


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for `url`, if any."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


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
