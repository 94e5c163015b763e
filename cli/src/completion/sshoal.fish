# fish completion for sshoal: flags, hosts, groups and files.
function __sshoal_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l program $words[1]
    command -q $program; or set program sshoal
    set -l answer (command $program __complete fish $words[2..] (string unescape -- $token; or echo $token) 2>/dev/null)
    # The value of `--flag=`.
    set -l flag (string match -r -- '^--[^=]*=' $token)
    set -q flag[1]; or set flag ''
    set -l value (string replace -r -- '^--[^=]*=' '' $token)
    switch "$answer[1]"
        case files
            printf '%s\n' $flag(__fish_complete_path $value)
        case folders
            printf '%s\n' $flag(__fish_complete_directories $value '')
        case users
            printf '%s\n' $flag(__fish_complete_users)
        case commands
            complete -C "$token"
        case words
            printf '%s\n' $answer[2..]
    end
end
complete -c sshoal -f -a '(__sshoal_complete)'
