"""python -m kiln.amp: what autocast does with each function, on the cpu and on cuda."""
from . import op_lists

for name, (cpu, cuda) in op_lists().items():
    print(f"{name:34} cpu {cpu:8} cuda {cuda}")
