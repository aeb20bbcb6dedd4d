/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/status.h"

static const struct {
    const char *name;
    int error;
} codes[] = {
    [JMP_OK] = { "OK", 0 },
    [JMP_CANCELLED] = { "CANCELLED", -ECANCELED },
    [JMP_UNKNOWN] = { "UNKNOWN", -EREMOTEIO },
    [JMP_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", -EINVAL },
    [JMP_DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", -ETIMEDOUT },
    [JMP_NOT_FOUND] = { "NOT_FOUND", -ENOENT },
    [JMP_ALREADY_EXISTS] = { "ALREADY_EXISTS", -EEXIST },
    [JMP_PERMISSION_DENIED] = { "PERMISSION_DENIED", -EACCES },
    [JMP_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", -ENOBUFS },
    [JMP_FAILED_PRECONDITION] = { "FAILED_PRECONDITION", -EBUSY },
    [JMP_ABORTED] = { "ABORTED", -EREMOTEIO },
    [JMP_OUT_OF_RANGE] = { "OUT_OF_RANGE", -EREMOTEIO },
    [JMP_UNIMPLEMENTED] = { "UNIMPLEMENTED", -EOPNOTSUPP },
    [JMP_INTERNAL] = { "INTERNAL", -EREMOTEIO },
    [JMP_UNAVAILABLE] = { "UNAVAILABLE", -ECONNREFUSED },
    [JMP_DATA_LOSS] = { "DATA_LOSS", -EREMOTEIO },
    [JMP_UNAUTHENTICATED] = { "UNAUTHENTICATED", -EKEYREJECTED },
};

const char *jmp_code_name(enum jmp_code code)
{
    return (size_t)code < ELEMENTSOF(codes) ? codes[code].name : "UNKNOWN";
}

int jmp_code_to_errno(enum jmp_code code)
{
    return (size_t)code < ELEMENTSOF(codes) ? codes[code].error : -EREMOTEIO;
}

enum jmp_code jmp_code_from_errno(int error)
{
    switch (error < 0 ? -error : error) {
    case 0:
        return JMP_OK;
    case EINVAL:
        return JMP_INVALID_ARGUMENT;
    case EOPNOTSUPP:
    case ENOSYS:
        return JMP_UNIMPLEMENTED;
    case ETIMEDOUT:
        return JMP_DEADLINE_EXCEEDED;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENODEV:
        return JMP_UNAVAILABLE;
    case ECANCELED:
        return JMP_CANCELLED;
    case EBADMSG:
    case EPROTO:
    case ENOKEY:
    case E2BIG:
        return JMP_UNKNOWN;
    default:
        return JMP_INTERNAL;
    }
}
