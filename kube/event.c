/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/event.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

int jmp_kube_lines_feed(struct jmp_http_body *lines, const char *bytes, size_t length,
                        int (*line)(const char *text, size_t length, void *user), void *user)
{
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length;
        int r;

        r = jmp_http_body_add(lines, bytes, part);
        if (r < 0)
            return r;
        if (!end)
            break;
        if (lines->length > 0) {
            r = line(lines->text, lines->length, user);
            if (r < 0)
                return r;
        }
        lines->length = 0;
        bytes += part + 1;
        length -= part + 1;
    }
    return 0;
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
