"""One ComfyUI server, simulated: its HTTP and WebSocket API, its image nodes, and model nodes that only draw.

It stands in for tests, demos and benchmarks. It is never a proof of a GPU: docs/simulator.md has the differences.
"""
