"""What an exported folder takes along: running, reading, drawing and grouping with numpy, scipy, OpenCV
and onnxruntime.

Nothing in here imports torch, and only `supernet.errors` and `supernet.pose` are imported from the
toolkit, so that `subnets.bundle` can copy these modules into a folder that runs without it.
"""
