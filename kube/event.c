/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kube/http.h"

static int keep(struct jmp_kube_lines *lines, const char *bytes, size_t length)
{
    if (length > JMP_HTTP_BODY_MAX - lines->length)
        return -E2BIG;
    if (lines->length + length + 1 > lines->size) {
        size_t size = (lines->length + length + 1) * 2;
        char *more = realloc(lines->partial, size);

        if (!more)
            return -ENOMEM;
        lines->partial = more;
        lines->size = size;
    }
    memcpy(lines->partial + lines->length, bytes, length);
    lines->length += length;
    lines->partial[lines->length] = '\0';
    return 0;
}

int jmp_kube_lines_feed(struct jmp_kube_lines *lines, const char *bytes, size_t length,
                        int (*line)(const char *text, size_t length, void *user), void *user)
{
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length;
        int r;

        r = keep(lines, bytes, part);
        if (r < 0)
            return r;
        if (!end)
            break;
        if (lines->length > 0) {
            r = line(lines->partial, lines->length, user);
            if (r < 0)
                return r;
        }
        lines->length = 0;
        bytes += part + 1;
        length -= part + 1;
    }
    return 0;
}

void jmp_kube_lines_clear(struct jmp_kube_lines *lines)
{
    free(lines->partial);
    *lines = (struct jmp_kube_lines){ 0 };
}

int jmp_kube_event_read(const char *text, size_t length, json_t **ret)
{
    static const struct {
        const char *word;
        enum jmp_kube_event_type type;
    } types[] = {
        { "ADDED", JMP_KUBE_EVENT_CHANGED },
        { "MODIFIED", JMP_KUBE_EVENT_CHANGED },
        { "DELETED", JMP_KUBE_EVENT_GONE },
        { "ERROR", JMP_KUBE_EVENT_ERROR },
    };
    json_t *event = json_loadb(text, length, 0, NULL), *object = json_object_get(event, "object");
    const char *word = json_string_value(json_object_get(event, "type"));
    int r = JMP_KUBE_EVENT_MARK;

    *ret = NULL;
    if (!word || !json_is_object(object)) {
        r = -EPROTO;
    } else {
        *ret = json_incref(object);
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
            if (strcmp(types[i].word, word) == 0)
                r = types[i].type;
    }
    json_decref(event);
    return r;
}
