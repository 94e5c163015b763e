#compdef sshoal
# zsh completion for sshoal: flags, hosts, groups and files.
_sshoal() {
    local answer
    local -a before found whole begun described
    before=("${(@Q)words[2,CURRENT-1]}")
    answer=$(_call_program sshoal "${(q)words[1]}" __complete zsh "${(@q)before}" "${(q)${(Q)PREFIX}}") || return 1
    # The value of `--flag=`.
    [[ $answer == (files|folders|users) && $PREFIX == --*=* ]] && compset -P '*='
    case $answer in
        files) _files ;;
        folders) _files -/ ;;
        users) _users ;;
        commands) _command_names -e ;;
        words$'\n'*)
            found=("${(@f)${answer#words$'\n'}}")
            described=("${(@M)found:#*$'\t'*}")
            found=("${(@)found:#*$'\t'*}")
            # A source, a flag and a folder go on.
            begun=("${(@M)found:#*[:=/]}")
            whole=("${(@)found:#*[:=/]}")
            if (( $#described )); then
                described=("${(@)described//:/\\:}")
                described=("${(@)described/$'\t'/:}")
                _describe -t words word described
            fi
            (( $#begun )) && compadd -Q -S '' -a begun
            (( $#whole )) && compadd -Q -a whole
            ;;
    esac
}
if [[ $funcstack[1] == _sshoal ]]; then
    _sshoal "$@"
else
    compdef _sshoal sshoal
fi
