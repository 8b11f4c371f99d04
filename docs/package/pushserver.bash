# Completion of pushserver for bash.
# Made by: UPDATE_MANUAL=1 cargo test --test manual

_pushserver() {
    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} offered=
    # Readline takes --config=FILE for three words.
    if [[ $word == = ]]; then
        word=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if ((COMP_CWORD == 1)) || [[ ${COMP_WORDS[1]} != bench ]]; then
        case $option in
        -c | --config | --pid-file)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        --listen | --port | --allrequests | --forcehost | --health)
            return
            ;;
        *)
            offered="-c --config --listen --port --ipv6 --allrequests --forcehost -t --check-config --print-config --print-schema --health --nginx-config --pid-file --exit-on-stdin-eof -v --verbose -q --quiet --access-log --inspect -h --help -V --version "
            ((COMP_CWORD == 1)) && offered+="bench"
            ;;
        esac
    else
        # bench
        case $option in
        --json)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        --server | --publish | --subscribe | --pid | --label | -n | --subscribers | --channels | --publishers | --rate | --stored | --size | --seconds | --messages | --patience | --compare | --compare-publish | --compare-subscribe | --compare-pid | --compare-label | --rounds)
            return
            ;;
        --transport) offered="poll eventsource websocket" ;;
        --repoll) offered="at-once soon after-all" ;;
        *)
            offered="--server --publish --subscribe --pid --label --remote --transport -n --subscribers --channels --publishers --rate --repoll --stored --size --seconds --messages --patience --busy --syscalls --compare --compare-publish --compare-subscribe --compare-pid --compare-label --rounds --json --no-plot -q --quiet -h --help "
            ((COMP_CWORD == 2)) && offered+="fanout channels cycle idle publish poll isolation"
            ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$word")
}

complete -F _pushserver pushserver
