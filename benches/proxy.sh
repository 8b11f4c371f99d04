#!/bin/sh
# How fast is --allrequests beside nginx and haproxy? One worker each on core 0, 32 keep-alive
# connections, in turns A B C A B C. The upstream is the limit server (benches/limit.rs), which
# costs less than any of the three: the proxies are what is measured. It and the load generator,
# which checks each body, run on the other cores. Prints the medians.
#
#   benches/proxy.sh [ROUNDS] [SECONDS]
#
# needs nginx, haproxy, taskset, curl and python3, and two processors. What can be set:
# benches/support/servers.sh; and RESULTS, a directory for the figures of all rounds.
set -eu
rounds=${1:-5}
seconds=${2:-4}
. "$(dirname "$0")/support/servers.sh"
need nginx haproxy taskset curl python3
prepare limit
results=${RESULTS:-$work}

cat > "$work/nginx.conf" <<CONF
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 19900; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
scgi_temp_path tmp;
upstream origin { server 127.0.0.1:$port; keepalive 128; keepalive_requests 1000000000; }
server { listen 127.0.0.1:$((port + 1)) backlog=4096; location / { proxy_pass http://origin;
proxy_http_version 1.1; proxy_set_header Connection ""; } } }
CONF
cat > "$work/haproxy.cfg" <<CONF
global
    nbthread 1
    maxconn 4000
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:$((port + 2)) backlog 4096
    default_backend origin
backend origin
    server origin 127.0.0.1:$port
CONF
taskset -c "$others" "$limit" "127.0.0.1:$port" > "$work/ready.limit" & pids="$pids $!"
taskset -c 0 nginx -p "$work" -c "$work/nginx.conf" & nginx=$!; pids="$pids $nginx"
taskset -c 0 haproxy -db -q -f "$work/haproxy.cfg" & haproxy=$!; pids="$pids $haproxy"
taskset -c 0 "$binary" -q --port $((port + 3)) --allrequests "http://127.0.0.1:$port" \
    > "$work/ready" & ours=$!; pids="$pids $ours"
for number in 0 1 2 3; do until_answers $((port + number)) --data x /p/ready; done

# Without --busy: the load generator would take the upstream's time.
for round in $(seq "$rounds"); do
    for proxy in "nginx $nginx 1" "haproxy $haproxy 2" "pushserver $ours 3"; do
        set -- $proxy
        taskset -c "$others" "$binary" bench poll --no-plot -q --seconds "$seconds" --pid "$2" \
            --publish "http://127.0.0.1:$port/p/{channel}" --label "$1" \
            --subscribe "http://127.0.0.1:$((port + $3))/o/{channel}" \
            --json "$results/proxy.$1.$round.json" > "$work/out" || { cat "$work/out" >&2; exit 1; }
    done
done
python3 "$root/benches/support/figures.py" print "$results" proxy
