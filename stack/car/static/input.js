// Keyboard, touch pads and gamepad become {throttle, steering, brake}.

const KEYS = {
  KeyW: "go", ArrowUp: "go", KeyS: "back", ArrowDown: "back",
  KeyA: "left", ArrowLeft: "left", KeyD: "right", ArrowRight: "right", Space: "stop",
};
const STEERING_RATE = 5; // per second from the middle to full lock: keys are all or nothing, wheels are not
const COASTING_BRAKE = 0.45; // brake when nothing is held: letting go must stop the car soon
const REVERSE_BELOW = 0.15; // m/s; above it "back" means brake
const DEAD_ZONE = 0.12; // of a stick that does not come back to its middle

const approach = (value, target, step) => value + Math.max(-step, Math.min(step, target - value));
const past = (value) => (Math.abs(value) < DEAD_ZONE ? 0 : (value - Math.sign(value) * DEAD_ZONE) / (1 - DEAD_ZONE));

export class Input {
  /** `speed` returns the car's speed in m/s. */
  constructor(speed) {
    this.speed = speed;
    this.held = new Set();
    this.touch = { throttle: 0, steering: 0, brake: 0, active: false };
    this.source = "keyboard";
    this.steering = 0;
    this.then = performance.now();
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    for (const pad of document.querySelectorAll("[data-axis]")) this.#bindPad(pad);
    this.#bindBrake(document.querySelector("[data-brake]"));
  }

  /** Let go of everything. */
  release() {
    this.held.clear();
    this.touch = { throttle: 0, steering: 0, brake: 0, active: false };
    this.#showKeys();
  }

  /** Return the controls now; called once per control tick. */
  read() {
    const now = performance.now();
    const seconds = Math.min(0.1, (now - this.then) / 1000);
    this.then = now;
    const gamepad = this.#readGamepad();
    const wish = gamepad ?? (this.touch.active ? this.touch : this.#readKeys());
    this.source = gamepad ? "gamepad" : this.touch.active ? "touch" : "keyboard";
    if (document.hidden) return { throttle: 0, steering: 0, brake: 1 };
    this.steering = this.source === "keyboard" ? approach(this.steering, wish.steering, STEERING_RATE * seconds) : wish.steering;
    return { ...this.#withBrakes(wish), steering: this.steering };
  }

  #withBrakes({ throttle, brake }) {
    const speed = this.speed();
    if (brake > 0) return { throttle: 0, brake };
    if (throttle < 0 && speed > REVERSE_BELOW) return { throttle: 0, brake: -throttle };
    if (throttle > 0 && speed < -REVERSE_BELOW) return { throttle: 0, brake: throttle };
    if (throttle === 0) return { throttle: 0, brake: COASTING_BRAKE };
    return { throttle, brake: 0 };
  }

  #readKeys() {
    const on = (name) => (this.held.has(name) ? 1 : 0);
    return { throttle: on("go") - on("back"), steering: on("left") - on("right"), brake: on("stop") };
  }

  #readGamepad() {
    for (const pad of navigator.getGamepads?.() ?? []) {
      if (!pad?.connected || pad.mapping !== "standard") continue;
      const steering = -past(pad.axes[0] ?? 0);
      const throttle = (pad.buttons[7]?.value ?? 0) - (pad.buttons[6]?.value ?? 0);
      const brake = pad.buttons[0]?.pressed ? 1 : 0;
      if (steering || throttle || brake || this.source === "gamepad") return { steering, throttle, brake };
    }
    return null;
  }

  #key(event, down) {
    const name = KEYS[event.code];
    if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("button") && event.code === "Space") return;
    event.preventDefault();
    if (down) this.held.add(name);
    else this.held.delete(name);
    this.touch.active = false;
    if (this.source === "gamepad") this.source = "keyboard";
    this.#showKeys();
  }

  #showKeys() {
    const shown = { W: "go", "↑": "go", S: "back", "↓": "back", A: "left", "←": "left", D: "right", "→": "right", Space: "stop" };
    for (const key of document.querySelectorAll(".keys kbd")) key.classList.toggle("held", this.held.has(shown[key.textContent]));
  }

  #bindPad(pad) {
    const axis = pad.dataset.axis;
    const knob = pad.querySelector(".knob");
    const set = (value) => {
      this.touch[axis] = value;
      this.touch.active = true;
      const reach = axis === "steering" ? (pad.clientWidth - knob.clientWidth) / 2 : (pad.clientHeight - knob.clientHeight) / 2;
      knob.style.transform = axis === "steering" ? `translateX(${-value * reach}px)` : `translateY(${-value * reach}px)`;
    };
    const move = (event) => {
      const box = pad.getBoundingClientRect();
      const across = axis === "steering" ? (box.left + box.width / 2 - event.clientX) / (box.width / 2) : (box.top + box.height / 2 - event.clientY) / (box.height / 2);
      set(past(Math.max(-1, Math.min(1, across * 1.25))));
    };
    const end = () => {
      pad.classList.remove("held");
      set(0);
    };
    pad.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      pad.setPointerCapture(event.pointerId);
      pad.classList.add("held");
      move(event);
    });
    pad.addEventListener("pointermove", (event) => pad.hasPointerCapture(event.pointerId) && move(event));
    pad.addEventListener("pointerup", end);
    pad.addEventListener("pointercancel", end);
    pad.addEventListener("lostpointercapture", end);
  }

  #bindBrake(button) {
    const set = (value) => {
      this.touch.brake = value;
      this.touch.active = true;
    };
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      set(1);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(name, () => set(0));
  }
}
