// A peer connection that does what it is told, over any implementation of the W3C API. A page loads it as a script,
// Node as a module. Each channel sends back what comes on it. See partner.py for the commands.
"use strict";

const POLL = 5; // milliseconds
const pause = () => new Promise(done => setTimeout(done, POLL));
const limit = value => (value === 65535 ? null : value ?? null); // an old libwebrtc says 65535 for none

class Peer {
    // api: {RTCPeerConnection, configuration, tracks(kinds), addMedia(peer, kinds, mime), watch(track), payload(data)},
    // all but the first optional
    constructor(api) {
        this.api = {configuration: {iceServers: []}, payload: data => data, watch: () => {}, ...api};
    }

    async start({channels = [], media = [], mime = ""}) {
        this.channelsByLabel = new Map();
        this.connection = new this.api.RTCPeerConnection(this.api.configuration);
        this.connection.ondatachannel = event => this.adopt(event.channel);
        this.connection.ontrack = event => this.api.watch(event.track);
        [this.wanted, this.mime] = [media, mime];
        for (const {label, ...options} of channels) {
            await this.open({label, ...options});
        }
    }

    adopt(channel) {
        this.channelsByLabel.set(channel.label, channel);
        channel.binaryType = "arraybuffer";
        const early = []; // Chromium has messages come before `open` now and then, when sending is an error
        const reply = data => channel.send(this.api.payload(data));
        channel.onopen = () => early.splice(0).forEach(reply);
        channel.onmessage = ({data}) => (channel.readyState === "connecting" ? early.push(data) : reply(data));
    }

    open({label, ...options}) {
        this.adopt(this.connection.createDataChannel(label, options));
    }

    shut({label}) {
        this.channelsByLabel.get(label).close();
    }

    channels() {
        return [...this.channelsByLabel.values()].map(channel => ({
            label: channel.label,
            protocol: channel.protocol,
            ordered: channel.ordered,
            maxRetransmits: limit(channel.maxRetransmits),
            maxPacketLifeTime: limit(channel.maxPacketLifeTime),
            id: channel.id,
            state: channel.readyState,
        }));
    }

    async addTracks() {
        const wanted = this.wanted.splice(0);
        if (this.api.addMedia) {
            await this.api.addMedia(this, wanted, this.mime);
            return;
        }
        for (const track of await this.api.tracks(wanted)) {
            this.connection.addTrack(track);
        }
    }

    async described() {
        while (this.connection.iceGatheringState !== "complete") {
            await pause();
        }
        const {type, sdp} = this.connection.localDescription;
        return {type, sdp};
    }

    async offer() {
        if (this.wanted.length) {
            await this.addTracks();
        }
        await this.connection.setLocalDescription(await this.connection.createOffer());
        return this.described();
    }

    async answer(description) {
        await this.connection.setRemoteDescription(description);
        if (this.wanted.length) {
            await this.addTracks();
        }
        await this.connection.setLocalDescription(await this.connection.createAnswer());
        return this.described();
    }

    async accept(description) {
        await this.connection.setRemoteDescription(description);
    }

    state() {
        return this.connection.connectionState;
    }

    async statistics() {
        if (this.api.statistics) {
            return this.api.statistics(this);
        }
        const found = {};
        for (const entry of (await this.connection.getStats()).values()) {
            if (entry.type === "inbound-rtp" || entry.type === "outbound-rtp") {
                found[`${entry.type} ${entry.kind}`] = entry;
            }
        }
        return found;
    }

    async stop() {
        await this.connection.close();
        await this.api.release?.();
    }
}

if (typeof module !== "undefined") {
    module.exports = {Peer};
}
