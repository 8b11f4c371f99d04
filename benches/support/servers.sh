# Servers: the daemon, the limit server (benches/limit.rs) and nginx with Nchan, as the scripts in
# benches/ compare them. One worker each on core 0, the same settings, the load on the other cores.
# Sourced by sh; measures nothing.
#
# BINARY and LIMIT name builds of the daemon and of the limit server; without them both are built.
# NCHAN is nginx's module, PORT the first of the ports.
PATH=$PATH:/usr/sbin # where Debian has nginx and haproxy
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${BINARY:-$root/target/release/pushserver}
limit=${LIMIT:-$root/target/release/examples/limit}
nchan_module=${NCHAN:-/usr/lib/nginx/modules/ngx_nchan_module.so}
port=${PORT:-18040}

# Ends the script where one of these programs is missing; `nchan` is nginx's module.
need() {
    for program; do
        case $program in
            nchan) [ ! -e "$nchan_module" ] || continue; package='libnginx-mod-nchan, or set NCHAN' ;;
            *) ! command -v "$program" > /dev/null || continue; package=$program ;;
        esac
        [ "$program" != taskset ] || package=util-linux
        echo "this needs $program: apt-get install $package" >&2
        exit 1
    done
    [ "$(nproc)" -gt 1 ] || {
        echo 'this needs two processors: the servers run on one, the load on the others' >&2
        exit 1
    }
}

# Builds what is not named, and makes a directory to work in; what was started ends with the script.
prepare() { # `limit` for that server, too
    [ -n "${BINARY:-}" ] || (cd "$root" && cargo build --release --locked --quiet)
    [ "${1:-}" != limit ] || [ -n "${LIMIT:-}" ] ||
        (cd "$root" && cargo build --release --locked --quiet --example limit)
    work=$(mktemp -d)
    others=1-$(($(nproc --all) - 1))
    pids=
    trap 'stop; rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM
}
stop() {
    for pid in $pids; do kill "$pid" 2> /dev/null || :; done
    wait
    pids=
}

# Starts the three servers afresh, at $port and the two ports above it; all serve /p/{channel} and
# /s/{channel}. Their processes: $ours, $floor, $nchan.
start() {
    stop
    write_settings
    taskset -c 0 "$binary" -q -c "$work/settings.json" > "$work/ready" & ours=$!
    taskset -c 0 "$limit" "127.0.0.1:$((port + 1))" > "$work/ready.limit" & floor=$!
    taskset -c 0 nginx -p "$work" -c "$work/nginx.conf" & nchan=$!
    pids="$ours $floor $nchan"
    for number in 0 1 2; do until_answers $((port + number)) --data x /p/ready; done
}
until_answers() { # port arguments… path
    url=http://127.0.0.1:$1
    shift
    for argument; do
        shift
        case $argument in /*) argument=$url$argument ;; esac
        set -- "$@" "$argument"
    done
    tries=0
    until curl -sf -o /dev/null "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "nothing answers at $url" >&2; exit 1; }
        sleep 0.1
    done
}
write_settings() {
    cat > "$work/nginx.conf" <<CONF
load_module $nchan_module;
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 19900; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
scgi_temp_path tmp;
nchan_shared_memory_size 512m; nchan_message_buffer_length 100; nchan_message_timeout 1h;
server { listen 127.0.0.1:$((port + 2)) backlog=4096;
location = /status { nchan_stub_status; }
location ~ ^/p/([^/]+)\$ { nchan_publisher; nchan_channel_id \$1; }
location ~ ^/s/([^/]+)\$ { nchan_subscriber longpoll eventsource websocket; nchan_channel_id \$1; } } }
CONF
    cat > "$work/settings.json" <<JSON
{ "address": "127.0.0.1", "port": $port, "store": { "type": "memory", "max_messages": 100 },
  "locations": [
    { "type": "publisher", "url": "/p/([^/]+)" },
    { "type": "subscriber", "url": "/s/([^/]+)", "create_on_get": true } ] }
JSON
}

# The load generator.
load() { # arguments…
    taskset -c "$others" "$binary" bench --busy --no-plot -q "$@"
}
# Its options for the server at a port: `at compare- 2` for the second server of a comparison.
at() { # option-prefix number
    echo "--$1publish http://127.0.0.1:$((port + $2))/p/{channel}" \
        "--$1subscribe http://127.0.0.1:$((port + $2))/s/{channel}"
}
