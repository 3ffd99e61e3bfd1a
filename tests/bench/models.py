"""Models that people compile, small enough for a benchmark, written over a module `torch` that is
PyTorch or kiln: make(torch, name) gives (module, inputs)."""


def resnet18(torch):
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, cin, cout, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(cout)
            self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(cout)
            self.down = None
            if stride != 1 or cin != cout:
                self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False),
                                          nn.BatchNorm2d(cout))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return F.relu(y + (x if self.down is None else self.down(x)))

    blocks, cin = [], 64
    for cout, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(cin, cout, stride), Block(cout, cout, 1)]
        cin = cout
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                         nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(512, 1000))


# kernel, expanded, out, squeeze and excite, hardswish, stride: the paper's table
MOBILENET = [(3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
             (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
             (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
             (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1)]


def mobilenet(torch):
    nn = torch.nn

    def conv(cin, cout, kernel, stride=1, groups=1, act=None):
        parts = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
                 nn.BatchNorm2d(cout)]
        return nn.Sequential(*parts, *([act()] if act else []))

    class Squeeze(nn.Module):
        def __init__(self, c):
            super().__init__()
            mid = (c // 4 + 7) // 8 * 8
            self.f = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, mid, 1), nn.ReLU(),
                                   nn.Conv2d(mid, c, 1), nn.Hardsigmoid())

        def forward(self, x):
            return x * self.f(x)

    class Block(nn.Module):
        def __init__(self, cin, kernel, wide, cout, se, hard, stride):
            super().__init__()
            act = nn.Hardswish if hard else nn.ReLU
            parts = [conv(cin, wide, 1, act=act)] if wide != cin else []
            parts.append(conv(wide, wide, kernel, stride, wide, act))
            parts += [Squeeze(wide)] if se else []
            parts.append(conv(wide, cout, 1))
            self.f = nn.Sequential(*parts)
            self.same = stride == 1 and cin == cout

        def forward(self, x):
            return x + self.f(x) if self.same else self.f(x)

    blocks, cin = [], 16
    for kernel, wide, cout, se, hard, stride in MOBILENET:
        blocks.append(Block(cin, kernel, wide, cout, se, hard, stride))
        cin = cout
    return nn.Sequential(conv(3, 16, 3, 2, act=nn.Hardswish), *blocks,
                         conv(96, 576, 1, act=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(576, 1024), nn.Hardswish(), nn.Linear(1024, 1000))


def transformer(torch, width, heads, layers, causal, embed):
    """Pre-norm blocks with attention by scaled_dot_product_attention."""
    nn, F = torch.nn, torch.nn.functional

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            b, n, _ = x.shape
            q, k, v = (t.reshape(b, n, heads, width // heads).transpose(1, 2)
                       for t in self.qkv(self.norm1(x)).chunk(3, dim=-1))
            a = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            x = x + self.out(a.transpose(1, 2).reshape(b, n, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = embed
            self.layers = nn.ModuleList([Layer() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)

        def forward(self, x):
            x = self.embed(x)
            for layer in self.layers:
                x = layer(x)
            return self.norm(x)

    return Model()


def vit(torch):
    nn = torch.nn

    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 192, 16, 16)
            self.cls = nn.Parameter(torch.zeros(1, 1, 192))
            self.pos = nn.Parameter(torch.zeros(1, 197, 192))

        def forward(self, x):
            x = self.conv(x).flatten(2).transpose(1, 2)
            return torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = transformer(torch, 192, 3, 12, False, Patches())
            self.head = nn.Linear(192, 1000)

        def forward(self, x):
            return self.head(self.body(x)[:, 0])

    return Head()


def language(torch, causal):
    nn = torch.nn
    width = 768

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok, self.pos = nn.Embedding(8192, width), nn.Embedding(128, width)

        def forward(self, x):
            return self.tok(x) + self.pos(torch.arange(x.shape[1]))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = transformer(torch, width, 12, 4, causal, Tokens())
            self.head = nn.Linear(width, 8192 if causal else 2, bias=causal is False)

        def forward(self, x):
            h = self.body(x)
            return self.head(h if causal else torch.tanh(h[:, 0]))

    return Model()


def lstm(torch):
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(64, 128, 2, batch_first=True)
            self.head = nn.Linear(128, 10)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    return Model()


def empty(torch):
    """Next to no work: what is left is the call."""
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 1

    return Model()


def image(torch):
    return torch.randn(1, 3, 224, 224)


def tokens(torch):
    return torch.randint(0, 8192, (1, 128))


MODELS = {"resnet18": (resnet18, image), "mobilenet": (mobilenet, image), "vit": (vit, image),
          "gpt": (lambda torch: language(torch, True), tokens),
          "bert": (lambda torch: language(torch, False), tokens),
          "lstm": (lstm, lambda torch: torch.randn(8, 32, 64)),
          "empty": (empty, lambda torch: torch.randn(16))}


def make(torch, name):
    torch.manual_seed(0)
    module, inputs = MODELS[name]
    return module(torch), inputs(torch)
