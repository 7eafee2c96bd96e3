"""Pages for people: sign-in, and the official editor of ComfyUI, served as it is."""
