#!/bin/sh
# What does it cost to write messages down? A message that nobody waits for, on the memory store and
# on one with `persist`, in turns A B A B: CPU and the publisher's answer, with one publisher and
# with many; then how long a start takes with a million stored messages, and its memory.
#
#   benches/persist.sh [ROUNDS] [SECONDS] [DIRECTORY]
#
# needs taskset, and `cargo build --release`. DIRECTORY is where the files go, on the disk that is
# to be measured. The servers run on core 0, the load on the others. PORT is the first of three.
set -eu
rounds=${1:-3}
seconds=${2:-2}
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${BINARY:-$root/target/release/pushserver}
messages=${MESSAGES:-1000000}
port=${PORT:-18050}
work=$(mktemp -d "${3:-${TMPDIR:-/tmp}}/persist.XXXXXX")
others=1-$(($(nproc --all) - 1))
pids=
stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || :; done
    wait
    pids=
}
trap 'stop; rm -rf "$work"' EXIT

settings() { # name port more-of-the-store
    cat > "$work/$1.json" <<JSON
{ "address": "127.0.0.1", "port": $2,
  "store": { "type": "memory", "max_messages": 100, "message_timeout": 3600, "max_memory": 1073741824 $3 },
  "locations": [
    { "type": "publisher", "url": "/p/([^/]+)" },
    { "type": "subscriber", "url": "/s/([^/]+)", "create_on_get": true } ] }
JSON
}
settings memory "$port" ''
settings second $((port + 1)) ", \"persist\": \"$work/second.db\""
settings always $((port + 2)) ", \"persist\": \"$work/always.db\", \"persist_sync\": \"always\""

serve() { # name; sets pid
    : > "$work/$1.ready"
    taskset -c 0 "$binary" -c "$work/$1.json" > "$work/$1.ready" 2> "$work/$1.log" &
    pid=$!
    pids="$pids $pid"
    until [ -s "$work/$1.ready" ]; do
        kill -0 "$pid" 2>/dev/null || { cat "$work/$1.log" >&2; exit 1; }
        sleep 0.01
    done
}
at() { # option-prefix port
    echo "--$1publish http://127.0.0.1:$2/p/{channel} --$1subscribe http://127.0.0.1:$2/s/{channel}"
}

for sync in second always; do
    for publishers in 1 32; do
        stop
        rm -f "$work"/*.db*
        serve memory; memory=$pid
        serve "$sync"; durable=$pid
        [ "$sync" = second ] && number=$((port + 1)) || number=$((port + 2))
        echo "== publish, $publishers publishers: persist_sync $sync beside memory"
        # shellcheck disable=SC2046
        taskset -c "$others" "$binary" bench publish --busy --no-plot -q --channels 100 \
            --publishers "$publishers" --rounds "$rounds" --seconds "$seconds" \
            $(at '' "$number") --pid "$durable" --label "$sync" \
            $(at compare- "$port") --compare-pid "$memory" --compare-label memory |
            sed -n '/^medians/,$p'
    done
done

stop
rm -f "$work"/*.db*
sed -i 's/"max_messages": 100/"max_messages": 0/' "$work/second.json"
serve second
echo "== a start with $messages stored messages of 100 bytes"
stored=0
while [ "$stored" -lt "$messages" ]; do
    # shellcheck disable=SC2046
    taskset -c "$others" "$binary" bench publish --busy --no-plot -q --channels 1000 \
        --publishers 32 --size 100 --seconds 5 $(at '' $((port + 1))) > "$work/out" 2>&1 ||
        { cat "$work/out"; exit 1; }
    kill -USR1 "$pid"
    sleep 0.5
    stored=$(sed -n 's/.* messages=\([0-9]*\).*/\1/p' "$work/second.log" | tail -n 1)
done
resident() { awk '/VmRSS/ { print $2 }' "/proc/$pid/status"; }
before=$(resident)
kill -KILL "$pid"
wait "$pid" 2>/dev/null || :
begin=$(date +%s%N)
serve second
took=$((($(date +%s%N) - begin) / 1000000))
echo "$stored messages: listening after $took ms; resident $(resident) kB, before $before kB"
