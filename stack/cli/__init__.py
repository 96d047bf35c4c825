"""The command `webrtc`: tools for the connectivity of this stack. Needs the extra `cli`."""
