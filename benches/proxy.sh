#!/bin/sh
# How fast is --allrequests beside nginx's proxy_pass? One worker each, the same upstream (nginx
# too), 32 keep-alive connections, in turns A B A B. Prints requests per second, the latency of the
# 99th percentile, and the processor time of the proxy per request, which is the steadiest of the
# three where a machine has other work.
#
#   benches/proxy.sh [ROUNDS] [SECONDS]        needs nginx, wrk, taskset and a release build
#
# The proxies run on core 0; the upstream and the load on the other cores.
set -eu
rounds=${1:-5}
seconds=${2:-4}
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${BINARY:-$root/target/release/pushserver}
work=$(mktemp -d)
others=1-$(($(nproc --all) - 1))
pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || :; done; wait; rm -rf "$work"' EXIT

common='daemon off; worker_processes 1; error_log stderr error;
events { worker_connections 20000; }'
paths='access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
uwsgi_temp_path tmp; scgi_temp_path tmp; keepalive_requests 1000000000;'
body=$(printf '%200s' | tr ' ' x)
cat > "$work/origin.conf" <<CONF
$common
pid origin.pid;
http { $paths server { listen 127.0.0.1:18000 backlog=4096;
location / { return 200 "$body"; } } }
CONF
cat > "$work/proxy.conf" <<CONF
$common
pid proxy.pid;
http { $paths
upstream origin { server 127.0.0.1:18000; keepalive 128; keepalive_requests 1000000000; }
server { listen 127.0.0.1:18020 backlog=4096; location / { proxy_pass http://origin;
proxy_http_version 1.1; proxy_set_header Connection ""; } } }
CONF
taskset -c "$others" nginx -p "$work" -c "$work/origin.conf" & pids="$pids $!"
taskset -c 0 nginx -p "$work" -c "$work/proxy.conf" & nginx=$!; pids="$pids $nginx"
taskset -c 0 "$binary" -q --port 18021 --allrequests http://127.0.0.1:18000 > "$work/ready" &
ours=$!; pids="$pids $ours"
for port in 18000 18020 18021; do
    curl -sf -o /dev/null --retry 50 --retry-connrefused --retry-delay 1 --retry-max-time 10 \
        "http://127.0.0.1:$port/" || { echo "nothing answers on port $port" >&2; exit 1; }
done

# Processor time of a process and its children so far, in clock ticks.
ticks() {
    for pid in $1 $(cat "/proc/$1/task/$1/children"); do
        sed 's/.*) //' "/proc/$pid/stat"
    done | awk '{ sum += $12 + $13 } END { print sum }'
}
measure() { # name pid port
    before=$(ticks "$2")
    taskset -c "$others" wrk -t1 -c32 -d"${seconds}s" --latency "http://127.0.0.1:$3/" > "$work/wrk"
    after=$(ticks "$2")
    awk -v name="$1" -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" '
        /99%/ { p99 = $2 }
        /requests in/ { count = $1 }
        /Requests\/sec/ { rate = $2 }
        /Non-2xx|Socket errors/ { faults = " FAULTS: " $0 }
        END { printf "%-10s %8.0f requests/s   p99 %8s   %6.2f µs processor/request%s\n",
              name, rate, p99, ticks / hz / count * 1e6, faults }' "$work/wrk"
}
for _ in $(seq "$rounds"); do
    measure nginx "$nginx" 18020
    measure pushserver "$ours" 18021
done
