"""The native ComfyUI API and socket, per account, over the whole fleet: one very large ComfyUI."""
