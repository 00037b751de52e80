"""A service behind the proxy, as a process: ``python -m tests.integration.proxy_upstream NAME [PORT]``."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys

from aiohttp import WSMsgType, web

NAME = sys.argv[1] if len(sys.argv) > 1 else "upstream"
state = {"requests": 0, "cancelled": 0, "active": 0, "healthy": True, "status": 0}
routes = web.RouteTableDef()


@web.middleware
async def count(request: web.Request, handler):
    if "/_" not in request.path and request.path != "/healthz":
        state["requests"] += 1
    state["active"] += 1
    try:
        response = await handler(request)
    except asyncio.CancelledError:
        state["cancelled"] += 1
        raise
    finally:
        state["active"] -= 1
    return response


@routes.get("/healthz")
async def healthz(_: web.Request) -> web.Response:
    return web.Response(status=200 if state["healthy"] else 503)


@routes.get("/api/v1/{service}/_state")
async def tell(_: web.Request) -> web.Response:
    return web.json_response({**state, "name": NAME})


@routes.post("/api/v1/{service}/_set")
async def change(request: web.Request) -> web.Response:
    state.update(await request.json())
    return web.json_response(state)


@routes.route("*", "/api/v1/{service}/echo{rest:.*}")
async def echo(request: web.Request) -> web.Response:
    if state["status"]:
        return web.json_response({"name": NAME}, status=state["status"])
    body = await request.read()
    return web.json_response(
        {
            "name": NAME,
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name.decode(), value.decode()] for name, value in request.raw_headers],
            "body": body.decode(errors="replace")[:1000],
            "size": len(body),
        },
        headers=[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/"), ("X-Many", "1"), ("X-Many", "2")],
    )


@routes.get("/api/v1/{service}/status/{code}")
async def status(request: web.Request) -> web.Response:
    code = int(request.match_info["code"])
    headers = {"ETag": '"x"'} if code == 304 else {"Location": "/elsewhere"} if code == 302 else {}
    return web.Response(status=code, headers=headers)


@routes.get("/api/v1/{service}/chunks")
async def chunks(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Connection": "keep-alive, X-Hop", "X-Hop": "secret", "Keep-Alive": "5"})
    await response.prepare(request)
    for number in range(3):
        await response.write(f"part {number}\n".encode())
        await asyncio.sleep(float(request.query.get("pause", 0)))
    return response


@routes.get("/api/v1/{service}/early")
async def early(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    return web.Response(text="after the hint")


@routes.get("/api/v1/{service}/gzip")
async def compressed(_: web.Request) -> web.Response:
    response = web.Response(text="x" * 5000)
    response.enable_compression(web.ContentCoding.gzip)
    return response


@routes.get("/api/v1/{service}/download")
async def download(request: web.Request) -> web.StreamResponse:
    size = int(request.query["size"])
    response = web.StreamResponse(headers={"Content-Length": str(size)})
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    block = b"d" * 65536
    while size:
        await response.write(block[:size])
        size -= min(size, len(block))
    return response


@routes.route("*", "/api/v1/{service}/upload")
async def upload(request: web.Request) -> web.Response:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        size += len(chunk)
    return web.json_response({"size": size, "sha256": digest.hexdigest()})


@routes.route("*", "/api/v1/{service}/slow")
async def slow(request: web.Request) -> web.Response:
    await request.read()
    await asyncio.sleep(float(request.query["seconds"]))
    return web.json_response({"name": NAME})


@routes.get("/api/v1/{service}/stall")
async def stall(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begin")
    await asyncio.sleep(60)
    return response


@routes.get("/api/v1/{service}/die-in-body")
async def die(request: web.Request) -> web.StreamResponse:
    length = {"Content-Length": "1000"} if "length" in request.query else {}
    response = web.StreamResponse(headers=length)
    await response.prepare(request)
    await response.write(b"half")
    await asyncio.sleep(0.1)
    assert request.transport is not None
    request.transport.abort()
    return response


@routes.route("*", "/api/v1/{service}/drop")
async def drop(request: web.Request) -> web.Response:
    """Read the request and hang up."""
    await request.read()
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@routes.route("*", "/api/v1/{service}/drop-if/{name}")
async def drop_if(request: web.Request) -> web.Response:
    """Hang up when this is the instance that was named."""
    body = await request.read()
    if request.match_info["name"] == NAME:
        assert request.transport is not None
        request.transport.abort()
    return web.json_response({"name": NAME, "body": body.decode()})


@routes.get("/api/v1/{service}/socket")
async def socket(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(protocols=("chat",))
    await ws.prepare(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    await ws.send_json({"name": NAME, "target": request.raw_path, "headers": headers})
    async for message in ws:
        if message.type is WSMsgType.TEXT and message.data.startswith("close "):
            await ws.close(code=int(message.data[6:]), message=b"as asked")
        elif message.type is WSMsgType.TEXT and message.data == "die":
            assert request.transport is not None
            request.transport.abort()
        elif message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
        else:
            await ws.send_bytes(base64.b64encode(message.data))
    return ws


async def main() -> None:
    app = web.Application(middlewares=[count], client_max_size=1 << 30)
    app.add_routes(routes)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    await site.start()
    assert runner.addresses
    print(f"listening on {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
