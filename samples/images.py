"""images.py: a batch of byte images made ready for a network: numbers from 0 to 1, the channels
first, each channel with mean 0 and deviation 1. The bytes stay as they were: they may be
another's memory, and are here.

    PYTHONPATH=build/python python3 samples/images.py [images]"""
import sys

import kiln as torch

count, height, width = int(sys.argv[1]) if len(sys.argv) > 1 else 16, 32, 32
pixels = bytearray(range(256)) * (count * height * width * 3 // 256)
before = bytes(pixels)
batch = torch.frombuffer(pixels, dtype=torch.uint8).view(count, height, width, 3)

images = batch.float().div_(255)  # one kernel: a cast, a division
if not 0 <= images.min().item() <= images.max().item() <= 1:
    raise SystemExit("numbers from 0 to 1 are expected")

images = images.permute(0, 3, 1, 2)
mean = images.mean(dim=(0, 2, 3), keepdim=True)
std = images.std(dim=(0, 2, 3), keepdim=True)
normal = ((images - mean) / std).contiguous()

print("batch", normal.shape, normal.dtype)
print("mean ", mean.flatten())
print("after", normal.mean(dim=(0, 2, 3)).abs().max() < 1e-5, normal.std(dim=(0, 2, 3)))
if bytes(pixels) != before:
    raise SystemExit("the bytes were changed")
if not torch.allclose(normal.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4):
    raise SystemExit("each channel's deviation is to be 1")
