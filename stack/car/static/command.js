// One control datagram: the layout is in command.py.

const SIZE = 16;
const MAGIC = 0xca;
const VERSION = 1;

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Milliseconds of this page's clock, modulo 2**32: what the car echoes. */
export const clock = () => Math.round(performance.now()) >>> 0;

/** Return the datagram for `controls` ({throttle, steering, brake}) as an ArrayBuffer. */
export function serialize(sequence, controls, timestamp) {
  const view = new DataView(new ArrayBuffer(SIZE));
  view.setUint8(0, MAGIC);
  view.setUint8(1, VERSION);
  view.setUint32(2, sequence >>> 0);
  view.setInt16(6, Math.round(clamp(controls.throttle, -1, 1) * 32767));
  view.setInt16(8, Math.round(clamp(controls.steering, -1, 1) * 32767));
  view.setUint8(10, Math.round(clamp(controls.brake, 0, 1) * 255));
  view.setUint8(11, 0);
  view.setUint32(12, timestamp >>> 0);
  return view.buffer;
}
