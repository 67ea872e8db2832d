"""What the openai client sends through our own transport, over real HTTP: the same bytes, fewer steps."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import web

from thousandfold.gen.errors import TeacherError
from thousandfold.gen.teachers.wire import Wire, proxy_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = '{"model": "m", "note": "é"}'.encode()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def post(url: str, http_client: httpx2.AsyncClient) -> httpx2.Response:
    client = openai.AsyncOpenAI(base_url=url, api_key="a-key", max_retries=0, timeout=9, http_client=http_client)
    try:
        return await client.post(
            "/chat/completions",
            content=BODY,
            cast_to=httpx2.Response,
            options={"headers": {"Content-Type": "application/json"}},
        )
    finally:
        await client.close()


def test_a_server_is_sent_what_the_openai_clients_own_transport_sends() -> None:
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.path_qs, sorted(request.headers.items()), await request.read()))
        return web.Response(text="{}")

    async def both() -> None:
        async with serving(handle) as url:
            await post(url, openai.DefaultAioHttpClient())
            await post(url, Wire(url))

    asyncio.run(both())
    assert seen[0] == seen[1]
    assert seen[1][0] == "POST"
    assert seen[1][3] == BODY
    assert ("Authorization", "Bearer a-key") in seen[1][2]


def test_a_redirect_is_followed_and_the_body_goes_with_it() -> None:
    seen: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        if request.path.startswith("/v1"):
            raise web.HTTPTemporaryRedirect("/moved")
        seen.append(await request.read())
        return web.Response(text="there")

    async def sent() -> str:
        async with serving(handle) as url:
            return (await post(url, Wire(url))).text

    assert asyncio.run(sent()) == "there"
    assert seen == [BODY]


def test_a_compressed_reply_is_read() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})

    async def sent() -> bytes:
        async with serving(handle) as url:
            return (await post(url, Wire(url))).content

    assert asyncio.run(sent()) == b'{"a": 1}'


def test_an_error_of_the_server_is_the_openai_clients_own_error() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "slower", "code": "busy"}}, status=429)

    async def sent() -> openai.RateLimitError:
        async with serving(handle) as url:
            with pytest.raises(openai.RateLimitError, match="slower") as caught:
                await post(url, Wire(url))
        return caught.value

    assert asyncio.run(sent()).code == "busy"


def test_a_reply_that_is_cut_off_is_trouble_with_the_connection() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"half": ')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def sent() -> None:
        async with serving(handle) as url:
            await post(url, Wire(url))

    with pytest.raises(openai.APIConnectionError) as caught:
        asyncio.run(sent())
    assert isinstance(caught.value.__cause__, httpx2.ReadError)


def test_a_server_that_is_not_there_is_no_timeout() -> None:
    with pytest.raises(openai.APIConnectionError) as caught:
        asyncio.run(post("http://127.0.0.1:9/v1", Wire("http://127.0.0.1:9/v1")))
    assert not isinstance(caught.value, openai.APITimeoutError)
    assert "127.0.0.1:9" in str(caught.value.__cause__)


def test_the_proxy_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "localhost,.inner.example")
    assert proxy_of("https://api.openai.com/v1") == "http://proxy.example:3128"
    assert proxy_of("https://models.inner.example/v1") is None
    assert proxy_of("http://api.example/v1") is None
    monkeypatch.setenv("all_proxy", "http://any.example:8080")
    assert proxy_of("http://api.example/v1") == "http://any.example:8080"


def test_a_proxy_without_a_scheme_is_one_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.raw_path}")
        return web.Response(text="by the proxy")

    async def sent() -> str:
        async with serving(handle) as proxy:
            monkeypatch.setenv("http_proxy", proxy.removeprefix("http://").removesuffix("/v1"))
            return (await post("http://models.example/v1", Wire("http://models.example/v1"))).text

    assert asyncio.run(sent()) == "by the proxy"
    assert seen == ["POST http://models.example/v1/chat/completions"]


def test_a_proxy_that_speaks_no_http_is_refused_before_anything_is_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(TeacherError, match="socks5"):
        Wire("http://models.example/v1")
    monkeypatch.setenv("no_proxy", "models.example")
    Wire("http://models.example/v1")


def test_a_proxy_that_opens_no_tunnel_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT models.example:443")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def sent() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
            monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
            await post("https://models.example/v1", Wire("https://models.example/v1"))

    with pytest.raises(openai.APIConnectionError) as caught:
        asyncio.run(sent())
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)  # nothing was sent, and nothing may be billed
    assert "407" in str(caught.value.__cause__)


def test_a_reply_with_a_header_of_many_bytes_is_read() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="{}", headers={"Content-Security-Policy": "x" * 20_000})

    async def sent() -> bytes:
        async with serving(handle) as url:
            return (await post(url, Wire(url))).content

    assert asyncio.run(sent()) == b"{}"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "own.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(TeacherError, match=r"own\.pem"):
        Wire("https://models.example/v1")
    Wire("http://models.example/v1")


def test_what_was_never_used_is_closed_without_being_opened() -> None:
    async def closed() -> bool:
        wire = Wire("http://models.example/v1")
        await wire.aclose()
        return "_session" in vars(wire)

    assert asyncio.run(closed()) is False
