"""Jobs of the articles and papers as data: what was trained, on which cards, in which layout.

What a source does not state, such as the network of a cluster, is assumed, and says so.
"""

from dataclasses import dataclass

from minillm.distributed.hardware import A100_40, A100_80, A800_80, Cluster
from minillm.distributed.layout import Layout
from minillm.distributed.plan import Job, Plan
from minillm.model import DecoderConfig, presets
from minillm.model.attention import AttentionConfig
from minillm.model.feedforward import FeedForwardConfig
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig

ASSUMED = "assumed: 200 Gbit/s a card"


@dataclass(frozen=True)
class Published:
    """A run as it was reported.

    Attributes:
        job, plan: what and how.
        tflops: 1e12 FLOP/s a card, as reported; None if it is not.
        counts_recomputation: whether those include recomputed FLOPs (HFU) or not (MFU).
        source: where it stands.
        tokens_per_second: of a card, as reported; None if it is not.
        stated: whether the source says what was recomputed, and what its figure counts. If not,
            plan and counts_recomputation are assumed, and utilisation.readings tries all.
    """

    job: Job
    plan: Plan
    tflops: float | None
    counts_recomputation: bool
    source: str
    tokens_per_second: float | None = None
    stated: bool = True


def opt(d_model: int, n_layers: int, n_heads: int) -> DecoderConfig:
    """An OPT decoder. Zhang et al. 2022, arXiv:2205.01068, table 1; vocabulary 50 272."""
    return DecoderConfig(
        vocab_size=50272,
        d_model=d_model,
        n_layers=n_layers,
        context=2048,
        attention=AttentionConfig(n_heads=n_heads, bias=True),
        feedforward=FeedForwardConfig("relu", 4 * d_model, bias=True),
        norm=NormConfig("layernorm", 1e-5),
        position=PositionConfig("learned"),
    )


def opt_30b() -> DecoderConfig:
    """OPT-30B: 48 layers."""
    return opt(7168, 48, 56)


def opt_66b() -> DecoderConfig:
    """OPT-66B: 64 layers."""
    return opt(9216, 64, 72)


def glm_130b() -> DecoderConfig:
    """GLM-130B: 70 layers. Zeng et al. 2022, arXiv:2210.02414, section 2 and appendix B.

    Its mask and its objective are GLM's; the shape is that of a decoder with a GeGLU layer.
    """
    return DecoderConfig(
        vocab_size=150528,
        d_model=12288,
        n_layers=70,
        context=2048,
        attention=AttentionConfig(n_heads=96, bias=True),
        feedforward=FeedForwardConfig("geglu", 32768, bias=True),
        norm=NormConfig("layernorm", 1e-5),
        position=PositionConfig("rope"),
    )


def three_machines() -> Cluster:
    """The article's 24 A800 in 3 machines; it does not state its network."""
    return Cluster(A800_80, 3, 8, 25e9, ASSUMED)


def jean_zay(n_machines: int = 48) -> Cluster:
    """The A100 part of Jean Zay: 4 Omni-Path links of 100 Gbit/s for the 8 cards of a machine."""
    return Cluster(A100_80, n_machines, 8, 4 * 100e9 / 8 / 8, "BigScience 2022, tr11 README")


def bloom(batch_size: int = 2048, micro_batch: int = 2) -> Published:
    """BLOOM on 384 cards: the batch grew while it trained."""
    job = Job("BLOOM-176B", presets.bloom_176b(), jean_zay(), batch_size, 2048)
    plan = Plan(Layout(8, 12, 4), micro_batch, zero=1, recompute="full")
    source = "BigScience 2022, arXiv:2211.05100, section 3.4; tr11-176B-ml/README.md"
    reported = {(2048, 2): 156.0, (192, 1): 73.0, (16, 2): 8.04}.get((batch_size, micro_batch))
    return Published(job, plan, reported, True, source)


def glm() -> Published:
    """GLM-130B on 96 machines of 8 x 40 GB; TP 4 x PP 8, so 24 copies of 176 sequences."""
    cluster = Cluster(A100_40, 96, 8, 25e9, "DGX-A100: 8 x 200 Gbit/s")
    job = Job("GLM-130B", glm_130b(), cluster, 4224, 2048)
    plan = Plan(Layout(24, 8, 4), 1, zero=1, recompute="full")
    source = "configs/glm-130b/glm-130b.sh of github.com/THUDM/LargeScale"
    return Published(job, plan, None, True, source)


def mt_nlg_530b() -> DecoderConfig:
    """MT-NLG: 105 layers. Smith et al. 2022, arXiv:2201.11990."""
    return DecoderConfig(
        vocab_size=50257,
        d_model=20480,
        n_layers=105,
        context=2048,
        attention=AttentionConfig(n_heads=128, bias=True),
        feedforward=FeedForwardConfig("gelu", 4 * 20480, bias=True),
        norm=NormConfig("layernorm", 1e-5),
        position=PositionConfig("learned"),
    )


def mt_nlg(n_machines: int = 280, *, later: bool = False) -> Published:
    """MT-NLG-530B: TP 8 x PP 35, 1 920 sequences, as its authors ran it, or as Megatron later did.

    Args:
        n_machines: DGX A100 with eight cards, a multiple of 35.
        later: with sequence parallelism, and only the scores recomputed (Korthikanti et al.).
    """
    data = n_machines // 35
    cluster = Cluster(A100_80, n_machines, 8, 25e9, "DGX A100: 8 x 200 Gbit/s HDR InfiniBand")
    job = Job("MT-NLG-530B", mt_nlg_530b(), cluster, 1920, 2048)
    if later:
        plan = Plan(Layout(data, 35, 8), 1, zero=0, recompute="selective", sequence=True)
        source = (
            "Korthikanti et al. 2022, arXiv:2205.05198, abstract: an MFU of 54.2 %; batch assumed"
        )
        return Published(job, plan, 0.542 * 312, False, source)
    reported = {280: 126.0, 350: 121.0, 420: 113.0}.get(n_machines)
    source = "Smith et al. 2022, arXiv:2201.11990, section 2.4: 60.1, 50.2 and 44.4 s a step"
    return Published(job, Plan(Layout(data, 35, 8), 1, recompute="full"), reported, True, source)


def baichuan() -> Published:
    """Baichuan-7B on a thousand A800; what its demo sets, but for cards and network."""
    cluster = Cluster(A800_80, 125, 8, 25e9, ASSUMED)
    job = Job("Baichuan-7B", presets.baichuan_7b(), cluster, 1000, 4096)
    plan = Plan(Layout(1000), 1, zero=2, recompute="selective")
    source = "Baichuan-7B, README 2023; config/deepspeed.json of its repository"
    return Published(job, plan, 182.0, False, source, stated=False)


def llama_65b() -> Published:
    """LLaMA-65B on 2 048 A100: 380 tokens a second and card; the layout is not stated."""
    cluster = Cluster(A100_80, 256, 8, 25e9, ASSUMED)
    job = Job("LLaMA-65B", presets.llama_65b(), cluster, 2048, 2048)
    plan = Plan(Layout(256, 1, 8), 1, zero=1, recompute="selective")
    source = "Touvron et al. 2023, arXiv:2302.13971, section 2.4; layout assumed"
    return Published(job, plan, None, False, source, tokens_per_second=380.0, stated=False)
