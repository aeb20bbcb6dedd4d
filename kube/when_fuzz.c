/* SPDX-License-Identifier: Apache-2.0 */
/* Times, spans and names of others: whatever is taken prints as something that is taken again, and is the same. */
#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "kube/name.h"
#include "kube/when.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    char printed[JMP_KUBE_TIME_SIZE], duration[JMP_KUBE_DURATION_SIZE], name[JMP_NAME_MAX + 1];
    int64_t value, again;

    if (!text)
        return 0;
    if (jmp_kube_time_parse(text, &value) == 0) {
        jmp_kube_microtime_print(value, printed);
        assert(jmp_kube_time_parse(printed, &again) == 0 && again == value);
    }
    if (jmp_kube_duration_parse(text, &value) == 0) {
        jmp_kube_duration_print(value, duration);
        assert(jmp_kube_duration_parse(duration, &again) == 0 && again == value);
    }
    if (jmp_kube_name(text, size % 2 ? text : NULL, name) == 0)
        assert(jmp_kube_name_is_valid(name));
    return 0;
}
