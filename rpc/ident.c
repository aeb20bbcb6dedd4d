/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ident.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

int jmp_ident_parse(const char *text, const char *kind, struct jmp_ident *ret, struct jmp_error *reterr)
{
    const char *segments[4] = { NULL };
    size_t lengths[4] = { 0 }, count = 0, expected = kind ? 4 : 2;

    if (strlen(text) >= JMP_IDENT_MAX)
        return jmp_error_set(reterr, -EINVAL, "identifier of more than %u bytes", (unsigned)JMP_IDENT_MAX);

    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "/");

        if (count < ELEMENTSOF(segments)) {
            segments[count] = at;
            lengths[count] = length;
        }
        count++;
        at += length;
        if (*at == '\0')
            break;
    }

    if (count != expected)
        return jmp_error_set(reterr, -EINVAL, "invalid number of segments in identifier \"%s\", expecting %zu, got %zu",
                             text, expected, count);
    if (lengths[0] != strlen("namespaces") || memcmp(segments[0], "namespaces", lengths[0]) != 0)
        return jmp_error_set(reterr, -EINVAL,
                             "invalid first segment in identifier \"%s\", expecting \"namespaces\", got \"%.*s\"", text,
                             (int)lengths[0], segments[0]);
    if (kind && (lengths[2] != strlen(kind) || memcmp(segments[2], kind, lengths[2]) != 0))
        return jmp_error_set(reterr, -EINVAL,
                             "invalid third segment in identifier \"%s\", expecting \"%s\", got \"%.*s\"", text, kind,
                             (int)lengths[2], segments[2]);
    if (lengths[1] > JMP_IDENT_NAME_MAX || lengths[3] > JMP_IDENT_NAME_MAX)
        return jmp_error_set(reterr, -EINVAL, "a name of more than %u bytes in identifier \"%s\"", JMP_IDENT_NAME_MAX,
                             text);

    *ret = (struct jmp_ident){ 0 };
    memcpy(ret->namespace_, segments[1], lengths[1]);
    if (kind)
        memcpy(ret->name, segments[3], lengths[3]);
    return 0;
}

char *jmp_ident_print(char *ret, const char *namespace_, const char *kind, const char *name)
{
    snprintf(ret, JMP_IDENT_MAX, "namespaces/%s/%s/%s", namespace_, kind, name);
    return ret;
}
