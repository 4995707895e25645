# bash completion for orlop(8): commands, options, and names that a running daemon knows.

_orlop_names()
{
	local dir=() i
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --data-dir ]] && dir=(--data-dir "${COMP_WORDS[i + 1]}")
	done
	"$1" "$2" list "${dir[@]}" 2> /dev/null | awk 'NR > 1 { print $1 }'
}

_orlop()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]} sub=${COMP_WORDS[2]} words=''

	case $prev in
	--data-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	--config | --settings | --join)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	--log-level)
		mapfile -t COMPREPLY < <(compgen -W 'error warn info debug' -- "$cur")
		return ;;
	esac
	if ((COMP_CWORD == 1)); then
		words='up down status module reload image bus version help'
	elif ((COMP_CWORD == 2)) && [[ $cur != -* ]]; then
		case $cmd in
		module) words='list info load unload replace set stats trace debug' ;;
		image) words='list import pull remove' ;;
		bus) words='stats' ;;
		help) words='up down status module image bus version' ;;
		esac
	elif [[ $cur != -* ]]; then
		case $cmd.$sub in
		module.info | module.unload | module.replace | module.set | module.stats | module.trace | module.debug) words=$(_orlop_names "${COMP_WORDS[0]}" module) ;;
		image.remove) words=$(_orlop_names "${COMP_WORDS[0]}" image) ;;
		module.load | image.import)
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return ;;
		esac
	fi
	if [[ $cur == -* ]]; then
		words='--data-dir --help'
		case $cmd in
		up) words="$words --port --config --settings --foreground --node-name --node-ip --kubelet-port --pod-cidr --service-cidr
			--cgroup-root --without --join --role --pki --isolate --log-level --bus-loss --timeout" ;;
		down) words="$words --wipe --shutdown --grace" ;;
		status | module | bus) words="$words --json" ;;
		image) words="$words --json --name" ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _orlop orlop
