// Signaling and the peer connection, and coming back after a loss.
//
// Events: "state" ({state, title, text}), "hello" (the car's first message), "telemetry" (object),
// "stream" (MediaStream). States: connecting, live, reconnecting, busy, error.

import { clock, serialize } from "./command.js";

const RETRY_DELAYS = [100, 300, 600, 1000, 1500]; // ms; the last one repeats
const SETUP_PATIENCE = 6000; // ms from the offer to the first telemetry
const TELEMETRY_PATIENCE = 1500; // ms without any: 30 messages in a row
const RTT_WEIGHT = 0.2; // of a new sample

export class CarConnection extends EventTarget {
  constructor() {
    super();
    this.state = "connecting";
    this.telemetry = null;
    this.rtt = null;
    this.connections = 0;
    this.sequence = 0;
    this.attempt = 0;
    this.hello = null;
    this.peer = null;
    this.retry = null;
    this.generation = 0; // of everything that an attempt starts; late callbacks of an older one are ignored
    setInterval(() => this.#watch(), 250);
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.start());
    addEventListener("online", () => this.retry && this.start());
  }

  /** Begin, or begin anew at once. */
  start() {
    clearTimeout(this.retry);
    this.retry = null;
    this.#leave();
    const mine = ++this.generation;
    const url = new URL("ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = location.search;
    const socket = (this.socket = new WebSocket(url));
    this.since = performance.now();
    socket.onmessage = (event) => mine === this.generation && this.#receive(JSON.parse(event.data));
    socket.onclose = () => mine === this.generation && this.#lost("The car is not reachable.");
  }

  /** Send the controls now; false if there is nobody to send them to. */
  drive(controls) {
    if (this.controls?.readyState !== "open" || this.controls.bufferedAmount > 512) return false;
    this.sequence = (this.sequence + 1) >>> 0;
    this.controls.send(serialize(this.sequence, controls, clock()));
    return true;
  }

  async #receive(message) {
    switch (message.type) {
      case "hello":
        this.hello = message;
        this.dispatchEvent(new CustomEvent("hello", { detail: message }));
        return message.busy ? this.#busy() : this.#offer();
      case "answer":
        return this.peer?.setRemoteDescription({ type: "answer", sdp: message.sdp }).catch((error) => this.#lost(error.message));
      case "candidate":
        return message.candidate && this.peer?.addIceCandidate(message).catch(() => {});
      case "busy":
        return this.#busy();
      case "seat-free":
        return this.peer ? undefined : this.#offer();
      case "bye":
        if (message.reason === "silent") return this.#fail("You were silent for too long", "Somebody else drives now.");
        return this.#lost("The car has closed the connection.");
      case "error":
        return message.reason === "bad-token" || message.reason === "too-many-visitors"
          ? this.#fail("The car does not let you in", message.message)
          : console.warn("the car refused a message:", message.reason, message.message);
    }
  }

  async #offer() {
    const mine = this.generation;
    const peer = (this.peer = new RTCPeerConnection({ iceServers: this.hello.iceServers, bundlePolicy: "max-bundle" }));
    this.since = performance.now();
    this.lastTelemetry = null;
    const current = () => mine === this.generation && peer === this.peer;
    const transceiver = peer.addTransceiver("video", { direction: "recvonly" });
    preferCodec(transceiver, this.hello.codec);
    // Live: a picture that waits in a buffer is a picture of the past.
    if ("jitterBufferTarget" in transceiver.receiver) transceiver.receiver.jitterBufferTarget = 0;
    if ("playoutDelayHint" in transceiver.receiver) transceiver.receiver.playoutDelayHint = 0;
    this.controls = peer.createDataChannel("controls", { ordered: false, maxRetransmits: 0 });
    const telemetry = peer.createDataChannel("telemetry", { ordered: false, maxRetransmits: 0 });
    telemetry.onmessage = (event) => current() && this.#hear(JSON.parse(event.data));
    peer.ontrack = (event) => current() && this.dispatchEvent(new CustomEvent("stream", { detail: event.streams[0] ?? new MediaStream([event.track]) }));
    peer.onicecandidate = ({ candidate }) => current() && this.#send(candidate ? { type: "candidate", ...candidate.toJSON() } : { type: "candidate", candidate: null });
    peer.onconnectionstatechange = () => current() && peer.connectionState === "failed" && this.#lost("The connection to the car was lost.");
    await peer.setLocalDescription();
    if (current()) this.#send({ type: "offer", sdp: peer.localDescription.sdp });
  }

  #send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #hear(telemetry) {
    this.lastTelemetry = performance.now();
    this.telemetry = { ...telemetry, received: this.lastTelemetry };
    if (telemetry.held !== null) {
      const sample = ((clock() - telemetry.echo) >>> 0) - telemetry.held;
      if (sample >= 0 && sample < 10_000) this.rtt = this.rtt === null ? sample : this.rtt + (sample - this.rtt) * RTT_WEIGHT;
    }
    if (this.state !== "live") {
      this.attempt = 0;
      this.connections++;
      this.#enter("live");
    }
    this.dispatchEvent(new CustomEvent("telemetry", { detail: this.telemetry }));
  }

  #watch() {
    if (!this.peer) return;
    const now = performance.now();
    if (this.lastTelemetry === null ? now - this.since > SETUP_PATIENCE : now - this.lastTelemetry > TELEMETRY_PATIENCE) {
      this.#lost("Nothing has come from the car for a while.");
    }
  }

  #busy() {
    this.#closePeer();
    this.#enter("busy", "Somebody else is driving", "You are next when they leave; keep this page open.");
  }

  #lost(text) {
    if (this.retry) return;
    this.#leave();
    this.#enter("reconnecting", "Connection lost", `${text} Trying again.`);
    const delay = RETRY_DELAYS[Math.min(this.attempt++, RETRY_DELAYS.length - 1)];
    this.retry = setTimeout(() => this.start(), delay);
  }

  #fail(title, text) {
    this.#leave();
    this.#enter("error", title, text);
  }

  #leave() {
    this.generation++;
    this.#send({ type: "bye" });
    this.#closePeer();
    this.socket?.close();
    this.socket = null;
  }

  #closePeer() {
    this.peer?.close();
    this.peer = this.controls = null;
    this.rtt = null;
  }

  #enter(state, title = "", text = "") {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, title, text } }));
  }
}

function preferCodec(transceiver, name) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const wanted = (codec) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`;
  transceiver.setCodecPreferences([...codecs.filter(wanted), ...codecs.filter((codec) => !wanted(codec))]);
}
