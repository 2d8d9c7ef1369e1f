"""What an exported folder takes along: running, reading, drawing and grouping with numpy, scipy, OpenCV
and onnxruntime.

Nothing in here imports torch, nor what it imports of the toolkit (errors, pose, heads, reading of files), so
that `subnets.export.bundle` can copy these modules into a folder that runs without it.
"""
