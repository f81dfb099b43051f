"""Rank losses and the losses trained next to them, as PML losses."""

from .ap_loss import SmoothAPLoss, SupAPLoss
from .calibration_loss import CalibrationLoss
from .cross_batch_memory import CrossBatchMemory
from .csl_loss import CSLLoss
from .dataset_memory import DatasetMemory
from .decomposable_rank_loss import DecomposableRankLoss
from .hap_loss import SmoothHAPLoss, SupHAPLoss
from .happier_loss import HAPPIERLoss
from .ndcg_loss import SmoothNDCGLoss, SupNDCGLoss
from .proxy_cluster_loss import ProxyClusterLoss
from .rank_loss import RankLoss
from .recall_loss import SmoothRecallLoss, SupRecallLoss
from .roadmap_loss import ROADMAPLoss
from .surrogates import SmoothRankLoss, SupRankLoss

__all__ = [
    "CSLLoss",
    "CalibrationLoss",
    "CrossBatchMemory",
    "DatasetMemory",
    "DecomposableRankLoss",
    "HAPPIERLoss",
    "ProxyClusterLoss",
    "ROADMAPLoss",
    "RankLoss",
    "SmoothAPLoss",
    "SmoothHAPLoss",
    "SmoothNDCGLoss",
    "SmoothRankLoss",
    "SmoothRecallLoss",
    "SupAPLoss",
    "SupHAPLoss",
    "SupNDCGLoss",
    "SupRankLoss",
    "SupRecallLoss",
]
