#!/bin/bash
# sbatch docs/launch/slurm.sh RECIPE [OVERRIDES ...]
#SBATCH --job-name=minillm
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
# One torchrun a machine; it starts a process for each card. SIGTERM comes 180 s before the end:
# all ranks save and leave, and a requeued job goes on from there.
set -euo pipefail

recipe=${1:?name a recipe, such as llama_7b}
shift
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / SLURM_GPUS_ON_NODE))

srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" \
    --nproc-per-node "$SLURM_GPUS_ON_NODE" \
    --max-restarts 3 \
    --rdzv-id "$SLURM_JOB_ID" \
    --rdzv-backend c10d \
    --rdzv-endpoint "$first:29500" \
    -m minillm train "$recipe" "$@" --out "runs/$recipe"
