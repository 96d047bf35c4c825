"""The reference application: a (simulated) RC car with a camera, driven from a browser over this stack.

`rccar` or `python -m stack.car` starts it. Needs the extra `webrtc-stack[car]`.

| module | what |
| --- | --- |
| `command`, `failsafe` | one control datagram; the machine that decides which of them may move the car |
| `track`, `physics` | where the road is; how the car moves on it |
| `scenery`, `camera`, `dashboard` | what the driver sees, and the strip of the picture that a program can read |
| `video`, `simulation` | rendering and encoding off the event loop; the car's two clocks |
| `messages`, `driver`, `server` | signaling, one driver's connection, HTTP and WebSocket |
| `console`, `__main__` | what people and scripts see; the command line |
"""
