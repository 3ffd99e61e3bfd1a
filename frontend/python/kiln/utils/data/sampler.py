"""Samplers: the order in which a dataset is read."""
import itertools

from ... import _functions as K


class Sampler:
    """Gives item numbers; the base."""

    def __init__(self, data_source=None):
        pass

    def __iter__(self):
        raise NotImplementedError


class SequentialSampler(Sampler):
    """0, 1, 2, .."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new random order each time; with replacement, draws."""

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator

    @property
    def num_samples(self):
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        n = len(self.data_source)
        if self.replacement:
            yield from K.randint(n, (self.num_samples,), generator=self.generator).tolist()
            return
        left = self.num_samples
        while left > 0:
            yield from K.randperm(n, generator=self.generator).tolist()[:left]
            left -= n

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Some numbers, in random order."""

    def __init__(self, indices, generator=None):
        self.indices, self.generator = indices, generator

    def __iter__(self):
        for i in K.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Draws in proportion to weights."""

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        self.weights, self.num_samples = [float(w) for w in weights], num_samples
        self.replacement, self.generator = replacement, generator
        if not replacement and num_samples > sum(w > 0 for w in self.weights):
            raise ValueError("more samples than items of positive weight")

    def __iter__(self):
        if self.replacement:
            sums = list(itertools.accumulate(self.weights))
            import bisect
            draws = K.rand(self.num_samples, generator=self.generator).tolist()
            return iter([min(bisect.bisect_right(sums, u * sums[-1]), len(sums) - 1)
                         for u in draws])
        # the largest of u^(1/w): Efraimidis and Spirakis, 2006
        keys = [u ** (1 / w) if w > 0 else -1.0 for u, w in
                zip(K.rand(len(self.weights), generator=self.generator).tolist(), self.weights)]
        return iter(sorted(range(len(keys)), key=lambda i: -keys[i])[:self.num_samples])

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of batch_size numbers of another sampler."""

    def __init__(self, sampler, batch_size, drop_last):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got "
                             f"batch_size={batch_size}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self):
        it = iter(self.sampler)
        while batch := list(itertools.islice(it, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self):
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
