"""Atelier: the production service in front of a fleet of ComfyUI servers."""
