"""Comfy API v2: what comfy-sdk and @comfyorg/sdk speak, under /api/v2."""
