# SPDX-License-Identifier: Apache-2.0
# fish completion for jmpctl, as "jmpctl completion fish" prints it
function __jmpctl_complete
    set -l words (commandline -opc) (commandline -ct)
    jmpctl complete $words[2..-1] 2>/dev/null
end
complete -c jmpctl -a '(__jmpctl_complete)'
