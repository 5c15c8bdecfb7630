"""The MCP server as a process of its own, asked by the official client."""

import json
import shutil
import socket
import subprocess
import sys
from base64 import b64decode
from contextlib import asynccontextmanager
from io import BytesIO

import anyio
import httpx
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from served import MAIN, START_S, environment, free_port

from polyseek.core.types import asset_id
from polyseek.server.keys import KeyFile, Scope

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mcp")
    shutil.copytree(made / "photos.polyseek", folder / "photos.polyseek")
    return folder / "photos.polyseek"


@asynccontextmanager
async def asked(*collections):
    words = [word for one in collections for word in ("-c", str(one))]
    server = StdioServerParameters(
        command=sys.executable, args=["-c", MAIN, "mcp", *words], env=environment()
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


def run(collection, work):
    async def main():
        async with asked(collection) as session:
            await work(session)

    anyio.run(main)


def pictures(result):
    return [one for one in result.content if one.type == "image"]


def test_a_model_searches_looks_and_finds_more(served, made):
    async def work(session):
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == {"search", "similar", "get_asset", "status", "list_collections"}
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        (one,) = (await session.call_tool("list_collections", {})).structured_content["collections"]
        assert one == {"name": "photos", "assets": 5, "modalities": {"image": 3, "text": 2}}
        asked_for = {"query": "red", "show_all": True, "modalities": ["image"]}
        found = await session.call_tool("search", asked_for)
        hits = found.structured_content["hits"]
        assert len(hits) == len(pictures(found)) == 3
        assert Image.open(BytesIO(b64decode(pictures(found)[0].data))).size == (64, 48)
        assert json.loads(found.content[0].text.split("\n", 1)[1]) == found.structured_content
        like = {"asset": hits[0]["asset"], "segment": hits[0]["segment"], "modalities": ["image"]}
        more = await session.call_tool("similar", {**like, "show_all": True})
        assert more.structured_content["hits"][0]["asset"] == hits[0]["asset"]
        listed = await session.call_tool("search", {"filter": "width = 64", "limit": 2})
        shown = [hit["metadata"]["path"] for hit in listed.structured_content["hits"]]
        assert shown == ["blue.png", "green.png"]
        looked = await session.call_tool("get_asset", {"asset": hits[0]["asset"]})
        assert looked.structured_content["segments"][0]["metadata"]["width"] == 64
        assert len(pictures(looked)) == 1

    run(served, work)


def test_failures_and_wrong_questions(served, made):
    async def work(session):
        state = (await session.call_tool("status", {})).structured_content
        assert state["failures_total"] == 1
        bad = asset_id((made / "photos" / "bad.png").as_uri())
        assert state["failures"][0]["asset"] == bad
        assert "location" not in state
        failed = await session.call_tool("get_asset", {"asset": bad})
        assert failed.structured_content["status"] == "failed"
        for tool, arguments, told in [
            ("search", {"query": "x", "filter": "colour >>"}, "filter"),
            ("search", {"query": "x", "collection": "other"}, "there are: photos"),
            ("search", {"query": ""}, "nothing to look for"),
            ("search", {"without": "rain", "filter": "width > 3"}, "needs a 'query'"),
            ("get_asset", {"asset": "0" * 32}, "no asset"),
            ("get_asset", {"asset": "../../etc/passwd"}, "asset"),
        ]:
            wrong = await session.call_tool(tool, arguments)
            assert wrong.is_error
            assert told in wrong.content[0].text
            assert str(served.parent) not in wrong.content[0].text

    run(served, work)


def test_a_path_is_a_text(served, made):
    async def work(session):
        found = await session.call_tool("search", {"query": str(made / "photos" / "red.png")})
        assert not found.is_error

    run(served, work)


@asynccontextmanager
async def over_http(*words):
    """A server over HTTP, by its port."""
    port = free_port()
    command = [sys.executable, "-c", MAIN, "mcp", "--http", "--port", str(port), *map(str, words)]
    async with await anyio.open_process(command, env=environment()) as process:
        try:
            await _until_up(port)
            yield port
        finally:
            process.terminate()


@asynccontextmanager
async def session_at(port, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as client,
        streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=client) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        yield session


def test_streamable_http_tells_no_folder(served, made):
    async def main():
        async with over_http("-c", served) as port:
            async with session_at(port) as session:
                asked_for = {"query": "red", "show_all": True}
                for _ in range(2):  # the processes that draw outlive a request
                    found = await session.call_tool("search", asked_for)
                    assert found.structured_content["hits"]
                    assert pictures(found)
                assert str(made) not in found.model_dump_json()
            async with httpx.AsyncClient() as client:
                answer = await client.post(
                    f"http://127.0.0.1:{port}/mcp", headers={"Host": "evil.example"}, json={}
                )
            assert answer.status_code == 421

    anyio.run(main)


def test_with_keys_each_sees_its_own_collections(served, tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    everything = keys.add("all", scope=Scope.READ)
    one = keys.add("one", scope=Scope.READ, collections=["photos"])

    async def main():
        words = ["-c", served, "-c", f"other={served}", "--keys", keys.path]
        async with over_http(*words) as port:
            async with httpx.AsyncClient() as client:
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    answer = await client.post(
                        f"http://127.0.0.1:{port}/mcp", headers=headers, json={}
                    )
                    assert answer.status_code == 401
                    assert answer.json()["code"] == "unauthorised"
            for key, names in ((everything, ["other", "photos"]), (one, ["photos"])):
                async with session_at(port, key) as session:
                    listed = await session.call_tool("list_collections", {})
                    found = listed.structured_content["collections"]
                    assert [each["name"] for each in found] == names
                    for name in ("photos", "other"):
                        asked_for = {"query": "red", "collection": name}
                        answer = await session.call_tool("search", asked_for)
                        assert answer.is_error == (name not in names)

    anyio.run(main)


def test_what_others_reach_needs_keys(served, tmp_path):
    def mcp(*words, **variables):
        return subprocess.run(
            [sys.executable, "-c", MAIN, "mcp", "--http", "-c", str(served), *map(str, words)],
            capture_output=True, text=True, env=environment(**variables), timeout=120, check=False,
        )  # fmt: skip

    done = mcp("--host", "0.0.0.0", HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, "polyseek keys add" in done.stderr) == (10, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = mcp("--port", taken.getsockname()[1])
    assert (done.returncode, "in use" in done.stderr) == (10, True)


async def _until_up(port):
    with anyio.fail_after(START_S):
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    return
            except OSError:
                await anyio.sleep(0.1)
