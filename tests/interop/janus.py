"""Janus, the media server, driven through its websocket."""

import asyncio
import contextlib
import itertools
import shutil
import socket
import subprocess

import aiohttp
import pytest

from stack import RTCSessionDescription
from tests.support.ending import end

PATIENCE = 10.0  # seconds for one answer
START_PATIENCE = 20.0  # seconds until it listens


class Janus:
    """A session with it."""

    def __init__(self, socket_):
        self._socket, self._names = socket_, itertools.count()
        self._replies, self._events, self.session = {}, {}, {}
        self._tasks = [asyncio.create_task(self._read())]
        self.version = ""

    async def _read(self):
        async for message in self._socket:
            said = message.json()
            waiting = self._replies.get(said.get("transaction"))
            if said["janus"] == "event" or waiting is None:
                self._events.get(said.get("sender"), asyncio.Queue()).put_nowait(said)
            elif not waiting.done():  # an `ack` is enough: what was done comes as an event
                waiting.set_result(said)

    async def ask(self, what, **members):
        """A request of its API, and the reply."""
        name = str(next(self._names))
        waiting = self._replies[name] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"janus": what, "transaction": name} | self.session | members)
        async with asyncio.timeout(PATIENCE):
            reply = await waiting
        del self._replies[name]
        if reply["janus"] == "error":
            raise RuntimeError(reply["error"]["reason"])
        return reply

    async def begin(self):
        self.version = (await self.ask("info"))["version_string"]
        self.session = {"session_id": (await self.ask("create"))["data"]["id"]}
        self._tasks.append(asyncio.create_task(self._keep_alive()))

    async def _keep_alive(self):
        while True:
            await asyncio.sleep(20)
            await self.ask("keepalive")

    async def attach(self, plugin):
        handle = (await self.ask("attach", plugin=f"janus.plugin.{plugin}"))["data"]["id"]
        self._events[handle] = asyncio.Queue()
        return Handle(self, handle, self._events[handle])

    def end(self):
        for task in self._tasks:
            task.cancel()


class Handle:
    """A handle of a plugin, which is one peer connection of Janus."""

    def __init__(self, janus, number, events):
        self._janus, self._number, self._events = janus, number, events

    async def request(self, jsep=None, **body):
        """A synchronous request of the plugin."""
        members = {"jsep": jsep} if jsep else {}
        return await self._janus.ask("message", handle_id=self._number, body=body, **members)

    async def message(self, jsep=None, **body):
        """A request that is answered by an event; return the plugin's data and the description beside it."""
        await self.request(jsep, **body)
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self._events.get()
                if event["janus"] == "event":
                    break
        data = event["plugindata"]["data"]
        if "error" in data:
            raise RuntimeError(data["error"])
        return data, event.get("jsep")

    async def up(self):
        """Wait until Janus, too, finds that the connection is there: only then others can subscribe to it."""
        async with asyncio.timeout(PATIENCE):
            while (await self._events.get())["janus"] != "webrtcup":
                pass

    async def offer(self, pc, **body):
        """We offer and Janus answers."""
        await pc.setLocalDescription()
        local = pc.localDescription
        data, jsep = await self.message({"type": local.type, "sdp": local.sdp}, **body)
        await pc.setRemoteDescription(RTCSessionDescription(jsep["sdp"], jsep["type"]))
        return data

    async def answer(self, pc, jsep, **body):
        """We answer what Janus offered."""
        await pc.setRemoteDescription(RTCSessionDescription(jsep["sdp"], jsep["type"]))
        await pc.setLocalDescription()
        local = pc.localDescription
        return await self.message({"type": local.type, "sdp": local.sdp}, **body)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def janus(folder):
    """Janus with its files in a folder, and a session."""
    program = shutil.which("janus")
    if program is None:
        pytest.skip("no Janus here: on Debian, apt-get install janus")
    port = _free_port()
    (folder / "janus.jcfg").write_text(
        'general: { debug_level = 4 admin_secret = "unused" }\n'
        "nat: { nice_debug = false }\n"
        'transports: { disable = "libjanus_http.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_mqtt.so,'
        'libjanus_nanomsg.so" }\n'
        'plugins: { disable = "libjanus_sip.so,libjanus_nosip.so,libjanus_lua.so,libjanus_duktape.so,'
        'libjanus_audiobridge.so,libjanus_voicemail.so,libjanus_recordplay.so,libjanus_videocall.so" }\n'
    )
    (folder / "janus.transport.websockets.jcfg").write_text(
        f'general: {{ ws = true ws_port = {port} ws_ip = "127.0.0.1" wss = false }}\nadmin: {{ admin_ws = false }}\n'
    )
    log = folder / "log"
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            program, "-F", folder, "-o", stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
    try:
        async with aiohttp.ClientSession() as client:
            socket_ = await _connect(client, f"ws://127.0.0.1:{port}", process, log)
            session = Janus(socket_)
            await session.begin()
            yield session
            session.end()
            await socket_.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await end(process)


async def _connect(client, url, process, log):
    async with asyncio.timeout(START_PATIENCE):
        while True:
            try:
                return await client.ws_connect(url, protocols=["janus-protocol"])
            except aiohttp.ClientConnectorError:
                if process.returncode is not None:
                    raise RuntimeError(log.read_text()[-2000:]) from None
                await asyncio.sleep(0.05)
