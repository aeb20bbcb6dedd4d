/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a watch, which its first byte cuts into pieces: the same lines however they are cut, and each is an event
 * or none. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "kube/event.h"
#include "kube/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The lines one behind the other, each with its end. */
struct seen {
    char *text;
    size_t length;
};

static int keep(const char *text, size_t length, void *user)
{
    struct seen *seen = user;

    assert(length > 0 && text[length] == '\0' && !memchr(text, '\n', length));
    memcpy(seen->text + seen->length, text, length);
    seen->length += length;
    seen->text[seen->length++] = '\n';
    return 0;
}

static int look(const char *text, size_t length, void *user)
{
    json_t *object;
    int r = jmp_kube_event_read(text, length, &object);

    assert(r < 0 ? !object : json_is_object(object));
    if (r == JMP_KUBE_EVENT_ERROR) {
        _cleanup_free_ char *body = json_dumps(object, JSON_COMPACT);
        struct jmp_kube_status status;

        if (body) {
            jmp_kube_status_read(0, false, body, strlen(body), &status);
            assert(status.reason != JMP_KUBE_OK);
        }
    }
    json_decref(object);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = (const char *)data + 1;
    struct jmp_http_body lines = { 0 };
    struct seen whole = { malloc(size + 1), 0 }, pieces = { malloc(size + 1), 0 };
    size_t piece;

    if (size > 1 && whole.text && pieces.text) {
        size--;
        piece = data[0] % 32 + 1;
        assert(jmp_kube_lines_feed(&lines, body, size, keep, &whole) == 0);
        jmp_http_body_clear(&lines);
        for (size_t at = 0; at < size; at += piece)
            assert(jmp_kube_lines_feed(&lines, body + at, piece < size - at ? piece : size - at, keep, &pieces) == 0);
        assert(whole.length == pieces.length && memcmp(whole.text, pieces.text, whole.length) == 0);
        jmp_http_body_clear(&lines);
        assert(jmp_kube_lines_feed(&lines, body, size, look, NULL) == 0);
    }
    jmp_http_body_clear(&lines);
    free(whole.text);
    free(pieces.text);
    return 0;
}
