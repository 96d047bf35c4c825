// What the tests of media over bad links need of a page with a peer of peer.js: pictures that are worth their bits,
// the moment at which each received picture was shown, and all statistics.
"use strict";

const SIZE = [640, 360], RATE = 30, PATCHES = 8;

const moving = (() => { // pictures as busy as a camera in the dark makes them
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = SIZE;
    const context = canvas.getContext("2d"), patches = [];
    for (let count = 0; count < PATCHES; count++) {
        const patch = context.createImageData(320, 180);
        for (let at = 0; at < patch.data.length; at += 4) {
            patch.data.fill(104 + Math.random() * 48, at, at + 3);
            patch.data[at + 3] = 255;
        }
        patches.push(patch);
    }
    let number = 0;
    const draw = () => {
        context.fillStyle = `hsl(${number % 360}, 60%, 50%)`;
        context.fillRect(0, 0, ...SIZE);
        context.putImageData(patches[number % PATCHES], (number * 8) % 320, (number * 4) % 180);
        number++;
    };
    let stream;
    return () => {
        if (!stream) {
            draw();
            stream = canvas.captureStream(RATE);
            setInterval(draw, 1000 / RATE);
        }
        return stream.getVideoTracks()[0].clone();
    };
})();

let sound;
peer.api.tracks = async kinds => {
    if (kinds.includes("audio")) {
        sound ??= await navigator.mediaDevices.getUserMedia({audio: true});
    }
    return kinds.map(kind => (kind === "video" ? moving() : sound.getAudioTracks()[0].clone()));
};

peer.shown = []; // [milliseconds, RTP timestamp] of each picture
peer.api.watch = track => {
    const element = document.createElement(track.kind);
    element.muted = track.kind === "video";
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
    const note = (now, picture) => {
        peer.shown.push([performance.now(), picture.rtpTimestamp ?? null]);
        element.requestVideoFrameCallback(note);
    };
    element.requestVideoFrameCallback?.(note);
};

peer.takeShown = () => peer.shown.splice(0);

// A track of pictures in which little moves, sent in several sizes.
peer.sendSeveral = ({width, height, encodings}) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    let number = 0;
    const draw = () => {
        context.fillStyle = "#456";
        context.fillRect(0, 0, width, height);
        context.fillStyle = `hsl(${number % 360}, 60%, 50%)`;
        context.fillRect((number * 8) % width, (number * 4) % height, width / 4, height / 4);
        number++;
    };
    setInterval(draw, 1000 / RATE);
    const [track] = canvas.captureStream(RATE).getVideoTracks();
    peer.connection.addTransceiver(track, {direction: "sendonly", sendEncodings: encodings});
};

peer.activate = async ({rid, active}) => {
    const [sender] = peer.connection.getSenders();
    const parameters = sender.getParameters();
    parameters.encodings.find(encoding => encoding.rid === rid).active = active;
    await sender.setParameters(parameters);
};

peer.report = async () => Object.fromEntries([...(await peer.connection.getStats()).values()].map(entry => [entry.id, entry]));

peer.hush = async () => {
    await Promise.all(peer.connection.getSenders().map(sender => sender.replaceTrack(null)));
};

peer.limit = async ({bitrate}) => {
    for (const sender of peer.connection.getSenders().filter(sender => sender.track?.kind === "video")) {
        const parameters = sender.getParameters();
        parameters.encodings[0].maxBitrate = bitrate;
        await sender.setParameters(parameters);
    }
};
