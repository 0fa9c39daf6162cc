"""The Prometheus metrics that dashboards and alert rules may use: what paceline exports, and what it has collected.

A rule on a metric that nobody exports never fires, and looks like health. A test holds every rule against this table.
"""

from __future__ import annotations

from paceline.spec.base import Record


class Metric(Record):
    """One time series family. `exporter` is who answers for it, `reference` is where the name was read."""

    name: str
    kind: str
    exporter: str
    reference: str
    help: str


def _metrics(exporter: str, reference: str, *rows: tuple[str, str, str]) -> dict[str, Metric]:
    return {
        name: Metric(name=name, kind=kind, exporter=exporter, reference=reference, help=text)
        for name, kind, text in rows
    }


# What paceline itself exports, always with the label `run`.
GOODPUT = "paceline_goodput_ratio"
STEP_SECONDS = "paceline_step_seconds"
STEPS = "paceline_steps_total"
LAST_STEP_TIMESTAMP = "paceline_last_step_timestamp_seconds"
RUNNING = "paceline_run_running"
LAST_CHECKPOINT_TIMESTAMP = "paceline_last_checkpoint_timestamp_seconds"
CHECKPOINT_FAILURES = "paceline_checkpoint_failures_total"
SPARES = "paceline_spare_nodes"
SPARES_WANTED = "paceline_spare_nodes_wanted"
NODES_LOST = "paceline_nodes_lost_total"
GRAPHS_MISSED = "paceline_graphs_missed_total"
TOKENS = "paceline_tokens_total"
TOKENS_PER_SECOND = "paceline_tokens_per_second"
LOSS = "paceline_loss"
GRADIENT_NORM = "paceline_gradient_norm"
LEARNING_RATE = "paceline_learning_rate"
MFU = "paceline_mfu_ratio"
DATA_WAIT_SECONDS = "paceline_data_wait_seconds"
CHECKPOINT_WAIT_SECONDS = "paceline_checkpoint_wait_seconds"
MEMORY_BYTES = "paceline_memory_peak_bytes"
HELD_OUT_LOSS = "paceline_held_out_loss"
BITS_PER_BYTE = "paceline_bits_per_byte"

# What paceline's controller exports, always with the label `team`.
HEAL_LEADS = "paceline_heal_leads"
HEAL_NODES = "paceline_heal_nodes"
HEAL_OUT = "paceline_heal_nodes_out"  # label `phase`
HEAL_HELD = "paceline_heal_held"
HEAL_REFUSED = "paceline_heal_refused"
HEAL_ROUND_TIMESTAMP = "paceline_heal_last_round_timestamp_seconds"

# What the health agent of a node exports, always with the label `node`.
CHECK_RESULT = "paceline_health_check_result"
CHECK_SECONDS = "paceline_health_check_seconds"
CHECK_TIMESTAMP = "paceline_health_check_timestamp_seconds"
FINDINGS = "paceline_health_findings_total"
UNFIT = "paceline_health_unfit"
AGENT_CPU_SECONDS = "paceline_agent_cpu_seconds_total"
AGENT_MEMORY_BYTES = "paceline_agent_resident_bytes"
AGENT_STRETCH = "paceline_agent_stretch_ratio"

METRICS: dict[str, Metric] = {
    **_metrics(
        "paceline",
        "paceline.spec.metrics",
        (GOODPUT, "gauge", "productive time over needed time of the last hour, 0 to 1"),
        (STEP_SECONDS, "gauge", "duration of the last optimizer step, s"),
        (STEPS, "counter", "optimizer steps done"),
        (LAST_STEP_TIMESTAMP, "gauge", "when the last step ended, s since the epoch"),
        (RUNNING, "gauge", "1 from the run's start to its end"),
        (LAST_CHECKPOINT_TIMESTAMP, "gauge", "when the last checkpoint was committed, s since the epoch"),
        (CHECKPOINT_FAILURES, "counter", "checkpoints that could not be saved"),
        (SPARES, "gauge", "nodes that stand by and are healthy"),
        (SPARES_WANTED, "gauge", "nodes that should stand by"),
        (NODES_LOST, "counter", "nodes that left a run without saying so"),
        (GRAPHS_MISSED, "counter", "graphs that were not compiled ahead of the run, by all nodes"),
        (TOKENS, "counter", "tokens trained on, those of steps that were done again too"),
        (TOKENS_PER_SECOND, "gauge", "tokens of the last optimizer step over its duration"),
        (LOSS, "gauge", "loss of the last optimizer step, nats per token"),
        (GRADIENT_NORM, "gauge", "global gradient norm of the last optimizer step, before clipping"),
        (LEARNING_RATE, "gauge", "learning rate of the last optimizer step"),
        (MFU, "gauge", "model FLOPs utilisation of the last optimizer step, 0 to 1; absent where no peak is known"),
        (DATA_WAIT_SECONDS, "gauge", "part of the last optimizer step that waited for input, s"),
        (CHECKPOINT_WAIT_SECONDS, "gauge", "part of the last optimizer step that waited for snapshots, s"),
        (MEMORY_BYTES, "gauge", "most memory that rank 0 has held, bytes"),
        (HELD_OUT_LOSS, "gauge", "loss of the last evaluation, nats per token"),
        (BITS_PER_BYTE, "gauge", "loss of the last evaluation, bits per byte of text"),
        (HEAL_LEADS, "gauge", "1 in the controller that acts, 0 in those that stand by"),
        (HEAL_NODES, "gauge", "nodes of the fleet"),
        (HEAL_OUT, "gauge", "nodes out of service, by phase of their incident"),
        (HEAL_HELD, "gauge", "actions that are due and held by the breaker or the rate limit"),
        (HEAL_REFUSED, "gauge", "nodes about which the cluster refused what the controller asked"),
        (HEAL_ROUND_TIMESTAMP, "gauge", "when the controller last looked at every node, s since the epoch"),
    ),
    **_metrics(
        "paceline-agent",
        "paceline.spec.metrics",
        (CHECK_RESULT, "gauge", "1 for what the check said last, by `result`: pass, fail or unknown"),
        (CHECK_SECONDS, "gauge", "how long the check took, s"),
        (CHECK_TIMESTAMP, "gauge", "when the check ended last, s since the epoch"),
        (FINDINGS, "counter", "failures that were new, by `fault`"),
        (UNFIT, "gauge", "1 while the node should be out of its job"),
        (AGENT_CPU_SECONDS, "counter", "processor time of the agent and its commands, s"),
        (AGENT_MEMORY_BYTES, "gauge", "memory of the agent, bytes"),
        (AGENT_STRETCH, "gauge", "by how much periods are stretched to stay within the budget"),
    ),
    **_metrics(
        "dcgm-exporter",
        "NVIDIA/dcgm-exporter etc/default-counters.csv",
        ("DCGM_FI_DEV_XID_ERRORS", "gauge", "number of the last XID"),
        ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature, C"),
        ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter", "rows remapped after uncorrectable errors"),
        ("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "counter", "rows remapped after correctable errors"),
        ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "1 when a row could not be remapped"),
        ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "PCIe retries"),
        ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization, %"),
        ("DCGM_FI_DEV_POWER_USAGE", "gauge", "power draw, W"),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "energy since the driver was loaded, mJ"),
        ("DCGM_FI_DEV_FB_USED", "gauge", "memory in use, MiB"),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "share of cycles with the tensor pipe active, 0 to 1"),
    ),
    **_metrics(
        "efa-node-exporter",
        "awslabs/awsome-distributed-ai 4.validation_and_observability/3.efa-node-exporter",
        ("node_amazonefa_rx_bytes", "counter", "bytes received"),
        ("node_amazonefa_tx_bytes", "counter", "bytes sent"),
        ("node_amazonefa_rx_drops", "counter", "packets dropped on receipt"),
        ("node_amazonefa_rdma_read_wr_err", "counter", "RDMA reads that failed"),
        ("node_amazonefa_rdma_write_wr_err", "counter", "RDMA writes that failed"),
    ),
    **_metrics(
        "neuron-monitor-prometheus",
        "aws-neuron-tools /opt/aws/neuron/bin/neuron-monitor-prometheus.py",
        ("neuroncore_utilization_ratio", "gauge", "utilization of a NeuronCore, 0 to 1"),
        ("neuron_runtime_memory_used_bytes", "gauge", "memory in use by the runtime, bytes"),
        ("execution_errors_total", "counter", "executions that failed, by `error_type`"),
        ("hardware_ecc_events_total", "counter", "ECC events, by `event_type`"),
    ),
    **_metrics(
        "prometheus",
        "prometheus.io/docs/concepts/jobs_instances",
        ("up", "gauge", "1 when a target could be scraped"),
    ),
}
