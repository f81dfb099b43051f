"""Rank losses and the losses trained next to them, as PML losses."""

from typing import Any

from pml_suprank.losses.ap_loss import SmoothAPLoss, SupAPLoss
from pml_suprank.losses.blackbox_ap_loss import BlackBoxAPLoss
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.cross_batch_memory import CrossBatchMemory
from pml_suprank.losses.csl_loss import CSLLoss
from pml_suprank.losses.dataset_memory import DatasetMemory
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.distributed_loss_wrapper import DistributedLossWrapper
from pml_suprank.losses.hap_loss import SmoothHAPLoss, SupHAPLoss
from pml_suprank.losses.happier_loss import HAPPIERLoss
from pml_suprank.losses.hierarchical_triplet_margin_loss import HierarchicalTripletMarginLoss
from pml_suprank.losses.hmce_loss import HMCELoss
from pml_suprank.losses.ndcg_loss import SmoothNDCGLoss, SupNDCGLoss
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.proxy_cluster_loss import ProxyClusterLoss
from pml_suprank.losses.rank_loss import QueryLoss, RankLoss
from pml_suprank.losses.recall_loss import SmoothRecallLoss, SupRecallLoss
from pml_suprank.losses.roadmap_loss import ROADMAPLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.soft_bin_ap_loss import SoftBinAPLoss
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.missing import missing_name

__all__ = [
    "BlackBoxAPLoss",
    "CSLLoss",
    "CalibrationLoss",
    "CrossBatchMemory",
    "DatasetMemory",
    "DecomposableRankLoss",
    "DistributedLossWrapper",
    "HAPPIERLoss",
    "HMCELoss",
    "HierarchicalTripletMarginLoss",
    "Objective",
    "ProxyClusterLoss",
    "QueryLoss",
    "ROADMAPLoss",
    "RankLoss",
    "SimilarityMixup",
    "SmoothAPLoss",
    "SmoothHAPLoss",
    "SmoothNDCGLoss",
    "SmoothRankLoss",
    "SmoothRecallLoss",
    "SoftBinAPLoss",
    "SupAPLoss",
    "SupHAPLoss",
    "SupNDCGLoss",
    "SupRankLoss",
    "SupRecallLoss",
]


def __getattr__(name: str) -> Any:
    """Say where a class of PML's is."""
    raise missing_name(__name__, name)
