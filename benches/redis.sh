#!/bin/sh
# What does a store cost that several daemons share? The redis store beside the memory store, and
# beside nginx with Nchan, in memory and with `nchan_redis_pass`, in turns: the publisher's answer,
# CPU of the server and of redis-server for each publish and each delivery. Then what is sent to
# Redis: for each message to requests that wait at three servers and poll again, and for a request
# that waits.
#
#   benches/redis.sh [ROUNDS] [SECONDS]
#
# needs nginx with Nchan, redis-server, redis-cli, curl and taskset. The servers and Redis run on
# core 0, the load on the others. PORT is the first of ten, for more see benches/support/servers.sh.
# WAIT is how long waiting requests are watched, seconds: leases are renewed every 30.
set -eu
rounds=${1:-3}
seconds=${2:-2}
watch=${WAIT:-35}
subscribers=${SUBSCRIBERS:-100}
PORT=${PORT:-18060}
. "$(dirname "$0")/support/servers.sh"
need nginx nchan redis-server redis-cli taskset curl
prepare
chmod 755 "$work" # for nginx, whose worker is another user

# Ports, by what listens there: each kind of server is one, or three on a Redis of their own.
memory=$port
redis="$((port + 1)) $((port + 2)) $((port + 3))"
nchan=$((port + 4))
nchan_redis="$((port + 5)) $((port + 6)) $((port + 7))"
redis_of_redis=$((port + 8))
redis_of_nchan_redis=$((port + 9))

start_redis() { # name port
    taskset -c 0 redis-server --bind 127.0.0.1 --port "$2" --save '' --appendonly no \
        --dir "$work" > "$work/$1.redis" & pid=$!
    pids="$pids $pid"
    eval "pid_of_redis_$1=$pid"
    until redis-cli -p "$2" ping > "$work/ping" 2>&1; do kill -0 "$pid"; sleep 0.1; done
}
start_daemon() { # name port store
    cat > "$work/$2.json" <<JSON
{ "address": "127.0.0.1", "port": $2, "store": { $3, "max_messages": 100, "message_timeout": 3600 },
  "locations": [
    { "type": "publisher", "url": "/p/([^/]+)" },
    { "type": "subscriber", "url": "/s/([^/]+)", "create_on_get": true } ] }
JSON
    taskset -c 0 "$binary" -q -c "$work/$2.json" > "$work/$2.ready" 2> "$work/$2.log" & pid=$!
    pids="$pids $pid"
    eval "pid_$1=\${pid_$1:-$pid}"
}
start_nginx() { # name port upstream pass
    mkdir "$work/$2"
    cat > "$work/$2/nginx.conf" <<CONF
load_module $nchan_module;
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
events { worker_connections 19900; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
scgi_temp_path tmp;
nchan_shared_memory_size 256m; nchan_message_buffer_length 100; nchan_message_timeout 1h;
$3
server { listen 127.0.0.1:$2 backlog=4096;
location ~ ^/p/([^/]+)\$ { nchan_publisher; nchan_channel_id \$1; $4 }
location ~ ^/s/([^/]+)\$ { nchan_subscriber longpoll; nchan_channel_id \$1; $4 } } }
CONF
    taskset -c 0 nginx -p "$work/$2" -c "$work/$2/nginx.conf" 2> "$work/$2/log" & pid=$!
    pids="$pids $pid"
    eval "pid_$1=\${pid_$1:-$pid}"
}

start_redis redis "$redis_of_redis"
start_redis nchan_redis "$redis_of_nchan_redis"
start_daemon memory "$memory" '"type": "memory"'
for number in $redis; do
    start_daemon redis "$number" "\"type\": \"redis\", \"port\": $redis_of_redis"
done
start_nginx nchan "$nchan" '' ''
for number in $nchan_redis; do
    start_nginx nchan_redis "$number" \
        "upstream redis { nchan_redis_server redis://127.0.0.1:$redis_of_nchan_redis; }" \
        'nchan_redis_pass redis;'
done
for number in $memory $redis $nchan $nchan_redis; do until_answers "$number" --data x /p/ready; done

# CPU time that a process has had, nanoseconds.
cpu() { awk '{ print $1 }' "/proc/$1/schedstat"; }
figure() { sed -n "s/^ *\"$1\": \([0-9.]*\),*\$/\1/p" "$work/out" | head -n 1; }
answer() { sed -n "/^ *\"answer\": {/,/}/s/.*\"$1\": \([0-9.]*\).*/\1/p" "$work/out" | head -n 1; }

# Appends a line to the figures of a server: microseconds, publishers' answers and CPU of the server
# and its Redis for each operation.
measure() { # work scenario name options...
    into=$1 scenario=$2 name=$3
    shift 3
    eval "at=\${$name%% *} process=\$pid_$name redis_process=\${pid_of_redis_$name:-}"
    before=0 after=0
    [ -z "$redis_process" ] || before=$(cpu "$redis_process")
    load "$scenario" --rounds 1 --json - \
        --seconds "$seconds" --publish "http://127.0.0.1:$at/p/{channel}" \
        --subscribe "http://127.0.0.1:$at/s/{channel}" --pid "$process" "$@" > "$work/out" 2>&1 ||
        { cat "$work/out" >&2; exit 1; }
    [ -z "$redis_process" ] || after=$(cpu "$redis_process")
    echo "$(answer p50_us) $(answer p99_us) $(figure server_cpu_us_per_operation)" \
        "$(((after - before) / 1000)) $(figure operations)" |
        awk '{ print $1, $2, $3, $4 / $5 }' >> "$work/$into.$name"
}
median() { # column file
    sort -n -k "$1,$1" "$2" | awk -v column="$1" '{ all[NR] = $column }
        END { print (all[int((NR + 1) / 2)] + all[int(NR / 2) + 1]) / 2 }'
}
servers='memory redis nchan nchan_redis'
round=0
while [ "$round" -lt "$rounds" ]; do
    for name in $servers; do measure one publish "$name" --channels 100 --publishers 1; done
    for name in $servers; do measure many publish "$name" --channels 100 --publishers 16; done
    for name in $servers; do measure cycle cycle "$name" -n "$subscribers"; done
    round=$((round + 1))
done
echo "medians of $rounds rounds of $seconds s, microseconds"
for into in one many cycle; do
    case $into in
        one) each='a publish, one publisher, nobody waits' ;;
        many) each='a publish, 16 publishers, nobody waits' ;;
        *) each="a delivery, $subscribers requests that poll again" ;;
    esac
    printf '\n%-48s %10s %10s %10s %10s\n' "$each" 'answer p50' 'p99' 'CPU' 'of Redis'
    for name in $servers; do
        case $name in
            memory) label='pushserver, memory' ;;
            redis) label='pushserver, redis' ;;
            nchan) label='nginx with Nchan, memory' ;;
            *) label='nginx with Nchan, redis' ;;
        esac
        file=$work/$into.$name
        printf '  %-46s %10.1f %10.1f %10.2f %10.2f\n' "$label" "$(median 1 "$file")" \
            "$(median 2 "$file")" "$(median 3 "$file")" "$(median 4 "$file")"
    done
done

# What is sent to a Redis, and what its scripts do, is counted by its monitor.
count() { # port, and what to do meanwhile
    redis-cli -p "$1" monitor > "$work/monitor" & monitor=$!
    shift
    sleep 0.3
    "$@"
    kill "$monitor"
    wait "$monitor" 2> /dev/null || :
    sent=$(grep -c '^[0-9.]* \[[0-9]* [^l]' "$work/monitor" || :)
    inside=$(grep -c '^[0-9.]* \[[0-9]* lua' "$work/monitor" || :)
}
# Polls a channel again and again.
follow() { # port
    : > "$work/empty"
    cursor="$work/cursor.$1.$2"
    : > "$cursor"
    while curl -s -o /dev/null -D "$cursor.new" -H "@$cursor" "http://127.0.0.1:$1/s/commands"; do
        tr -d '\r' < "$cursor.new" | sed -n 's/^Last-Modified:/If-Modified-Since:/ip
            s/^Etag:/If-None-Match:/ip' > "$cursor"
    done
}
messages=20
waiting=200
publish_some() {
    sent_so_far=0
    while [ $sent_so_far -lt $messages ]; do
        curl -sf -o /dev/null --data x "http://127.0.0.1:$first/p/commands"
        sent_so_far=$((sent_so_far + 1))
        sleep 0.2
    done
}
per() { awk -v all="$1" -v of="$2" 'BEGIN { printf "%.3f", all / of }'; }
printf '\n%-48s %10s %10s\n' 'commands' 'sent' 'in scripts'
for name in redis nchan_redis; do
    eval "ports=\$$name at=\$redis_of_$name first=\${$name%% *}"
    [ "$name" = redis ] && label=pushserver || label='nginx with Nchan'
    followers=
    for number in $ports; do
        for one in 1 2 3; do
            follow "$number" "$one" & followers="$followers $!"
        done
    done
    curl -sf -o /dev/null --data x "http://127.0.0.1:$first/p/commands"
    sleep 1
    count "$at" publish_some
    for follower in $followers; do kill "$follower"; done
    printf '  %-46s %10s %10s\n' "$label, a message to 9 requests at 3" \
        "$(per "$sent" $messages)" "$(per "$inside" $messages)"
    curl -s -o /dev/null -Z --parallel-immediate --parallel-max "$waiting" \
        "http://127.0.0.1:$first/s/waits-[1-$waiting]" 2> "$work/curl" & idle=$!
    sleep 3
    count "$at" sleep "$watch"
    kill "$idle"
    wait "$idle" 2> /dev/null || :
    printf '  %-46s %10s %10s\n' "$label, a request that waits, each second" \
        "$(per "$sent" $((waiting * watch)))" "$(per "$inside" $((waiting * watch)))"
done
