// One peer of a measured pair in Node, on libdatachannel: the commands and answers of tests/bench/peer.py.
//
//     node peer.cjs <folder with node_modules>
"use strict";

const path = require("path");
const readline = require("readline");

const LIBRARY = path.join(process.argv[2], "node_modules/node-datachannel/dist/cjs/polyfill/index.cjs");
const {RTCPeerConnection} = require(LIBRARY);

const HIGH_WATER = 1 << 20; // bytes that the sender of a bulk transfer keeps queued at most, as in peer.py
const LOW_WATER = HIGH_WATER / 2;
const POLL = 20; // ms: libdatachannel may call back for the low mark before one waits for it
const PING_PATIENCE = 1000; // ms until a ping on the unreliable channel counts as lost

const say = (kind, values) => process.stdout.write(JSON.stringify({kind, ...values}) + "\n");
const now = () => Number(process.hrtime.bigint()) / 1e9; // the monotonic clock that Python reads too
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };
const sleep = ms => new Promise(done => setTimeout(done, ms));
const percentile = (ordered, percent) => ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * percent / 100))];

let pc, role, created, expected, channels, opened, low, receipt, pong, count;

async function gathered() {
    while (pc.iceGatheringState !== "complete") await sleep(1);
    say("description", {sdp: pc.localDescription.sdp, type: pc.localDescription.type});
}

function adopt(channel) {
    const label = channel.label;
    channels[label] = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW_WATER;
    channel.onbufferedamountlow = () => low && low();
    channel.onmessage = event => (label === "bulk" ? onBulk : onPing)(event.data);
    const onOpen = () => {
        opened.add(label);
        if (opened.size === expected && !opened.told) {
            opened.told = true;
            say("opened", {created, at: now()});
        }
    };
    if (channel.readyState === "open") onOpen();
    else channel.onopen = onOpen;
}

function onBulk(message) {
    if (typeof message !== "string") count.bytes += message.byteLength;
    else if (message === "begin") count = {bytes: 0, begun: now(), cpu: cpu()};
    else if (message === "end") {
        say("received", {bytes: count.bytes, seconds: now() - count.begun, cpu: cpu() - count.cpu});
        channels.bulk.send("receipt");
    } else if (message === "receipt") receipt();
}

function onPing(message) {
    if (role === "answer") channels.ping.send(Buffer.from(message));
    else if (pong) pong(Buffer.from(message));
}

const commands = {
    async connect(command) {
        role = command.role;
        expected = command.channels.length;
        channels = {};
        opened = new Set();
        created = now();
        pc = new RTCPeerConnection({iceServers: []});
        pc.ondatachannel = event => adopt(event.channel);
        if (role !== "offer") return;
        for (const {label, ...options} of command.channels) adopt(pc.createDataChannel(label, options));
        await pc.setLocalDescription(await pc.createOffer());
        await gathered();
    },
    async description({sdp, kind}) {
        await pc.setRemoteDescription({sdp, type: kind});
        if (kind !== "offer") return;
        await pc.setLocalDescription(await pc.createAnswer());
        await gathered();
    },
    async bulk({size, seconds}) {
        const channel = channels.bulk, payload = Buffer.alloc(size), before = cpu();
        const received = new Promise(done => { receipt = done; });
        let sent = 0, turns = 0;
        channel.send("begin");
        for (const end = now() + seconds; now() < end;) {
            channel.send(payload);
            sent += size;
            while (channel.bufferedAmount > HIGH_WATER) await Promise.race([new Promise(done => { low = done; }), sleep(POLL)]);
            if (++turns % 16 === 0) await new Promise(setImmediate);
        }
        channel.send("end");
        await received;
        say("sent", {bytes: sent, cpu: cpu() - before});
    },
    async ping({count: wanted, size}) {
        const rtts = [];
        let number = 0, lost = 0, at, timer;
        await new Promise(done => {
            const send = () => {
                clearTimeout(timer);
                if (rtts.length + lost >= wanted) return done();
                const data = Buffer.alloc(size);
                data.writeUInt32BE(++number);
                timer = setTimeout(() => { lost++; send(); }, PING_PATIENCE);
                at = process.hrtime.bigint();
                channels.ping.send(data);
            };
            pong = data => {
                const arrived = process.hrtime.bigint();
                if (data.readUInt32BE() !== number) return; // a late answer to one that was given up
                rtts.push(Number(arrived - at) / 1e3);
                send();
            };
            send();
        });
        pong = null;
        rtts.sort((a, b) => a - b);
        say("rtts", {p50: percentile(rtts, 50), p99: percentile(rtts, 99), lost});
    },
    async disconnect() {
        await pc.close();
        say("disconnected", {});
    },
    exit() { process.exit(0); },
};

let last = Promise.resolve(); // one command after the other, as in peer.py
readline.createInterface({input: process.stdin}).on("line", line => {
    const {do: what, ...command} = JSON.parse(line);
    if (what === "exit") process.exit(0);
    last = last.then(() => commands[what](command)).catch(error => say("error", {error: String(error.stack || error)}));
}).on("close", () => process.exit(0));
process.on("unhandledRejection", error => say("error", {error: String(error && error.stack || error)}));
say("ready", {});
