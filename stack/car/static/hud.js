// Numbers, bars, the map and the veil over the picture.

const TOP_SPEED = 4.5; // m/s at the end of the gauge
const ARC = 80; // of the gauge's 100
const CHIP = { connecting: "connecting", live: "live", reconnecting: "reconnecting", busy: "car is busy", error: "stopped" };

const byId = (id) => document.getElementById(id);
const put = (id, text) => {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
};

export class Hud {
  constructor() {
    this.map = byId("map").getContext("2d");
    this.outline = null;
  }

  showState({ state, title, text }) {
    document.body.dataset.state = state;
    put("chip-text", CHIP[state]);
    if (title) put("veil-title", title);
    if (text) put("veil-text", text);
    byId("veil-button").hidden = state !== "error";
    if (state !== "live") byId("failsafe").hidden = true;
  }

  setTrack(points, width) {
    const xs = points.map((p) => p[0]);
    const ys = points.map((p) => p[1]);
    const canvas = this.map.canvas;
    const scale = Math.min((canvas.width - 16) / (Math.max(...xs) - Math.min(...xs)), (canvas.height - 16) / (Math.max(...ys) - Math.min(...ys)));
    const middle = [(Math.max(...xs) + Math.min(...xs)) / 2, (Math.max(...ys) + Math.min(...ys)) / 2];
    this.place = ([x, y]) => [canvas.width / 2 + (x - middle[0]) * scale, canvas.height / 2 - (y - middle[1]) * scale];
    this.outline = points.map(this.place);
    this.roadWidth = Math.max(4, width * scale);
  }

  showTelemetry(t) {
    put("speed", Math.abs(t.speed).toFixed(1));
    byId("speed-arc").style.strokeDasharray = `${(ARC * Math.min(1, Math.abs(t.speed) / TOP_SPEED)).toFixed(1)} 100`;
    const lean = Math.max(-1, Math.min(1, t.steering / 0.49));
    Object.assign(byId("steering-bar").style, { width: `${Math.abs(lean) * 50}%`, left: `${lean > 0 ? 50 - lean * 50 : 50}%` });
    const braking = t.brake > 0;
    byId("throttle-bar").style.width = `${100 * (braking ? t.brake : Math.abs(t.throttle))}%`;
    byId("throttle-bar").classList.toggle("brake", braking);
    byId("failsafe").hidden = !t.stopped || document.body.dataset.state !== "live";
    this.#drawMap(t);
  }

  showLink({ rtt, videoDelay, fps, bitrate, codec, source }) {
    const ms = (value) => (value === null ? "–" : `${Math.round(value)} ms`);
    put("rtt", ms(rtt));
    put("video-delay", ms(videoDelay));
    put("fps", fps === null ? "–" : fps.toFixed(0));
    put("bitrate", bitrate === null ? "–" : `${(bitrate / 1e6).toFixed(1)} Mbit/s`);
    put("codec", codec ?? "video");
    put("source", source);
  }

  #drawMap(t) {
    if (!this.outline) return;
    const c = this.map;
    c.clearRect(0, 0, c.canvas.width, c.canvas.height);
    c.beginPath();
    for (const [x, y] of this.outline) c.lineTo(x, y);
    c.closePath();
    c.lineJoin = "round";
    c.strokeStyle = "rgb(255 255 255 / 34%)";
    c.lineWidth = this.roadWidth;
    c.stroke();
    const [x, y] = this.place([t.x, t.y]);
    c.save();
    c.translate(x, y);
    c.rotate(-t.heading);
    c.fillStyle = t.stopped ? "#f5b74f" : "#46d39a";
    c.beginPath();
    c.moveTo(8, 0);
    c.lineTo(-5, 5);
    c.lineTo(-5, -5);
    c.fill();
    c.restore();
  }
}
