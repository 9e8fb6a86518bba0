# bash completion for bulkhead(8). Commands and options are what `bulkhead ... --help` says; names
# of ports, segments and drop reasons are the running daemon's.

# Asks the daemon whose socket the command line names.
_bulkhead_ask() {
  local i socket=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[i]} == --socket ]] && socket=(--socket "${COMP_WORDS[i + 1]}")
  done
  "${COMP_WORDS[0]}" "${socket[@]}" "$@" 2>/dev/null
}

# Values of one key in a port's JSON.
_bulkhead_values() {
  _bulkhead_ask --json port show | grep -o "\"$1\":\"[^\"]*\"" | cut -d '"' -f 4 | sort -u
}

_bulkhead() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local commands=() words= positional=0 i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --json | --icmp | --arp | --nd | --dhcp | --trusted | --isolated | --enforce | --unknown | --transit | --take-over) ;;
      -*) ((++i)) ;; # and its value
      *)
        # Two words of `port` and `fdb` are the command, one of the others.
        if [[ -z ${commands[*]} || ${commands[*]} == @(port|fdb) ]]; then
          commands+=("${COMP_WORDS[i]}")
        else
          ((++positional))
        fi
        ;;
    esac
  done
  case $before in
    --socket | --pcap | -w)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --port | --to) words=$(_bulkhead_values name) ;;
    --segment) words=$(_bulkhead_values segment) ;;
    --device) words=$(ls /sys/class/net) ;;
    --reason)
      words=$(_bulkhead_ask metrics | grep -o 'reason="[a-z_]*"' | cut -d '"' -f 2 | sort -u)
      ;;
    --attach) words="auto conduit xdp" ;;
    --allow) words="dhcp-server router querier vrrp routing" ;;
    --mac | --ip | --prefixes | --routes | --link-local | --shared | --limit) return ;;
    --mac-max | --worker | --count | --tcp | --udp) return ;;
    --interval) words="500ms 1s 2s 5s 10s" ;;
    --sort) words="rate drops name" ;;
    *)
      if [[ $word == -* ]]; then
        words=$("${COMP_WORDS[0]}" "${commands[@]}" --help 2>/dev/null |
          grep -oE '^ +(-[a-z],)?-{1,2}[a-z-]+' | grep -oE -- '-{1,2}[a-z-]+$')
      elif [[ ${commands[*]} == check ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
      else
        case "${commands[*]} $positional" in
          "port set 0" | "port del 0" | "port show 0" | "stats 0" | "explain 0")
            words=$(_bulkhead_values name)
            ;;
          monitor*) words="fdb port drop" ;;
          " 0" | "port 0" | "fdb 0")
            words=$("${COMP_WORDS[0]}" "${commands[@]}" --help 2>/dev/null |
              sed -n '/^Subcommands:/,$s/^  \([a-z]*\) .*/\1/p')
            ;;
        esac
      fi
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _bulkhead bulkhead
