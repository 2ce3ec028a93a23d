#!/usr/bin/env bash
# A real Slurm of one node on this Debian machine, for the tests: one_node.sh start|stop
# Needs root (or sudo) and the packages slurm-wlm and munge, which `start` installs where absent.
set -euo pipefail

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

configuration() {
    local memory
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cat <<EOF
ClusterName=sbldm-test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=/var/log/slurm/completed.log
StateSaveLocation=/var/spool/sbldm-test/slurmctld
SlurmdSpoolDir=/var/spool/sbldm-test/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ReturnToService=2
MinJobAge=86400
KillWait=20
GresTypes=gpu
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
EOF
}

foreign() {
    grep -qs ClusterName /etc/slurm/slurm.conf && ! grep -qs ClusterName=sbldm-test /etc/slurm/slurm.conf
}

# Jobs that a killed test left behind.
cancel() {
    timeout 10 scancel --user="$(id -un)" 2>/dev/null || return 0
    for _ in $(seq 30); do
        [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || return 0
        sleep 1
    done
}

start() {
    if foreign; then
        echo "this machine has a Slurm of its own (/etc/slurm/slurm.conf); left alone" >&2
        exit 1
    fi
    if ! command -v slurmctld sbatch munged >/dev/null; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge
    fi
    as_root mkdir -p /etc/slurm /var/log/slurm /var/spool/sbldm-test/slurmctld /var/spool/sbldm-test/slurmd /run/munge
    as_root chown munge:munge /run/munge
    # In /etc: jobs lose SLURM_CONF. The node has no GPU; a device stands for one, so that jobs can ask.
    configuration | as_root tee /etc/slurm/slurm.conf >/dev/null
    echo "NodeName=$(hostname -s) Name=gpu File=/dev/null AutoDetect=off" | as_root tee /etc/slurm/gres.conf >/dev/null
    cancel
    pgrep -x munged >/dev/null || as_root runuser -u munge -- munged
    as_root slurmctld -c  # nothing is remembered from an earlier one
    as_root slurmd
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then return; fi
        sleep 1
    done
    echo "Slurm did not start; see /var/log/slurm" >&2
    exit 1
}

stop() {
    foreign && { echo "this machine has a Slurm of its own; left alone" >&2; exit 1; }
    cancel
    as_root scontrol shutdown || true
    as_root munged --stop || true
    as_root rm -rf /var/spool/sbldm-test /etc/slurm/slurm.conf /etc/slurm/gres.conf
}

case "${1:-}" in
    start) start ;;
    stop) stop ;;
    *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
