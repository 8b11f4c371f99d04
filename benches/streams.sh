#!/bin/sh
# What does a message to an open stream, or to a long poll (`poll`), cost, beside the limit server
# and nginx with Nchan? One worker each, in turns A B A B: cycles of 1 000 subscribers, fan-outs to
# 10 000, and for each server afresh the memory of 10 000 idle streams and the system calls of a
# delivery.
#
#   benches/streams.sh [ROUNDS] [SECONDS] [TRANSPORT...]
#
# needs nginx with Nchan, strace, taskset and curl, and two processors: the servers run on core 0,
# the load on the others. What can be set: benches/support/servers.sh.
set -eu
rounds=${1:-3}
seconds=${2:-2}
if [ $# -gt 2 ]; then shift 2; transports=$*; else transports='eventsource websocket'; fi
. "$(dirname "$0")/support/servers.sh"
need nginx nchan strace taskset curl
prepare limit

# Measures; prints what the pattern finds, or everything if something went wrong.
bench() { # pattern arguments...
    pattern=$1
    shift
    if load "$@" > "$work/out" 2>&1; then
        sed -n "$pattern" "$work/out"
    else
        cat "$work/out"
    fi
}
for transport in $transports; do
    for scenario in 'cycle -n 1000' 'fanout -n 10000'; do
        start
        for peer in "limit 1 $floor" "nchan 2 $nchan"; do
            set -- $peer
            echo "== $transport, $scenario, beside $1"
            # shellcheck disable=SC2046,SC2086
            bench '/^medians/,$p' $scenario --transport "$transport" --rounds "$rounds" \
                --seconds "$seconds" --label pushserver $(at '' 0) --pid "$ours" \
                $(at compare- "$2") --compare-pid "$3" --compare-label "$1"
        done
    done
    start
    for server in "pushserver 0 $ours" "limit 1 $floor" "nchan 2 $nchan"; do
        set -- $server
        echo "== $transport, $1: 10 000 idle on one channel; system calls per delivery"
        # shellcheck disable=SC2046
        bench '/server memory/p' idle -n 10000 --channels 1 --transport "$transport" \
            $(at '' "$2") --pid "$3"
        # shellcheck disable=SC2046
        bench '/system calls/,/^  lost/p' cycle -n 1000 --transport "$transport" --seconds 1 \
            $(at '' "$2") --pid "$3" --syscalls
    done
done
