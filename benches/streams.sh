#!/bin/sh
# What does a message to an open stream, or to a long poll (`poll`), cost, beside the limit server
# and nginx with Nchan? One worker each, in turns A B A B: cycles of 1 000 subscribers, fan-outs to
# 10 000, and for each server afresh the memory of 10 000 idle streams and the system calls of a
# delivery.
#
#   benches/streams.sh [ROUNDS] [SECONDS] [TRANSPORT...]
#
# needs nginx with Nchan, strace, taskset and curl. BINARY and LIMIT name builds of the daemon and of
# the limit server; without them both are built. The servers run on core 0, the load on the other
# cores. PORT is the first of three ports.
set -eu
rounds=${1:-3}
seconds=${2:-2}
if [ $# -gt 2 ]; then shift 2; transports=$*; else transports='eventsource websocket'; fi
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${BINARY:-$root/target/release/pushserver}
limit=${LIMIT:-$root/target/release/examples/limit}
port=${PORT:-18040}
for program in nginx strace taskset curl; do
    command -v $program > /dev/null || { echo "this needs $program: install it" >&2; exit 1; }
done
[ -n "${BINARY:-}" ] || (cd "$root" && cargo build --release --locked --quiet)
[ -n "${LIMIT:-}" ] || (cd "$root" && cargo build --release --locked --quiet --example limit)
work=$(mktemp -d)
others=1-$(($(nproc --all) - 1))
pids=
stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || :; done
    wait
    pids=
}
trap 'stop; rm -rf "$work"' EXIT

cat > "$work/nginx.conf" <<CONF
load_module ${NCHAN:-/usr/lib/nginx/modules/ngx_nchan_module.so};
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 19900; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
scgi_temp_path tmp;
nchan_shared_memory_size 512m; nchan_message_buffer_length 100; nchan_message_timeout 1h;
server { listen 127.0.0.1:$((port + 2)) backlog=4096;
location ~ ^/p/([^/]+)\$ { nchan_publisher; nchan_channel_id \$1; }
location ~ ^/s/([^/]+)\$ { nchan_subscriber longpoll eventsource websocket; nchan_channel_id \$1; } } }
CONF
cat > "$work/settings.json" <<JSON
{ "address": "127.0.0.1", "port": $port, "store": { "type": "memory", "max_messages": 100 },
  "locations": [
    { "type": "publisher", "url": "/p/([^/]+)" },
    { "type": "subscriber", "url": "/s/([^/]+)", "create_on_get": true } ] }
JSON

# Starts the three servers afresh; all serve /p/{channel} and /s/{channel}.
start() {
    stop
    taskset -c 0 "$binary" -q -c "$work/settings.json" > "$work/ready" & ours=$!
    taskset -c 0 "$limit" "127.0.0.1:$((port + 1))" > "$work/ready.limit" & floor=$!
    taskset -c 0 nginx -p "$work" -c "$work/nginx.conf" & nchan=$!
    pids="$ours $floor $nchan"
    for number in 0 1 2; do
        curl -s -o /dev/null --retry 50 --retry-connrefused --retry-delay 1 --retry-max-time 10 \
            --data x "http://127.0.0.1:$((port + number))/p/ready" ||
            { echo "nothing answers on port $((port + number))" >&2; exit 1; }
    done
}
# Measures; prints what the pattern finds, or everything if something went wrong.
bench() { # pattern arguments...
    pattern=$1
    shift
    if taskset -c "$others" "$binary" bench --busy --no-plot -q "$@" > "$work/out" 2>&1; then
        sed -n "$pattern" "$work/out"
    else
        cat "$work/out"
    fi
}
at() { # option-prefix number
    echo "--$1publish http://127.0.0.1:$((port + $2))/p/{channel}" \
        "--$1subscribe http://127.0.0.1:$((port + $2))/s/{channel}"
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
