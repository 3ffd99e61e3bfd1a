"""The layers."""
import sys as _sys

from . import activation, attention, norm, shape
from .activation import *  # noqa: F401,F403
from .adaptive import AdaptiveLogSoftmaxWithLoss, LinearCrossEntropyLoss  # noqa: F401
from .attention import (MultiheadAttention, Transformer, TransformerDecoder,  # noqa: F401
                        TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer)
from .container import (ModuleDict, ModuleList, ParameterDict, ParameterList,  # noqa: F401
                        Sequential)
from .conv import (Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d,  # noqa: F401
                   ConvTranspose3d)
from .dropout import (AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d,  # noqa: F401
                      FeatureAlphaDropout)
from .lazy import *  # noqa: F401,F403
from .linear import Bilinear, Identity, Linear  # noqa: F401
from .loss import (BCELoss, BCEWithLogitsLoss, CosineEmbeddingLoss, CrossEntropyLoss,  # noqa: F401
                   CTCLoss, GaussianNLLLoss, HingeEmbeddingLoss, HuberLoss, KLDivLoss, L1Loss,
                   MarginRankingLoss, MSELoss, MultiLabelMarginLoss, MultiLabelSoftMarginLoss,
                   MultiMarginLoss, NLLLoss, PoissonNLLLoss, SmoothL1Loss, SoftMarginLoss,
                   TripletMarginLoss, TripletMarginWithDistanceLoss)
from .module import Module  # noqa: F401
from .norm import (BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm1d,  # noqa: F401
                   InstanceNorm2d, InstanceNorm3d, LayerNorm, LocalResponseNorm, RMSNorm,
                   SyncBatchNorm)
from .padding import *  # noqa: F401,F403
from .pooling import *  # noqa: F401,F403
from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNBase, RNNCell, RNNCellBase  # noqa: F401
from .shape import (ChannelShuffle, CosineSimilarity, Flatten, Fold, PairwiseDistance,  # noqa: F401
                    PixelShuffle, PixelUnshuffle, Unflatten, Unfold, Upsample,
                    UpsamplingBilinear2d, UpsamplingNearest2d)
from .sparse import Embedding, EmbeddingBag  # noqa: F401

# where PyTorch keeps them
activation.MultiheadAttention = MultiheadAttention
for _of, _names in {attention: "transformer", norm: "batchnorm instancenorm normalization",
                    shape: "channelshuffle distance flatten fold pixelshuffle upsampling"}.items():
    for _name in _names.split():
        _sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _of
__all__ = [_n for _n, _v in globals().items() if isinstance(_v, type) and issubclass(_v, Module)]
