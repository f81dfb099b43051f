"""Rank losses and the losses trained next to them, as PML losses."""

from pml_suprank.losses.ap_loss import SmoothAPLoss, SupAPLoss
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.cross_batch_memory import CrossBatchMemory
from pml_suprank.losses.csl_loss import CSLLoss
from pml_suprank.losses.dataset_memory import DatasetMemory
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.hap_loss import SmoothHAPLoss, SupHAPLoss
from pml_suprank.losses.happier_loss import HAPPIERLoss
from pml_suprank.losses.ndcg_loss import SmoothNDCGLoss, SupNDCGLoss
from pml_suprank.losses.proxy_cluster_loss import ProxyClusterLoss
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.losses.recall_loss import SmoothRecallLoss, SupRecallLoss
from pml_suprank.losses.roadmap_loss import ROADMAPLoss
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss

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
