"""The HTTP and WebSocket routes of ComfyUI 0.3.64, each also under /api."""
