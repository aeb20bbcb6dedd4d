/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of an API server: refusals, objects of every kind and lists of them, and Leases that are read, renewed and
 * read again. */
#include <assert.h>

#include "kube/collect.h"
#include "kube/coordination.h"
#include "kube/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_objects(json_t *json)
{
    for (enum jmp_kube_kind kind = JMP_KUBE_CLIENT; kind <= JMP_KUBE_COORDINATION_LEASE; kind++) {
        struct jmp_kube_objects *list = NULL;
        struct jmp_kube_object *object = NULL;
        struct jmp_error error = JMP_ERROR_INIT;

        assert(jmp_kube_object_read(kind, json, &object, &error) == 0 || *error.text);
        jmp_kube_object_free(object);
        if (jmp_kube_objects_read(kind, json, &list, &error) == 0)
            assert(list->count == json_array_size(json_object_get(json, "items")));
        jmp_kube_objects_free(list);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jmp_kube_record record, again;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_kube_status status;
    json_t *lease;

    jmp_kube_status_read(size % 2 ? 409 : 0, size % 3 == 0, (const char *)data, size, &status);
    jmp_kube_status_error(&status, &error);

    lease = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (lease)
        read_objects(lease);
    if (lease && jmp_kube_record_read(lease, &record, &error) == 0) {
        jmp_kube_is_expired(lease, 1);
        record.renewed = 7;
        if (json_is_object(lease) && jmp_kube_record_write(lease, &record) == 0) {
            assert(jmp_kube_record_read(lease, &again, NULL) == 0);
            assert(jmp_kube_record_equal(&record, &again));
        }
    }
    json_decref(lease);
    return 0;
}
