// A peer of Pion: commands as JSON lines on stdin, replies on stdout, see partner.py. Each channel sends back what
// comes on it, and so does each track: Pion has no encoders.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"
)

const patience = 10 * time.Second

var version string // of Pion, set by the linker

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

type channelOptions struct {
	Label             string  `json:"label"`
	Protocol          *string `json:"protocol"`
	Ordered           *bool   `json:"ordered"`
	MaxRetransmits    *uint16 `json:"maxRetransmits"`
	MaxPacketLifeTime *uint16 `json:"maxPacketLifeTime"`
	Negotiated        *bool   `json:"negotiated"`
	ID                *uint16 `json:"id"`
}

type argument struct {
	channelOptions
	description
	Channels []channelOptions `json:"channels"`
	Media    []string         `json:"media"`
	Mime     string           `json:"mime"`
}

type request struct {
	ID       int      `json:"id"`
	Command  string   `json:"command"`
	Argument argument `json:"argument"`
}

type traffic struct {
	Packets  uint32 `json:"packetsReceived"`
	Frames   uint32 `json:"framesReceived"`
	Requests uint32 `json:"pliCount"`
}

type peer struct {
	connection *webrtc.PeerConnection
	lock       sync.Mutex
	channels   map[string]*webrtc.DataChannel
	back       map[string]*webrtc.TrackLocalStaticRTP
	received   map[string]*traffic
	sent       map[string]*traffic
}

func (p *peer) start(a argument) (err error) {
	p.channels = map[string]*webrtc.DataChannel{}
	p.back = map[string]*webrtc.TrackLocalStaticRTP{}
	p.received, p.sent = map[string]*traffic{}, map[string]*traffic{}
	if p.connection, err = webrtc.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return err
	}
	p.connection.OnDataChannel(p.adopt)
	p.connection.OnTrack(p.sendBack)
	for _, kind := range a.Media {
		if err = p.addTrack(kind, a.Mime); err != nil {
			return err
		}
	}
	for _, options := range a.Channels {
		if err = p.open(options); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) adopt(channel *webrtc.DataChannel) {
	p.lock.Lock()
	p.channels[channel.Label()] = channel
	p.lock.Unlock()
	channel.OnMessage(func(message webrtc.DataChannelMessage) {
		var err error
		if message.IsString {
			err = channel.SendText(string(message.Data))
		} else {
			err = channel.Send(message.Data)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot send back:", err)
		}
	})
}

func (p *peer) open(o channelOptions) error {
	channel, err := p.connection.CreateDataChannel(o.Label, &webrtc.DataChannelInit{
		Ordered: o.Ordered, MaxPacketLifeTime: o.MaxPacketLifeTime, MaxRetransmits: o.MaxRetransmits,
		Protocol: o.Protocol, Negotiated: o.Negotiated, ID: o.ID,
	})
	if err == nil {
		p.adopt(channel)
	}
	return err
}

func (p *peer) listChannels() []map[string]any {
	p.lock.Lock()
	defer p.lock.Unlock()
	all := []map[string]any{}
	for _, channel := range p.channels {
		all = append(all, map[string]any{
			"label": channel.Label(), "protocol": channel.Protocol(), "ordered": channel.Ordered(), "id": channel.ID(),
			"maxRetransmits": channel.MaxRetransmits(), "maxPacketLifeTime": channel.MaxPacketLifeTime(),
			"state": channel.ReadyState().String(),
		})
	}
	return all
}

func (p *peer) addTrack(kind, mime string) error {
	capability := webrtc.RTPCodecCapability{MimeType: mime}
	if kind == "audio" {
		capability = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, kind, "pion")
	if err != nil {
		return err
	}
	sender, err := p.connection.AddTrack(track)
	if err != nil {
		return err
	}
	p.back[kind], p.sent[kind], p.received[kind] = track, &traffic{}, &traffic{}
	go p.readFeedback(sender, p.sent[kind])
	return nil
}

// A key frame that the peer wants of us is one that we want of the peer.
func (p *peer) readFeedback(sender *webrtc.RTPSender, counted *traffic) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				atomic.AddUint32(&counted.Requests, 1)
				p.requestKeyframe()
			}
		}
	}
}

func (p *peer) requestKeyframe() {
	for _, receiver := range p.connection.GetReceivers() {
		if track := receiver.Track(); track != nil && track.Kind() == webrtc.RTPCodecTypeVideo {
			_ = p.connection.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
		}
	}
}

func (p *peer) sendBack(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
	kind := track.Kind().String()
	if kind == "video" {
		p.requestKeyframe()
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		atomic.AddUint32(&p.received[kind].Packets, 1)
		if packet.Marker {
			atomic.AddUint32(&p.received[kind].Frames, 1)
		}
		packet.Extension, packet.Extensions = false, nil // their ids are of this session
		_ = p.back[kind].WriteRTP(packet)
	}
}

func (p *peer) statistics() map[string]any {
	found := map[string]any{}
	for kind, counted := range p.received {
		found["inbound-rtp "+kind] = traffic{
			Packets: atomic.LoadUint32(&counted.Packets), Frames: atomic.LoadUint32(&counted.Frames),
		}
	}
	for kind, counted := range p.sent {
		found["outbound-rtp "+kind] = traffic{Requests: atomic.LoadUint32(&counted.Requests)}
	}
	return found
}

func (p *peer) describe(create func() (webrtc.SessionDescription, error)) (any, error) {
	made, err := create()
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(p.connection)
	if err = p.connection.SetLocalDescription(made); err != nil {
		return nil, err
	}
	select {
	case <-gathered:
	case <-time.After(patience):
		return nil, errors.New("gathering does not end")
	}
	local := p.connection.LocalDescription()
	return description{local.Type.String(), local.SDP}, nil
}

func (p *peer) accept(d description) error {
	kind := webrtc.NewSDPType(d.Type)
	return p.connection.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: d.SDP})
}

func (p *peer) obey(command string, a argument) (any, error) {
	switch command {
	case "start":
		return nil, p.start(a)
	case "offer":
		return p.describe(func() (webrtc.SessionDescription, error) { return p.connection.CreateOffer(nil) })
	case "answer":
		if err := p.accept(a.description); err != nil {
			return nil, err
		}
		return p.describe(func() (webrtc.SessionDescription, error) { return p.connection.CreateAnswer(nil) })
	case "accept":
		return nil, p.accept(a.description)
	case "open":
		return nil, p.open(a.channelOptions)
	case "shut":
		return nil, p.channels[a.Label].Close()
	case "channels":
		return p.listChannels(), nil
	case "state":
		return p.connection.ConnectionState().String(), nil
	case "statistics":
		return p.statistics(), nil
	case "stop":
		_ = p.connection.Close() // an error, where the other side was first
		return nil, nil
	}
	return nil, fmt.Errorf("no such command: %s", command)
}

func main() {
	p, lines, replies := &peer{}, bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 1<<24)
	replies.Encode(map[string]string{"version": version})
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		reply := map[string]any{"id": r.ID}
		result, err := p.obey(r.Command, r.Argument)
		if err != nil {
			reply["error"] = err.Error()
		} else {
			reply["result"] = result
		}
		replies.Encode(reply)
	}
}
