// A peer in Node: node node.cjs node-datachannel|wrtc|werift, commands as JSON lines on stdin, replies on stdout.
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const {Peer} = require(path.join(__dirname, "peer.js"));

const MODULES = path.join(process.cwd(), "node_modules"); // started where npm installed to

const load = name => require(path.join(MODULES, name));
const version = name => JSON.parse(fs.readFileSync(path.join(MODULES, name, "package.json"))).version;

function libdatachannel() {
    const {RTCPeerConnection} = load("node-datachannel/dist/cjs/polyfill/index.cjs");
    return {version: version("node-datachannel"), RTCPeerConnection};
}

function libwebrtc() {
    const wrtc = load("@roamhq/wrtc");
    const started = [];
    return {
        version: version("@roamhq/wrtc"),
        RTCPeerConnection: wrtc.RTCPeerConnection,
        tracks: kinds => kinds.map(kind => {
            const source = new (kind === "video" ? wrtc.nonstandard.RTCVideoSource : wrtc.nonstandard.RTCAudioSource)();
            const feeding = kind === "video" ? setInterval(videoFeed(source), 33) : setInterval(audioFeed(source), 10);
            const track = source.createTrack();
            started.push(() => clearInterval(feeding), () => track.stop());
            return track;
        }),
        watch: track => { // nothing is decoded that nobody wants
            const sink = new (track.kind === "video" ? wrtc.nonstandard.RTCVideoSink : wrtc.nonstandard.RTCAudioSink)(track);
            started.push(() => sink.stop());
        },
        release: () => started.splice(0).forEach(stop => stop()),
    };
}

// The picture that the tests know: black on the left, white on the right, a grey bar that moves down.
function videoFeed(source) {
    const width = 320, height = 240;
    let number = 0;
    return () => {
        const data = new Uint8ClampedArray(width * height * 3 / 2).fill(128);
        const top = number++ * 8 % height;
        for (let row = 0; row < height; row++) {
            const at = row * width;
            if (row < top || row >= top + 8) {
                data.fill(16, at, at + width / 2);
                data.fill(235, at + width / 2, at + width);
            }
        }
        source.onFrame({width, height, data});
    };
}

function audioFeed(source) {
    let at = 0;
    return () => {
        const samples = Int16Array.from({length: 480}, () => 8000 * Math.sin(2 * Math.PI * 440 * at++ / 48000));
        source.onData({samples, sampleRate: 48000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480});
    };
}

function werift() {
    const library = load("werift");
    return {
        version: version("werift"),
        RTCPeerConnection: library.RTCPeerConnection,
        configuration: {iceServers: [], iceUseIpv6: false},
        payload: data => (data instanceof ArrayBuffer ? Buffer.from(data) : data),
    };
}

const PARTNERS = {"node-datachannel": libdatachannel, wrtc: libwebrtc, werift};
const api = PARTNERS[process.argv[2]]();
const peer = new Peer(api);
const say = message => process.stdout.write(`${JSON.stringify(message)}\n`);

async function obey(line) {
    const {id, command, argument} = JSON.parse(line);
    try {
        say({id, result: (await peer[command](argument ?? {})) ?? null});
    } catch (error) {
        say({id, error: String(error.stack ?? error)});
    }
}

process.on("unhandledRejection", error => console.error("unhandled rejection:", error));
readline.createInterface({input: process.stdin}).on("line", obey).on("close", () => process.exit(0));
say({version: api.version});
