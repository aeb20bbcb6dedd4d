# SPDX-License-Identifier: Apache-2.0
# bash completion for jmpctl, as "jmpctl completion bash" prints it
_jmpctl() {
    mapfile -t COMPREPLY < <(jmpctl complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _jmpctl jmpctl
