#!/bin/sh
# Makes the numbers of README.md and docs/numbers.md, on this machine: pushserver beside nginx with
# Nchan and beside a server that does no more than any server must (benches/limit.rs), in turns A B
# C A B C; then as a reverse proxy beside nginx and haproxy. Ten minutes.
#
#   benches/readme.sh [ROUNDS] [SECONDS]        3 rounds of 2 seconds
#
# Prints a row for each figure; writes all of them to benches/results/numbers.json, and from there
# the tables that stand between `numbers:` marks in README.md, docs/numbers.md and
# benches/results/speed.md. INTO=DIRECTORY writes into copies of these files there instead.
#
# needs nginx with Nchan, haproxy, strace, taskset, curl and python3, and two processors with
# nothing else to do: the servers run on core 0, the load on the others. What can be set:
# benches/support/servers.sh.
set -eu
rounds=${1:-3}
seconds=${2:-2}
. "$(dirname "$0")/support/servers.sh"
need nginx nchan haproxy strace taskset curl python3
prepare limit
results=$work/results
mkdir "$results"
numbers() { python3 "$root/benches/support/figures.py" "$@"; }

# One measurement of a server; its figures go to a file.
measure() { # name round server number pid scenario…
    file=$results/$1.$3.$2.json scenario=$1 server=$3 number=$4 pid=$5
    shift 5
    # Stored messages of the limit server are at /o/.
    [ "$scenario.$server" != poll.limit ] ||
        set -- "$@" --subscribe "http://127.0.0.1:$((port + 1))/o/{channel}"
    # shellcheck disable=SC2046
    load $(at '' "$number") --pid "$pid" --label "$server" --json "$file" "$@" \
        > "$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
}
# Measures all three, afresh, in turn.
series() { # name rounds scenario…
    name=$1 count=$2
    shift 2
    echo "== $name: $*" >&2
    start
    for round in $(seq "$count"); do
        measure "$name" "$round" pushserver 0 "$ours" "$@"
        measure "$name" "$round" limit 1 "$floor" "$@"
        measure "$name" "$round" nchan 2 "$nchan" "$@"
    done
}
# The latencies of two of them in one picture.
picture() { # name scenario…
    name=$1
    shift
    echo "== the picture of $name: $*" >&2
    start
    # shellcheck disable=SC2046
    taskset -c "$others" "$binary" bench --busy -q --rounds "$rounds" --seconds "$seconds" \
        --json "$results/$name.json" --label pushserver --compare-label 'nginx with Nchan' \
        $(at '' 0) $(at compare- 2) "$@" > "$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
}

# By strace, which others than root may be forbidden to attach.
counts_calls=yes
if [ "$(id -u)" -ne 0 ] && grep -qs '[^0]' /proc/sys/kernel/yama/ptrace_scope; then
    counts_calls=no
    echo 'without system calls: only root may count them here' >&2
fi

for transport in poll eventsource websocket; do
    series "$transport-cycle" "$rounds" cycle -n 1000 --transport $transport --seconds "$seconds"
    series "$transport-fanout" "$rounds" fanout -n 10000 --transport $transport --seconds "$seconds"
    series "$transport-idle-one" 1 idle -n 10000 --channels 1 --transport $transport
    [ "$counts_calls" = no ] || series "$transport-calls" 1 cycle -n 1000 --transport $transport --seconds 0.5 --syscalls
done
series idle-own 1 idle -n 10000
series isolation "$rounds" isolation -n 8000 --seconds "$seconds"
series channels "$rounds" channels -n 1000 --seconds "$seconds"
series publish "$rounds" publish --seconds "$seconds"
series poll "$rounds" poll --seconds "$seconds"
picture fanout fanout -n 10000
picture isolation isolation -n 8000
nchan_version=$(curl -s "http://127.0.0.1:$((port + 2))/status" | sed -n 's/^nchan version: //p')
stop
echo '== as a reverse proxy' >&2
RESULTS=$results BINARY=$binary LIMIT=$limit PORT=$port "$root/benches/proxy.sh" "$rounds" "$seconds"

numbers collect "$results" "${INTO:-$root}" "rounds=$rounds" "seconds=$seconds" \
    "nginx=$(nginx -v 2>&1 | sed 's,.*/,,')" "nchan=$nchan_version" \
    "haproxy=$(haproxy -v | awk 'NR == 1 { sub(/-.*/, "", $3); print $3 }')" \
    "commit=$(cd "$root" && git rev-parse --short HEAD 2> /dev/null || echo unknown)"
