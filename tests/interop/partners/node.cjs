// A peer in Node: node node.cjs node-datachannel|wrtc|werift, commands as JSON lines on stdin, replies on stdout.
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const {Peer} = require(path.join(__dirname, "peer.js"));

const MODULES = path.join(process.cwd(), "node_modules"); // started where npm installed to

const load = name => require(path.join(MODULES, name));
const version = name => JSON.parse(fs.readFileSync(path.join(MODULES, name, "package.json"))).version;

// Its W3C connection has no media, the native one below has: RTP as it is on the wire, to and from each section.
function libdatachannel() {
    const native = load("node-datachannel");
    const {RTCPeerConnection} = load("node-datachannel/dist/cjs/polyfill/index.cjs");
    const CODECS = {
        "video/VP8": section => section.addVP8Codec(96),
        "video/H264": section => section.addH264Codec(96),
        audio: section => section.addOpusCodec(111),
    };

    class Connection extends RTCPeerConnection {
        constructor(configuration) {
            const peerConnection = new native.PeerConnection("peer", {iceServers: [], disableAutoNegotiation: true});
            super({...configuration, peerConnection});
            this.native = peerConnection;
            this.echoes = [];
            peerConnection.onTrack(track => this.echo(track));
        }

        createOffer() {
            return {type: "offer"};
        }

        createAnswer() {
            return {type: "answer"};
        }

        async setLocalDescription({type}) {
            this.native.setLocalDescription(type);
        }

        addMedia(kind, mime) {
            const section = new native[kind === "video" ? "Video" : "Audio"](kind, "SendRecv");
            CODECS[kind === "video" ? mime : kind](section);
            section.addSSRC(OUR_SSRC[kind], "node-datachannel", "stream", kind);
            this.echo(this.native.addTrack(section));
        }

        echo(track) {
            const echo = new Echo(track.type(), OUR_SSRC[track.type()], packet => track.sendMessageBinary(packet));
            track.onMessage(packet => echo.take(packet));
            this.echoes.push(echo);
        }
    }

    return {
        version: version("node-datachannel"),
        RTCPeerConnection: Connection,
        addMedia: ({connection}, kinds, mime) => {
            if (!connection.echoes.length) { // there is a track for each section that was offered
                kinds.forEach(kind => connection.addMedia(kind, mime));
            }
        },
        statistics: ({connection}) => Object.assign({}, ...connection.echoes.map(echo => echo.statistics())),
    };
}

const OUR_SSRC = {video: 1001, audio: 1002};
const PLI = 206, PLI_WORDS = 0x81; // RFC 4585 section 6.3.1

// Sends RTP back as a stream of its own; requests for key frames go on to who sends us the stream.
class Echo {
    constructor(kind, ssrc, send) {
        Object.assign(this, {kind, ssrc, send, packets: 0, frames: 0, requests: 0});
    }

    take(packet) {
        if (packet[1] >= 192 && packet[1] < 224) { // RFC 5761 section 4
            this.takeControl(packet);
            return;
        }
        const source = packet.readUInt32BE(8);
        this.theirs ??= source;
        if (source !== this.theirs) { // RFC 4588: another numbering
            return;
        }
        this.packets++;
        this.frames += packet[1] >> 7;
        const back = Buffer.from(packet);
        back.writeUInt32BE(this.ssrc, 8);
        this.send(back);
    }

    takeControl(compound) {
        for (let at = 0; at + 4 <= compound.length; at += 4 * (compound.readUInt16BE(at + 2) + 1)) {
            if (compound[at] === PLI_WORDS && compound[at + 1] === PLI && this.theirs !== undefined) {
                const request = Buffer.from([PLI_WORDS, PLI, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
                request.writeUInt32BE(this.ssrc, 4);
                request.writeUInt32BE(this.theirs, 8);
                this.requests++;
                this.send(request);
            }
        }
    }

    statistics() {
        return {
            [`inbound-rtp ${this.kind}`]: {packetsReceived: this.packets, framesReceived: this.frames},
            [`outbound-rtp ${this.kind}`]: {packetsSent: this.packets, pliCount: this.requests},
        };
    }
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

// What comes goes back through the sender of the same transceiver, which gives it an SSRC of its own.
function werift() {
    const library = load("werift");
    const {useFIR, useNACK, usePLI, useREMB, useTWCC, useVP8, useH264, useOPUS} = library;
    const rtcpFeedback = [useFIR(), useNACK(), usePLI(), useREMB(), useTWCC()];
    const h264 = {payloadType: 97, parameters: "packetization-mode=1;profile-level-id=42e01f", rtcpFeedback};
    const received = new Map();

    const sendBack = (track, {sender, receiver}) => {
        const counts = {packetsReceived: 0, framesReceived: 0, pliCount: 0};
        received.set(track.kind, counts);
        track.onReceiveRtp.subscribe(({header}) => {
            counts.packetsReceived++;
            counts.framesReceived += header.marker;
        });
        const passOn = () => {
            counts.pliCount++;
            receiver.sendRtcpPLI(track.ssrc);
        };
        sender.onPictureLossIndication.subscribe(passOn);
        receiver.onRtcp.subscribe(({feedback}) => { // where the PLI's own sender is a stream that comes, it gets here
            if (feedback instanceof library.PictureLossIndication) {
                passOn();
            }
        });
        sender.replaceTrack(track);
    };

    return {
        version: version("werift"),
        RTCPeerConnection: library.RTCPeerConnection,
        configuration: {
            iceServers: [],
            iceUseIpv6: false,
            codecs: {video: [useVP8({payloadType: 96, rtcpFeedback}), useH264(h264)], audio: [useOPUS({payloadType: 111})]},
        },
        payload: data => (data instanceof ArrayBuffer ? Buffer.from(data) : data),
        addMedia: ({connection}, kinds) => {
            if (!connection.getTransceivers().length) {
                kinds.forEach(kind => connection.addTransceiver(kind));
            }
            for (const transceiver of connection.getTransceivers()) { // no event tells of one whose section is bundle-only
                transceiver.setDirection("sendrecv");
                transceiver.receiver.tracks.forEach(track => sendBack(track, transceiver));
                transceiver.onTrack.subscribe(track => sendBack(track, transceiver));
            }
        },
        statistics: () => Object.fromEntries([...received].flatMap(([kind, {pliCount, ...counts}]) => [
            [`inbound-rtp ${kind}`, counts],
            [`outbound-rtp ${kind}`, {pliCount}],
        ])),
        release: () => received.clear(),
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
