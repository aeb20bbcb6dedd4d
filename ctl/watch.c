/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/watch.h"

#include <string.h>

#define INTERVAL JMP_USEC_PER_SEC

/* The whole output of one look; free() @ret. */
static int look(struct jmp_ctl *ctl, jmp_ctl_show *show, void *options, char **words, char **ret,
                struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int r;

    if (!stream)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = show(ctl, options, words, stream, reterr);
    if (fclose(stream) != 0 && r >= 0)
        r = jmp_error_set(reterr, -ENOMEM, "%m");
    if (r >= 0)
        *ret = TAKE_PTR(text);
    return r;
}

/* It may come back: a restart, a cable. */
static bool is_away(int r) { return r == -ECONNREFUSED || r == -ETIMEDOUT; }

int jmp_ctl_watch(struct jmp_ctl *ctl, jmp_ctl_show *show, void *options, char **words, struct jmp_error *reterr)
{
    _cleanup_free_ char *shown = NULL;
    bool away = false;
    int r;

    do {
        struct jmp_error error = { 0 };
        char *text = NULL;

        r = look(ctl, show, options, words, &text, &error);
        if (r < 0 && !(shown && is_away(r))) {
            if (reterr)
                *reterr = error;
            return r;
        }
        if (r < 0 && !away)
            jmp_ctl_note(ctl, "%s; waiting for it", error.text);
        away = r < 0;
        if (text && (!shown || strcmp(text, shown) != 0)) {
            if (shown)
                putchar('\n');
            fputs(text, stdout);
            r = jmp_ctl_flush(ctl);
            if (r < 0) {
                free(text);
                return r;
            }
            free(shown);
            shown = text;
        } else {
            free(text);
        }
        r = jmp_client_pause(ctl->client, INTERVAL);
    } while (r >= 0);
    return r;
}
