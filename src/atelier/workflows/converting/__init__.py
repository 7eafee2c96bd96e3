"""What the editor keeps becomes what a server runs: the same graph that the editor itself would send.

The law is `app.graphToPrompt()` of comfyui-frontend-package 1.58: docs/converter.md says how it is compared.
"""
