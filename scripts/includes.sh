#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Are the floors of the house kept apart? scripts/includes.sh [DIR]
#
#       agent     ctl     labd             programs
#   drivers  config  client > rpc  kube    shelves
#                 base                     floor
#
# A file includes its own room and the floors below, never a neighbour; client/ on rpc/ is the one exception. Some
# libraries have one home. Prints "FILE:LINE: what is wrong" for each violation; exit status 1 if there is any.
set -euo pipefail

top=${1:-$(dirname "${BASH_SOURCE[0]}")/..}
cd "$top"

rooms=()
for room in base drivers config rpc kube client agent ctl labd; do
    [ -d "$room" ] && rooms+=("$room")
done
[ ${#rooms[@]} -gt 0 ] || { echo "includes.sh: no room of the house in $PWD" >&2; exit 2; }

find "${rooms[@]}" -name '*.[ch]' -print0 | sort -z |
    xargs -0 -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' |
    awk '
    BEGIN {
        below["base"] = ""
        below["drivers"] = below["config"] = below["rpc"] = below["kube"] = "base"
        below["client"] = "base rpc"
        below["agent"] = below["ctl"] = below["labd"] = "base drivers config rpc kube client"
        for (room in below) {
            n = split(below[room], floor, " ")
            for (i = 1; i <= n; i++)
                allowed[room, floor[i]] = 1
            allowed[room, room] = 1
        }
    }
    function wrong(text) {
        print file ":" line ": " text
        count++
    }
    {
        split($0, part, ":")
        file = part[1]; line = part[2]
        match($0, /[<"][^>"]*[>"]/)
        header = substr($0, RSTART + 1, RLENGTH - 2)
        quoted = substr($0, RSTART, 1) == "\""

        n = split(file, dir, "/")
        room = dir[1]
        m = split(header, target, "/")
        test = file ~ /_(test|fuzz)\.[ch]$/

        if (header ~ /(^|\/)\.\.\//)
            wrong("\"" header "\" climbs out of its directory; write the path from the top")
        else if (m > 1 && target[1] in below && !((room, target[1]) in allowed))
            wrong(room "/ may not include \"" header "\": " \
                  (below[room] == "" ? "it is the floor" : "only itself and " below[room] " are open to it"))
        else if (m > 1 && target[1] == "tests")
            wrong("\"" header "\" belongs to the tests")

        # A driver family keeps its insides; usb/ is the library that several stand on.
        if (room == "drivers" && target[1] == "drivers" && m > 2 && !(n > 2 && dir[2] == target[2]) &&
            target[2] != "usb" && n > 2)
            wrong("family " dir[2] "/ may not include \"" header "\", the insides of another")

        if (header ~ /\.pb-c\.h$/ && room != "rpc" && !test && file !~ /_(service|client)\.c$/)
            wrong("generated \"" header "\" stays in rpc/, *_service.c and *_client.c")
        if (header ~ /^protobuf-c\// && (room == "drivers" || room == "base" || room == "config"))
            wrong("<" header "> has no business in " room "/")
        if (header ~ /^(grpc|grpcpp)\// && room != "rpc")
            wrong("<" header "> stays in rpc/")
        if (header == "yaml.h" && room != "config")
            wrong("<yaml.h> stays in config/")
        if (header == "sqlite3.h" && file != "labd/store.c" && !(test && room == "labd"))
            wrong("<sqlite3.h> stays in labd/store.c")
    }
    END { exit count > 0 }
    '
