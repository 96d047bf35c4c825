"""WebRTC in pure Python, one layer per RFC.

`from stack import RTCPeerConnection` gives the asyncio API with W3C names; `import stack.sctp`, `stack.dtls`,
`stack.ice` ... give each protocol for itself, without I/O.
"""

__version__ = "0.1.0"
