/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a duration and as a date: no crash, an answer within its bounds, or words. */
#include "ctl/duration.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct jmp_error error = JMP_ERROR_INIT;
    int64_t usec = -1;
    int r;

    if (!text)
        return 0;
    r = jmp_duration_parse(text, &usec, &error);
    if (r < 0 ? r != -EINVAL || usec != -1 || !error.text[0] || !error.hint[0]
              : usec < 0 || usec > INT64_C(101) * 366 * 24 * 3600 * 1000000)
        abort();
    error = JMP_ERROR_INIT;
    usec = INT64_MIN;
    r = jmp_date_parse(text, &usec, &error);
    /* The years that four digits can name, in any zone. */
    if (r < 0 ? r != -EINVAL || usec != INT64_MIN || !error.text[0] || !error.hint[0]
              : usec < INT64_C(-62200000000) * 1000000 || usec > INT64_C(253500000000) * 1000000)
        abort();
    return 0;
}
