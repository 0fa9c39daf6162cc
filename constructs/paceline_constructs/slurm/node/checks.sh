# shellcheck shell=bash
# What is wrong with the node, and who says so to Slurm. Sourced by prolog.sh and health.sh.
# shellcheck source=common.sh
source /opt/paceline/bin/common

# begins the reasons that these files give; those of the agent and the healer begin otherwise: they stay
CHECKED="paceline node check:"

# drain_reason: why the node is drained, or nothing
drain_reason() {
    scontrol show node "$(hostname -s)" | sed -n 's/^ *Reason=\(.*\) \[.*/\1/p'
}

# drain PROBLEMS: a reason that someone else gave stays
drain() {
    [ -n "$(drain_reason)" ] || scontrol update "nodename=$(hostname -s)" state=drain "reason=$CHECKED ${1//$'\n'/; }"
}

# check_node: prints what is wrong with the node, in a few words, or nothing. Takes about a second.
check_node() {
    local found listed path version
    case "$PACELINE_FAMILY" in
        nvidia)
            listed=$(timeout 30 nvidia-smi --list-gpus 2>/dev/null) || echo "nvidia-smi fails with $?"
            found=$(grep -c ^GPU <<<"$listed")
            ;;
        neuron) found=$(find /dev -maxdepth 1 -name 'neuron[0-9]*' | wc -l) ;;
        *) found=$PACELINE_ACCELERATORS ;;
    esac
    if [ "$found" != "$PACELINE_ACCELERATORS" ]; then
        echo "$found of $PACELINE_ACCELERATORS accelerators"
    fi
    # a driver whose version cannot be read is no driver that is too old
    if [ -n "$PACELINE_DRIVER_FLOOR" ] && version=$(cat "/sys/module/$PACELINE_FAMILY/version" 2>/dev/null) &&
        [ "$version" != "$PACELINE_DRIVER_FLOOR" ] &&
        [ "$(printf '%s\n' "$PACELINE_DRIVER_FLOOR" "$version" | sort --version-sort | head -n 1)" = "$version" ]; then
        echo "driver $version is older than $PACELINE_DRIVER_FLOOR, which the images need"
    fi
    for path in /home /fsx; do
        timeout 20 stat "$path/." >/dev/null 2>&1 || echo "$path does not answer"
        # the last line is the topmost mount: autofs as long as nothing has been mounted, none without the automount
        case "$(findmnt --noheadings --output FSTYPE "$path" | tail -n 1)" in
            nfs4 | lustre) ;;
            *) echo "$path is not mounted" ;;
        esac
    done
    if [ "$(df --output=pcent / | tail -n 1 | tr -dc 0-9)" -ge 95 ]; then
        echo "root volume is full"
    fi
}
