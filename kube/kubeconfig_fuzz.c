/* SPDX-License-Identifier: Apache-2.0 */
/* Any kubeconfig: it leads to a server and one way to say who we are, or to an error with words. */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "kube/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* JSON is YAML, too; the parser of YAML has a target of its own. */
static int parse(const char *text, size_t length, const char *file, struct jmp_tree *tree, const struct jmp_node **ret,
                 struct jmp_error *reterr)
{
    return jmp_json_parse(text, length, tree, ret, reterr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;
    _cleanup_close_ int file = memfd_create("kubeconfig", MFD_CLOEXEC);
    struct jmp_error error = JMP_ERROR_INIT;
    char path[64];

    if (file < 0 || write(file, data, size) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (jmp_kube_access_load(path, size % 4 == 0 ? "c" : NULL, NULL, parse, &access, &error) < 0) {
        assert(!access && error.error < 0 && error.text[0]);
        return 0;
    }
    assert(access->server[0] && access->namespace_[0]);
    assert(!access->insecure || !access->ca);
    assert(!access->certificate == !access->key);
    return 0;
}
