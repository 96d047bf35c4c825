// Reads the strip at the lower edge of the picture: the layout is in dashboard.py.

const CELLS = 40;
const READ_WIDTH = CELLS * 4; // four pixels per cell; the two in the middle are looked at

function crc8(bytes) {
  let crc = 0xff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x80 ? (crc << 1) ^ 0x07 : crc << 1) & 0xff;
  }
  return crc;
}

/** Reads frame number and time out of a playing video. */
export class DashboardReader {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = READ_WIDTH;
    this.canvas.height = 1;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
  }

  /** Return {frame, milliseconds}, both modulo 65536, or null if the strip does not hold together. */
  read(video) {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return null;
    const rows = Math.max(8, Math.round((height * 2) / 45));
    this.context.drawImage(video, 0, height - rows * 0.75, width, rows / 2, 0, 0, READ_WIDTH, 1);
    const pixels = this.context.getImageData(0, 0, READ_WIDTH, 1).data;
    const bytes = new Uint8Array(5);
    for (let cell = 0; cell < CELLS; cell++) {
      let sum = 0;
      for (let x = cell * 4 + 1; x < cell * 4 + 3; x++) sum += pixels[x * 4] + pixels[x * 4 + 1] + pixels[x * 4 + 2];
      if (sum > 128 * 6) bytes[cell >> 3] |= 0x80 >> (cell & 7);
    }
    if (crc8(bytes.subarray(0, 4)) !== bytes[4]) return null;
    return { frame: (bytes[0] << 8) | bytes[1], milliseconds: (bytes[2] << 8) | bytes[3] };
  }
}
