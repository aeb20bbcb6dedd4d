/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC status codes, and errno to and from them. */
#pragma once

#include "base/error.h"

enum jmp_code {
    JMP_OK = 0,
    JMP_CANCELLED = 1,
    JMP_UNKNOWN = 2,
    JMP_INVALID_ARGUMENT = 3,
    JMP_DEADLINE_EXCEEDED = 4,
    JMP_NOT_FOUND = 5,
    JMP_ALREADY_EXISTS = 6,
    JMP_PERMISSION_DENIED = 7,
    JMP_RESOURCE_EXHAUSTED = 8,
    JMP_FAILED_PRECONDITION = 9,
    JMP_ABORTED = 10,
    JMP_OUT_OF_RANGE = 11,
    JMP_UNIMPLEMENTED = 12,
    JMP_INTERNAL = 13,
    JMP_UNAVAILABLE = 14,
    JMP_DATA_LOSS = 15,
    JMP_UNAUTHENTICATED = 16,
};

struct jmp_status {
    enum jmp_code code;
    const char *text;     /* details, never NULL */
};

const char *jmp_code_name(enum jmp_code code);    /* "UNAVAILABLE" */
/** jmp_code_from_errno() - the code of a driver's error, as stock exporters map Python exceptions: EINVAL (ValueError)
 * INVALID_ARGUMENT, EOPNOTSUPP and ENOSYS (NotImplementedError) UNIMPLEMENTED, ETIMEDOUT DEADLINE_EXCEEDED,
 * ECONNREFUSED, ECONNRESET, ECONNABORTED, EPIPE (ConnectionError) and ENODEV UNAVAILABLE, ECANCELED CANCELLED, EBADMSG,
 * EPROTO, ENOKEY, E2BIG (anything else in Python) UNKNOWN, every other errno (OSError) INTERNAL; 0 OK. */
enum jmp_code jmp_code_from_errno(int error);
/** jmp_code_to_errno() - a negative errno that a program may act on: UNAVAILABLE -ECONNREFUSED, NOT_FOUND -ENOENT,
 * PERMISSION_DENIED -EACCES, UNAUTHENTICATED -EKEYREJECTED, DEADLINE_EXCEEDED -ETIMEDOUT, CANCELLED -ECANCELED,
 * UNIMPLEMENTED -EOPNOTSUPP, INVALID_ARGUMENT -EINVAL, FAILED_PRECONDITION -EBUSY, RESOURCE_EXHAUSTED -ENOBUFS, others
 * -EREMOTEIO; OK 0 */
int jmp_code_to_errno(enum jmp_code code);
