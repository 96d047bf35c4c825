// Joins connection, input and HUD, and measures what is shown.

import { CarConnection } from "./connection.js";
import { DashboardReader } from "./dashboard.js";
import { Hud } from "./hud.js";
import { Input } from "./input.js";

const CONTROL_INTERVAL = 20; // ms: fifty commands a second
const STATISTICS_INTERVAL = 1000; // ms

const video = document.getElementById("video");
const help = document.getElementById("help");
const connection = new CarConnection();
const hud = new Hud();
const input = new Input(() => connection.telemetry?.speed ?? 0);
const dashboard = new DashboardReader();

/** What tests and curious people look at. */
const rccar = (window.rccar = {
  frameNumber: null, pictureTime: null, framesShown: 0, unreadable: 0, videoDelay: null, fps: null, bitrate: null, codec: null,
  controls: null,
  connection,
  input,
  get state() { return connection.state; },
  get connectionState() { return connection.peer?.connectionState ?? "new"; },
  get telemetry() { return connection.telemetry; },
  get rtt() { return connection.rtt; },
  get connections() { return connection.connections; },
});

connection.addEventListener("state", ({ detail }) => hud.showState(detail));
connection.addEventListener("hello", ({ detail }) => hud.setTrack(detail.track, detail.trackWidth));
connection.addEventListener("telemetry", ({ detail }) => hud.showTelemetry(detail));
connection.addEventListener("stream", ({ detail }) => {
  video.srcObject = detail;
  video.play().catch(() => {}); // muted video may always play; a pause comes from the element being replaced
});

// --- controls: a steady beat, whatever the page is doing ---------------------------------------------------------

const ticker = new Worker("static/ticker.js");
ticker.onmessage = () => {
  rccar.controls = input.read();
  connection.drive(rccar.controls);
};
ticker.postMessage(CONTROL_INTERVAL);

// --- pictures ----------------------------------------------------------------------------------------------------

/** How old the picture is that was just shown: its time against the car's clock, as telemetry tells it. */
function pictureAge(milliseconds) {
  const t = connection.telemetry;
  if (!t || connection.rtt === null) return null;
  const carNow = t.time + (performance.now() - t.received) + connection.rtt / 2;
  return (((carNow - milliseconds) % 65536) + 65536 + 32768) % 65536 - 32768;
}

function onPicture() {
  rccar.framesShown++;
  const read = dashboard.read(video);
  if (read) {
    rccar.frameNumber = read.frame;
    rccar.pictureTime = read.milliseconds;
    const age = pictureAge(read.milliseconds);
    if (age !== null) rccar.videoDelay = rccar.videoDelay === null ? age : rccar.videoDelay * 0.9 + age * 0.1;
  } else {
    rccar.unreadable++;
  }
  video.requestVideoFrameCallback(onPicture);
}
if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onPicture);
video.addEventListener("resize", () => {
  const picture = document.querySelector(".picture");
  picture.style.setProperty("--width", video.videoWidth);
  picture.style.setProperty("--height", video.videoHeight);
});

// --- statistics --------------------------------------------------------------------------------------------------

let before = { frames: 0, bytes: 0, at: performance.now() };

async function measure() {
  const now = { frames: rccar.framesShown, bytes: 0, at: performance.now() };
  const stats = connection.state === "live" ? await connection.peer?.getStats().catch(() => null) : null;
  for (const entry of stats?.values() ?? []) {
    if (entry.type !== "inbound-rtp" || entry.kind !== "video") continue;
    now.bytes = entry.bytesReceived;
    rccar.codec = stats.get(entry.codecId)?.mimeType.split("/")[1] ?? null;
  }
  const seconds = (now.at - before.at) / 1000;
  rccar.fps = stats ? (now.frames - before.frames) / seconds : null;
  rccar.bitrate = stats && now.bytes >= before.bytes ? ((now.bytes - before.bytes) * 8) / seconds : null;
  before = now;
  hud.showLink({ rtt: stats ? connection.rtt : null, videoDelay: stats ? rccar.videoDelay : null, fps: rccar.fps, bitrate: rccar.bitrate, codec: rccar.codec, source: input.source });
}
setInterval(measure, STATISTICS_INTERVAL);

// --- help and retry ----------------------------------------------------------------------------------------------

document.getElementById("help-button").addEventListener("click", () => {
  input.release();
  help.showModal();
});
document.getElementById("veil-button").addEventListener("click", () => {
  hud.showState({ state: "connecting", title: "Connecting to the car", text: "This takes a moment." });
  connection.start();
});

connection.start();
