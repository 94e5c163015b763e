# bash completion for sshoal: flags, hosts, groups and files.
_sshoal() {
    local program=${1/#\~\//$HOME/} answer globs=$- IFS=$'\n'
    answer=$("$program" __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null) || return
    # Words are not patterns.
    set -f
    case $answer in
        files) COMPREPLY=($(compgen -f -- "$2")) ; compopt -o filenames ;;
        folders) COMPREPLY=($(compgen -d -- "$2")) ; compopt -o filenames ;;
        users) COMPREPLY=($(compgen -u -- "$2")) ;;
        commands) COMPREPLY=($(compgen -c -- "$2")) ;;
        words$'\n'*) COMPREPLY=(${answer#words}) ;;
    esac
    [[ $globs == *f* ]] || set +f
    # A source, a flag and a folder go on.
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:=/] ]]; then
        compopt -o nospace
    fi
}
complete -F _sshoal sshoal
