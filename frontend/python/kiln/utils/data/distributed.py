"""The part of a dataset that one process of several reads."""
import math

from ... import _functions as K
from ..._kiln import Generator
from .sampler import Sampler


class DistributedSampler(Sampler):
    """Every num_replicas-th item from rank on, of an order that all processes draw alike; filled
    up from its beginning, or with drop_last cut, to as many for each."""

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0,
                 drop_last=False):
        if num_replicas is None or rank is None:
            raise RuntimeError("Requires distributed package to be available")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval "
                             f"[0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        part = len(dataset) / num_replicas
        self.num_samples = math.floor(part) if drop_last else math.ceil(part)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self):
        n = len(self.dataset)
        order = list(range(n))
        if self.shuffle:
            g = Generator()
            g.manual_seed(self.seed + self.epoch)
            order = K.randperm(n, generator=g).tolist()
        while order and len(order) < self.total_size:
            order += order[:self.total_size - len(order)]
        return iter(order[self.rank:self.total_size:self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """Another order for another epoch."""
        self.epoch = epoch
